//! Tests of the messages to systemd from a running display and a running hub, over real sockets.
//! The messages report that the program runs and that its event loops still turn. No other code
//! sends them.
#![allow(clippy::unwrap_used)]

#[path = "support/basics.rs"]
mod basics;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use deskticker::config::settings::TickerSettings;
use deskticker::display::Mailbox;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::render::Size;
use deskticker::secret::Secret;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use deskticker::{demo, hub, simulator};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use basics::{TIME_LIMIT, runtime};

/// The watchdog time of the supervisor. The event loops use a clock that the test moves. Code that
/// used the clock of the machine would send a message within this time.
const WATCHDOG: Duration = Duration::from_millis(200);
/// A time that is longer than the watchdog time and than one pass of an event loop on a slow
/// machine.
const SHORT_WAIT: Duration = Duration::from_millis(300);

/// The receiving end of the supervisor socket.
struct Systemd(UnixDatagram);

impl Systemd {
    fn new(name: &str) -> (Self, Supervisor) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::remove_file(&path).ok();
        // The path of a Unix socket has at most 108 bytes (unix(7)), and the path of the test
        // folder may be longer.
        let nearby = Path::new("/proc/self/cwd").join(
            path.strip_prefix(std::env::current_dir().unwrap())
                .unwrap_or(&path),
        );
        let socket = UnixDatagram::bind(&nearby).unwrap();
        let supervisor = Supervisor::at(nearby.as_os_str(), Some(WATCHDOG)).unwrap();
        (Self(socket), supervisor)
    }

    #[track_caller]
    fn receives(&self, what: &str) {
        let mut buffer = [0; 256];
        self.0.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        let size = self.0.recv(&mut buffer).expect(what);
        assert_eq!(String::from_utf8_lossy(&buffer[..size]), what);
    }

    #[track_caller]
    fn receives_nothing_for(&self, time: Duration) {
        let mut buffer = [0; 256];
        self.0.set_read_timeout(Some(time)).unwrap();
        let heard = self.0.recv(&mut buffer);
        assert!(heard.is_err(), "{:?}", String::from_utf8_lossy(&buffer));
    }
}

fn start() -> (Clock, ManualClock) {
    Clock::manual(Now::new(Moment::ZERO, Utc::PLAUSIBLE))
}

/// Blocks the runtime of the tested program, and all tasks on it, until the test sends a message.
async fn block_runtime(stuck: std_mpsc::Sender<()>, go: std_mpsc::Receiver<()>) {
    stuck.send(()).unwrap();
    go.recv().unwrap();
}

#[test]
fn a_display_reports_to_the_watchdog_only_while_its_event_loop_turns() {
    let (systemd, supervisor) = Systemd::new("display");
    let (clock, manual_clock) = start();
    let (controls, receiver) = mpsc::channel(4);
    let setup = TickerSetup {
        settings: TickerSettings::of(vec!["SPX".parse().unwrap()]),
        // No hub runs at this address. A display without its hub must still be alive.
        source: FeedSource::new(
            FeedProvider::Hub,
            Endpoint::parse("ws://127.0.0.1:1").unwrap(),
            Some(Secret::new("token").unwrap()),
        ),
        connector: Connector::new(None).unwrap(),
        calendar: Calendar::always_open(),
        size: Size::Tall,
        screen: None,
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
    systemd.receives("READY=1");
    assert!(slot.is_waiting(), "ready is who has drawn");
    systemd.receives("WATCHDOG=1");
    manual_clock.advance(WATCHDOG / 4);
    systemd.receives("WATCHDOG=1");
    manual_clock.advance(WATCHDOG / 8);
    systemd.receives_nothing_for(SHORT_WAIT);

    theirs.recv().unwrap().spawn(block_runtime(stuck, may_go));
    is_stuck.recv_timeout(TIME_LIMIT).unwrap();
    manual_clock.advance(WATCHDOG);
    systemd.receives_nothing_for(SHORT_WAIT);
    go.send(()).unwrap();
    systemd.receives("WATCHDOG=1");

    controls.blocking_send(ControlMessage::Stop).unwrap();
    systemd.receives("STOPPING=1");
    assert_eq!(program.join().unwrap(), Ok(false));
    systemd.receives_nothing_for(Duration::from_millis(1));
}

#[test]
fn a_hub_reports_to_the_watchdog_only_while_all_its_event_loops_turn() {
    let (systemd, supervisor) = Systemd::new("hub");
    let (clock, manual_clock) = start();
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
            let made = demo::simulated_hub(vendor, &token, clock).await;
            let (mut setup, _simulator) = made.unwrap();
            setup.supervisor = supervisor;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            hub::run(setup, listener, stopped).await;
        });
    });
    systemd.receives("READY=1");
    systemd.receives("WATCHDOG=1");
    manual_clock.advance(WATCHDOG / 4);
    systemd.receives("WATCHDOG=1");
    manual_clock.advance(WATCHDOG / 8);
    systemd.receives_nothing_for(SHORT_WAIT);

    theirs.recv().unwrap().spawn(block_runtime(stuck, may_go));
    is_stuck.recv_timeout(TIME_LIMIT).unwrap();
    manual_clock.advance(WATCHDOG);
    systemd.receives_nothing_for(SHORT_WAIT);
    go.send(()).unwrap();
    systemd.receives("WATCHDOG=1");

    stop.send_replace(true);
    systemd.receives("STOPPING=1");
    program.join().unwrap();
}
