//! The hub of a configuration without an address: the only hub that announces itself in the local
//! network, after its proof that it knows the token of this display. This module sends no token,
//! and takes no hub if several announce themselves.

mod message;
pub(crate) mod proof;
mod query;
pub(super) mod state;

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use hyper::Method;

use super::Boxed;
use super::connector::Connector;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::http;
use super::path::has_interface;
use super::source::FeedSource;
use query::Announcement;
use state::Found;

/// The pause after a search without success. A multicast disturbs a whole Wi-Fi network.
const PAUSE: Duration = Duration::from_secs(4);
/// The time limit for the proof of a hub.
const PROOF_LIMIT: Duration = Duration::from_secs(3);

/// Returns the source with the address of its hub: the configured address, or the address of the
/// hub that announces itself.
///
/// # Errors
/// [`Failure::NoHub`], [`Failure::SeveralHubs`], [`Failure::Unproven`], or the reason why the
/// announced hub or the network cannot be reached.
#[inline(never)]
pub(crate) fn locate<'a>(
    connector: &'a Connector,
    source: &'a FeedSource,
) -> Boxed<'a, Result<FeedSource, Failure>> {
    Box::pin(async {
        let mut located = source.clone();
        if source.endpoint.is_announced() {
            located.endpoint = hub(connector, source).await?;
        }
        Ok(located)
    })
}

/// Returns the hubs that the last search has found, if it has found several.
pub(crate) fn several(connector: &Connector) -> Vec<Announcement> {
    let several = connector.discovery().several.lock();
    several.unwrap_or_else(PoisonError::into_inner).clone()
}

async fn hub(connector: &Connector, source: &FeedSource) -> Result<Endpoint, Failure> {
    let asked = Instant::now();
    let mut last = connector.discovery().last.lock().await;
    let losses = connector.losses();
    let mut known = None;
    if let Some(found) = &*last {
        // After a loss, this machine can be in another network, so the hub must prove itself again.
        let valid = found.hub.is_ok() && found.losses == losses;
        // Another user of this connector has searched while this call waited for the lock.
        if valid || found.at > asked {
            return found.hub.clone();
        }
        known.clone_from(&found.known);
    }
    let proven = match &known {
        Some(known) => prove(connector, source, known).await.is_ok(),
        None => false,
    };
    let hub = match (&*last, &known) {
        (_, Some(known)) if proven => Ok(known.clone()),
        (Some(found), _) if found.hub.is_err() && found.at.elapsed() < PAUSE => {
            return found.hub.clone();
        }
        _ => find(connector, source).await,
    };
    let at = Instant::now();
    *last = Some(Found {
        known: hub.clone().ok().or(known),
        hub: hub.clone(),
        at,
        losses,
    });
    hub
}

async fn find(connector: &Connector, source: &FeedSource) -> Result<Endpoint, Failure> {
    let announced = search().await?;
    let mut several = Vec::new();
    let outcome = match &announced[..] {
        [] => Err(Failure::NoHub),
        [one] => take(connector, source, one).await,
        _ => {
            several = announced;
            Err(Failure::SeveralHubs)
        }
    };
    let known = &connector.discovery().several;
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if *known != several && !several.is_empty() {
        log::warn!(
            "{} hubs announce themselves: {}; none of them is used: write the url of your hub to [hub]",
            several.len(),
            places(&several)
        );
    }
    *known = several;
    outcome
}

/// Searches for the hubs that announce themselves in the local network.
///
/// # Errors
/// [`Failure::Network`] if no network interface works.
pub(crate) async fn search() -> Result<Vec<Announcement>, Failure> {
    let found = query::search().await.map_err(|error| {
        log::debug!("the search for a hub failed: {error}");
        Failure::Network
    })?;
    // The loopback interface accepts the question even if no other interface works, so the search
    // alone does not detect a missing network.
    match found.is_empty() && !has_interface() {
        true => Err(Failure::Network),
        false => Ok(found),
    }
}

/// Returns the names and the addresses of these hubs, for the user.
pub(crate) fn places(hubs: &[Announcement]) -> String {
    let places: Vec<String> = hubs.iter().map(Announcement::place).collect();
    places.join(", ")
}

/// Returns the endpoint of an announced hub that proves that it knows the token. If the
/// configuration names a certificate, a hub without TLS is not used.
///
/// # Errors
/// The reason why the hub proved its knowledge of the token at none of its addresses.
pub(crate) async fn take(
    connector: &Connector,
    source: &FeedSource,
    hub: &Announcement,
) -> Result<Endpoint, Failure> {
    if connector.has_ca_file() && !hub.secure {
        return Err(Failure::PlainPort);
    }
    let mut reason = Failure::NoHub;
    for address in &hub.addresses {
        let endpoint = Endpoint {
            secure: hub.secure,
            // TLS checks the certificate against the host name. Without TLS, the address is enough.
            host: match hub.secure {
                true => hub.host.clone(),
                false => address.to_string(),
            },
            port: hub.port,
            base: String::new(),
            address: Some(*address),
        };
        match prove(connector, source, &endpoint).await {
            Ok(()) => {
                log::info!("the hub is {}, which knows the token", hub.place());
                return Ok(endpoint);
            }
            Err(error) => reason = error,
        }
    }
    log::debug!("the announced hub {} is not used: {reason}", hub.place());
    Err(reason)
}

/// Requires the proof that the server at this endpoint knows the token.
#[inline(never)]
fn prove<'a>(
    connector: &'a Connector,
    source: &'a FeedSource,
    endpoint: &'a Endpoint,
) -> Boxed<'a, Result<(), Failure>> {
    Box::pin(async move {
        let stranger = FeedSource {
            endpoint: endpoint.clone(),
            secret: None,
            ..source.clone()
        };
        let (Some(token), Some(ip)) = (&source.secret, endpoint.address) else {
            return Err(Failure::Unproven);
        };
        let address = SocketAddr::new(ip, endpoint.port);
        let (path, pending) = proof::begin(token, address).ok_or(Failure::Unproven)?;
        let asking = http::ask(connector, &stranger, Method::POST, &path);
        let answer = tokio::time::timeout(PROOF_LIMIT, asking).await;
        let answer = answer.map_err(|_| Failure::Timeout)??;
        let json = answer.json.as_deref().unwrap_or_default();
        match pending.proves(json) {
            true => Ok(()),
            false => Err(Failure::Unproven),
        }
    })
}
