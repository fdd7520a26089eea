//! What time it is, by three witnesses: this machine's wall clock, the `Date` of the server's answers,
//! and the newest stamps of a running stream. Owns what they agree on. Reads no clock: what each says
//! comes in with the monotonic time at which it was said.
//!
//! All times here are offsets: wall time less monotonic time, in milliseconds. What two witnesses agreed
//! on runs on by the monotonic clock, whatever any wall clock does, until two agree on something else.

use core::time::Duration;

use crate::market::{Cluster, DELAY};
use crate::render::{ClockFault, TimeSource};
use crate::time::{Moment, Now, Utc};

/// Witnesses that are no further apart than this (in ms) agree.
const AGREEMENT: i64 = 5_000;
/// A `Date` is cut to the second and a while on its way: of answers that say nearly the same the latest
/// time is the right one (in ms).
const SAME_DATE: i64 = 2_000;
/// A witness that is wrong for less long than this is not worth a word: a single stamp may be wrong.
const PERSISTS: Duration = Duration::from_secs(5);
/// What is wrong is looked for this often.
const JUDGE: Duration = Duration::from_secs(1);
/// Offsets that are no further apart than this (in ms) are the same.
const SAME: i64 = 10;
/// The newest stamps are those of the last half minute to a minute.
const NEWEST: Duration = Duration::from_secs(30);
/// A stamp may be ahead of all before it by so much (in ms); one that is more must be followed by another.
const MAX_LEAP: i64 = 1_000;
/// The stamps of a stream that a source is known to serve late are ahead by this (in ms).
const LATE: i64 = 15 * 60_000;

/// The largest offset of a series, not taken in by a single one that is wrong.
#[derive(Clone, Copy, Debug, Default)]
struct MaxOffset {
    known: Option<i64>,
    /// One that leapt ahead.
    leapt: Option<i64>,
    /// How many were no more than `AGREEMENT` behind it.
    near: u32,
}

impl MaxOffset {
    fn take(&mut self, offset: i64) {
        let Some(known) = self.known else {
            (self.known, self.near) = (Some(offset), 1);
            return;
        };
        if offset > known + MAX_LEAP {
            let second = self
                .leapt
                .is_some_and(|leapt| (leapt - offset).abs() <= AGREEMENT);
            if second {
                *self = Self {
                    known: Some(offset),
                    leapt: None,
                    near: 2,
                };
            } else {
                self.leapt = Some(offset);
            }
            return;
        }
        self.leapt = None;
        if offset > known - AGREEMENT {
            self.near = self.near.saturating_add(1);
        }
        self.known = Some(known.max(offset));
    }
}

/// The stamps of one link's stream.
#[derive(Clone, Copy, Debug, Default)]
struct StampStream {
    /// Of this connection: what is behind the largest offset was late.
    connection: MaxOffset,
    /// Of the last while, and of the one before.
    newest: MaxOffset,
    before: MaxOffset,
    since: Moment,
    /// The source is known to serve it late.
    delayed: bool,
    /// The newest one that was weighed against the other witnesses.
    weighed: Option<i64>,
}

impl StampStream {
    fn newest(&self) -> Option<i64> {
        let running = |of: &MaxOffset| of.known.filter(|_| of.near >= 2);
        running(&self.newest).max(running(&self.before))
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeConsensus {
    own: Option<i64>,
    server: Option<i64>,
    /// In the order of [`Cluster::ALL`].
    streams: [StampStream; Cluster::ALL.len()],
    agreed: Option<i64>,
    /// The agreement stands on the stamps and one other witness.
    by_stamps: bool,
    /// What is wrong, and since when.
    fault: Option<(ClockFault, Moment)>,
    /// When it was last looked at what is wrong.
    judged: Moment,
    /// What the log was told.
    reported: Option<TimeSource>,
}

impl TimeConsensus {
    /// The agreed time at this moment, `None` while there is none.
    pub(crate) fn at(&self, monotonic: Moment) -> Now {
        Now::with_offset(monotonic, self.agreed)
    }

    /// Takes what this machine's clock says now, and returns what time it is.
    pub(crate) fn observe_own(&mut self, own: Now) -> Now {
        let offset = own.offset();
        if differs(offset, self.own) {
            self.own = offset;
            self.agree();
            self.judge(own.monotonic);
        } else if own.monotonic.since(self.judged) >= JUDGE {
            self.judge(own.monotonic);
        }
        self.at(own.monotonic)
    }

    /// The server said in an answer that came at this moment that it is this time. The answer was made
    /// before it came, and its second had begun: it cannot be earlier than that.
    pub(crate) fn server(&mut self, at: Moment, utc: Utc) {
        let offset = offset(utc, at);
        self.server = Some(match self.server {
            Some(known) if (known - offset).abs() <= SAME_DATE => known.max(offset),
            _ => offset,
        });
        self.agree();
    }

    /// Another connection of this link has been opened.
    pub(crate) fn connected(&mut self, cluster: Cluster) {
        let stream = &mut self.streams[cluster as usize];
        *stream = StampStream {
            delayed: stream.delayed,
            ..StampStream::default()
        };
        self.agree();
    }

    /// The source is known to serve the values of this link late, or not to.
    pub(crate) fn set_delayed(&mut self, cluster: Cluster, delayed: bool) {
        let stream = &mut self.streams[cluster as usize];
        if stream.delayed != delayed {
            stream.delayed = delayed;
            if self.by_stamps {
                // They were taken for something else than they are.
                self.agreed = None;
            }
            self.agree();
        }
    }

    /// A value with this stamp was streamed and came now. Returns how late it was beyond the least that
    /// this connection has shown.
    pub(crate) fn stamp(&mut self, cluster: Cluster, stamp: Utc, now: Moment) -> Duration {
        let offset = offset(stamp, now);
        let stream = &mut self.streams[cluster as usize];
        if now.since(stream.since) >= NEWEST {
            let whole = now.since(stream.since) < 2 * NEWEST;
            stream.before = if whole {
                stream.newest
            } else {
                MaxOffset::default()
            };
            (stream.newest, stream.since) = (MaxOffset::default(), now);
        }
        stream.connection.take(offset);
        stream.newest.take(offset);
        let late = stream.connection.known.map_or(0, |known| known - offset);
        let newest = stream.newest();
        if differs(newest, stream.weighed) {
            stream.weighed = newest;
            self.agree();
        }
        Duration::from_millis(u64::try_from(late).unwrap_or(0))
    }

    /// Whether values with this stamp come a quarter of an hour late: by the agreed time, or, while there
    /// is none, by any clock that says so.
    pub(crate) fn is_late(&self, cluster: Cluster, stamp: Utc, now: Moment) -> bool {
        let late = |witness: i64, offset: i64| DELAY.contains(&(witness - offset));
        let offset = offset(stamp, now);
        let least = self.streams[cluster as usize].connection.known;
        let all =
            |witness: i64| late(witness, offset) && least.is_none_or(|least| late(witness, least));
        match self.agreed {
            Some(agreed) => all(agreed),
            None => self.own.into_iter().chain(self.server).any(all),
        }
    }

    /// How late the values of this cluster's stream are by its source's word (in ms).
    pub(crate) const fn delay(&self, cluster: Cluster) -> i64 {
        if self.streams[cluster as usize].delayed {
            *DELAY.end()
        } else {
            0
        }
    }

    /// Whether this machine's own clock is among those that agree.
    pub(crate) fn is_own(&self) -> bool {
        let apart = |(own, agreed): (i64, i64)| (own - agreed).abs();
        self.own
            .zip(self.agreed)
            .is_some_and(|pair| apart(pair) <= AGREEMENT)
    }

    /// The clock that is wrong, if one is.
    pub(crate) fn fault(&self, now: Moment) -> Option<ClockFault> {
        let (fault, since) = self.fault?;
        (now.since(since) >= PERSISTS).then_some(fault)
    }

    /// When that is next another although nothing happens.
    pub(crate) fn deadline(&self, now: Moment) -> Moment {
        match self.fault {
            Some((_, since)) if now.since(since) < PERSISTS => since + PERSISTS,
            _ => Moment::NEVER,
        }
    }

    fn witnesses(&self) -> [(TimeSource, Option<i64>); 3] {
        let stamps = self.streams.iter().filter_map(|stream| {
            let late = if stream.delayed { LATE } else { 0 };
            Some(stream.newest()? + late)
        });
        [
            (TimeSource::Own, self.own),
            (TimeSource::Server, self.server),
            (TimeSource::Stamps, stamps.max()),
        ]
    }

    /// Finds two that agree. Of those that do, the latest time counts: a date is cut to the second, a
    /// stamp is a while on its way, and too old is the safe side to be wrong on.
    fn agree(&mut self) {
        let witnesses = self.witnesses().map(|(_, offset)| offset);
        let pairs = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| (witnesses[a].zip(witnesses[b]), (a, b)));
        let apart = |(a, b): (i64, i64)| (a - b).abs();
        let closest = pairs
            .into_iter()
            .filter_map(|(pair, which)| Some((apart(pair?), pair?, which)))
            .filter(|(apart, ..)| *apart <= AGREEMENT)
            .min_by_key(|(apart, ..)| *apart);
        let Some((_, (a, b), which)) = closest else {
            return;
        };
        let third = witnesses[3 - which.0 - which.1];
        let near = third
            .filter(|third| apart((*third, a)) <= AGREEMENT && apart((*third, b)) <= AGREEMENT);
        self.agreed = Some(a.max(b).max(near.unwrap_or(i64::MIN)));
        self.by_stamps = near.is_none() && which.1 == 2;
    }

    /// Names the clock that is wrong.
    fn judge(&mut self, now: Moment) {
        self.judged = now;
        let wrong = self.agreed.and_then(|agreed| {
            let off = |offset: i64| offset - agreed;
            let mut witnesses = self.witnesses().into_iter();
            witnesses.find_map(|(who, offset)| {
                let off = off(offset?);
                // Later stamps than a quarter of an hour are a late source's.
                let late = who == TimeSource::Stamps && DELAY.contains(&-off);
                (off.abs() > AGREEMENT && !late).then_some(ClockFault { who, off })
            })
        });
        self.fault = match (wrong, self.fault) {
            (Some(wrong), Some((known, since))) if known.who == wrong.who => Some((wrong, since)),
            (Some(wrong), _) => Some((wrong, now)),
            (None, _) => None,
        };
        let reported = self.fault(now);
        if reported.map(|fault| fault.who) != self.reported {
            self.reported = reported.map(|fault| fault.who);
            match reported {
                Some(fault) => log::warn!("{}", words(fault)),
                None => log::info!("the clocks agree again"),
            }
        }
    }
}

/// What is wrong and what to do.
fn words(fault: ClockFault) -> String {
    let by = fault.off.unsigned_abs() / 1000;
    let way = if fault.off > 0 { "ahead" } else { "behind" };
    match fault.who {
        TimeSource::Own => format!(
            "this machine's clock is {by} s {way}, by the server's answers or the stamps of its values: \
             prices are judged without it; set the clock (timedatectl shows who sets it)"
        ),
        TimeSource::Server => format!(
            "the server's clock is {by} s {way}, by this machine's and the stamps of its values: prices \
             are judged without it; set the clock of the server"
        ),
        TimeSource::Stamps => format!(
            "the stamps of the values are {by} s {way}, by this machine's clock and the server's: the \
             feed is late, or the clock that stamps them is wrong"
        ),
    }
}

/// Whether two offsets are worth a new agreement: clocks are read in milliseconds, one after the other.
fn differs(one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() > SAME,
        (one, other) => one.is_some() != other.is_some(),
    }
}

/// Wall time less monotonic time, in milliseconds.
fn offset(utc: Utc, at: Moment) -> i64 {
    Now::new(at, utc).offset().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 14:30 UTC at monotonic zero.
    const TRUE: i64 = 1_795_444_200_000;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    /// What a clock that is off by this shows at this moment.
    fn clock(off: i64, secs: u64) -> Utc {
        Utc(TRUE + off * 1000 + secs as i64 * 1000)
    }

    fn own(off: Option<i64>, secs: u64) -> Now {
        Now {
            monotonic: at(secs),
            utc: off.map(|off| clock(off, secs)),
        }
    }

    /// How far the agreed time is off, in seconds.
    fn off(time: &TimeConsensus, secs: u64) -> Option<i64> {
        let utc = time.at(at(secs)).utc?;
        Some(utc.millis_since(clock(0, secs)) / 1000)
    }

    /// Three witnesses that are off by these at their tenth second.
    fn heard(own_off: Option<i64>, server: Option<i64>, stamps: Option<i64>) -> TimeConsensus {
        let mut time = TimeConsensus::default();
        for secs in 0..=10 {
            time.observe_own(own(own_off, secs));
            if let Some(off) = server.filter(|_| secs % 5 == 0) {
                time.server(at(secs), clock(off, secs));
            }
            if let Some(off) = stamps {
                time.stamp(Cluster::Indices, clock(off, secs), at(secs));
            }
        }
        time
    }

    #[test]
    fn two_that_agree_are_the_time_and_the_third_is_named() {
        for off_by in [45, -45, 900, -900, 3600, -3600] {
            for (who, time) in [
                (TimeSource::Own, heard(Some(off_by), Some(0), Some(0))),
                (TimeSource::Server, heard(Some(0), Some(off_by), Some(0))),
                (TimeSource::Stamps, heard(Some(0), Some(0), Some(off_by))),
            ] {
                let mut time = time;
                assert_eq!(off(&time, 10), Some(0), "{who:?} {off_by}");
                time.observe_own(own(time.own.map(|own| (own - TRUE) / 1000), 25));
                let expected = Some(ClockFault {
                    who,
                    off: off_by * 1000,
                });
                // Stamps of a quarter of an hour ago are those of a late source.
                let late = who == TimeSource::Stamps && off_by == -900;
                assert_eq!(time.fault(at(25)), expected.filter(|_| !late));
                assert_eq!(time.reported, expected.filter(|_| !late).map(|_| who));
            }
        }
    }

    #[test]
    fn one_alone_is_no_time_and_two_that_differ_are_none() {
        assert_eq!(off(&heard(Some(0), None, None), 10), None);
        assert_eq!(off(&heard(None, Some(0), None), 10), None);
        assert_eq!(off(&heard(None, None, Some(0)), 10), None);
        assert_eq!(off(&heard(Some(45), Some(0), None), 10), None);
        assert_eq!(off(&heard(None, Some(0), Some(0)), 10), Some(0));
        assert_eq!(off(&heard(Some(0), None, Some(0)), 10), Some(0));
    }

    #[test]
    fn what_was_agreed_runs_on_when_the_own_clock_steps_or_is_lost() {
        let mut time = heard(Some(0), Some(0), None);
        time.observe_own(own(Some(3600), 20));
        assert_eq!(off(&time, 20), Some(0));
        time.observe_own(own(None, 30));
        assert_eq!(off(&time, 4000), Some(0));
        // Until two agree on another time.
        time.observe_own(own(Some(-3600), 40));
        time.server(at(41), clock(-3600, 41));
        assert_eq!(off(&time, 41), Some(-3600));
    }

    #[test]
    fn a_single_stamp_that_is_wrong_moves_nothing() {
        let mut time = heard(Some(900), Some(0), Some(0));
        time.stamp(Cluster::Indices, clock(50, 11), at(11));
        assert_eq!(off(&time, 11), Some(0));
        // A clock that is wrong for a moment is not worth a word.
        let mut right = heard(Some(0), Some(0), Some(0));
        right.observe_own(own(Some(60), 11));
        assert_eq!(right.fault(at(12)), None);
        right.observe_own(own(Some(0), 13));
        assert_eq!(right.fault(at(30)), None);
        let late = time.stamp(Cluster::Indices, clock(0, 12), at(12));
        assert_eq!(late, Duration::ZERO);
    }

    #[test]
    fn what_is_behind_the_least_lag_of_its_connection_was_late() {
        let mut time = heard(None, None, Some(0));
        let late = time.stamp(Cluster::Indices, clock(-26, 11), at(11));
        assert_eq!(late, Duration::from_secs(26));
        time.connected(Cluster::Indices);
        let first = time.stamp(Cluster::Indices, clock(-26, 12), at(12));
        assert_eq!(first, Duration::ZERO);
    }

    #[test]
    fn a_feed_that_is_known_to_be_late_agrees_with_no_clock_that_is_behind() {
        let mut time = heard(Some(-900), Some(0), Some(-900));
        assert_eq!(off(&time, 10), Some(-900), "two that agree");
        time.set_delayed(Cluster::Indices, true);
        assert_eq!(off(&time, 10), Some(0));
        // A late source that nobody has named, while no two agree.
        let time = heard(None, Some(0), Some(-900));
        assert!(time.is_late(Cluster::Indices, clock(-900, 10), at(10)));
        assert!(!time.is_late(Cluster::Indices, clock(-2, 10), at(10)));
        for (lag, late) in [(839, false), (840, true), (1020, true), (1021, false)] {
            let time = heard(None, Some(0), Some(-lag));
            let is_late = time.is_late(Cluster::Indices, clock(-lag, 10), at(10));
            assert_eq!(is_late, late, "{lag}");
        }
    }

    #[test]
    fn a_largest_offset_is_not_taken_in_by_one_that_leaps_and_counts_those_near_it() {
        let largest = |offsets: &[i64]| {
            let mut largest = MaxOffset::default();
            for offset in offsets {
                largest.take(*offset);
            }
            (largest.known, largest.near)
        };
        assert_eq!(largest(&[0, MAX_LEAP]), (Some(MAX_LEAP), 2));
        assert_eq!(largest(&[0, MAX_LEAP + 1]), (Some(0), 1));
        assert_eq!(largest(&[0, -500]), (Some(0), 2));
        assert_eq!(largest(&[0, 1 - AGREEMENT]), (Some(0), 2));
        assert_eq!(largest(&[0, -AGREEMENT]), (Some(0), 1));
        // A second one near it confirms it.
        assert_eq!(largest(&[0, 60_000, 55_000]), (Some(55_000), 2));
        assert_eq!(largest(&[0, 60_000, 54_999]), (Some(0), 1));
        assert_eq!(largest(&[0, 60_000, 0, 60_000]), (Some(0), 2));
    }

    #[test]
    fn of_answers_that_say_nearly_the_same_the_latest_time_counts() {
        let mut time = TimeConsensus::default();
        time.server(at(1), clock(0, 1));
        time.server(at(2), clock(-2, 2));
        assert_eq!(time.server, Some(TRUE));
        time.server(at(3), clock(-3, 3));
        assert_eq!(time.server, Some(TRUE - 3000));
    }

    #[test]
    fn the_newest_stamps_are_those_of_the_last_half_minute_to_a_minute() {
        let mut time = TimeConsensus::default();
        let mut newest = |off: i64, secs: u64| {
            time.stamp(Cluster::Indices, clock(off, secs), at(secs));
            let newest = time.streams[Cluster::Indices as usize].newest();
            newest.map(|newest| (newest - TRUE) / 1000)
        };
        assert_eq!(newest(0, 0), None, "a single one proves nothing");
        for secs in 1..30 {
            assert_eq!(newest(0, secs), Some(0));
        }
        for secs in 30..60 {
            assert_eq!(newest(-10, secs), Some(0));
        }
        assert_eq!(newest(-20, 60), Some(-10));
        assert_eq!(newest(-20, 61), Some(-10));
        // After a minute without any nothing is left of those before.
        assert_eq!(newest(-30, 120), None);
        assert_eq!(newest(-30, 121), Some(-30));
    }

    #[test]
    fn a_late_source_stays_late_on_its_next_connection() {
        let mut time = TimeConsensus::default();
        time.set_delayed(Cluster::Indices, true);
        time.connected(Cluster::Indices);
        assert!(time.streams[Cluster::Indices as usize].delayed);
    }

    #[test]
    fn of_witnesses_that_agree_the_latest_time_counts_and_one_may_stand_apart() {
        for (own, server, stamps, agreed, by_stamps) in [
            (Some(4), Some(0), Some(0), 4, false),
            (Some(0), Some(4), Some(0), 4, false),
            (Some(0), Some(0), Some(4), 4, false),
            // It agrees with one of the two alone.
            (Some(0), Some(3), Some(7), 3, false),
            (Some(0), Some(0), None, 0, false),
            (None, Some(0), Some(0), 0, true),
            (Some(0), None, Some(0), 0, true),
        ] {
            let time = heard(own, server, stamps);
            let case = (own, server, stamps);
            assert_eq!(off(&time, 10), Some(agreed), "{case:?}");
            assert_eq!(time.by_stamps, by_stamps, "{case:?}");
        }
    }

    #[test]
    fn whether_this_machines_clock_is_right_is_told() {
        assert!(heard(Some(0), Some(0), None).is_own());
        assert!(!heard(Some(3600), Some(0), Some(0)).is_own());
        assert!(!heard(None, Some(0), Some(0)).is_own());
    }

    #[test]
    fn a_clock_is_named_once_it_was_wrong_for_five_seconds_and_no_earlier() {
        let mut time = heard(Some(0), Some(0), Some(0));
        assert_eq!(time.deadline(at(10)), Moment::NEVER);
        time.observe_own(own(Some(60), 11));
        assert_eq!(time.deadline(at(12)), at(16));
        let named = |time: &TimeConsensus, secs| time.fault(at(secs)).map(|fault| fault.who);
        assert_eq!(
            (named(&time, 15), named(&time, 16)),
            (None, Some(TimeSource::Own))
        );
        assert_eq!(time.deadline(at(16)), Moment::NEVER);
        // Another clock has its own five seconds.
        time.server(at(15), clock(60, 15));
        time.observe_own(own(Some(0), 15));
        assert_eq!(off(&time, 15), Some(0));
        assert_eq!(
            (named(&time, 19), named(&time, 20)),
            (None, Some(TimeSource::Server))
        );
        // One that is off by as much as is allowed is not named.
        let mut near = heard(Some(5), Some(0), Some(0));
        near.observe_own(own(Some(5), 25));
        assert_eq!(named(&near, 40), None);
    }

    #[test]
    fn the_words_say_by_how_much_and_which_way() {
        for (off, way) in [(61_500, "61 s ahead"), (-61_500, "61 s behind")] {
            for (who, whose) in [
                (TimeSource::Own, "this machine's clock is "),
                (TimeSource::Server, "the server's clock is "),
                (TimeSource::Stamps, "the stamps of the values are "),
            ] {
                let words = words(ClockFault { who, off });
                assert!(words.starts_with(&format!("{whose}{way}")), "{words}");
            }
        }
    }

    #[test]
    fn offsets_that_are_hardly_apart_are_the_same() {
        assert!(!differs(Some(TRUE), Some(TRUE + SAME)));
        assert!(differs(Some(TRUE), Some(TRUE + SAME + 1)));
        assert!(differs(Some(TRUE), None));
        assert!(!differs(None, None));
    }
}
