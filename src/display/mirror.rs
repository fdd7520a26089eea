//! A copy of the last picture, for viewers that are not the panel: the web page. The event loop
//! puts each picture here, and each viewer reads the latest one. The mirror never queues pictures,
//! so a slow viewer delays nobody.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::PanelLight;
use super::oled::dirty_windows;
use crate::render::{Frame, Size};
use crate::time::Moment;

/// A handle to the mirror. All clones of a handle refer to the same mirror.
#[derive(Clone)]
pub struct Mirror(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    frame: Box<Frame>,
    picture: MirroredPicture,
}

/// The number, the light and the validity of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MirroredPicture {
    /// The number of the picture. A picture that differs from the one before has the next number.
    pub number: u64,
    /// The light of the panel.
    pub light: PanelLight,
    /// The time until which the picture is valid. At this time, the first fresh price becomes stale.
    pub until: Moment,
}

impl Default for Mirror {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                frame: Box::new(Frame::new(Size::Tall)),
                picture: MirroredPicture {
                    number: 0,
                    light: PanelLight::default(),
                    until: Moment::ZERO,
                },
            }),
            changed: Notify::new(),
        }))
    }
}

impl Mirror {
    /// Replaces the picture. The call allocates no memory and waits for no viewer.
    pub(super) fn put(&self, frame: &Frame, light: PanelLight, until: Moment) {
        let mut state = self.lock();
        state.picture.until = until;
        if *state.frame == *frame && state.picture.light == light {
            return;
        }
        (*state.frame).clone_from(frame);
        state.picture.light = light;
        state.picture.number += 1;
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Copies the latest picture to `frame`.
    pub fn look(&self, frame: &mut Frame) -> MirroredPicture {
        let state = self.lock();
        frame.clone_from(&state.frame);
        state.picture
    }

    /// Waits until the latest picture has another number than `number`.
    pub async fn changed(&self, number: u64) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // A picture that comes after this call and before the wait also ends the wait.
            changed.as_mut().enable();
            if self.lock().picture.number != number {
                return;
            }
            changed.await;
        }
    }

    /// Locks the state. A poisoned lock is safe to use: the picture is whole or will be replaced.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mirror {:?}", self.lock().picture)
    }
}

/// Adds the parts of a picture that differ from the picture `shown`, which has the same size. Each
/// part is a window of the panel's memory: its first page, first column, last page and last column,
/// and then its bytes, page by page from the top.
pub fn write_changes(shown: &Frame, next: &Frame, message: &mut Vec<u8>) {
    for window in dirty_windows::plan(shown, next, None) {
        message.extend([window.top, window.left, window.bottom, window.right]);
        window.rows(next).for_each(|row| message.extend(row));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Moment = Moment::from_secs(1);

    fn dot(x: usize) -> Frame {
        let mut frame = Frame::new(Size::Tall);
        frame.set(x, 9, true);
        frame
    }

    #[tokio::test]
    async fn a_viewer_waits_for_another_picture_and_sees_only_the_latest() {
        let mirror = Mirror::default();
        mirror.put(&dot(1), PanelLight::default(), SOON);
        let mut frame = Frame::new(Size::Tall);
        let known = mirror.look(&mut frame);
        assert_eq!(frame, dot(1));
        // The same picture with a later end is no other picture.
        mirror.put(
            &dot(1),
            PanelLight::default(),
            SOON + Duration::from_secs(1),
        );
        let viewer = tokio::spawn({
            let mirror = mirror.clone();
            async move { mirror.changed(known.number).await }
        });
        tokio::task::yield_now().await;
        assert!(!viewer.is_finished());
        mirror.put(&dot(2), PanelLight::default(), SOON);
        mirror.put(&dot(3), PanelLight::default(), SOON);
        viewer.await.unwrap();
        mirror.look(&mut frame);
        assert_eq!(frame, dot(3));
    }

    #[test]
    fn put_allocates_no_memory() {
        let mirror = Mirror::default();
        let frame = dot(4);
        let counted = allocation_counter::measure(|| {
            mirror.put(&frame, PanelLight::default(), SOON);
        });
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn the_changes_of_a_picture_are_its_windows_with_their_bytes() {
        let mut message = Vec::new();
        write_changes(&Frame::new(Size::Tall), &dot(7), &mut message);
        assert_eq!(message, [1, 7, 1, 7, 2]);
        write_changes(&dot(7), &dot(7), &mut message);
        assert_eq!(message.len(), 5);
    }
}
