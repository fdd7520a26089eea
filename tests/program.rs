//! Tests of the built program: its output, its exit codes and its signals. The output never
//! contains a secret.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use deskticker::board::{self, Board};
use deskticker::display::png;
use deskticker::render::{Size, notice};
use deskticker::time::Clock;
use rustix::process::Signal;

use child_process::{Program, configured, directory, run};
use proxy_server::{Proxy, ProxyEvent, TOKEN};

const AT_ONCE: Duration = Duration::from_secs(1);

fn is_png(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
}

#[test]
fn help_names_every_command_and_its_purpose() {
    for arguments in [["--help"], ["-h"], ["help"]] {
        let arguments = &arguments[..];
        let (code, out, err) = run(arguments);
        assert_eq!((code, err.as_str()), (0, ""));
        for line in [
            "  demo ",
            "  run ",
            "  setup ",
            "  snapshot ",
            "  boards ",
            "  doctor ",
            "  check ",
            "  say ",
            "      --last-good ",
            "      --after-stop ",
            "  -h, --help ",
            "  -V, --version ",
        ] {
            assert!(out.contains(line), "{line}\n{out}");
        }
        assert!(out.contains("needs no hub, no key and no hardware"));
        assert!(out.contains("MASSIVE_PROXY_TOKEN"));
        assert!(out.lines().all(|line| line.chars().count() <= 100));
    }
    let (code, out, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("deskticker {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_boards_are_printed_with_this_machine_among_them() {
    let (code, out, err) = run(&["boards"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let machine = Board::for_machine(&board::MODEL);
    assert_eq!(out, board::list(machine));
    assert!(out.contains("Raspberry Pi 4") && out.contains("dtparam=i2c_arm=on"));
}

#[test]
fn invalid_arguments_are_reported_with_a_pointer_to_help() {
    for (arguments, word) in [
        (&["--sped", "2"][..], "--sped"),
        (&["dmeo"], "dmeo"),
        (&["demo", "run"], "run"),
        (&["demo", "--seconds"], "--seconds"),
        (&["demo", "--seconds", "soon"], "--seconds \"soon\""),
        (&["demo", "--size", "big"], "--size \"big\""),
        (&["demo", "--chip", "x"], "--chip \"x\""),
        (&["demo", "--panel", "x"], "--panel \"x\""),
        (&["run", "--confg", "x"], "did you mean --config"),
        (&["chekc"], "did you mean check"),
        (&["help", "nothing"], "unknown command \"nothing\""),
        (&["demo", "--seconds", "0"], "--seconds"),
        (&["demo", "--seconds", "NaN"], "--seconds"),
        (&["demo", "--speed", "inf"], "--speed"),
        (&["demo", "--panel", "lcd"], "oled, screen, terminal or png"),
        (&["demo", "--size", "64x48"], "128x64"),
        (&["demo", "--chip", "sh1108"], "sh1107"),
        (&["demo", "--panel", "oled", "--size", "128x128"], "sh1107"),
        (&["demo", "--dc", "24"], "--dc: only a panel on SPI"),
        (&["demo", "--bus", "usb"], "--bus: \"usb\", expected"),
        (
            &["demo", "--size", "128x32", "--colours", "yellow-blue"],
            "--colours: only a panel of 128x64",
        ),
        (
            &["boards", "--size", "128x64"],
            "boards has no option --size",
        ),
        (&["demo", "--address", "0x79"], "0x3c"),
        (&["say"], "say needs a word"),
        (&["say", "A", "word", "more"], "more"),
        (
            &["say", "--last-good", "x", "A"],
            "only together with --after-stop",
        ),
        (&["run", "--speed", "2"], "run has no option --speed"),
        (
            &["check", "--last-good", "x"],
            "check has no option --last-good",
        ),
        (&["snapshot", "--demo"], "--output"),
        (
            &["snapshot", "--demo", "--config", "x", "--output", "y"],
            "--config",
        ),
        (&["--token", "s3cr3t"], "--token"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        assert!(err.contains(word), "{arguments:?}: {err}");
        assert!(err.ends_with("Try: deskticker --help\n"), "{err}");
        assert!(!err.contains("s3cr3t"));
    }
}

#[test]
fn the_help_of_one_command_is_printed_in_three_ways() {
    let (code, whole, _) = run(&["help"]);
    assert_eq!((code, &whole), (0, &run(&["--help"]).1));
    let (code, text, _) = run(&["snapshot", "--help"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("Usage: deskticker snapshot [OPTIONS]\n\n  snapshot  write"));
    assert!(
        text.contains("--demo") && !text.contains("--bundle"),
        "{text}"
    );
    assert_eq!(run(&["help", "snapshot"]).1, text);
    assert_eq!(run(&["snapshot", "-h"]).1, text);
    let (_, say, _) = run(&["help", "say"]);
    let usage =
        "Usage: deskticker say WORD [MEANING] [OPTIONS]\n\n  say       show a word on an oled";
    assert!(say.starts_with(usage), "{say}");
}

#[test]
fn the_say_command_reports_a_missing_panel_even_with_a_wrong_configuration() {
    let directory = directory("say");
    let config = directory.join("desk.toml");
    let file = config.to_str().unwrap();
    let long = "a word that is far too long for any panel there is";
    let said = |text: &str| {
        std::fs::write(&config, text).unwrap();
        run(&[
            "say",
            "--config",
            file,
            long,
            "and what it means, in as many words again",
        ])
    };
    let bus = "[panel]\nbus = \"/dev/i2c-77\"\n";
    for text in [bus.to_owned(), format!("watchlist = 5\n{bus}")] {
        let (code, out, err) = said(&text);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("there is no /dev/i2c-77"), "{err}");
    }
    let (code, _, err) = said("[panel]\nkind = \"png\"\n");
    assert_eq!(code, 1);
    assert!(err.contains("only with an oled"), "{err}");
}

#[test]
fn a_missing_or_wrong_configuration_is_reported_with_its_file_and_line() {
    let directory = directory("wrong");
    let missing = directory.join("none.toml");
    let missing = missing.to_str().unwrap();
    for command in ["run", "check", "snapshot"] {
        let mut arguments = vec![command, "--config", missing];
        arguments.extend(["--output", "x"].iter().filter(|_| command == "snapshot"));
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (78, ""), "{err}");
        assert!(
            err.contains(missing) && err.contains("deskticker demo"),
            "{err}"
        );
    }
    let wrong = directory.join("desk.toml");
    std::fs::write(&wrong, "[hub]\nurl = \"ws://hub\"\ntokn = 1\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    let (code, _, err) = run(&["--config", wrong]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains(&format!("{wrong}:3: ")), "{err}");
    let config = configured("wrong-ca", &"hub", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(
        "token_file",
        &format!("ca_file = \"{missing}\"\ntoken_file"),
    );
    std::fs::write(&config, text).unwrap();
    let (code, _, err) = run(&["--config", config.to_str().unwrap()]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("ca_file") && err.contains(missing), "{err}");
    let place = format!("{}:3: ", config.display());
    assert!(
        err.contains(&place) && err.contains("expected a PEM file"),
        "{err}"
    );
}

#[test]
fn the_demo_writes_a_file_or_prints_lines_of_text_and_ends_in_time() {
    let directory = directory("demo");
    let png = directory.join("demo.png");
    let path = png.to_str().unwrap();
    let (code, _, err) = run(&[
        "demo",
        "--seconds",
        "1",
        "--speed",
        "20",
        "--panel",
        "png",
        "--output",
        path,
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(is_png(&png));
    let (code, out, err) = run(&["demo", "--seconds", "2", "--watchlist", "NDX, AAPL"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!out.contains('\x1b'), "no control sequence in a pipe");
    for words in [
        "simulated prices",
        "NDX 20,7",
        "AAPL 2",
        ", live",
        "not live",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (code, _, err) = run(&["demo", "--watchlist", "SPX,I:NOPE"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("no prices of I:NOPE") && err.contains("VIX9D"),
        "{err}"
    );
    let (code, _, err) = run(&["demo", "--watchlist", "SPX,SPX"]);
    assert_eq!(code, 64);
    assert!(err.contains("--watchlist"), "{err}");
    let (code, _, err) = run(&["snapshot", "--demo", "--output", path]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = run(&["snapshot", "--demo", "--output", "/no/such/place.png"]);
    assert_eq!(code, 1);
    assert!(err.contains("/no/such/place.png"), "{err}");
}

#[test]
fn a_closed_output_pipe_causes_no_panic() {
    for arguments in [&["--help"][..], &["demo", "--seconds", "0.2"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_deskticker"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(
            !err.contains("panic") && !err.contains("report this"),
            "{err}"
        );
        assert!(output.status.code().is_some_and(|code| code < 64), "{err}");
    }
}

#[test]
fn a_signal_ends_the_program_within_a_second_with_a_close_frame() {
    for (name, signal) in [
        ("term", Signal::TERM),
        ("int", Signal::INT),
        ("quit", Signal::QUIT),
    ] {
        let mut proxy = Proxy::start(Clock::system());
        let config = configured(&format!("signal-{name}"), &proxy.address, "kind = \"png\"");
        let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
        proxy.wait_for_subscriptions(4);
        let (code, took) = program.end(signal);
        assert_eq!(code, Some(0), "{}", program.output());
        assert!(took < AT_ONCE, "{took:?}");
        let farewell =
            proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
        assert_eq!(farewell, ProxyEvent::Farewell(1000));
        // The program no longer updates the picture, so the picture must not show a price.
        let notice = notice(Size::Tall, "ENDED", "nothing here is live");
        let left = std::fs::read(config.with_file_name("screen.png")).unwrap();
        assert!(left == png::encode(&notice).unwrap());
    }
}

#[test]
fn a_missing_hub_does_not_end_the_program() {
    let proxy = Proxy::start(Clock::system());
    let address = proxy.address;
    drop(proxy);
    let config = configured("absent", &address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    program.wait_for_line("refuses the connection");
    // A host name that cannot be resolved does not stop the program either.
    let named = configured("unnamed", &"hub.invalid:3000", "kind = \"png\"");
    let mut other = Program::start(&["--config", named.to_str().unwrap()], &[]);
    other.wait_for_line("cannot be resolved");
    for program in [&mut program, &mut other] {
        assert!(program.is_running());
        let (code, took) = program.end(Signal::TERM);
        assert_eq!(code, Some(0));
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[test]
fn sighup_reads_the_watchlist_again_and_a_broken_file_changes_nothing() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("hangup", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.wait_for_subscriptions(4);
    let text = std::fs::read_to_string(&config).unwrap();
    let list = |symbols: &str| std::fs::write(&config, format!("watchlist = {symbols}\n{text}"));
    list(r#"["SPX", "NDX"]"#).unwrap();
    program.signal(Signal::HUP);
    program.wait_for_line("the new configuration is in effect; showing SPX, NDX");
    let mut said = Vec::new();
    for _ in 0..4 {
        let seen = proxy.until(|seen| matches!(seen, ProxyEvent::Text(_)));
        let ProxyEvent::Text(text) = seen else {
            unreachable!()
        };
        said.push(text);
    }
    said.sort();
    let message =
        |action: &str, channel: &str| format!(r#"{{"action":"{action}","params":"{channel}"}}"#);
    assert_eq!(
        said,
        [
            message("subscribe", "AM.I:NDX"),
            message("subscribe", "V.I:NDX"),
            message("unsubscribe", "AM.I:VIX"),
            message("unsubscribe", "V.I:VIX"),
        ]
    );
    list(r#"["SPX", "SPX"]"#).unwrap();
    program.signal(Signal::HUP);
    let line = program.wait_for_line("the ticker keeps its previous configuration");
    assert!(
        line.contains(&format!("{}:1: ", config.display())),
        "{line}"
    );
    // The next change is compared with the configuration that was in use before the broken file.
    list(r#"["SPX", "NDX", "DJI"]"#).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(proxy.wait_for_subscriptions(2), ["AM.I:DJI", "V.I:DJI"]);
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn sighup_ends_a_demo_without_a_configuration() {
    let directory = directory("hangup-demo");
    let png = directory.join("demo.png");
    let path = png.to_str().unwrap();
    let mut program = Program::start(&["demo", "--panel", "png", "--output", path], &[]);
    let end = Instant::now() + Duration::from_secs(10);
    while !is_png(&png) {
        assert!(Instant::now() < end, "it never draws");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, took) = program.end(Signal::HUP);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_missing_panel_is_logged_once_and_does_not_end_the_program() {
    let mut proxy = Proxy::start(Clock::system());
    let panel = "kind = \"oled\"\nbus = \"/dev/i2c-77\"";
    let config = configured("no-panel", &proxy.address, panel);
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.wait_for_subscriptions(4);
    let line = program.wait_for_line("/dev/i2c-77");
    // The advice is that of the doctor for this board.
    let remedy = Board::for_machine(&board::MODEL).bus_remedy(false);
    let remedy = remedy.split_whitespace().take(4).collect::<Vec<_>>();
    let words = format!("there is no /dev/i2c-77: {}", remedy.join(" "));
    assert!(line.contains(&words), "{words}\n{line}");
    // The wait covers the first two retries, which the panel makes after 1 s and 3 s.
    let end = Instant::now() + Duration::from_millis(3500);
    proxy.text(r#"[{"ev":"V","val":5912.34,"T":"I:SPX"}]"#);
    program.assert_silent_until(end, "/dev/i2c-77");
    assert!(program.is_running());
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(
        program.output().matches("i2c-77").count(),
        1,
        "{}",
        program.output()
    );
}

#[test]
fn repeated_messages_of_the_server_do_not_flood_the_log() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("flood", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.wait_for_subscriptions(4);
    for number in 0..50 {
        proxy.text(format!(
            r#"[{{"ev":"status","status":"error","message":"not authorized"}},{{"ev":"status","status":"s{number}","message":"m{number}"}}]"#
        ));
        proxy.wait_until_processed();
    }
    assert_eq!(program.end(Signal::TERM).0, Some(0));
    let said = program.output();
    assert!(said.contains("not authorized"), "{said}");
    assert!(said.lines().count() < 20, "{said}");
}

#[test]
fn the_token_appears_in_no_log_and_no_command_line() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("secret", &proxy.address, "kind = \"png\"");
    let text = std::fs::read_to_string(&config).unwrap();
    let vendor = config.with_file_name("vendor.toml");
    let text = text
        .replace("[hub]", "[massive]")
        .replace("token_file", "key_file");
    std::fs::write(&vendor, text).unwrap();
    let encoded = "eyJ1IjoiYSJ9%2B%2F%3D%3D";
    for filter in [
        "trace",
        "tungstenite=trace",
        "tungstenite::handshake::client=trace,hyper=trace",
    ] {
        for config in [&config, &vendor] {
            let path = config.to_str().unwrap();
            let mut program = Program::start(&["--config", path], &[("RUST_LOG", filter)]);
            proxy.until(|seen| matches!(seen, ProxyEvent::Upgrade(..)));
            if config.ends_with("desk.toml") {
                proxy.wait_for_subscriptions(4);
                proxy.wait_until_processed();
            }
            let line = program.command_line();
            assert!(line.contains("--config") && !line.contains(TOKEN), "{line}");
            assert_eq!(program.end(Signal::TERM).0, Some(0));
            let said = program.output();
            assert!(!said.contains(TOKEN) && !said.contains(encoded), "{said}");
        }
    }
}

#[test]
fn a_terminal_gets_its_cursor_back_after_a_signal() {
    if !Path::new("/usr/bin/script").exists() {
        // Each Debian system has util-linux. Other systems skip this test; the unit tests of the
        // terminal must be enough.
        return;
    }
    let binary = env!("CARGO_BIN_EXE_deskticker");
    for (signal, code) in [("TERM", 0), ("INT", 0)] {
        // The shell prints its process id, and `exec` gives this id to the program.
        let command = format!("echo pid=$$; exec {binary} demo --speed 20");
        let mut program = Program::spawn(Command::new("/usr/bin/script").args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ]));
        let line = program.wait_for_line("pid=");
        let pid = line.trim().rsplit('=').next().unwrap().trim().to_owned();
        program.wait_for_line("\x1b[?25l");
        let killed = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(killed.unwrap().success());
        assert_eq!(program.wait(), Some(code), "{}", program.output());
        let said = program.output();
        assert!(
            said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l"),
            "{said:?}"
        );
    }
}

#[test]
fn a_log_level_that_does_not_exist_is_reported_and_the_default_applies() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("log-level", &proxy.address, "kind = \"png\"");
    let config = config.to_str().unwrap();
    for level in ["", "verbose", "1"] {
        let environment = [("RUST_LOG", level)];
        let mut program = Program::start(&["run", "--config", config], &environment);
        let line = program.wait_for_line("is no level of the log");
        assert!(line.contains(&format!("RUST_LOG={level:?}")), "{line}");
        program.wait_for_line("INFO  showing SPX, VIX");
        proxy.wait_for_subscriptions(4);
        assert_eq!(program.end(Signal::TERM).0, Some(0));
    }
}

#[test]
fn a_second_program_does_not_write_the_same_panel_and_names_the_first_one() {
    let proxy = Proxy::start(Clock::system());
    let config = configured("two", &proxy.address, "kind = \"png\"");
    let path = config.to_str().unwrap();
    let mut first = Program::start(&["run", "--config", path], &[]);
    let screen = config.with_file_name("screen.png");
    let end = Instant::now() + Duration::from_secs(10);
    while !is_png(&screen) {
        assert!(Instant::now() < end, "{}", first.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, _, err) = run(&["run", "--config", path]);
    let holder = format!(
        "another deskticker with the process id {} uses the file",
        first.id()
    );
    assert!(code == 1 && err.contains(&holder), "{code}: {err}");
    // The second program has not changed the picture.
    assert!(first.is_running() && is_png(&screen));
    assert_eq!(first.end(Signal::TERM).0, Some(0));
    let mut next = Program::start(&["run", "--config", path], &[]);
    next.wait_for_line("showing SPX, VIX");
    assert_eq!(next.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_picture_file_that_is_a_device_or_a_pipe_is_refused_and_stays() {
    let config = configured("device", &"hub:3000", "kind = \"png\"");
    let screen = config.with_file_name("screen.png");
    let path = config.to_str().unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&screen)
            .status()
            .unwrap()
            .success()
    );
    let refused = |kind: &str| {
        for command in ["check", "run"] {
            let (code, _, err) = run(&[command, "--config", path]);
            let told = format!(
                "desk.toml:5: file: {} is {kind}, expected",
                screen.display()
            );
            assert!(code == 78 && err.contains(&told), "{code}: {err}");
        }
    };
    refused("a FIFO");
    std::fs::remove_file(&screen).unwrap();
    std::os::unix::fs::symlink("/dev/null", &screen).unwrap();
    refused("a device");
    assert!(screen.symlink_metadata().unwrap().is_symlink());
    // The configuration itself, by a mistake in its own file setting.
    std::fs::remove_file(&screen).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::os::unix::fs::symlink(&config, &screen).unwrap();
    refused("a file that is no picture");
    let (code, _, err) = run(&["snapshot", "--demo", "--seconds", "5", "--output", path]);
    assert!(
        code == 1 && err.contains("a file that is no picture"),
        "{code}: {err}"
    );
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
}

#[test]
fn a_picture_in_a_missing_folder_is_reported_by_check_and_by_the_log() {
    let proxy = Proxy::start(Clock::system());
    let config = configured("missing-folder", &proxy.address, "kind = \"png\"");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("screen.png", "none/screen.png")).unwrap();
    let path = config.to_str().unwrap();
    let (code, _, err) = run(&["check", "--config", path]);
    let folder = config.with_file_name("none");
    let told = format!(
        "desk.toml:5: file: the folder {} does not exist",
        folder.display()
    );
    assert!(code == 0 && err.contains(&told), "{code}: {err}");
    let mut program = Program::start(&["run", "--config", path], &[]);
    program.wait_for_line(&told);
    program.wait_for_line("panel: cannot write ");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
    let output = program.output();
    assert!(!output.contains("drawn"), "{output}");
}

/// Returns the only child of a process.
fn child_of(id: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    children.ok()?.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_program_ends_when_its_terminal_is_closed_and_not_before() {
    if !Path::new("/usr/bin/script").exists() {
        // See `a_terminal_gets_its_cursor_back_after_a_signal`.
        return;
    }
    let proxy = Proxy::start(Clock::system());
    for kind in ["png", "terminal"] {
        let config = configured(
            "closed-terminal",
            &proxy.address,
            &format!("kind = {kind:?}"),
        );
        let log = config.with_file_name("log");
        let program = env!("CARGO_BIN_EXE_deskticker");
        // `script` has the other end of a pseudoterminal, like sshd. `env` makes the program see its
        // end even if this test was started by `nohup`.
        let line = format!(
            "exec {program} run --config {} 2> {}",
            config.display(),
            log.display()
        );
        let mut command = Command::new("env");
        command
            .args(["--default-signal=HUP", "script", "-qec", &line, "/dev/null"])
            .stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut terminal = command.spawn().unwrap();
        let says = |word: &str| {
            let end = Instant::now() + Duration::from_secs(20);
            while !std::fs::read_to_string(&log)
                .unwrap_or_default()
                .contains(word)
            {
                assert!(Instant::now() < end, "{kind}: {word}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        says("showing SPX, VIX");
        let id = child_of(terminal.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
        // While the terminal is open, the signal only reads the configuration again.
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
        says("the new configuration is in effect");
        assert!(Path::new(&format!("/proc/{id}")).exists());
        terminal.kill().unwrap();
        terminal.wait().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while Path::new(&format!("/proc/{id}/exe")).exists() {
            assert!(Instant::now() < end, "{kind}: the program does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        says("the terminal is closed, so the program ends");
    }
}
