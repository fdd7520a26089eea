//! The pipeline of the ticker without its sockets and without the queue between the session and the
//! ticker state. The text of a frame goes in, and a message on the bus comes out. Each step is the
//! code of the program, in the order of the session, the event loop and the panel thread.
#![allow(dead_code)]

#[path = "basics.rs"]
mod basics;

use std::time::Duration;

use deskticker::display::{
    Bus, Chip, DisplayDevice, Mailbox, MailboxItem, Oled, PanelLight, PanelSettings, Rotation,
};
use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent};
use deskticker::feed::{Update, sink};
use deskticker::market::{Calendar, Cluster, Price, Ticker};
use deskticker::massive::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use deskticker::massive::websocket::{self, ParseError};
use deskticker::net::source::FeedProvider;
use deskticker::render::{Frame, Size};
use deskticker::ticker::state::{self, TickerState};
use deskticker::time::{Moment, Now, Utc};
use jiff::tz::TimeZone;

use basics::{MONDAY as START, symbols};

/// The panel is neither dimmed nor shifted during a measurement.
const LIGHT: PanelLight = PanelLight {
    on: true,
    brightness: 128,
    shift: 0,
};

/// The pipeline for SPX and VIX on a panel of 128×64 pixels.
pub(crate) struct StraightLine<B: Bus> {
    link: Connection,
    pub(crate) desk: TickerState,
    slot: Mailbox,
    taken: Box<Frame>,
    oled: Oled<B>,
    /// The number of unreadable events of each kind.
    pub(crate) junk: [u64; ParseError::KINDS],
}

/// The settings for a watchlist.
pub(crate) fn settings(watchlist: &[&str]) -> state::TickerSettings {
    state::TickerSettings {
        zone: TimeZone::fixed(jiff::tz::offset(-5)),
        ..state::TickerSettings::of(symbols(watchlist))
    }
}

impl<B: Bus> StraightLine<B> {
    /// A pipeline for SPX and VIX that is connected and has received no event.
    pub(crate) fn new(bus: B) -> Self {
        Self::of(bus, Chip::Ssd1306, settings(&["SPX", "VIX"]))
    }

    /// A pipeline for a chip and a watchlist that is connected and has received no event.
    pub(crate) fn of(bus: B, chip: Chip, settings: state::TickerSettings) -> Self {
        let now = at(0);
        let mut desk = TickerState::new(settings, Calendar::us(), Size::Tall, now).unwrap();
        let demand = desk.demand(Cluster::Indices, now);
        let mut link = Connection::new(FeedProvider::Hub, 1);
        link.want(&demand.channels, demand.max_silence, now.monotonic);
        assert_eq!(link.next(now.monotonic), Some(ConnectionAction::Open));
        link.on(ConnectionEvent::Opened, now.monotonic);
        while link.next(now.monotonic).is_some() {}
        desk.on(&Update::Status(Cluster::Indices, link.status()), now);
        // The server clock has the same time. So the display shows the time, the change and the
        // curve.
        let date = Update::ServerTime {
            at: now.monotonic,
            utc: START,
        };
        desk.on(&date, now);
        let settings = PanelSettings {
            chip,
            size: Size::Tall,
            bus: "/dev/i2c-1".into(),
            address: 0x3c,
            rotation: Rotation::Upright,
            dc: None,
            reset: None,
        };
        Self {
            link,
            desk,
            slot: Mailbox::new(Size::Tall),
            taken: Box::new(Frame::new(Size::Tall)),
            oled: Oled::new(settings, bus),
            junk: [0; ParseError::KINDS],
        }
    }

    /// Stores the previous closes from a REST response, so that the display shows a change.
    pub(crate) fn seed(&mut self, closes: [(&str, i64); 2]) {
        for (ticker, close) in closes {
            let seed = InstrumentSnapshot {
                previous_close: Some(PreviousClose::Told(Price::from_scaled(close))),
                ..InstrumentSnapshot::empty(Ticker::try_from(ticker).unwrap())
            };
            self.desk.on(&Update::Seed(Box::new(seed)), at(0));
        }
    }

    /// Receives the text of a frame and draws the result.
    pub(crate) fn hear(&mut self, text: &str, now: Now) {
        self.link.on(ConnectionEvent::Heard, now.monotonic);
        for event in websocket::events(text) {
            match event {
                Ok(event) => {
                    if let Some(update) = sink::update(&mut self.link, &event, now.monotonic) {
                        self.desk.on(&update, now);
                    }
                }
                Err(junk) => self.junk[junk.index()] += 1,
            }
        }
        self.show(now);
    }

    /// Draws without new data.
    pub(crate) fn show(&mut self, now: Now) {
        self.desk.draw(now);
        let until = self.desk.good_until(now);
        self.slot.put(self.desk.frame(), LIGHT, until);
        let taken = self.slot.take_into(&mut self.taken, Some(Duration::ZERO));
        assert_eq!(taken, MailboxItem::Frame(LIGHT, until));
        self.oled.show(&self.taken, LIGHT, now.monotonic);
    }

    /// Runs the periodic work of the panel if it is due. Returns the number of its parts.
    pub(crate) fn heal(&mut self, now: Now) -> usize {
        let mut parts = 0;
        while self.heal_once(now) {
            parts += 1;
        }
        parts
    }

    /// Runs one part of the periodic work of the panel. Returns true if it was due.
    pub(crate) fn heal_once(&mut self, now: Now) -> bool {
        let due = self.oled.deadline() <= now.monotonic;
        if due {
            self.oled.tick(now.monotonic);
        }
        due
    }

    /// The last picture for the panel.
    pub(crate) fn picture(&self) -> &Frame {
        &self.taken
    }
}

/// The time in this number of milliseconds after the start.
pub(crate) fn at(millis: u64) -> Now {
    let utc = START.0 + i64::try_from(millis).unwrap();
    Now::new(Moment::from_millis(millis), Utc(utc))
}

/// A Massive frame with one value of this time.
pub(crate) fn value(ticker: &str, hundredths: i64, now: Now) -> String {
    let (whole, fraction) = (hundredths / 100, hundredths % 100);
    let stamp = now.utc.unwrap().0;
    format!(r#"[{{"ev":"V","val":{whole}.{fraction:02},"T":"{ticker}","t":{stamp}}}]"#)
}

/// A Massive frame with one minute bar that ends at this time.
pub(crate) fn bar(ticker: &str, hundredths: i64, now: Now) -> String {
    let (whole, fraction) = (hundredths / 100, hundredths % 100);
    let (price, end) = (format!("{whole}.{fraction:02}"), now.utc.unwrap().0);
    format!(
        r#"[{{"ev":"AM","sym":"{ticker}","op":{price},"o":{price},"c":{price},"h":{price},"l":{price},"s":{},"e":{end}}}]"#,
        end - 60_000
    )
}

/// A random walk of prices. The prices and the standard deviation are in hundredths.
pub(crate) fn walk(seed: u64, start: f64, deviation: f64) -> impl Iterator<Item = i64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut price = start;
    std::iter::repeat_with(move || {
        // The sum of twelve uniform numbers of [0, 1) is nearly a normal distribution.
        let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        price += deviation * normal;
        price.round() as i64
    })
}
