//! The event sink of the session with the server above: converts its events and its state into reports
//! for the event loop of the cluster. Owns no socket and no subscription.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::feed::ConnectionStatus;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::sink::{ConsumerGone, EventSink, ServerState};
use crate::hub::health::ReportSender;
use crate::hub::metrics::Metrics;
use crate::hub::rest::aggregates::BarCache;
use crate::hub::{Arrival, RelayedEvent, UpstreamEvent};
use crate::market::{Channel, ChannelKind, Cluster, Ticker};
use crate::massive::websocket::{self, ChannelRefusal, RelayedEventRef, StatusKind};
use crate::net::failure::Failure;
use crate::net::source::FeedProvider;
use crate::time::{Clock, Moment};

/// Reports the events of the session to the event loop.
pub(super) struct UpstreamSink {
    pub(super) reports: ReportSender,
    /// The last report about the connection, stored so that no report is sent twice in a row.
    pub(super) last_report: Option<UpstreamEvent>,
    /// The kind of the server above.
    pub(super) provider: FeedProvider,
    pub(super) simulated: watch::Sender<bool>,
    /// True if the server above has accepted this hub before: the secret is valid, and the server
    /// has this cluster.
    pub(super) proven: bool,
    /// The last report of the hub above about the loss of its own upstream.
    pub(super) cut_off: Arrival,
    pub(super) minutes: BarCache,
    pub(super) greeted: watch::Sender<Option<bool>>,
    pub(super) cluster: Cluster,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

impl EventSink for UpstreamSink {
    // A hub reports its state together with its welcome. Before it, neither the kind of the prices
    // nor the state of the vendor is known.
    const AWAITS_WELCOME: bool = true;

    async fn status(&mut self, _: Cluster, status: ConnectionStatus) -> Result<(), ConsumerGone> {
        let is_simulated = status.simulated == Some(true);
        self.simulated.send_if_modified(|simulated| {
            std::mem::replace(simulated, is_simulated) != is_simulated
        });
        if status.phase == ConnectionPhase::Live {
            self.proven = true;
            // This update comes before the report, so that the hub repeats no data of another
            // vendor afterwards.
            let before = self.greeted.send_replace(Some(is_simulated));
            if before != Some(is_simulated) {
                self.minutes.seen(is_simulated, &[]);
            }
        }
        let reason = status.reason.map(|reason| reason.for_hub(self.provider));
        let report = match (status.phase, reason) {
            // During the wait the session requests nothing, so there is nothing to report.
            _ if self.reports.barred() => return Ok(()),
            // A refused upgrade has another reason, because it comes from a server in front of the
            // vendor.
            (ConnectionPhase::Refused, Some(reason @ (Failure::Key | Failure::Plan)))
                if !self.proven =>
            {
                self.last_report = None;
                return self.reports.send(UpstreamEvent::Barred(reason)).await;
            }
            // The hub above does not serve this cluster, or its own upstream refuses the cluster.
            (_, Some(reason @ Failure::Path))
                if self.provider == FeedProvider::Hub && !self.proven =>
            {
                self.last_report = None;
                return self.reports.send(UpstreamEvent::Barred(reason)).await;
            }
            // The hub above has lost its own upstream.
            (ConnectionPhase::Live, _) if status.cut_off => UpstreamEvent::CutOff(self.cut_off),
            (ConnectionPhase::Live, _) => UpstreamEvent::Up {
                simulated: is_simulated,
            },
            (ConnectionPhase::Silent, Some(reason)) => UpstreamEvent::Stalled(reason),
            (ConnectionPhase::Idle, _) => UpstreamEvent::Down(Failure::Done),
            // The hub above is replaced by another one, which may have missed values of this one.
            (ConnectionPhase::Down, None) => UpstreamEvent::Down(Failure::Moved),
            (_, Some(reason)) => UpstreamEvent::Down(reason),
            // The first connection attempt is in progress: the state is neither up nor a failure.
            (_, None) => return Ok(()),
        };
        if self.last_report.as_ref() == Some(&report) {
            return Ok(());
        }
        self.last_report = Some(report.clone());
        self.reports.send(report).await
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState,
        now: Moment,
    ) -> Result<(), ConsumerGone> {
        let (mut events, mut bars, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        let bytes = Bytes::from(frame.clone());
        self.metrics.messages_received.of(self.cluster).add(1);
        let length = bytes.len() as u64;
        self.metrics.bytes_received.of(self.cluster).add(length);
        let utc = self.clock.now().utc_of(now);
        for passing in websocket::passing(frame) {
            match passing {
                Ok(RelayedEventRef::Status(status_kind, message, age)) => {
                    server.handle_status(status_kind, &message, now);
                    if status_kind == StatusKind::UpstreamDown {
                        let age = age.unwrap_or_default();
                        self.cut_off = Arrival { at: now, age };
                    }
                    if status_kind == StatusKind::Success {
                        confirmed.extend(websocket::subscribed(&message));
                    }
                }
                Ok(RelayedEventRef::Data {
                    kind,
                    ticker,
                    age,
                    stamp,
                    json,
                }) => {
                    // A repeated event does not show the latency of the connection.
                    if let (None, Some(utc), Some(stamp)) = (age, utc, stamp) {
                        self.metrics
                            .vendor_latency
                            .of(self.cluster)
                            .observe(utc.since(stamp));
                    }
                    // An event that arrives after the end of its subscription is dropped, because
                    // no client wants this event.
                    if server.data(kind, &ticker, now)
                        && let Ok(ticker) = Ticker::try_from(ticker.as_ref())
                    {
                        let relayed = RelayedEvent {
                            channel: Channel { kind, ticker },
                            json: bytes.slice_ref(json.as_bytes()),
                            arrival: Arrival {
                                at: now,
                                age: age.unwrap_or_default(),
                            },
                        };
                        if kind == ChannelKind::Minute {
                            bars.push(relayed.clone());
                        }
                        events.push(relayed);
                    }
                }
                Ok(RelayedEventRef::Unused) => {}
                Err(parse_error) => server.count_parse_error(parse_error, frame),
            }
        }
        if !confirmed.is_empty() {
            self.reports
                .send(UpstreamEvent::Confirmed(confirmed))
                .await?;
        }
        if events.is_empty() {
            return Ok(());
        }
        if !bars.is_empty() {
            let simulated = *self.simulated.borrow();
            self.minutes.seen(simulated, &bars);
        }
        self.reports.send(UpstreamEvent::Events(events)).await
    }

    async fn unsubscribed(&mut self, channel: Channel) -> Result<(), ConsumerGone> {
        self.reports
            .send(UpstreamEvent::Unsubscribed(channel))
            .await
    }

    async fn unanswered(
        &mut self,
        channel: Channel,
        refusal: ChannelRefusal,
    ) -> Result<(), ConsumerGone> {
        let report = UpstreamEvent::Unanswered(channel, refusal);
        self.reports.send(report).await
    }
}
