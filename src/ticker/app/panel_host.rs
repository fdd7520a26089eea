//! The panel of the running application. This module owns the panel thread and its mailbox. If the
//! thread does not return from a write, the module reports the problem to the log, to systemd, and
//! to a file for the doctor. The module never starts a second thread beside a stuck thread: two
//! threads on one bus would damage the pictures of each other.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::{start_panel, start_screen};
use crate::config;
use crate::display::screen::{ScreenMailbox, ScreenThread};
use crate::display::{FinalPicture, Mailbox, PanelState, PanelThread};
use crate::systemd::Supervisor;
use crate::time::{Clock, Moment, Now};

/// The interval between two checks of the panel thread.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The time after which a write is reported as stuck; the detection takes at most two check
/// intervals more. The limit is above four seconds because the attempts of one write to a stuck bus
/// take four seconds together.
const STUCK: Duration = Duration::from_secs(5);
/// The time limit for the end of the panel thread. A stuck bus must not delay the end of the
/// program.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);

/// The owner of the panel thread; see the module documentation.
#[derive(Debug)]
pub(super) struct PanelHost {
    wiring: config::PanelConfig,
    mailbox: Mailbox,
    panel: PanelThread,
    /// The big screen, if there is one.
    screen: Option<(ScreenMailbox, ScreenThread)>,
    clock: Clock,
    supervisor: Supervisor,
    /// The file with the panel state for the doctor; `None` writes no file.
    state_file: Option<PathBuf>,
    /// A short description of the content on the display, for systemd.
    title: String,
    /// The number of the mailbox turn on which the thread works, and the time of the check that
    /// first saw this turn.
    busy: Option<(u64, Moment)>,
    /// True if the thread has been reported as stuck.
    stuck: bool,
    /// True if the thread must end so that another panel can replace it. Nothing is shown
    /// meanwhile.
    ending: bool,
}

impl PanelHost {
    /// Starts the panel thread.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub(super) fn new(
        wiring: config::PanelConfig,
        clock: Clock,
        supervisor: Supervisor,
        state_file: Option<PathBuf>,
    ) -> io::Result<Self> {
        let (mailbox, panel) = start_panel(&wiring, FinalPicture::Notice, None, clock.clone())?;
        let screen = start_screen(&wiring, clock.clone())?;
        let panel_host = Self {
            screen,
            wiring,
            mailbox,
            panel,
            clock,
            supervisor,
            state_file,
            title: String::new(),
            busy: None,
            stuck: false,
            ending: false,
        };
        panel_host.write_state(PanelState::Shown);
        Ok(panel_host)
    }

    /// Returns the mailbox for the pictures that the panel shows.
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Returns the mailbox of the big screen, if there is one.
    pub(super) fn screen(&self) -> Option<&ScreenMailbox> {
        self.screen.as_ref().map(|(mailbox, _)| mailbox)
    }

    /// Sets the short description of the content on the display and sends it to systemd.
    pub(super) fn set_title(&mut self, title: String) {
        if title != self.title {
            self.title = title;
            self.update_systemd_status();
        }
    }

    /// Replaces the panel if the new configuration is different. While the thread of the old panel
    /// is stuck, no new panel starts, and [`PanelHost::look`] returns true when that thread has
    /// ended.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub(super) fn replace(&mut self, wiring: &config::PanelConfig) -> io::Result<()> {
        if *wiring == self.wiring && !self.ending {
            return Ok(());
        }
        self.replace_screen(wiring);
        self.panel.finish(LEAVE_LIMIT);
        if !self.panel.has_ended() {
            if !self.ending {
                log::error!(
                    "panel: a write to the old panel is stuck; the program uses the newly \
                     configured panel after this write has ended"
                );
            }
            self.ending = true;
            // The event loop draws for the new size from now on. No thread takes pictures from this
            // mailbox.
            self.mailbox = Mailbox::new(wiring.oled.size);
            return Ok(());
        }
        (self.mailbox, self.panel) =
            start_panel(wiring, FinalPicture::Notice, None, self.clock.clone())?;
        self.wiring = wiring.clone();
        self.busy = None;
        self.ending = false;
        self.set_stuck(false, self.clock.now());
        Ok(())
    }

    /// Replaces the big screen if its new configuration is different.
    fn replace_screen(&mut self, wiring: &config::PanelConfig) {
        if wiring.screen == self.wiring.screen {
            return;
        }
        self.wiring.screen.clone_from(&wiring.screen);
        if let Some((_, mut screen)) = self.screen.take() {
            screen.finish(LEAVE_LIMIT);
        }
        match start_screen(wiring, self.clock.clone()) {
            Ok(screen) => self.screen = screen,
            Err(error) => log::error!("screen: {error}"),
        }
    }

    /// Checks the panel thread. Returns true if another panel waits for the end of this thread and
    /// the thread has ended.
    pub(super) fn look(&mut self) -> bool {
        let now = self.clock.now();
        if self.ending {
            self.set_stuck(true, now);
            return self.panel.has_ended();
        }
        let since = match (self.mailbox.busy_with(), self.busy) {
            (Some(turn), Some((same, since))) if turn == same => since,
            _ => now.monotonic,
        };
        self.busy = self.mailbox.busy_with().map(|turn| (turn, since));
        self.set_stuck(now.monotonic.since(since) >= STUCK, now);
        false
    }

    /// Ends the panel thread, which shows the final picture.
    pub(super) fn end(&mut self) {
        let left = match &mut self.screen {
            Some((_, screen)) => screen.finish(LEAVE_LIMIT),
            None => true,
        };
        self.panel.finish(LEAVE_LIMIT);
        if self.panel.has_ended() && left {
            self.write_state(PanelState::Left);
        }
    }

    fn set_stuck(&mut self, stuck: bool, now: Now) {
        if stuck == self.stuck {
            return;
        }
        self.stuck = stuck;
        // The log entry comes last: a reader of the log may then look at the state file and at
        // systemd.
        if stuck {
            let since = now.utc.and_then(|utc| {
                let now = Timestamp::from_millisecond(utc.0).ok()?;
                now.checked_sub(STUCK).ok()
            });
            self.write_state(PanelState::Stuck(since));
            self.update_systemd_status();
            log::error!(
                "panel: a write has not ended for {} s; the values on the panel are not live and \
                 do not change until this write ends",
                STUCK.as_secs()
            );
        } else {
            self.write_state(PanelState::Shown);
            self.update_systemd_status();
            log::warn!("panel: the write has ended; the panel shows current values again");
        }
    }

    fn update_systemd_status(&self) {
        let trouble = match self.stuck {
            true => "panel stuck in a write, its values are not live; ",
            false => "",
        };
        self.supervisor.status(&format!("{trouble}{}", self.title));
    }

    fn write_state(&self, state: PanelState) {
        let Some(path) = &self.state_file else { return };
        if let Err(error) = state.write(path) {
            log::warn!(
                "{}: cannot write the panel state for the doctor: {error}",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::process::Command;

    use super::*;
    use crate::board::Board;
    use crate::config::PanelKind;
    use crate::display::{MAX_PICTURE_AGE, PanelLight};
    use crate::render::{Frame, Size};
    use crate::time::{ManualClock, Utc};

    /// A panel that is a file, and the receivers of its state.
    struct Scene {
        folder: PathBuf,
        panel_host: PanelHost,
        hand: ManualClock,
        clock: Clock,
        systemd: UnixDatagram,
    }

    impl Scene {
        /// Creates a panel whose next write hangs, because it opens a pipe without a reader.
        fn hanging(name: &str) -> Self {
            let id = std::process::id();
            let folder = std::env::temp_dir().join(format!("deskticker-mounted-{name}-{id}"));
            std::fs::remove_dir_all(&folder).ok();
            std::fs::create_dir_all(&folder).unwrap();
            let pipe = folder.join(format!("screen.png.{id}.tmp"));
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
            let socket = format!("deskticker-mounted-{name}-{id}");
            let address = SocketAddr::from_abstract_name(&socket).unwrap();
            let systemd = UnixDatagram::bind_addr(&address).unwrap();
            systemd.set_nonblocking(true).unwrap();
            let supervisor = Supervisor::at(OsStr::new(&format!("@{socket}")), None).unwrap();
            let state = Some(folder.join(PanelState::FILE));
            let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, Utc(1_795_444_200_000)));
            let wiring = wiring(folder.join("screen.png"));
            let mut panel_host = PanelHost::new(wiring, clock.clone(), supervisor, state).unwrap();
            panel_host.set_title("showing SPX".to_owned());
            let scene = Self {
                folder,
                panel_host,
                hand,
                clock,
                systemd,
            };
            scene.draw();
            while scene.panel_host.mailbox.is_waiting() {
                std::thread::yield_now();
            }
            scene
        }

        fn draw(&self) {
            let until = self.clock.now().monotonic + MAX_PICTURE_AGE;
            let frame = Frame::new(Size::Tall);
            self.panel_host
                .mailbox()
                .put(&frame, PanelLight::default(), until);
        }

        /// Advances the clock and checks the thread, as the application does. Returns true if
        /// another panel can start.
        fn pass(&mut self, time: Duration) -> bool {
            self.hand.advance(time);
            self.panel_host.look()
        }

        fn state(&self) -> Option<PanelState> {
            PanelState::read(&self.folder.join(PanelState::FILE))
        }

        /// Returns the last status that systemd has received.
        fn status(&self) -> String {
            let mut buffer = [0; 256];
            let mut last = String::new();
            while let Ok(size) = self.systemd.recv(&mut buffer) {
                last = String::from_utf8_lossy(&buffer[..size]).into_owned();
            }
            last
        }

        /// Lets the write continue; the write then fails.
        fn finish_write(&self) {
            let pipe = format!("screen.png.{}.tmp", std::process::id());
            std::fs::File::open(self.folder.join(pipe)).unwrap();
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).ok();
        }
    }

    fn wiring(file: PathBuf) -> config::PanelConfig {
        config::PanelConfig {
            kind: PanelKind::Png,
            file,
            ..config::PanelConfig::of(Board::for_machine::<PathBuf>(&[]))
        }
    }

    #[test]
    fn a_stuck_panel_thread_is_reported_within_ten_seconds_and_so_is_its_return() {
        let mut scene = Scene::hanging("told");
        assert_eq!(scene.status(), "STATUS=showing SPX");
        assert_eq!(scene.state(), Some(PanelState::Shown));
        let mut looks = 0;
        while scene.state() == Some(PanelState::Shown) {
            scene.draw();
            scene.pass(CHECK_INTERVAL);
            looks += 1;
        }
        // The first check may come just after the write has begun.
        assert!(
            CHECK_INTERVAL * (looks + 1) <= Duration::from_secs(10),
            "{looks}"
        );
        let state = scene.state();
        assert!(
            matches!(state, Some(PanelState::Stuck(Some(_)))),
            "{state:?}"
        );
        let status = scene.status();
        assert!(status.starts_with("STATUS=panel stuck"), "{status}");
        assert!(status.ends_with("; showing SPX"), "{status}");
        scene.pass(Duration::from_secs(100));
        assert_eq!(scene.status(), "", "once is enough");

        scene.finish_write();
        while scene.state() != Some(PanelState::Shown) {
            scene.pass(Duration::from_millis(1));
        }
        assert_eq!(scene.status(), "STATUS=showing SPX");
        scene.panel_host.end();
        assert_eq!(scene.state(), Some(PanelState::Left));
    }

    #[test]
    fn no_second_panel_starts_while_the_first_panel_is_stuck() {
        let mut scene = Scene::hanging("second");
        let other = scene.folder.join("other.png");
        scene.panel_host.replace(&wiring(other.clone())).unwrap();
        scene.draw();
        for _ in 0..5 {
            assert!(!scene.pass(CHECK_INTERVAL), "the first has not ended");
            scene.panel_host.replace(&wiring(other.clone())).unwrap();
        }
        assert!(matches!(scene.state(), Some(PanelState::Stuck(_))));
        assert!(!other.exists());

        scene.finish_write();
        while !scene.pass(Duration::from_millis(1)) {
            std::thread::yield_now();
        }
        scene.panel_host.replace(&wiring(other.clone())).unwrap();
        assert_eq!(scene.state(), Some(PanelState::Shown));
        scene.draw();
        scene.panel_host.end();
        assert!(other.exists());
    }
}
