//! The responses to the requests `subscribe` and `unsubscribe`. Checks the channel names and the
//! limits of a client; never changes a client.

use std::collections::BTreeSet;

use super::clients::Clients;
use super::delivery::ClientSlot;
use crate::hub::session::protocol::{StatusFrame, brief, channel};
use crate::market::Channel;

/// The response to a request, and the new channels of the client.
pub(super) struct TopicsChange {
    pub(super) answer: StatusFrame,
    pub(super) topics: BTreeSet<Channel>,
    /// The number of channels that the hub refuses to subscribe to.
    pub(super) refused: u64,
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
            "{} channels in one message; at most {most}",
            names.len()
        ));
    }
    Ok(TopicsChange {
        answer: StatusFrame::default(),
        topics: clients.topics(client_slot),
        refused: 0,
    })
}

/// Adds channels to the channels of a client. The vendor has not confirmed the channels
/// `unanswered`.
///
/// # Errors
/// Returns an error text for the client if the hub refuses the whole request.
pub(super) fn subscribe(
    clients: &Clients,
    client_slot: ClientSlot,
    names: &[String],
    unanswered: &BTreeSet<Channel>,
) -> Result<TopicsChange, String> {
    let mut change = begin(clients, client_slot, names)?;
    let (all, limits) = (&clients.subscriptions, &clients.limits);
    let (most, most_of_all) = (limits.subscriptions, limits.channels);
    let mut named = BTreeSet::new();
    // The number of channels that this message adds to the subscriptions of the cluster.
    let mut added = 0;
    for name in names {
        let topics = &mut change.topics;
        let mut add = || {
            let channel = channel(clients.cluster, name)
                .ok_or_else(|| format!("unknown channel: {}", brief(name)))?;
            let is_new = !topics.contains(&channel);
            let is_new_to_all = is_new && !all.contains(&channel);
            if is_new && topics.len() as u64 >= most {
                return Err(format!(
                    "not subscribed to: {name}: at most {most} channels"
                ));
            }
            if is_new_to_all && (all.len() + added) as u64 >= most_of_all {
                return Err(format!(
                    "not subscribed to: {name}: the hub holds as many channels as it may, \
                     {most_of_all}"
                ));
            }
            added += usize::from(is_new_to_all);
            named.insert(channel.clone());
            topics.insert(channel);
            Ok(format!("subscribed to: {name}"))
        };
        match add() {
            Ok(message) => change.answer.add("success", &message),
            Err(message) => {
                change.answer.add("error", &message);
                change.refused += 1;
            }
        }
    }
    for channel in unanswered.intersection(&named) {
        change.answer.add("error", &not_authorized(channel));
    }
    Ok(change)
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

/// Returns the vendor's text for a refused subscription, with the channel name added. The vendor's
/// own text contains no channel name.
pub(super) fn not_authorized(channel: &Channel) -> String {
    format!("not authorized: {channel}")
}
