//! The devices that show a frame: a panel on a bus, a terminal, or a file. This module owns the
//! panel thread and the mailbox for one picture; it never interprets a price, and the sender of a
//! frame never waits for the panel.

pub mod buttons;
pub mod caption;
pub mod keyboard;
pub(crate) mod lit_minutes;
mod lock;
mod mailbox;
mod mirror;
pub mod oled;
mod panel_light;
mod panel_state;
pub mod png;
pub mod screen;
mod stall_watch;
pub mod terminal;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::render::{Frame, Size};
use crate::time::{Clock, Moment, Now};
pub(crate) use lock::Locked;
pub use lock::PanelLock;
pub use mailbox::{Mailbox, MailboxItem};
pub use mirror::{Mirror, MirroredPicture, write_changes};
pub use oled::bus_fault::{BusFault, is_spi, place};
pub use oled::controller::{Chip, PanelSettings, Rotation};
pub use oled::gpio::user as user_of_line;
pub use oled::gpio_line::GpioLine;
pub use oled::linux_bus::{LinuxBus, LinuxPanel};
pub use oled::{Bus, Oled};
pub use panel_light::PanelLight;
pub use panel_state::PanelState;
pub use png::{FinalPicture, Png};
pub use stall_watch::MAX_PICTURE_AGE;
pub(crate) use stall_watch::notice as halted;
use stall_watch::{StallAction, StallWatch};
pub use terminal::{ControllingTerminal, Terminal};

/// A device that shows a picture. All methods may block, so only the panel thread calls them. The
/// device itself recovers from a failure and logs the failure.
pub trait DisplayDevice {
    /// Shows a new picture with the given light. If the device is not ready, it stores both and
    /// shows them later.
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment);

    /// Sets the time until which the next picture is valid. The panel thread calls this method
    /// before each [`DisplayDevice::show`], for devices that can store the time with the picture.
    fn good_until(&mut self, _until: Moment, _now: Now) {}

    /// Performs the work that is due, such as a retry or a refresh.
    fn tick(&mut self, now: Moment);

    /// Returns the time of the next [`DisplayDevice::tick`] that the device needs;
    /// [`Moment::NEVER`] if no work is planned.
    fn deadline(&self) -> Moment;

    /// Sets the final state of the display before the program ends. No old price may look live
    /// afterwards.
    fn leave_display(&mut self, now: Now);
}

/// The device of a program without a small panel. It shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoPanel;

impl DisplayDevice for NoPanel {
    fn show(&mut self, _: &Frame, _: PanelLight, _: Moment) {}

    fn tick(&mut self, _: Moment) {}

    fn deadline(&self) -> Moment {
        Moment::NEVER
    }

    fn leave_display(&mut self, _: Now) {}
}

/// The handle of the panel thread.
#[derive(Debug)]
pub struct PanelThread {
    mailbox: Mailbox,
    /// The join handle; `None` after the thread has been joined.
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl PanelThread {
    /// Starts the thread that takes pictures from the mailbox and shows them on `device`.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn spawn<G>(device: G, size: Size, clock: Clock) -> io::Result<(Mailbox, PanelThread)>
    where
        G: DisplayDevice + Send + 'static,
    {
        let mailbox = Mailbox::new(size);
        let (end, ended) = channel::<()>();
        let thread = Builder::new().name("panel".into()).spawn({
            let mailbox = mailbox.clone();
            move || {
                serve(device, &mailbox, &clock);
                // A panic also drops the sender, so the receiver always detects the end of the
                // thread.
                drop(end);
            }
        })?;
        let panel = PanelThread {
            mailbox: mailbox.clone(),
            thread: Some(thread),
            ended,
        };
        Ok((mailbox, panel))
    }

    /// Closes the mailbox and waits until the thread has shown the last picture and has set the
    /// final state of the display. The wait is at most `timeout`, because a stuck bus must not keep
    /// the program alive. Returns true if the thread ended without a panic.
    pub fn finish(&mut self, timeout: Duration) -> bool {
        self.mailbox.close();
        match self.ended.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self
                .thread
                .take()
                .is_none_or(|thread| thread.join().is_ok()),
        }
    }

    /// Returns true if the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.try_recv() != Err(TryRecvError::Empty)
    }
}

/// Runs the panel thread until the mailbox is closed. This thread continues to run when the event
/// loop stands still, so this thread replaces a picture that is no longer valid.
fn serve<G: DisplayDevice>(mut device: G, mailbox: &Mailbox, clock: &Clock) {
    let mut frame = Box::new(Frame::new(mailbox.size()));
    let mut light = PanelLight::default();
    let mut stall_watch = StallWatch::new(clock.now().monotonic);
    let show = |device: &mut G, frame: &Frame, light, until, now: Now| {
        device.good_until(until, now);
        device.show(frame, light, now.monotonic);
    };
    loop {
        let deadline = device.deadline().min(stall_watch.deadline());
        let timeout = (deadline != Moment::NEVER).then(|| deadline.since(clock.now().monotonic));
        let taken = mailbox.take_into(&mut frame, timeout);
        let now = clock.now();
        match taken {
            MailboxItem::Frame(told, until) => {
                light = told;
                if stall_watch.picture_received(until, now.monotonic) {
                    log::warn!("panel: new pictures arrive again");
                }
                // A picture that is already too old is not shown, not even for a moment.
                if stall_watch.due(now.monotonic) == StallAction::Nothing {
                    show(&mut device, &frame, light, until, now);
                    continue;
                }
            }
            MailboxItem::Nothing => match stall_watch.due(now.monotonic) {
                StallAction::Nothing => {
                    device.tick(now.monotonic);
                    continue;
                }
                StallAction::Log => {
                    log::error!(
                        "panel: the program has drawn no new picture in time, so the panel \
                         shows HALTED"
                    );
                    continue;
                }
                StallAction::ShowNotice => {}
            },
            MailboxItem::Closed => return device.leave_display(now),
        }
        // The notice uses the last light: a panel that is off shows no price, so it stays off.
        show(
            &mut device,
            &stall_watch::notice(mailbox.size()),
            light,
            Moment::NEVER,
            now,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const LATER: Moment = Moment::from_secs(90);

    #[derive(Default)]
    struct Seen {
        shown: Vec<bool>,
        ticks: usize,
        leave_calls: usize,
    }

    struct Mock {
        seen: Arc<Mutex<Seen>>,
        deadline: Moment,
        slow: Duration,
    }

    impl DisplayDevice for Mock {
        fn show(&mut self, frame: &Frame, _: PanelLight, _: Moment) {
            self.seen.lock().unwrap().shown.push(frame.lit(0, 0));
            std::thread::sleep(self.slow);
        }
        fn tick(&mut self, _: Moment) {
            self.seen.lock().unwrap().ticks += 1;
            self.deadline = Moment::NEVER;
        }
        fn deadline(&self) -> Moment {
            self.deadline
        }
        fn leave_display(&mut self, _: Now) {
            self.seen.lock().unwrap().leave_calls += 1;
        }
    }

    fn mock(deadline: Moment, slow: Duration) -> (Mock, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mock = Mock {
            seen: seen.clone(),
            deadline,
            slow,
        };
        (mock, seen)
    }

    #[test]
    fn the_last_picture_is_shown_before_the_device_is_left() {
        let (device, seen) = mock(Moment::NEVER, Duration::ZERO);
        let (mailbox, mut panel) = PanelThread::spawn(device, Size::Tall, Clock::system()).unwrap();
        let mut frame = Frame::new(Size::Tall);
        frame.set(0, 0, true);
        mailbox.put(&frame, PanelLight::default(), LATER);
        assert!(panel.finish(Duration::from_secs(5)));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.shown.last(), Some(&true));
        assert_eq!(seen.leave_calls, 1);
    }

    #[test]
    fn a_device_is_called_at_its_deadline_without_a_new_picture() {
        let (device, seen) = mock(Moment::from_millis(5), Duration::ZERO);
        let (_slot, mut panel) = PanelThread::spawn(device, Size::Tall, Clock::system()).unwrap();
        while seen.lock().unwrap().ticks == 0 {
            std::thread::yield_now();
        }
        assert!(panel.finish(Duration::from_secs(5)));
    }

    #[test]
    fn a_stalled_ticker_loses_its_picture_until_the_next_draw() {
        let (clock, hand) = Clock::manual(Now {
            monotonic: Moment::ZERO,
            utc: None,
        });
        // This device always requests a call, so that the test waits only for short real times.
        struct Eager(std::sync::mpsc::Sender<(Frame, PanelLight)>);
        impl DisplayDevice for Eager {
            fn show(&mut self, frame: &Frame, light: PanelLight, _: Moment) {
                self.0.send((frame.clone(), light)).unwrap();
            }
            fn tick(&mut self, _: Moment) {
                std::thread::yield_now();
            }
            fn deadline(&self) -> Moment {
                Moment::ZERO
            }
            fn leave_display(&mut self, _: Now) {}
        }
        let (sender, shown) = channel();
        let shown = || shown.recv_timeout(Duration::from_secs(5)).unwrap();
        let (mailbox, mut panel) = PanelThread::spawn(Eager(sender), Size::Tall, clock).unwrap();
        let mut price = Frame::new(Size::Tall);
        price.set(0, 0, true);
        let night = PanelLight {
            on: false,
            ..PanelLight::default()
        };
        let halted = stall_watch::notice(Size::Tall);
        // The first picture has no limited validity (90 s). The second picture contains a price
        // that is valid for 10 s.
        let mut now = Moment::ZERO;
        for good in [90, 10] {
            mailbox.put(&price, night, now + Duration::from_secs(good));
            assert_eq!(shown(), (price.clone(), night));
            hand.advance(Duration::from_secs(good) + Duration::from_millis(50));
            now = now + Duration::from_secs(good) + Duration::from_millis(50);
            // The notice has the same light as the picture that it replaces.
            assert_eq!(shown(), (halted.clone(), night));
        }
        // A picture that arrives too late is never shown.
        mailbox.put(&price, night, now - Duration::from_secs(1));
        assert_eq!(shown(), (halted, night));
        mailbox.put(&price, night, now + Duration::from_secs(10));
        assert_eq!(shown(), (price.clone(), night));
        assert!(panel.finish(Duration::from_secs(5)));
    }

    #[test]
    fn a_stuck_device_delays_neither_the_sender_nor_the_exit() {
        let (device, _) = mock(Moment::NEVER, Duration::from_secs(60));
        let (mailbox, mut panel) = PanelThread::spawn(device, Size::Tall, Clock::system()).unwrap();
        let start = std::time::Instant::now();
        mailbox.put(&Frame::new(Size::Tall), PanelLight::default(), LATER);
        // Waits until the panel thread has taken the picture and blocks in the device.
        while mailbox.is_waiting() {
            std::thread::yield_now();
        }
        for _ in 0..1000 {
            mailbox.put(&Frame::new(Size::Tall), PanelLight::default(), LATER);
        }
        assert!(!panel.finish(Duration::from_millis(20)));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
