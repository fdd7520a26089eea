//! The set-up of a display and of a hub on a new machine: questions at the terminal, each with a check
//! at once, then the files, the bus and the service. The same answers can be options. Each step says
//! before what it changes, and keeps what the user has written.

mod console;
mod edit;
mod hub;
mod panel;
mod service;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::{Config, DEFAULT_PATH, PanelConfig, PanelKind};
use crate::doctor::{self, CheckState, Finding};
use crate::feed::poller;
use crate::net::connector::Connector;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};
use console::{Console, Question};
pub use hub::HubOptions;

/// The service of the display.
const UNIT: &str = "deskticker";
/// The configuration of the package, for a machine without a configuration.
const SAMPLE: &str = include_str!("../../systemd/deb/deskticker.toml");

/// The options of `deskticker setup`. A missing value is asked for, or has the value of the present
/// configuration or the default value.
#[derive(Debug)]
pub struct DisplayOptions {
    /// The configuration file to write.
    pub config: PathBuf,
    /// The address of the hub.
    pub hub: Option<String>,
    /// The file with the token of the hub; `-` is the standard input.
    pub token_file: Option<PathBuf>,
    /// The file of an additional certificate authority.
    pub ca_file: Option<PathBuf>,
    /// The symbols, separated by commas.
    pub watchlist: Option<String>,
    /// The panel, of which only the values in `given` count.
    pub panel: PanelConfig,
    /// The names of the options that the user has given.
    pub given: Vec<String>,
    /// False for a set-up without questions.
    pub ask: bool,
    /// True if the set-up only shows what it would change.
    pub dry_run: bool,
}

/// Sets up a display. Returns true if the set-up has written its files, false if the user did not want
/// to, or after a dry run.
///
/// # Errors
/// A message for the user: an answer is wrong and cannot be corrected, a file cannot be written, or
/// the user has ended the set-up.
pub async fn display(options: DisplayOptions, environment: &Environment) -> Result<bool, String> {
    let console = Console::open(options.ask);
    let path = std::path::absolute(&options.config).map_err(|error| error.to_string())?;
    let unit = path == Path::new(DEFAULT_PATH) && service::exists(UNIT);
    let old = present(&path, SAMPLE)?;
    let mut text = choose_panel(&old, &options, environment, unit, &console)?;

    let ca_file = options.ca_file.map(absolute).transpose()?;
    let named = edit::string(&text, "hub", "ca_file").map(PathBuf::from);
    let connector = Connector::new(ca_file.as_deref().or(named.as_deref()))?;
    if let Some(file) = &ca_file {
        text = edit::set(
            &text,
            "hub",
            "ca_file",
            &quoted(&file.display().to_string()),
        );
    }
    // A display has one source: the hub in place of the vendor.
    text = edit::without_table(&text, "massive");
    let url = edit::string(&text, "hub", "url");
    let question = Question {
        text: "The address of the hub",
        default: url.as_deref().unwrap_or("ws://hub.local:3000"),
        hidden: false,
        option: "--hub",
    };
    let check = async |answer: &str| {
        let source = FeedSource {
            provider: FeedProvider::Hub,
            endpoint: Endpoint::parse(answer)?,
            secret: None,
        };
        let (finding, _) = doctor::hub::recognise(&connector, &source).await;
        console.say(&format!("  {}", good(finding)?));
        Ok(source)
    };
    let mut source = console.until(question, options.hub, check).await?;
    text = edit::set(&text, "hub", "url", &quoted(&source.endpoint.to_string()));

    let folder = path.parent().unwrap_or(Path::new("/"));
    let token_file = edit::string(&text, "hub", "token_file").map(PathBuf::from);
    let token_file = token_file.unwrap_or_else(|| folder.join("token"));
    let given = given_secret(
        options.token_file.as_deref(),
        environment.token.as_deref(),
        "token",
    )?;
    let secret = ask_token(given, &token_file, &connector, &source, &console).await?;
    source.secret = Some(secret.clone());

    text = choose_watchlist(
        &text,
        options.watchlist,
        &path,
        &connector,
        &source,
        &console,
    )
    .await?;
    if folder != Path::new(UNIT_SECRETS) {
        text = edit::set(
            &text,
            "hub",
            "token_file",
            &quoted(&token_file.display().to_string()),
        );
    }
    let mut files = vec![(path.clone(), text, 0o644)];
    if read_secret(&token_file, "token").ok().as_ref() != Some(&secret) {
        files.push((token_file, format!("{}\n", secret.reveal()), 0o600));
    }
    let unit = unit.then_some(UNIT);
    if !carry_out(files, unit, &console, options.dry_run)? {
        return Ok(false);
    }
    match unit {
        Some(unit) => service::start(unit)?,
        None => console.say(&format!(
            "Start the ticker with: deskticker run --config {}",
            path.display()
        )),
    }
    Ok(true)
}

/// Sets up a hub. Returns true if the set-up has written its files.
///
/// # Errors
/// See [`display`].
pub async fn hub(options: HubOptions, environment: &Environment) -> Result<bool, String> {
    hub::set_up(options, environment).await
}

/// Asks for the panel, and lets the user look at an OLED. Returns the text with its settings.
fn choose_panel(
    text: &str,
    options: &DisplayOptions,
    environment: &Environment,
    unit: bool,
    console: &Console,
) -> Result<String, String> {
    let gave = |name: &str| options.given.iter().any(|given| given == name);
    let old = Config::panel_of(text, environment);
    let mut new = old.clone();
    let kind = |kind| match kind {
        PanelKind::Oled => "oled",
        PanelKind::Terminal => "terminal",
        PanelKind::Png => "png",
    };
    let given = &options.panel;
    new.kind = if gave("panel") {
        given.kind
    } else {
        loop {
            let answer = console.ask(&Question {
                text: "The panel: oled, png (a picture file) or terminal",
                default: kind(old.kind),
                hidden: false,
                option: "--panel",
            })?;
            match answer.parse() {
                Ok(kind) => break kind,
                Err(reason) => console.say(&format!("  {reason}")),
            }
        }
    };
    let oled = &mut new.oled;
    if gave("chip") {
        oled.chip = given.oled.chip;
    }
    if gave("size") {
        oled.size = given.oled.size;
    }
    if gave("bus") {
        oled.bus.clone_from(&given.oled.bus);
    }
    if gave("address") {
        oled.address = given.oled.address;
    }
    if gave("rotation") {
        oled.rotation = given.oled.rotation;
    }
    if gave("output") {
        new.file.clone_from(&given.file);
    }
    if new.kind == PanelKind::Oled {
        let (bus, board) = (new.oled.bus.clone(), environment.board);
        panel::enable_bus(Path::new("/"), &bus, board, console, options.dry_run)?;
        if bus.exists() && !options.dry_run {
            let running = if unit && service::runs(UNIT) && console.asks() {
                console
                    .say("The service deskticker stops for the test picture, and starts after it.");
                service::Paused::stop(UNIT)
            } else {
                None
            };
            new.oled = panel::find(new.oled, !gave("bus"), console)?;
            drop(running);
        }
    }
    let mut text = text.to_owned();
    let oled = &new.oled;
    for (key, changed, value) in [
        ("kind", new.kind != old.kind, quoted(kind(new.kind))),
        (
            "file",
            new.file != old.file,
            quoted(&new.file.display().to_string()),
        ),
        (
            "chip",
            oled.chip != old.oled.chip,
            quoted(panel::chip_name(oled.chip)),
        ),
        (
            "size",
            oled.size != old.oled.size,
            quoted(&oled.size.to_string()),
        ),
        (
            "bus",
            oled.bus != old.oled.bus,
            quoted(&oled.bus.display().to_string()),
        ),
        (
            "address",
            oled.address != old.oled.address,
            format!("{:#04x}", oled.address),
        ),
        (
            "rotation",
            oled.rotation != old.oled.rotation,
            panel::degrees(oled.rotation).to_string(),
        ),
    ] {
        if changed {
            text = edit::set(&text, "panel", key, &value);
        }
    }
    if oled.chip != old.oled.chip {
        // Only an sh1106 has this setting, and the test picture has the usual one.
        text = edit::without_key(&text, "panel", "column_offset");
    }
    Ok(text)
}

async fn ask_token(
    given: Option<String>,
    file: &Path,
    connector: &Connector,
    source: &FeedSource,
    console: &Console,
) -> Result<Secret, String> {
    let present = read_secret(file, "token").ok();
    let question = Question {
        text: match present {
            Some(_) => "The token of the hub (it is not shown; Enter: the present one)",
            None => "The token of the hub (it is not shown)",
        },
        default: "",
        hidden: true,
        option: "--token-file",
    };
    let check = async |answer: &str| {
        let secret = match (answer, &present) {
            ("", Some(present)) => present.clone(),
            ("", None) => {
                return Err(
                    "there is no token yet; on the hub, this command prints one: \
                     sudo deskticker-hub token add NAME"
                        .to_owned(),
                );
            }
            _ => Secret::from_text(answer, "token")?,
        };
        let source = FeedSource {
            secret: Some(secret.clone()),
            ..source.clone()
        };
        console.say(&format!(
            "  {}",
            good(doctor::hub::token(connector, &source).await)?
        ));
        Ok(secret)
    };
    console.until(question, given, check).await
}

/// Asks for the symbols, and returns the text with them.
async fn choose_watchlist(
    text: &str,
    given: Option<String>,
    path: &Path,
    connector: &Connector,
    source: &FeedSource,
    console: &Console,
) -> Result<String, String> {
    let present = edit::list(text, "watchlist");
    let question = Question {
        text: "The symbols, separated by commas",
        default: present.as_deref().unwrap_or("SPX, VIX"),
        hidden: false,
        option: "--watchlist",
    };
    let mut refused_before = String::new();
    let check = async |answer: &str| {
        let names = answer
            .split([',', ' ', ';'])
            .map(|name| name.trim_matches(['"', '\'', '[', ']']));
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>();
        let new = match present.as_deref() == Some(&names.join(", ")) {
            true => text.to_owned(),
            false => edit::set(text, "", "watchlist", &format!("[{}]", list.join(", "))),
        };
        // The file of the token is written later, so the check takes the token from a variable.
        let environment = Environment {
            token: source
                .secret
                .as_ref()
                .map(|secret| secret.reveal().to_owned()),
            ..Environment::default()
        };
        let checked = edit::without_key(&new, "hub", "token_file");
        let config = Config::parse(&checked, path, &environment);
        let symbols = config
            .map_err(|error| error.to_string())?
            .settings
            .watchlist;
        match poller::quotes(connector, source, &symbols).await {
            Ok(reply) if reply.refused.is_empty() => {}
            Ok(reply) => {
                let refused = reply
                    .refused
                    .iter()
                    .map(|(symbol, words)| format!("{symbol} ({words})"));
                let refused = refused.collect::<Vec<_>>().join(", ");
                if refused != refused_before {
                    let hint = format!(
                        "the hub has no prices of {refused}; correct the list, or write \
                                        the same list again to keep these symbols"
                    );
                    refused_before = refused;
                    return Err(hint);
                }
            }
            Err(reason) => console.say(&format!("  the symbols were not checked: {reason}")),
        }
        Ok(new)
    };
    console.until(question, given, check).await
}

/// Shows the changes, also the start of the unit that follows, and writes the files if the user agrees.
/// Returns true if the files are written.
fn carry_out(
    files: Vec<(PathBuf, String, u32)>,
    unit: Option<&str>,
    console: &Console,
    dry_run: bool,
) -> Result<bool, String> {
    console.say("The set-up");
    for (path, text, mode) in &files {
        let name = path.display();
        let old = std::fs::read_to_string(path);
        let old = old.as_deref();
        match old {
            Ok(old) if old == text => console.say(&format!("  leaves {name} as it is")),
            _ if mode & 0o007 == 0 => {
                console.say(&format!("  writes the secret to {name}, mode {mode:04o}"));
            }
            Ok(old) => console.say(&format!("  changes {name}:{}", edit::difference(old, text))),
            Err(_) => console.say(&format!("  writes {name}")),
        }
    }
    if let Some(unit) = unit {
        console.say(&format!(
            "  runs systemctl enable {unit} and systemctl restart {unit}"
        ));
    }
    if dry_run {
        console.say("Nothing was changed (--dry-run).");
        return Ok(false);
    }
    if !console.agrees("Go on?")? {
        console.say("Nothing was changed.");
        return Ok(false);
    }
    for (path, text, mode) in files {
        if let Some(kept) = edit::write(&path, &text, mode)? {
            console.say(&format!(
                "The old {} is now {}.",
                path.display(),
                kept.display()
            ));
        }
    }
    Ok(true)
}

/// Returns the text of a configuration, or the text of the package if there is no file.
fn present(path: &Path, sample: &str) -> Result<String, String> {
    if !path.exists() {
        return Ok(sample.to_owned());
    }
    let text = Config::text(path).map_err(|error| error.to_string())?;
    match toml::de::DeTable::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!(
            "{}: {error}\nCorrect this file first, or move it away; nothing was changed",
            path.display()
        )),
    }
}

/// Returns the secret from its file or its environment variable, if the user has given one.
fn given_secret(
    file: Option<&Path>,
    variable: Option<&str>,
    kind: &str,
) -> Result<Option<String>, String> {
    let Some(file) = file else {
        return Ok(variable.map(str::to_owned));
    };
    if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(4096).read_to_string(&mut text);
        return read
            .map(|_| Some(text))
            .map_err(|error| format!("standard input: {error}"));
    }
    let secret = read_secret(file, kind).map_err(|reason| format!("{}: {reason}", file.display()));
    secret.map(|secret| Some(secret.reveal().to_owned()))
}

/// Returns the observation of a good finding, or else the observation and the remedy.
fn good(finding: Finding) -> Result<String, String> {
    match finding.state {
        CheckState::Failed => {
            let remedy = finding.remedy.unwrap_or_default().replace('\n', "\n  ");
            Err(format!("{}\n  {remedy}", finding.found))
        }
        _ => Ok(finding.found),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| error.to_string())
}

/// Returns a string of TOML.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}
