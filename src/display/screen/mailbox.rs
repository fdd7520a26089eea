//! The mailbox between the event loop and the thread of the big screen. It owns one content, the
//! latest; it never queues contents, and a sender never waits for the screen.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::display::PanelLight;
use crate::render::screen::ScreenContent;
use crate::time::Moment;

/// A handle to the mailbox. All clones of a handle refer to the same mailbox.
#[derive(Clone, Default)]
pub struct ScreenMailbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    content: Box<ScreenContent>,
    light: PanelLight,
    /// The time until which the content is valid.
    until: Moment,
    fresh: bool,
    closed: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            content: Box::default(),
            light: PanelLight::default(),
            until: Moment::ZERO,
            fresh: false,
            closed: false,
        }
    }
}

/// The result of [`ScreenMailbox::take_into`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScreenItem {
    /// A new content was taken. The fields are its light and the time until which it is valid.
    Content(PanelLight, Moment),
    /// No content arrived before the timeout.
    Nothing,
    /// The mailbox is closed and empty.
    Closed,
}

impl ScreenMailbox {
    /// Puts a content into the mailbox, in place of a content that has not been taken yet. `content`
    /// then has an older content, so that no memory is allocated. A closed mailbox ignores it.
    pub fn put(&self, content: &mut Box<ScreenContent>, light: PanelLight, until: Moment) {
        let mut state = self.lock();
        if !state.closed {
            std::mem::swap(content, &mut state.content);
            (state.light, state.until, state.fresh) = (light, until, true);
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// Takes the latest content, and waits for it at most `timeout`.
    pub fn take_into(&self, content: &mut Box<ScreenContent>, timeout: Duration) -> ScreenItem {
        let end = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        loop {
            if state.fresh {
                state.fresh = false;
                std::mem::swap(content, &mut state.content);
                return ScreenItem::Content(state.light, state.until);
            }
            if state.closed {
                return ScreenItem::Closed;
            }
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return ScreenItem::Nothing;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Closes the mailbox. The last content can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Locks the state and ignores a poisoned lock, as the mailbox of the panel does.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScreenMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScreenMailbox")
    }
}
