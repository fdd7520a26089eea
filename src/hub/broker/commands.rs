//! The responses to the requests `subscribe` and `unsubscribe`. Checks the channel names and the
//! limits of a client; never changes a client.

use std::collections::{BTreeMap, BTreeSet};

use super::clients::Clients;
use super::delivery::ClientSlot;
use super::subscriptions::{ChannelCounts, is_contract};
use crate::hub::auth::registry::Device;
use crate::hub::server::limits::Limits;
use crate::hub::session::protocol::{StatusFrame, brief, channel};
use crate::hub::upstream::CONTRACTS;
use crate::market::Channel;
use crate::massive::websocket::ChannelRefusal;

/// The response to a request, and the new channels of the client.
pub(super) struct TopicsChange {
    pub(super) answer: StatusFrame,
    pub(super) topics: BTreeSet<Channel>,
    /// The number of channels that the hub refuses to subscribe to.
    pub(super) refused: u64,
    /// The number of these channels that are above the share of the device.
    pub(super) over_share: u64,
    /// The number of these channels that are above the limit of the hub or of the vendor.
    pub(super) over_total: u64,
}

/// A request for channels.
pub(super) struct ChannelRequest<'a> {
    pub(super) client_slot: ClientSlot,
    /// The device of the client, if the device is limited to its share.
    pub(super) device: Option<&'a Device>,
    pub(super) names: &'a [String],
}

/// The reason for the refusal of one channel, with a text for the client.
enum Refusal {
    Client(String),
    Share(String),
    Total(String),
}

/// Checks the number of channel names in a request, and begins the response.
fn begin(
    clients: &Clients,
    client_slot: ClientSlot,
    names: &[String],
) -> Result<TopicsChange, String> {
    let most = clients.limits.subscriptions;
    if names.is_empty() {
        return Err("params name no channel".to_owned());
    }
    if names.len() as u64 > most {
        return Err(format!(
            "{} channels in one message; at most {most} (subscriptions)",
            names.len()
        ));
    }
    Ok(TopicsChange {
        answer: StatusFrame::default(),
        topics: clients.topics(client_slot),
        refused: 0,
        over_share: 0,
        over_total: 0,
    })
}

/// Adds channels to the channels of a client. The vendor does not send the channels `unanswered`.
///
/// # Errors
/// Returns an error text for the client if the hub refuses the whole request.
pub(super) fn subscribe(
    clients: &Clients,
    request: &ChannelRequest<'_>,
    unanswered: &BTreeMap<Channel, ChannelRefusal>,
) -> Result<TopicsChange, String> {
    let mut change = begin(clients, request.client_slot, request.names)?;
    let all = &clients.subscriptions;
    // The counts include the channels that this message adds to the subscriptions of the cluster.
    let mut total = all.counts();
    let mut share = request.device.map(|device| all.counts_of(device));
    for name in request.names {
        let topics = &mut change.topics;
        let mut add = || {
            let channel = channel(clients.cluster, name)
                .ok_or_else(|| Refusal::Client(format!("unknown channel: {}", brief(name))))?;
            let is_new = !topics.contains(&channel);
            let most = clients.limits.subscriptions;
            if is_new && topics.len() as u64 >= most {
                let reason =
                    format!("not subscribed to: {name}: at most {most} channels (subscriptions)");
                return Err(Refusal::Client(reason));
            }
            if is_new && !all.contains(&channel) {
                count(&mut total, share.as_mut(), &channel, name, &clients.limits)?;
            }
            // A refused channel is added too, because the vendor may still answer and send its data
            // later.
            let refused = unanswered
                .get(&channel)
                .map(|refusal| refused(&channel, *refusal));
            let is_confirmed = all.is_confirmed(&channel);
            topics.insert(channel);
            refused.map_or(Ok(is_confirmed), |reason| Err(Refusal::Client(reason)))
        };
        let reason = match add() {
            Ok(true) => {
                change.answer.add("success", &subscribed(name));
                continue;
            }
            // The confirmation follows after the answer of the vendor.
            Ok(false) => {
                let message = format!("requested from the vendor: {name}");
                change.answer.add("pending", &message);
                continue;
            }
            Err(Refusal::Client(reason)) => reason,
            Err(Refusal::Share(reason)) => {
                change.over_share += 1;
                reason
            }
            Err(Refusal::Total(reason)) => {
                change.over_total += 1;
                reason
            }
        };
        change.answer.add("error", &reason);
        change.refused += 1;
    }
    Ok(change)
}

/// Counts a new channel of the cluster, or returns the limit that the channel exceeds.
fn count(
    total: &mut ChannelCounts,
    share: Option<&mut ChannelCounts>,
    channel: &Channel,
    name: &str,
    limits: &Limits,
) -> Result<(), Refusal> {
    let contracts = usize::from(is_contract(channel));
    if total.channels as u64 >= limits.channels {
        return Err(Refusal::Total(format!(
            "not subscribed to: {name}: the hub holds as many channels as it may, {} (channels)",
            limits.channels
        )));
    }
    if total.contracts + contracts > CONTRACTS {
        return Err(Refusal::Total(format!(
            "not subscribed to: {name}: the vendor allows the quotes of {CONTRACTS} contracts, \
             and all are in use"
        )));
    }
    if let Some(share) = share {
        let over = |held: usize, most: u64, what: &str, limit: &str| {
            (held as u64 > most).then(|| {
                Refusal::Share(format!(
                    "not subscribed to: {name}: this device holds as many {what} as it may, \
                     {most} ({limit})"
                ))
            })
        };
        let channels = over(
            share.channels + 1,
            limits.device_channels,
            "channels",
            "device_channels",
        );
        let held = (share.contracts + contracts) * contracts;
        let contract = || {
            over(
                held,
                limits.device_contracts,
                "contracts",
                "device_contracts",
            )
        };
        if let Some(refusal) = channels.or_else(contract) {
            return Err(refusal);
        }
        share.channels += 1;
        share.contracts += contracts;
    }
    total.channels += 1;
    total.contracts += contracts;
    Ok(())
}

/// Removes channels from the channels of a client.
///
/// # Errors
/// Returns an error text for the client if the hub refuses the whole request.
pub(super) fn unsubscribe(
    clients: &Clients,
    client_slot: ClientSlot,
    names: &[String],
) -> Result<TopicsChange, String> {
    let mut change = begin(clients, client_slot, names)?;
    for name in names {
        let (status, message) = match channel(clients.cluster, name) {
            Some(channel) => {
                change.topics.remove(&channel);
                ("success", format!("unsubscribed to: {name}"))
            }
            None => ("error", format!("unknown channel: {}", brief(name))),
        };
        change.answer.add(status, &message);
    }
    Ok(change)
}

/// Returns the vendor's text for a confirmed subscription.
pub(super) fn subscribed(name: &str) -> String {
    format!("subscribed to: {name}")
}

/// Returns the text for a subscription that the vendor refuses. The vendor's own text contains no
/// channel name. A vendor that is a hub can refuse a channel because of a limit.
pub(super) fn refused(channel: &Channel, refusal: ChannelRefusal) -> String {
    match refusal {
        ChannelRefusal::Limit => format!(
            "not subscribed to: {channel}: the hub gets its prices from another hub, which allows \
             no more channels (see the log of this hub)"
        ),
        ChannelRefusal::NotAuthorized | ChannelRefusal::Unconfirmed => {
            format!("not authorized: {channel}")
        }
    }
}
