//! The faults of a simulated world: their kind, their time, and the time for which their effects
//! may still be visible.

use super::hours::{MINUTE, Ms, SECOND};
use super::scenario::{Kind, Scenario};
use super::tape::{COUNT, NAMES, SPY};

/// A kind of fault. [`Fault::place`] and [`Fault::size`] hold the instrument and the amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// The server resets all connections and accepts new ones at once.
    Reset,
    /// No packet passes, and no side gets an error; the old connections stay dead for ever.
    HalfOpen,
    /// The server does not run; after its restart its cache is empty.
    Down,
    /// The server has lost the connection to its vendor.
    UpstreamLost,
    /// The vendor ends this connection because another connection uses the same key.
    Evicted,
    /// The server answers each upgrade with 403.
    Forbidden,
    SilenceOne,
    SilenceAll,
    /// The network delays all data until the end of the fault.
    Stall,
    /// The display's process is stopped (SIGSTOP).
    Stopped,
    /// The display's main thread does not run; the panel's thread runs.
    Held,
    /// Every value leaves the source 29 s late.
    Late,
    /// An old value is sent again with its old timestamp; [`Fault::size`] is its least age.
    Replay,
    /// One value has a timestamp 50 s ahead of the time.
    Ahead,
    /// Values have no timestamp.
    NoStamp,
    /// Timestamps are in seconds and not in milliseconds.
    Seconds,
    /// A minute bar is sent again with a corrected close.
    Correction,
    /// One value comes outside the known trading hours.
    Stray,
    /// One value each second comes outside the known trading hours.
    Outside,
    /// The last trade in the REST response has conditions that do not set the last price.
    Ineligible,
    /// The display's own clock is not set.
    ClockUnset,
    /// The display's own clock is wrong by [`Fault::size`].
    ClockOff,
    /// The server's `Date` header is wrong by [`Fault::size`].
    DateOff,
    /// The vendor's timestamps are wrong by [`Fault::size`].
    StampsOff,
    RestFails,
    /// The hub repeats an old REST response and reports its age, [`Fault::size`].
    RestStale,
    /// REST still returns the row of the previous session.
    RestYesterday,
    /// The chip does not acknowledge some I2C messages to their end.
    Naks,
    /// The plan does not include the channel of one instrument.
    NotAuthorized,
    /// The server with simulated prices stops, and a server with real prices starts at the end of
    /// the fault.
    Replaced,
}

impl What {
    pub(crate) const ALL: [Self; 30] = [
        Self::Reset,
        Self::HalfOpen,
        Self::Down,
        Self::UpstreamLost,
        Self::Evicted,
        Self::Forbidden,
        Self::SilenceOne,
        Self::SilenceAll,
        Self::Stall,
        Self::Stopped,
        Self::Held,
        Self::Late,
        Self::Replay,
        Self::Ahead,
        Self::NoStamp,
        Self::Seconds,
        Self::Correction,
        Self::Stray,
        Self::Outside,
        Self::Ineligible,
        Self::ClockUnset,
        Self::ClockOff,
        Self::DateOff,
        Self::StampsOff,
        Self::RestFails,
        Self::RestStale,
        Self::RestYesterday,
        Self::Naks,
        Self::NotAuthorized,
        Self::Replaced,
    ];

    /// Returns true if a server of this kind can have this fault.
    pub(crate) const fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Evicted => kind.is_vendor(),
            Self::Down | Self::Forbidden | Self::UpstreamLost => !kind.is_vendor(),
            Self::RestStale => matches!(kind, Kind::Hub | Kind::LateHub),
            Self::Ineligible | Self::RestYesterday | Self::NotAuthorized => {
                !matches!(kind, Kind::Proxy)
            }
            // `Scenario::draw_faults` draws these two separately.
            Self::Replaced | Self::ClockUnset => false,
            _ => true,
        }
    }

    /// Returns true if the fault affects only one instrument.
    pub(crate) const fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::SilenceOne
                | Self::Replay
                | Self::Ahead
                | Self::Correction
                | Self::Stray
                | Self::Outside
                | Self::Ineligible
                | Self::NotAuthorized
        )
    }

    /// Returns true if the fault makes one of the three time sources wrong and affects nothing
    /// else.
    pub(crate) const fn is_of_time(self) -> bool {
        matches!(
            self,
            Self::ClockUnset | Self::ClockOff | Self::DateOff | Self::StampsOff
        )
    }

    /// Returns true if the fault is at the source of the prices. A source that is 15 minutes late
    /// then shows the effects 15 minutes later, too.
    pub(crate) const fn is_of_source(self) -> bool {
        matches!(
            self,
            Self::StampsOff
                | Self::NoStamp
                | Self::Seconds
                | Self::Ahead
                | Self::Late
                | Self::SilenceAll
                | Self::SilenceOne
                | Self::NotAuthorized
        )
    }

    /// Returns true if the fault keeps data from the display.
    pub(crate) const fn blocks_input(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::HalfOpen
                | Self::Down
                | Self::UpstreamLost
                | Self::Evicted
                | Self::Forbidden
                | Self::SilenceOne
                | Self::SilenceAll
                | Self::Stall
                | Self::Stopped
                | Self::Held
                | Self::Late
                | Self::RestFails
                | Self::RestStale
                | Self::RestYesterday
        )
    }

    /// Returns the range of the duration in milliseconds: the least, and the exclusive upper end.
    pub(crate) const fn lasts(self) -> (Ms, Ms) {
        match self {
            Self::Reset | Self::Evicted => (10, 11),
            Self::Replay | Self::Ahead | Self::Correction | Self::Stray => (10, 11),
            Self::HalfOpen => (5 * SECOND, 200 * SECOND),
            Self::Stall => (3 * SECOND, 29 * SECOND),
            Self::Stopped | Self::Held => (5 * SECOND, 27 * SECOND),
            Self::NoStamp | Self::Seconds => (20 * SECOND, 120 * SECOND),
            Self::Late | Self::Outside => (60 * SECOND, 300 * SECOND),
            Self::RestFails | Self::RestStale | Self::NotAuthorized | Self::Ineligible => {
                (2 * MINUTE, 30 * MINUTE)
            }
            Self::RestYesterday => (10 * SECOND, 60 * SECOND),
            Self::ClockOff | Self::DateOff | Self::StampsOff => (20 * SECOND, 40 * MINUTE),
            _ => (2 * SECOND, 10 * MINUTE),
        }
    }
}

/// A fault with its time and its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// The index of the affected instrument, if the fault affects only one.
    pub(crate) place: usize,
    pub(crate) from: Ms,
    pub(crate) until: Ms,
    /// The error of a clock or the age of a value, in milliseconds.
    pub(crate) size: Ms,
}

impl Fault {
    /// Returns true if the fault can affect this instrument.
    pub(crate) fn touches(&self, place: usize, scenario: &Scenario) -> bool {
        match self.what {
            what if what.is_of_one() => self.place == place,
            // REST failures are visible only for an instrument without a stream.
            What::RestFails | What::RestStale | What::RestYesterday => {
                let streamed = scenario.shares && scenario.kind != Kind::Proxy;
                place == SPY && !streamed || !scenario.sockets
            }
            _ => true,
        }
    }

    /// Returns the time after which the display may show no effect of the fault; the bounds come
    /// from issue 10. After a loss of the vendor's connection, a refusal or an eviction, the
    /// program retries at a slower rate, so the bounds are longer.
    pub(crate) fn over(&self, scenario: &Scenario) -> Ms {
        let length = self.until - self.from;
        let vendor = scenario.kind.is_vendor();
        // The program doubles the backoff for the vendor up to 60 s and adds up to a half of that
        // at random.
        let back = match length {
            _ if vendor && length > 2 * SECOND => 100 * SECOND,
            ..60_000 => 5 * SECOND,
            _ => 10 * SECOND,
        };
        let after = match self.what {
            What::Evicted | What::Forbidden => 100 * SECOND,
            // The program sends a ping after 20 s of silence, and closes a dead connection after 30
            // s.
            What::HalfOpen => return self.until.max(self.from + 32 * SECOND) + back,
            // The proxy leaves its connections open and silent. The display opens a new connection
            // every 20 s, and each new connection gets values again.
            What::UpstreamLost if scenario.kind == Kind::Proxy => 30 * SECOND,
            What::SilenceAll | What::SilenceOne if vendor => 100 * SECOND,
            What::SilenceAll | What::SilenceOne | What::Stopped | What::Held | What::Stall => {
                10 * SECOND
            }
            // Late values are still in transit.
            What::Late => 35 * SECOND,
            What::Naks => 9 * SECOND,
            What::RestFails | What::RestStale | What::RestYesterday => 75 * SECOND,
            What::Ineligible => 20 * SECOND,
            // The program subscribes to a refused channel again only on the next connection.
            What::NotAuthorized => return Ms::MAX,
            What::Stray | What::Correction | What::Replay => 0,
            // The last of these values may stay plain for its limit of 60 s.
            What::NoStamp | What::Seconds => 65 * SECOND,
            What::Ahead => 3 * SECOND,
            What::Outside => 16 * MINUTE,
            what if what.is_of_time() => 3 * SECOND,
            _ => back,
        };
        self.until + after
    }

    /// Describes the fault in the log of a world.
    pub(crate) fn told(&self) -> String {
        let name = if self.what.is_of_one() {
            NAMES[self.place % COUNT]
        } else {
            ""
        };
        let size = match self.size {
            0 => String::new(),
            size => format!(" by {:.1} s", size as f64 / 1000.0),
        };
        let length = (self.until - self.from) as f64 / 1000.0;
        format!("{:?} {name}{size} for {length:.1} s", self.what)
    }
}
