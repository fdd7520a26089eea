//! The link monitor: the hop where the connection fails, the start of the failure, the rate of
//! messages and their latency. This module owns these values and judges no price.

use core::time::Duration;

use crate::feed::ConnectionStatus;
use crate::feed::connection_status::ConnectionPhase;
use crate::market::Cluster;
use crate::net::failure::Failure;
use crate::render::{ClockFault, LinkHop, LinkIcon, LinkReport, PriceSummary};
use crate::time::{Moment, Now, Utc};

/// The time window in which messages are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// The link page appears only if a failure lasts at least this long.
const TROUBLE: Duration = Duration::from_secs(10);
/// The link page appears after this time if a connection is silent. The time is short because a
/// session itself waits before it reports silence.
const SILENT: Duration = Duration::from_secs(4);
/// The maximum age of the last REST response with data if the plan excludes a cluster. REST is polled
/// more often than this, so a slow response is allowed.
const PRICED: Duration = Duration::from_secs(60);

/// The time for which a streamed value without a usable timestamp is reported. It is longer than
/// the interval of the slowest index with a schedule.
const UNDATED: Duration = Duration::from_secs(120);

/// The state of the connections; see the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct LinkMonitor {
    /// The status of each connection, in the order of [`Cluster::ALL`].
    links: [ConnectionStatus; Cluster::ALL.len()],
    /// True for each connection that was already open when another connection became silent, and
    /// that has delivered no message since.
    suspect: [bool; Cluster::ALL.len()],
    /// The outcome of the last REST request; `None` before the first outcome of this hub.
    rest: Option<Result<(), Failure>>,
    /// The time of the last REST response with data.
    priced: Option<Moment>,
    /// The time of `rest`.
    rest_at: Moment,
    /// The time of the last failure of a connection.
    failed: Moment,
    /// True if the server is the vendor and not a hub.
    vendor: bool,
    /// True if the prices are simulated, by the last report.
    simulated: bool,
    hop: LinkHop,
    icon: LinkIcon,
    since: Moment,
    /// The start of the window, the messages in the window, and the messages of the window before
    /// it (`None` in the first window).
    window: (Moment, u32, Option<u32>),
    last: Option<Moment>,
    /// The smoothed latency in milliseconds. Each new value has a weight of one eighth.
    latency: Option<i64>,
    /// The receive time of the last streamed value without a usable timestamp.
    undated: Option<Moment>,
}

impl LinkMonitor {
    pub(crate) const fn new(now: Moment) -> Self {
        let idle = ConnectionStatus {
            phase: ConnectionPhase::Idle,
            reason: None,
            connections: 0,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        };
        Self {
            links: [idle; Cluster::ALL.len()],
            suspect: [false; Cluster::ALL.len()],
            rest: None,
            priced: None,
            rest_at: Moment::ZERO,
            failed: Moment::ZERO,
            vendor: false,
            simulated: false,
            hop: LinkHop::Hub,
            icon: LinkIcon::Joining,
            since: now,
            window: (now, 0, None),
            last: None,
            latency: None,
            undated: None,
        }
    }

    /// Sets whether the server is the vendor and not a hub.
    pub(crate) fn set_vendor(&mut self, vendor: bool) {
        self.vendor = vendor;
        if self.hop == LinkHop::Hub {
            self.hop = self.unknown();
        }
    }

    /// Stores the new status of a connection.
    pub(crate) fn status(&mut self, cluster: Cluster, status: ConnectionStatus, now: Moment) {
        let before = std::mem::replace(&mut self.links[cluster as usize], status);
        let is_new = before.connections != status.connections;
        if status.phase == ConnectionPhase::Silent && (is_new || before.phase != status.phase) {
            self.suspect = [true; Cluster::ALL.len()];
        }
        if is_new || status.phase == ConnectionPhase::Silent {
            self.suspect[cluster as usize] = false;
        }
        if let Some(simulated) = status.simulated.filter(|_| is_in_use(&status)) {
            self.simulated = simulated;
        }
        if matches!(
            status.phase,
            ConnectionPhase::Down | ConnectionPhase::Refused
        ) {
            self.failed = now;
        }
        self.judge(now);
    }

    /// Returns the status of a connection.
    pub(crate) const fn link(&self, cluster: Cluster) -> ConnectionStatus {
        self.links[cluster as usize]
    }

    /// Returns true if another connection of the same host is silent, or became silent since this
    /// connection was opened and last delivered a message. This connection may then have lost its
    /// upstream too. The result stays true for any time, because at night no data is expected and
    /// such a loss is not noticed.
    pub(crate) fn is_suspect(&self, cluster: Cluster) -> bool {
        let silent = |other| self.link(other).phase == ConnectionPhase::Silent;
        let mut others = Cluster::ALL.into_iter().filter(|other| *other != cluster);
        self.suspect[cluster as usize] || others.any(silent)
    }

    /// Returns true if the prices of a connection in use are simulated. If no connection is in use,
    /// the last report counts.
    pub(crate) fn simulated(&self) -> bool {
        let mut links = self.links.iter().filter(|link| is_in_use(link)).peekable();
        if links.peek().is_none() {
            return self.simulated;
        }
        links.any(|link| link.simulated == Some(true))
    }

    /// Stores a report about the prices: true if they are simulated.
    pub(crate) const fn set_simulated(&mut self, simulated: bool) {
        self.simulated = simulated;
    }

    /// Returns the number of reconnections of all connections.
    pub(crate) fn returns(&self) -> u64 {
        let returns = |link: &ConnectionStatus| u64::from(link.connections.saturating_sub(1));
        self.links.iter().map(returns).sum()
    }

    /// Stores the time of a REST response with data for an instrument.
    pub(crate) const fn priced(&mut self, now: Moment) {
        self.priced = Some(now);
    }

    /// Stores the outcome of a REST request. Without a connection for the prices, this outcome is
    /// the state of the hub. It has no maximum age, because no request is sent while the market is
    /// closed.
    pub(crate) fn rest(&mut self, outcome: Result<(), Failure>, now: Moment) {
        if self.rest != Some(outcome) || outcome.is_err() {
            (self.rest, self.rest_at) = (Some(outcome), now);
            self.judge(now);
        }
    }

    /// Discards the outcome of the REST requests, because another hub is in use.
    pub(crate) fn hub_changed(&mut self, now: Moment) {
        (self.rest, self.priced) = (None, None);
        self.judge(now);
    }

    /// Counts a streamed message and updates the latency from its timestamp. The connection of the
    /// message is no longer suspect.
    pub(crate) fn message(&mut self, cluster: Cluster, timestamp: Option<Utc>, now: Now) {
        self.suspect[cluster as usize] = false;
        self.roll(now.monotonic);
        self.window.1 = self.window.1.saturating_add(1);
        self.last = Some(now.monotonic);
        if let (Some(timestamp), Some(utc)) = (timestamp, now.utc) {
            let lag = utc.millis_since(timestamp);
            let before = self.latency.unwrap_or(lag);
            // A large difference is not a change of the latency: the value is old, or the clock has
            // been set in between.
            self.latency = Some(if before.abs_diff(lag) > 60_000 {
                lag
            } else {
                before + (lag - before) / 8
            });
        }
    }

    /// Stores that a streamed value has no usable timestamp. Returns true if no such value was
    /// reported lately.
    pub(crate) fn undated(&mut self, now: Moment) -> bool {
        let is_reported = self.is_undated(now);
        self.undated = Some(now);
        !is_reported
    }

    fn is_undated(&self, now: Moment) -> bool {
        self.undated.is_some_and(|at| now.since(at) <= UNDATED)
    }

    /// Begins a new window if the present one is over.
    fn roll(&mut self, now: Moment) {
        let (began, count, _) = self.window;
        let over = now.since(began);
        if over >= WINDOW {
            self.window = (now, 0, Some(if over < WINDOW * 2 { count } else { 0 }));
        }
    }

    /// Judges the connection again if REST is the only source. If the plan excludes a cluster, the
    /// last response with data becomes too old without an event. With a connection, each change
    /// comes as a status report.
    pub(crate) fn refresh(&mut self, now: Moment) {
        if self.needed().next().is_none() {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Moment) {
        let worst = self.needed().map(icon).max_by_key(|(rank, _)| *rank);
        // The nearest hop counts: the state of the hops after it is unknown.
        let hops = self.needed().filter_map(|link| self.failed_hop(link));
        let nearest = hops.min_by_key(|hop| *hop as u8).unwrap_or(LinkHop::None);
        let hop;
        (self.icon, hop) = match worst {
            Some((_, icon)) => (icon, nearest),
            // The plan includes no cluster of the watchlist, and REST has no prices either.
            None if self.excluded() != NO_CLUSTER && !is_fresh(self.priced, now) => {
                (LinkIcon::Refused, LinkHop::Plan)
            }
            None => self.without_connection(),
        };
        if hop != self.hop {
            (self.hop, self.since) = (hop, now);
        }
    }

    /// Returns the connections that the prices depend on. The connection of the shares is not one
    /// of them, because not every plan includes it and REST can replace it. A connection that the
    /// plan does not include is not one of them either, because no retry can open it.
    fn needed(&self) -> impl Iterator<Item = &ConnectionStatus> {
        let links =
            [Cluster::Indices, Cluster::Options].map(|cluster| &self.links[cluster as usize]);
        (links.into_iter()).filter(|link| link.phase != ConnectionPhase::Idle && !is_excluded(link))
    }

    /// Returns the clusters that the vendor's plan does not include, by the order of
    /// [`Cluster::ALL`].
    fn excluded(&self) -> [bool; 3] {
        self.links.each_ref().map(is_excluded)
    }

    /// Returns the hop of a failure without a known place.
    const fn unknown(&self) -> LinkHop {
        if self.vendor {
            LinkHop::Vendor
        } else {
            LinkHop::Hub
        }
    }

    /// Returns the hop at which a connection fails; `None` if the connection works.
    fn failed_hop(&self, link: &ConnectionStatus) -> Option<LinkHop> {
        match link.phase {
            ConnectionPhase::Live if !link.cut_off => None,
            ConnectionPhase::Live | ConnectionPhase::Silent => Some(LinkHop::Upstream),
            // Without a reason, the first attempt to connect is in progress.
            _ => Some(match self.newer_rest_failure().or(link.reason) {
                Some(reason) => self.hop_of(reason),
                None => self.unknown(),
            }),
        }
    }

    /// Returns the reason of a REST failure that is newer than each failure of a connection. REST
    /// uses the same path to the same host, so the newest failure names the hop. While a connection
    /// is in use, the path works.
    fn newer_rest_failure(&self) -> Option<Failure> {
        let reason = self.rest?.err()?;
        // The server answers, and only the requested data is missing or not readable.
        let only_data = matches!(
            reason,
            Failure::Path | Failure::Plan | Failure::Protocol | Failure::UpgradeDropped
        );
        let newest = self.rest_at >= self.failed && !self.links.iter().any(is_in_use);
        (newest && !only_data).then_some(reason)
    }

    /// Returns the hop of a failure with this reason.
    const fn hop_of(&self, reason: Failure) -> LinkHop {
        match hop(reason) {
            LinkHop::Hub => self.unknown(),
            LinkHop::Token if self.vendor => LinkHop::Key,
            hop => hop,
        }
    }

    /// Returns the icon and the failed hop while the prices depend on no connection: the prices come
    /// from the connection of the shares or from REST.
    fn without_connection(&self) -> (LinkIcon, LinkHop) {
        let shares = &self.links[Cluster::Stocks as usize];
        match self.rest {
            _ if shares.phase == ConnectionPhase::Live && !shares.cut_off => {
                (LinkIcon::Live, LinkHop::None)
            }
            Some(Ok(())) => (LinkIcon::Live, LinkHop::None),
            Some(Err(reason)) if reason.refuses() => (LinkIcon::Refused, self.hop_of(reason)),
            Some(Err(reason)) => (LinkIcon::Down, self.hop_of(reason)),
            // The first request has no response yet.
            None => (LinkIcon::Joining, self.unknown()),
        }
    }

    /// Returns the icon of the worst connection that the prices depend on.
    pub(crate) const fn icon(&self) -> LinkIcon {
        self.icon
    }

    /// Returns true if the failure has lasted long enough to show the link page.
    pub(crate) fn troubled(&self, now: Moment) -> bool {
        now >= self.trouble_time()
    }

    /// Returns the time at which [`LinkMonitor::troubled`] becomes true without a new event.
    pub(crate) fn trouble(&self, now: Moment) -> Moment {
        let time = self.trouble_time();
        if now < time { time } else { Moment::NEVER }
    }

    /// Returns the time at which the present failure has lasted long enough for the link page.
    fn trouble_time(&self) -> Moment {
        match (self.hop, self.icon) {
            (LinkHop::None, _) => Moment::NEVER,
            (_, LinkIcon::Silent) => self.since + SILENT,
            _ => self.since + TROUBLE,
        }
    }

    /// Returns the data of the link page.
    pub(crate) fn report(
        &mut self,
        now: Now,
        prices: PriceSummary,
        clock: Option<ClockFault>,
        lit_hours: u32,
    ) -> LinkReport {
        self.roll(now.monotonic);
        LinkReport {
            hop: self.hop,
            since: now.monotonic.since(self.since),
            prices,
            messages: self.window.2,
            latency: self.latency.filter(|_| now.utc.is_some()),
            undated: self.is_undated(now.monotonic),
            clock_set: now.utc.is_some(),
            clock,
            reconnects: u32::try_from(self.returns()).unwrap_or(u32::MAX),
            last: self.last.map(|last| now.monotonic.since(last)),
            lit_hours,
            excluded: self.excluded(),
        }
    }
}

/// The value of [`LinkMonitor::excluded`] if the plan includes all clusters.
const NO_CLUSTER: [bool; 3] = [false; 3];

/// Returns true if a REST response with data is recent enough to serve the display without a
/// connection.
fn is_fresh(priced: Option<Moment>, now: Moment) -> bool {
    priced.is_some_and(|priced| now.since(priced) <= PRICED)
}

/// Returns true if the vendor's plan does not include the cluster of this connection. A new attempt
/// keeps the reason of the previous attempt until the vendor accepts the key.
pub(crate) fn is_excluded(link: &ConnectionStatus) -> bool {
    link.reason == Some(Failure::Plan)
        && matches!(
            link.phase,
            ConnectionPhase::Refused | ConnectionPhase::Joining
        )
}

/// Returns the icon of a connection with its rank. The worst icon has the highest rank.
const fn icon(link: &ConnectionStatus) -> (u8, LinkIcon) {
    match link.phase {
        ConnectionPhase::Live if !link.cut_off => (0, LinkIcon::Live),
        ConnectionPhase::Joining | ConnectionPhase::Idle => (1, LinkIcon::Joining),
        ConnectionPhase::Live | ConnectionPhase::Silent => (2, LinkIcon::Silent),
        ConnectionPhase::Down => (3, LinkIcon::Down),
        ConnectionPhase::Refused => (4, LinkIcon::Refused),
    }
}

const fn hop(reason: Failure) -> LinkHop {
    match reason {
        Failure::Network => LinkHop::Address,
        Failure::Dns => LinkHop::Dns,
        Failure::Clock => LinkHop::Clock,
        Failure::Tls
        | Failure::Expired
        | Failure::HostName
        | Failure::Issuer
        | Failure::CaFile
        | Failure::CaFileOrIntermediate
        | Failure::Intermediate
        | Failure::PlainPort
        | Failure::TlsRequired => LinkHop::Tls,
        Failure::Portal | Failure::Filtered => LinkHop::Portal,
        Failure::Token | Failure::Unproven => LinkHop::Token,
        Failure::Key => LinkHop::Key,
        Failure::Plan => LinkHop::Plan,
        Failure::Silent
        | Failure::HubUpstream
        | Failure::Limit
        | Failure::Loop
        | Failure::UpstreamToken
        | Failure::NotDeskticker
        | Failure::Moved => LinkHop::Upstream,
        Failure::NoHub
        | Failure::SeveralHubs
        | Failure::Unreachable
        | Failure::Refused
        | Failure::Gateway
        | Failure::UpgradeDropped
        | Failure::TooLarge
        | Failure::Policy
        | Failure::Path
        | Failure::NotAHub
        | Failure::UrlPath
        | Failure::Busy
        | Failure::Protocol
        | Failure::Evicted
        | Failure::Timeout
        | Failure::Dead
        | Failure::Lost
        | Failure::Restarting
        | Failure::Done => LinkHop::Hub,
    }
}

/// Returns true if the connection is live or silent, so that it can deliver prices.
pub(crate) const fn is_in_use(status: &ConnectionStatus) -> bool {
    matches!(
        status.phase,
        ConnectionPhase::Live | ConnectionPhase::Silent
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    #[test]
    fn a_connection_stays_suspect_until_it_delivers_a_message_or_is_opened_again() {
        let (mut link_monitor, utc) = (LinkMonitor::new(at(0)), Utc(1_800_000_000_000));
        let live = status(ConnectionPhase::Live, None);
        let silent = status(ConnectionPhase::Silent, Some(Failure::Silent));
        let reopened = ConnectionStatus {
            connections: 2,
            ..live
        };
        let suspects = |monitor: &LinkMonitor| {
            [Cluster::Indices, Cluster::Options].map(|cluster| monitor.is_suspect(cluster))
        };
        let options = Cluster::Options;
        for (cluster, status) in [(Cluster::Indices, live), (options, live)] {
            link_monitor.status(cluster, status, at(1));
        }
        assert_eq!(suspects(&link_monitor), [false, false]);

        link_monitor.status(Cluster::Indices, silent, at(20));
        link_monitor.status(Cluster::Indices, reopened, at(30));
        assert_eq!(suspects(&link_monitor), [false, true]);
        // The suspicion has no time limit, because the market may be closed for hours.
        let mut opened_again = link_monitor.clone();
        opened_again.status(options, reopened, at(22_001));
        assert_eq!(suspects(&opened_again), [false, false]);
        link_monitor.message(options, None, Now::new(at(22_001), utc));
        assert_eq!(suspects(&link_monitor), [false, false]);
    }

    #[test]
    fn values_without_a_usable_timestamp_are_reported_once_until_they_have_stopped() {
        let mut link_monitor = LinkMonitor::new(at(0));
        let shown = |monitor: &mut LinkMonitor, secs| {
            let now = Now::new(at(secs), Utc(1_800_000_000_000));
            monitor.report(now, PriceSummary::None, None, 0).undated
        };
        assert!(!shown(&mut link_monitor, 1));
        assert!(link_monitor.undated(at(1)), "the first one is logged");
        for secs in [2, 17, 137] {
            assert!(!link_monitor.undated(at(secs)), "{secs}");
        }
        assert!(shown(&mut link_monitor, 257));
        assert!(!shown(&mut link_monitor, 258));
        assert!(link_monitor.undated(at(258)));
    }

    #[test]
    fn without_a_connection_the_last_rest_outcome_is_the_state_of_the_hub_until_the_hub_changes() {
        let mut link_monitor = LinkMonitor::new(at(0));
        let state = |monitor: &LinkMonitor| (monitor.icon(), monitor.hop);
        let joining = (LinkIcon::Joining, LinkHop::Hub);
        assert_eq!(state(&link_monitor), joining);
        for (outcome, expected) in [
            (Ok(()), (LinkIcon::Live, LinkHop::None)),
            (Err(Failure::Gateway), (LinkIcon::Down, LinkHop::Hub)),
            (
                Err(Failure::HubUpstream),
                (LinkIcon::Down, LinkHop::Upstream),
            ),
            (Err(Failure::Token), (LinkIcon::Refused, LinkHop::Token)),
        ] {
            link_monitor.rest(outcome, at(1));
            link_monitor.refresh(at(3_000));
            assert_eq!(state(&link_monitor), expected);
        }
        link_monitor.hub_changed(at(3_000));
        assert_eq!(state(&link_monitor), joining);
    }

    fn status(phase: ConnectionPhase, reason: Option<Failure>) -> ConnectionStatus {
        ConnectionStatus {
            phase,
            reason,
            connections: 1,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        }
    }

    #[test]
    fn the_failed_hop_is_reported_with_the_time_of_its_first_failure() {
        let mut link_monitor = LinkMonitor::new(at(0));
        link_monitor.status(
            Cluster::Indices,
            status(ConnectionPhase::Joining, None),
            at(1),
        );
        assert_eq!(
            (link_monitor.hop, link_monitor.since),
            (LinkHop::Hub, at(0))
        );
        for (reason, hop) in [
            (Failure::Network, LinkHop::Address),
            (Failure::Dns, LinkHop::Dns),
            (Failure::Clock, LinkHop::Clock),
            (Failure::Portal, LinkHop::Portal),
            (Failure::TlsRequired, LinkHop::Tls),
            (Failure::PlainPort, LinkHop::Tls),
            (Failure::CaFile, LinkHop::Tls),
            (Failure::UpgradeDropped, LinkHop::Hub),
            (Failure::UrlPath, LinkHop::Hub),
            (Failure::Token, LinkHop::Token),
            (Failure::Key, LinkHop::Key),
            (Failure::Lost, LinkHop::Hub),
        ] {
            link_monitor.status(
                Cluster::Indices,
                status(ConnectionPhase::Down, Some(reason)),
                at(5),
            );
            assert_eq!(
                (link_monitor.hop, link_monitor.since),
                (hop, at(5)),
                "{reason}"
            );
            // The session tries again and still fails at the same hop.
            link_monitor.status(
                Cluster::Indices,
                status(ConnectionPhase::Joining, Some(reason)),
                at(9),
            );
            assert_eq!(
                (link_monitor.hop, link_monitor.since),
                (hop, at(5)),
                "{reason}"
            );
        }
        assert!(!link_monitor.troubled(at(14)) && link_monitor.troubled(at(15)));
        assert_eq!(link_monitor.trouble(at(6)), at(15));
        link_monitor.status(
            Cluster::Indices,
            status(ConnectionPhase::Live, None),
            at(30),
        );
        assert_eq!(
            (link_monitor.hop, link_monitor.icon()),
            (LinkHop::None, LinkIcon::Live)
        );
        assert!(!link_monitor.troubled(at(99)));
    }

    #[test]
    fn the_newest_failure_names_the_hop_of_a_socket_or_of_rest() {
        let mut monitor = LinkMonitor::new(at(0));
        let down = |reason| status(ConnectionPhase::Down, Some(reason));
        monitor.status(Cluster::Indices, down(Failure::Lost), at(1));
        assert_eq!(monitor.hop, LinkHop::Hub);
        monitor.rest(Err(Failure::Dns), at(2));
        assert_eq!((monitor.hop, monitor.since), (LinkHop::Dns, at(2)));
        // The start of a new attempt does not change the failed hop.
        let joining = status(ConnectionPhase::Joining, Some(Failure::Lost));
        monitor.status(Cluster::Indices, joining, at(3));
        assert_eq!(monitor.hop, LinkHop::Dns);
        monitor.status(Cluster::Indices, down(Failure::Network), at(4));
        assert_eq!(monitor.hop, LinkHop::Address);
        monitor.rest(Err(Failure::Token), at(5));
        assert_eq!(monitor.hop, LinkHop::Token);
        // A server without a REST path shows nothing about the network path to the server.
        monitor.rest(Err(Failure::Path), at(6));
        assert_eq!(monitor.hop, LinkHop::Address);
        monitor.rest(Err(Failure::Token), at(6));
        assert_eq!(monitor.hop, LinkHop::Token);
        // A successful REST response discards the earlier REST failure.
        monitor.rest(Ok(()), at(7));
        assert_eq!(monitor.hop, LinkHop::Address);
        let live = status(ConnectionPhase::Live, None);
        monitor.status(Cluster::Indices, live, at(8));
        monitor.rest(Err(Failure::Timeout), at(9));
        assert_eq!(
            (monitor.hop, monitor.icon()),
            (LinkHop::None, LinkIcon::Live)
        );
    }

    #[test]
    fn a_hub_without_its_vendor_is_not_live() {
        let mut link_monitor = LinkMonitor::new(at(0));
        let cut_off = ConnectionStatus {
            cut_off: true,
            ..status(ConnectionPhase::Live, None)
        };
        link_monitor.status(Cluster::Indices, cut_off, at(1));
        assert_eq!(
            (link_monitor.hop, link_monitor.icon()),
            (LinkHop::Upstream, LinkIcon::Silent)
        );
    }

    #[test]
    fn a_cluster_that_the_plan_lacks_is_no_failure_while_another_one_works() {
        let mut link_monitor = LinkMonitor::new(at(0));
        link_monitor.set_vendor(true);
        assert_eq!(link_monitor.hop, LinkHop::Vendor);
        let lacks = status(ConnectionPhase::Refused, Some(Failure::Plan));
        link_monitor.status(Cluster::Options, lacks, at(1));
        // The plan includes no cluster of the watchlist.
        let state = |monitor: &LinkMonitor| (monitor.hop, monitor.icon());
        assert_eq!(state(&link_monitor), (LinkHop::Plan, LinkIcon::Refused));
        link_monitor.rest(Ok(()), at(2));
        link_monitor.refresh(at(2));
        assert_eq!(state(&link_monitor), (LinkHop::Plan, LinkIcon::Refused));
        link_monitor.priced(at(3));
        link_monitor.refresh(at(3));
        assert_eq!(state(&link_monitor), (LinkHop::None, LinkIcon::Live));
        let live = status(ConnectionPhase::Live, None);
        link_monitor.status(Cluster::Indices, live, at(90));
        for phase in [ConnectionPhase::Refused, ConnectionPhase::Joining] {
            let lacks = status(phase, Some(Failure::Plan));
            link_monitor.status(Cluster::Options, lacks, at(91));
            assert_eq!(state(&link_monitor), (LinkHop::None, LinkIcon::Live));
            assert_eq!(link_monitor.excluded(), [false, true, false]);
        }
        for (reason, hop) in [
            (Failure::Evicted, LinkHop::Vendor),
            (Failure::Key, LinkHop::Key),
            (Failure::Token, LinkHop::Key),
            (Failure::Refused, LinkHop::Vendor),
        ] {
            let refused = status(ConnectionPhase::Refused, Some(reason));
            link_monitor.status(Cluster::Indices, refused, at(99));
            assert_eq!(link_monitor.hop, hop, "{reason}");
        }
    }

    #[test]
    fn a_plan_without_share_streams_is_no_failure_while_rest_works() {
        let mut link_monitor = LinkMonitor::new(at(0));
        link_monitor.status(
            Cluster::Stocks,
            status(ConnectionPhase::Refused, Some(Failure::Path)),
            at(1),
        );
        assert_eq!(link_monitor.icon(), LinkIcon::Joining);
        link_monitor.rest(Ok(()), at(2));
        assert_eq!(
            (link_monitor.hop, link_monitor.icon()),
            (LinkHop::None, LinkIcon::Live)
        );
    }

    #[test]
    fn the_report_counts_the_last_ten_seconds_and_smooths_the_latency() {
        let mut link_monitor = LinkMonitor::new(at(0));
        let now = |millis: u64| {
            Now::new(
                Moment::from_millis(millis),
                Utc(1_768_323_600_000 + millis as i64),
            )
        };
        for nth in 0..20 {
            let now = now(nth * 500);
            let timestamp = Utc(now.utc.unwrap().0 - 40);
            link_monitor.message(Cluster::Indices, Some(timestamp), now);
        }
        let report = |link_monitor: &mut LinkMonitor, at| {
            link_monitor.report(now(at), PriceSummary::Fresh, None, 0)
        };
        assert_eq!(
            report(&mut link_monitor, 9_999).messages,
            None,
            "it is too early to say"
        );
        let first = report(&mut link_monitor, 10_000);
        assert_eq!((first.messages, first.latency), (Some(20), Some(40)));
        assert_eq!(first.last, Some(Duration::from_millis(500)));
        assert_eq!(report(&mut link_monitor, 40_000).messages, Some(0));
    }
}
