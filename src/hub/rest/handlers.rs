//! The handlers of the REST requests: they check the question and return the response. This module
//! never sends a request to the vendor itself.

use std::sync::PoisonError;

use hyper::header::{HOST, HeaderName, RETRY_AFTER};
use hyper::{Request, StatusCode};
use serde_json::{Map, Value};

use super::aggregates::AggregatesRequest;
use super::query::Query;
use super::quote_rows::QuoteRequest;
use super::quotes::Asker;
use super::vendor_form::{SnapshotRequest, previous_request};
use crate::hub::HubSettings;
use crate::hub::auth::registry::Device;
use crate::hub::server::paths::RestRoute;
use crate::hub::server::request::{parameter, tickers_of};
use crate::hub::server::response::{
    HttpResponse, RefusedResponse, from_vendor, refuse, refuse_question,
};
use crate::hub::server::router::{Peer, Router, of_device};

/// The header in which a reverse proxy writes the scheme of the client's request.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Router {
    /// Returns the response to a REST request, which must contain a token. `device` is the device of
    /// this token; `None` without a valid token.
    pub(crate) async fn rest<B>(
        &self,
        request: &Request<B>,
        route: RestRoute,
        device: Option<Device>,
        peer_info: &Peer,
        settings: &HubSettings,
    ) -> Result<HttpResponse, RefusedResponse> {
        let device = self.authenticated(request, device)?;
        let answer = self.rest_of(request, route, &device, peer_info, settings);
        Ok(of_device(answer.await?, device))
    }

    async fn rest_of<B>(
        &self,
        request: &Request<B>,
        route: RestRoute,
        device: &Device,
        peer_info: &Peer,
        settings: &HubSettings,
    ) -> Result<HttpResponse, RefusedResponse> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let asker = Asker {
            device: device.clone(),
            most_tickers: match self.authenticator.has_other_devices() {
                true => usize::try_from(settings.limits.device_tickers).unwrap_or(usize::MAX),
                false => usize::MAX,
            },
        };
        let without_parameters = || Query::parse(query, &[]).map_err(refuse_question);
        let next_page = |(mut body, next): (Map<String, Value>, Option<String>)| {
            if let Some(next) = next {
                let base = base(request, peer_info, settings);
                body.insert("next_url".into(), format!("{base}{next}").into());
            }
            Value::Object(body).to_string()
        };
        match route {
            RestRoute::Quotes => {
                let tickers = parameter(request, "tickers").unwrap_or_default();
                let has_zeros = match parameter(request, "missing").as_deref() {
                    None => false,
                    Some("zero") => true,
                    Some(_) => {
                        let reason = "missing has only the value zero";
                        return refuse(StatusCode::BAD_REQUEST, reason, &[]);
                    }
                };
                let request = QuoteRequest::new(&tickers_of(&tickers)?, has_zeros);
                Ok(from_vendor(self.quotes.quotes(&asker, &request).await))
            }
            RestRoute::Snapshot | RestRoute::SnapshotIndices => {
                let indices = route == RestRoute::SnapshotIndices;
                let parsed = SnapshotRequest::parse(query, indices).map_err(refuse_question)?;
                let answer = self.quotes.snapshots(&asker, &parsed).await;
                let answer = answer.map(|(body, next)| {
                    let next = next.map(|query| format!("{path}?{query}"));
                    next_page((body, next))
                });
                Ok(from_vendor(answer))
            }
            RestRoute::Aggregates => {
                self.count_bars(device, settings)?;
                if let Some(parsed) = previous_request(path, query) {
                    let symbol = parsed.map_err(refuse_question)?;
                    return Ok(from_vendor(self.quotes.previous_bar(&symbol).await));
                }
                let now = self.clock.now();
                let parsed = AggregatesRequest::parse(path, query, now);
                let parsed = parsed.map_err(refuse_question)?;
                let bars = self.minutes.answer(&self.quotes, device, &parsed, now);
                Ok(from_vendor(bars.await.map(next_page)))
            }
            RestRoute::Market => Ok(from_vendor(self.quotes.market_status().await)),
            RestRoute::VendorMarket => {
                without_parameters()?;
                Ok(from_vendor(self.quotes.market_status().await))
            }
            RestRoute::Upcoming => {
                without_parameters()?;
                Ok(from_vendor(self.quotes.upcoming().await))
            }
        }
    }

    /// Returns the device of a REST request, or the refusal if the request has no valid token.
    fn authenticated<B>(
        &self,
        request: &Request<B>,
        device: Option<Device>,
    ) -> Result<Device, RefusedResponse> {
        self.token_of(request)?;
        device.map_or_else(|| self.wrong_token(), Ok)
    }

    /// Counts a request for bars for its device. Each such request can cause a request to the
    /// vendor.
    fn count_bars(&self, device: &Device, settings: &HubSettings) -> Result<(), RefusedResponse> {
        let (most, now) = (settings.limits.device_bars, self.clock.now().monotonic);
        let rates = self.bar_rates.lock();
        let mut rates = rates.unwrap_or_else(PoisonError::into_inner);
        if rates.take(device.clone(), most, now) {
            return Ok(());
        }
        self.metrics.refused_device_share.add(1);
        let reason = "this device requests bars too often (see limits.device_bars in the settings \
                      of the hub)";
        let after = [(RETRY_AFTER, "10")];
        refuse(StatusCode::TOO_MANY_REQUESTS, reason, &after)
    }
}

/// Returns the scheme and the host under which the client has reached the hub, for the address of
/// the next page.
fn base<B>(request: &Request<B>, peer_info: &Peer, settings: &HubSettings) -> String {
    let header = |name: &HeaderName| request.headers().get(name)?.to_str().ok();
    let is_secure = match peer_info.is_proxy {
        true => header(&FORWARDED_PROTO) == Some("https"),
        false => settings.tls.is_some(),
    };
    let scheme = if is_secure { "https" } else { "http" };
    header(&HOST).map_or_else(String::new, |host| format!("{scheme}://{host}"))
}
