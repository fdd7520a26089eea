//! The panel of a running station. Owns its thread and its slot, notices when that thread does not
//! come back from a write, and says so: in the log, to systemd, and in a file for the doctor. There
//! is never a second thread beside one that is stuck: two that write to one bus would spoil each
//! other's picture.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::mount;
use crate::clock::{Clock, Moment, Now};
use crate::config;
use crate::panel::{Leave, Panel, Slot, State};
use crate::supervisor::Supervisor;

/// How often the thread is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// A write that takes longer than this (and [`LOOK`] at most until it is noticed, twice) is told. A
/// bus that is stuck takes four seconds for all that is tried at once.
const STUCK: Duration = Duration::from_secs(5);
/// A bus that is stuck must not hold up the end.
const GOODBYE: Duration = Duration::from_millis(500);

/// Who is told how the panel does.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) supervisor: Supervisor,
    /// The file for the doctor.
    pub(super) file: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mounted {
    wiring: config::Panel,
    slot: Slot,
    panel: Panel,
    clock: Clock,
    told: Told,
    /// What is shown, in a few words.
    title: String,
    /// The turn that the thread is busy with, and since when that is known.
    busy: Option<(u64, Moment)>,
    /// Whether it has been told that it is stuck.
    stuck: bool,
    /// Whether it is to end so that another panel can take its place; until then nothing is shown.
    ending: bool,
}

impl Mounted {
    /// Starts the thread of a panel.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn new(wiring: config::Panel, clock: Clock, told: Told) -> io::Result<Self> {
        let (slot, panel) = mount(&wiring, Leave::Notice, "", clock.clone())?;
        let mounted = Self {
            wiring,
            slot,
            panel,
            clock,
            told,
            title: String::new(),
            busy: None,
            stuck: false,
            ending: false,
        };
        mounted.note(State::Shown);
        Ok(mounted)
    }

    /// What is put into this is shown.
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Says in a few words what is shown from now on.
    pub(super) fn entitle(&mut self, title: String) {
        if title != self.title {
            self.title = title;
            self.tell_supervisor();
        }
    }

    /// Has another panel in the place of this one, unless it is the same. While the thread of this one
    /// is stuck there is none, and [`Mounted::look`] tells when that is over.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn replace(&mut self, wiring: &config::Panel) -> io::Result<()> {
        if *wiring == self.wiring && !self.ending {
            return Ok(());
        }
        self.panel.finish(GOODBYE);
        if !self.panel.has_ended() {
            if !self.ending {
                log::error!(
                    "panel: its thread is stuck in a write; the panel that is configured now is \
                     used once that has ended"
                );
            }
            self.ending = true;
            // Of the size that is drawn now; nobody takes from it.
            self.slot = Slot::new(wiring.oled.size);
            return Ok(());
        }
        (self.slot, self.panel) = mount(wiring, Leave::Notice, "", self.clock.clone())?;
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
        let since = match (self.slot.turn(), self.busy) {
            (Some(turn), Some((same, since))) if turn == same => since,
            _ => now.monotonic,
        };
        self.busy = self.slot.turn().map(|turn| (turn, since));
        self.set_stuck(now.monotonic.since(since) >= STUCK, now);
        false
    }

    /// Leaves the panel as it shall be without the program.
    pub(super) fn end(&mut self) {
        self.panel.finish(GOODBYE);
        if self.panel.has_ended() {
            self.note(State::Left);
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
            self.note(State::Stuck(since));
            self.tell_supervisor();
            log::error!(
                "panel: its thread has not come back from a write for {} s; what it shows is not \
                 live, and stays until that ends",
                STUCK.as_secs()
            );
        } else {
            self.note(State::Shown);
            self.tell_supervisor();
            log::warn!("panel: its thread is back, and shows what there is now");
        }
    }

    fn tell_supervisor(&self) {
        let trouble = match self.stuck {
            true => "panel stuck in a write, what it shows is not live; ",
            false => "",
        };
        self.told
            .supervisor
            .status(&format!("{trouble}{}", self.title));
    }

    fn note(&self, state: State) {
        let Some(path) = &self.told.file else { return };
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
    use crate::clock::{Hand, Utc};
    use crate::config::PanelKind;
    use crate::panel::{Light, VOUCHED};
    use crate::screen::{Frame, Size};

    /// A panel that is a file, and who is told of it.
    struct Scene {
        folder: PathBuf,
        mounted: Mounted,
        hand: Hand,
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
            let told = Told {
                supervisor: Supervisor::at(OsStr::new(&format!("@{socket}")), None).unwrap(),
                file: Some(folder.join(State::FILE)),
            };
            let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, Utc(1_795_444_200_000)));
            let wiring = wiring(folder.join("screen.png"));
            let mut mounted = Mounted::new(wiring, clock.clone(), told).unwrap();
            mounted.entitle("showing SPX".to_owned());
            let scene = Self {
                folder,
                mounted,
                hand,
                clock,
                systemd,
            };
            scene.draw();
            while scene.mounted.slot.is_waiting() {
                std::thread::yield_now();
            }
            scene
        }

        fn draw(&self) {
            let until = self.clock.now().monotonic + VOUCHED;
            let frame = Frame::new(Size::Tall);
            self.mounted.slot().put(&frame, Light::default(), until);
        }

        /// As the station does while time passes; whether another panel can be mounted.
        fn pass(&mut self, time: Duration) -> bool {
            self.hand.advance(time);
            self.mounted.look()
        }

        fn state(&self) -> Option<State> {
            State::read(&self.folder.join(State::FILE))
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

    fn wiring(file: PathBuf) -> config::Panel {
        config::Panel {
            kind: PanelKind::Png,
            file,
            ..config::Panel::of(Board::of_machine::<PathBuf>(&[]))
        }
    }

    #[test]
    fn a_thread_that_hangs_in_a_write_is_told_within_ten_seconds_and_so_is_its_return() {
        let mut scene = Scene::hanging("told");
        assert_eq!(scene.status(), "STATUS=showing SPX");
        assert_eq!(scene.state(), Some(State::Shown));
        let mut looks = 0;
        while scene.state() == Some(State::Shown) {
            scene.draw();
            scene.pass(LOOK);
            looks += 1;
        }
        // The first may come just after the write has begun.
        assert!(LOOK * (looks + 1) <= Duration::from_secs(10), "{looks}");
        let told = scene.state();
        assert!(matches!(told, Some(State::Stuck(Some(_)))), "{told:?}");
        let status = scene.status();
        assert!(status.starts_with("STATUS=panel stuck"), "{status}");
        assert!(status.ends_with("; showing SPX"), "{status}");
        scene.pass(Duration::from_secs(100));
        assert_eq!(scene.status(), "", "once is enough");

        scene.let_go();
        while scene.state() != Some(State::Shown) {
            scene.pass(Duration::from_millis(1));
        }
        assert_eq!(scene.status(), "STATUS=showing SPX");
        scene.mounted.end();
        assert_eq!(scene.state(), Some(State::Left));
    }

    #[test]
    fn no_second_panel_is_started_beside_one_that_is_stuck() {
        let mut scene = Scene::hanging("second");
        let other = scene.folder.join("other.png");
        scene.mounted.replace(&wiring(other.clone())).unwrap();
        scene.draw();
        for _ in 0..5 {
            assert!(!scene.pass(LOOK), "the first has not ended");
            scene.mounted.replace(&wiring(other.clone())).unwrap();
        }
        assert!(matches!(scene.state(), Some(State::Stuck(_))));
        assert!(!other.exists());

        scene.let_go();
        while !scene.pass(Duration::from_millis(1)) {
            std::thread::yield_now();
        }
        scene.mounted.replace(&wiring(other.clone())).unwrap();
        assert_eq!(scene.state(), Some(State::Shown));
        scene.draw();
        scene.mounted.end();
        assert!(other.exists());
    }
}
