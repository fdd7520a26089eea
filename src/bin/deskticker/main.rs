//! The display: calls the library, and maps errors to exit codes.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use arguments::Command;
use deskticker::clock::Clock;
use deskticker::config::{Config, Environment, Panel, PanelKind};
use deskticker::demo::simulated;
use deskticker::doctor;
use deskticker::journal::Journal;
use deskticker::market::Calendar;
use deskticker::panel::{self, Leave, Light, Oled, Slot};
use deskticker::screen::{self, Size};
use deskticker::service::{self, Control, Setup, Until};
use deskticker::station::{self, Afterwards, Files, Loaded, Station};
use deskticker::supervisor::Supervisor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

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
    // Debian's kernels give huge pages unasked: a thread's stack that happens to lie on one's boundary
    // then takes 2 MiB of memory at its first use, of which it needs 20 KiB. Without it all else works.
    rustix::thread::disable_transparent_huge_pages(true).ok();
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

fn arguments() -> Result<Command, Failure> {
    arguments::parse(lexopt::Parser::from_env()).map_err(|error| Failure::Usage(error.to_string()))
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
            Command::SayAfterwards { files, words } => Afterwards {
                files,
                environment: Environment::of_process(),
                clock: Clock::system(),
                state: state_file(),
                words,
            }
            .say()
            .map_err(Failure::Other),
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
        state: state_file(),
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

/// The file that says how the panel does, in the folder that systemd makes for as long as the service
/// runs (RuntimeDirectory=, systemd.exec(5)).
fn state_file() -> Option<PathBuf> {
    let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
    let folder = std::env::split_paths(&folders).next()?;
    Some(folder.join(panel::State::FILE))
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
    for line in config.meant() {
        log::warn!("{line}");
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
    let (slot, mut panel) = started.map_err(Failure::other)?;
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
    let shown = Oled::linux(panel.oled).leave(&frame, Light::default());
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
