//! Parses the command line of `deskticker-hub`. Runs no command.

use std::net::SocketAddr;
use std::path::PathBuf;

use deskticker::hub::config;

const HELP: &str = "\
deskticker-hub: one connection to Massive for any number of displays

The hub holds the vendor's key and the only connection to the vendor. Each display has its own
token.

Usage: deskticker-hub [COMMAND] [OPTIONS]

Commands:
  run                 run the hub (the default command)
  token add NAME      create a token for a new display; the token is printed only once, because the
                      hub stores only its hash
  token list          print the names of the displays that have a token
  token revoke NAME   revoke the token of a display; a running hub disconnects this display within
                      seconds
  certificate NAME…   create a certificate for these host names and addresses of the hub, and its
                      private key; print the lines for the hub and for the displays

Options for run:
      --config FILE   the configuration (default: /etc/deskticker/hub.toml; without this file,
                      the defaults apply)
      --listen ADDR   the address and port for clients (default: 0.0.0.0:3000)
      --simulate      send simulated prices; needs no key, no plan and no configuration

Options for token:
      --file FILE     the device registry (default: the file in the configuration, or
                      /var/lib/deskticker-hub/devices)
      --config FILE   the configuration, as for run

Options for certificate:
      --folder DIR    the folder for hub.pem and hub.key (default: /var/lib/deskticker-hub); a file
                      that exists is never replaced
      --config FILE   the configuration, as for run; only its port is used

  -h, --help          print this help
  -V, --version       print the version

To try the hub without a key and without files:  deskticker-hub --simulate
To run the hub without files: set MASSIVE_API_KEY and MASSIVE_PROXY_TOKEN in the environment.

The vendor's key comes from the file key_file of the configuration, from the systemd credential
\"key\", or from MASSIVE_API_KEY; no option accepts a key. RUST_LOG=debug logs more details. On
SIGHUP the hub reads the tokens, the certificate and the limits again. On SIGUSR1 a hub with --simulate
breaks the connection to the simulated vendor once. Exit codes: 0 normal end, 1 failure, 64 wrong
arguments, 78 wrong configuration.
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
    Certificate {
        names: Vec<String>,
        folder: Option<PathBuf>,
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
    let (mut config, mut listen, mut file, mut folder) = (None, None, None, None);
    let mut simulate = false;
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
            Long("folder") => folder = Some(PathBuf::from(parser.value()?)),
            Long("simulate") => simulate = true,
            Value(word) if words.len() < 3 || words[0] == "certificate" => {
                words.push(word.string()?)
            }
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut names = None;
    let change = match words[..] {
        [] | ["run"] => None,
        ["certificate"] => {
            let expected =
                "expected host names or addresses, like certificate hub.local 192.168.1.5";
            return Err(expected.into());
        }
        ["certificate", ..] => {
            names = Some(words[1..].iter().map(|name| (*name).to_owned()).collect());
            None
        }
        ["token", "add", name] => Some(TokenCommand::Add(name.to_owned())),
        ["token", "list"] => Some(TokenCommand::List),
        ["token", "revoke", name] => Some(TokenCommand::Revoke(name.to_owned())),
        ["token", ..] => {
            return Err("expected token add NAME, token list or token revoke NAME".into());
        }
        [other, ..] => {
            return Err(
                format!("unknown command {other:?}; expected run, token or certificate").into(),
            );
        }
    };
    let is_token = change.is_some();
    let is_run = !is_token && names.is_none();
    let strays = [
        ("--listen", !is_run && listen.is_some()),
        ("--simulate", !is_run && simulate),
        ("--folder", names.is_none() && folder.is_some()),
        ("--file", !is_token && file.is_some()),
        ("--config", !is_token && simulate && config.is_some()),
    ];
    if let Some((stray, _)) = strays.iter().find(|(_, given)| *given) {
        return Err(format!("this command has no option {stray}").into());
    }
    if let Some(names) = names {
        return Ok(Command::Certificate {
            names,
            folder,
            config,
        });
    }
    Ok(match change {
        Some(change) => Command::Token {
            change,
            file,
            config,
        },
        None if simulate => Command::Simulate { listen },
        None => Command::Run { config, listen },
    })
}
