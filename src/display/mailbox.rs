//! The mailbox between who draws and who shows. Owns one picture, the latest; never queues, and
//! never holds its lock for longer than copying that picture takes (1 KiB).

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::PanelLight;
use crate::render::{Frame, Size};
use crate::time::Moment;

/// A handle of the mailbox; clones are handles of the same one.
#[derive(Clone)]
pub struct Mailbox(Arc<MailboxShared>);

struct MailboxShared {
    state: Mutex<MailboxState>,
    changed: Condvar,
    size: Size,
}

struct MailboxState {
    frame: Box<Frame>,
    light: PanelLight,
    /// Until when it is good.
    until: Moment,
    /// Whether `frame` has not been taken yet.
    fresh: bool,
    closed: bool,
    /// Whether somebody waits for a picture.
    waiting: bool,
    /// How often somebody has begun to.
    waits: u64,
}

/// What [`Mailbox::take_into`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxItem {
    /// A picture that was not taken before, how it shall glow, and until when it is good.
    Frame(PanelLight, Moment),
    /// None came in time.
    Nothing,
    /// None will come any more.
    Closed,
}

impl Mailbox {
    /// An empty mailbox for pictures of a size.
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
        }))
    }

    /// The size of the panel behind it.
    pub fn size(&self) -> Size {
        self.0.size
    }

    /// Leaves a picture, how it shall glow, and until when it is good; one that was not taken yet is
    /// replaced. Neither waits for the panel nor allocates. Once closed, it is ignored.
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
        }
    }

    /// Takes the latest picture that was not taken yet, waiting for one at most `timeout`; `None`
    /// if none came, or if the mailbox was closed and is empty. For who looks at the picture and
    /// not at a glass.
    pub fn take(&self, timeout: Duration) -> Option<Frame> {
        let mut frame = Box::new(Frame::new(self.0.size));
        let taken = self.take_into(&mut frame, Some(timeout));
        matches!(taken, MailboxItem::Frame(..)).then_some(*frame)
    }

    /// As [`Mailbox::take`], for a picture one has, which stays behind; waits for ever without a
    /// timeout.
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
            // Nothing to wait for, so the clock is not asked.
            true => None,
            // A sum past what the platform counts is as good as no timeout.
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

    /// No more pictures: what is in it can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Which of its turns the panel's thread is still busy with: another number each time, `None`
    /// while it waits for a picture, and before it first has.
    pub fn busy_with(&self) -> Option<u64> {
        let state = self.lock();
        (!state.waiting && state.waits > 0).then_some(state.waits)
    }

    /// Whether a picture waits to be taken.
    pub fn is_waiting(&self) -> bool {
        self.lock().fresh
    }

    /// A panic cannot leave a half-written state here that would be worse than no panel.
    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot {}", self.0.size)
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
    fn the_latest_picture_wins_and_is_taken_once() {
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
    fn what_was_put_before_closing_can_still_be_taken() {
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
    fn a_waiting_taker_wakes_for_a_picture() {
        let slot = Mailbox::new(Size::Short);
        let taker = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        slot.put(&dot(3), PanelLight::default(), SOON);
        assert_eq!(taker.join().unwrap(), Some(dot(3)));
    }

    #[test]
    fn who_has_taken_a_picture_is_busy_until_asking_again() {
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
        let taker = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        while slot.busy_with().is_some() {
            std::thread::yield_now();
        }
        slot.close();
        assert_eq!(taker.join().unwrap(), None);
    }

    #[test]
    fn putting_allocates_nothing() {
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
