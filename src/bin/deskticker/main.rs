//! The program `deskticker`: calls the library and maps errors to exit codes. Contains no ticker
//! logic.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use deskticker::board::{self, Board};
use deskticker::config::{Config, PanelKind};
use deskticker::demo::{DemoClocks, DemoSettings, Viewer, show, simulated};
use deskticker::display::caption::Caption;
use deskticker::display::screen::Screen;
use deskticker::display::{
    self, ControllingTerminal, FinalPicture, Mailbox, Oled, PanelLight, PanelLock,
};
use deskticker::doctor;
use deskticker::logging::LogWriter;
use deskticker::market::Calendar;
use deskticker::render::{self, Size};
use deskticker::secret::{Environment, UNIT_SECRETS};
use deskticker::setup;
use deskticker::systemd::Supervisor;
use deskticker::ticker::app::{self, Files, LoadedConfig, StopNotice, TickerApp};
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil};
use deskticker::time::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use arguments::{Command, Options};

/// The reason for an exit code other than 0: the exit code (sysexits.h), and the message. The
/// message is empty if the program has already printed all messages.
struct ExitReason(u8, String);

impl ExitReason {
    fn config(error: impl Display) -> Self {
        ExitReason(78, error.to_string())
    }

    fn other(error: impl Display) -> Self {
        ExitReason(1, error.to_string())
    }
}

fn wrong_arguments(error: impl Display) -> ExitReason {
    ExitReason(64, format!("{error}\nTry: deskticker --help"))
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
    let options = arguments::parse(lexopt::Parser::from_env()).map_err(wrong_arguments);
    let Err(ExitReason(code, message)) = options.and_then(perform) else {
        return ExitCode::SUCCESS;
    };
    if !message.is_empty() {
        eprintln!("deskticker: {message}");
    }
    ExitCode::from(code)
}

fn print(text: &str) -> Result<(), ExitReason> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader, for example `head`, has closed the pipe. This is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(ExitReason::other),
    }
}

fn perform(options: Options) -> Result<(), ExitReason> {
    let level = match options.command {
        Command::Help => {
            let command = options.words.first().map(String::as_str);
            let help = arguments::help(command);
            return print(&help.map_err(wrong_arguments)?);
        }
        Command::Version => return print(concat!("deskticker ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Boards => return print(&board::list(Board::for_machine(&board::MODEL))),
        // Log lines would damage the picture in the terminal. The caption of the picture contains
        // the important messages.
        Command::Demo if options.panel.kind == PanelKind::Terminal => "off",
        // The findings of the doctor already contain the information of the log.
        Command::Doctor | Command::Setup => "off",
        Command::Run => "info",
        Command::Demo | Command::Check | Command::Snapshot | Command::Say => "warn",
    };
    let journal = LogWriter::to_stderr(level).map_err(ExitReason::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ExitReason::other)?;
    let outcome = runtime.block_on(async {
        match options.command {
            Command::Help | Command::Version | Command::Boards => Ok(()),
            Command::Run => run(options).await,
            Command::Check => check(&options.config),
            Command::Demo => demo(options).await,
            Command::Snapshot => snapshot(options).await,
            Command::Say => say(options),
            Command::Doctor => examine(&options.config, options.json, options.bundle).await,
            Command::Setup => set_up(options).await,
        }
    });
    // A DNS request without a response must not delay the exit.
    runtime.shutdown_background();
    // A blocked log output must not delay the exit for longer than this limit.
    journal.finish(Duration::from_millis(200));
    outcome
}

async fn run(options: Options) -> Result<(), ExitReason> {
    let app = TickerApp {
        files: Files {
            config: options.config,
            last_good: options.last_good,
            fault: std::env::var_os("DESKTICKER_FAULT_FILE").map(PathBuf::from),
            phone: std::env::var_os("DESKTICKER_PHONE_FILE").map(PathBuf::from),
        },
        environment: environment(),
        clock: Clock::system(),
        supervisor: Supervisor::from_process(),
        state: state_file(),
    };
    let (stop, stops) = mpsc::channel(1);
    let (reload, reloads) = mpsc::channel(1);
    let terminal = ControllingTerminal::of_process();
    on_signals(&stop, &ENDING, || ())?;
    on_signals(&reload, &[SignalKind::hangup()], || ())?;
    if let Some(terminal) = terminal {
        tokio::spawn(stop_without_terminal(terminal, stop));
    }
    let outcome = app.run(stops, reloads).await;
    outcome.map_err(|error| match error {
        app::TickerError::Config(error) => ExitReason::config(error),
        app::TickerError::Other(message) => ExitReason::other(message),
    })
}

/// Stops the program when the terminal of its start is closed, for example at the end of an SSH
/// session. The picture and the log of the program would no longer be visible.
async fn stop_without_terminal(terminal: ControllingTerminal, stop: mpsc::Sender<()>) {
    while !terminal.is_gone() {
        tokio::time::sleep(TERMINAL_CHECK).await;
    }
    log::info!("the terminal is closed, so the program ends; with nohup, the program continues");
    // The send fails only if the application has already ended.
    stop.send(()).await.ok();
}

/// The environment of this process. A command that a user starts finds the secret where the systemd
/// unit finds it.
fn environment() -> Environment {
    Environment {
        unit_secrets: Some(UNIT_SECRETS.into()),
        ..Environment::from_process()
    }
}

/// The file for the panel state, in the directory that systemd provides while the service runs
/// (RuntimeDirectory=, systemd.exec(5)).
fn state_file() -> Option<PathBuf> {
    let folder = Environment::from_process().runtime?;
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
    for line in &config.warnings {
        log::warn!("{line}");
    }
    let counted = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    let trust = match config.source.trusted {
        true => " (trust = true: this server gets the token without a check)",
        false => "",
    };
    let others = config.source.alternatives.iter();
    let others: String = others.map(|hub| format!(" or {hub}")).collect();
    print(&format!(
        "ok: {} ({}), {}, {}, {}, from {}{others}{trust}\n",
        counted(settings.watchlist.len(), "symbol"),
        loaded.names(),
        counted(settings.page_specs().len(), "page"),
        counted(settings.alerts.len(), "alert"),
        counted(settings.dimming_periods.len(), "night"),
        config.source.endpoint
    ))
}

fn load(path: &Path) -> Result<LoadedConfig, ExitReason> {
    LoadedConfig::load(path, &environment()).map_err(ExitReason::config)
}

async fn demo(options: Options) -> Result<(), ExitReason> {
    let panel = options.panel;
    let stops = stops(options.seconds)?;
    let clocks = DemoClocks::new();
    let caption = Caption::default();
    let on_terminal = panel.kind == PanelKind::Terminal;
    let started = app::start_panel(
        &panel,
        FinalPicture::Picture,
        Some(caption.clone()),
        clocks.display(),
    );
    let (mailbox, mut thread) = started.map_err(ExitReason::other)?;
    let screen = app::start_screen(&panel, clocks.display()).map_err(ExitReason::other)?;
    let (screen, mut screen_thread) = screen.unzip();
    let settings = DemoSettings {
        screen,
        speed: options.speed,
        watchlist: options.watchlist,
        colours: options.colours.unwrap_or_default(),
    };
    let viewer = Viewer {
        caption,
        keys: on_terminal.then(display::keyboard::keys).flatten(),
        stops,
    };
    let outcome = show(settings, clocks, mailbox, viewer).await;
    // A blocked I2C bus must not delay the exit for longer than this limit.
    thread.finish(Duration::from_millis(500));
    if let Some(thread) = &mut screen_thread {
        thread.finish(Duration::from_millis(500));
    }
    display::keyboard::restore();
    outcome.map_err(ExitReason::other)
}

async fn snapshot(options: Options) -> Result<(), ExitReason> {
    let output = options.panel.file;
    let failed = |error| ExitReason::other(format!("{}: {error}", output.display()));
    display::png::check(&output).map_err(failed)?;
    let (setup, servers) = if options.demo {
        let demo = simulated(Clock::system(), 20.0, Size::Tall).await;
        let (setup, servers) = demo.map_err(ExitReason::other)?;
        (setup, Some(servers))
    } else {
        (load(&options.config)?.setup(Clock::system()), None)
    };
    let stops = stops(Some(options.seconds.unwrap_or(10.0)))?;
    let mailbox = Mailbox::new(setup.size);
    let complete = event_loop::run(setup, mailbox.clone(), stops, RunUntil::Complete)
        .await
        .map_err(ExitReason::other)?;
    drop(servers);
    let frame = mailbox
        .take(Duration::ZERO)
        .ok_or_else(|| ExitReason::other("the program drew no picture"))?;
    display::png::write(&output, &frame).map_err(failed)?;
    if !complete {
        log::warn!("some values did not arrive in time; the picture marks these values");
    }
    Ok(())
}

/// Shows a message on the panel while the machine starts, or after the ticker has ended.
fn say(options: Options) -> Result<(), ExitReason> {
    let environment = environment();
    let mut words = options.words.into_iter();
    let words = [(); 2].map(|()| words.next().unwrap_or_default());
    if options.after_stop {
        let notice = StopNotice {
            files: Files {
                config: options.config,
                last_good: options.last_good,
                fault: None,
                phone: None,
            },
            environment,
            clock: Clock::system(),
            state: state_file(),
            words,
        };
        return notice.say().map_err(ExitReason::other);
    }
    // Only the panel settings of the configuration must be valid.
    let text = Config::text(&options.config).unwrap_or_default();
    let panel = Config::panel_of(&text, &options.config, &environment);
    if let Some(screen) = panel.screen.clone() {
        let shown = Screen::new(screen).and_then(|mut screen| {
            screen.leave(Some([&words[0], &words[1]]), PanelLight::default())
        });
        if panel.kind == PanelKind::Screen {
            return shown.map_err(ExitReason::other);
        }
    }
    if panel.kind != PanelKind::Oled {
        return Err(ExitReason::other(
            "the command say works only with an oled or a screen: no other panel keeps its picture after the \
             program ends",
        ));
    }
    let [word, meaning] = &words;
    let frame = render::notice(panel.oled.size, word, meaning);
    let (bus, address) = (panel.oled.bus.clone(), panel.oled.address);
    let _lock = PanelLock::of_bus(&bus, address).map_err(ExitReason::other)?;
    let shown = Oled::linux(panel.oled).leave(&frame, PanelLight::default());
    shown.map_err(|fault| ExitReason::other(fault.advice(&bus, address)))
}

/// Sets up this machine as a display, and then runs the doctor.
async fn set_up(options: Options) -> Result<(), ExitReason> {
    let config = options.config.clone();
    let written = setup::display(options.into_setup(), &Environment::from_process()).await;
    match written.map_err(ExitReason::other)? {
        true => examine(&config, false, None).await,
        false => Ok(()),
    }
}

/// The longest wait of the doctor for values. The VIX is published every 15 s.
const DOCTOR_TIME_LIMIT: Duration = Duration::from_secs(16);

async fn examine(file: &Path, json: bool, bundle: Option<PathBuf>) -> Result<(), ExitReason> {
    let bundle = bundle.map(doctor::Bundle::new).transpose();
    let bundle = bundle.map_err(ExitReason::other)?;
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
    // A closed pipe is no error here: the exit code still reports the result.
    let say = |text: &str| drop(std::io::stdout().write_all(text.as_bytes()));
    let mut each = |finding: &doctor::Finding| {
        if !json {
            say(&doctor::text(finding, colour));
        }
    };
    let context = doctor::CheckContext {
        root: Path::new("/"),
        file,
        environment: &environment(),
        clock: Clock::system(),
        calendar: Calendar::us(),
        time_limit: DOCTOR_TIME_LIMIT,
        touch: &mut doctor::touch,
    };
    let report = doctor::run_checks(context, &mut each).await;
    if json {
        say(&doctor::json(&report.findings));
    } else {
        say(&format!("\n{}", doctor::summary(&report.findings)));
    }
    if let Some(bundle) = bundle {
        let place = bundle.write(&report, file).map_err(ExitReason::other)?;
        if !json {
            say(&format!(
                "{place}: read this report before you share the file\n"
            ));
        }
    }
    match report.code() {
        0 => Ok(()),
        code => Err(ExitReason(code, String::new())),
    }
}

/// The interval between two checks of the terminal.
const TERMINAL_CHECK: Duration = Duration::from_secs(1);

/// The signals that end the program in every state.
const ENDING: [SignalKind; 3] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::quit(),
];

/// Returns the receiver of a stop message at the end of `seconds`, if given, and at each signal
/// that ends a command. A command that cannot reload its configuration also ends on SIGHUP, which
/// arrives when the terminal is closed.
fn stops(seconds: Option<f64>) -> Result<mpsc::Receiver<ControlMessage>, ExitReason> {
    let (controls, receiver) = mpsc::channel(4);
    on_signals(&controls, &ENDING, || ControlMessage::Stop)?;
    on_signals(&controls, &[SignalKind::hangup()], || ControlMessage::Stop)?;
    if let Some(seconds) = seconds {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            // The send fails only if the event loop has already ended.
            controls.send(ControlMessage::Stop).await.ok();
        });
    }
    Ok(receiver)
}

/// Sends a message to the listener at each of these signals.
fn on_signals<T: Send + 'static>(
    listener: &mpsc::Sender<T>,
    kinds: &[SignalKind],
    message: fn() -> T,
) -> Result<(), ExitReason> {
    for kind in kinds {
        let mut signals = signal(*kind).map_err(ExitReason::other)?;
        let listener = listener.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && listener.send(message()).await.is_ok() {}
        });
    }
    Ok(())
}
