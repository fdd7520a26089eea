//! The set-up of a display: the panel, the hub, its token and the symbols.

use std::path::{Path, PathBuf};

use super::console::{Console, Question};
use super::service;
use super::{
    absolute, carry_out, check_permission, edit, given_secret, good, panel, present, quoted,
};
use crate::config::{
    Config, DEFAULT_PATH, Mistake, PanelConfig, PanelKind, server, wiring_conflict,
};
use crate::display::{Chip, is_spi, png};
use crate::doctor;
use crate::feed::poller;
use crate::net::connector::Connector;
use crate::net::source::{FeedProvider, FeedSource};
use crate::render::{Colours, Size};
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};

/// The service of the display.
const UNIT: &str = "deskticker";
/// The configuration of the package, for a machine without a configuration.
const SAMPLE: &str = include_str!("../../systemd/deb/deskticker.toml");

/// The options of `deskticker setup`. If a value is missing, the set-up asks the user, or uses the
/// value of the present configuration or the default value.
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
    /// The colours of the panel, if the user has given them.
    pub colours: Option<Colours>,
    /// The names of the options that the user has given.
    pub given: Vec<String>,
    /// False for a set-up without questions.
    pub ask: bool,
    /// True if the set-up only shows the changes.
    pub dry_run: bool,
}

/// Sets up a display. Returns true if the set-up has written its files, false if the user refused
/// or after a dry run.
///
/// # Errors
/// A message for the user: an answer is wrong and cannot be corrected, a file cannot be written, or
/// the user has ended the set-up.
pub async fn set_up(options: DisplayOptions, environment: &Environment) -> Result<bool, String> {
    let console = Console::open(options.ask);
    let path = std::path::absolute(&options.config).map_err(|error| error.to_string())?;
    check_permission(&path, options.dry_run)?;
    let unit = path == Path::new(DEFAULT_PATH) && service::exists(UNIT);
    let old = present(&path, SAMPLE)?;
    let mut text = choose_panel(&old, &path, &options, environment, unit, &console).await?;

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
    let default = url.as_deref().unwrap_or("ws://hub.local:3000");
    let question = Question::new("The address of the hub", default, "--hub");
    let check = async |answer: &str| {
        let hub = |text: &str| server(FeedProvider::Hub, text);
        let endpoint = read_answer(answer, &console, hub)?;
        let source = FeedSource::new(FeedProvider::Hub, endpoint, None);
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

/// Asks for the panel, and lets the user look at an OLED. Returns the text with its settings.
async fn choose_panel(
    text: &str,
    path: &Path,
    options: &DisplayOptions,
    environment: &Environment,
    unit: bool,
    console: &Console,
) -> Result<String, String> {
    let old = Config::panel_of(text, path, environment);
    let (mut new, given) = (old.clone(), &options.panel);
    for name in &options.given {
        match name.as_str() {
            "panel" => new.kind = given.kind,
            "output" => new.file.clone_from(&given.file),
            "chip" => new.oled.chip = given.oled.chip,
            "size" => new.oled.size = given.oled.size,
            "bus" => new.oled.bus.clone_from(&given.oled.bus),
            "address" => new.oled.address = given.oled.address,
            "rotation" => new.oled.rotation = given.oled.rotation,
            "dc" => new.oled.dc = given.oled.dc,
            "reset" => new.oled.reset = given.oled.reset,
            _ => {}
        }
    }
    let gave = |name: &str| options.given.iter().any(|given| given == name);
    if !is_spi(&new.oled.bus) && !gave("dc") {
        // The present panel was on SPI.
        new.oled.dc = None;
    }
    let kind = gave("panel").then(|| kind_name(new.kind).to_owned());
    let question = "The panel: oled, screen (HDMI), png (a picture file) or terminal";
    let question = Question::new(question, kind_name(old.kind), "--panel");
    new.kind = console
        .until(question, kind, async |answer: &str| answer.parse())
        .await?;
    if let Some(conflict) = wiring_conflict(&new.oled) {
        return Err(conflict.to_owned());
    }
    let present = match edit::string(text, "panel", "colours") {
        Some(_) => Colours::YellowBlue,
        None => Colours::One,
    };
    if new.kind == PanelKind::Oled {
        if gave("size") && new.oled.size == Size::Square && !gave("chip") {
            new.oled.chip = Chip::Sh1107 { column: 0 };
        }
        new.oled.size = new.oled.chip.size_near(new.oled.size);
    }
    if new.kind == PanelKind::Png {
        // A relative path is relative to the folder of the default picture, and not to the present
        // folder.
        let usual = Config::panel_of("", path, environment).file;
        let file = usual.with_file_name("").join(&new.file);
        let shown = file.display();
        png::check(&file)
            .map_err(|error| format!("{shown}: {error}; choose another file with --output"))?;
        console.say(&format!("  the picture is the file {shown} (--output)"));
    }
    let mut colours = options.colours;
    // The settings are checked before the bus is enabled.
    let wanted = with_panel(text, &old, &new, colours);
    Config::check_panel(&wanted, path, environment).map_err(|mistakes| {
        let words = |(key, reason): (String, String)| {
            let option = match key.as_str() {
                "kind" => "panel",
                "file" => "output",
                key => key,
            };
            match gave(option) {
                true => format!("--{option}: {reason}"),
                false => format!("{}: {key}: {reason}", path.display()),
            }
        };
        let words: Vec<String> = mistakes.into_iter().map(words).collect();
        format!("{}\nNothing was changed", words.join("\n"))
    })?;
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
            let asked = colours.is_none().then_some(present);
            let found = panel::find(new.oled, asked, !gave("bus"), board, console)?;
            new.oled = found.0;
            // Only a panel of 128×64 has two colours.
            colours = match new.oled.size {
                Size::Tall => colours.or(found.1),
                _ => Some(Colours::One),
            };
            drop(running);
        }
    }
    Ok(with_panel(text, &old, &new, colours))
}

/// Returns the text in which the panel `old` is replaced by the panel `new`. The colours stay as
/// they are if they are `None`.
fn with_panel(
    text: &str,
    old: &PanelConfig,
    new: &PanelConfig,
    colours: Option<Colours>,
) -> String {
    let mut text = text.to_owned();
    for ((key, value), (_, before)) in settings(new).into_iter().zip(settings(old)) {
        if value == before {
            continue;
        }
        text = match value.is_empty() {
            true => edit::without_key(&text, "panel", key),
            false => edit::set(&text, "panel", key, &value),
        };
    }
    let stays = new.oled.size == Size::Tall;
    match colours {
        Some(Colours::YellowBlue) => {
            text = edit::set(&text, "panel", "colours", &quoted("yellow-blue"));
        }
        None if stays => {}
        _ => text = edit::without_key(&text, "panel", "colours"),
    }
    if new.oled.chip != old.oled.chip {
        // Only an sh1106 and an sh1107 have this setting, and the test picture used its default
        // value.
        text = edit::without_key(&text, "panel", "column_offset");
    }
    text
}

const fn kind_name(kind: PanelKind) -> &'static str {
    match kind {
        PanelKind::Oled => "oled",
        PanelKind::Terminal => "terminal",
        PanelKind::Png => "png",
        PanelKind::Screen => "screen",
    }
}

/// The settings of a panel, as the configuration has them.
fn settings(panel: &PanelConfig) -> [(&'static str, String); 9] {
    let oled = &panel.oled;
    [
        ("kind", quoted(kind_name(panel.kind))),
        ("file", quoted(&panel.file.display().to_string())),
        ("chip", quoted(panel::chip_name(oled.chip))),
        ("size", quoted(&oled.size.to_string())),
        ("bus", quoted(&oled.bus.display().to_string())),
        ("address", format!("{:#04x}", oled.address)),
        ("rotation", panel::degrees(oled.rotation).to_string()),
        ("dc", oled.dc.map_or(String::new(), panel::line)),
        ("reset", oled.reset.map_or(String::new(), panel::line)),
    ]
}

/// Reads an answer. An answer with one correction counts as corrected, and the user sees the
/// correction.
fn read_answer<T>(
    answer: &str,
    console: &Console,
    read: impl Fn(&str) -> Result<T, Mistake>,
) -> Result<T, String> {
    let reason = |mistake: Mistake| mistake.reason().to_owned();
    read(answer).or_else(|mistake| match mistake.meant() {
        Some(meant) => {
            let value = read(meant).map_err(reason)?;
            console.say(&format!("  {answer} is taken as {meant}"));
            Ok(value)
        }
        None => Err(reason(mistake)),
    })
}

async fn ask_token(
    given: Option<String>,
    file: &Path,
    connector: &Connector,
    source: &FeedSource,
    console: &Console,
) -> Result<Secret, String> {
    let present = read_secret(file, "token").ok();
    let text = match present {
        Some(_) => "The token of the hub (it is not shown; Enter: the present one)",
        None => "The token of the hub (it is not shown)",
    };
    let question = Question::hidden(text, "--token-file");
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
    let default = present.as_deref().unwrap_or("SPX, VIX");
    let question = Question::new("The symbols, separated by commas", default, "--watchlist");
    let mut refused_before = String::new();
    let check = async |answer: &str| {
        // A space between symbols with commas is a part of a name, as in "AAPL US, SPX".
        let separators: &[char] = match answer.contains([',', ';']) {
            true => &[',', ';'],
            false => &[' '],
        };
        let names = answer.split(separators);
        let names = names.map(|name| name.trim_matches(['"', '\'', '[', ']', ' ']));
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
            .map_err(|errors| errors.reasons("watchlist"))?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    #[test]
    fn a_panel_that_moves_from_spi_to_i2c_loses_its_dc_line_and_two_colours_stay_on_128x64() {
        let spi = "[panel]\nbus = \"/dev/spidev0.0\"\ndc = 24\n";
        let i2c = PanelConfig::of(Board::for_model(""));
        let mut old = i2c.clone();
        old.oled.bus = PathBuf::from("/dev/spidev0.0");
        old.oled.dc = "24".parse().ok();
        let text = with_panel(spi, &old, &i2c, Some(Colours::YellowBlue));
        let expected = "[panel]\ncolours = \"yellow-blue\"\nbus = \"/dev/i2c-1\"\n#dc = 24\n";
        assert_eq!(text, expected);
        assert_eq!(with_panel(&text, &i2c, &i2c, None), text);
        let mut low = i2c.clone();
        low.oled.size = Size::Short;
        let text = with_panel(&text, &i2c, &low, None);
        assert!(text.contains("\n#colours = "), "{text}");
        assert!(text.contains("size = \"128x32\"\n"), "{text}");
    }
}
