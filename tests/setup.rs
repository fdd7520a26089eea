//! Tests of `deskticker setup` and `deskticker-hub setup` with the built programs: with options, and at
//! a terminal. The hub is the built hub; the panel is a model of a chip, behind a bus that the program
//! opens as it opens each bus.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/i2c_display/mod.rs"]
mod i2c_display;
#[path = "support/running_ticker.rs"]
mod running_ticker;
#[path = "support/terminal_session.rs"]
mod terminal_session;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use deskticker::render::{Frame, Size, WIDTH, test_picture};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::time::Clock;
use rustix::io::Errno;
use rustix::process::Signal;

use child_process::{Program, clean_command, directory};
use i2c_display::chip::Chip;
use running_ticker::Background;
use terminal_session::Session;

const DISPLAY: &str = env!("CARGO_BIN_EXE_deskticker");
const HUB: &str = env!("CARGO_BIN_EXE_deskticker-hub");
const KEY: &str = "the-key-of-this-test";

/// The command `setup` of a program, with a configuration in this directory.
fn setup(program: &str, config: &Path, arguments: &[&str]) -> Command {
    let mut command = clean_command(program);
    command
        .env("NO_COLOR", "1")
        .arg("setup")
        .arg("--config")
        .arg(config)
        .args(arguments);
    command
}

/// Runs a command without a terminal and with this standard input.
fn run(command: &Command, input: &str) -> Output {
    let mut detached = Command::new("setsid");
    detached
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    let pipes = detached.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its options ends without a read of its input.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

/// The exit code, and both outputs.
fn told(output: &Output) -> (i32, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().unwrap(), all)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The token in the line for the display.
fn token_in(output: &str) -> String {
    let (_, line) = output.split_once("  echo ").expect(output);
    line.split(' ').next().unwrap().to_owned()
}

/// A hub that was set up with simulated prices, and its token.
struct SetUpHub {
    _program: Program,
    address: String,
    token: String,
}

fn hub(name: &str) -> SetUpHub {
    let folder = directory(name);
    let (config, address) = (folder.join("hub.toml"), free_address());
    let arguments = ["--simulate", "--listen", &address, "--device", "kitchen"];
    let output = run(&setup(HUB, &config, &arguments), "");
    let (code, said) = told(&output);
    assert_eq!(code, 0, "{said}");
    // The line for the display has the address at which the hub listens.
    let line = format!("| sudo deskticker setup --hub ws://{address} --token-file -");
    assert!(said.contains(&line), "{said}");
    let mut command = clean_command(HUB);
    command.arg("run").arg("--config").arg(&config);
    let mut program = Program::spawn(&mut command);
    program.wait_for_line("the hub is ready");
    assert!(read(&config).contains("\nsimulate = true\n"));
    assert_eq!(mode(&folder.join("devices")), 0o600);
    SetUpHub {
        _program: program,
        address,
        token: token_in(&said),
    }
}

#[test]
fn options_set_up_a_display_without_a_terminal() {
    let hub = hub("options-hub");
    let folder = directory("options");
    let (config, url) = (folder.join("desk.toml"), format!("ws://{}", hub.address));
    let picture = folder.join("screen.png");
    let panel = [
        "--panel",
        "png",
        "--output",
        picture.to_str().unwrap(),
        "--colours",
        "yellow-blue",
    ];
    // The set-up completes an address without ws://.
    let arguments = [
        "--hub",
        &hub.address,
        "--watchlist",
        "spx, SPY",
        "--token-file",
        "-",
    ];
    let arguments = [&arguments[..], &panel].concat();
    let dry = run(
        &setup(DISPLAY, &config, &[&arguments[..], &["--dry-run"]].concat()),
        &hub.token,
    );
    let (code, said) = told(&dry);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("Nothing was changed") && said.contains("desk.toml"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

    let (code, said) = told(&run(&setup(DISPLAY, &config, &arguments), &hub.token));
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains(&hub.token));
    for step in [
        "the token is accepted",
        &format!("the picture is the file {}", picture.display()),
        "writes",
        "ok       hub",
        "ok       channels",
    ] {
        assert!(said.contains(step), "{step}\n{said}");
    }
    let token = folder.join("token");
    assert_eq!(
        (read(&token), mode(&token)),
        (format!("{}\n", hub.token), 0o600)
    );
    let text = read(&config);
    assert_eq!(mode(&config), 0o644);
    assert!(text.contains(&format!("\nurl = \"{url}\"\n")), "{text}");
    assert!(
        text.contains("\nwatchlist = [\"spx\", \"SPY\"]\n"),
        "{text}"
    );
    assert!(text.contains("\ncolours = \"yellow-blue\"\n"), "{text}");
    assert!(
        text.contains("# Alerts, any number of them."),
        "the comments are lost:\n{text}"
    );
    let file = config.to_str().unwrap();
    let (code, said, _) = child_process::run(&["check", "--config", file]);
    assert_eq!(
        (code, said.starts_with("ok: 2 symbols (SPX, SPY)")),
        (0, true),
        "{said}"
    );

    // The same set-up again changes nothing and keeps no copy.
    let (code, said) = told(&run(&setup(DISPLAY, &config, &[]), ""));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("leaves"), "{said}");
    assert_eq!(read(&config), text);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn wrong_options_are_named_and_nothing_is_written() {
    let hub = hub("wrong-hub");
    let folder = directory("wrong");
    let (config, url) = (folder.join("desk.toml"), format!("ws://{}", hub.address));
    let closed = format!("ws://{}", free_address());
    for (arguments, input, word) in [
        (
            &["--hub", &closed][..],
            "x",
            "--hub: the host refuses the connection",
        ),
        (
            &["--hub", "hub local"],
            "x",
            "--hub: expected an address like",
        ),
        (
            &["--hub", &url, "--token-file", "-"],
            "wrong",
            "--token-file: the hub refused the token",
        ),
        (&["--hub", &url], "", "deskticker: there is no token yet"),
        (
            &[
                "--hub",
                &url,
                "--token-file",
                "-",
                "--watchlist",
                "SPX,NO:SUCH",
            ],
            &hub.token,
            "--watchlist: \"NO:SUCH\" is not a symbol",
        ),
        (
            &[
                "--hub",
                &url,
                "--token-file",
                "-",
                "--watchlist",
                "I:NOSUCHINDEX",
            ],
            &hub.token,
            "--watchlist: the hub has no prices of I:NOSUCHINDEX",
        ),
    ] {
        let panel = ["--panel", "png", "--yes"];
        let (code, said) = told(&run(
            &setup(DISPLAY, &config, &[arguments, &panel].concat()),
            input,
        ));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(word), "{word}\n{said}");
        // The file does not exist, so no error has a place in it.
        assert!(!said.contains("desk.toml:"), "{said}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::write(&config, "[hub\nurl = 1\n").unwrap();
    let (code, said) = told(&run(&setup(DISPLAY, &config, &["--hub", &url]), ""));
    assert!(
        code == 1 && said.contains("Correct this file first"),
        "{said}"
    );
    assert_eq!(read(&config), "[hub\nurl = 1\n");
}

#[test]
fn a_wrong_wiring_is_named_by_its_option_and_no_change_is_shown() {
    let folder = directory("wiring");
    let config = folder.join("desk.toml");
    for (arguments, words) in [
        (
            &["--dc", "24"][..],
            "--dc: only a panel on SPI has this pin",
        ),
        (&["--bus", "spi", "--dc", "24"], "--bus: \"spi\", expected"),
        (&["--bus", "/dev/spidev0.0"], "needs --dc N"),
        (
            &["--bus", "/dev/spidev0.0", "--dc", "24", "--reset", "GPIO24"],
            "--dc and --reset have the same GPIO",
        ),
        (
            &["--size", "128x32", "--colours", "yellow-blue"],
            "--colours: a panel of 128x32 has one colour",
        ),
        (
            &["--colours", "white"],
            "--colours \"white\": expected yellow-blue",
        ),
    ] {
        let usual = ["--dry-run", "--yes", "--panel", "oled"];
        let output = run(&setup(DISPLAY, &config, &[&usual, arguments].concat()), "");
        let (code, said) = told(&output);
        assert!(code != 0 && said.contains(words), "{words}\n{said}");
        // The file does not exist, so no error has a place in it.
        let other = ["desk.toml", "--watchlist", "There is no"];
        assert!(other.iter().all(|word| !said.contains(word)), "{said}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_file_to_write_that_is_a_fifo_or_no_picture_is_refused_at_once() {
    let folder = directory("fifo");
    let [fifo, notes] = ["fifo", "notes.txt"].map(|name| folder.join(name));
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    std::fs::write(&notes, "mine").unwrap();
    let [pipe, text] = [&fifo, &notes].map(|path| path.to_str().unwrap());
    let config = folder.join("desk.toml");
    let url = format!("ws://{}", free_address());
    for (path, kind) in [(pipe, "a FIFO"), (text, "a file that is no picture")] {
        let arguments = ["--panel", "png", "--output", path, "--hub", &url, "--yes"];
        let (code, said) = told(&run(&setup(DISPLAY, &config, &arguments), ""));
        let words = format!("{path}: this is {kind}; a picture replaces only a picture");
        assert!(code == 1 && said.contains(&words), "{said}");
        let snapshot = ["snapshot", "--demo", "--output", path];
        let (code, _, said) = child_process::run(&snapshot);
        assert!(code == 1 && said.contains(&words), "{said}");
    }
    let words = "this is a FIFO; expected a regular file or a new one";
    for program in [DISPLAY, HUB] {
        let (code, said) = told(&run(&setup(program, &fifo, &["--yes"]), ""));
        assert!(code == 1 && said.contains(words), "{said}");
    }
    for command in [&["add", "kitchen"][..], &["list"], &["revoke", "kitchen"]] {
        let mut program = clean_command(HUB);
        program.arg("token").args(command).args(["--file", pipe]);
        let (code, said) = told(&run(&program, ""));
        assert!(code != 0 && said.contains(words), "{command:?}: {said}");
    }
    assert_eq!(read(&notes), "mine");
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(
        &std::fs::metadata(&fifo).unwrap().file_type()
    ));
}

#[test]
fn each_answer_at_the_terminal_is_checked_and_the_own_settings_stay() {
    let hub = hub("asked-hub");
    let folder = directory("asked");
    let (config, token) = (folder.join("desk.toml"), folder.join("my-token"));
    let own = format!(
        "# My desk.\nclock = \"12h\" # as at home\nwatchlist = [\n  \"SPX\", # mine\n  \"VIX\",\n]\n\
         [massive]\nurl = \"wss://delayed.massive.com\"\n[panel]\nkind = \"png\"\nfile = {:?}\n",
        folder.join("screen.png")
    );
    std::fs::write(&config, &own).unwrap();
    let mut session = Session::start(&setup(DISPLAY, &config, &[]), None);
    session.wait_for("The panel: oled, screen (HDMI), png (a picture file) or terminal [png]:");
    session.answer("lcd");
    session.wait_for("unknown panel");
    session.wait_for("[png]:");
    session.answer("");
    session.wait_for("The address of the hub [ws://hub.local:3000]:");
    session.answer(&format!("ws://{}", free_address()));
    session.wait_for("the host refuses the connection");
    session.wait_for("[ws://hub.local:3000]:");
    session.answer(&format!("ws://{}", hub.address));
    session.wait_for("a deskticker-hub that reports the status");
    session.wait_for("The token of the hub (it is not shown):");
    session.answer("0123456789");
    session.wait_for("the hub refused the token");
    session.wait_for("(it is not shown):");
    session.answer(&hub.token);
    session.wait_for("the token is accepted");
    session.wait_for("The symbols, separated by commas [SPX, VIX]:");
    session.answer("SPX, I:NOSUCHINDEX");
    session.wait_for("the hub has no prices of I:NOSUCHINDEX");
    session.wait_for("[SPX, VIX]:");
    session.answer("NDX,SPY");
    let changes = session.wait_for("Go on? [yes]:");
    assert!(
        changes.contains("+ watchlist") || changes.contains("+ watchlist = "),
        "{changes}"
    );
    assert!(changes.contains("+ #[massive]"), "{changes}");
    assert_eq!(read(&config), own);
    session.answer("");
    session.wait_for("desk.toml is now");
    session.wait_for("all checks passed");
    assert_eq!(session.end(), 0, "{}", session.output);
    assert!(!session.output.contains(&hub.token) && !session.output.contains("0123456789"));
    assert!(session.is_usual());
    let text = read(&config);
    let expected = format!(
        "# My desk.\nclock = \"12h\" # as at home\nwatchlist = [\"NDX\", \"SPY\"]\n\
         #[massive]\n#url = \"wss://delayed.massive.com\"\n[panel]\nkind = \"png\"\nfile = {:?}\n\n\
         [hub]\ntoken_file = {:?}\nurl = \"ws://{}\"\n",
        folder.join("screen.png"),
        folder.join("token"),
        hub.address
    );
    assert_eq!(text, expected);
    assert_eq!(read(&folder.join("desk.toml.old")), own);
    assert_eq!(read(&folder.join("token")), format!("{}\n", hub.token));

    // A file for the token that the configuration names stays the file for the token, and a symbol that
    // the hub does not know is kept at the second time.
    let text = text.replace("/token\"", "/my-token\"");
    std::fs::write(&config, &text).unwrap();
    std::fs::write(&token, "old").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    // The line of the hub has the token on the standard input; the questions are at the terminal.
    let arguments = ["--token-file", "-"];
    let mut session = Session::start(&setup(DISPLAY, &config, &arguments), Some(&hub.token));
    session.wait_for("[png]:");
    session.answer("");
    session.wait_for("The address of the hub");
    session.answer("");
    session.wait_for("the token is accepted");
    for expected in ["the hub has no prices of I:NOSUCHINDEX", "Go on?"] {
        session.wait_for("[NDX, SPY]:");
        session.answer("NDX I:NOSUCHINDEX");
        session.wait_for(expected);
    }
    session.answer("no");
    assert_eq!(session.end(), 0, "{}", session.output);
    assert_eq!((read(&config), read(&token).as_str()), (text, "old"));
    let arguments = ["--token-file", "-", "--yes"];
    let (code, said) = told(&run(&setup(DISPLAY, &config, &arguments), &hub.token));
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        (read(&token), mode(&token)),
        (format!("{}\n", hub.token), 0o640)
    );
    assert_eq!(read(&folder.join("my-token.old")), "old");
    assert_eq!(mode(&folder.join("my-token.old")), 0o640);
}

#[test]
fn ctrl_c_at_a_question_changes_nothing_and_restores_the_terminal() {
    let hub = hub("stopped-hub");
    let folder = directory("stopped");
    let config = folder.join("desk.toml");
    let url = format!("ws://{}", hub.address);
    let arguments = ["--panel", "png", "--hub", &url];
    let mut session = Session::start(&setup(DISPLAY, &config, &arguments), None);
    session.wait_for("The token of the hub");
    while session.is_usual() {
        std::thread::yield_now();
    }
    session.press(3);
    session.wait_for("stopped before the end");
    assert_eq!(session.end(), 1, "{}", session.output);
    assert!(session.is_usual());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

/// A bus with one chip at one address, for programs that open `path`.
struct Bus {
    path: PathBuf,
    chip: Arc<Mutex<Chip>>,
    environment: [(&'static str, PathBuf); 2],
}

fn bus(name: &str, address: u8, new: fn() -> Chip) -> Bus {
    let folder = directory(name);
    let library = folder.join("bus.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/i2c_bus.c");
    let mut compiler = Command::new("cc");
    let compiled = compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]);
    assert!(
        compiled
            .arg(&library)
            .arg(source)
            .status()
            .unwrap()
            .success()
    );
    let (path, socket) = (folder.join("i2c-1"), folder.join("socket"));
    std::fs::write(&path, "").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let chip = Arc::new(Mutex::new(new()));
    let shared = chip.clone();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let chip = shared.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4];
                while stream.read_exact(&mut head).is_ok() {
                    let [to, direction, low, high] = head;
                    let size = usize::from(u16::from_le_bytes([low, high]));
                    let mut data = vec![0; if direction == 0 { size } else { 0 }];
                    stream.read_exact(&mut data).unwrap();
                    // A Raspberry Pi reports this error if no device acknowledges.
                    let mut error = Errno::REMOTEIO.raw_os_error();
                    if to == address {
                        let mut chip = chip.lock().unwrap();
                        error = 0;
                        // The model refuses the commands of another chip. The picture of a real chip
                        // is then noise, which is what the model has after a loss of power.
                        if catch_unwind(AssertUnwindSafe(|| chip.receive(&data))).is_err() {
                            *chip = new();
                        }
                    }
                    stream.write_all(&[error as u8]).unwrap();
                }
            });
        }
    });
    Bus {
        path,
        chip,
        environment: [("LD_PRELOAD", library), ("I2C_BUS", socket)],
    }
}

/// The number of the test picture, as a person sees a panel of this size, or `None` if the picture is
/// not exactly a test picture.
fn number(chip: &Mutex<Chip>, size: Size, upside_down: bool) -> Option<String> {
    let chip = chip.lock().unwrap();
    // The model refuses to show a picture for a panel of another size.
    let rows = catch_unwind(AssertUnwindSafe(|| chip.seen(size.height()))).ok()??;
    drop(chip);
    let mut seen = Frame::new(size);
    for (y, row) in rows.iter().enumerate() {
        for (x, lit) in row.iter().enumerate() {
            let (last_x, last_y) = (WIDTH - 1, size.height() - 1);
            let (x, y) = if upside_down {
                (last_x - x, last_y - y)
            } else {
                (x, y)
            };
            seen.set(x, y, *lit);
        }
    }
    let digits = ["2", "3", "4", "5", "7", "8"];
    let pairs = digits
        .iter()
        .flat_map(|first| digits.map(|second| format!("{first}{second}")));
    let pairs: Vec<String> = pairs.collect();
    let mut numbers = pairs
        .iter()
        .flat_map(|first| pairs.iter().map(move |second| first.to_owned() + second));
    numbers.find(|number| test_picture(size, number) == seen)
}

/// Answers the questions for a test picture as a person in front of this panel. Returns the number of
/// pictures.
fn look(session: &mut Session, bus: &Bus, size: Size, mounted_upside_down: bool) -> usize {
    for count in 1.. {
        session.wait_for("s: keep these settings):");
        if let Some(number) = number(&bus.chip, size, mounted_upside_down) {
            session.answer(&number);
            return count;
        }
        match number(&bus.chip, size, !mounted_upside_down) {
            Some(_) => session.answer("u"),
            None => session.answer(""),
        }
    }
    unreachable!()
}

#[test]
fn the_settings_of_the_panel_are_found_by_looking_at_the_test_picture() {
    let hub = hub("panel-hub");
    let url = format!("ws://{}", hub.address);
    for (name, address, chip, size, upside_down, settings, pictures) in [
        (
            "usual",
            0x3c,
            (|| Chip::ssd1306(7)) as fn() -> Chip,
            Size::Tall,
            false,
            "colours = \"yellow-blue\"\n",
            1,
        ),
        (
            "all-different",
            0x3d,
            || Chip::sh1106(2),
            Size::Tall,
            true,
            "chip = \"sh1106\"\naddress = 0x3d\nrotation = 180\n",
            3,
        ),
        (
            "small",
            0x3c,
            || Chip::ssd1306(7),
            Size::Short,
            false,
            "size = \"128x32\"\n",
            3,
        ),
        (
            "square",
            0x3c,
            || Chip::sh1107(0),
            Size::Square,
            false,
            "chip = \"sh1107\"\nsize = \"128x128\"\n",
            5,
        ),
    ] {
        let bus = bus(&format!("bus-{name}"), address, chip);
        let folder = directory(&format!("panel-{name}"));
        let config = folder.join("desk.toml");
        let (path, token) = (bus.path.to_str().unwrap(), folder.join("given"));
        std::fs::write(&token, &hub.token).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = token.to_str().unwrap();
        let arguments = ["--bus", path, "--hub", &url, "--token-file", token];
        let mut command = setup(DISPLAY, &config, &arguments);
        command.envs(bus.environment.iter().map(|(name, value)| (name, value)));
        let mut session = Session::start(&command, None);
        session.wait_for("[oled]:");
        session.answer("");
        session.wait_for(&format!("{address:#04x} answers on {path}"));
        // A wrong number is no right picture.
        session.wait_for("s: keep these settings):");
        session.answer("1111");
        session.wait_for("This is not the number");
        let mut expected = pictures;
        if pictures == 1 {
            // The first picture was right, but the number was wrong: the user starts again.
            session.wait_for("s: keep these settings):");
            session.press(3);
            assert_eq!(session.end(), 1);
            session = Session::start(&command, None);
            session.wait_for("[oled]:");
            session.answer("");
        } else {
            expected -= 1;
        }
        let count = look(&mut session, &bus, size, upside_down);
        assert_eq!(count, expected, "{}", session.output);
        if size == Size::Tall {
            session.wait_for("Is the top quarter of the panel yellow? [no]:");
            let yellow = settings.contains("yellow");
            session.answer(if yellow { "yes" } else { "" });
        }
        session.wait_for("The symbols");
        session.answer("");
        session.wait_for("Go on?");
        session.answer("");
        session.wait_for("ok       panel");
        assert_eq!(session.end(), 0, "{}", session.output);
        let text = read(&config);
        let (_, panel) = text.split_once("\n[panel]\n").unwrap();
        // The table [screen], which is a comment, follows after an empty line.
        let panel = panel
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let panel: Vec<&str> = panel.filter(|line| !line.starts_with("bus")).collect();
        let mut wanted: Vec<&str> = settings.lines().collect();
        wanted.sort_unstable();
        let mut found = panel.clone();
        found.sort_unstable();
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn without_a_panel_the_bus_is_scanned_and_the_wiring_is_named() {
    let bus = bus("bus-other", 0x27, || Chip::ssd1306(7));
    let folder = directory("no-panel");
    let path = bus.path.to_str().unwrap();
    let mut command = setup(DISPLAY, &folder.join("desk.toml"), &["--bus", path]);
    command.envs(bus.environment.iter().map(|(name, value)| (name, value)));
    let mut session = Session::start(&command, None);
    session.wait_for("[oled]:");
    session.answer("");
    session.wait_for("no panel answers, only 0x27. Check the wires: SDA");
    session.wait_for("Scan again?");
    // Many panels answer only after a reset. This chip does not exist.
    session.answer("gpiochip250:17");
    session.wait_for("there is no /dev/gpiochip250");
    session.wait_for("Scan again?");
    session.answer("no");
    session.wait_for("The address of the hub");
    session.press(4);
    session.wait_for("stopped before the end");
    assert_eq!(session.end(), 1);
}

#[test]
fn a_hub_is_set_up_at_the_terminal_and_the_vendor_checks_the_key() {
    let vendor = Background::start(|| async {
        let settings = SimulatorSettings {
            key: KEY.to_owned(),
            ..SimulatorSettings::default()
        };
        let simulator = Simulator::start(settings, Clock::system()).await.unwrap();
        (simulator.address(), simulator)
    });
    let folder = directory("hub-asked");
    let config = folder.join("hub.toml");
    let own = format!(
        "# Mine.\n[massive] # near\nurl = \"ws://{}\"\n",
        vendor.value.0
    );
    std::fs::write(&config, &own).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let holder = TcpListener::bind(&taken);
    let address = free_address();
    let mut session = Session::start(&setup(HUB, &config, &[]), None);
    session.wait_for("The key of the vendor (it is not shown; s: simulated prices):");
    session.answer("");
    session.wait_for("there is no key yet; type the key, or s for simulated prices");
    session.wait_for("simulated prices):");
    session.answer("wrong");
    session.wait_for("the vendor refuses this key");
    session.wait_for("simulated prices):");
    session.answer(KEY);
    session.wait_for("the vendor accepts the key");
    session.wait_for("The address and the port for the displays [0.0.0.0:3000]:");
    session.answer("hub:3000");
    session.wait_for("expected an address and a port");
    session.wait_for("[0.0.0.0:3000]:");
    session.answer("192.0.2.1");
    session.wait_for("completed to 192.0.2.1:3000");
    session.wait_for("no interface of this machine has the address 192.0.2.1");
    if holder.is_ok() {
        session.wait_for("[0.0.0.0:3000]:");
        session.answer(&taken);
        session.wait_for("cannot listen on");
    }
    session.wait_for("[0.0.0.0:3000]:");
    session.answer(&address);
    session.wait_for("The certificate for TLS, a PEM file (none: no TLS) [none]:");
    session.answer("/no/such/file");
    session.wait_for("there is no file");
    session.wait_for("[none]:");
    session.answer("");
    session.wait_for("The name or the address of this hub for the displays [127.0.0.1]:");
    session.answer("");
    session.wait_for("A name for the first display [display]:");
    session.answer("my display");
    session.wait_for("a device's name has");
    session.wait_for("[display]:");
    session.answer("");
    session.wait_for("Go on? [yes]:");
    assert_eq!(read(&config), own);
    session.answer("");
    session.wait_for("type this line");
    assert_eq!(session.end(), 0, "{}", session.output);
    assert!(!session.output.contains(KEY));
    let key = folder.join("key");
    assert_eq!((read(&key), mode(&key)), (format!("{KEY}\n"), 0o600));
    assert_eq!(read(&folder.join("hub.toml.old")), own);
    let text = read(&config);
    assert!(
        text.contains("# Mine.\n") && text.contains("[massive] # near\n"),
        "{text}"
    );
    assert!(text.contains(&format!("listen = \"{address}\"\n")) && !text.contains("simulate"));

    // The hub starts with these files, and the printed line sets up a display.
    let mut command = clean_command(HUB);
    command.arg("run").arg("--config").arg(&config);
    let mut hub = Program::spawn(&mut command);
    hub.wait_for_line("the hub is ready");
    let desk = directory("hub-asked-display").join("desk.toml");
    let url = format!("ws://{address}");
    let arguments = ["--panel", "png", "--hub", &url, "--token-file", "-"];
    let (_, said) = told(&run(
        &setup(DISPLAY, &desk, &arguments),
        &token_in(&session.output),
    ));
    assert!(said.contains("the token is accepted"), "{said}");

    // A second set-up keeps the key, and the name of the display needs another one.
    hub.end(Signal::TERM);
    let (code, said) = told(&run(&setup(HUB, &config, &["--yes"]), ""));
    assert!(
        code == 1 && said.contains("deskticker-hub: display has a token already"),
        "{said}"
    );
    let (code, said) = told(&run(&setup(HUB, &config, &["--device", "desk-2"]), ""));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("leaves"), "{said}");
    assert_eq!(read(&config), text);
}

#[test]
fn a_hub_is_set_up_with_a_port_alone_and_a_missing_key_is_no_error_of_an_option() {
    let folder = directory("hub-short");
    let config = folder.join("hub.toml");
    let port = free_address().rsplit(':').next().unwrap().to_owned();
    let start = ["--yes", "--listen", &port];
    let (code, said) = told(&run(&setup(HUB, &config, &start), ""));
    let words = "deskticker-hub: there is no key yet; --simulate needs none; the option of this \
                 setting is --key-file\n";
    assert_eq!((code, &*said), (1, words));
    let simulated = [&start[..], &["--simulate"]].concat();
    let (code, said) = told(&run(&setup(HUB, &config, &simulated), ""));
    assert_eq!(code, 0, "{said}");
    let text = read(&config);
    let listen = format!("\nlisten = \"0.0.0.0:{port}\"\n");
    assert!(text.contains(&listen), "{text}");
}

#[test]
fn a_hub_below_another_hub_is_set_up_and_serves_a_display() {
    let root = hub("above");
    let folder = directory("below");
    let (config, address) = (folder.join("hub.toml"), free_address());
    let upstream = format!("ws://{}", root.address);
    let arguments = [
        "--upstream",
        &upstream,
        "--upstream-token-file",
        "-",
        "--listen",
        &address,
    ];
    let (code, said) = told(&run(
        &setup(HUB, &config, &arguments),
        "wrong-token-of-the-test",
    ));
    assert!(code == 1 && said.contains("refused the token"), "{said}");
    assert!(!config.exists());
    let (code, said) = told(&run(&setup(HUB, &config, &arguments), &root.token));
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&format!("{upstream}: the token is accepted")),
        "{said}"
    );
    let file = folder.join("upstream-token");
    assert_eq!((read(&file).trim(), mode(&file)), (&*root.token, 0o600));
    assert!(!said.contains(&root.token), "{said}");
    let text = read(&config);
    assert!(text.contains(&format!("hub = {upstream:?}\n")), "{text}");
    assert!(!text.contains("\n[massive]"), "{text}");
    // A second set-up keeps the hub above, its token and the comments.
    let again = ["--listen", &address, "--device", "hall", "--yes"];
    let (code, said) = told(&run(&setup(HUB, &config, &again), ""));
    assert_eq!((code, read(&config)), (0, text), "{said}");

    let token = token_in(&said);
    let mut command = clean_command(HUB);
    command.arg("run").arg("--config").arg(&config);
    let mut leaf = Program::spawn(&mut command);
    leaf.wait_for_line(&format!("upstream the hub {upstream}"));
    let desk = folder.join("desk.toml");
    let url = format!("ws://{address}");
    let arguments = ["--panel", "png", "--hub", &url, "--token-file", "-"];
    let (code, said) = told(&run(&setup(DISPLAY, &desk, &arguments), &token));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_hub_with_tls_is_set_up_and_its_line_sets_up_a_display() {
    let folder = directory("tls");
    let [config, ca, cert, key] =
        ["hub.toml", "ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
    let authority = tls_front::authority();
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&ca, authority.pem()).unwrap();
    std::fs::write(&cert, params.signed_by(&pair, &authority).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let address = free_address();
    let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
    let start = [
        "--simulate",
        "--listen",
        &address,
        "--name",
        "localhost",
        "--tls-cert",
        cert,
    ];
    let wrong = run(
        &setup(HUB, &config, &[&start[..], &["--tls-key", ca]].concat()),
        "",
    );
    let (code, said) = told(&wrong);
    assert!(
        code == 1 && said.contains("--tls-key: ") && said.contains("no private key"),
        "{said}"
    );
    assert!(!config.exists());
    let (code, said) = told(&run(
        &setup(HUB, &config, &[&start[..], &["--tls-key", key]].concat()),
        "",
    ));
    assert_eq!(code, 0, "{said}");
    let url = format!("wss://localhost:{}", address.rsplit(':').next().unwrap());
    assert!(
        said.contains(&format!("setup --hub {url} --token-file -")),
        "{said}"
    );
    let token = token_in(&said);
    let mut command = clean_command(HUB);
    command.arg("run").arg("--config").arg(&config);
    let mut hub = Program::spawn(&mut command);
    hub.wait_for_line("the hub is ready");

    let desk = folder.join("desk.toml");
    let arguments = ["--panel", "png", "--hub", &url, "--token-file", "-"];
    let (code, said) = told(&run(&setup(DISPLAY, &desk, &arguments), &token));
    assert!(
        code == 1 && said.contains("is not trusted") && said.contains("ca_file"),
        "{said}"
    );
    let arguments = [&arguments[..], &["--ca-file", ca]].concat();
    let (code, said) = told(&run(&setup(DISPLAY, &desk, &arguments), &token));
    assert_eq!(code, 0, "{said}");
    assert!(read(&desk).contains(&format!("ca_file = {ca:?}\n")));
}
