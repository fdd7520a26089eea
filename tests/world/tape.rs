//! What the exchanges have said of one instrument so far: each value with the time when it was
//! true. Prices are chosen so that none comes twice within minutes: the digits on the glass tell
//! which value it is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::hours::{MINUTE, Ms};
use super::plan::Part;

/// The instruments by their place on the watchlist.
pub(crate) const SPX: usize = 0;
pub(crate) const VIX: usize = 1;
pub(crate) const TICK: usize = 2;
pub(crate) const SPY: usize = 3;
pub(crate) const SPXW: usize = 4;
pub(crate) const NVDA: usize = 5;
pub(crate) const COUNT: usize = 6;
pub(crate) const NAMES: [&str; COUNT] = ["SPX", "VIX", "TICK", "SPY", "SPXW", "NVDA"];

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    /// Of a session, or computed after its bell.
    Told(Part),
    /// One print in the night, of which nobody knows where it comes from.
    Stray,
    /// A trade that may not set the last price.
    Ineligible,
    /// Of a simulation.
    Simulated,
    /// A book that has no middle: it takes the price away.
    NoPrice,
    /// A bar sent again with another close.
    Correction,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    /// When it was true.
    pub(crate) at: Ms,
    pub(crate) sort: Sort,
    /// In 1/10 000.
    pub(crate) price: i64,
    /// Of a contract.
    pub(crate) book: [i64; 2],
}

impl Value {
    /// As the glass writes it: two decimals, below 1 up to four.
    pub(crate) const fn shown(&self) -> i64 {
        shown(self.price)
    }

    /// Whether it is a value of this instrument that may be shown.
    pub(crate) const fn is_price(&self) -> bool {
        matches!(self.sort, Sort::Told(_) | Sort::Simulated)
    }
}

/// A price as the glass rounds it.
pub(crate) const fn shown(scaled: i64) -> i64 {
    let size = scaled.abs();
    let rounded = if size >= 10_000 {
        (size + 50) / 100 * 100
    } else {
        size
    };
    if scaled < 0 { -rounded } else { rounded }
}

/// A hash for whole numbers.
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

/// A session that is over, or on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// The last value of its regular hours, or computed after them.
    pub(crate) last: Option<u32>,
    /// The close that was published.
    pub(crate) official: Option<u32>,
    pub(crate) day: i64,
    /// Its first value, of whatever part.
    pub(crate) first: Option<u32>,
    /// The lowest and the highest price.
    pub(crate) range: Option<(i64, i64)>,
}

impl Session {
    /// The value that is its close, as far as it is known.
    pub(crate) const fn close(&self) -> Option<u32> {
        match self.official {
            Some(official) => Some(official),
            None => self.last,
        }
    }
}

/// See the module.
pub(crate) struct Tape {
    pub(crate) values: Vec<Value>,
    newest: HashMap<i64, u32, BuildHasherDefault<Mix>>,
    /// Of each value the one before it that looks the same.
    twins: Vec<Option<u32>>,
    /// The session that is on or was the last, and the one before.
    pub(crate) session: Session,
    pub(crate) before: Session,
    /// The last value that REST would tell.
    pub(crate) last: Option<u32>,
    place: usize,
    /// The price in hundredths, or the middle in hundredths of what a tick is.
    price: i64,
    random: fastrand::Rng,
}

/// A price to begin with, in 1/100, and how far it goes at a time.
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

    /// The newest value that looks like this on the glass.
    pub(crate) fn find(&self, shown: i64) -> Option<u32> {
        self.newest.get(&shown).copied()
    }

    /// The newest that was true by then.
    pub(crate) fn find_by(&self, shown: i64, by: Ms) -> Option<u32> {
        let mut found = self.find(shown)?;
        while self.get(found).at > by {
            found = self.twins[found as usize]?;
        }
        Some(found)
    }

    /// The same for what is called a close: none of outside the hours, if there is another.
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

    /// Adds a value as it is.
    pub(crate) fn add(&mut self, value: Value) -> u32 {
        let index = self.values.len() as u32;
        self.values.push(value);
        self.twins.push(self.find(value.shown()));
        if value.sort != Sort::NoPrice {
            // What may not be shown never hides what may.
            let hidden = !value.is_price() && self.find(value.shown()).is_some();
            if !hidden {
                self.newest.insert(value.shown(), index);
            }
        }
        index
    }

    /// The next value of a part of the day `day`.
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

    /// Keeps the account of the sessions.
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

    /// A value of a simulation: of a range of its own.
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

    /// A price apart from all others that may not be shown, and is none of the day's range.
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
            // An index of breadth at zero would be one value more to explain, and no other case.
            let found = self.find(self.price * unit);
            let fresh = found.is_none_or(|found| at - self.get(found).at > 20 * MINUTE);
            if fresh && self.price != 0 {
                return Some(self.price * unit);
            }
            self.price += gap;
        }
    }

    /// A book, and its middle if it has one.
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
