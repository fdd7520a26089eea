//! The agreed time, from three time sources: the wall clock of this machine, the `Date` header of
//! the server's responses, and the newest timestamps of a running stream. This module owns the
//! agreement. It reads no clock: each report comes with the monotonic time of its receipt.
//!
//! All times in this module are offsets: wall time minus monotonic time, in milliseconds. The
//! agreed time advances with the monotonic clock until two sources agree on another time. A step of
//! a wall clock alone does not change it.

use core::time::Duration;

use crate::market::{Cluster, DELAY};
use crate::render::{ClockFault, TimeSource};
use crate::time::{Moment, Now, Utc};

/// The maximum difference between two time sources that agree, in milliseconds.
const AGREEMENT: i64 = 5_000;
/// The maximum difference between two `Date` headers that describe the same clock, in milliseconds.
/// A `Date` is cut to the second and is old by the network delay, so the latest time is the correct
/// one.
const SAME_DATE: i64 = 2_000;
/// A clock fault is reported only after this duration, because a single timestamp can be wrong.
const PERSISTS: Duration = Duration::from_secs(5);
/// The interval between two checks for a clock fault.
const JUDGE: Duration = Duration::from_secs(3);
/// The maximum difference between two offsets that count as equal, in milliseconds.
const SAME: i64 = 10;
/// The length of a window of timestamps. The newest timestamps are those of the present window and
/// of the window before it, so they are at most 30 to 60 seconds old.
const NEWEST: Duration = Duration::from_secs(30);
/// The maximum step of the timestamps, in milliseconds: if a timestamp is further ahead of the
/// largest one so far, it counts only after a second one of about the same time.
const MAX_LEAP: i64 = 1_000;
/// The delay that is added to the timestamps of a stream whose source is known to be delayed, in
/// milliseconds.
const LATE: i64 = 15 * 60_000;

/// The largest offset of a series. A single wrong offset does not change the largest one.
#[derive(Clone, Copy, Debug, Default)]
struct MaxOffset {
    known: Option<i64>,
    /// The last offset that was too far ahead and is not confirmed yet.
    leapt: Option<i64>,
    /// The number of offsets that were less than [`AGREEMENT`] behind the largest one.
    near: u32,
}

impl MaxOffset {
    fn take(&mut self, offset: i64) {
        match self.known {
            None => (self.known, self.near) = (Some(offset), 1),
            Some(known) if offset > known + MAX_LEAP => {
                let same = |leapt: i64| (leapt - offset).abs() <= AGREEMENT;
                if self.leapt.is_some_and(same) {
                    (self.known, self.leapt, self.near) = (Some(offset), None, 2);
                } else {
                    self.leapt = Some(offset);
                }
            }
            Some(known) => {
                self.leapt = None;
                if offset > known - AGREEMENT {
                    self.near = self.near.saturating_add(1);
                }
                self.known = Some(known.max(offset));
            }
        }
    }
}

/// The timestamps of the stream of one cluster.
#[derive(Clone, Copy, Debug, Default)]
struct TimestampStream {
    /// The largest offset (timestamp minus receive time) of this connection. A value with a smaller
    /// offset arrived late.
    connection: MaxOffset,
    /// The largest offset of the current window. `before` is the largest offset of the previous
    /// window.
    newest: MaxOffset,
    before: MaxOffset,
    since: Moment,
    /// True if the source is known to deliver this stream with a delay.
    delayed: bool,
    /// The newest offset at the last comparison with the other time sources.
    weighed: Option<i64>,
}

impl TimestampStream {
    fn newest(&self) -> Option<i64> {
        let running = |of: &MaxOffset| of.known.filter(|_| of.near >= 2);
        running(&self.newest).max(running(&self.before))
    }
}

/// The time sources and their agreement; see the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeConsensus {
    own: Option<i64>,
    server: Option<i64>,
    /// The streams, in the order of [`Cluster::ALL`].
    streams: [TimestampStream; Cluster::ALL.len()],
    agreed: Option<i64>,
    /// True if the agreement consists of the timestamps and only one other time source.
    by_timestamps: bool,
    /// The clock fault and the time of its first detection.
    fault: Option<(ClockFault, Moment)>,
    /// The time of the last check for a clock fault.
    judged: Moment,
    /// The time source that the log has last reported as wrong.
    reported: Option<TimeSource>,
}

impl TimeConsensus {
    /// Returns the agreed time at this moment. The wall time is `None` if no agreement exists yet.
    pub(crate) fn at(&self, monotonic: Moment) -> Now {
        Now::with_offset(monotonic, self.agreed)
    }

    /// Takes the present time of this machine's wall clock and returns the agreed time.
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

    /// Takes the time in a `Date` header of the server and the moment of its receipt. The server
    /// made the response before that moment and cut the date to the second, so its clock cannot be
    /// behind this time.
    pub(crate) fn server(&mut self, at: Moment, utc: Utc) {
        let offset = offset(utc, at);
        self.server = Some(match self.server {
            Some(known) if (known - offset).abs() <= SAME_DATE => known.max(offset),
            _ => offset,
        });
        self.agree();
    }

    /// Discards the reports of the server, because another server is in use. The agreed time stays.
    pub(crate) fn server_changed(&mut self) {
        self.server = None;
        self.streams = Default::default();
    }

    /// Discards the timestamps of the cluster, because a new connection has been opened.
    pub(crate) fn connected(&mut self, cluster: Cluster) {
        let stream = &mut self.streams[cluster as usize];
        *stream = TimestampStream {
            delayed: stream.delayed,
            ..TimestampStream::default()
        };
        self.agree();
    }

    /// Sets whether the source is known to deliver the values of this cluster with a delay.
    pub(crate) fn set_delayed(&mut self, cluster: Cluster, delayed: bool) {
        let before = &mut self.streams[cluster as usize].delayed;
        if std::mem::replace(before, delayed) != delayed {
            if self.by_timestamps {
                // The agreement used the timestamps with a wrong delay.
                self.agreed = None;
            }
            self.agree();
        }
    }

    /// Takes the timestamp of a streamed value that has just arrived. Returns the additional
    /// lateness compared with the smallest delay of this connection.
    pub(crate) fn timestamp(&mut self, cluster: Cluster, timestamp: Utc, now: Moment) -> Duration {
        let offset = offset(timestamp, now);
        let stream = &mut self.streams[cluster as usize];
        if now.since(stream.since) >= NEWEST {
            let before = std::mem::take(&mut stream.newest);
            let is_next = now.since(stream.since) < 2 * NEWEST;
            stream.before = if is_next {
                before
            } else {
                MaxOffset::default()
            };
            stream.since = now;
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

    /// Returns true if values with this timestamp come about 15 minutes late (see [`DELAY`]). The
    /// agreed time decides; if no agreement exists, the clock of this machine or of the server is
    /// sufficient.
    pub(crate) fn is_late(&self, cluster: Cluster, timestamp: Utc, now: Moment) -> bool {
        let offset = offset(timestamp, now);
        let least = self.streams[cluster as usize].connection.known;
        let late = |witness: i64| {
            let is_late = |offset: i64| DELAY.contains(&(witness - offset));
            is_late(offset) && least.is_none_or(is_late)
        };
        match self.agreed {
            Some(agreed) => late(agreed),
            None => self.own.into_iter().chain(self.server).any(late),
        }
    }

    /// Returns the known delay of the source of this cluster, in milliseconds.
    pub(crate) const fn delay(&self, cluster: Cluster) -> i64 {
        let delayed = self.streams[cluster as usize].delayed;
        if delayed { *DELAY.end() } else { 0 }
    }

    /// Returns true if this machine's wall clock is close to the agreed time.
    pub(crate) fn is_own(&self) -> bool {
        let near = |(own, agreed): (i64, i64)| (own - agreed).abs() <= AGREEMENT;
        self.own.zip(self.agreed).is_some_and(near)
    }

    /// Returns the clock that is wrong; `None` if all clocks are correct or the fault is too new.
    pub(crate) fn fault(&self, now: Moment) -> Option<ClockFault> {
        let (fault, since) = self.fault?;
        (now.since(since) >= PERSISTS).then_some(fault)
    }

    /// Returns the time at which [`TimeConsensus::fault`] changes without a new report.
    pub(crate) fn deadline(&self, now: Moment) -> Moment {
        match self.fault {
            Some((_, since)) if now.since(since) < PERSISTS => since + PERSISTS,
            _ => Moment::NEVER,
        }
    }

    fn witnesses(&self) -> [(TimeSource, Option<i64>); 3] {
        let timestamps = self.streams.iter().filter_map(|stream| {
            let newest = stream.newest()?;
            // A source of delayed rows can have a stream in real time. One clock alone does not
            // show this, because that clock can be the wrong one.
            let in_time =
                |clock: Option<i64>| clock.is_some_and(|clock| (clock - newest).abs() <= AGREEMENT);
            let is_late = stream.delayed && !(in_time(self.own) && in_time(self.server));
            Some(newest + if is_late { LATE } else { 0 })
        });
        [
            (TimeSource::Own, self.own),
            (TimeSource::Server, self.server),
            (TimeSource::Stamps, timestamps.max()),
        ]
    }

    /// Finds two time sources that agree. The latest time of the sources that agree counts: a date
    /// is cut to the second, and a timestamp is old by the network delay. If the later time is
    /// wrong, a value looks too old and never too fresh, so this error is safe.
    fn agree(&mut self) {
        let [own, server, timestamps] = self.witnesses().map(|(_, offset)| offset);
        let apart = |a: i64, b: i64| (a - b).abs();
        // Each entry contains two sources, the third source, and a flag that is true if the
        // timestamps are one of the two sources.
        let closest = [
            (own, server, timestamps, false),
            (own, timestamps, server, true),
            (server, timestamps, own, true),
        ]
        .into_iter()
        .filter_map(|(a, b, third, by_timestamps)| Some((a?, b?, third, by_timestamps)))
        .filter(|(a, b, ..)| apart(*a, *b) <= AGREEMENT)
        .min_by_key(|(a, b, ..)| apart(*a, *b));
        let Some((a, b, third, by_timestamps)) = closest else {
            return;
        };
        let near = |third: &i64| apart(*third, a) <= AGREEMENT && apart(*third, b) <= AGREEMENT;
        let third = third.filter(near);
        self.agreed = Some(a.max(b).max(third.unwrap_or(i64::MIN)));
        self.by_timestamps = third.is_none() && by_timestamps;
    }

    /// Finds the clock that is wrong and logs each change.
    fn judge(&mut self, now: Moment) {
        self.judged = now;
        let wrong = self.agreed.and_then(|agreed| {
            let mut witnesses = self.witnesses().into_iter();
            witnesses.find_map(|(who, offset)| {
                let off = offset? - agreed;
                // Timestamps that are about 15 minutes behind belong to a delayed source and are no
                // clock fault.
                let late = who == TimeSource::Stamps && DELAY.contains(&-off);
                (off.abs() > AGREEMENT && !late).then_some(ClockFault { who, off })
            })
        });
        self.fault = wrong.map(|wrong| match self.fault {
            Some((known, since)) if known.who == wrong.who => (wrong, since),
            _ => (wrong, now),
        });
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

/// Returns the log message for a clock fault, with the advice for the user.
fn words(fault: ClockFault) -> String {
    let by = fault.off.unsigned_abs() / 1000;
    let way = if fault.off > 0 { "ahead" } else { "behind" };
    match fault.who {
        TimeSource::Own => format!(
            "this machine's clock is {by} s {way}, compared with the server's responses or the \
             timestamps of its values: the ticker ignores this machine's clock; set the clock \
             (timedatectl shows the time service)"
        ),
        TimeSource::Server => format!(
            "the server's clock is {by} s {way}, compared with this machine's clock and the \
             timestamps of the values: the ticker ignores the server's clock; set the clock of the \
             server"
        ),
        TimeSource::Stamps => format!(
            "the timestamps of the values are {by} s {way}, compared with this machine's clock and \
             the server's clock: the feed is delayed, or the clock of the vendor is wrong"
        ),
    }
}

/// Returns true if two offsets differ enough for a new agreement. The two clocks are read one after
/// the other, in milliseconds, so small differences have no meaning.
fn differs(one: Option<i64>, other: Option<i64>) -> bool {
    let both = one.zip(other);
    both.map_or(one != other, |(one, other)| (one - other).abs() > SAME)
}

/// Returns the offset: wall time minus monotonic time, in milliseconds.
fn offset(utc: Utc, at: Moment) -> i64 {
    Now::new(at, utc).offset().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wall time 2026-11-23 14:30 UTC at monotonic time zero.
    const TRUE: i64 = 1_795_444_200_000;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    /// Returns the time of a clock that is wrong by `off` seconds.
    fn clock(off: i64, secs: u64) -> Utc {
        Utc(TRUE + off * 1000 + secs as i64 * 1000)
    }

    fn own(off: Option<i64>, secs: u64) -> Now {
        Now {
            monotonic: at(secs),
            utc: off.map(|off| clock(off, secs)),
        }
    }

    /// Returns the error of the agreed time, in seconds.
    fn off(time: &TimeConsensus, secs: u64) -> Option<i64> {
        let utc = time.at(at(secs)).utc?;
        Some(utc.millis_since(clock(0, secs)) / 1000)
    }

    /// Returns the state after ten seconds of reports from three time sources with these errors in
    /// seconds.
    fn observed(
        own_off: Option<i64>,
        server: Option<i64>,
        timestamps: Option<i64>,
    ) -> TimeConsensus {
        let mut time = TimeConsensus::default();
        for secs in 0..=10 {
            time.observe_own(own(own_off, secs));
            if let Some(off) = server.filter(|_| secs % 5 == 0) {
                time.server(at(secs), clock(off, secs));
            }
            if let Some(off) = timestamps {
                time.timestamp(Cluster::Indices, clock(off, secs), at(secs));
            }
        }
        time
    }

    #[test]
    fn two_equal_clocks_set_the_time_and_the_third_clock_is_reported() {
        for off_by in [45, -45, 900, -900, 3600, -3600] {
            for (who, time) in [
                (TimeSource::Own, observed(Some(off_by), Some(0), Some(0))),
                (TimeSource::Server, observed(Some(0), Some(off_by), Some(0))),
                (TimeSource::Stamps, observed(Some(0), Some(0), Some(off_by))),
            ] {
                let mut time = time;
                assert_eq!(off(&time, 10), Some(0), "{who:?} {off_by}");
                time.observe_own(own(time.own.map(|own| (own - TRUE) / 1000), 25));
                let expected = Some(ClockFault {
                    who,
                    off: off_by * 1000,
                });
                // Timestamps that are 15 minutes old belong to a delayed source.
                let late = who == TimeSource::Stamps && off_by == -900;
                assert_eq!(time.fault(at(25)), expected.filter(|_| !late));
                assert_eq!(time.reported, expected.filter(|_| !late).map(|_| who));
            }
        }
    }

    #[test]
    fn a_single_clock_or_two_different_clocks_set_no_time() {
        assert_eq!(off(&observed(Some(0), None, None), 10), None);
        assert_eq!(off(&observed(None, Some(0), None), 10), None);
        assert_eq!(off(&observed(None, None, Some(0)), 10), None);
        assert_eq!(off(&observed(Some(45), Some(0), None), 10), None);
        assert_eq!(off(&observed(None, Some(0), Some(0)), 10), Some(0));
        assert_eq!(off(&observed(Some(0), None, Some(0)), 10), Some(0));
    }

    #[test]
    fn the_agreed_time_continues_if_the_own_clock_steps_or_is_lost() {
        let mut time = observed(Some(0), Some(0), None);
        time.observe_own(own(Some(3600), 20));
        assert_eq!(off(&time, 20), Some(0));
        time.observe_own(own(None, 30));
        assert_eq!(off(&time, 4000), Some(0));
        // Two sources agree on another time.
        time.observe_own(own(Some(-3600), 40));
        time.server(at(41), clock(-3600, 41));
        assert_eq!(off(&time, 41), Some(-3600));
    }

    #[test]
    fn a_single_wrong_timestamp_does_not_change_the_time() {
        let mut time = observed(Some(900), Some(0), Some(0));
        time.timestamp(Cluster::Indices, clock(50, 11), at(11));
        assert_eq!(off(&time, 11), Some(0));
        // A clock fault of two seconds is too short for a report.
        let mut right = observed(Some(0), Some(0), Some(0));
        right.observe_own(own(Some(60), 11));
        assert_eq!(right.fault(at(12)), None);
        right.observe_own(own(Some(0), 13));
        assert_eq!(right.fault(at(30)), None);
        let late = time.timestamp(Cluster::Indices, clock(0, 12), at(12));
        assert_eq!(late, Duration::ZERO);
    }

    #[test]
    fn a_timestamp_behind_the_smallest_lag_of_its_connection_is_late() {
        let mut time = observed(None, None, Some(0));
        let late = time.timestamp(Cluster::Indices, clock(-26, 11), at(11));
        assert_eq!(late, Duration::from_secs(26));
        time.connected(Cluster::Indices);
        let first = time.timestamp(Cluster::Indices, clock(-26, 12), at(12));
        assert_eq!(first, Duration::ZERO);
    }

    #[test]
    fn a_delayed_feed_does_not_confirm_a_clock_that_is_behind() {
        let mut time = observed(Some(-900), Some(0), Some(-900));
        assert_eq!(off(&time, 10), Some(-900), "two that agree");
        time.set_delayed(Cluster::Indices, true);
        assert_eq!(off(&time, 10), Some(0));
        // The source is delayed but not marked as delayed, and no two time sources agree.
        let time = observed(None, Some(0), Some(-900));
        assert!(time.is_late(Cluster::Indices, clock(-900, 10), at(10)));
        assert!(!time.is_late(Cluster::Indices, clock(-2, 10), at(10)));
        for (lag, late) in [(839, false), (840, true), (1020, true), (1021, false)] {
            let time = observed(None, Some(0), Some(-lag));
            let is_late = time.is_late(Cluster::Indices, clock(-lag, 10), at(10));
            assert_eq!(is_late, late, "{lag}");
        }
    }

    #[test]
    fn the_largest_offset_ignores_a_single_leap_and_counts_near_offsets() {
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
        // A second offset near the first offset confirms the first offset.
        assert_eq!(largest(&[0, 60_000, 55_000]), (Some(55_000), 2));
        assert_eq!(largest(&[0, 60_000, 54_999]), (Some(0), 1));
        assert_eq!(largest(&[0, 60_000, 0, 60_000]), (Some(0), 2));
    }

    #[test]
    fn among_nearly_equal_server_times_the_latest_time_is_used() {
        let mut time = TimeConsensus::default();
        time.server(at(1), clock(0, 1));
        time.server(at(2), clock(-2, 2));
        assert_eq!(time.server, Some(TRUE));
        time.server(at(3), clock(-3, 3));
        assert_eq!(time.server, Some(TRUE - 3000));
    }

    #[test]
    fn the_newest_timestamp_comes_from_the_last_30_to_60_seconds() {
        let mut time = TimeConsensus::default();
        let mut newest = |off: i64, secs: u64| {
            time.timestamp(Cluster::Indices, clock(off, secs), at(secs));
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
        // After a minute without timestamps, the old windows are discarded.
        assert_eq!(newest(-30, 120), None);
        assert_eq!(newest(-30, 121), Some(-30));
    }

    #[test]
    fn a_stream_in_real_time_of_a_source_with_delayed_rows_is_no_clock_fault() {
        let mut time = observed(Some(0), Some(0), Some(0));
        time.set_delayed(Cluster::Indices, true);
        for secs in 11..=30 {
            time.observe_own(own(Some(0), secs));
            time.timestamp(Cluster::Indices, clock(0, secs), at(secs));
        }
        assert_eq!(time.fault(at(30)), None);
        assert_eq!(off(&time, 30), Some(0));
        // One clock that is 15 minutes behind does not make a delayed stream one in real time.
        let mut time = observed(Some(-900), Some(0), Some(-900));
        time.set_delayed(Cluster::Indices, true);
        time.observe_own(own(Some(-900), 20));
        time.observe_own(own(Some(-900), 30));
        let fault = time.fault(at(30)).map(|fault| fault.who);
        assert_eq!((fault, off(&time, 30)), (Some(TimeSource::Own), Some(0)));
    }

    #[test]
    fn a_delayed_source_stays_delayed_on_its_next_connection() {
        let mut time = TimeConsensus::default();
        time.set_delayed(Cluster::Indices, true);
        time.connected(Cluster::Indices);
        assert!(time.streams[Cluster::Indices as usize].delayed);
    }

    #[test]
    fn among_agreeing_clocks_the_latest_time_is_used() {
        for (own, server, timestamps, agreed, by_timestamps) in [
            (Some(4), Some(0), Some(0), 4, false),
            (Some(0), Some(4), Some(0), 4, false),
            (Some(0), Some(0), Some(4), 4, false),
            // The timestamps agree with only one of the two other sources.
            (Some(0), Some(3), Some(7), 3, false),
            (Some(0), Some(0), None, 0, false),
            (None, Some(0), Some(0), 0, true),
            (Some(0), None, Some(0), 0, true),
        ] {
            let time = observed(own, server, timestamps);
            let case = (own, server, timestamps);
            assert_eq!(off(&time, 10), Some(agreed), "{case:?}");
            assert_eq!(time.by_timestamps, by_timestamps, "{case:?}");
        }
    }

    #[test]
    fn is_own_is_true_only_if_the_own_clock_is_right() {
        assert!(observed(Some(0), Some(0), None).is_own());
        assert!(!observed(Some(3600), Some(0), Some(0)).is_own());
        assert!(!observed(None, Some(0), Some(0)).is_own());
    }

    #[test]
    fn a_clock_is_reported_only_after_five_seconds_of_wrong_time() {
        let mut time = observed(Some(0), Some(0), Some(0));
        assert_eq!(time.deadline(at(10)), Moment::NEVER);
        time.observe_own(own(Some(60), 11));
        assert_eq!(time.deadline(at(12)), at(16));
        let reported = |time: &TimeConsensus, secs| time.fault(at(secs)).map(|fault| fault.who);
        assert_eq!(
            (reported(&time, 15), reported(&time, 16)),
            (None, Some(TimeSource::Own))
        );
        assert_eq!(time.deadline(at(16)), Moment::NEVER);
        // The fault of another clock has its own delay of five seconds.
        time.server(at(15), clock(60, 15));
        time.observe_own(own(Some(0), 15));
        assert_eq!(off(&time, 15), Some(0));
        assert_eq!(
            (reported(&time, 19), reported(&time, 20)),
            (None, Some(TimeSource::Server))
        );
        // A clock at the limit of the allowed difference is not reported.
        let mut near = observed(Some(5), Some(0), Some(0));
        near.observe_own(own(Some(5), 25));
        assert_eq!(reported(&near, 40), None);
    }

    #[test]
    fn the_clock_warning_contains_the_offset_and_its_direction() {
        for (off, way) in [(61_500, "61 s ahead"), (-61_500, "61 s behind")] {
            for (who, whose) in [
                (TimeSource::Own, "this machine's clock is "),
                (TimeSource::Server, "the server's clock is "),
                (TimeSource::Stamps, "the timestamps of the values are "),
            ] {
                let words = words(ClockFault { who, off });
                assert!(words.starts_with(&format!("{whose}{way}")), "{words}");
            }
        }
    }

    #[test]
    fn nearly_equal_offsets_count_as_equal() {
        assert!(!differs(Some(TRUE), Some(TRUE + SAME)));
        assert!(differs(Some(TRUE), Some(TRUE + SAME + 1)));
        assert!(differs(Some(TRUE), None));
        assert!(!differs(None, None));
    }
}
