//! Parses the command line of `deskticker`. Runs no command.

use std::path::PathBuf;

use deskticker::board::{self, Board};
use deskticker::config::{DEFAULT_PATH, PanelConfig, PanelKind};
use deskticker::market::{Symbol, Watchlist};

pub(super) const HELP: &str = "\
deskticker: market prices on a small screen, fresh or visibly not fresh

Usage: deskticker [COMMAND] [OPTIONS]

Commands:
  demo      show simulated prices; needs no hub, no key and no hardware
  run       show the prices of the hub in the configuration (the default command)
  check     check a configuration, and print the file, the line and the reason of an error
  snapshot  write the current screen to a picture file, then end
  boards    print the supported boards and the settings that enable their I2C bus
  say       show a word on the panel instead of prices, then end; the word stays on the panel, so
            no other deskticker may run at the same time
  doctor    check the board, the panel, the network and the hub, and print a remedy for each failure

Options for demo:
      --panel KIND     terminal (default), png, or oled for a display on the I2C bus
      --seconds N      end after N seconds (default: run until Ctrl-C)
      --watchlist LIST the symbols, separated by commas (default: SPX, VIX, SPY, QQQ, a contract)
      --speed X        let prices move X times as fast (default: 1, SPX then moves once a second)
      --size SIZE      128x64 (default) or 128x32
      --chip CHIP      the chip of an oled: ssd1306 (default), ssd1315, ssd1309, sh1106
      --bus PATH       the I2C bus of an oled (default: the bus of the board, usually /dev/i2c-1)
      --address N      the I2C address of an oled (default: 0x3c)
      --output FILE    the file of a png (default: deskticker.png)

Options for run:
      --config FILE    the configuration (default: /etc/deskticker/deskticker.toml)
      --last-good FILE the file for a copy of the last good configuration; after a start with a
                       wrong configuration, the ticker uses this copy, or shows the error if there
                       is no copy

Options for check:
      --config FILE    the configuration, as for run

Options for snapshot:
      --output FILE    the picture file (required)
      --config FILE    the configuration, as for run
      --demo           show simulated prices instead of the prices of the hub
      --seconds N      the longest wait for the prices, in seconds (default: 10)

Options for say WORD [MEANING]:
      --config FILE    the configuration, as for run; only its panel settings must be valid, and
                       otherwise the panel settings of the board apply
      --after-stop     for ExecStopPost of a systemd unit: show the word on an oled or in a png, but
                       not if the ticker has ended normally; give up after 2 s
      --last-good FILE with --after-stop: the copy of the last good configuration, whose panel is
                       used if the configuration is wrong

Options for doctor:
      --config FILE    the configuration, as for run
      --json           print an array of {check, state, found, mend}
      --bundle FILE    also write a report without secrets; FILE must not exist

  -h, --help           print this help
  -V, --version        print the version

The token of the hub comes from the file token_file of the configuration, from the systemd
credential \"token\", from MASSIVE_PROXY_TOKEN, or from /etc/deskticker/token, which only root can
read; no option accepts a token. RUST_LOG=debug logs more details. A change of the configuration
takes effect within seconds, or immediately on SIGHUP.
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
}

/// The commands by name, and the options that each command accepts.
const COMMANDS: [(&str, Command, &str); 7] = [
    ("run", Command::Run, "config last-good"),
    ("check", Command::Check, "config"),
    ("say", Command::Say, "config after-stop last-good"),
    (
        "demo",
        Command::Demo,
        "panel seconds speed watchlist size chip bus address output",
    ),
    ("boards", Command::Boards, ""),
    ("snapshot", Command::Snapshot, "output config demo seconds"),
    ("doctor", Command::Doctor, "config json bundle"),
];

/// The parsed command line: a command, and the values of all options.
pub(super) struct Options {
    pub(super) command: Command,
    pub(super) config: PathBuf,
    pub(super) last_good: Option<PathBuf>,
    /// The panel of a demo. Its picture file is also the output of a snapshot.
    pub(super) panel: PanelConfig,
    pub(super) seconds: Option<f64>,
    pub(super) speed: f64,
    /// The symbols of a demo; empty for the usual ones.
    pub(super) watchlist: Vec<Symbol>,
    pub(super) demo: bool,
    pub(super) json: bool,
    pub(super) bundle: Option<PathBuf>,
    pub(super) after_stop: bool,
    /// The word to say and its meaning, if given.
    pub(super) words: Vec<String>,
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
        seconds: None,
        speed: 1.0,
        watchlist: Vec::new(),
        demo: false,
        json: false,
        bundle: None,
        after_stop: false,
        words: Vec::new(),
    };
    let mut command: Option<String> = None;
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        let oled = &mut options.panel.oled;
        match argument {
            Short('h') | Long("help") => {
                options.command = Command::Help;
                return Ok(options);
            }
            Short('V') | Long("version") => {
                options.command = Command::Version;
                return Ok(options);
            }
            Long("config") => options.config = parser.value()?.into(),
            Long("last-good") => options.last_good = Some(parser.value()?.into()),
            Long("panel") => options.panel.kind = parser.value()?.parse()?,
            Long("seconds") => {
                options.seconds = Some(positive(parser.value()?.parse()?, "--seconds")?);
            }
            Long("speed") => options.speed = positive(parser.value()?.parse()?, "--speed")?,
            Long("watchlist") => options.watchlist = symbols(&parser.value()?.string()?)?,
            Long("size") => oled.size = parser.value()?.parse()?,
            Long("chip") => oled.chip = parser.value()?.parse()?,
            Long("bus") => oled.bus = parser.value()?.into(),
            Long("address") => oled.address = address(&parser.value()?.string()?)?,
            Long("output") => options.panel.file = parser.value()?.into(),
            Long("demo") => options.demo = true,
            Long("after-stop") => options.after_stop = true,
            Long("json") => options.json = true,
            Long("bundle") => options.bundle = Some(parser.value()?.into()),
            Value(word) if command.is_none() => command = Some(word.string()?),
            Value(word) if command.as_deref() == Some("say") && options.words.len() < 2 => {
                options.words.push(word.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let name = command.as_deref().unwrap_or("run");
    let Some((_, command, allowed)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        return Err(format!(
            "unknown command {name:?}; expected demo, run, check, snapshot, boards, say or doctor"
        )
        .into());
    };
    let allows = |option: &str| allowed.split(' ').any(|name| name == option);
    if let Some(stray) = given.iter().find(|option| !allows(option)) {
        return Err(format!("the command {name} has no option --{stray}").into());
    }
    let gave = |option: &str| given.iter().any(|name| name == option);
    options.command = *command;
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

fn positive(number: f64, option: &str) -> Result<f64, lexopt::Error> {
    // The limit is one year: no user needs a longer time, and a `Duration` can contain this value.
    if number > 0.0 && number <= 31_536_000.0 {
        Ok(number)
    } else {
        Err(format!("{option}: expected a number above 0, at most 31536000").into())
    }
}

fn address(text: &str) -> Result<u8, lexopt::Error> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|address| (0x08..=0x77).contains(address))
        .ok_or_else(|| {
            format!("--address {text}: expected a 7-bit address, usually 0x3c or 0x3d").into()
        })
}
