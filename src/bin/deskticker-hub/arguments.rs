//! Parses the command line of `deskticker-hub`. Runs no command.

use std::net::SocketAddr;
use std::path::PathBuf;

use deskticker::hub::config;

const HELP: &str = "\
deskticker-hub: one connection to Massive for any number of displays

It holds the vendor's key and the only connection; each display gets a token of its own.

Usage: deskticker-hub [COMMAND] [OPTIONS]

Commands:
  run                 serve (the default)
  token add NAME      give a new display a token; it is shown once, the hub keeps only its hash
  token list          the names of the displays that have one
  token revoke NAME   take it away; the display is disconnected within seconds

Options for run:
      --config FILE   configuration (default: /etc/deskticker/hub.toml, which need not exist)
      --listen ADDR   where to listen (default: 0.0.0.0:3000)
      --simulate      serve simulated prices; needs no key, no plan and no configuration

Options for token:
      --file FILE     the file of devices (default: the one in the configuration, or
                      /var/lib/deskticker-hub/devices)
      --config FILE   as for run

  -h, --help          print this
  -V, --version       print the version

To try it without anything:   deskticker-hub --simulate
For a start without a file:   MASSIVE_API_KEY and MASSIVE_PROXY_TOKEN in the environment.

The vendor's key comes from key_file in the configuration, from a systemd credential named \"key\",
or from MASSIVE_API_KEY; never from an option. RUST_LOG=debug says more. On SIGHUP the tokens, the
certificate and the limits are read again. On SIGUSR1 a simulated vendor is lost once. Exit codes:
0 ended as asked, 1 failed, 64 bad arguments, 78 bad configuration.
";

/// The parsed command with its arguments.
pub(super) enum Command {
    Print(String),
    Run {
        config: Option<PathBuf>,
        listen: Option<SocketAddr>,
    },
    Simulate {
        listen: Option<SocketAddr>,
    },
    Token {
        change: TokenCommand,
        file: Option<PathBuf>,
        config: Option<PathBuf>,
    },
}

/// An operation on the tokens in the device registry.
pub(super) enum TokenCommand {
    Add(String),
    List,
    Revoke(String),
}

/// Parses the arguments of the process. Returns an error for an unknown command or option.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let (mut config, mut listen, mut file, mut simulate) = (None, None, None, false);
    let mut words: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "deskticker-hub {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("listen") => {
                let text = parser.value()?.string()?;
                let address = config::parse_listen(&text);
                listen = Some(address.map_err(|reason| format!("--listen {reason}"))?);
            }
            Long("file") => file = Some(PathBuf::from(parser.value()?)),
            Long("simulate") => simulate = true,
            Value(word) if words.len() < 3 => words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let change = match words[..] {
        [] | ["run"] => None,
        ["token", "add", name] => Some(TokenCommand::Add(name.to_owned())),
        ["token", "list"] => Some(TokenCommand::List),
        ["token", "revoke", name] => Some(TokenCommand::Revoke(name.to_owned())),
        ["token", ..] => {
            return Err("expected token add NAME, token list or token revoke NAME".into());
        }
        [other, ..] => {
            return Err(format!("there is no command {other:?}, only run and token").into());
        }
    };
    let stray = |given: bool, what: &str| match given {
        true => Err(lexopt::Error::from(format!("{what} means nothing here"))),
        false => Ok(()),
    };
    match change {
        Some(change) => {
            stray(listen.is_some(), "--listen")?;
            stray(simulate, "--simulate")?;
            Ok(Command::Token {
                change,
                file,
                config,
            })
        }
        None => {
            stray(file.is_some(), "--file")?;
            if !simulate {
                return Ok(Command::Run { config, listen });
            }
            stray(config.is_some(), "--config")?;
            Ok(Command::Simulate { listen })
        }
    }
}
