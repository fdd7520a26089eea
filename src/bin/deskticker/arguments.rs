//! Parses the command line of `deskticker`. Runs no command.

use std::path::PathBuf;

use deskticker::board::{self, Board};
use deskticker::command_line::{self, Commands};
use deskticker::config::{DEFAULT_PATH, PanelConfig, PanelKind, bus_path, wiring_conflict};
use deskticker::display::Rotation;
use deskticker::market::{Symbol, Watchlist};
use deskticker::render::{Colours, Size};
use deskticker::setup::DisplayOptions;

const HELP: &str = "\
deskticker: market prices on a small screen, fresh or visibly not fresh

Usage: deskticker [COMMAND] [OPTIONS]

Commands:
  demo      show simulated prices; needs no hub, no key and no hardware
  run       show the prices of the hub in the configuration (the default command)
  setup     set up this machine as a display: ask for the panel, the hub, its token and the symbols,
            show a test picture, write the configuration, start the service, and run the doctor
  check     check a configuration, and print all errors, each with its line and its correction
  snapshot  write the current screen to a picture file, then end
  boards    print the supported boards, and the settings for I2C, SPI, buttons and a knob
  say       show a word on an oled instead of prices, then end; the word stays on the panel, so no
            other deskticker may run at the same time
  doctor    check the board, the panel, the network and the hub, and print a remedy for each failure
  help [COMMAND]
            print this help, or the help of this command

Options for demo:
      --panel KIND     terminal (default), png, screen for an HDMI screen, or oled for
                       a display on the I2C bus
      --seconds N      end after N seconds (default: run until Ctrl-C)
      --watchlist LIST the symbols, separated by commas (default: SPX, VIX, SPY, QQQ, a contract)
      --speed X        let prices move X times as fast (default: 1, SPX then moves once a second)
      --size SIZE      128x64 (default), 128x32 or 128x128
      --colours NAME   yellow-blue for a panel of 128x64 whose top quarter is yellow (default: one)
      --chip CHIP      the chip of an oled: ssd1306 (default), ssd1315, ssd1309, sh1106, or sh1107
                       (128x128)
      --bus PATH       the bus of an oled: I2C (default: the bus of the board, usually /dev/i2c-1),
                       or SPI, /dev/spidev0.0
      --address N      the I2C address of an oled (default: 0x3c)
      --dc N           the GPIO at the DC pin of an oled on SPI
      --reset N        the GPIO at the RES pin of an oled, if this pin is connected to a GPIO
      --output FILE    the file of a png (default: deskticker.png)

Options for run:
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml)
      --last-good FILE the file for a copy of the last good configuration; after a start with a
                       wrong configuration, the ticker uses this copy, or shows the error if there
                       is no copy

Options for setup (a value that is not given is asked for at the terminal):
      --hub URL        the address of the hub, ws://HOST:3000 or wss://HOST
      --token-file FILE
                       the file with the token of the hub; - reads it from the standard input
      --ca-file FILE   the certificate that identifies the hub, if no public authority has signed it
      --watchlist LIST the symbols, separated by commas
      --panel KIND     oled, screen, png or terminal; for an oled also --chip, --size, --colours,
                       --bus, --address, --dc and --reset as for demo, and --rotation 0 or 180;
                       for a png --output
      --config FILE    the configuration to write (default: /etc/deskticker/deskticker.toml); with
                       another file, the set-up writes the token beside this file, and leaves the
                       service as it is
      --yes            ask nothing: the present values or the defaults apply, without a test picture
      --dry-run        only print the changes

Options for check:
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml)

Options for snapshot:
      --output FILE    the picture file (required)
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml)
      --demo           show simulated prices instead of the prices of the hub
      --seconds N      the longest wait for the prices, in seconds (default: 10)

Options for say WORD [MEANING]:
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml); only its panel
                       settings must be valid, and otherwise the panel settings of the board apply
      --after-stop     for ExecStopPost of a systemd unit: show the word on an oled or in a png, but
                       not if the ticker has ended normally; give up after 2 s
      --last-good FILE with --after-stop: the copy of the last good configuration, whose panel is
                       used if the configuration is wrong

Options for doctor:
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml)
      --json           print an array of {check, state, found, mend}
      --bundle FILE    also write a report without secrets; FILE must not exist

  -h, --help           print this help; behind a command, the help of this command
  -V, --version        print the version

The token of the hub comes from the file token_file of the configuration, from the systemd
credential \"token\", from MASSIVE_PROXY_TOKEN, or from /etc/deskticker/token, which only root can
read; no option accepts a token. RUST_LOG=debug logs more details. A change of the configuration
takes effect within seconds, or immediately on SIGHUP. A program ends when its terminal is closed.
Exit codes: 0 normal end, 1 failure, 64 wrong arguments, 78 wrong configuration.
";

/// The commands, with the two options that print a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    Boards,
    Run,
    Check,
    Demo,
    Snapshot,
    Say,
    Doctor,
    Setup,
}

/// The commands by name, and the options that each command accepts.
const COMMANDS: &Commands = &[
    (
        "demo",
        "panel seconds speed watchlist size colours chip bus address dc reset output",
    ),
    ("run", "config last-good"),
    (
        "setup",
        "config hub token-file ca-file watchlist panel chip size colours bus address dc reset rotation \
         output yes dry-run",
    ),
    ("check", "config"),
    ("snapshot", "output config demo seconds"),
    ("boards", ""),
    ("say", "config after-stop last-good"),
    ("doctor", "config json bundle"),
    ("help", ""),
];

/// Returns the command with this name.
fn command(name: &str) -> Result<Command, String> {
    Ok(match name {
        "demo" => Command::Demo,
        "run" => Command::Run,
        "setup" => Command::Setup,
        "check" => Command::Check,
        "snapshot" => Command::Snapshot,
        "boards" => Command::Boards,
        "say" => Command::Say,
        "doctor" => Command::Doctor,
        "help" => Command::Help,
        _ => return Err(command_line::unknown_command(name, COMMANDS)),
    })
}

/// Returns the help of a command, or the whole help.
///
/// # Errors
/// The program has no such command.
pub(super) fn help(command: Option<&str>) -> Result<String, String> {
    match command {
        None => Ok(HELP.to_owned()),
        Some(command) => command_line::help_of(HELP, "deskticker", command, COMMANDS),
    }
}

/// The parsed command line: a command, and the values of all options.
pub(super) struct Options {
    pub(super) command: Command,
    pub(super) config: PathBuf,
    pub(super) last_good: Option<PathBuf>,
    /// The panel of a demo. Its picture file is also the output of a snapshot.
    pub(super) panel: PanelConfig,
    /// The colours of the panel of a demo or a set-up, if they are given.
    pub(super) colours: Option<Colours>,
    pub(super) seconds: Option<f64>,
    pub(super) speed: f64,
    /// The symbols of a demo; an empty list selects the usual symbols.
    pub(super) watchlist: Vec<Symbol>,
    pub(super) demo: bool,
    pub(super) json: bool,
    pub(super) bundle: Option<PathBuf>,
    pub(super) after_stop: bool,
    /// The options of the command setup, without the panel.
    pub(super) setup: Setup,
    /// The names of the options on the command line.
    pub(super) given: Vec<String>,
    /// The title and the text of the command say, or the command whose help is requested.
    pub(super) words: Vec<String>,
}

/// The options of the command setup that no other command has.
#[derive(Default)]
pub(super) struct Setup {
    hub: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    watchlist: Option<String>,
    yes: bool,
    dry_run: bool,
}

impl Options {
    /// Returns the options of the command setup.
    pub(super) fn into_setup(self) -> DisplayOptions {
        DisplayOptions {
            config: self.config,
            hub: self.setup.hub,
            token_file: self.setup.token_file,
            ca_file: self.setup.ca_file,
            watchlist: self.setup.watchlist,
            panel: self.panel,
            colours: self.colours,
            given: self.given,
            ask: !self.setup.yes,
            dry_run: self.setup.dry_run,
        }
    }
}

/// Parses the arguments of the process. Returns an error for an unknown command or option.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut options = Options {
        command: Command::Run,
        config: DEFAULT_PATH.into(),
        last_good: None,
        panel: PanelConfig {
            kind: PanelKind::Terminal,
            ..PanelConfig::of(Board::for_machine(&board::MODEL))
        },
        colours: None,
        seconds: None,
        speed: 1.0,
        watchlist: Vec::new(),
        demo: false,
        json: false,
        bundle: None,
        after_stop: false,
        setup: Setup::default(),
        given: Vec::new(),
        words: Vec::new(),
    };
    let mut name: Option<String> = None;
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        let (oled, setup) = (&mut options.panel.oled, &mut options.setup);
        match argument {
            Short('h') | Long("help") => {
                options.command = Command::Help;
                options.words = name.into_iter().collect();
                return Ok(options);
            }
            Short('V') | Long("version") => {
                options.command = Command::Version;
                return Ok(options);
            }
            Long("config") => options.config = parser.value()?.into(),
            Long("last-good") => options.last_good = Some(parser.value()?.into()),
            Long("panel") => {
                options.panel.kind = command_line::value(&mut parser, "panel")?;
                let screen = options.panel.kind == PanelKind::Screen;
                options.panel.screen = screen.then(Default::default);
            }
            Long("seconds") => options.seconds = Some(positive(&mut parser, "seconds")?),
            Long("speed") => options.speed = positive(&mut parser, "speed")?,
            Long("watchlist") => {
                setup.watchlist = Some(command_line::text(&mut parser, "watchlist")?);
            }
            Long("size") => oled.size = command_line::value(&mut parser, "size")?,
            Long("colours") => {
                options.colours = Some(command_line::value(&mut parser, "colours")?);
            }
            Long("chip") => oled.chip = command_line::value(&mut parser, "chip")?,
            Long("bus") => {
                let text = command_line::text(&mut parser, "bus")?;
                oled.bus = bus_path(&text).map_err(|reason| format!("--bus: {reason}"))?;
            }
            Long("address") => {
                oled.address = address(&command_line::text(&mut parser, "address")?)?
            }
            Long("dc") => oled.dc = Some(command_line::value(&mut parser, "dc")?),
            Long("reset") => oled.reset = Some(command_line::value(&mut parser, "reset")?),
            Long("rotation") => {
                oled.rotation = match parser.value()?.to_str() {
                    Some("0") => Rotation::Upright,
                    Some("180") => Rotation::UpsideDown,
                    _ => return Err("--rotation: expected 0 or 180".into()),
                };
            }
            Long("hub") => setup.hub = Some(command_line::text(&mut parser, "hub")?),
            Long("token-file") => setup.token_file = Some(parser.value()?.into()),
            Long("ca-file") => setup.ca_file = Some(parser.value()?.into()),
            Long("yes") => setup.yes = true,
            Long("dry-run") => setup.dry_run = true,
            Long("output") => options.panel.file = parser.value()?.into(),
            Long("demo") => options.demo = true,
            Long("after-stop") => options.after_stop = true,
            Long("json") => options.json = true,
            Long("bundle") => options.bundle = Some(parser.value()?.into()),
            Value(word) if name.is_none() => name = Some(word.string()?),
            Value(word)
                if (name.as_deref() == Some("say") && options.words.len() < 2)
                    || (name.as_deref() == Some("help") && options.words.is_empty()) =>
            {
                options.words.push(word.string()?);
            }
            Long(option) => return Err(command_line::unknown_option(option, COMMANDS)),
            other => return Err(other.unexpected()),
        }
    }
    let name = name.as_deref().unwrap_or("run");
    let command = command(name)?;
    if let Some(error) = command_line::stray_option(name, &given, COMMANDS) {
        return Err(error);
    }
    options.given = given;
    options.command = command;
    if let (Command::Demo, Some(list)) = (command, &options.setup.watchlist) {
        options.watchlist = symbols(list)?;
    }
    let gave = |option: &str| options.given.iter().any(|name| name == option);
    // The set-up also has the settings of the present configuration, and checks all of them.
    if command == Command::Demo
        && let Some(conflict) = wiring_conflict(&options.panel.oled)
    {
        return Err(conflict.into());
    }
    let oled = &mut options.panel.oled;
    if !gave("size") {
        oled.size = oled.chip.size_near(oled.size);
    }
    let is_oled = command == Command::Demo && options.panel.kind == PanelKind::Oled;
    if is_oled && !oled.chip.has(oled.size) {
        return Err("--size: the chip sh1107 has 128x128, and no other chip has this size".into());
    }
    let two = options.colours == Some(Colours::YellowBlue);
    if command == Command::Demo && two && oled.size != Size::Tall {
        return Err("--colours: only a panel of 128x64 has two colours".into());
    }
    match command {
        Command::Snapshot if !gave("output") => {
            Err("the command snapshot needs --output FILE".into())
        }
        Command::Snapshot if options.demo && gave("config") => {
            Err("--demo and --config cannot be used together".into())
        }
        Command::Say if options.words.is_empty() => Err("the command say needs a word".into()),
        Command::Say if gave("last-good") && !options.after_stop => {
            Err("the command say accepts --last-good only together with --after-stop".into())
        }
        _ => Ok(options),
    }
}

/// Parses the symbols of a demo.
fn symbols(list: &str) -> Result<Vec<Symbol>, lexopt::Error> {
    let names = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let symbols: Result<Vec<Symbol>, _> = names.map(str::parse).collect();
    let symbols = symbols.map_err(|error| format!("--watchlist: {error}"))?;
    match Watchlist::new(&symbols) {
        Ok(_) => Ok(symbols),
        Err(error) => Err(format!("--watchlist: {error}").into()),
    }
}

fn positive(parser: &mut lexopt::Parser, option: &str) -> Result<f64, lexopt::Error> {
    let text = command_line::text(parser, option)?;
    let number = text.parse().ok();
    // The limit is one year: no user needs a longer time, and a `Duration` can contain this value.
    number
        .filter(|number| *number > 0.0 && *number <= 31_536_000.0)
        .ok_or_else(|| {
            format!("--{option} {text:?}: expected a number above 0, at most 31536000").into()
        })
}

fn address(text: &str) -> Result<u8, lexopt::Error> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    // These two numbers are printed on many modules, with the eighth bit of the bus.
    let number = number.map(|number| match number {
        0x78 => 0x3c,
        0x7a => 0x3d,
        number => number,
    });
    number
        .ok()
        .filter(|address| (0x08..=0x77).contains(address))
        .ok_or_else(|| {
            format!("--address {text}: expected a 7-bit address, usually 0x3c or 0x3d").into()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_help_of_each_command_has_exactly_the_options_of_the_command() {
        for (name, allowed) in COMMANDS {
            let text = help(Some(name)).unwrap();
            let starts = text.split("--").skip(1);
            let options =
                starts.map(|rest| rest.split(|c: char| c != '-' && !c.is_ascii_lowercase()));
            let options: BTreeSet<_> = options.filter_map(|mut parts| parts.next()).collect();
            let all = allowed.split_whitespace().chain(["help", "version"]);
            assert_eq!(options, all.collect(), "{name}");
        }
        assert!(COMMANDS.iter().all(|(name, _)| command(name).is_ok()));
    }
}
