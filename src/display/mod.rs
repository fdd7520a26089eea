//! Where a frame is shown. Owns the panel's thread, the one-slot mailbox in front of it and
//! everything that knows a bus, a terminal or a file; never looks into a price, and never makes
//! the sender of a frame wait.

mod brightness;
pub(crate) mod burn_in;
mod mailbox;
pub mod oled;
mod panel_state;
pub mod png;
mod stall_watch;
pub mod terminal;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

pub use brightness::PanelLight;
pub use mailbox::{Mailbox, MailboxItem};
pub use oled::bus_error::{Advice, BusFault};
pub use oled::controller::{Chip, PanelSettings, Rotation};
pub use oled::i2c::{LinuxBus, LinuxI2c};
pub use oled::{Bus, Oled};
pub use panel_state::PanelState;
pub use png::{FinalPicture, Png};
pub use stall_watch::MAX_PICTURE_AGE;
pub use terminal::Terminal;

use crate::render::{Frame, Size};
use crate::time::{Clock, Moment, Now};
use stall_watch::{StallAction, StallWatch};

/// Something that can show a picture. All its methods may block, so they are only called on the
/// panel's own thread; a failure is its own business, to be healed and logged.
pub trait DisplayDevice {
    /// Shows a new picture, glowing as told, or remembers both until it can.
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment);

    /// Until when the picture is good that is shown next, for a glass that can say so itself; said
    /// before each.
    fn good_until(&mut self, _until: Moment, _now: Now) {}

    /// Does what has become due: a retry, a refresh.
    fn tick(&mut self, now: Moment);

    /// When [`DisplayDevice::tick`] wants to be called next; [`Moment::NEVER`] if nothing is planned.
    fn deadline(&self) -> Moment;

    /// Leaves the glass as it shall be without the program: with nothing on it that looks live.
    fn leave_display(&mut self, now: Now);
}

/// The thread of a panel.
#[derive(Debug)]
pub struct PanelThread {
    mailbox: Mailbox,
    /// `None` once it has been waited for.
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl PanelThread {
    /// Starts the thread that shows on `glass` what is put into the slot.
    ///
    /// # Errors
    /// If the system refuses another thread.
    pub fn spawn<G>(glass: G, size: Size, clock: Clock) -> io::Result<(Mailbox, PanelThread)>
    where
        G: DisplayDevice + Send + 'static,
    {
        let mailbox = Mailbox::new(size);
        let (end, ended) = channel::<()>();
        let thread = Builder::new().name("panel".into()).spawn({
            let mailbox = mailbox.clone();
            move || {
                serve(glass, &mailbox, &clock);
                // Dropped by a panic too: whoever waits learns of the end in any case.
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

    /// Closes the slot and waits until the last picture is shown and the glass has said goodbye,
    /// but no longer than `timeout`: a stuck bus must not keep the program alive. Returns whether
    /// the thread ended, and ended well.
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

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.try_recv() != Err(TryRecvError::Empty)
    }
}

/// The whole life of the panel's thread. It outlives a desk that stands still, so it is the one
/// that takes a picture away which is good no longer.
fn serve<G: DisplayDevice>(mut glass: G, mailbox: &Mailbox, clock: &Clock) {
    let mut frame = Box::new(Frame::new(mailbox.size()));
    let mut light = PanelLight::default();
    let mut stall_watch = StallWatch::new(clock.now().monotonic);
    let show = |glass: &mut G, frame: &Frame, light, until, now: Now| {
        glass.good_until(until, now);
        glass.show(frame, light, now.monotonic);
    };
    loop {
        let deadline = glass.deadline().min(stall_watch.deadline());
        let timeout = (deadline != Moment::NEVER).then(|| deadline.since(clock.now().monotonic));
        let taken = mailbox.take_into(&mut frame, timeout);
        let now = clock.now();
        match taken {
            MailboxItem::Frame(told, until) => {
                light = told;
                if stall_watch.picture_received(until, now.monotonic) {
                    log::warn!("panel: pictures come again");
                }
                // One that has waited for too long is not shown first.
                if stall_watch.due(now.monotonic) == StallAction::Nothing {
                    show(&mut glass, &frame, light, until, now);
                    continue;
                }
            }
            MailboxItem::Nothing => match stall_watch.due(now.monotonic) {
                StallAction::Nothing => {
                    glass.tick(now.monotonic);
                    continue;
                }
                StallAction::Log => {
                    log::error!("panel: no new picture in time; HALTED is shown instead");
                    continue;
                }
                StallAction::ShowNotice => {}
            },
            MailboxItem::Closed => return glass.leave_display(now),
        }
        // A glass that was off stays so: it shows no price either.
        show(
            &mut glass,
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
        goodbyes: usize,
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
            self.seen.lock().unwrap().goodbyes += 1;
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
    fn the_last_picture_is_shown_before_the_goodbye() {
        let (glass, seen) = mock(Moment::NEVER, Duration::ZERO);
        let (mailbox, mut panel) = PanelThread::spawn(glass, Size::Tall, Clock::system()).unwrap();
        let mut frame = Frame::new(Size::Tall);
        frame.set(0, 0, true);
        mailbox.put(&frame, PanelLight::default(), LATER);
        assert!(panel.finish(Duration::from_secs(5)));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.shown.last(), Some(&true));
        assert_eq!(seen.goodbyes, 1);
    }

    #[test]
    fn a_glass_that_asked_for_it_is_called_without_a_new_picture() {
        let (glass, seen) = mock(Moment::from_millis(5), Duration::ZERO);
        let (_slot, mut panel) = PanelThread::spawn(glass, Size::Tall, Clock::system()).unwrap();
        while seen.lock().unwrap().ticks == 0 {
            std::thread::yield_now();
        }
        assert!(panel.finish(Duration::from_secs(5)));
    }

    #[test]
    fn a_desk_that_stands_still_loses_its_picture_until_it_draws_again() {
        let (clock, hand) = Clock::manual(Now {
            monotonic: Moment::ZERO,
            utc: None,
        });
        // A glass that always wants to be called: the waits are real time, and none is long.
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
        // Nothing on it is plain, and then a price that is good for ten seconds.
        let mut now = Moment::ZERO;
        for good in [90, 10] {
            mailbox.put(&price, night, now + Duration::from_secs(good));
            assert_eq!(shown(), (price.clone(), night));
            hand.advance(Duration::from_secs(good) + Duration::from_millis(50));
            now = now + Duration::from_secs(good) + Duration::from_millis(50);
            // It glows no more than what it replaces.
            assert_eq!(shown(), (halted.clone(), night));
        }
        // One that comes too late is not shown at all.
        mailbox.put(&price, night, now - Duration::from_secs(1));
        assert_eq!(shown(), (halted, night));
        mailbox.put(&price, night, now + Duration::from_secs(10));
        assert_eq!(shown(), (price.clone(), night));
        assert!(panel.finish(Duration::from_secs(5)));
    }

    #[test]
    fn a_stuck_glass_delays_neither_the_sender_nor_the_exit() {
        let (glass, _) = mock(Moment::NEVER, Duration::from_secs(60));
        let (mailbox, mut panel) = PanelThread::spawn(glass, Size::Tall, Clock::system()).unwrap();
        let start = std::time::Instant::now();
        mailbox.put(&Frame::new(Size::Tall), PanelLight::default(), LATER);
        // Until the thread is in the glass.
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
