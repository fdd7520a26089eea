//! Tests with servers that do not respond and readers that do not read: they delay neither the
//! prices nor the end of the program.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deskticker::display::PanelState;
use deskticker::net::connector::Connector;
use deskticker::time::Clock;
use rustix::process::{Pid, Signal, kill_process};

use child_process::{Program, configured};
use proxy_server::{Proxy, ProxyEvent, TOKEN};
use running_ticker::{START, TickerUnderTest};

const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn a_silent_hub_does_not_delay_the_end() {
    let mut proxy = Proxy::start(Clock::system());
    proxy.behave(|behaviour| behaviour.mute = true);
    let config = configured("mute", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.until(|seen| matches!(seen, ProxyEvent::Upgrade(..)));
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_host_that_accepts_no_connection_does_not_delay_the_end() {
    // The queue of this listener is full, so the kernel does not respond to further TCP handshakes.
    let runtime = running_ticker::runtime();
    let (listener, _calls) = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut calls = Vec::new();
        while let Ok(call) = tokio::time::timeout(
            Duration::from_millis(200),
            tokio::net::TcpStream::connect(address),
        )
        .await
        {
            calls.push(call.unwrap());
            assert!(calls.len() < 64, "this queue has no end");
        }
        (listener, calls)
    });
    let address = listener.local_addr().unwrap();
    let config = configured("no-answer", &address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    program.wait_for_line("indices: connecting");
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
}

/// A child process that the drop of this value kills, even if the test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn an_unread_log_delays_neither_the_prices_nor_the_end() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("full-pipe", &proxy.address, "kind = \"png\"");
    let (_reader, mut full) = std::io::pipe().unwrap();
    // A pipe holds 64 KiB (pipe(7)), so the first line of the log would block forever.
    full.write_all(&[b'.'; 1 << 16]).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_deskticker"))
        .args(["--config", config.to_str().unwrap()])
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stderr(full)
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    proxy.wait_for_subscriptions(4);
    for _ in 0..3 {
        proxy.text(r#"[{"ev":"V","val":5912.34,"T":"I:SPX"},{"ev":"ZZ"}]"#);
        proxy.wait_until_processed();
    }
    let start = Instant::now();
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    let code = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > 10 * AT_ONCE {
            child.0.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(code, Some(0));
    assert!(start.elapsed() < 2 * AT_ONCE, "{:?}", start.elapsed());
}

#[test]
fn a_value_is_in_the_picture_ten_milliseconds_after_its_receive_time() {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let mut proxy = Proxy::start(clock.clone());
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    let mut display =
        TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual_clock));
    proxy.wait_for_subscriptions(4);
    let mut tick = |cents: i64| {
        let stamp = START.0 + cents;
        let text = format!(r#"[{{"ev":"V","val":5912.{cents:02},"T":"I:SPX","t":{stamp}}}]"#);
        // Waits until everything before this value is drawn.
        proxy.wait_until_processed();
        display.take_drawn_pictures();
        let before = display.picture();
        let start = Instant::now();
        proxy.text(text);
        display
            .until(|frame| before.as_ref() != Some(frame))
            .unwrap();
        start.elapsed()
    };
    // The first values change together with other pictures of the start, so the test does not
    // measure them.
    (0..20).map(&mut tick).for_each(drop);
    let mut took: Vec<Duration> = (20..99).map(&mut tick).collect();
    took.sort_unstable();
    // Other processes may keep the machine busy, so the test checks the median.
    let half = took[took.len() / 2];
    println!(
        "half within {half:?}, all within {:?}",
        took.last().unwrap()
    );
    assert!(half <= Duration::from_millis(10), "{took:?}");
}

#[test]
fn a_panel_stuck_in_a_write_is_reported_and_does_not_delay_the_end() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("hangs", &proxy.address, "kind = \"png\"");
    let folder = config.parent().unwrap();
    let environment = [("RUNTIME_DIRECTORY", folder.to_str().unwrap())];
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &environment);
    proxy.wait_for_subscriptions(4);
    // The program writes a picture to this temporary file first. Opening a FIFO there blocks until
    // a reader opens it.
    let pipe = folder.join(format!("screen.png.{}.tmp", program.id()));
    while !Command::new("mkfifo")
        .arg(&pipe)
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
    {}
    proxy.text(r#"[{"ev":"V","val":5912.34,"T":"I:SPX"}]"#);
    proxy.wait_until_processed();
    let start = Instant::now();
    program.wait_for_line("a write has not ended");
    assert!(start.elapsed() < 10 * AT_ONCE, "{:?}", start.elapsed());
    let state = PanelState::read(&folder.join(PanelState::FILE));
    assert!(
        matches!(state, Some(PanelState::Stuck(Some(_)))),
        "{state:?}"
    );
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
    let state = PanelState::read(&folder.join(PanelState::FILE));
    assert!(
        matches!(state, Some(PanelState::Stuck(_))),
        "it was not left in order"
    );
}

#[test]
fn a_blocked_configuration_file_does_not_stop_the_prices() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("slow-file", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.wait_for_subscriptions(4);
    std::fs::remove_file(&config).unwrap();
    // Opening a FIFO blocks until a writer opens it, like a network drive that does not respond.
    let made = Command::new("mkfifo").arg(&config).status();
    assert!(made.unwrap().success());
    program.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(100));
    proxy.text(r#"[{"ev":"V","val":5912.34,"T":"I:SPX"}]"#);
    proxy.wait_until_processed();
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
}
