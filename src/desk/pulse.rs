//! How the connection does: where it fails and since when, how many messages, how late. Owns
//! those counts and judges no value.

use core::time::Duration;

use crate::clock::{Moment, Now, Utc};
use crate::feed::link::Phase;
use crate::feed::{Status, Why};
use crate::market::Cluster;
use crate::screen::{ClockFault, Hop, Prices, Report, Sign};

/// Messages are counted over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// What fails for less long than this is not worth a page of its own.
const TROUBLE: Duration = Duration::from_secs(10);
/// A link is called silent only after some time.
const SILENT: Duration = Duration::from_secs(4);
/// REST is asked at least this often while it is all there is; with some room for its answer.
const ANSWERED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    /// In the order of [`Cluster::ALL`].
    links: [Status; Cluster::ALL.len()],
    /// When REST last answered.
    answered: Option<Moment>,
    /// The last prices that were told are simulated.
    simulated: bool,
    hop: Hop,
    sign: Sign,
    since: Moment,
    /// When the window began, the messages in it, and those of the one before: `None` in the first.
    window: (Moment, u32, Option<u32>),
    last: Option<Moment>,
    /// Milliseconds, smoothed: an eighth of it is the newest.
    latency: Option<i64>,
}

impl Pulse {
    pub(super) const fn new(now: Moment) -> Self {
        let idle = Status {
            phase: Phase::Idle,
            why: None,
            connections: 0,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        };
        Self {
            links: [idle; Cluster::ALL.len()],
            answered: None,
            simulated: false,
            hop: Hop::Hub,
            sign: Sign::Joining,
            since: now,
            window: (now, 0, None),
            last: None,
            latency: None,
        }
    }

    /// A link has changed its state.
    pub(super) fn status(&mut self, cluster: Cluster, status: Status, now: Moment) {
        self.links[cluster as usize] = status;
        if let Some(simulated) = status.simulated.filter(|_| is_in_use(&status)) {
            self.simulated = simulated;
        }
        self.judge(now);
    }

    /// What this link is doing.
    pub(super) const fn link(&self, cluster: Cluster) -> Status {
        self.links[cluster as usize]
    }

    /// The prices of some link in use are simulated; while none is, the last that were told are.
    pub(super) fn simulated(&self) -> bool {
        let mut links = self.links.iter().filter(|link| is_in_use(link)).peekable();
        if links.peek().is_none() {
            return self.simulated;
        }
        links.any(|link| link.simulated == Some(true))
    }

    /// Somebody has told prices that are simulated, or are not.
    pub(super) const fn set_simulated(&mut self, simulated: bool) {
        self.simulated = simulated;
    }

    /// How often a link has returned.
    pub(super) fn returns(&self) -> u64 {
        let returns = self.links.iter();
        returns
            .map(|link| u64::from(link.connections.saturating_sub(1)))
            .sum()
    }

    /// REST has answered.
    pub(super) fn answered(&mut self, now: Moment) {
        self.answered = Some(now);
    }

    /// A value was streamed.
    pub(super) fn message(&mut self, stamp: Option<Utc>, now: Now) {
        self.roll(now.monotonic);
        self.window.1 = self.window.1.saturating_add(1);
        self.last = Some(now.monotonic);
        if let (Some(stamp), Some(utc)) = (stamp, now.utc) {
            let lag = utc.millis_since(stamp);
            let before = self.latency.unwrap_or(lag);
            // One that is far off was not late but old, or the clock was set in between.
            self.latency = Some(if before.abs_diff(lag) > 60_000 {
                lag
            } else {
                before + (lag - before) / 8
            });
        }
    }

    /// Begins another window if it is time.
    fn roll(&mut self, now: Moment) {
        let (began, count, _) = self.window;
        let over = now.since(began);
        if over >= WINDOW {
            let whole = over < WINDOW * 2;
            self.window = (now, 0, Some(if whole { count } else { 0 }));
        }
    }

    /// Finds out where it fails now. Where there are links it is they that tell when that
    /// changes; what REST carries alone may be out of date at any time.
    pub(super) fn look(&mut self, now: Moment) {
        if self.needed().next().is_none() {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Moment) {
        self.sign = self.worst(now);
        let hop = self.failing(now);
        if hop != self.hop {
            (self.hop, self.since) = (hop, now);
        }
    }

    /// The links without which there are no prices. That of the shares is none of them: not every
    /// plan has it, and REST carries what it carries.
    fn needed(&self) -> impl Iterator<Item = &Status> {
        let clusters = [Cluster::Indices, Cluster::Options];
        clusters
            .map(|cluster| &self.links[cluster as usize])
            .into_iter()
            .filter(|link| link.phase != Phase::Idle)
    }

    fn by_rest(&self, now: Moment) -> bool {
        let fresh = |answered: Moment| now.since(answered) <= ANSWERED;
        self.answered.is_some_and(fresh)
            || self.links[Cluster::Stocks as usize].phase == Phase::Live
    }

    /// The worst of the links that are needed: what is live needs no sign.
    pub(super) const fn sign(&self) -> Sign {
        self.sign
    }

    fn worst(&self, now: Moment) -> Sign {
        let sign = |link: &Status| match link.phase {
            Phase::Live if link.cut_off => Sign::Silent,
            Phase::Live => Sign::Live,
            Phase::Silent => Sign::Silent,
            Phase::Down => Sign::Down,
            Phase::Refused => Sign::Refused,
            Phase::Joining | Phase::Idle => Sign::Joining,
        };
        let rank = |sign: &Sign| match sign {
            Sign::Live => 0,
            Sign::Joining => 1,
            Sign::Silent => 2,
            Sign::Down => 3,
            Sign::Refused => 4,
        };
        match self.needed().map(sign).max_by_key(rank) {
            Some(worst) => worst,
            None if self.by_rest(now) => Sign::Live,
            // Nothing is open yet: the first link is on its way.
            None => Sign::Joining,
        }
    }

    fn failing(&self, now: Moment) -> Hop {
        if self.needed().next().is_none() {
            return if self.by_rest(now) {
                Hop::None
            } else {
                Hop::Hub
            };
        }
        let hops = self
            .needed()
            .filter_map(|link| match (link.phase, link.why) {
                (Phase::Live, _) if !link.cut_off => None,
                (Phase::Live | Phase::Silent, _) => Some(Hop::Upstream),
                (_, Some(why)) => Some(hop(why)),
                // On its way for the first time.
                (_, None) => Some(Hop::Hub),
            });
        // The nearest of them: what lies behind it cannot be known.
        hops.min_by_key(|hop| *hop as u8).unwrap_or(Hop::None)
    }

    /// Whether it has failed long enough to be worth a page.
    pub(super) fn troubled(&self, now: Moment) -> bool {
        self.hop != Hop::None && now.since(self.since) >= self.patience()
    }

    /// When that is so next although nothing happens.
    pub(super) fn trouble(&self, now: Moment) -> Moment {
        if self.hop == Hop::None || self.troubled(now) {
            return Moment::NEVER;
        }
        self.since + self.patience()
    }

    fn patience(&self) -> Duration {
        if self.sign == Sign::Silent {
            SILENT
        } else {
            TROUBLE
        }
    }

    /// For the link's page.
    pub(super) fn report(
        &mut self,
        now: Now,
        prices: Prices,
        clock: Option<ClockFault>,
        wear: (u32, u32),
    ) -> Report {
        self.roll(now.monotonic);
        Report {
            hop: self.hop,
            since: now.monotonic.since(self.since),
            prices,
            messages: self.window.2,
            latency: self.latency.filter(|_| now.utc.is_some()),
            clock_set: now.utc.is_some(),
            clock,
            reconnects: u32::try_from(self.returns()).unwrap_or(u32::MAX),
            last: self.last.map(|last| now.monotonic.since(last)),
            wear,
        }
    }
}

const fn hop(why: Why) -> Hop {
    match why {
        Why::Network => Hop::Address,
        Why::Dns => Hop::Dns,
        Why::Clock => Hop::Clock,
        Why::Tls => Hop::Tls,
        Why::Portal => Hop::Portal,
        Why::Token | Why::Key => Hop::Token,
        Why::Silent => Hop::Upstream,
        Why::Unreachable
        | Why::Path
        | Why::Busy
        | Why::Protocol
        | Why::Evicted
        | Why::Timeout
        | Why::Dead
        | Why::Lost
        | Why::Restarting
        | Why::Done => Hop::Hub,
    }
}

/// Whether a link carries prices, or would if there were some.
pub(super) const fn is_in_use(status: &Status) -> bool {
    matches!(status.phase, Phase::Live | Phase::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn status(phase: Phase, why: Option<Why>) -> Status {
        Status {
            phase,
            why,
            connections: 1,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        }
    }

    #[test]
    fn the_hop_that_fails_is_named_from_when_it_began() {
        let mut pulse = Pulse::new(at(0));
        pulse.status(Cluster::Indices, status(Phase::Joining, None), at(1));
        assert_eq!((pulse.hop, pulse.since), (Hop::Hub, at(0)));
        for (why, hop) in [
            (Why::Network, Hop::Address),
            (Why::Dns, Hop::Dns),
            (Why::Clock, Hop::Clock),
            (Why::Portal, Hop::Portal),
            (Why::Token, Hop::Token),
            (Why::Lost, Hop::Hub),
        ] {
            pulse.status(Cluster::Indices, status(Phase::Down, Some(why)), at(5));
            assert_eq!((pulse.hop, pulse.since), (hop, at(5)), "{why}");
            // It goes on trying, and still fails there.
            pulse.status(Cluster::Indices, status(Phase::Joining, Some(why)), at(9));
            assert_eq!((pulse.hop, pulse.since), (hop, at(5)), "{why}");
        }
        assert!(!pulse.troubled(at(14)) && pulse.troubled(at(15)));
        assert_eq!(pulse.trouble(at(6)), at(15));
        pulse.status(Cluster::Indices, status(Phase::Live, None), at(30));
        assert_eq!((pulse.hop, pulse.sign()), (Hop::None, Sign::Live));
        assert!(!pulse.troubled(at(99)));
    }

    #[test]
    fn a_hub_that_has_lost_its_vendor_is_not_called_live() {
        let mut pulse = Pulse::new(at(0));
        let cut_off = Status {
            cut_off: true,
            ..status(Phase::Live, None)
        };
        pulse.status(Cluster::Indices, cut_off, at(1));
        assert_eq!((pulse.hop, pulse.sign()), (Hop::Upstream, Sign::Silent));
    }

    #[test]
    fn a_plan_without_shares_is_no_failure_while_rest_carries_them() {
        let mut pulse = Pulse::new(at(0));
        pulse.status(
            Cluster::Stocks,
            status(Phase::Refused, Some(Why::Path)),
            at(1),
        );
        assert_eq!(pulse.sign(), Sign::Joining);
        pulse.answered(at(2));
        pulse.judge(at(2));
        assert_eq!((pulse.hop, pulse.sign()), (Hop::None, Sign::Live));
        pulse.judge(at(63));
        assert_eq!((pulse.hop, pulse.sign()), (Hop::Hub, Sign::Joining));
    }

    #[test]
    fn the_report_counts_the_last_ten_seconds_and_smooths_the_latency() {
        let mut pulse = Pulse::new(at(0));
        let now = |millis: u64| {
            Now::new(
                Moment::from_millis(millis),
                Utc(1_768_323_600_000 + millis as i64),
            )
        };
        for nth in 0..20 {
            let now = now(nth * 500);
            let stamp = Utc(now.utc.unwrap().0 - 40);
            pulse.message(Some(stamp), now);
        }
        let report = |pulse: &mut Pulse, at| pulse.report(now(at), Prices::Fresh, None, (0, 0));
        assert_eq!(
            report(&mut pulse, 9_999).messages,
            None,
            "it is too early to say"
        );
        let first = report(&mut pulse, 10_000);
        assert_eq!((first.messages, first.latency), (Some(20), Some(40)));
        assert_eq!(first.last, Some(Duration::from_millis(500)));
        assert_eq!(report(&mut pulse, 40_000).messages, Some(0));
    }
}
