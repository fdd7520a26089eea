//! The text below the picture of a demo. The demo and the event loop write the text, and the
//! terminal shows it. This module never formats a price.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle to the text. All clones of a handle refer to the same text.
#[derive(Clone, Debug, Default)]
pub struct Caption(Arc<Mutex<CaptionText>>);

/// The parts of the text. An empty part is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptionText {
    /// The content of the display in words, one entry for each instrument or state.
    pub seen: Vec<String>,
    /// The action of the demo and its visible effect.
    pub message: String,
    /// The keys.
    pub keys: String,
}

impl Caption {
    /// Returns the present text.
    pub fn text(&self) -> CaptionText {
        self.lock().clone()
    }

    /// Sets the content of the display in words.
    pub fn set_seen(&self, seen: Vec<String>) {
        self.lock().seen = seen;
    }

    /// Sets the action of the demo and its visible effect.
    pub fn set_message(&self, message: impl Into<String>) {
        self.lock().message = message.into();
    }

    /// Sets the line of the keys.
    pub fn set_keys(&self, keys: impl Into<String>) {
        self.lock().keys = keys.into();
    }

    /// Locks the text. A poisoned lock is safe, because each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, CaptionText> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
