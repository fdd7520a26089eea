//! The mailbox between the event loop, which draws pictures, and the panel thread, which shows
//! them. The mailbox owns one picture, the latest; it never queues pictures, and it never holds its
//! lock for longer than the copy of one picture takes (1 KiB).

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::PanelLight;
use super::caption::Caption;
use super::mirror::Mirror;
use crate::render::{Frame, Size};
use crate::time::Moment;

/// A handle to the mailbox. All clones of a handle refer to the same mailbox.
#[derive(Clone)]
pub struct Mailbox(Arc<MailboxShared>);

struct MailboxShared {
    state: Mutex<MailboxState>,
    changed: Condvar,
    size: Size,
    /// The text below the picture, if a demo shows one. This text contains the content of each
    /// picture in words.
    caption: OnceLock<Caption>,
    /// The mirror of the web page, if one is configured.
    mirror: OnceLock<Mirror>,
}

struct MailboxState {
    frame: Box<Frame>,
    light: PanelLight,
    /// The time until which the picture is valid.
    until: Moment,
    /// True if `frame` has not been taken yet.
    fresh: bool,
    closed: bool,
    /// True while a caller waits for a picture.
    waiting: bool,
    /// The number of waits that have begun.
    waits: u64,
}

/// The result of [`Mailbox::take_into`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxItem {
    /// A new picture was taken. The fields are the light of the panel and the time until which the
    /// picture is valid.
    Frame(PanelLight, Moment),
    /// No picture arrived before the timeout.
    Nothing,
    /// The mailbox is closed and empty.
    Closed,
}

impl Mailbox {
    /// Creates an empty mailbox for pictures of one size.
    pub fn new(size: Size) -> Self {
        Self(Arc::new(MailboxShared {
            state: Mutex::new(MailboxState {
                frame: Box::new(Frame::new(size)),
                light: PanelLight::default(),
                until: Moment::ZERO,
                fresh: false,
                closed: false,
                waiting: false,
                waits: 0,
            }),
            changed: Condvar::new(),
            size,
            caption: OnceLock::new(),
            mirror: OnceLock::new(),
        }))
    }

    /// The size of the panel that shows the pictures.
    pub fn size(&self) -> Size {
        self.0.size
    }

    /// Writes the content of each picture in words to the `seen` part of this text.
    pub fn describe_in(&self, caption: Caption) {
        // A second text is not used.
        self.0.caption.set(caption).ok();
    }

    /// Returns the text below the picture, if a demo shows one.
    pub fn caption(&self) -> Option<&Caption> {
        self.0.caption.get()
    }

    /// Also copies each picture to this mirror.
    pub fn mirror_in(&self, mirror: Mirror) {
        // A second mirror is not used.
        self.0.mirror.set(mirror).ok();
    }

    /// Puts a picture into the mailbox, with the light of the panel and the time until which the
    /// picture is valid. The new picture replaces a picture that has not been taken yet. The call
    /// does not wait for the panel and does not allocate. A closed mailbox ignores the picture.
    pub fn put(&self, frame: &Frame, light: PanelLight, until: Moment) {
        debug_assert_eq!(frame.size(), self.0.size);
        let mut state = self.lock();
        if !state.closed {
            (*state.frame).clone_from(frame);
            state.light = light;
            state.until = until;
            state.fresh = true;
            drop(state);
            self.0.changed.notify_all();
            if let Some(mirror) = self.0.mirror.get() {
                mirror.put(frame, light, until);
            }
        }
    }

    /// Takes the latest new picture, and waits for it at most `timeout`. Returns `None` if no
    /// picture arrived, or if the mailbox is closed and empty. This function is for callers that
    /// inspect the picture and do not show it on a panel.
    pub fn take(&self, timeout: Duration) -> Option<Frame> {
        let mut frame = Box::new(Frame::new(self.0.size));
        let taken = self.take_into(&mut frame, Some(timeout));
        matches!(taken, MailboxItem::Frame(..)).then_some(*frame)
    }

    /// Takes the latest new picture like [`Mailbox::take`], but swaps it with the picture in
    /// `frame`, so that no memory is allocated. Without a timeout, the call waits until a picture
    /// arrives or the mailbox is closed.
    pub fn take_into(&self, frame: &mut Box<Frame>, timeout: Option<Duration>) -> MailboxItem {
        let mut state = self.lock();
        state.waiting = true;
        state.waits += 1;
        let (mut state, taken) = self.wait_for(state, frame, timeout);
        state.waiting = false;
        taken
    }

    fn wait_for<'a>(
        &self,
        mut state: MutexGuard<'a, MailboxState>,
        frame: &mut Box<Frame>,
        timeout: Option<Duration>,
    ) -> (MutexGuard<'a, MailboxState>, MailboxItem) {
        let end = match state.fresh || state.closed {
            // No wait is necessary, so the clock is not read.
            true => None,
            // If the end of the wait is too large for the clock of the platform, the call waits
            // without a timeout.
            false => timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        };
        loop {
            if state.fresh {
                state.fresh = false;
                std::mem::swap(frame, &mut state.frame);
                let taken = MailboxItem::Frame(state.light, state.until);
                return (state, taken);
            }
            if state.closed {
                return (state, MailboxItem::Closed);
            }
            let changed = &self.0.changed;
            state = match end {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return (state, MailboxItem::Nothing);
                    }
                    changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Closes the mailbox for new pictures. A caller can still take the last picture.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Returns the number of the turn that the panel thread is still busy with. A turn is the time
    /// between two waits, and each turn has a new number. Returns `None` while the thread waits for
    /// a picture, and before its first wait.
    pub fn busy_with(&self) -> Option<u64> {
        let state = self.lock();
        (!state.waiting && state.waits > 0).then_some(state.waits)
    }

    /// Returns true if the mailbox contains a picture that has not been taken yet.
    pub fn is_waiting(&self) -> bool {
        self.lock().fresh
    }

    /// Locks the state and ignores a poisoned lock: a half-written picture is better than no panel.
    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox {}", self.0.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: PanelLight = PanelLight {
        on: true,
        brightness: 1,
        shift: -1,
    };
    const SOON: Moment = Moment::from_secs(1);
    const LATER: Moment = Moment::from_secs(2);

    fn dot(x: usize) -> Frame {
        let mut frame = Frame::new(Size::Short);
        frame.set(x, 0, true);
        frame
    }

    #[test]
    fn the_mailbox_returns_only_the_latest_picture_and_only_once() {
        let slot = Mailbox::new(Size::Short);
        slot.put(&dot(1), PanelLight::default(), SOON);
        slot.put(&dot(2), DIM, LATER);
        let mut taken = Box::new(Frame::new(Size::Short));
        assert_eq!(
            slot.take_into(&mut taken, None),
            MailboxItem::Frame(DIM, LATER)
        );
        assert_eq!(*taken, dot(2));
        assert_eq!(slot.take(Duration::ZERO), None);
    }

    #[test]
    fn a_picture_from_before_the_close_can_still_be_taken() {
        let slot = Mailbox::new(Size::Short);
        slot.put(&dot(1), PanelLight::default(), SOON);
        slot.close();
        slot.put(&dot(2), DIM, LATER);
        let mut frame = Box::new(Frame::new(Size::Short));
        let lit = MailboxItem::Frame(PanelLight::default(), SOON);
        assert_eq!(slot.take_into(&mut frame, None), lit);
        assert_eq!(*frame, dot(1));
        assert_eq!(slot.take_into(&mut frame, None), MailboxItem::Closed);
    }

    #[test]
    fn a_waiting_receiver_wakes_for_a_new_picture() {
        let slot = Mailbox::new(Size::Short);
        let receiver = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        slot.put(&dot(3), PanelLight::default(), SOON);
        assert_eq!(receiver.join().unwrap(), Some(dot(3)));
    }

    #[test]
    fn a_receiver_counts_as_busy_until_its_next_take() {
        let slot = Mailbox::new(Size::Short);
        let mut taken = Box::new(Frame::new(Size::Short));
        assert_eq!(slot.busy_with(), None, "nobody has come yet");
        slot.put(&dot(1), PanelLight::default(), SOON);
        slot.take_into(&mut taken, None);
        let first = slot.busy_with();
        assert!(first.is_some());
        slot.put(&dot(2), DIM, LATER);
        assert_eq!(slot.busy_with(), first);
        slot.take_into(&mut taken, None);
        assert!(slot.busy_with().is_some_and(|next| Some(next) != first));
        let receiver = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        while slot.busy_with().is_some() {
            std::thread::yield_now();
        }
        slot.close();
        assert_eq!(receiver.join().unwrap(), None);
    }

    #[test]
    fn put_and_take_allocate_no_memory() {
        let slot = Mailbox::new(Size::Short);
        let frame = dot(4);
        let mut taken = Box::new(Frame::new(Size::Short));
        let counted = allocation_counter::measure(|| {
            slot.put(&frame, DIM, SOON);
            slot.take_into(&mut taken, Some(Duration::ZERO));
        });
        assert_eq!(counted.count_total, 0);
    }
}
