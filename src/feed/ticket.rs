//! A token for one upgrade, got with the device's own: the device's token then stands in no
//! address, where a proxy on the way might log it.

use hyper::Method;
use serde::Deserialize;

use super::Why;
use super::link::Via;
use super::net::Connector;
use super::rest;
use super::session::Source;
use crate::config::Secret;

/// Where a hub and the proxy give them out.
const PATH: &str = "/api/ws-token";

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// A fresh token for the next upgrade: an ephemeral one where the hub offers them, else the
/// source's own. `None` where the source has none, or it does not belong into an address.
///
/// # Errors
/// The hub cannot be reached; then an upgrade could not be had either.
pub(super) async fn ticket(connector: &Connector, source: &Source) -> Result<Option<Secret>, Why> {
    if source.via == Via::Vendor || source.secret.is_none() {
        return Ok(None);
    }
    let own = || Ok(source.secret.clone());
    match rest::fetch(connector, &source.endpoint, Method::POST, PATH, source).await {
        Ok(body) => match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => Secret::new(&answer.token).map(Some).or_else(|_| own()),
            Err(_) => own(),
        },
        // It answered, and has none for us: the upgrade will tell what it thinks of our own.
        Err(refusal) if refusal.why.answered() => own(),
        Err(refusal) => Err(refusal.why),
    }
}
