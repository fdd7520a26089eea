//! `deskticker doctor`: everything between the prices and the glass, looked at in the order in
//! which one thing needs the next. Each check reads, judges, and says what mends it. It changes
//! nothing: the panel of a running ticker is not disturbed, no connection of another is evicted,
//! and a token goes only to a server that has shown itself to be a hub.
//!
//! What is read (files below a root, answers, addresses) and what it means are functions of their
//! own; a [`Finding`] is all that comes out.

mod bundle;
mod certificate;
mod channels;
mod configuration;
mod finding;
mod hub;
mod machine;
mod network;
mod panel;
mod redaction;
mod text;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub use bundle::{Bundle, redacted};
pub use finding::{CheckState, Finding};
pub use panel::{BusProbe, ProbeFn, touch};
pub use redaction::Redactor;
pub use text::{json, summary, text};

use crate::config::{Config, Environment, PanelConfig, PanelKind};
use crate::feed::connection::FeedProvider;
use crate::market::Calendar;
use crate::net::connector::Connector;
use crate::time::Clock;

/// What is examined, and by what clock.
pub struct CheckContext<'a> {
    /// Where `/proc`, `/sys`, `/dev` and `/etc` are found: `/`.
    pub root: &'a Path,
    /// The configuration.
    pub file: &'a Path,
    /// Where a secret may come from.
    pub environment: &'a Environment,
    /// Time.
    pub clock: Clock,
    /// When the markets are open.
    pub calendar: Calendar,
    /// How long one waits for acknowledgements and a first value.
    pub time_limit: Duration,
    /// Asks an address of the bus whether anybody is there.
    pub touch: &'a mut ProbeFn<'a>,
}

/// What came out.
#[derive(Debug)]
pub struct CheckReport<'a> {
    /// One for each check, in their order.
    pub findings: Vec<Finding>,
    /// What is shown to nobody.
    pub hidden: Redactor,
    sink: &'a mut FindingSink<'a>,
}

/// Is told each finding as soon as it is known.
pub struct FindingSink<'a>(pub &'a mut dyn FnMut(&Finding));

impl std::fmt::Debug for FindingSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

impl CheckReport<'_> {
    /// Notes a finding, without what is to stay hidden; whether the next step can build on it.
    #[inline(never)]
    fn note(&mut self, mut finding: Finding) -> bool {
        self.hidden.hide(&mut finding.found);
        if let Some(remedy) = &mut finding.remedy {
            self.hidden.hide(remedy);
        }
        (self.sink.0)(&finding);
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

    /// The exit code: 0 without a failure, 78 for a configuration that cannot be used, else 1.
    pub fn code(&self) -> u8 {
        let failed = |finding: &&Finding| finding.state == CheckState::Failed;
        let mut failed = self.findings.iter().filter(failed).peekable();
        match (
            failed.peek().is_some(),
            failed.any(|finding| finding.check == "configuration"),
        ) {
            (_, true) => 78,
            (true, false) => 1,
            (false, false) => 0,
        }
    }
}

/// Examines everything.
#[inline(never)]
pub fn run_checks<'a>(
    context: CheckContext<'a>,
    sink: &'a mut FindingSink<'a>,
) -> Pin<Box<dyn Future<Output = CheckReport<'a>> + 'a>> {
    Box::pin(run_all(context, sink))
}

async fn run_all<'a>(
    mut context: CheckContext<'_>,
    sink: &'a mut FindingSink<'a>,
) -> CheckReport<'a> {
    let mut environment = context.environment.clone();
    let mut config = Config::load(context.file, &environment);
    if config.is_err() && environment.credentials.is_none() {
        environment.credentials = Some(configuration::credentials(context.root));
        config = Config::load(context.file, &environment);
    }
    let config = config.and_then(|config| Ok((config.connector()?, config)));
    let mut examination = CheckReport {
        findings: Vec::new(),
        hidden: Redactor::of(
            &environment,
            config.as_ref().ok().map(|(_, config)| config),
            &std::fs::read_to_string(context.file).unwrap_or_default(),
        ),
        sink,
    };
    let panel = match &config {
        Ok((_, config)) => config.panel.clone(),
        // What most people have.
        Err(_) => PanelConfig::of(environment.board),
    };
    check_machine(&mut context, &panel, &mut examination);
    match &config {
        Ok((connector, config)) => {
            examination.note(configuration::configuration(context.file, config));
            examination.note(configuration::token(config, &environment));
            check_network(&context, connector, config, &mut examination).await;
        }
        Err(error) => {
            examination.note(configuration::wrong(error));
            let rest = [
                "token", "dns", "tcp", "tls", "clock", "hub", "access", "upstream", "channels",
            ];
            for check in rest {
                examination.note(match check {
                    "clock" => machine::clock(context.root, context.clock.now(), None),
                    _ => Finding::skipped(check, "it needs the configuration"),
                });
            }
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
    if settings.kind != PanelKind::Oled {
        let reason = "the panel that is configured needs no I2C bus";
        examination.skip(&["bus", "permission"], reason);
        match stuck {
            Some(finding) => drop(examination.note(finding)),
            None => examination.skip(&["panel"], reason),
        }
        return examination.skip(&["speed"], reason);
    }
    let bus = settings.oled.bus.as_path();
    if !examination.note(machine::bus(root, bus, board)) {
        return examination.skip(&["permission", "panel", "speed"], "it needs the bus");
    }
    let permitted = examination.note(machine::permission(root, bus));
    if let Some(finding) = stuck {
        examination.note(finding);
    } else if permitted {
        examination.note(panel::look(bus, settings.oled.address, context.touch));
    } else {
        examination.skip(&["panel"], "it needs the permission");
    }
    let debian = kernel.is_some_and(|release| release.contains("+deb"));
    examination.note(machine::speed(root, bus, board, debian));
}

async fn check_network(
    context: &CheckContext<'_>,
    connector: &Connector,
    config: &Config,
    examination: &mut CheckReport<'_>,
) {
    const BEYOND: [&str; 4] = ["hub", "access", "upstream", "channels"];
    let endpoint = &config.source.endpoint;
    let (finding, addresses) = network::resolve(endpoint).await;
    let mut reached = examination.note(finding);
    let mut stream = None;
    if reached {
        let (finding, open) = network::connect(endpoint, &addresses).await;
        reached = examination.note(finding);
        stream = open;
    } else {
        examination.skip(&["tcp"], "it needs an address");
    }
    match stream {
        None => examination.skip(&["tls"], "it needs a connection"),
        Some(_) if !endpoint.secure => {
            let reason = "ws:// is not encrypted: fine within one's own network, nowhere else";
            examination.skip(&["tls"], reason);
        }
        Some(stream) => {
            let now = context.clock.now();
            reached = examination.note(network::tls(connector, endpoint, stream, now).await);
        }
    }
    if !reached {
        examination.note(machine::clock(context.root, context.clock.now(), None));
        return examination.skip(&BEYOND, "it needs a connection");
    }
    // The very first word to the server, and without the token.
    let (finding, greeting) = hub::recognise(connector, &config.source).await;
    let stamp = greeting.date;
    examination.note(machine::clock(context.root, context.clock.now(), stamp));
    if !examination.note(finding) {
        return examination.skip(&BEYOND[1..], "the token goes only to what is a hub");
    }
    if config.source.provider == FeedProvider::Vendor {
        examination.note(hub::key(connector, &config.source, &config.settings.watchlist).await);
        // A second connection would evict the first: the ticker that may be running.
        let reason = "not tried: a connection of ours would evict the one that is in use";
        return examination.skip(&BEYOND[2..], reason);
    }
    if !examination.note(hub::token(connector, &config.source).await) {
        return examination.skip(&BEYOND[2..], "it needs a token that is accepted");
    }
    let mut line = channels::ChannelProbe::open(context, connector, config);
    line.wait_for_values().await;
    // Asked while the channels are wanted, for the hub connects for who wants something.
    let upstream = match greeting.hub {
        true => hub::upstream(connector, config, context.time_limit).await,
        false => Finding::skipped("upstream", "this proxy does not tell"),
    };
    line.close().await;
    examination.note(upstream);
    examination.note(line.judge(greeting.hub));
}
