//! Decides what the display may show and what it must show, from issue 10 and the true values
//! alone. This module does not know how the program decides.
//!
//! The judge makes these exceptions where the program cannot know the truth:
//! - While fewer than two time sources are right, a streamed value may be plain for its limit,
//!   counted from its receive time plus the age that a hub reported. A value that was not streamed
//!   may not be plain. The program may also use the ends of bars as timestamps: if they and the
//!   `Date` header are right, such a value may be plain for its limit, but need not be.
//! - While the display's own clock is wrong, the program uses the `Date` header. This header has
//!   whole seconds and is older than its receive time, so the program may compute an age that is
//!   too low by [`DATE`].
//! - After an error of the timestamps, or without timestamps, the program may need two values to
//!   see that the channel continues. Until then the previous value may stand.
//! - If values without a timestamp have waited, or come late, the program cannot know their order.
//!   Just after the bell they look like values from outside the hours, so the closing price may
//!   return 15 minutes after the last of them.
//! - Values with timestamps behind the time look like late values: they may be struck out, and the
//!   last value before them may stand for its limit.
//! - The closing price of a share is the price of its regular hours; after 20:00 the last price of
//!   the day is accepted, too.

use super::hours::{MINUTE, Ms, SECOND};
use super::plan::{Part, is_contract, limit};
use super::reader::{Figure, Look, Page, Sight, Word};
use super::tape::{COUNT, SPX, SPY, Session, Sort, TICK, Tape, Value};

/// The greatest error of an age that comes from the server's `Date`, in milliseconds.
const DATE: Ms = 1_300;

/// The greatest time between two REST requests after the bell, in milliseconds.
const ASKED: Ms = 65 * SECOND;

/// The least time between the creation of a value and its picture, in milliseconds.
const SOONEST: Ms = 10;

/// A rule that the display must obey.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// The display shows a number that the reader cannot read, or a name without a number.
    Readable,
    /// The display shows a number that no source has sent.
    WrongDigits,
    /// A simulated price is shown without DEMO, or after the first value from the real source.
    Simulated,
    /// DEMO is shown beside real prices.
    DemoStays,
    /// A number is shown that the program must never show, such as a trade that does not set the
    /// last price.
    Ineligible,
    /// A value is plain although a newer one has arrived.
    Superseded,
    /// A value is plain for longer than its limit.
    Beyond,
    /// CLOSED is shown beside a value that is not the closing price.
    FalseClose,
    /// The display shows a struck-out price, dashes or CLOSED although a fresh value is available.
    Hidden,
    /// The closing price is not marked CLOSED although the sources have reported it.
    NotClosed,
    /// The shown change in percent does not match the price and the previous close.
    Change,
    /// The shown time of day is wrong.
    Time,
    /// Bid and ask are plain beside a struck-out price.
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

/// The state of the world at one moment, without the values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Ms,
    /// True if two time sources are right now, or the program can still use what they have
    /// reported.
    pub(crate) timed: bool,
    /// True if the program may know the time, but the judge does not require it.
    pub(crate) perhaps_timed: bool,
    /// True if the display's own clock is right.
    pub(crate) own: bool,
    /// True if the display's own clock is right and two time sources have been right for more than
    /// 2 s.
    pub(crate) sure: bool,
    /// True if the timestamps were wrong or missing a short time ago: the program may need two
    /// values to see that the channel continues.
    pub(crate) disordered: bool,
    /// True if the program cannot tell the order of values: for example, timestamps behind the time
    /// look like late values.
    pub(crate) unordered: bool,
    /// The start of a series of faults that keep data from the display, without a pause of more
    /// than about a minute.
    pub(crate) unreachable_since: Option<Ms>,
    /// The time by which the timestamps are ahead, in milliseconds.
    pub(crate) ahead: Ms,
    /// True if timestamps are wrong, or were wrong so recently that the program has made no REST
    /// request since.
    pub(crate) misstamped: bool,
    /// True if values come without a timestamp, or came without one a short time ago.
    pub(crate) last_unstamped: bool,
    /// The delay of the source in milliseconds: 15 minutes or 0.
    pub(crate) delay: Ms,
    /// The extra transit time in milliseconds that an active fault may cause.
    pub(crate) late: Ms,
    /// For each instrument, the time of the first real value after the simulated ones, by REST or
    /// stream.
    pub(crate) real: [Option<Ms>; COUNT],
    /// The start of the last fault that interrupts the stream.
    pub(crate) broken: Option<Ms>,
}

/// The requirements for one instrument at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// True if fresh values arrive without a fault, so the display must show them.
    pub(crate) live: bool,
    /// Values from before this time may be lost in transit.
    pub(crate) since: Ms,
    /// True if the program can know the closing price.
    pub(crate) closed: bool,
    /// The greatest transit time of a value, in milliseconds.
    pub(crate) way: Ms,
}

/// The values of one instrument that have reached the display.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The newest streamed value, and the two that were the newest before.
    newest: Option<u32>,
    previous: [Option<u32>; 2],
    /// The newest value that REST has returned.
    fetched: Option<u32>,
    /// The last 32 received values: index, receive time, reported age at that time, and true if the
    /// timestamp was right.
    receipts: [(u32, Ms, Ms, bool); 32],
    at: usize,
    /// The number of values that the program still needs to see that the timestamps are right
    /// again.
    unsure: u32,
    /// True after the first value with a wrong timestamp.
    any_misstamped: bool,
    /// The number of values on this connection.
    connected: u32,
    /// The last value of the newest minute bar, and the end time of that bar.
    bar: Option<(u32, Ms)>,
    /// The number of consecutive values from outside the known hours.
    pub(crate) outside: u32,
}

impl Known {
    /// Handles a streamed value.
    pub(crate) fn streamed(
        &mut self,
        tape: &Tape,
        index: u32,
        now: Ms,
        age: Ms,
        stamped: bool,
        ahead: bool,
    ) {
        self.receipts[self.at % 32] = (index, now, age, stamped);
        self.at += 1;
        self.any_misstamped |= !stamped;
        self.unsure = match (stamped, ahead) {
            (true, _) => self.unsure.saturating_sub(1),
            (false, true) => self.unsure,
            (false, false) => 2,
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

    /// Handles a minute bar. A bar with an older end replaces the stored one only if the stored end
    /// is ahead of the time.
    pub(crate) fn barred(&mut self, index: u32, end: Ms, now: Ms) {
        if self
            .bar
            .is_none_or(|(_, known)| known <= end || known > now)
        {
            self.bar = Some((index, end));
        }
    }

    pub(crate) fn told(&mut self, index: u32) {
        self.fetched = Some(index);
    }

    /// Forgets all values, because a real server has replaced the simulated one.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Handles a new connection for this instrument.
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

    /// Returns the last receive time of a value with a wrong timestamp, minus its reported age: the
    /// program knows no other age for this value.
    fn misstamped(&self, index: u32) -> Option<Ms> {
        if !self.any_misstamped {
            return None;
        }
        let found = self
            .receipts
            .iter()
            .filter(|(of, at, _, stamped)| *of == index && *at > 0 && !stamped);
        found.map(|(_, at, age, _)| *at - *age).max()
    }
}

/// A broken rule, with the text for the report.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) place: usize,
    pub(crate) at: Ms,
    pub(crate) glass: String,
    pub(crate) truth: String,
}

impl Broken {
    /// Describes the broken rule in one line.
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

/// A plain price on the display, and the time until which it may stay plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) place: usize,
    pub(crate) until: Ms,
}

/// The judge for one moment; the module comment lists its exceptions.
pub(crate) struct Judge<'a> {
    pub(crate) tapes: &'a [Tape; COUNT],
    pub(crate) known: &'a [Known; COUNT],
    pub(crate) moment: Moment,
    pub(crate) demands: [Demand; COUNT],
    /// The time in milliseconds for which a price from outside the regular hours stays fresh.
    pub(crate) quiet: [Ms; COUNT],
    /// For each instrument, true if its session has been open for more than a minute.
    pub(crate) on: [bool; COUNT],
    /// For each instrument, true if no session of any kind is open.
    pub(crate) over: [bool; COUNT],
    /// For each instrument, the time from which its source is silent or late, if that began just
    /// before the bell.
    pub(crate) hushed: [Option<Ms>; COUNT],
    /// For each instrument, true if the program cannot know which value was the closing price.
    pub(crate) unclosed: [bool; COUNT],
}

impl Judge<'_> {
    /// Checks one instrument on the display and returns the first broken rule. Sets `standing` if
    /// the price is plain.
    pub(crate) fn look(
        &self,
        page: &Page,
        sight: &Sight,
        standing: &mut Option<Standing>,
    ) -> Option<(Rule, String)> {
        let place = sight.place?;
        let now = self.moment.now;
        let Figure::Number { scaled, look } = sight.figure else {
            if sight.figure == Figure::Nothing {
                return Some((Rule::Readable, "a name and no number".into()));
            }
            return self.missing(place, sight);
        };
        let struck = sight.figure.is_struck();
        // The digits alone tell a closing price from a live one.
        match (look, sight.words.has(Word::Closed)) {
            (Look::Faint, false) => return Some((Rule::Readable, "faint and not CLOSED".into())),
            (Look::Plain, true) => return Some((Rule::Readable, "CLOSED and not faint".into())),
            _ => {}
        }
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
            // Without the time of day the program cannot know that a value is outside the hours.
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
        let later = page.second.filter(|second| second.later);
        if closed && !struck && !self.may_be_close(place, index, later.is_some()) {
            return Some((Rule::FalseClose, told("CLOSED")?));
        }
        let fresh = self.fresh(place);
        // At the bell the last value becomes the closing price even if it is still fresh.
        // Below the close stands the later price, which is judged on its own.
        if let Some(fresh) = fresh.filter(|_| sight.later || later.is_none())
            && (struck || tape.get(fresh).shown() != scaled)
        {
            let told = self.of(place, tape.get(fresh));
            return Some((Rule::Hidden, format!("fresh is {told}")));
        }
        if !closed && !sight.later && self.demands[place].closed {
            return Some((Rule::NotClosed, told("the close is known")?));
        }
        let long = self.moment.now - value.at > limit(place, Part::Regular);
        if struck && long && page.book.is_some() && !sight.words.has(Word::Expired) {
            let plain = |side: &Figure| matches!(side, Figure::Number { .. }) && !side.is_struck();
            if page.book.iter().flatten().any(plain) {
                return Some((Rule::Beside, told("bid and ask are plain")?));
            }
        }
        None
    }

    /// Checks a number that is plain and not marked CLOSED.
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
        // After an interruption one value proves nothing during the half hour after the bell, in
        // which the official close is computed.
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
        // Without the time, nobody knows that a value comes from outside the hours.
        let single = known.outside < 2 && known.fetched != Some(index);
        if part == Part::Outside && single && self.moment.timed {
            return Some((
                Rule::Ineligible,
                "one print of the night proves nothing".into(),
            ));
        }
        let short = if self.moment.own { 0 } else { DATE };
        let lateness = if delayed { 17 * MINUTE } else { 0 };
        // The last value of a minute bar may stay plain as long as the bar: 75 s from the bar's
        // end.
        let bar = known
            .bar
            .filter(|(of, _)| tape.get(*of).shown() == value.shown())
            .map(|(_, end)| end + 75 * SECOND + lateness + short);
        let allowed = limit(place, part) + lateness;
        let until = match (self.moment.timed, known.received(index)) {
            // The age of a value that was not streamed comes from its timestamp alone.
            (true, Some((arrival, age))) if self.moment.ahead > 0 => {
                (arrival - age).max(value.at + short + self.moment.ahead) + allowed
            }
            (true, None) => value.at + allowed + short + self.moment.ahead,
            (true, _) => value.at + allowed + short,
            (false, Some((arrival, age))) => arrival - age + allowed,
            (false, None) if self.moment.perhaps_timed => value.at + allowed + short,
            // A value from REST alone has no known age while the time is unknown.
            (false, None) => value.at,
        };
        let misstamped = known.misstamped(index).map(|arrival| arrival + allowed);
        let until = [bar, misstamped].into_iter().flatten().fold(until, Ms::max);
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

    /// Checks a place that shows no number.
    fn missing(&self, place: usize, sight: &Sight) -> Option<(Rule, String)> {
        if sight.words.has(Word::NoAccess) {
            return None;
        }
        if let Some(fresh) = self.fresh(place) {
            let told = self.of(place, self.tapes[place].get(fresh));
            return Some((Rule::Hidden, format!("fresh is {told}")));
        }
        let tape = &self.tapes[place];
        // If the last quote has no midpoint, no source can report a closing price.
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

    /// Returns the value that the display must show now, if there is one.
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
                // The last quote has no midpoint, or had none a moment ago.
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
        // One value after the bell proves nothing until REST has returned it, too.
        if part == Part::Close && place == SPX && now - value.at < ASKED {
            return None;
        }
        if part == Part::Post && self.over[place] {
            return None;
        }
        // During the regular hours a price from before them is fresh for no longer than any other
        // price.
        let most = match part {
            Part::Pre | Part::Post => limit(place, part).min(self.quiet[place]),
            _ => limit(place, part),
        };
        (now - value.at < most).then_some(index as u32)
    }

    /// Returns true if a value may be shown as the closing price now. If a `later` price stands below
    /// it, a value from outside the regular hours does not make the closing price old.
    fn may_be_close(&self, place: usize, index: u32, later: bool) -> bool {
        let (tape, known) = (&self.tapes[place], &self.known[place]);
        let value = tape.get(index);
        let now = self.moment.now - self.moment.delay;
        let way = 2 * SECOND + self.moment.late;
        let same = |other: Option<u32>| {
            other.is_some_and(|other| tape.get(other).shown() == value.shown())
        };
        // A value with a timestamp ahead of the time has no age if it was not streamed.
        let fetched = known.fetched.filter(|_| !self.moment.misstamped);
        // The program ignores a REST value while the stream is fresh; the value counts after the
        // next REST request.
        let fetched = fetched.filter(|fetched| {
            let after = tape.get(*fetched).sort == Sort::Told(Part::After);
            !after || tape.get(*fetched).at < now - ASKED
        });
        // A newer value in the regular hours makes this value old; a value from outside the hours
        // does not.
        let come = [known.newest, fetched].into_iter().flatten();
        let mut come = come.map(|come| tape.get(come));
        let newer = come.any(|come| match come.sort {
            Sort::Told(Part::Outside) => false,
            Sort::Told(Part::Pre | Part::Post) if later => false,
            Sort::NoPrice if known.outside > 0 => false,
            // The program may ignore a single value until REST has returned it, too.
            Sort::Told(Part::Close) => {
                let unheard = self.moment.misstamped || self.moment.unreachable_since.is_some();
                come.at > value.at && come.at < now - ASKED && !unheard
            }
            _ => come.at > value.at,
        });
        // Until a minute after the first value of a session, the previous session is the last one
        // with a closing price.
        let first = tape
            .session
            .first
            .map_or(Ms::MIN, |first| tape.get(first).at);
        // A delayed source gets two more minutes.
        let grace = match self.moment.delay {
            0 => MINUTE,
            _ => 3 * MINUTE,
        };
        // While faults keep data from the display, the first value of the session may not have
        // arrived.
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
        // While the connection works, the program cannot know that the source became silent just
        // before the bell.
        let by = self.hushed[place].map_or(now - way, |since| since.min(now - way));
        let told = |value: &&Value| {
            let counts = |part| match part {
                Part::Outside => false,
                Part::Pre | Part::Post => !later,
                _ => true,
            };
            value.at <= by && matches!(value.sort, Sort::Told(part) if counts(part))
        };
        let last = tape.values.iter().rev().find(told);
        if last.is_some_and(|last| last.shown() == value.shown() || last.at <= value.at) {
            // While its session is open, an instrument has no closing price.
            return !self.on[place] || place == SPY;
        }
        // A session has begun within the last minute, and none of its values has arrived.
        let since = now - 62 * SECOND - self.moment.late;
        let after = tape.values[index as usize + 1..].iter();
        let mut after =
            after.filter(|value| matches!(value.sort, Sort::Told(part) if part != Part::Outside));
        if !self.on[place] && after.next().is_some_and(|next| next.at > since) {
            return true;
        }
        tape.session.official.is_some_and(|official| {
            // The official close was published a moment ago, or while the connection was
            // interrupted or the timestamps were wrong.
            let broken = self.moment.broken;
            let broken = broken.is_some_and(|since| self.moment.now - since < 45 * SECOND);
            now - tape.get(official).at < way.max(ASKED)
                || (broken || self.moment.misstamped || self.was_unreachable(official, tape))
                    && self.was_last(place, index, official)
        })
    }

    /// Returns true if the display could neither receive the official close nor request it since.
    fn was_unreachable(&self, official: u32, tape: &Tape) -> bool {
        let at = tape.get(official).at + self.moment.delay;
        self.moment
            .unreachable_since
            .is_some_and(|since| since < at + ASKED)
    }

    /// Returns true if a value was the last one before the official close.
    fn was_last(&self, place: usize, index: u32, official: u32) -> bool {
        let between = self.tapes[place]
            .values
            .get(index as usize + 1..official as usize);
        let told = |value: &Value| matches!(value.sort, Sort::Told(_));
        between.is_some_and(|between| !between.iter().any(told))
    }

    /// Checks the time of day, and the change in percent of the first of two prices. The change on
    /// the other pages is not checked. The base of a contract can be any value of the previous
    /// session: no official close exists, and the display may not have received the last value.
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
        let (Some(change), Some(place), Some(_)) = (page.change, page.first.place, page.second)
        else {
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
        // A value outside the hours may have the same digits as the closing price.
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
        let exact = |base: i64| (value.price - base) as f64 / base as f64 * 10_000.0;
        let fits = |base: i64| (exact(base) - change as f64).abs() <= 1.01;
        let any_of = |session: &Session| {
            let (Some(first), Some(last)) = (session.first, session.last) else {
                return false;
            };
            let values = &tape.values[first as usize..=last as usize];
            let told = |value: &&Value| matches!(value.sort, Sort::Told(_));
            values.iter().filter(told).any(|value| fits(value.price))
        };
        let right = fits(base) || is_contract(place) && any_of(&tape.before);
        (!right).then(|| (Rule::Change, format!("{:+.2} %", exact(base) / 100.0)))
    }

    /// Describes a value with its kind and its age.
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
