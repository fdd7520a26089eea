//! Who is let in. Owns the devices' tokens, hashed, and what is signed for them.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The name of a device, as its owner gave it.
pub type Device = Arc<str>;

/// Decides who is let in.
#[derive(Debug)]
pub struct Gate {
    token: String,
    roster: watch::Sender<Arc<HashSet<Device>>>,
}

impl Gate {
    /// A gate with one token that is good for the device of this name.
    pub fn single(device: Device, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            roster: watch::Sender::new(Arc::new(HashSet::from([device]))),
        }
    }

    /// Lets nobody in any more.
    pub fn revoke(&self) {
        self.roster.send_replace(Arc::default());
    }

    /// The device that a token belongs to; `None` if it is nobody's.
    pub fn check(&self, presented: &str) -> Option<Device> {
        let device = self.roster.borrow().iter().next().cloned();
        device.filter(|_| presented == self.token)
    }

    /// Who is allowed now.
    pub fn roster(&self) -> watch::Receiver<Arc<HashSet<Device>>> {
        self.roster.subscribe()
    }
}
