//! The big screen: an HDMI screen behind a framebuffer of the kernel, without a graphics system. This
//! module owns the thread that draws, and the description of what the screen shows. It never judges a
//! price, and a sender never waits for it.

mod framebuffer;
mod mailbox;
mod settings;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::stall_watch::{StallAction, StallWatch};
use super::{PanelLight, PanelLock};
use crate::render::screen::{Look, Painter, Scene, ScreenContent, Widths, compose, notice};
use crate::time::{Clock, Moment};
use framebuffer::Framebuffer;
pub use framebuffer::Geometry;
pub use mailbox::{ScreenItem, ScreenMailbox};
pub use settings::{PixelFormat, ScreenRotation, ScreenSettings};

/// The interval between two checks whether the kernel still has the same framebuffer: a monitor can
/// be switched on late, or have another resolution than the one before it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The interval after which everything is written again, because the console of the kernel can write
/// to the same memory.
const REFRESH: Duration = Duration::from_secs(60);
/// The shortest time between two pictures. A person sees no more.
const MIN_INTERVAL: Duration = Duration::from_millis(25);

/// The screen with the picture that it shows.
#[derive(Debug)]
pub struct Screen {
    settings: ScreenSettings,
    framebuffer: Option<Framebuffer>,
    painter: Painter,
    widths: Widths,
    /// What the screen shows; `None` if that is not known.
    shown: Option<Scene>,
    next: Scene,
    /// The time of the next check, and of the next complete repaint.
    check: Moment,
    refresh: Moment,
    /// The last reported problem.
    problem: Option<String>,
}

impl Screen {
    /// Creates a screen and opens nothing yet.
    ///
    /// # Errors
    /// The font of the program is damaged.
    pub fn new(settings: ScreenSettings) -> io::Result<Self> {
        let damaged = || io::Error::other("the font of the screen cannot be read");
        Ok(Self {
            settings,
            framebuffer: None,
            painter: Painter::new().ok_or_else(damaged)?,
            widths: Widths::new(),
            shown: None,
            next: Scene::default(),
            check: Moment::ZERO,
            refresh: Moment::ZERO,
            problem: None,
        })
    }

    /// Shows a content. If there is no framebuffer, [`Screen::tick`] tries again later.
    pub fn show(&mut self, content: &ScreenContent, light: PanelLight, now: Moment) {
        self.look(now);
        if let Err(error) = self.paint(content, light) {
            self.lost(&error);
        }
    }

    /// Checks the framebuffer if a check is due, and paints the content again if necessary.
    pub fn tick(&mut self, content: &ScreenContent, light: PanelLight, now: Moment) {
        if now >= self.deadline() {
            self.show(content, light, now);
        }
    }

    /// Returns the time of the next [`Screen::tick`].
    pub const fn deadline(&self) -> Moment {
        self.check
    }

    /// Fills the screen with black, or with a text that says that no price is live.
    ///
    /// # Errors
    /// There is no framebuffer, or it does not accept the pixels.
    pub fn leave(&mut self, words: Option<[&str; 2]>, light: PanelLight) -> io::Result<()> {
        let (content, light) = match words {
            Some([title, text]) => (notice(title, text), light),
            None => (ScreenContent::default(), PanelLight { on: false, ..light }),
        };
        self.open()?;
        self.shown = None;
        self.paint(&content, light)
    }

    fn open(&mut self) -> io::Result<()> {
        if self.framebuffer.is_none() {
            self.shown = None;
            self.framebuffer = Some(Framebuffer::open(&self.settings)?);
        }
        Ok(())
    }

    /// Opens the framebuffer if it is not open, and opens it again if it has changed.
    fn look(&mut self, now: Moment) {
        if now < self.check {
            return;
        }
        self.check = now + CHECK_INTERVAL;
        if now >= self.refresh {
            self.refresh = now + REFRESH;
            self.shown = None;
        }
        let current = |open: &Framebuffer| open.is_current(&self.settings);
        if self.framebuffer.as_ref().is_some_and(current) {
            return;
        }
        self.framebuffer = None;
        match self.open() {
            Ok(()) => {
                self.problem = None;
                if let Some(open) = &self.framebuffer {
                    let Geometry {
                        width,
                        height,
                        bits,
                        ..
                    } = open.geometry();
                    let device = self.settings.device.display();
                    log::info!("screen: {device} has {width}x{height} pixels of {bits} bits");
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Reports a problem once, and closes the framebuffer.
    fn lost(&mut self, error: &io::Error) {
        self.framebuffer = None;
        self.shown = None;
        let problem = advice(error, &self.settings);
        if self.problem.as_ref() != Some(&problem) {
            log::warn!("screen: {problem}; the program tries again each second");
            self.problem = Some(problem);
        }
    }

    fn paint(&mut self, content: &ScreenContent, light: PanelLight) -> io::Result<()> {
        let Some(framebuffer) = &mut self.framebuffer else {
            return Ok(());
        };
        let look = Look {
            size: framebuffer.size(),
            theme: self.settings.theme,
            on: light.on,
            brightness: light.brightness,
            shift: light.shift,
        };
        compose(content, look, &self.widths, &mut self.next);
        let put = &mut |change: crate::render::screen::Change<'_>| framebuffer.put(&change);
        self.painter.repaint(self.shown.as_ref(), &self.next, put)?;
        let shown = self.shown.take().unwrap_or_default();
        self.shown = Some(std::mem::replace(&mut self.next, shown));
        Ok(())
    }
}

/// Says what a problem means and what to do.
fn advice(error: &io::Error, settings: &ScreenSettings) -> String {
    let device = settings.device.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no {device} or no {}: is a monitor connected and switched on?",
            settings.sysfs.display()
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "no permission to open {device}: sudo usermod -aG video $USER, then log in again"
            )
        }
        _ => format!("{device}: {error}"),
    }
}

/// The handle of the screen's thread.
#[derive(Debug)]
pub struct ScreenThread {
    mailbox: ScreenMailbox,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl ScreenThread {
    /// Locks the device, and starts the thread that draws the contents of the mailbox.
    ///
    /// # Errors
    /// Another process has locked the device, or the system cannot start another thread.
    pub fn spawn(settings: ScreenSettings, clock: Clock) -> io::Result<(ScreenMailbox, Self)> {
        let lock = PanelLock::of_screen(&settings.device)?;
        let mut screen = Screen::new(settings)?;
        let mailbox = ScreenMailbox::default();
        let (end, ended) = channel::<()>();
        let thread = Builder::new().name("screen".into()).spawn({
            let mailbox = mailbox.clone();
            move || {
                serve(&mut screen, &mailbox, &clock);
                // A panic also drops the sender and the lock.
                drop((end, lock));
            }
        })?;
        let screen = Self {
            mailbox: mailbox.clone(),
            thread: Some(thread),
            ended,
        };
        Ok((mailbox, screen))
    }

    /// Closes the mailbox and waits at most `timeout` until the screen is black. Returns true if the
    /// thread has ended without a panic.
    pub fn finish(&mut self, timeout: Duration) -> bool {
        self.mailbox.close();
        match self.ended.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let thread = self.thread.take();
                thread.is_none_or(|thread| thread.join().is_ok())
            }
        }
    }
}

/// Runs the thread until the mailbox is closed. The thread continues to run when the event loop
/// stands still, so it replaces a picture that is no longer valid.
fn serve(screen: &mut Screen, mailbox: &ScreenMailbox, clock: &Clock) {
    let mut content = Box::new(notice("STARTING", "no value yet"));
    let mut light = PanelLight::default();
    let mut stall_watch = StallWatch::new(clock.now().monotonic);
    let halted = notice("HALTED", "the program stands still");
    let mut stalled = false;
    let mut last = Moment::ZERO;
    loop {
        let now = clock.now().monotonic;
        let pause = (last + MIN_INTERVAL).since(now);
        if !pause.is_zero() {
            std::thread::sleep(pause.min(MIN_INTERVAL));
        }
        let due = screen.deadline().min(stall_watch.deadline());
        let taken = mailbox.take_into(&mut content, due.since(clock.now().monotonic));
        let now = clock.now().monotonic;
        match taken {
            ScreenItem::Content(told, until) => {
                light = told;
                if stall_watch.picture_received(until, now) {
                    log::warn!("screen: new pictures arrive again");
                }
                // A picture that is already too old is not shown.
                stalled = stall_watch.due(now) != StallAction::Nothing;
                screen.show(if stalled { &halted } else { &content }, light, now);
                last = now;
            }
            ScreenItem::Nothing => match stall_watch.due(now) {
                StallAction::Nothing => {
                    screen.tick(if stalled { &halted } else { &content }, light, now);
                }
                StallAction::ShowNotice => {
                    stalled = true;
                    screen.show(&halted, light, now);
                }
                StallAction::Log => log::error!(
                    "screen: the program has drawn no new picture in time, so the screen shows HALTED"
                ),
            },
            ScreenItem::Closed => {
                // Without a framebuffer, nothing is shown that must be removed.
                screen.leave(None, light).ok();
                return;
            }
        }
    }
}
