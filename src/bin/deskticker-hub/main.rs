//! The program `deskticker-hub`: calls the library and maps errors to exit codes. Contains no hub
//! logic.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)]

mod arguments;
mod certificate;
mod check;
mod reload;
mod token;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use deskticker::config::ConfigErrors;
use deskticker::demo;
use deskticker::display::ControllingTerminal;
use deskticker::hub::announcement::Announcement;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry;
use deskticker::hub::config::{Devices, HubConfig};
use deskticker::hub::listen_address::foreign_address;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::server::tls;
use deskticker::hub::{self, HubSetup};
use deskticker::logging::LogWriter;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::secret::{Environment, Secret};
use deskticker::setup;
use deskticker::simulator::InjectedFault;
use deskticker::systemd::Supervisor;
use deskticker::time::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use arguments::Command;

/// The longest wait for blocked log output at the exit.
const LOG_LIMIT: Duration = Duration::from_millis(200);

/// The interval between two checks of the terminal.
const TERMINAL_CHECK: Duration = Duration::from_secs(1);

/// The reason for an exit code other than 0 (sysexits.h): the code and a message.
struct ExitReason(u8, String);

impl ExitReason {
    fn config(error: impl std::fmt::Display) -> Self {
        ExitReason(78, error.to_string())
    }

    fn other(error: impl std::fmt::Display) -> Self {
        ExitReason(1, error.to_string())
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("deskticker-hub: {panic}; please report this");
    }));
    let arguments = arguments::parse(lexopt::Parser::from_env())
        .map_err(|error| ExitReason(64, format!("{error}\nTry: deskticker-hub --help")));
    match arguments.and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ExitReason(code, message)) => {
            eprintln!("deskticker-hub: {message}");
            ExitCode::from(code)
        }
    }
}

fn perform(command: Command) -> Result<(), ExitReason> {
    match command {
        Command::Print(text) => say(&text),
        Command::Token {
            change,
            file,
            config,
        } => logged("warn", || token::change(change, file, config.as_deref())),
        Command::Certificate {
            names,
            folder,
            config,
        } => say(&certificate::create(&names, folder, config.as_deref())?),
        Command::Check(config) => logged("warn", || check::check(config.as_deref())),
        Command::Setup(options) => logged("off", || {
            served(async {
                let written = setup::hub(options, &Environment::from_process()).await;
                written.map(drop).map_err(ExitReason::other)
            })
        }),
        Command::Run {
            config,
            listen,
            simulate,
        } => logged("info", || served(run(config, listen, simulate))),
    }
}

/// Runs a command with a log on standard error.
fn logged(level: &str, command: impl FnOnce() -> Result<(), ExitReason>) -> Result<(), ExitReason> {
    let journal = LogWriter::to_stderr(level).map_err(ExitReason::other)?;
    let outcome = command();
    // A blocked log output must not delay the exit for longer than this limit.
    journal.finish(LOG_LIMIT);
    outcome
}

/// Writes the text to standard output and flushes the output immediately.
fn say(text: &str) -> Result<(), ExitReason> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader, for example `head`, has closed the pipe. This is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(ExitReason::other),
    }
}

fn served(service: impl Future<Output = Result<(), ExitReason>>) -> Result<(), ExitReason> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ExitReason::other)?;
    let outcome = runtime.block_on(service);
    // A DNS request without a response must not delay the exit.
    runtime.shutdown_background();
    outcome
}

async fn run(
    path: Option<PathBuf>,
    listen: Option<SocketAddr>,
    simulate: bool,
) -> Result<(), ExitReason> {
    // The signal handlers must be ready first: a signal without a handler ends the process
    // immediately.
    let stop = until_signal()?;
    let mut hangups = signal(SignalKind::hangup()).map_err(ExitReason::other)?;
    let environment = Environment::from_process();
    let config = load(path.as_deref(), simulate, &environment).map_err(ExitReason::config)?;
    for line in &config.warnings {
        log::warn!("{line}");
    }
    let (authenticator, new_token) = match simulate {
        true => simulated_devices(&config.devices, path.is_some())?,
        false => (devices(&config.devices).map_err(ExitReason::config)?, None),
    };
    let authenticator = Arc::new(authenticator);
    let (settings, current) =
        watch::channel(reload::settings(&config).map_err(ExitReason::config)?);
    let (upstream, current_upstream) = watch::channel(config.upstream.clone());
    let supervisor = Supervisor::from_process();
    let connector = Connector::new(config.ca_file.as_deref())
        .map_err(|error| ExitReason(78, format!("ca_file: {error}")))?;
    let mut setup = HubSetup {
        upstream: current_upstream,
        connector,
        clusters: config.clusters.clone(),
        simulated: false,
        authenticator: authenticator.clone(),
        settings: current,
        calendar: Calendar::us(),
        clock: Clock::system(),
        supervisor: supervisor.clone(),
    };
    // The simulator stops when it is dropped.
    let mut simulator = None;
    if simulate || config.simulate {
        let prices = demo::simulate_prices(&mut setup).await;
        simulator = Some(prices.map_err(ExitReason::other)?);
    }
    let listener = bind(listen.unwrap_or(config.listen), &config.limits).await?;
    let address = listener.local_addr().map_err(ExitReason::other)?;
    tokio::spawn(tls::watch(settings.clone(), Clock::system(), stop.clone()));
    let tls = config.tls.is_some();
    if simulate {
        let token = match (&new_token, &config.devices.fixed) {
            (Some(token), _) => token.clone(),
            (None, Some(_)) => "the value of MASSIVE_PROXY_TOKEN or of token_file".to_owned(),
            (None, None) => format!("a token of {}", config.devices.file.display()),
        };
        say(&how_to_join(address, tls, &token))?;
    } else {
        log::info!(
            "the hub is ready: clusters {}, upstream {}, listening on {}://{address}",
            check::clusters(&config),
            check::upstream(&config),
            check::scheme(&config),
        );
        check::warn_if_loopback(address, &config);
    }
    let _announcement = config.announce.then(|| Announcement::start(address, tls));
    let reads_file = !simulate || path.is_some();
    tokio::spawn(async move {
        let path = path.as_deref();
        while hangups.recv().await.is_some() {
            if reads_file {
                supervisor.reloading();
                let new = load(path, simulate, &environment);
                reload::read_again(&config, new, &authenticator, &settings, &upstream);
                supervisor.ready();
            } else {
                log::info!("SIGHUP has no effect: this hub has no configuration to read again");
            }
        }
    });
    let mut losses = signal(SignalKind::user_defined1()).map_err(ExitReason::other)?;
    let lose = async {
        // SIGUSR1 breaks the connection to the simulated vendor once, so that the user can observe
        // the displays without a vendor.
        while losses.recv().await.is_some() {
            if let Some(simulator) = &simulator {
                simulator.fault(InjectedFault::Abort);
                simulator.fault(InjectedFault::None);
            }
        }
    };
    tokio::select! {
        () = hub::run(setup, listener, stop) => {}
        () = lose => {}
    }
    Ok(())
}

fn load(
    path: Option<&Path>,
    simulate: bool,
    environment: &Environment,
) -> Result<HubConfig, ConfigErrors> {
    match simulate {
        true => HubConfig::load_simulated(path, environment),
        false => HubConfig::load(path, environment),
    }
}

/// Returns the authenticator of a hub with real prices. The log has a warning if no display can
/// connect yet.
fn devices(Devices { file, fixed }: &Devices) -> Result<Authenticator, String> {
    let usual = file == Path::new(registry::DEFAULT_PATH);
    let authenticator = match fixed {
        Some(fixed) if usual => Authenticator::with_optional_file(file.clone(), fixed),
        fixed => Authenticator::new(Some(file.clone()), fixed.as_ref()),
    }?;
    if authenticator.registry().borrow().is_empty() {
        log::warn!(
            "no display can connect yet: create a token for a display with `deskticker-hub token \
             add NAME` (stored in {}; this hub reads the new token within seconds), or set \
             MASSIVE_PROXY_TOKEN",
            file.display()
        );
    }
    Ok(authenticator)
}

/// Returns the authenticator of a hub with simulated prices, and the new token that it accepts if
/// no display has a token yet. Only a hub with a configuration uses the device registry.
fn simulated_devices(
    Devices { file, fixed }: &Devices,
    has_file: bool,
) -> Result<(Authenticator, Option<String>), ExitReason> {
    let file = has_file.then(|| file.clone());
    let authenticator = |fixed: Option<&Secret>| {
        Authenticator::new(file.clone(), fixed).map_err(ExitReason::config)
    };
    if fixed.is_some() {
        return Ok((authenticator(fixed.as_ref())?, None));
    }
    if file.is_some() {
        let registered = authenticator(None)?;
        if !registered.registry().borrow().is_empty() {
            return Ok((registered, None));
        }
    }
    let token = registry::fresh_token().map_err(ExitReason::other)?;
    let secret = Secret::new(&token).map_err(ExitReason::other)?;
    Ok((authenticator(Some(&secret))?, Some(token)))
}

async fn bind(address: SocketAddr, limits: &Limits) -> Result<TcpListener, ExitReason> {
    raise_file_limit(limits.connections);
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; is another hub running? Choose another port with --listen".to_owned()
            }
            _ => foreign_address(address).map_or_else(String::new, |hint| format!("; {hint}")),
        };
        ExitReason(1, format!("cannot listen on {address}: {error}{hint}"))
    })
}

/// Raises the soft limit of open files. A connection needs one file descriptor, or three with TLS,
/// and the usual soft limit is 1024.
fn raise_file_limit(connections: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = 3 * connections + 256;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("cannot raise the limit of open files: {error}");
    }
}

/// A receiver that changes to true after SIGTERM, SIGINT or SIGQUIT, or when the terminal of the
/// start is closed. The hub then stops.
fn until_signal() -> Result<watch::Receiver<bool>, ExitReason> {
    let (stop, stopped) = watch::channel(false);
    if let Some(terminal) = ControllingTerminal::of_process() {
        let stop = stop.clone();
        tokio::spawn(async move {
            while !terminal.is_gone() {
                tokio::time::sleep(TERMINAL_CHECK).await;
            }
            log::info!("the terminal is closed, so the hub ends; with nohup, the hub continues");
            stop.send_replace(true);
        });
    }
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ] {
        let mut signals = signal(kind).map_err(ExitReason::other)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.send_replace(true);
            }
        });
    }
    Ok(stopped)
}

/// The instructions to connect a client to the simulated hub. `token` describes the token, or is
/// the token itself if this process has generated it.
fn how_to_join(address: SocketAddr, tls: bool, token: &str) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let near = SocketAddr::new(host, address.port());
    let elsewhere = match address.ip().is_loopback() {
        true => "displays on other machines cannot connect to this address".to_owned(),
        false => format!("on another machine, replace {host} by hub.local"),
    };
    let (scheme, secure) = if tls {
        ("wss", "True")
    } else {
        ("ws", "False")
    };
    format!(
        "Simulated prices, listening on {address} (press Ctrl-C to stop)
The token: {token}

A display on this machine ({elsewhere}):
  printf '[hub]\\nurl = \"{scheme}://{near}\"\\n[panel]\\nkind = \"terminal\"\\n' > ticker.toml
  MASSIVE_PROXY_TOKEN=TOKEN deskticker run --config ticker.toml

The official Python client:
  WebSocketClient(api_key=\"TOKEN\", feed=\"{near}/ws\", market=Market.Indices, secure={secure},
                  subscriptions=[\"V.I:SPX\"])
The official JavaScript client:
  websocketClient(\"TOKEN\", \"{scheme}://{near}/ws\").indices()
"
    )
}
