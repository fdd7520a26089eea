//! The built program: its words, its exit codes, its signals, and what it never says.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use child_process::{Program, configured, directory, run};
use deskticker::board::{self, Board};
use deskticker::display::png;
use deskticker::render::Size;
use deskticker::render::notice;
use deskticker::time::Clock;
use proxy_server::{Proxy, ProxyEvent, TOKEN};
use rustix::process::Signal;

const AT_ONCE: Duration = Duration::from_secs(1);

fn is_png(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
}

#[test]
fn help_names_every_command_and_says_what_it_is_for() {
    for arguments in [&["--help"][..], &["-h"], &["demo", "--help"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, err.as_str()), (0, ""));
        for line in [
            "  demo ",
            "  run ",
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
fn arguments_that_mean_nothing_are_told_with_where_to_look() {
    for (arguments, word) in [
        (&["--sped", "2"][..], "--sped"),
        (&["dmeo"], "dmeo"),
        (&["demo", "run"], "run"),
        (&["demo", "--seconds"], "--seconds"),
        (&["demo", "--seconds", "soon"], "soon"),
        (&["demo", "--seconds", "0"], "--seconds"),
        (&["demo", "--seconds", "NaN"], "--seconds"),
        (&["demo", "--speed", "inf"], "--speed"),
        (&["demo", "--panel", "lcd"], "oled, terminal or png"),
        (&["demo", "--size", "64x48"], "128x64"),
        (&["demo", "--chip", "sh1107"], "sh1106"),
        (&["boards", "--size", "128x64"], "nothing to boards"),
        (&["demo", "--address", "0x78"], "0x3c"),
        (&["say"], "say needs a word"),
        (&["say", "A", "word", "more"], "more"),
        (&["say", "--last-good", "x", "A"], "nothing to say"),
        (&["run", "--speed", "2"], "--speed means nothing to run"),
        (
            &["check", "--last-good", "x"],
            "--last-good means nothing to check",
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
fn words_without_a_panel_are_told_whatever_they_and_the_configuration_are_like() {
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
    assert!(err.contains("only an oled"), "{err}");
}

#[test]
fn a_configuration_that_is_missing_or_wrong_is_told_with_its_place() {
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
fn the_demo_writes_a_picture_and_prints_one_and_ends_in_time() {
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
    let (code, out, err) = run(&["demo", "--seconds", "1", "--size", "128x32"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!out.contains('\x1b'), "no control sequence in a pipe");
    let rows = out.lines().filter(|line| line.chars().count() == 128);
    assert_eq!(rows.count(), 16, "{out}");
    assert!(out.contains("simulated prices"));
    let (code, _, err) = run(&["snapshot", "--demo", "--output", path]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = run(&["snapshot", "--demo", "--output", "/no/such/place.png"]);
    assert_eq!(code, 1);
    assert!(err.contains("/no/such/place.png"), "{err}");
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
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
fn told_to_end_it_says_farewell_and_ends_within_a_second() {
    for (name, signal) in [
        ("term", Signal::TERM),
        ("int", Signal::INT),
        ("quit", Signal::QUIT),
    ] {
        let mut proxy = Proxy::start(Clock::system());
        let config = configured(&format!("signal-{name}"), &proxy.address, "kind = \"png\"");
        let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
        proxy.subscribed(4);
        let (code, took) = program.end(signal);
        assert_eq!(code, Some(0), "{}", program.said());
        assert!(took < AT_ONCE, "{took:?}");
        let farewell =
            proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
        assert_eq!(farewell, ProxyEvent::Farewell(1000));
        // Nobody keeps it up any more, so it shows no price any more.
        let notice = notice(Size::Tall, "ENDED", "nothing here is live");
        let left = std::fs::read(config.with_file_name("screen.png")).unwrap();
        assert!(left == png::encode(&notice).unwrap());
    }
}

#[test]
fn a_hub_that_is_not_there_is_waited_for() {
    let proxy = Proxy::start(Clock::system());
    let address = proxy.address;
    drop(proxy);
    let config = configured("absent", &address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    program.says("cannot be reached");
    // Names that resolve to nothing are no end either.
    let named = configured("unnamed", &"hub.invalid:3000", "kind = \"png\"");
    let mut other = Program::start(&["--config", named.to_str().unwrap()], &[]);
    other.says("cannot be resolved");
    for program in [&mut program, &mut other] {
        assert!(program.lives());
        let (code, took) = program.end(Signal::TERM);
        assert_eq!(code, Some(0));
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[test]
fn a_hangup_reads_the_watchlist_again_and_a_broken_file_changes_nothing() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("hangup", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.subscribed(4);
    let text = std::fs::read_to_string(&config).unwrap();
    let list = |symbols: &str| std::fs::write(&config, format!("watchlist = {symbols}\n{text}"));
    list(r#"["SPX", "NDX"]"#).unwrap();
    program.signal(Signal::HUP);
    program.says("watchlist: SPX, NDX");
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
    let line = program.says("the configuration stays as it was");
    assert!(
        line.contains(&format!("{}:1: ", config.display())),
        "{line}"
    );
    // What is asked for next is asked for on top of what was there before the broken one.
    list(r#"["SPX", "NDX", "DJI"]"#).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(proxy.subscribed(2), ["AM.I:DJI", "V.I:DJI"]);
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_hangup_ends_what_has_nothing_to_read_again_in_good_order() {
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
    assert_eq!(code, Some(0), "{}", program.said());
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_panel_that_is_not_there_is_told_once_and_ends_nothing() {
    let mut proxy = Proxy::start(Clock::system());
    let panel = "kind = \"oled\"\nbus = \"/dev/i2c-77\"";
    let config = configured("no-panel", &proxy.address, panel);
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.subscribed(4);
    let line = program.says("/dev/i2c-77");
    assert!(line.contains("raspi-config"), "{line}");
    // Past the first two retries, after 1 and 3 s, by the clock of the panel.
    let end = Instant::now() + Duration::from_millis(3500);
    proxy.text(r#"[{"ev":"V","val":5912.34,"T":"I:SPX"}]"#);
    program.silent_until(end, "/dev/i2c-77");
    assert!(program.lives());
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.said());
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(
        program.said().matches("i2c-77").count(),
        1,
        "{}",
        program.said()
    );
}

#[test]
fn the_words_of_others_do_not_flood_the_log() {
    let mut proxy = Proxy::start(Clock::system());
    let config = configured("flood", &proxy.address, "kind = \"png\"");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    proxy.subscribed(4);
    for number in 0..50 {
        proxy.text(format!(
            r#"[{{"ev":"status","status":"error","message":"not authorized"}},{{"ev":"status","status":"s{number}","message":"m{number}"}}]"#
        ));
        proxy.heard();
    }
    assert_eq!(program.end(Signal::TERM).0, Some(0));
    let said = program.said();
    assert!(said.contains("not authorized"), "{said}");
    assert!(said.lines().count() < 20, "{said}");
}

#[test]
fn the_token_is_in_no_log_and_no_command_line() {
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
                proxy.subscribed(4);
                proxy.heard();
            }
            let line = program.command_line();
            assert!(line.contains("--config") && !line.contains(TOKEN), "{line}");
            assert_eq!(program.end(Signal::TERM).0, Some(0));
            let said = program.said();
            assert!(!said.contains(TOKEN) && !said.contains(encoded), "{said}");
        }
    }
}

#[test]
fn a_terminal_gets_its_cursor_back_after_a_signal() {
    if !Path::new("/usr/bin/script").exists() {
        // util-linux is on every Debian; elsewhere the unit tests of the terminal must do.
        return;
    }
    let binary = env!("CARGO_BIN_EXE_deskticker");
    for (signal, code) in [("TERM", 0), ("INT", 0)] {
        // The shell tells its own process id, which `exec` gives to the program.
        let command = format!("echo pid=$$; exec {binary} demo --speed 20");
        let mut program = Program::spawn(Command::new("/usr/bin/script").args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ]));
        let line = program.says("pid=");
        let pid = line.trim().rsplit('=').next().unwrap().trim().to_owned();
        program.says("\x1b[?25l");
        let killed = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(killed.unwrap().success());
        assert_eq!(program.wait(), Some(code), "{}", program.said());
        let said = program.said();
        assert!(
            said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l"),
            "{said:?}"
        );
    }
}
