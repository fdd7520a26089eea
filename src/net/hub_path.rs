//! The place of a hub in a tree of hubs: its identity, and the identities of the hubs above and
//! below it. Finds a loop, in which a hub would get its prices from itself. Opens no connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName};
use tokio::sync::watch;

/// The header with the identities of hubs. In an upgrade request, these are the client and all hubs
/// below it; in the response, the server and all hubs above it.
pub const PATH_HEADER: HeaderName = HeaderName::from_static("deskticker-hub-path");

/// The maximum number of identities in a header.
const MOST: usize = 64;
/// The maximum length of an identity. An own identity has 16 characters.
const LENGTH: usize = 32;

/// The place of a hub in the tree. All clones share the same state.
#[derive(Clone, Debug)]
pub struct HubPath {
    id: Arc<str>,
    links: Arc<watch::Sender<Links>>,
}

/// The connections of a hub to other hubs.
#[derive(Debug, Default)]
struct Links {
    /// The hubs above, the nearest first.
    above: Vec<String>,
    /// The hubs that use each connection from below: the client, and the hubs below it.
    below: BTreeMap<u64, Vec<String>>,
    /// The number of connections from below since the start.
    number: u64,
}

impl Links {
    fn has_below(&self, id: &str) -> bool {
        self.below.values().flatten().any(|below| below == id)
    }
}

/// A connection from a hub below. The drop of this value removes the connection.
#[derive(Debug)]
pub struct HubBelow {
    links: Arc<watch::Sender<Links>>,
    number: u64,
}

impl Drop for HubBelow {
    fn drop(&mut self) {
        let number = self.number;
        self.links
            .send_if_modified(|links| links.below.remove(&number).is_some());
    }
}

impl Default for HubPath {
    /// Creates the place of a hub without other hubs, with a random identity.
    fn default() -> Self {
        Self {
            id: format!("{:016x}", fastrand::u64(..)).into(),
            links: Arc::new(watch::Sender::new(Links::default())),
        }
    }
}

impl HubPath {
    /// Returns the identity of this hub and of the hubs above it, the nearest first.
    pub fn upward(&self) -> Vec<String> {
        let links = self.links.borrow();
        let own = std::iter::once(&*self.id);
        let above = links.above.iter().map(String::as_str);
        own.chain(above).take(MOST).map(str::to_owned).collect()
    }

    /// Returns the identity of this hub and of all hubs below it.
    pub(crate) fn downward(&self) -> Vec<String> {
        let links = self.links.borrow();
        let mut ids = vec![self.id.to_string()];
        for below in links.below.values().flatten() {
            if !ids.contains(below) && ids.len() < MOST {
                ids.push(below.clone());
            }
        }
        ids
    }

    /// Sets the hubs above, the nearest first. An empty list means that they are not known.
    pub(crate) fn set_above(&self, above: Vec<String>) {
        self.links.send_if_modified(|links| {
            let is_new = links.above != above;
            links.above = above;
            is_new
        });
    }

    /// Adds a connection from a hub below. `ids` are its identity and those of the hubs below it.
    /// Returns `None` if the connection would close a loop.
    pub fn enter(&self, ids: Vec<String>) -> Option<HubBelow> {
        let mut entered = None;
        self.links.send_if_modified(|links| {
            let is_loop = ids
                .iter()
                .any(|id| **id == *self.id || links.above.contains(id));
            if !is_loop {
                links.number += 1;
                links.below.insert(links.number, ids);
                entered = Some(links.number);
            }
            !is_loop
        });
        let links = self.links.clone();
        entered.map(|number| HubBelow { links, number })
    }

    /// Returns true if a hub above is this hub itself or is also below it.
    pub fn is_loop(&self) -> bool {
        let links = self.links.borrow();
        let mut above = links.above.iter();
        above.any(|above| **above == *self.id || links.has_below(above))
    }

    /// Waits for the next change of the hubs above or below.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut links = self.links.subscribe();
        // An error means that the hub has ended.
        async move { drop(links.changed().await) }
    }
}

/// Returns the identities in a header. Text that is no identity is left out.
pub fn identities(headers: &HeaderMap) -> Vec<String> {
    let value = headers
        .get(PATH_HEADER)
        .and_then(|value| value.to_str().ok());
    let ids = value.unwrap_or_default().split(',').map(str::trim);
    let ids = ids.filter(|id| is_identity(id));
    ids.take(MOST).map(str::to_owned).collect()
}

/// Returns true if the text can be the identity of a hub.
pub(crate) fn is_identity(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    (1..=LENGTH).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    /// Connects `leaf` to `root` as an upgrade does. Returns `None` if one of both finds a loop.
    fn connect(leaf: &HubPath, root: &HubPath) -> Option<HubBelow> {
        let below = root.enter(leaf.downward())?;
        leaf.set_above(root.upward());
        (!leaf.is_loop()).then_some(below)
    }

    #[test]
    fn a_hub_never_gets_its_prices_from_itself() {
        let [a, b, c] = [(); 3].map(|()| HubPath::default());
        assert!(connect(&a, &a).is_none());
        a.set_above(Vec::new());
        let a_to_b = connect(&a, &b).unwrap();
        assert!(connect(&b, &a).is_none());
        b.set_above(Vec::new());
        // Each hub connects because of the demand from below, so the last hub closes the loop.
        let b_to_c = connect(&b, &c).unwrap();
        assert!(connect(&c, &a).is_none());
        assert_eq!(c.downward().len(), 3);
        drop((a_to_b, b_to_c));
        assert_eq!(c.downward().len(), 1);
        b.set_above(Vec::new());
        assert!(connect(&c, &a).is_some() && !c.is_loop());
    }

    #[test]
    fn a_loop_that_closes_at_the_same_moment_is_found_from_the_hubs_above_and_below() {
        let [a, b] = [(); 2].map(|()| HubPath::default());
        let (to_a, to_b) = (b.downward(), a.downward());
        let held = [a.enter(to_a), b.enter(to_b)];
        assert!(held.iter().all(Option::is_some) && !a.is_loop());
        a.set_above(vec![b.upward()[0].clone()]);
        b.set_above(vec![a.upward()[0].clone()]);
        assert!(a.is_loop() && b.is_loop());
    }

    #[test]
    fn only_plain_identities_are_read_from_a_header() {
        let read = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            identities(&HeaderMap::from_iter([(PATH_HEADER, value)]))
        };
        assert_eq!(read("0a,B1 ,,x y,\""), ["0a", "B1"]);
        assert_eq!(read(""), [""; 0]);
        assert_eq!(identities(&HeaderMap::new()), [""; 0]);
    }
}
