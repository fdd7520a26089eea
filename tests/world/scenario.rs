//! The description of a world: a day, a server, a display and its faults. The generator draws the
//! description from a seed, and `reduce` can remove parts of it.

use super::display::Layout;
use super::faults::{Fault, What};
use super::hours::{DAY, HOUR, Kept, MINUTE, Ms, SECOND, Sort, date, kept, local, utc};
use super::plan::{Habits, Part, is_contract, spans};
use super::tape::{COUNT, NVDA, SPX, SPXW, SPY};

/// The kind of server that the display uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Our hub: it sends a greeting, repeats its last value with the age of the value, and reports
    /// the loss of its vendor.
    Hub,
    /// Our hub with a source that is 15 minutes late.
    LateHub,
    /// The proxy that users already run: it sends no status messages.
    Proxy,
    Vendor,
    /// The vendor's endpoint with data that is 15 minutes late.
    LateVendor,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Hub,
        Self::LateHub,
        Self::Proxy,
        Self::Vendor,
        Self::LateVendor,
    ];

    pub(crate) const fn is_vendor(self) -> bool {
        matches!(self, Self::Vendor | Self::LateVendor)
    }

    /// Returns the delay of the source in milliseconds.
    pub(crate) const fn delay(self) -> Ms {
        match self {
            Self::LateHub | Self::LateVendor => 15 * MINUTE,
            _ => 0,
        }
    }
}

/// The description of one world.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) sort: Sort,
    /// The day number in New York at the start of the display.
    pub(crate) day: i64,
    pub(crate) start: Ms,
    pub(crate) end: Ms,
    pub(crate) kind: Kind,
    /// True if the server has simulated prices until the fault [`What::Replaced`] ends.
    pub(crate) simulated: bool,
    /// False if the server answers each upgrade with 404, so that only REST works.
    pub(crate) sockets: bool,
    /// True if the server streams shares.
    pub(crate) shares: bool,
    pub(crate) layout: Layout,
    pub(crate) habits: Habits,
    /// True if the expiring contract becomes worthless in its last hour.
    pub(crate) worthless: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Scenario {
    /// Draws the `nth` world of a seed.
    pub(crate) fn draw(seed: u64, nth: u64) -> Self {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(nth);
        let random = &mut fastrand::Rng::with_seed(seed);
        let sort = match random.u8(0..10) {
            0..=4 => Sort::Ordinary,
            _ => Sort::ALL[(nth % Sort::ALL.len() as u64) as usize],
        };
        let day = sort.day(random);
        let expiry = match random.u8(0..3) {
            0 => day,
            1 => day + 1,
            _ => day + 23,
        };
        let closed = random.u8(0..25) == 0 && kept(day) == Kept::Full;
        let kind = match random.u8(0..10) {
            0..=3 => Kind::Hub,
            4 => Kind::LateHub,
            5..=6 => Kind::Proxy,
            7..=8 => Kind::Vendor,
            _ => Kind::LateVendor,
        };
        let start = utc(day, draw_start(random));
        let simulated = random.u8(0..8) == 0 && !kind.is_vendor() && kind.delay() == 0;
        let mut scenario = Self {
            seed,
            sort,
            day,
            start,
            end: start + DAY,
            kind,
            simulated,
            sockets: random.u8(0..40) != 0,
            shares: random.bool(),
            layout: match random.u8(0..6) {
                0 => Layout::Turning(3),
                1 => Layout::Turning(7),
                2 => Layout::Large(3),
                3 => Layout::Large(7),
                _ => Layout::Pinned(random.usize(0..4)),
            },
            habits: Habits {
                expiry,
                closure: closed.then_some(day),
                thin: random.u8(0..4) == 0,
                extended: random.u8(0..12) == 0,
            },
            worthless: random.bool(),
            faults: Vec::new(),
        };
        scenario.draw_faults(random);
        scenario
    }

    fn draw_faults(&mut self, random: &mut fastrand::Rng) {
        if self.simulated {
            let from = self.moment(random);
            self.faults.push(Fault {
                what: What::Replaced,
                place: 0,
                from,
                until: from + random.i64(2 * SECOND..5 * MINUTE),
                size: 0,
            });
        }
        if random.u8(0..6) == 0 {
            self.faults.push(Fault {
                what: What::ClockUnset,
                place: 0,
                from: self.start,
                until: self.start + random.i64(30 * SECOND..8 * HOUR),
                size: 0,
            });
        }
        // One world in five draws no fault here.
        for _ in 0..[0, 1, 2, 4, 6][random.usize(0..5)] {
            let what = What::ALL[random.usize(0..What::ALL.len())];
            if what.fits(self.kind) && self.sockets {
                let fault = self.draw_fault(what, random);
                self.faults.push(fault);
            }
        }
        self.faults.retain(|fault| fault.from < self.end);
        self.faults.sort_by_key(|fault| fault.from);
        self.keep_witnesses_apart();
    }

    /// Removes a fault that gives a second time source nearly the same error: the program could not
    /// detect two wrong sources that agree. The last `Date` from REST stays in use until the next
    /// request, hence the margin of 35 minutes.
    fn keep_witnesses_apart(&mut self) {
        let mut kept: Vec<Fault> = Vec::new();
        for fault in self.faults.drain(..) {
            let alike = |other: &Fault| {
                other.what.is_of_time()
                    && fault.what.is_of_time()
                    && other.what != fault.what
                    && (other.size - fault.size).abs() < 10 * SECOND
                    && fault.from < other.until + 35 * MINUTE
            };
            if !kept.iter().any(alike) {
                kept.push(fault);
            }
        }
        self.faults = kept;
    }

    fn draw_fault(&self, what: What, random: &mut fastrand::Rng) -> Fault {
        let (least, most) = what.lasts();
        let length = random.i64(least..most);
        let mut from = self.moment(random);
        let mut place = random.usize(0..COUNT);
        let mut size = 0;
        match what {
            What::Stray | What::Outside => {
                from = self.outside(&mut place, random);
            }
            What::Ineligible => place = SPY,
            What::Correction => {
                place = if random.bool() { SPX } else { SPY };
                // The correction may come after the bell, for a bar from before the bell.
                size = random.i64(1..15) * MINUTE;
            }
            What::ClockOff | What::DateOff | What::StampsOff => {
                let off = [45, 60, 900, 3_600][random.usize(0..4)] * SECOND;
                size = if random.bool() { off } else { -off };
                let late = 60 * SECOND..=self.kind.delay();
                if what == What::StampsOff && late.contains(&size) {
                    // Timestamps that are too high would make a delayed source look like a source
                    // with less delay.
                    size = -size;
                }
            }
            // In this variant REST refuses the instrument, too, from the start of the world.
            What::NotAuthorized if random.bool() => (from, size) = (self.start, 1),
            What::RestStale => size = random.i64(20..600) * SECOND,
            What::Replay => size = random.i64(5..60) * SECOND,
            _ => {}
        }
        Fault {
            what,
            place,
            from,
            until: from + length,
            size,
        }
    }

    /// Draws a time in this world; times near the open and the closing bell come more often.
    fn moment(&self, random: &mut fastrand::Rng) -> Ms {
        let any = self.start + random.i64(30 * SECOND..DAY - HOUR);
        let day = local(any).0;
        let bell = if kept(day) == Kept::Half { 13 } else { 16 };
        let near = match random.u8(0..10) {
            0 => utc(day, 9 * HOUR + 30 * MINUTE),
            1..=2 => utc(day, bell * HOUR),
            3 => utc(day, bell * HOUR + 5 * MINUTE),
            4..=6 => utc(day, 10 * HOUR + random.i64(0..6 * HOUR)),
            _ => return any,
        };
        let near = near + random.i64(-90 * SECOND..30 * SECOND);
        if near > self.start + 30 * SECOND && near < self.end - HOUR {
            near
        } else {
            any
        }
    }

    /// Draws a time at which an instrument has no trading hours in any table, and chooses the
    /// instrument.
    fn outside(&self, place: &mut usize, random: &mut fastrand::Rng) -> Ms {
        let habits = Habits {
            closure: None,
            ..self.habits
        };
        loop {
            let at = self.start + random.i64(2 * MINUTE..DAY - HOUR);
            *place = [SPX, SPXW, NVDA, SPY, 1, 2][random.usize(0..6)];
            let day = local(at).0;
            let mut spans = spans(*place, day - 1..=day + 1, &habits).into_iter();
            let near = |from: Ms, to: Ms| from - 10 * MINUTE < at && at < to + 40 * MINUTE;
            let expired = *place == SPXW && day > self.habits.expiry;
            if !expired && !spans.any(|span| near(span.from, span.to)) {
                return at;
            }
        }
    }

    /// Ends the world this number of hours after its start, or at its old end if that is earlier.
    pub(crate) fn shorten(&mut self, hours: i64) {
        self.end = self.end.min(self.start + hours * HOUR);
        let end = self.end;
        self.faults.retain(|fault| fault.from < end);
    }

    /// Returns the tickers of the watchlist.
    pub(crate) fn tickers(&self) -> Vec<String> {
        let contract = |root: &str, day: i64, strike: i64| {
            let (year, month, day) = date(day);
            format!(
                "O:{root}{:02}{month:02}{day:02}C{:08}",
                year % 100,
                strike * 1000
            )
        };
        let far = self.day + 40;
        vec![
            "I:SPX".into(),
            "I:VIX".into(),
            "I:TICK".into(),
            "SPY".into(),
            contract("SPXW", self.habits.expiry, 6000),
            contract("NVDA", far, 190),
        ]
    }

    /// Describes the world in one line.
    pub(crate) fn told(&self) -> String {
        let (year, month, day) = date(self.day);
        let mut told = format!(
            "{:?} {year}-{month:02}-{day:02} from {} for {:.1} h, {:?}",
            self.sort,
            clock(self.start),
            (self.end - self.start) as f64 / HOUR as f64,
            self.kind,
        );
        for (said, text) in [
            (self.simulated, ", simulated at first"),
            (!self.sockets, ", by REST alone"),
            (!self.shares, ", shares by REST"),
            (self.habits.closure.is_some(), ", unscheduled closure"),
            (self.habits.expiry == self.day, ", SPXW expires"),
        ] {
            if said {
                told += text;
            }
        }
        told
    }
}

fn draw_start(random: &mut fastrand::Rng) -> Ms {
    match random.u8(0..8) {
        0 => 9 * HOUR + 29 * MINUTE + random.i64(0..2 * MINUTE),
        1 => 16 * HOUR + random.i64(-MINUTE..10 * MINUTE),
        2 => 13 * HOUR + random.i64(-MINUTE..HOUR),
        3 => 20 * HOUR + random.i64(0..3 * HOUR),
        4 => random.i64(0..9 * HOUR),
        // The world covers a whole day with its evening and its night.
        _ => 8 * HOUR + random.i64(0..HOUR),
    }
}

/// Formats the time of day in New York.
pub(crate) fn clock(at: Ms) -> String {
    let of_day = local(at).1;
    let (hours, rest) = (of_day / HOUR, of_day % HOUR);
    let (minutes, rest) = (rest / MINUTE, rest % MINUTE);
    format!("{hours:02}:{minutes:02}:{:06.3}", rest as f64 / 1000.0)
}

/// Returns true if a part of the day is in the known trading hours.
pub(crate) const fn is_known(part: Part) -> bool {
    !matches!(part, Part::Outside)
}

/// Returns true if the contract expires on this day or has expired.
pub(crate) const fn expires(place: usize, day: i64, habits: &Habits) -> bool {
    is_contract(place) && place == SPXW && day >= habits.expiry
}
