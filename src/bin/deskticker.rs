//! The display: parses arguments, calls the library, and maps errors to exit codes.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use deskticker::board::{self, Board};
use deskticker::clock::Clock;
use deskticker::config::{Config, DEFAULT_PATH, Environment, Panel, PanelKind};
use deskticker::demo::simulated;
use deskticker::doctor;
use deskticker::journal::Journal;
use deskticker::market::Calendar;
use deskticker::panel::{self, Chip, Leave, Oled, Slot};
use deskticker::screen::{self, Size};
use deskticker::service::{self, Control, Setup, Until};
use deskticker::station::{self, Files, Loaded, Station};
use deskticker::supervisor::Supervisor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

const HELP: &str = "\
deskticker: index values on a small screen, fresh or visibly not

Usage: deskticker [COMMAND] [OPTIONS]

Commands:
  demo      show simulated prices; needs no hub, no key and no hardware
  run       show the prices of the hub in the configuration (the default)
  check     say what is wrong with a configuration, and where
  snapshot  write the current screen to a picture file and end
  boards    print the boards that are known, with what switches their I2C bus on
  say       write words in the place of prices and leave them there; nothing may run meanwhile
  doctor    look at the board, the panel, the network and the hub, and say what mends them

Options for demo:
      --panel KIND     terminal (default), png, or oled for a display on the I2C bus
      --seconds N      end after N seconds (default: until Ctrl-C)
      --speed X        prices X times as fast (default: 1; SPX then moves once a second)
      --size SIZE      128x64 (default) or 128x32
      --chip CHIP      of an oled: ssd1306 (default), ssd1315, ssd1309, sh1106
      --bus PATH       I2C bus of an oled (default: the board's, mostly /dev/i2c-1)
      --address N      I2C address of an oled (default: 0x3c)
      --output FILE    file of a png (default: deskticker.png)

Options for run:
      --config FILE    configuration (default: /etc/deskticker/deskticker.toml)
      --last-good FILE where the last good configuration is kept; when the configuration is wrong
                       at the start, that one is shown, or what is wrong

Options for check:
      --config FILE    as for run

Options for snapshot:
      --output FILE    where to write (required)
      --config FILE    as for run
      --demo           of simulated prices instead
      --seconds N      wait this long at most for the prices (default: 10)

Options for say WORD [MEANING]:
      --config FILE    as for run; only its panel need be right, else it is the board's

Options for doctor:
      --config FILE    as for run
      --json           print an array of {check, state, found, mend}
      --bundle FILE    write a report as well, without secrets; FILE must not exist

  -h, --help           print this
  -V, --version        print the version

The token of the hub comes from token_file in the configuration, from a systemd credential named
\"token\", or from MASSIVE_PROXY_TOKEN; never from an option. RUST_LOG=debug says more.
A change of the configuration is applied within some seconds, or on SIGHUP at once. Exit codes: 0
ended as asked, 1 failed, 64 bad arguments, 78 bad configuration.
";

/// Why the program ends with another code than 0 (sysexits.h).
enum Failure {
    /// All has been said already.
    Told(u8),
    Usage(String),
    Config(String),
    Other(String),
}

impl Failure {
    fn other(error: impl std::fmt::Display) -> Self {
        Failure::Other(error.to_string())
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        panel::terminal::restore();
        eprintln!("deskticker: {panic}; please report this");
    }));
    let (code, message) = match arguments().and_then(perform) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Told(code)) => return ExitCode::from(code),
        Err(Failure::Usage(message)) => (64, format!("{message}\nTry: deskticker --help")),
        Err(Failure::Config(message)) => (78, message),
        Err(Failure::Other(message)) => (1, message),
    };
    eprintln!("deskticker: {message}");
    ExitCode::from(code)
}

enum Command {
    Print(String),
    Run {
        config: PathBuf,
        last_good: Option<PathBuf>,
    },
    Check {
        config: PathBuf,
    },
    Demo {
        panel: Panel,
        seconds: Option<f64>,
        speed: f64,
    },
    Snapshot {
        output: PathBuf,
        config: Option<PathBuf>,
        seconds: f64,
    },
    Say {
        config: PathBuf,
        word: String,
        meaning: String,
    },
    Doctor {
        config: PathBuf,
        json: bool,
        bundle: Option<PathBuf>,
    },
}

/// What the options are; each command takes some of them.
#[derive(Default)]
struct Options {
    config: Option<PathBuf>,
    last_good: Option<PathBuf>,
    panel: Option<PanelKind>,
    seconds: Option<f64>,
    speed: Option<f64>,
    size: Option<Size>,
    chip: Option<Chip>,
    bus: Option<PathBuf>,
    address: Option<u8>,
    output: Option<PathBuf>,
    demo: bool,
    json: bool,
    bundle: Option<PathBuf>,
    words: Vec<String>,
}

fn arguments() -> Result<Command, Failure> {
    parse(lexopt::Parser::from_env()).map_err(|error| Failure::Usage(error.to_string()))
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut command: Option<String> = None;
    let mut options = Options::default();
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "deskticker {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Long("config") => options.config = Some(parser.value()?.into()),
            Long("last-good") => options.last_good = Some(parser.value()?.into()),
            Long("panel") => options.panel = Some(parser.value()?.parse()?),
            Long("seconds") => {
                options.seconds = Some(positive(parser.value()?.parse()?, "--seconds")?)
            }
            Long("speed") => options.speed = Some(positive(parser.value()?.parse()?, "--speed")?),
            Long("size") => options.size = Some(parser.value()?.parse()?),
            Long("chip") => options.chip = Some(parser.value()?.parse()?),
            Long("bus") => options.bus = Some(parser.value()?.into()),
            Long("address") => options.address = Some(address(&parser.value()?.string()?)?),
            Long("output") => options.output = Some(parser.value()?.into()),
            Long("demo") => options.demo = true,
            Long("json") => options.json = true,
            Long("bundle") => options.bundle = Some(parser.value()?.into()),
            Value(word) if command.is_none() => command = Some(word.string()?),
            Value(word) if command.as_deref() == Some("say") && options.words.len() < 2 => {
                options.words.push(word.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let command = command.as_deref().unwrap_or("run");
    let allowed: &[&str] = match command {
        "run" => &["config", "last-good"],
        "check" | "say" => &["config"],
        "demo" => &[
            "panel", "seconds", "speed", "size", "chip", "bus", "address", "output",
        ],
        "boards" => &[],
        "snapshot" => &["output", "config", "demo", "seconds"],
        "doctor" => &["config", "json", "bundle"],
        other => {
            return Err(format!(
                "there is no command {other:?}, only demo, run, check, snapshot, boards, say and doctor"
            )
            .into());
        }
    };
    if let Some(stray) = given.iter().find(|name| !allowed.contains(&name.as_str())) {
        return Err(format!("--{stray} means nothing to {command}").into());
    }
    options.command(command)
}

impl Options {
    fn command(self, command: &str) -> Result<Command, lexopt::Error> {
        match command {
            "demo" => {
                let mut panel = Panel {
                    kind: self.panel.unwrap_or(PanelKind::Terminal),
                    ..Panel::of(Board::of_machine(&board::MODEL))
                };
                panel.file = self.output.unwrap_or(panel.file);
                panel.oled.size = self.size.unwrap_or(panel.oled.size);
                panel.oled.chip = self.chip.unwrap_or(panel.oled.chip);
                panel.oled.bus = self.bus.unwrap_or(panel.oled.bus);
                panel.oled.address = self.address.unwrap_or(panel.oled.address);
                Ok(Command::Demo {
                    panel,
                    seconds: self.seconds,
                    speed: self.speed.unwrap_or(1.0),
                })
            }
            "snapshot" => {
                let output = self.output.ok_or("snapshot needs --output FILE")?;
                if self.demo && self.config.is_some() {
                    return Err("--demo needs no --config".into());
                }
                let config =
                    (!self.demo).then(|| self.config.unwrap_or_else(|| DEFAULT_PATH.into()));
                Ok(Command::Snapshot {
                    output,
                    config,
                    seconds: self.seconds.unwrap_or(10.0),
                })
            }
            "boards" => Ok(Command::Print(board::list(Board::of_machine(
                &board::MODEL,
            )))),
            "say" => {
                let mut words = self.words.into_iter();
                Ok(Command::Say {
                    config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
                    word: words.next().ok_or("say needs a word")?,
                    meaning: words.next().unwrap_or_default(),
                })
            }
            "doctor" => Ok(Command::Doctor {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
                json: self.json,
                bundle: self.bundle,
            }),
            "check" => Ok(Command::Check {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
            }),
            _ => Ok(Command::Run {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
                last_good: self.last_good,
            }),
        }
    }
}

fn positive(number: f64, option: &str) -> Result<f64, lexopt::Error> {
    // A year is more than anybody waits, and less than a Duration holds.
    if number > 0.0 && number <= 31_536_000.0 {
        Ok(number)
    } else {
        Err(format!("{option} needs a number above 0").into())
    }
}

fn address(text: &str) -> Result<u8, lexopt::Error> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|address| (0x08..=0x77).contains(address))
        .ok_or_else(|| {
            format!("--address {text}: expected a 7-bit address, mostly 0x3c or 0x3d").into()
        })
}

fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it, `head` for one, has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::other),
    }
}

fn perform(command: Command) -> Result<(), Failure> {
    if let Command::Print(text) = &command {
        return print(text);
    }
    // Log lines would tear the picture that a terminal shows; its caption says what matters.
    let level = match &command {
        Command::Demo { panel, .. } if panel.kind == PanelKind::Terminal => "off",
        Command::Run { .. } => "info",
        // What would be logged is what it finds.
        Command::Doctor { .. } => "off",
        _ => "warn",
    };
    let journal = Journal::to_stderr(level).map_err(Failure::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::other)?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Print(_) => Ok(()),
            Command::Run { config, last_good } => run(config, last_good).await,
            Command::Check { config } => check(&config),
            Command::Demo {
                panel,
                seconds,
                speed,
            } => demo(panel, seconds, speed).await,
            Command::Snapshot {
                output,
                config,
                seconds,
            } => snapshot(output, config, seconds).await,
            Command::Say {
                config,
                word,
                meaning,
            } => say(&config, &word, &meaning),
            Command::Doctor {
                config,
                json,
                bundle,
            } => examine(&config, json, bundle).await,
        }
    });
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    // Nor must a log that nobody reads.
    journal.finish(Duration::from_millis(200));
    outcome
}

async fn run(config: PathBuf, last_good: Option<PathBuf>) -> Result<(), Failure> {
    let files = Files {
        config,
        last_good,
        fault: std::env::var_os("DESKTICKER_FAULT_FILE").map(PathBuf::from),
    };
    let station = Station {
        files,
        environment: Environment::of_process(),
        clock: Clock::system(),
        supervisor: Supervisor::of_process(),
    };
    let (stop, stops) = mpsc::channel(1);
    let (reload, reloads) = mpsc::channel(1);
    obey_signals(stop, &ENDING, ())?;
    obey_signals(reload, &[SignalKind::hangup()], ())?;
    let ran = station.run(stops, reloads).await;
    ran.map_err(|failure| match failure {
        station::Failure::Config(error) => Failure::Config(error.to_string()),
        station::Failure::Other(message) => Failure::Other(message),
    })
}

/// Says what a configuration comes to, or what is wrong with it.
fn check(path: &Path) -> Result<(), Failure> {
    let loaded = load(path)?;
    let (config, settings) = (&loaded.config, &loaded.config.settings);
    if let Some(utc) = Clock::system().now().utc {
        for line in config.expired(&Calendar::us(), utc) {
            log::warn!("{line}");
        }
    }
    let counted = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    print(&format!(
        "ok: {} ({}), {}, {}, {}, from {}\n",
        counted(settings.watchlist.len(), "symbol"),
        loaded.names(),
        counted(settings.leaves().len(), "page"),
        counted(settings.alerts.len(), "alert"),
        counted(settings.nights.len(), "night"),
        config.source.endpoint
    ))
}

fn load(path: &Path) -> Result<Loaded, Failure> {
    Loaded::load(path, &Environment::of_process())
        .map_err(|error| Failure::Config(error.to_string()))
}

async fn demo(panel: Panel, seconds: Option<f64>, speed: f64) -> Result<(), Failure> {
    let clock = Clock::system();
    let (setup, _backstage) = simulated(clock, speed, panel.oled.size)
        .await
        .map_err(Failure::Other)?;
    let (controls, receiver) = mpsc::channel(4);
    obey_signals(controls.clone(), &ENDING, Control::Stop)?;
    obey_signals(controls.clone(), &[SignalKind::hangup()], Control::Stop)?;
    if let Some(seconds) = seconds {
        end_after(seconds, controls);
    }
    let caption = "simulated prices · Ctrl-C ends";
    shown(setup, &panel, Leave::Picture, caption, receiver).await
}

/// Runs a service with its panel, and leaves the panel in order.
async fn shown(
    setup: Setup,
    panel: &Panel,
    leave: Leave,
    caption: &str,
    controls: mpsc::Receiver<Control>,
) -> Result<(), Failure> {
    let started = station::mount(panel, leave, caption, setup.clock.clone());
    let (slot, panel) = started.map_err(Failure::other)?;
    let outcome = service::run(setup, slot, controls, Until::Stopped).await;
    // A bus that is stuck must not hold up the end.
    panel.finish(Duration::from_millis(500));
    outcome.map(|_| ()).map_err(Failure::other)
}

async fn snapshot(output: PathBuf, config: Option<PathBuf>, seconds: f64) -> Result<(), Failure> {
    let mut backstage = None;
    let setup = match config {
        Some(path) => load(&path)?.setup(Clock::system()),
        None => {
            let (setup, running) = simulated(Clock::system(), 20.0, Size::Tall)
                .await
                .map_err(Failure::Other)?;
            backstage = Some(running);
            setup
        }
    };
    let (controls, receiver) = mpsc::channel(4);
    obey_signals(controls.clone(), &ENDING, Control::Stop)?;
    obey_signals(controls.clone(), &[SignalKind::hangup()], Control::Stop)?;
    end_after(seconds, controls);
    let slot = Slot::new(setup.size);
    let complete = service::run(setup, slot.clone(), receiver, Until::Complete)
        .await
        .map_err(Failure::other)?;
    drop(backstage);
    let frame = slot
        .take(Duration::ZERO)
        .ok_or_else(|| Failure::other("nothing was drawn"))?;
    let picture = panel::png::encode(&frame).map_err(Failure::other)?;
    std::fs::write(&output, picture)
        .map_err(|error| Failure::Other(format!("{}: {error}", output.display())))?;
    if !complete {
        log::warn!("not every value came in time; the picture says so");
    }
    Ok(())
}

/// For a machine that is just starting: nothing of the configuration but the panel has to be right.
fn say(config: &Path, word: &str, meaning: &str) -> Result<(), Failure> {
    let text = Config::text(config).unwrap_or_default();
    let panel = Config::panel_of(&text, &Environment::of_process());
    if panel.kind != PanelKind::Oled {
        return Err(Failure::other("say: only an oled keeps what it shows"));
    }
    let frame = screen::notice(panel.oled.size, word, meaning);
    let (bus, address) = (panel.oled.bus.clone(), panel.oled.address);
    let shown = Oled::linux(panel.oled).leave(&frame);
    shown.map_err(|fault| Failure::other(fault.advice(&bus, address)))
}

/// How long a doctor waits for values: the VIX is published every 15 s.
const PATIENCE: Duration = Duration::from_secs(16);

async fn examine(file: &Path, json: bool, bundle: Option<PathBuf>) -> Result<(), Failure> {
    let bundle = bundle.map(doctor::Bundle::new).transpose();
    let bundle = bundle.map_err(Failure::Other)?;
    let plain = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !plain("NO_COLOR") && !dumb;
    // Who has stopped reading has seen enough; the exit code still tells.
    let say = |text: &str| drop(std::io::stdout().write_all(text.as_bytes()));
    let mut each = |finding: &doctor::Finding| {
        if !json {
            say(&doctor::text(finding, colour));
        }
    };
    let patient = doctor::Patient {
        root: Path::new("/"),
        file,
        environment: &Environment::of_process(),
        clock: Clock::system(),
        calendar: Calendar::us(),
        patience: PATIENCE,
        touch: &mut doctor::touch,
    };
    let mut tell = doctor::Tell(&mut each);
    let examination = doctor::examine(patient, &mut tell).await;
    if json {
        say(&doctor::json(&examination.findings));
    } else {
        say(&format!("\n{}", doctor::summary(&examination.findings)));
    }
    if let Some(bundle) = bundle {
        let place = bundle.write(&examination, file).map_err(Failure::other)?;
        if !json {
            say(&format!("{place}: read it before you show it to others\n"));
        }
    }
    match examination.code() {
        0 => Ok(()),
        code => Err(Failure::Told(code)),
    }
}

/// The signals that end the service whatever it does. Where there is nothing to be read again,
/// SIGHUP is one too: it comes when the terminal is closed.
const ENDING: [SignalKind; 3] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::quit(),
];

/// Says this at each of these signals.
fn obey_signals<T: Clone + Send + 'static>(
    listener: mpsc::Sender<T>,
    kinds: &[SignalKind],
    what: T,
) -> Result<(), Failure> {
    for kind in kinds {
        let mut signals = signal(*kind).map_err(Failure::other)?;
        let (listener, what) = (listener.clone(), what.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if listener.send(what.clone()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

fn end_after(seconds: f64, controls: mpsc::Sender<Control>) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        // Whoever has ended already needs no telling.
        controls.send(Control::Stop).await.ok();
    });
}
