//! Says what may be on the glass and what must be, by the words of the issue and by the truth
//! alone. It has no idea how the program decides.
//!
//! What nobody can know is judged so:
//! - While no two witnesses of the time are right, a streamed value may be plain for its limit
//!   from when it came, with the age that a hub has said added; what was not streamed may not.
//! - While the own clock is wrong, the `Date` of an answer is the next best: it has whole seconds
//!   and was written before it came, so an age may be short by [`DATE`].
//! - After a change of the stamps' own clock, or without stamps, two values may be needed to see that
//!   the channel has gone on; until then the one before may stand.
//! - Stamps that are behind the time look like values that are late: they may be struck, and the last
//!   one before them may stand for its limit.
//! - A share's close is that of its regular hours; after 20:00 the last price of the day is one
//!   too.

use super::hours::{MINUTE, Ms, SECOND};
use super::plan::{Part, is_contract, limit};
use super::reader::{Figure, Page, Sight, Word};
use super::tape::{COUNT, SPX, SPY, Sort, TICK, Tape, Value};

/// By how much an age may be short that goes by the server's `Date`.
const DATE: Ms = 1_300;

/// After the bell REST is asked at least so often.
const ASKED: Ms = 65 * SECOND;

/// No value is on the glass sooner than this after it was true.
const SOONEST: Ms = 10;

/// A promise that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A number, or a name without one, that cannot be read.
    Readable,
    /// A number that nobody has ever said.
    WrongDigits,
    /// A simulated number without DEMO, or after the real source was heard.
    Simulated,
    /// DEMO on real numbers.
    DemoStays,
    /// A number that may not be shown at all.
    Ineligible,
    /// Plain, although a newer one had come.
    Superseded,
    /// Plain beyond its limit.
    Beyond,
    /// CLOSED on what is not the close.
    FalseClose,
    /// Struck, dashes or CLOSED although a fresh one is there.
    Hidden,
    /// Not called a close although everything has been said.
    NotClosed,
    /// Another change than that of these two numbers.
    Change,
    /// Another time of day.
    Time,
    /// What stands beside a struck price is plain.
    Beside,
}

impl Rule {
    pub(crate) const ALL: [Self; 13] = [
        Self::Readable,
        Self::WrongDigits,
        Self::Simulated,
        Self::DemoStays,
        Self::Ineligible,
        Self::Superseded,
        Self::Beyond,
        Self::FalseClose,
        Self::Hidden,
        Self::NotClosed,
        Self::Change,
        Self::Time,
        Self::Beside,
    ];
}

/// What the world says of a moment, beside the tapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Ms,
    /// Two witnesses of the time are right, and have been for a while.
    pub(crate) timed: bool,
    /// The own clock is one of them.
    pub(crate) own: bool,
    /// It has been for long enough to be noticed.
    pub(crate) sure: bool,
    /// The stamps have just changed their clock, or are missing: two values may be needed to see it.
    pub(crate) disordered: bool,
    /// All stamps are behind the time: nobody can tell that from values that are late.
    pub(crate) unordered: bool,
    /// Since when faults without a minute's pause have kept words from the display.
    pub(crate) unreachable_since: Option<Ms>,
    /// How far the stamps are ahead.
    pub(crate) ahead: Ms,
    /// Stamps are wrong, or were so shortly ago that REST was not asked since.
    pub(crate) misstamped: bool,
    /// Values come without a stamp, or came so a while ago.
    pub(crate) last_unstamped: bool,
    /// How late the source is.
    pub(crate) delay: Ms,
    /// Until when nothing can be on its way: a fault is on, or has just been.
    pub(crate) late: Ms,
    /// The real source has been heard by REST or stream since, of each instrument.
    pub(crate) real: [Option<Ms>; COUNT],
    /// The link is broken since.
    pub(crate) broken: Option<Ms>,
}

/// What is demanded of one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// Fresh values come without a fault: then they are seen.
    pub(crate) live: bool,
    /// What was true before this may have been lost on the way.
    pub(crate) since: Ms,
    /// The close is known to whoever asked.
    pub(crate) closed: bool,
    /// How long a value may be on its way.
    pub(crate) way: Ms,
}

/// What came to the display of one instrument.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The newest streamed, and the one that was it before.
    newest: Option<u32>,
    previous: [Option<u32>; 2],
    /// The newest that REST told.
    fetched: Option<u32>,
    /// The latest receipts: which, when, how old it was said to be by then, and whether its stamp was right.
    receipts: [(u32, Ms, Ms, bool); 32],
    at: usize,
    /// How many must come before it is plain that the stamps are right again.
    unsure: u32,
    /// How many have come on this connection.
    connected: u32,
    /// The value that was the last of a minute's bar, and the end of that.
    bar: Option<(u32, Ms)>,
    /// How many of the night have come in a row.
    pub(crate) outside: u32,
}

impl Known {
    /// A value has come by the stream.
    pub(crate) fn streamed(&mut self, tape: &Tape, index: u32, now: Ms, age: Ms, stamped: bool) {
        self.receipts[self.at % 32] = (index, now, age, stamped);
        self.at += 1;
        self.unsure = if stamped {
            self.unsure.saturating_sub(1)
        } else {
            2
        };
        self.connected += 1;
        let value = tape.get(index);
        let newer = self
            .newest
            .is_none_or(|known| tape.get(known).at < value.at);
        if newer
            && !matches!(
                value.sort,
                Sort::Stray | Sort::Ineligible | Sort::Correction
            )
        {
            self.previous = [self.newest, self.previous[0]];
            self.newest = Some(index);
            self.outside = match value.sort {
                Sort::Told(Part::Outside) => self.outside + 1,
                Sort::NoPrice => self.outside,
                _ => 0,
            };
        }
    }

    /// A minute's bar has come; one with an older stamp replaces none, unless that was ahead of the time.
    pub(crate) fn barred(&mut self, index: u32, end: Ms, now: Ms) {
        if self.bar.is_none_or(|(_, known)| known < end || known > now) {
            self.bar = Some((index, end));
        }
    }

    pub(crate) fn told(&mut self, index: u32) {
        self.fetched = Some(index);
    }

    /// Everything is forgotten: another world has begun.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Another connection carries it.
    pub(crate) fn connected(&mut self) {
        self.connected = 0;
    }

    fn received(&self, index: u32) -> Option<(Ms, Ms)> {
        let found = self
            .receipts
            .iter()
            .filter(|(of, at, ..)| *of == index && *at > 0);
        found.map(|(_, at, age, _)| (*at, *age)).min()
    }

    /// When a value came last with a stamp that was wrong: nobody can tell its age but by that.
    fn misstamped(&self, index: u32) -> Option<Ms> {
        let found = self
            .receipts
            .iter()
            .filter(|(of, at, _, stamped)| *of == index && *at > 0 && !stamped);
        found.map(|(_, at, age, _)| *at - *age).max()
    }
}

/// A broken promise, in words.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) place: usize,
    pub(crate) at: Ms,
    pub(crate) glass: String,
    pub(crate) truth: String,
}

impl Broken {
    /// For a story.
    pub(crate) fn told(&self) -> String {
        format!(
            "{} {:?}: {} shows {}: {}",
            super::scenario::clock(self.at),
            self.rule,
            super::tape::NAMES[self.place],
            self.glass,
            self.truth
        )
    }
}

/// What stands on the glass as if it were new, and until when it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) place: usize,
    pub(crate) until: Ms,
}

/// See the module.
pub(crate) struct Judge<'a> {
    pub(crate) tapes: &'a [Tape; COUNT],
    pub(crate) known: &'a [Known; COUNT],
    pub(crate) moment: Moment,
    pub(crate) demands: [Demand; COUNT],
    /// How long a value of before or after the regular hours may stand for sure.
    pub(crate) quiet: [Ms; COUNT],
    /// The session of each has been on for more than a minute.
    pub(crate) on: [bool; COUNT],
    /// No session of any kind is on.
    pub(crate) over: [bool; COUNT],
    /// Since when the source of each is silent or late, if that began just before its bell.
    pub(crate) hushed: [Option<Ms>; COUNT],
    /// Nobody can tell which value was the close.
    pub(crate) unclosed: [bool; COUNT],
}

impl Judge<'_> {
    /// Looks at one instrument; the first promise that is broken. Until when what is plain may
    /// stand is told to `standing`.
    pub(crate) fn look(
        &self,
        page: &Page,
        sight: &Sight,
        standing: &mut Option<Standing>,
    ) -> Option<(Rule, String)> {
        let place = sight.place?;
        let now = self.moment.now;
        let Figure::Number { scaled, struck } = sight.figure else {
            if sight.figure == Figure::Nothing {
                return Some((Rule::Readable, "a name and no number".into()));
            }
            return self.missing(place, sight);
        };
        let tape = &self.tapes[place];
        let by = self.moment.now - self.moment.delay - SOONEST;
        let closed = sight.words.has(Word::Closed) || sight.words.has(Word::Expired);
        let found = match closed {
            true => tape.find_close(scaled, by),
            false => tape.find_by(scaled, by),
        };
        let Some(index) = found else {
            return Some((Rule::WrongDigits, "nobody has said that".into()));
        };
        let value = tape.get(index);
        let told = |text: &str| Some(format!("{text}; it is {}", self.of(place, value)));
        match value.sort {
            // Without the time of day nobody knows what is outside the hours.
            Sort::Stray if !self.moment.timed || struck && !self.moment.sure => return None,
            Sort::Ineligible | Sort::Stray | Sort::Correction => {
                return Some((Rule::Ineligible, told("not to be shown")?));
            }
            Sort::Simulated => {
                if !page.demo {
                    return Some((Rule::Simulated, told("simulated, and no DEMO")?));
                }
                if self.moment.real[place].is_some_and(|since| now > since) {
                    return Some((Rule::Simulated, told("the real source has been heard")?));
                }
                return None;
            }
            Sort::NoPrice => {}
            Sort::Told(_) => {
                let alone = |sight: &Sight| !self.is_simulated(sight);
                let all = alone(&page.first) && page.second.as_ref().is_none_or(alone);
                let long = self.moment.real.iter().flatten().min().copied();
                if page.demo && all && long.is_some_and(|since| now > since + 2 * SECOND) {
                    return Some((Rule::DemoStays, told("real")?));
                }
            }
        }
        if !struck && !closed {
            return self.plain(place, sight, index, standing);
        }
        if closed && !struck && !self.may_be_close(place, index) {
            return Some((Rule::FalseClose, told("CLOSED")?));
        }
        let fresh = self.fresh(place);
        // At the bell the last one becomes the close, however young it is.
        if let Some(fresh) = fresh
            && (struck || tape.get(fresh).shown() != scaled)
        {
            let told = self.of(place, tape.get(fresh));
            return Some((Rule::Hidden, format!("fresh is {told}")));
        }
        if !closed && self.demands[place].closed {
            return Some((Rule::NotClosed, told("the close is known")?));
        }
        let long = self.moment.now - value.at > limit(place, Part::Regular);
        if struck && long && page.book.is_some() && !sight.words.has(Word::Expired) {
            let plain = |side: &Figure| matches!(side, Figure::Number { struck: false, .. });
            if page.book.iter().flatten().any(plain) {
                return Some((Rule::Beside, told("bid and ask are plain")?));
            }
        }
        None
    }

    /// A number that looks new.
    fn plain(
        &self,
        place: usize,
        sight: &Sight,
        index: u32,
        standing: &mut Option<Standing>,
    ) -> Option<(Rule, String)> {
        let Moment { now, .. } = self.moment;
        let (tape, known) = (&self.tapes[place], &self.known[place]);
        let value = tape.get(index);
        let Sort::Told(part) = value.sort else {
            return None;
        };
        let delayed = sight.words.has(Word::Delayed);
        // After a break one value proves nothing in the half hour in which the close is made.
        let after = |newest: u32| {
            let sort = tape.get(newest).sort;
            matches!(sort, Sort::Told(Part::After | Part::Close)) && known.connected < 3
        };
        let newest = match self.moment {
            Moment {
                unordered: true, ..
            } => None,
            _ if self.moment.disordered || known.unsure > 0 => known.previous[1],
            _ if known.newest.is_some_and(after) => known.previous[0],
            Moment { timed: false, .. } => known.previous[0],
            _ => known.newest,
        };
        if let Some(newer) = newest.map(|newest| tape.get(newest))
            && newer.at > value.at
        {
            let told = format!(
                "{} had come; shown is {}",
                self.of(place, newer),
                self.of(place, value)
            );
            return Some((Rule::Superseded, told));
        }
        if part == Part::Outside && known.outside < 2 && known.fetched != Some(index) {
            return Some((
                Rule::Ineligible,
                "one print of the night proves nothing".into(),
            ));
        }
        let short = if self.moment.own { 0 } else { DATE };
        let lateness = if delayed { 17 * MINUTE } else { 0 };
        // The last of a minute's bar is as good as the bar: 75 s from its end.
        let bar = known
            .bar
            .filter(|(of, _)| *of == index)
            .map(|(_, end)| end + 75 * SECOND + lateness + short);
        let allowed = limit(place, part) + lateness;
        let until = match (self.moment.timed, known.received(index)) {
            // Without a stamp that tells something its receipt is all that is known.
            (true, Some((arrival, age))) if self.moment.last_unstamped => arrival - age + allowed,
            // What was not streamed is as old as its stamp says.
            (true, Some((arrival, age))) if self.moment.ahead > 0 => {
                (arrival - age).max(value.at + short + self.moment.ahead) + allowed
            }
            (true, None) => value.at + allowed + short + self.moment.ahead,
            (true, _) => value.at + allowed + short,
            (false, Some((arrival, age))) => arrival - age + allowed,
            // By REST alone, and nobody knows what time it is.
            (false, None) => value.at,
        };
        let misstamped = known.misstamped(index).map(|arrival| arrival + allowed);
        let until = until.max(bar.or(misstamped).unwrap_or(Ms::MIN));
        if now > until {
            let told = format!("{} ms beyond; {}", now - until, self.of(place, value));
            return Some((Rule::Beyond, told));
        }
        *standing = Some(Standing { place, until });
        if self.moment.delay > 0 && self.demands[place].live && !delayed {
            return Some((
                Rule::Beyond,
                format!("no DELAYED; {}", self.of(place, value)),
            ));
        }
        if delayed && self.moment.delay == 0 && self.demands[place].live {
            return Some((Rule::Hidden, format!("DELAYED; {}", self.of(place, value))));
        }
        None
    }

    /// No number where one belongs.
    fn missing(&self, place: usize, sight: &Sight) -> Option<(Rule, String)> {
        if sight.words.has(Word::NoAccess) {
            return None;
        }
        if let Some(fresh) = self.fresh(place) {
            let told = self.of(place, self.tapes[place].get(fresh));
            return Some((Rule::Hidden, format!("fresh is {told}")));
        }
        let tape = &self.tapes[place];
        // A last book without a middle leaves no close that anybody could tell.
        let by = self.moment.now - self.moment.delay;
        let mut told = tape.values.iter().rev().filter(|value| value.at <= by);
        let last = told.find(|value| matches!(value.sort, Sort::Told(_) | Sort::NoPrice));
        let priced = last.is_some_and(|last| last.sort != Sort::NoPrice);
        let known = self.demands[place].closed && tape.session.close().is_some() && priced;
        known.then(|| (Rule::NotClosed, "the close is known".into()))
    }

    fn is_simulated(&self, sight: &Sight) -> bool {
        let (Some(place), Figure::Number { scaled, .. }) = (sight.place, sight.figure) else {
            return false;
        };
        let tape = &self.tapes[place];
        let found = tape.find_by(scaled, self.moment.now - self.moment.delay - SOONEST);
        found.is_some_and(|index| tape.get(index).sort == Sort::Simulated)
    }

    /// The value that must be seen now, if there is one.
    fn fresh(&self, place: usize) -> Option<u32> {
        let Demand {
            live, since, way, ..
        } = self.demands[place];
        if !live {
            return None;
        }
        let (tape, now) = (&self.tapes[place], self.moment.now - self.moment.delay);
        let values = tape.values.iter().enumerate().rev();
        let mut told =
            values.filter(|(_, value)| matches!(value.sort, Sort::Told(_) | Sort::NoPrice));
        let (index, value, part) = loop {
            let (index, value) = told.next()?;
            let Sort::Told(part) = value.sort else {
                // The book has no middle, or had none a moment ago.
                return None;
            };
            if value.at <= now - way {
                break (index, value, part);
            }
        };
        if value.at + self.moment.delay < since {
            return None;
        }
        if part == Part::Outside && self.known[place].outside < 3 {
            return None;
        }
        // One value of after the bell proves nothing before REST has told it.
        if part == Part::Close && place == SPX && now - value.at < ASKED {
            return None;
        }
        if part == Part::Post && self.over[place] {
            return None;
        }
        // In the regular hours a price of before them has no more time than any.
        let most = match part {
            Part::Pre | Part::Post => limit(place, part).min(self.quiet[place]),
            _ => limit(place, part),
        };
        (now - value.at < most).then_some(index as u32)
    }

    /// Whether a value may be called the close now.
    fn may_be_close(&self, place: usize, index: u32) -> bool {
        let (tape, known) = (&self.tapes[place], &self.known[place]);
        let value = tape.get(index);
        let now = self.moment.now - self.moment.delay;
        let way = 2 * SECOND + self.moment.late;
        let same = |other: Option<u32>| {
            other.is_some_and(|other| tape.get(other).shown() == value.shown())
        };
        // What is stamped ahead and was not streamed has no age.
        let fetched = known.fetched.filter(|_| !self.moment.misstamped);
        // What REST tells while the stream is young counts when REST is asked again.
        let fetched = fetched.filter(|fetched| {
            let after = tape.get(*fetched).sort == Sort::Told(Part::After);
            !after || tape.get(*fetched).at < now - ASKED
        });
        // What has come since is no price of the night, and makes this one old.
        let come = [known.newest, fetched].into_iter().flatten();
        let mut come = come.map(|come| tape.get(come));
        let newer = come.any(|come| match come.sort {
            Sort::Told(Part::Outside) => false,
            Sort::NoPrice if known.outside > 0 => false,
            // One print alone may not be believed before REST has told it, too.
            Sort::Told(Part::Close) => {
                let unheard = self.moment.misstamped || self.moment.unreachable_since.is_some();
                come.at > value.at && come.at < now - ASKED && !unheard
            }
            _ => come.at > value.at,
        });
        // Until a minute after its first value the session before is the last that has a close.
        let first = tape
            .session
            .first
            .map_or(Ms::MIN, |first| tape.get(first).at);
        // What is late is allowed two minutes more than it is.
        let grace = match self.moment.delay {
            0 => MINUTE,
            _ => 3 * MINUTE,
        };
        // Nor has it come to who could not hear.
        let unreachable = self.moment.unreachable_since;
        let unreachable =
            unreachable.is_some_and(|since| since < first + self.moment.delay + grace);
        let grace = unreachable || now - first < grace + self.moment.late;
        let of_this = known.newest.into_iter().chain(fetched);
        let begun = of_this
            .map(|come| tape.get(come))
            .any(|come| come.at >= first && come.sort != Sort::Told(Part::Outside));
        let unclear = self.moment.unordered || self.moment.last_unstamped;
        if unclear || self.unclosed[place] {
            return true;
        }
        if grace && !begun {
            let told = |value: &&Value| {
                value.at < first && matches!(value.sort, Sort::Told(part) if part != Part::Outside)
            };
            let last = tape.values.iter().rev().find(told);
            if same(tape.before.close()) || last.is_some_and(|last| last.shown() == value.shown()) {
                return true;
            }
        }
        if same(tape.session.official) {
            return true;
        }
        if newer {
            return false;
        }
        // On a link that lives nobody hears that the source has fallen silent just before the bell.
        let by = self.hushed[place].map_or(now - way, |since| since.min(now - way));
        let told = |value: &&Value| {
            value.at <= by && matches!(value.sort, Sort::Told(part) if part != Part::Outside)
        };
        let last = tape.values.iter().rev().find(told);
        if last.is_some_and(|last| last.shown() == value.shown() || last.at <= value.at) {
            // Of the session that is on it is none.
            return !self.on[place] || place == SPY;
        }
        // A session has begun within the last minute, and nothing of it has come.
        let since = now - 62 * SECOND - self.moment.late;
        let after = tape.values[index as usize + 1..].iter();
        let mut after =
            after.filter(|value| matches!(value.sort, Sort::Told(part) if part != Part::Outside));
        if !self.on[place] && after.next().is_some_and(|next| next.at > since) {
            return true;
        }
        tape.session.official.is_some_and(|official| {
            // It was published a moment ago, or while the link was broken or the stamps were wrong.
            let broken = self.moment.broken;
            let broken = broken.is_some_and(|since| self.moment.now - since < 45 * SECOND);
            now - tape.get(official).at < way.max(ASKED)
                || (broken || self.moment.misstamped || self.was_unreachable(official, tape))
                    && self.was_last(place, index, official)
        })
    }

    /// Whether the display could not hear the official close, nor ask for it since.
    fn was_unreachable(&self, official: u32, tape: &Tape) -> bool {
        let at = tape.get(official).at + self.moment.delay;
        self.moment
            .unreachable_since
            .is_some_and(|since| since < at + ASKED)
    }

    /// Whether a value was the last before the official close.
    fn was_last(&self, place: usize, index: u32, official: u32) -> bool {
        let between = self.tapes[place]
            .values
            .get(index as usize + 1..official as usize);
        let told = |value: &Value| matches!(value.sort, Sort::Told(_));
        between.is_some_and(|between| !between.iter().any(told))
    }

    /// Looks at what is said of the whole glass, and at the change.
    pub(crate) fn look_around(&self, page: &Page, true_time: u16) -> Option<(Rule, String)> {
        if let Some(time) = page.time
            && self.moment.timed
        {
            let apart = (i32::from(time) - i32::from(true_time)).rem_euclid(1440);
            if !matches!(apart, 0 | 1439) {
                let told = format!("{:02}:{:02}", true_time / 60, true_time % 60);
                return Some((Rule::Time, told));
            }
        }
        let (Some(change), Some(place)) = (page.change, page.first.place) else {
            return None;
        };
        let Figure::Number { scaled, .. } = page.first.figure else {
            return Some((Rule::Change, "the change of nothing".into()));
        };
        let tape = &self.tapes[place];
        let value = tape.get(tape.find_by(scaled, self.moment.now - self.moment.delay - SOONEST)?);
        let Sort::Told(part) = value.sort else {
            return None;
        };
        // What looks the same may have been told outside the hours, too.
        let closed = page.first.words.has(Word::Closed);
        let part = if closed { Part::Close } else { part };
        let base = match part {
            Part::Outside => tape.session.close(),
            _ => tape.before.close(),
        };
        tape.session.range?;
        let base = tape.get(base?).price;
        if place == TICK && base <= 0 {
            return Some((Rule::Change, "the base is not above zero".into()));
        }
        let of_session = |index: u32| tape.get(index).at;
        if tape
            .before
            .last
            .is_some_and(|last| value.at <= of_session(last))
        {
            return None;
        }
        let exact = (value.price - base) as f64 / base as f64 * 10_000.0;
        let wrong = (exact - change as f64).abs() > 1.01;
        wrong.then(|| (Rule::Change, format!("{:+.2} %", exact / 100.0)))
    }

    /// A value in words.
    pub(crate) fn of(&self, place: usize, value: &Value) -> String {
        let sort = match value.sort {
            Sort::Told(part) => format!("{part:?}"),
            sort => format!("{sort:?}"),
        };
        let price = value.shown() as f64 / 10_000.0;
        let age = (self.moment.now - value.at) as f64 / 1000.0;
        let sort = sort.to_lowercase();
        if is_contract(place) || place != SPX {
            return format!("{price:.4} ({sort}, {age:.3} s old)");
        }
        format!("{price:.2} ({sort}, {age:.3} s old)")
    }
}
