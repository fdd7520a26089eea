//! Who is let in. Owns the devices' tokens, hashed, and what is signed for them.

use std::sync::Arc;

/// The name of a device, as its owner gave it.
pub type Device = Arc<str>;

/// Decides who is let in.
#[derive(Debug)]
pub struct Gate {}

impl Gate {
    /// The device that a token belongs to; `None` if it is nobody's.
    pub fn check(&self, _presented: &str) -> Option<Device> {
        None
    }
}
