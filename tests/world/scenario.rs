//! What a world is made of: a day, a server, a display and its faults. All of it is drawn from a
//! seed, and all of it can be taken away piece by piece.

use super::display::Layout;
use super::faults::{Fault, What};
use super::hours::{DAY, HOUR, Kept, MINUTE, Ms, SECOND, Sort, date, kept, local, utc};
use super::plan::{Habits, Part, is_contract, spans};
use super::tape::{COUNT, NVDA, SPX, SPXW, SPY};

/// Who serves the display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Ours: greets, repeats its last value with its age, says when its source is lost.
    Hub,
    /// Ours, behind a source that is 15 minutes late.
    LateHub,
    /// The proxy that users already run: says nothing of itself.
    Proxy,
    Vendor,
    /// The vendor's endpoint that serves everything 15 minutes late.
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

    /// How late its source is.
    pub(crate) const fn delay(self) -> Ms {
        match self {
            Self::LateHub | Self::LateVendor => 15 * MINUTE,
            _ => 0,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) sort: Sort,
    /// The day in New York on which the display starts.
    pub(crate) day: i64,
    pub(crate) start: Ms,
    pub(crate) end: Ms,
    pub(crate) kind: Kind,
    /// What serves until [`What::Replaced`] is a simulation.
    pub(crate) simulated: bool,
    /// There are sockets at all; else REST is all there is.
    pub(crate) sockets: bool,
    /// The shares are streamed.
    pub(crate) shares: bool,
    pub(crate) layout: Layout,
    pub(crate) habits: Habits,
    /// The contract that expires becomes worthless in its last hour.
    pub(crate) worthless: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Scenario {
    /// The `nth` world of a seed.
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
        // One day in four has none.
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

    /// Two of the three witnesses are never wrong by the same: nobody could tell that they are. What REST
    /// said last counts until it is asked again.
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
                // Also behind the bell, of a bar before it.
                size = random.i64(1..15) * MINUTE;
            }
            What::ClockOff | What::DateOff | What::StampsOff => {
                let off = [45, 60, 900, 3_600][random.usize(0..4)] * SECOND;
                size = if random.bool() { off } else { -off };
                let late = 60 * SECOND..=self.kind.delay();
                if what == What::StampsOff && late.contains(&size) {
                    // With the stamps of now late values are those of a source that is less late.
                    size = -size;
                }
            }
            // Not in the plan at all, also by REST, from the first on.
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

    /// A moment of this world, with a liking for bells.
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

    /// A moment at which an instrument is not traded by any table.
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

    /// Lets it end after so many hours.
    pub(crate) fn shorten(&mut self, hours: i64) {
        self.end = self.end.min(self.start + hours * HOUR);
        let end = self.end;
        self.faults.retain(|fault| fault.from < end);
    }

    /// The tickers of the watchlist.
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

    /// For a story.
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
        // The whole day, its evening and its night.
        _ => 8 * HOUR + random.i64(0..HOUR),
    }
}

/// The time of day in New York.
pub(crate) fn clock(at: Ms) -> String {
    let of_day = local(at).1;
    let (hours, rest) = (of_day / HOUR, of_day % HOUR);
    let (minutes, rest) = (rest / MINUTE, rest % MINUTE);
    format!("{hours:02}:{minutes:02}:{:06.3}", rest as f64 / 1000.0)
}

/// Whether a part counts to the hours that the table knows.
pub(crate) const fn is_known(part: Part) -> bool {
    !matches!(part, Part::Outside)
}

/// What a contract's words are.
pub(crate) const fn expires(place: usize, day: i64, habits: &Habits) -> bool {
    is_contract(place) && place == SPXW && day >= habits.expiry
}
