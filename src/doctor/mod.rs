//! The checks of `deskticker doctor`: the machine, the panel, the configuration, the network and
//! the server, in the order in which one check depends on another. Each check returns a [`Finding`]
//! with a remedy.
//!
//! The checks change nothing: they do not disturb the panel of a running ticker, they evict no
//! other connection, and they send a token only to a recognised server. Separate functions read the
//! data and judge the data, so that tests can judge data without hardware.

mod bundle;
mod channels;
mod configuration;
mod finding;
pub(crate) mod hub;
mod machine;
mod network;
mod panel;
mod redaction;
mod text;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use crate::config::{Config, PanelConfig, PanelKind};
use crate::display::is_spi;
use crate::market::Calendar;
use crate::net::connector::Connector;
use crate::net::endpoint::Endpoint;
use crate::net::source::FeedProvider;
use crate::secret::{Environment, UNIT_SECRETS};
use crate::time::Clock;
pub use bundle::{Bundle, redacted};
pub use finding::{CheckState, Finding};
pub(crate) use machine::buses;
pub use panel::{BusProbe, ProbeFn, touch};
pub(crate) use panel::{USUAL, wiring};
pub use redaction::Redactor;
pub use text::{json, summary, text};

/// The checks that need a connection to the server.
const BEYOND: [&str; 4] = ["hub", "access", "upstream", "channels"];

const NEEDS_CONFIGURATION: &str = "this check needs a configuration without an error";

/// The inputs of the checks.
pub struct CheckContext<'a> {
    /// The directory that contains `/proc`, `/sys`, `/dev` and `/etc`, usually `/`.
    pub root: &'a Path,
    /// The path of the configuration file.
    pub file: &'a Path,
    /// The environment variables and the credential directory that may provide a secret.
    pub environment: &'a Environment,
    /// The source of the wall clock and the monotonic clock.
    pub clock: Clock,
    /// The calendar with the trading hours of the markets.
    pub calendar: Calendar,
    /// The longest wait for acknowledgements and for the first value.
    pub time_limit: Duration,
    /// The function that tests if a device answers at an address of the I2C bus.
    pub touch: &'a mut ProbeFn<'a>,
}

/// The result of all checks.
pub struct CheckReport<'a> {
    /// One finding for each check, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The secrets that must not appear in any output.
    pub hidden: Redactor,
    /// The hub of the following findings, if the configuration has several hubs.
    place: String,
    sink: &'a mut dyn FnMut(&Finding),
}

impl CheckReport<'_> {
    /// Masks the secrets in a finding, stores the finding and reports it to the sink. Returns true
    /// if the state is ok or warning, so that the next check can use the result.
    #[inline(never)]
    fn note(&mut self, mut finding: Finding) -> bool {
        finding.found.insert_str(0, &self.place);
        self.hidden.hide(&mut finding.found);
        if let Some(remedy) = &mut finding.remedy {
            self.hidden.hide(remedy);
        }
        (self.sink)(&finding);
        let good = matches!(finding.state, CheckState::Ok | CheckState::Warning);
        self.findings.push(finding);
        good
    }

    #[inline(never)]
    fn skip(&mut self, checks: &[&'static str], reason: &str) {
        for check in checks {
            self.note(Finding::skipped(check, reason));
        }
    }

    /// The exit code: 0 if no check failed, 78 if the configuration cannot be used, 1 for any other
    /// failure.
    pub fn code(&self) -> u8 {
        let failed = self.findings.iter();
        let failed = failed.filter(|finding| finding.state == CheckState::Failed);
        let code = failed.map(|finding| match finding.check {
            "configuration" => 78,
            _ => 1,
        });
        code.max().unwrap_or(0)
    }
}

/// Runs every check, reports each finding to the sink as soon as its check ends, and returns the
/// report. The future is in a box, because it is large.
#[inline(never)]
pub fn run_checks<'a>(
    context: CheckContext<'a>,
    sink: &'a mut dyn FnMut(&Finding),
) -> Pin<Box<dyn Future<Output = CheckReport<'a>> + 'a>> {
    Box::pin(run_all(context, sink))
}

async fn run_all<'a>(
    mut context: CheckContext<'_>,
    sink: &'a mut dyn FnMut(&Finding),
) -> CheckReport<'a> {
    let mut environment = context.environment.clone();
    environment.unit_secrets = Some(context.root.join(UNIT_SECRETS.trim_start_matches('/')));
    let text = std::fs::read_to_string(context.file).unwrap_or_default();
    let config = Config::load(context.file, &environment);
    let config = config.and_then(|config| Ok((config.connector()?, config)));
    let mut examination = CheckReport {
        findings: Vec::new(),
        hidden: Redactor::of(
            &environment,
            config.as_ref().ok().map(|(_, config)| config),
            &text,
        ),
        place: String::new(),
        sink,
    };
    let panel = match &config {
        Ok((_, config)) => config.panel.clone(),
        Err(_) => Config::panel_of(&text, context.file, &environment),
    };
    check_machine(&mut context, &panel, &mut examination);
    match config {
        Ok((connector, config)) => {
            examination.note(configuration::configuration(context.file, &config));
            examination.note(configuration::token(&config, &environment));
            if let Some(finding) = configuration::buttons(&config, context.root) {
                examination.note(finding);
            }
            for place in 0..=config.source.alternatives.len() {
                let mut one = config.clone();
                one.source = config.source.at(place);
                if !config.source.alternatives.is_empty() {
                    examination.place = format!("{}: ", network::place(&one.source.endpoint));
                }
                check_network(&context, &connector, one, &mut examination).await;
            }
        }
        Err(error) => {
            examination.note(configuration::wrong(&error));
            examination.skip(&["token", "dns", "tcp", "tls"], NEEDS_CONFIGURATION);
            examination.note(machine::clock(context.root, context.clock.now(), None));
            examination.skip(&BEYOND, NEEDS_CONFIGURATION);
        }
    }
    examination
}

fn check_machine(
    context: &mut CheckContext<'_>,
    settings: &PanelConfig,
    examination: &mut CheckReport<'_>,
) {
    let root = context.root;
    let (finding, board) = machine::board(root);
    examination.note(finding);
    let kernel = machine::kernel_release(root);
    examination.note(machine::kernel(kernel.as_deref()));
    let stuck = panel::stuck(root);
    if settings.assumed || settings.kind != PanelKind::Oled {
        let reason = match settings.assumed {
            true => NEEDS_CONFIGURATION,
            false => "the configured panel needs no I2C bus",
        };
        examination.skip(&["bus", "permission"], reason);
        match stuck {
            Some(finding) => drop(examination.note(finding)),
            None => examination.skip(&["panel"], reason),
        }
        return examination.skip(&["speed"], reason);
    }
    let bus = settings.oled.bus.as_path();
    let exists = examination.note(machine::bus(root, bus, board));
    let permitted = exists && examination.note(machine::permission(root, bus));
    // The program needs the lines before the bus.
    for (pin, line) in [("dc", settings.oled.dc), ("reset", settings.oled.reset)] {
        if let Some(line) = line {
            examination.note(panel::line(root, pin, line));
        }
    }
    if !exists {
        return examination.skip(
            &["permission", "panel", "speed"],
            "this check needs the bus",
        );
    }
    if let Some(finding) = stuck {
        examination.note(finding);
    } else if is_spi(bus) {
        let reason = "a panel on SPI sends no answer: look at it";
        return examination.skip(&["panel", "speed"], reason);
    } else if permitted {
        examination.note(panel::look(&settings.oled, board, context.touch));
    } else {
        examination.skip(&["panel"], "this check needs the permission");
    }
    let debian = kernel.is_some_and(|release| release.contains("+deb"));
    examination.note(machine::speed(root, bus, board, debian));
}

async fn check_network(
    context: &CheckContext<'_>,
    connector: &Connector,
    mut config: Config,
    examination: &mut CheckReport<'_>,
) {
    let announced = config.source.endpoint.is_announced();
    let (finding, addresses) = match announced {
        true => {
            let (finding, endpoint) = network::announced(connector, &config.source).await;
            config.source.endpoint = endpoint.unwrap_or_else(Endpoint::announced);
            let address = config.source.endpoint.address;
            let address = address.map(|ip| (ip, config.source.endpoint.port).into());
            (finding, address.into_iter().collect())
        }
        false => network::resolve(&config.source.endpoint).await,
    };
    let config = &config;
    let endpoint = &config.source.endpoint;
    let mut reached = examination.note(finding);
    let mut stream = None;
    if reached {
        let (finding, open) = network::connect(endpoint, &addresses).await;
        reached = examination.note(finding);
        stream = open;
    } else {
        examination.skip(&["tcp"], "this check needs an address");
    }
    match stream {
        None => examination.skip(&["tls"], "this check needs a connection"),
        Some(_) if !endpoint.secure => {
            let reason = "ws:// is not encrypted: use this url only inside your own network";
            examination.skip(&["tls"], reason);
        }
        Some(stream) => {
            let now = context.clock.now();
            reached = examination.note(network::tls(connector, &config.source, stream, now).await);
        }
    }
    if !reached {
        examination.note(machine::clock(context.root, context.clock.now(), None));
        return examination.skip(&BEYOND, "this check needs a connection");
    }
    // The first request to the server must not contain the token: the server is not recognised yet.
    let (finding, greeting) = hub::recognise(connector, &config.source).await;
    let stamp = greeting.date;
    examination.note(machine::clock(context.root, context.clock.now(), stamp));
    if !examination.note(finding) {
        return examination.skip(&BEYOND[1..], "the token is sent only to a hub");
    }
    if config.source.provider == FeedProvider::Vendor {
        examination.note(hub::key(connector, &config.source, &config.settings.watchlist).await);
        // The vendor allows one connection per cluster: a second connection would evict the
        // connection of a ticker that may be running.
        let reason = "not tested: a second connection would evict the connection that is in use";
        return examination.skip(&BEYOND[2..], reason);
    }
    if !examination.note(hub::token(connector, &config.source).await) {
        return examination.skip(&BEYOND[2..], "this check needs an accepted token");
    }
    let mut line = channels::ChannelProbe::open(context, connector, config);
    line.wait_for_values().await;
    // The request for the upstream status must run while the probe holds its subscriptions, because
    // the hub connects to the vendor only while a client has a subscription.
    let upstream = match greeting.hub {
        true => hub::upstream(connector, config, context.time_limit).await,
        false => Finding::skipped("upstream", "this proxy does not report its upstream"),
    };
    line.close().await;
    line.request_shares(connector, &config.source).await;
    examination.note(upstream);
    examination.note(line.judge(greeting.hub, &config.source));
}
