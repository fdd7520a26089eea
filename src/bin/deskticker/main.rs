//! The program `deskticker`: calls the library and maps errors to exit codes. Contains no ticker
//! logic.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use deskticker::config::{Config, PanelConfig, PanelKind};
use deskticker::demo::simulated;
use deskticker::display::{self, FinalPicture, Mailbox, Oled, PanelLight};
use deskticker::doctor;
use deskticker::logging::LogWriter;
use deskticker::market::Calendar;
use deskticker::render::{self, Size};
use deskticker::secret::Environment;
use deskticker::systemd::Supervisor;
use deskticker::ticker::app::{self, Files, LoadedConfig, StopNotice, TickerApp};
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use deskticker::time::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use arguments::Command;

/// The reason for an exit code other than 0 (sysexits.h).
enum ExitReason {
    /// The program has already printed all messages; the value is the exit code.
    Told(u8),
    Usage(String),
    Config(String),
    Other(String),
}

impl ExitReason {
    fn other(error: impl std::fmt::Display) -> Self {
        ExitReason::Other(error.to_string())
    }
}

fn main() -> ExitCode {
    // Debian's kernels enable transparent huge pages for every process. A thread stack at the
    // boundary of a huge page then uses 2 MiB of memory at its first access, although the stack
    // needs only 20 KiB. If this call fails, the program only uses more memory.
    rustix::thread::disable_transparent_huge_pages(true).ok();
    std::panic::set_hook(Box::new(|panic| {
        display::terminal::restore();
        eprintln!("deskticker: {panic}; please report this");
    }));
    let (code, message) = match arguments().and_then(perform) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(ExitReason::Told(code)) => return ExitCode::from(code),
        Err(ExitReason::Usage(message)) => (64, format!("{message}\nTry: deskticker --help")),
        Err(ExitReason::Config(message)) => (78, message),
        Err(ExitReason::Other(message)) => (1, message),
    };
    eprintln!("deskticker: {message}");
    ExitCode::from(code)
}

fn arguments() -> Result<Command, ExitReason> {
    arguments::parse(lexopt::Parser::from_env())
        .map_err(|error| ExitReason::Usage(error.to_string()))
}

fn print(text: &str) -> Result<(), ExitReason> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader, for example `head`, has closed the pipe. This is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(ExitReason::other),
    }
}

fn perform(command: Command) -> Result<(), ExitReason> {
    if let Command::Print(text) = &command {
        return print(text);
    }
    // Log lines would damage the picture in the terminal. The caption of the picture contains the
    // important messages.
    let level = match &command {
        Command::Demo { panel, .. } if panel.kind == PanelKind::Terminal => "off",
        Command::Run { .. } => "info",
        // The findings of the doctor already contain the information of the log.
        Command::Doctor { .. } => "off",
        _ => "warn",
    };
    let journal = LogWriter::to_stderr(level).map_err(ExitReason::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ExitReason::other)?;
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
            Command::SayAfterwards { files, words } => StopNotice {
                files,
                environment: Environment::from_process(),
                clock: Clock::system(),
                state: state_file(),
                words,
            }
            .say()
            .map_err(ExitReason::Other),
            Command::Doctor {
                config,
                json,
                bundle,
            } => examine(&config, json, bundle).await,
        }
    });
    // A DNS request without a response must not delay the exit.
    runtime.shutdown_background();
    // A blocked log output must not delay the exit for longer than this limit.
    journal.finish(Duration::from_millis(200));
    outcome
}

async fn run(config: PathBuf, last_good: Option<PathBuf>) -> Result<(), ExitReason> {
    let files = Files {
        config,
        last_good,
        fault: std::env::var_os("DESKTICKER_FAULT_FILE").map(PathBuf::from),
    };
    let station = TickerApp {
        files,
        environment: Environment::from_process(),
        clock: Clock::system(),
        supervisor: Supervisor::from_process(),
        state: state_file(),
    };
    let (stop, stops) = mpsc::channel(1);
    let (reload, reloads) = mpsc::channel(1);
    on_signals(stop, &ENDING, ())?;
    on_signals(reload, &[SignalKind::hangup()], ())?;
    let ran = station.run(stops, reloads).await;
    ran.map_err(|failure| match failure {
        app::TickerError::Config(error) => ExitReason::Config(error.to_string()),
        app::TickerError::Other(message) => ExitReason::Other(message),
    })
}

/// The file for the panel state, in the directory that systemd provides while the service runs
/// (RuntimeDirectory=, systemd.exec(5)).
fn state_file() -> Option<PathBuf> {
    let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
    let folder = std::env::split_paths(&folders).next()?;
    Some(folder.join(display::PanelState::FILE))
}

/// Prints a summary of a valid configuration. Returns the error of an invalid configuration.
fn check(path: &Path) -> Result<(), ExitReason> {
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
        counted(settings.page_specs().len(), "page"),
        counted(settings.alerts.len(), "alert"),
        counted(settings.dimming_periods.len(), "night"),
        config.source.endpoint
    ))
}

fn load(path: &Path) -> Result<LoadedConfig, ExitReason> {
    LoadedConfig::load(path, &Environment::from_process())
        .map_err(|error| ExitReason::Config(error.to_string()))
}

async fn demo(panel: PanelConfig, seconds: Option<f64>, speed: f64) -> Result<(), ExitReason> {
    let clock = Clock::system();
    let (setup, _backstage) = simulated(clock, speed, panel.oled.size)
        .await
        .map_err(ExitReason::Other)?;
    let (controls, receiver) = mpsc::channel(4);
    on_signals(controls.clone(), &ENDING, ControlMessage::Stop)?;
    on_signals(
        controls.clone(),
        &[SignalKind::hangup()],
        ControlMessage::Stop,
    )?;
    if let Some(seconds) = seconds {
        end_after(seconds, controls);
    }
    let caption = "simulated prices · Ctrl-C ends";
    shown(setup, &panel, FinalPicture::Picture, caption, receiver).await
}

/// Runs the event loop with a panel. At the end, `leave` defines the final picture on the panel.
async fn shown(
    setup: TickerSetup,
    panel: &PanelConfig,
    leave: FinalPicture,
    caption: &str,
    controls: mpsc::Receiver<ControlMessage>,
) -> Result<(), ExitReason> {
    let started = app::start_panel(panel, leave, caption, setup.clock.clone());
    let (mailbox, mut panel) = started.map_err(ExitReason::other)?;
    let outcome = event_loop::run(setup, mailbox, controls, RunUntil::Stopped).await;
    // A blocked I2C bus must not delay the exit for longer than this limit.
    panel.finish(Duration::from_millis(500));
    outcome.map(|_| ()).map_err(ExitReason::other)
}

async fn snapshot(
    output: PathBuf,
    config: Option<PathBuf>,
    seconds: f64,
) -> Result<(), ExitReason> {
    let mut demo_servers = None;
    let setup = match config {
        Some(path) => load(&path)?.setup(Clock::system()),
        None => {
            let (setup, running) = simulated(Clock::system(), 20.0, Size::Tall)
                .await
                .map_err(ExitReason::Other)?;
            demo_servers = Some(running);
            setup
        }
    };
    let (controls, receiver) = mpsc::channel(4);
    on_signals(controls.clone(), &ENDING, ControlMessage::Stop)?;
    on_signals(
        controls.clone(),
        &[SignalKind::hangup()],
        ControlMessage::Stop,
    )?;
    end_after(seconds, controls);
    let mailbox = Mailbox::new(setup.size);
    let complete = event_loop::run(setup, mailbox.clone(), receiver, RunUntil::Complete)
        .await
        .map_err(ExitReason::other)?;
    drop(demo_servers);
    let frame = mailbox
        .take(Duration::ZERO)
        .ok_or_else(|| ExitReason::other("the program drew no picture"))?;
    let picture = display::png::encode(&frame).map_err(ExitReason::other)?;
    std::fs::write(&output, picture)
        .map_err(|error| ExitReason::Other(format!("{}: {error}", output.display())))?;
    if !complete {
        log::warn!("some values did not arrive in time; the picture marks these values");
    }
    Ok(())
}

/// Shows a message on the panel while the machine starts. Only the panel settings of the
/// configuration must be valid.
fn say(config: &Path, word: &str, meaning: &str) -> Result<(), ExitReason> {
    let text = Config::text(config).unwrap_or_default();
    let panel = Config::panel_of(&text, &Environment::from_process());
    if panel.kind != PanelKind::Oled {
        return Err(ExitReason::other(
            "the command say works only with an oled: no other panel keeps its picture after the \
             program ends",
        ));
    }
    let frame = render::notice(panel.oled.size, word, meaning);
    let (bus, address) = (panel.oled.bus.clone(), panel.oled.address);
    let shown = Oled::linux(panel.oled).leave(&frame, PanelLight::default());
    shown.map_err(|fault| ExitReason::other(fault.advice(&bus, address)))
}

/// The longest wait of the doctor for values. The VIX is published every 15 s.
const DOCTOR_TIME_LIMIT: Duration = Duration::from_secs(16);

async fn examine(file: &Path, json: bool, bundle: Option<PathBuf>) -> Result<(), ExitReason> {
    let bundle = bundle.map(doctor::Bundle::new).transpose();
    let bundle = bundle.map_err(ExitReason::Other)?;
    let plain = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !plain("NO_COLOR") && !dumb;
    // A closed pipe is no error here: the exit code still reports the result.
    let say = |text: &str| drop(std::io::stdout().write_all(text.as_bytes()));
    let mut each = |finding: &doctor::Finding| {
        if !json {
            say(&doctor::text(finding, colour));
        }
    };
    let patient = doctor::CheckContext {
        root: Path::new("/"),
        file,
        environment: &Environment::from_process(),
        clock: Clock::system(),
        calendar: Calendar::us(),
        time_limit: DOCTOR_TIME_LIMIT,
        touch: &mut doctor::touch,
    };
    let mut tell = doctor::FindingSink(&mut each);
    let examination = doctor::run_checks(patient, &mut tell).await;
    if json {
        say(&doctor::json(&examination.findings));
    } else {
        say(&format!("\n{}", doctor::summary(&examination.findings)));
    }
    if let Some(bundle) = bundle {
        let place = bundle
            .write(&examination, file)
            .map_err(ExitReason::other)?;
        if !json {
            say(&format!(
                "{place}: read this report before you share the file\n"
            ));
        }
    }
    match examination.code() {
        0 => Ok(()),
        code => Err(ExitReason::Told(code)),
    }
}

/// The signals that end the program in every state. A command that cannot reload its configuration
/// also ends on SIGHUP, which arrives when the terminal is closed.
const ENDING: [SignalKind; 3] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::quit(),
];

/// Sends `what` to the listener at each of these signals.
fn on_signals<T: Clone + Send + 'static>(
    listener: mpsc::Sender<T>,
    kinds: &[SignalKind],
    what: T,
) -> Result<(), ExitReason> {
    for kind in kinds {
        let mut signals = signal(*kind).map_err(ExitReason::other)?;
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

fn end_after(seconds: f64, controls: mpsc::Sender<ControlMessage>) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        // The send fails only if the event loop has already ended.
        controls.send(ControlMessage::Stop).await.ok();
    });
}
