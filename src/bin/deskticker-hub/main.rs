//! The program `deskticker-hub`: calls the library and maps errors to exit codes. Contains no hub
//! logic.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)]

mod arguments;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use deskticker::demo;
use deskticker::hub::announcement::Announcement;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::{self, RegistryFile};
use deskticker::hub::config::{self, Devices, HubConfig};
use deskticker::hub::server::limits::Limits;
use deskticker::hub::server::tls::Tls;
use deskticker::hub::{self, HubSettings, HubSetup};
use deskticker::logging::LogWriter;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::secret::{Environment, Secret};
use deskticker::simulator::{self, InjectedFault};
use deskticker::systemd::Supervisor;
use deskticker::time::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use arguments::{Command, TokenCommand};

/// The longest wait for blocked log output at the exit.
const LOG_LIMIT: Duration = Duration::from_millis(200);

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
        } => logged("warn", || token(change, file, config.as_deref())),
        Command::Run { config, listen } => logged("info", || served(run(config, listen))),
        Command::Simulate { listen } => logged("info", || served(simulate(listen))),
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

fn token(
    change: TokenCommand,
    file: Option<PathBuf>,
    config: Option<&Path>,
) -> Result<(), ExitReason> {
    let path = match file {
        Some(file) => file,
        None => config::devices_file(config).map_err(ExitReason::config)?,
    };
    let file = RegistryFile::new(&path);
    match change {
        TokenCommand::Add(name) => {
            if path == Path::new(registry::DEFAULT_PATH)
                && let Some(folder) = path.parent()
            {
                let mut builder = std::fs::DirBuilder::new();
                let made = builder.recursive(true).mode(0o700).create(folder);
                made.map_err(|error| ExitReason(1, format!("{}: {error}", folder.display())))?;
            }
            let token = file.add(&name).map_err(ExitReason::other)?;
            // Standard output contains only the token, so that the user can redirect the token to a
            // file.
            eprintln!(
                "The token of {name:?} is printed only once. Write the token to the token_file of \
                 the display:"
            );
            say(&format!("{token}\n"))?;
        }
        TokenCommand::List => {
            for name in file.list().map_err(ExitReason::other)? {
                say(&format!("{name}\n"))?;
            }
        }
        TokenCommand::Revoke(name) => {
            let incomplete = file.revoke(&name).map_err(ExitReason::other)?;
            eprintln!(
                "The token of {name:?} is revoked. A running hub disconnects this display within \
                 seconds."
            );
            if let Some(error) = incomplete {
                return Err(ExitReason::other(format!(
                    "the revocation is effective, but the file could not be replaced, so a copy \
                     from a backup may contain the old line. Make room and revoke again: {error}"
                )));
            }
        }
    }
    Ok(())
}

async fn run(path: Option<PathBuf>, listen: Option<SocketAddr>) -> Result<(), ExitReason> {
    // The signal handlers must be ready first: a signal without a handler ends the process
    // immediately.
    let stop = until_signal()?;
    let mut hangups = signal(SignalKind::hangup()).map_err(ExitReason::other)?;
    let environment = Environment::from_process();
    let config = HubConfig::load(path.as_deref(), &environment).map_err(ExitReason::config)?;
    let Devices { file, fixed } = &config.devices;
    let usual = file == Path::new(registry::DEFAULT_PATH);
    let authenticator = match fixed {
        Some(fixed) if usual => Authenticator::with_optional_file(file.clone(), fixed),
        fixed => Authenticator::new(Some(file.clone()), fixed.as_ref()),
    };
    let authenticator = Arc::new(authenticator.map_err(ExitReason::config)?);
    if authenticator.registry().borrow().is_empty() {
        log::warn!(
            "no display can connect yet: create a token for a display with `deskticker-hub token \
             add NAME` (stored in {}; this hub reads the new token within seconds), or set \
             MASSIVE_PROXY_TOKEN",
            file.display()
        );
    }
    let connector = Connector::new(config.ca_file.as_deref())
        .map_err(|error| ExitReason(78, format!("ca_file: {error}")))?;
    let (settings, current) = watch::channel(settings(&config).map_err(ExitReason::config)?);
    let supervisor = Supervisor::from_process();
    let setup = HubSetup {
        source: config.source.clone(),
        rest: config.rest.clone(),
        connector,
        clusters: config.clusters.clone(),
        simulated: false,
        authenticator: authenticator.clone(),
        settings: current,
        calendar: Calendar::us(),
        clock: Clock::system(),
        supervisor: supervisor.clone(),
    };
    let listener = bind(listen.unwrap_or(config.listen), &config.limits).await?;
    let clusters = config.clusters.iter().map(|cluster| cluster.path());
    let clusters: Vec<&str> = clusters.collect();
    let address = listener.local_addr().map_err(ExitReason::other)?;
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    log::info!(
        "the hub is ready: clusters {}, upstream {}, listening on {scheme}://{}",
        clusters.join(", "),
        config.source.endpoint,
        address
    );
    let tls = config.tls.is_some();
    let _announcement = config.announce.then(|| Announcement::start(address, tls));
    tokio::spawn(async move {
        let path = path.as_deref();
        while hangups.recv().await.is_some() {
            supervisor.reloading();
            read_again(&config, path, &environment, &authenticator, &settings);
            supervisor.ready();
        }
    });
    hub::run(setup, listener, stop).await;
    Ok(())
}

fn settings(config: &HubConfig) -> Result<HubSettings, String> {
    let files = config.tls.as_ref();
    let tls = files.map(|(certificate, key)| Tls::load(certificate, key));
    Ok(HubSettings {
        origins: config.origins.clone(),
        hosts: config.hosts.clone(),
        public_metrics: config.public_metrics,
        trusted_proxies: config.trusted_proxies.clone(),
        tls: tls.transpose().map_err(|error| format!("tls: {error}"))?,
        key: config.source.secret.clone(),
        limits: config.limits.clone(),
    })
}

/// Reloads the device registry and the settings after SIGHUP. An invalid file changes nothing. A
/// changed setting that needs a restart causes a warning in the log.
fn read_again(
    config: &HubConfig,
    path: Option<&Path>,
    environment: &Environment,
    authenticator: &Authenticator,
    current: &watch::Sender<HubSettings>,
) {
    match authenticator.reload() {
        Ok(()) => log::info!(
            "the device registry has been read again; registered devices: {}",
            authenticator.registry().borrow().len()
        ),
        Err(error) => log::error!("the hub keeps its previous device registry: {error}"),
    }
    let read = HubConfig::load(path, environment).map_err(|error| error.to_string());
    let (new, settings) = match read.and_then(|new| settings(&new).map(|found| (new, found))) {
        Ok(read) => read,
        Err(error) => {
            log::error!("the hub keeps its previous settings: {error}");
            return;
        }
    };
    current.send_replace(settings);
    let fixed = |limits: &Limits| -> Vec<_> {
        let values = limits.values();
        values.filter(|(_, _, restart)| *restart).collect()
    };
    let names: Vec<&str> = fixed(&new.limits).iter().map(|(name, ..)| *name).collect();
    let limits = format!("limits: {}", names.join(", "));
    let (source, rest) = (&config.source, &config.rest);
    let devices = "devices (file, static token)";
    for (changed, what) in [
        (new.listen != config.listen, "listen"),
        (new.announce != config.announce, "announce"),
        (new.source.endpoint != source.endpoint, "massive.url"),
        (new.rest.endpoint != rest.endpoint, "massive.rest_url"),
        (new.ca_file != config.ca_file, "massive.ca_file"),
        (new.clusters != config.clusters, "massive.clusters"),
        (new.devices != config.devices, devices),
        (fixed(&new.limits) != fixed(&config.limits), &limits),
    ] {
        if changed {
            log::warn!("a changed setting takes effect only after a restart of the hub: {what}");
        }
    }
    log::info!("the settings have been read again");
}

async fn bind(address: SocketAddr, limits: &Limits) -> Result<TcpListener, ExitReason> {
    raise_file_limit(limits.connections);
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; is another hub running? Choose another port with --listen"
            }
            _ => "",
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

/// A receiver that changes to true after SIGTERM, SIGINT or SIGQUIT. The hub then stops.
fn until_signal() -> Result<watch::Receiver<bool>, ExitReason> {
    let (stop, stopped) = watch::channel(false);
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

async fn simulate(listen: Option<SocketAddr>) -> Result<(), ExitReason> {
    let stop = until_signal()?;
    let mut hangups = signal(SignalKind::hangup()).map_err(ExitReason::other)?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            log::info!(
                "SIGHUP has no effect: a hub with simulated prices has no settings to read again"
            );
        }
    });
    let given = Environment::from_process().token;
    let fresh = match given {
        Some(_) => None,
        None => Some(registry::fresh_token().map_err(ExitReason::other)?),
    };
    let token = given.as_deref().or(fresh.as_deref()).unwrap_or_default();
    let wrong = |reason: &str| ExitReason(78, format!("MASSIVE_PROXY_TOKEN: {reason}"));
    let token = Secret::from_text(token, "token").map_err(wrong)?;
    config::check_static_token(&token).map_err(|reason| wrong(&reason))?;
    let vendor = simulator::SimulatorSettings {
        values: true,
        ..simulator::SimulatorSettings::default()
    };
    let (mut setup, simulator) = demo::simulated_hub(vendor, &token, Clock::system())
        .await
        .map_err(ExitReason::other)?;
    setup.supervisor = Supervisor::from_process();
    let usual = || config::parse_listen(config::DEFAULT_LISTEN).map_err(ExitReason::other);
    let listener = bind(listen.map_or_else(usual, Ok)?, &Limits::default()).await?;
    let address = listener.local_addr().map_err(ExitReason::other)?;
    say(&how_to_join(address, fresh.as_deref()))?;
    let _announcement = Announcement::start(address, false);
    let mut losses = signal(SignalKind::user_defined1()).map_err(ExitReason::other)?;
    let lose = async {
        // SIGUSR1 breaks the vendor connection once, so that the user can observe the displays
        // without a vendor.
        while losses.recv().await.is_some() {
            simulator.fault(InjectedFault::Abort);
            simulator.fault(InjectedFault::None);
        }
    };
    tokio::select! {
        () = hub::run(setup, listener, stop) => {}
        () = lose => {}
    }
    Ok(())
}

/// The instructions to connect a client to the simulated hub. The text contains the token only if
/// this process has generated the token.
fn how_to_join(address: SocketAddr, token: Option<&str>) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let near = SocketAddr::new(host, address.port());
    let token = token.unwrap_or("the value of MASSIVE_PROXY_TOKEN");
    format!(
        "Simulated prices, listening on {address} (press Ctrl-C to stop)
The token: {token}

A display on this machine (on another machine, replace {host} by hub.local):
  printf '[hub]\\nurl = \"ws://{near}\"\\n[panel]\\nkind = \"terminal\"\\n' > ticker.toml
  MASSIVE_PROXY_TOKEN=TOKEN deskticker run --config ticker.toml

The official Python client:
  WebSocketClient(api_key=\"TOKEN\", feed=\"{near}/ws\", market=Market.Indices, secure=False,
                  subscriptions=[\"V.I:SPX\"])
The official JavaScript client:
  websocketClient(\"TOKEN\", \"ws://{near}/ws\").indices()
"
    )
}
