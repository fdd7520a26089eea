//! The panel of a running station. Owns its thread and its slot, notices when that thread does not
//! come back from a write, and says so: in the log, to systemd, and in a file for the doctor. There
//! is never a second thread beside one that is stuck: two that write to one bus would spoil each
//! other's picture.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::start_panel;
use crate::config;
use crate::display::{FinalPicture, Mailbox, PanelState, PanelThread};
use crate::systemd::Supervisor;
use crate::time::{Clock, Moment, Now};

/// How often the thread is looked at.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A write that takes longer than this (and [`CHECK_INTERVAL`] at most until it is noticed, twice) is told. A
/// bus that is stuck takes four seconds for all that is tried at once.
const STUCK: Duration = Duration::from_secs(5);
/// A bus that is stuck must not hold up the end.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);

/// Who is told how the panel does.
#[derive(Debug)]
pub(super) struct StatusSinks {
    pub(super) supervisor: Supervisor,
    /// The file for the doctor.
    pub(super) file: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct PanelHost {
    wiring: config::PanelConfig,
    mailbox: Mailbox,
    panel: PanelThread,
    clock: Clock,
    sinks: StatusSinks,
    /// What is shown, in a few words.
    title: String,
    /// The turn that the thread is busy with, and since when that is known.
    busy: Option<(u64, Moment)>,
    /// Whether it has been told that it is stuck.
    stuck: bool,
    /// Whether it is to end so that another panel can take its place; until then nothing is shown.
    ending: bool,
}

impl PanelHost {
    /// Starts the thread of a panel.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn new(
        wiring: config::PanelConfig,
        clock: Clock,
        sinks: StatusSinks,
    ) -> io::Result<Self> {
        let (mailbox, panel) = start_panel(&wiring, FinalPicture::Notice, "", clock.clone())?;
        let panel_host = Self {
            wiring,
            mailbox,
            panel,
            clock,
            sinks,
            title: String::new(),
            busy: None,
            stuck: false,
            ending: false,
        };
        panel_host.write_state(PanelState::Shown);
        Ok(panel_host)
    }

    /// What is put into this is shown.
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Says in a few words what is shown from now on.
    pub(super) fn set_title(&mut self, title: String) {
        if title != self.title {
            self.title = title;
            self.update_systemd_status();
        }
    }

    /// Has another panel in the place of this one, unless it is the same. While the thread of this one
    /// is stuck there is none, and [`PanelHost::look`] tells when that is over.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn replace(&mut self, wiring: &config::PanelConfig) -> io::Result<()> {
        if *wiring == self.wiring && !self.ending {
            return Ok(());
        }
        self.panel.finish(LEAVE_LIMIT);
        if !self.panel.has_ended() {
            if !self.ending {
                log::error!(
                    "panel: its thread is stuck in a write; the panel that is configured now is \
                     used once that has ended"
                );
            }
            self.ending = true;
            // Of the size that is drawn now; nobody takes from it.
            self.mailbox = Mailbox::new(wiring.oled.size);
            return Ok(());
        }
        (self.mailbox, self.panel) =
            start_panel(wiring, FinalPicture::Notice, "", self.clock.clone())?;
        self.wiring = wiring.clone();
        self.busy = None;
        self.ending = false;
        self.set_stuck(false, self.clock.now());
        Ok(())
    }

    /// Looks at the thread; whether another panel was waiting for its end, which has come.
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

    /// Leaves the panel as it shall be without the program.
    pub(super) fn end(&mut self) {
        self.panel.finish(LEAVE_LIMIT);
        if self.panel.has_ended() {
            self.write_state(PanelState::Left);
        }
    }

    fn set_stuck(&mut self, stuck: bool, now: Now) {
        if stuck == self.stuck {
            return;
        }
        self.stuck = stuck;
        // The log is the last to hear of it: whoever reads that looks at the others.
        if stuck {
            let since = now.utc.map(|utc| {
                let millis = i64::try_from(STUCK.as_millis()).unwrap_or(0);
                utc.0.saturating_sub(millis)
            });
            let since = since.and_then(|millis| Timestamp::from_millisecond(millis).ok());
            self.write_state(PanelState::Stuck(since));
            self.update_systemd_status();
            log::error!(
                "panel: its thread has not come back from a write for {} s; what it shows is not \
                 live, and stays until that ends",
                STUCK.as_secs()
            );
        } else {
            self.write_state(PanelState::Shown);
            self.update_systemd_status();
            log::warn!("panel: its thread is back, and shows what there is now");
        }
    }

    fn update_systemd_status(&self) {
        let trouble = match self.stuck {
            true => "panel stuck in a write, what it shows is not live; ",
            false => "",
        };
        self.sinks
            .supervisor
            .status(&format!("{trouble}{}", self.title));
    }

    fn write_state(&self, state: PanelState) {
        let Some(path) = &self.sinks.file else { return };
        if let Err(error) = state.write(path) {
            log::warn!("{}: the doctor is not told: {error}", path.display());
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

    /// A panel that is a file, and who is told of it.
    struct Scene {
        folder: PathBuf,
        panel_host: PanelHost,
        hand: ManualClock,
        clock: Clock,
        systemd: UnixDatagram,
    }

    impl Scene {
        /// With a panel whose next write hangs: it opens a pipe that nobody reads.
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
            let sinks = StatusSinks {
                supervisor: Supervisor::at(OsStr::new(&format!("@{socket}")), None).unwrap(),
                file: Some(folder.join(PanelState::FILE)),
            };
            let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, Utc(1_795_444_200_000)));
            let wiring = wiring(folder.join("screen.png"));
            let mut panel_host = PanelHost::new(wiring, clock.clone(), sinks).unwrap();
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

        /// As the station does while time passes; whether another panel can be mounted.
        fn pass(&mut self, time: Duration) -> bool {
            self.hand.advance(time);
            self.panel_host.look()
        }

        fn state(&self) -> Option<PanelState> {
            PanelState::read(&self.folder.join(PanelState::FILE))
        }

        /// What systemd has been told last.
        fn status(&self) -> String {
            let mut buffer = [0; 256];
            let mut last = String::new();
            while let Ok(size) = self.systemd.recv(&mut buffer) {
                last = String::from_utf8_lossy(&buffer[..size]).into_owned();
            }
            last
        }

        /// Lets the write go on, which then fails.
        fn let_go(&self) {
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
    fn a_thread_that_hangs_in_a_write_is_told_within_ten_seconds_and_so_is_its_return() {
        let mut scene = Scene::hanging("told");
        assert_eq!(scene.status(), "STATUS=showing SPX");
        assert_eq!(scene.state(), Some(PanelState::Shown));
        let mut looks = 0;
        while scene.state() == Some(PanelState::Shown) {
            scene.draw();
            scene.pass(CHECK_INTERVAL);
            looks += 1;
        }
        // The first may come just after the write has begun.
        assert!(
            CHECK_INTERVAL * (looks + 1) <= Duration::from_secs(10),
            "{looks}"
        );
        let sinks = scene.state();
        assert!(
            matches!(sinks, Some(PanelState::Stuck(Some(_)))),
            "{sinks:?}"
        );
        let status = scene.status();
        assert!(status.starts_with("STATUS=panel stuck"), "{status}");
        assert!(status.ends_with("; showing SPX"), "{status}");
        scene.pass(Duration::from_secs(100));
        assert_eq!(scene.status(), "", "once is enough");

        scene.let_go();
        while scene.state() != Some(PanelState::Shown) {
            scene.pass(Duration::from_millis(1));
        }
        assert_eq!(scene.status(), "STATUS=showing SPX");
        scene.panel_host.end();
        assert_eq!(scene.state(), Some(PanelState::Left));
    }

    #[test]
    fn no_second_panel_is_started_beside_one_that_is_stuck() {
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

        scene.let_go();
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
