//! Parses the command line of `deskticker`. Runs no command.

use std::path::PathBuf;

use deskticker::board::{self, Board};
use deskticker::config::{DEFAULT_PATH, PanelConfig, PanelKind};
use deskticker::display::Chip;
use deskticker::render::Size;
use deskticker::ticker::app::Files;

const HELP: &str = "\
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
credential \"token\", or from MASSIVE_PROXY_TOKEN; no option accepts a token. RUST_LOG=debug logs
more details. A change of the configuration takes effect within seconds, or immediately on SIGHUP.
Exit codes: 0 normal end, 1 failure, 64 wrong arguments, 78 wrong configuration.
";

/// The parsed command with its arguments.
pub(super) enum Command {
    Print(String),
    Run {
        config: PathBuf,
        last_good: Option<PathBuf>,
    },
    Check {
        config: PathBuf,
    },
    Demo {
        panel: PanelConfig,
        seconds: Option<f64>,
        speed: f64,
    },
    Snapshot {
        output: PathBuf,
        config: Option<PathBuf>,
        seconds: f64,
    },
    Say {
        config: PathBuf,
        word: String,
        meaning: String,
    },
    SayAfterwards {
        files: Files,
        words: [String; 2],
    },
    Doctor {
        config: PathBuf,
        json: bool,
        bundle: Option<PathBuf>,
    },
}

/// The values of all options. Each command accepts some of the options.
#[derive(Default)]
struct Options {
    config: Option<PathBuf>,
    last_good: Option<PathBuf>,
    panel: Option<PanelKind>,
    seconds: Option<f64>,
    speed: Option<f64>,
    size: Option<Size>,
    chip: Option<Chip>,
    bus: Option<PathBuf>,
    address: Option<u8>,
    output: Option<PathBuf>,
    demo: bool,
    json: bool,
    bundle: Option<PathBuf>,
    after_stop: bool,
    words: Vec<String>,
}

/// Parses the arguments of the process. Returns an error for an unknown command or option.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut command: Option<String> = None;
    let mut options = Options::default();
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "deskticker {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Long("config") => options.config = Some(parser.value()?.into()),
            Long("last-good") => options.last_good = Some(parser.value()?.into()),
            Long("panel") => options.panel = Some(parser.value()?.parse()?),
            Long("seconds") => {
                options.seconds = Some(positive(parser.value()?.parse()?, "--seconds")?)
            }
            Long("speed") => options.speed = Some(positive(parser.value()?.parse()?, "--speed")?),
            Long("size") => options.size = Some(parser.value()?.parse()?),
            Long("chip") => options.chip = Some(parser.value()?.parse()?),
            Long("bus") => options.bus = Some(parser.value()?.into()),
            Long("address") => options.address = Some(address(&parser.value()?.string()?)?),
            Long("output") => options.output = Some(parser.value()?.into()),
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
    let command = command.as_deref().unwrap_or("run");
    let allowed: &[&str] = match command {
        "run" => &["config", "last-good"],
        "check" => &["config"],
        "say" => &["config", "after-stop", "last-good"],
        "demo" => &[
            "panel", "seconds", "speed", "size", "chip", "bus", "address", "output",
        ],
        "boards" => &[],
        "snapshot" => &["output", "config", "demo", "seconds"],
        "doctor" => &["config", "json", "bundle"],
        other => {
            return Err(format!(
                "unknown command {other:?}; expected demo, run, check, snapshot, boards, say or \
                 doctor"
            )
            .into());
        }
    };
    if let Some(stray) = given.iter().find(|name| !allowed.contains(&name.as_str())) {
        return Err(format!("the command {command} has no option --{stray}").into());
    }
    options.command(command)
}

impl Options {
    fn command(self, command: &str) -> Result<Command, lexopt::Error> {
        match command {
            "demo" => {
                let mut panel = PanelConfig {
                    kind: self.panel.unwrap_or(PanelKind::Terminal),
                    ..PanelConfig::of(Board::for_machine(&board::MODEL))
                };
                panel.file = self.output.unwrap_or(panel.file);
                panel.oled.size = self.size.unwrap_or(panel.oled.size);
                panel.oled.chip = self.chip.unwrap_or(panel.oled.chip);
                panel.oled.bus = self.bus.unwrap_or(panel.oled.bus);
                panel.oled.address = self.address.unwrap_or(panel.oled.address);
                Ok(Command::Demo {
                    panel,
                    seconds: self.seconds,
                    speed: self.speed.unwrap_or(1.0),
                })
            }
            "snapshot" => {
                let output = self
                    .output
                    .ok_or("the command snapshot needs --output FILE")?;
                if self.demo && self.config.is_some() {
                    return Err("--demo and --config cannot be used together".into());
                }
                let config =
                    (!self.demo).then(|| self.config.unwrap_or_else(|| DEFAULT_PATH.into()));
                Ok(Command::Snapshot {
                    output,
                    config,
                    seconds: self.seconds.unwrap_or(10.0),
                })
            }
            "boards" => Ok(Command::Print(board::list(Board::for_machine(
                &board::MODEL,
            )))),
            "say" => {
                let config = self.config.unwrap_or_else(|| DEFAULT_PATH.into());
                let mut words = self.words.into_iter();
                let word = words.next().ok_or("the command say needs a word")?;
                let meaning = words.next().unwrap_or_default();
                if !self.after_stop {
                    if self.last_good.is_some() {
                        return Err("the command say accepts --last-good only together with \
                                    --after-stop"
                            .into());
                    }
                    return Ok(Command::Say {
                        config,
                        word,
                        meaning,
                    });
                }
                let files = Files {
                    config,
                    last_good: self.last_good,
                    fault: None,
                };
                let words = [word, meaning];
                Ok(Command::SayAfterwards { files, words })
            }
            "doctor" => Ok(Command::Doctor {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
                json: self.json,
                bundle: self.bundle,
            }),
            "check" => Ok(Command::Check {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
            }),
            _ => Ok(Command::Run {
                config: self.config.unwrap_or_else(|| DEFAULT_PATH.into()),
                last_good: self.last_good,
            }),
        }
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
