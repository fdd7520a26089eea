//! The true values of one instrument so far, each with its time. A price does not repeat within
//! some minutes, so that the digits on the display identify the value.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::hours::{MINUTE, Ms};
use super::plan::Part;

/// The indexes of the instruments in the watchlist.
pub(crate) const SPX: usize = 0;
pub(crate) const VIX: usize = 1;
pub(crate) const TICK: usize = 2;
pub(crate) const SPY: usize = 3;
pub(crate) const SPXW: usize = 4;
pub(crate) const NVDA: usize = 5;
pub(crate) const COUNT: usize = 6;
pub(crate) const NAMES: [&str; COUNT] = ["SPX", "VIX", "TICK", "SPY", "SPXW", "NVDA"];

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    /// A regular value of this part of the day.
    Told(Part),
    /// One value outside the known hours, from an unknown origin.
    Stray,
    /// A trade that does not set the last price.
    Ineligible,
    /// A simulated price.
    Simulated,
    /// A quote without a midpoint: the instrument has no price any more.
    NoPrice,
    /// A minute bar that is sent again with a different close.
    Correction,
}

/// One value with its time and its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    /// The time at which the value was true.
    pub(crate) at: Ms,
    pub(crate) sort: Sort,
    /// The price in 1/10 000.
    pub(crate) price: i64,
    /// The bid and the ask of a contract in 1/10 000; zeros for other instruments.
    pub(crate) book: [i64; 2],
}

impl Value {
    /// Returns the price as the display rounds it: two decimals, or four decimals below 1.
    pub(crate) const fn shown(&self) -> i64 {
        shown(self.price)
    }

    /// Returns true if the display may show this value.
    pub(crate) const fn is_price(&self) -> bool {
        matches!(self.sort, Sort::Told(_) | Sort::Simulated)
    }
}

/// Rounds a price in 1/10 000 as the display does.
pub(crate) const fn shown(scaled: i64) -> i64 {
    let size = scaled.abs();
    let rounded = if size >= 10_000 {
        (size + 50) / 100 * 100
    } else {
        size
    };
    if scaled < 0 { -rounded } else { rounded }
}

/// A fast hash for integers.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are kept");
    }
    fn write_i64(&mut self, number: i64) {
        self.0 = (number as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29);
    }
}

/// The values of one session, which may still be open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// The last value of its regular hours or computed after them.
    pub(crate) last: Option<u32>,
    /// The official closing price.
    pub(crate) official: Option<u32>,
    pub(crate) day: i64,
    /// The first value of the session in any part of the day.
    pub(crate) first: Option<u32>,
    /// The lowest and the highest price in 1/10 000.
    pub(crate) range: Option<(i64, i64)>,
}

impl Session {
    /// Returns the closing price: the official one, or else the last value.
    pub(crate) const fn close(&self) -> Option<u32> {
        match self.official {
            Some(official) => Some(official),
            None => self.last,
        }
    }
}

/// The list of all values of one instrument, in the order of their creation.
pub(crate) struct Tape {
    pub(crate) values: Vec<Value>,
    newest: HashMap<i64, u32, BuildHasherDefault<Mix>>,
    /// For each value, the previous value with the same digits on the display.
    twins: Vec<Option<u32>>,
    /// The last session that has begun.
    pub(crate) session: Session,
    pub(crate) before: Session,
    /// The last value that REST would return.
    pub(crate) last: Option<u32>,
    place: usize,
    /// The current price of the random walk in 1/100; for a contract, the midpoint.
    price: i64,
    random: fastrand::Rng,
}

/// The first price in 1/100, and the greatest step of the random walk.
const START: [(i64, i64); COUNT] = [
    (600_000, 60),
    (1_600, 12),
    (0, 40_000),
    (60_000, 14),
    (1_200, 25),
    (1_250, 9),
];

impl Tape {
    pub(crate) fn new(place: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ (place as u64 + 1) << 40);
        let (start, _) = START[place];
        Self {
            values: Vec::with_capacity(16 * 1024),
            newest: HashMap::default(),
            twins: Vec::with_capacity(16 * 1024),
            session: Session::default(),
            before: Session::default(),
            last: None,
            place,
            price: start + random.i64(0..=(start / 50)),
            random,
        }
    }

    /// Returns the newest value with these digits on the display.
    pub(crate) fn find(&self, shown: i64) -> Option<u32> {
        self.newest.get(&shown).copied()
    }

    /// Returns the newest value with these digits that was true at or before the time `by`.
    pub(crate) fn find_by(&self, shown: i64, by: Ms) -> Option<u32> {
        let mut found = self.find(shown)?;
        while self.get(found).at > by {
            found = self.twins[found as usize]?;
        }
        Some(found)
    }

    /// Returns the same for a closing price: it prefers a value from inside the known hours.
    pub(crate) fn find_close(&self, shown: i64, by: Ms) -> Option<u32> {
        let newest = self.find_by(shown, by)?;
        let mut found = newest;
        while self.get(found).sort == Sort::Told(Part::Outside) {
            match self.twins[found as usize] {
                Some(twin) => found = twin,
                None => return Some(newest),
            }
        }
        Some(found)
    }

    pub(crate) fn get(&self, index: u32) -> &Value {
        &self.values[index as usize]
    }

    /// Adds a value and returns its index.
    pub(crate) fn add(&mut self, value: Value) -> u32 {
        let index = self.values.len() as u32;
        self.values.push(value);
        self.twins.push(self.find(value.shown()));
        if value.sort != Sort::NoPrice {
            // A value that the display must not show never hides an older one that the display may
            // show.
            let hidden = !value.is_price() && self.find(value.shown()).is_some();
            if !hidden {
                self.newest.insert(value.shown(), index);
            }
        }
        index
    }

    /// Adds the next value for a part of the day `day`, and returns its index.
    pub(crate) fn tell(&mut self, at: Ms, part: Part, day: i64, worthless: bool) -> u32 {
        let (price, book) = match self.place {
            SPXW | NVDA => self.book(at, worthless),
            _ => (self.walk(at, 100), [0; 2]),
        };
        let sort = match price {
            Some(_) => Sort::Told(part),
            None => Sort::NoPrice,
        };
        let price = price.unwrap_or(0);
        let index = self.add(Value {
            at,
            sort,
            price,
            book,
        });
        self.note(index, part, day);
        index
    }

    /// Updates the sessions with a new value.
    pub(crate) fn note(&mut self, index: u32, part: Part, day: i64) {
        let value = self.values[index as usize];
        if value.sort == Sort::NoPrice {
            return;
        }
        if part != Part::Outside && day != self.session.day {
            self.before = self.session;
            self.session = Session {
                day,
                first: Some(index),
                ..Session::default()
            };
        }
        self.last = Some(index);
        let regular = matches!(part, Part::Regular | Part::After | Part::Close);
        if regular {
            self.session.last = Some(index);
            let (low, high) = self.session.range.unwrap_or((value.price, value.price));
            self.session.range = Some((low.min(value.price), high.max(value.price)));
        }
        if part == Part::Close {
            self.session.official = Some(index);
        }
    }

    /// Adds a simulated value, from a price range of its own.
    pub(crate) fn simulate(&mut self, at: Ms) -> u32 {
        let (start, step) = START[self.place];
        let apart = match self.place {
            TICK => 1_200_000,
            SPX => -150_000,
            _ => start,
        };
        let tick = if self.place == SPXW { 10 } else { 1 };
        let mut hundredths = start + apart + self.random.i64(-20 * step..=20 * step);
        hundredths -= hundredths % tick;
        let price = loop {
            let fresh = self.find(hundredths * 100);
            if fresh.is_none_or(|found| at - self.get(found).at > 2 * MINUTE) {
                break hundredths * 100;
            }
            hundredths += tick;
        };
        let book = [price - 500, price + 500];
        self.add(Value {
            at,
            sort: Sort::Simulated,
            price,
            book,
        })
    }

    /// Adds a value that the display must not show, far from all other prices and outside the day's
    /// range.
    pub(crate) fn odd(&mut self, at: Ms, sort: Sort) -> u32 {
        let (start, _) = START[self.place];
        let price = match self.place {
            TICK => 333_300,
            SPX => start / 5,
            _ => start * 2,
        };
        let price = 100 * (price + self.random.i64(0..100) + 7);
        let book = [price - 100, price + 100];
        self.add(Value {
            at,
            sort,
            price,
            book,
        })
    }

    fn walk(&mut self, at: Ms, unit: i64) -> Option<i64> {
        let (start, step) = START[self.place];
        self.price += match self.place {
            TICK => self.random.i64(-step..=step) / 100 * 100,
            _ => self.random.i64(-step..=step),
        };
        let bound = if self.place == TICK {
            120_000
        } else {
            start / 25
        };
        if (self.price - start).abs() > bound {
            self.price -= (self.price - start) / 2 / 100 * 100;
        }
        let gap = if self.place == TICK { 100 } else { 1 };
        loop {
            // A breadth index at zero would need special treatment in the judge, and would test
            // nothing new.
            let found = self.find(self.price * unit);
            let fresh = found.is_none_or(|found| at - self.get(found).at > 20 * MINUTE);
            if fresh && self.price != 0 {
                return Some(self.price * unit);
            }
            self.price += gap;
        }
    }

    /// Makes the next quote. Returns its midpoint, if there is one, and its bid and ask.
    fn book(&mut self, at: Ms, worthless: bool) -> (Option<i64>, [i64; 2]) {
        if worthless {
            let book = if self.random.u8(0..3) == 0 {
                [500, 1_000]
            } else {
                [0, 500]
            };
            return (Some((book[0] + book[1]) / 2), book);
        }
        let start = START[self.place].0;
        let (tick, step) = if self.place == SPXW { (10, 12) } else { (2, 9) };
        self.price += tick / 2 * self.random.i64(-step..=step);
        if (self.price - start).abs() > start / 2 {
            self.price -= (self.price - start) / 2;
        }
        self.price -= self.price % (tick / 2).max(1);
        loop {
            let found = self.find(shown(self.price * 100));
            if found.is_none_or(|found| at - self.get(found).at > 3 * MINUTE) {
                break;
            }
            self.price += (tick / 2).max(1);
        }
        let mid = self.price * 100;
        let half = tick / 2 * 100;
        match self.random.u16(0..400) {
            0 => (None, [mid - half, 0]),
            1 => (None, [mid + half, mid - half]),
            2 => (None, [100, 5_000_000]),
            _ => (Some(mid), [mid - half, mid + half]),
        }
    }
}
