//! What systemd hears of a running display and hub, from real sockets: that they run, that the loops
//! which own what is shown still turn, and nothing of that from anywhere else.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use deskticker::config::settings::TickerSettings;
use deskticker::display::Mailbox;
use deskticker::hub;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::FeedProvider;
use deskticker::net::source::FeedSource;
use deskticker::render::Size;
use deskticker::secret::Secret;
use deskticker::simulator;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop;
use deskticker::ticker::event_loop::{ControlMessage, RunUntil, TickerSetup};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the supervisor allows. The loops go by a clock that the test moves: whatever else would
/// feed it, by the machine's, would do so within this.
const WATCHDOG: Duration = Duration::from_millis(200);
/// Longer than that, and than a machine that is not stuck takes for one pass.
const A_WHILE: Duration = Duration::from_millis(300);

/// The other end of a supervisor.
struct Systemd(UnixDatagram);

impl Systemd {
    fn new(name: &str) -> (Self, Supervisor) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::remove_file(&path).ok();
        // The path of a socket has 108 bytes at most (unix(7)), and this folder may be deep.
        let nearby = Path::new("/proc/self/cwd").join(
            path.strip_prefix(std::env::current_dir().unwrap())
                .unwrap_or(&path),
        );
        let socket = UnixDatagram::bind(&nearby).unwrap();
        let supervisor = Supervisor::at(nearby.as_os_str(), Some(WATCHDOG)).unwrap();
        (Self(socket), supervisor)
    }

    #[track_caller]
    fn hears(&self, what: &str) {
        let mut buffer = [0; 256];
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let size = self.0.recv(&mut buffer).expect(what);
        assert_eq!(String::from_utf8_lossy(&buffer[..size]), what);
    }

    #[track_caller]
    fn hears_nothing_for(&self, time: Duration) {
        let mut buffer = [0; 256];
        self.0.set_read_timeout(Some(time)).unwrap();
        let heard = self.0.recv(&mut buffer);
        assert!(heard.is_err(), "{:?}", String::from_utf8_lossy(&buffer));
    }
}

fn start() -> (Clock, ManualClock) {
    Clock::manual(Now::new(Moment::ZERO, Utc::PLAUSIBLE))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// On the runtime of a test's program: stands still until let go, and everything there with it.
async fn stick(stuck: std_mpsc::Sender<()>, go: std_mpsc::Receiver<()>) {
    stuck.send(()).unwrap();
    go.recv().unwrap();
}

#[test]
fn a_display_is_alive_only_while_the_loop_that_draws_turns() {
    let (systemd, supervisor) = Systemd::new("display");
    let (clock, hand) = start();
    let (controls, receiver) = mpsc::channel(4);
    let setup = TickerSetup {
        settings: TickerSettings::of(vec!["SPX".parse().unwrap()]),
        source: FeedSource {
            provider: FeedProvider::Hub,
            // Nobody is there: a display without its hub is alive.
            endpoint: Endpoint::parse("ws://127.0.0.1:1").unwrap(),
            secret: Some(Secret::new("token").unwrap()),
        },
        connector: Connector::new(None).unwrap(),
        calendar: Calendar::always_open(),
        size: Size::Tall,
        clock,
        supervisor,
    };
    let slot = Mailbox::new(Size::Tall);
    let (stuck, is_stuck) = std_mpsc::channel();
    let (go, may_go) = std_mpsc::channel();
    let (handle, theirs) = std_mpsc::channel();
    let program = std::thread::spawn({
        let slot = slot.clone();
        move || {
            let runtime = runtime();
            handle.send(runtime.handle().clone()).unwrap();
            runtime.block_on(event_loop::run(setup, slot, receiver, RunUntil::Stopped))
        }
    });
    systemd.hears("READY=1");
    assert!(slot.is_waiting(), "ready is who has drawn");
    systemd.hears("WATCHDOG=1");
    hand.advance(WATCHDOG / 4);
    systemd.hears("WATCHDOG=1");
    hand.advance(WATCHDOG / 8);
    systemd.hears_nothing_for(A_WHILE);

    theirs.recv().unwrap().spawn(stick(stuck, may_go));
    is_stuck.recv_timeout(PATIENCE).unwrap();
    hand.advance(WATCHDOG);
    systemd.hears_nothing_for(A_WHILE);
    go.send(()).unwrap();
    systemd.hears("WATCHDOG=1");

    controls.blocking_send(ControlMessage::Stop).unwrap();
    systemd.hears("STOPPING=1");
    assert_eq!(program.join().unwrap(), Ok(false));
    systemd.hears_nothing_for(Duration::from_millis(1));
}

#[test]
fn a_hub_is_alive_only_while_all_its_loops_turn() {
    let (systemd, supervisor) = Systemd::new("hub");
    let (clock, hand) = start();
    let (stop, stopped) = watch::channel(false);
    let (stuck, is_stuck) = std_mpsc::channel();
    let (go, may_go) = std_mpsc::channel();
    let (handle, theirs) = std_mpsc::channel();
    let program = std::thread::spawn(move || {
        let runtime = runtime();
        handle.send(runtime.handle().clone()).unwrap();
        runtime.block_on(async {
            let token = Secret::new("token").unwrap();
            let vendor = simulator::SimulatorSettings::default();
            let made = hub::simulated::setup(vendor, &token, clock).await;
            let (mut setup, _simulator) = made.unwrap();
            setup.supervisor = supervisor;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            hub::run(setup, listener, stopped).await;
        });
    });
    systemd.hears("READY=1");
    systemd.hears("WATCHDOG=1");
    hand.advance(WATCHDOG / 4);
    systemd.hears("WATCHDOG=1");
    hand.advance(WATCHDOG / 8);
    systemd.hears_nothing_for(A_WHILE);

    theirs.recv().unwrap().spawn(stick(stuck, may_go));
    is_stuck.recv_timeout(PATIENCE).unwrap();
    hand.advance(WATCHDOG);
    systemd.hears_nothing_for(A_WHILE);
    go.send(()).unwrap();
    systemd.hears("WATCHDOG=1");

    stop.send_replace(true);
    systemd.hears("STOPPING=1");
    program.join().unwrap();
}
