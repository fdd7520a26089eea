//! Parses the command line of `deskticker-hub`. Runs no command.

use std::net::SocketAddr;
use std::path::PathBuf;

use deskticker::command_line::{self, Commands};
use deskticker::hub::listen_address::typed_listen;
use deskticker::setup::HubOptions;

const HELP: &str = "\
deskticker-hub: one connection to Massive for any number of displays

The hub holds the vendor's key and the only connection to the vendor. Each display has its own
token.

Usage: deskticker-hub [COMMAND] [OPTIONS]

Commands:
  run                 run the hub (the default command)
  setup               set up this machine as a hub: ask for the vendor's key, the address, TLS and
                      the first display, write the files, start the service, and print the line to
                      type at the display
  check               check a configuration, and print all errors, each with its line and its
                      correction
  token add NAME      create a token for a new display; the token is printed only once, because the
                      hub stores only its hash
  token list          print the displays that have a token; if the hub runs, also their state, the
                      time and the address of their last data, and their version
  token revoke NAME   revoke the token of a display; a running hub disconnects this display within
                      seconds
  certificate NAME…   create a certificate for these host names and addresses of the hub, and its
                      private key; print the lines for the hub and for the displays
  help [COMMAND]      print this help, or the help of this command

Options for run:
      --config FILE   the configuration (default: /etc/deskticker/hub.toml; without this file,
                      the defaults apply)
      --listen ADDR   the address and port for clients (default: 0.0.0.0:3000)
      --simulate      send simulated prices; needs no key, no plan and no configuration. With
                      --config, all settings except those of [massive] and [upstream] come from
                      this file

Options for check:
      --config FILE   the configuration (default: /etc/deskticker/hub.toml)

Options for setup (a value that is not given is asked for at the terminal):
      --key-file FILE the file with the vendor's key; - reads it from the standard input
      --upstream URL  another hub in place of the vendor, for example wss://hub.example
      --upstream-token-file FILE
                      the file with the token of this hub there; - reads it from the standard input
      --simulate      simulated prices in place of the vendor's
      --listen ADDR   the address and port for clients (default: 0.0.0.0:3000)
      --tls-cert FILE, --tls-key FILE
                      the certificate and its private key, for TLS
      --name HOST     the name or address of this hub for the displays (default: hub.local)
      --device NAME   the name of the first display (default: display)
      --config FILE   the configuration to write; with another file than the default, the set-up
                      writes the key and the device registry beside it, and leaves the service as it
                      is
      --yes           ask nothing: the present values or the defaults apply
      --dry-run       only print the changes

Options for token:
      --file FILE     the device registry (default: the file in the configuration, or
                      /var/lib/deskticker-hub/devices)
      --config FILE   the configuration (default: /etc/deskticker/hub.toml)

Options for certificate:
      --folder DIR    the folder for hub.pem and hub.key (default: /var/lib/deskticker-hub); a file
                      that exists is never replaced
      --config FILE   the configuration (default: /etc/deskticker/hub.toml); only its port is used

  -h, --help          print this help; behind a command, the help of this command
  -V, --version       print the version

To try the hub without a key and without files:  deskticker-hub --simulate
To run the hub without files: set MASSIVE_API_KEY and MASSIVE_PROXY_TOKEN in the environment.

The vendor's key comes from the file key_file of the configuration, from the systemd credential
\"key\", or from MASSIVE_API_KEY; no option accepts a key. With [upstream] in the configuration, the
prices come from another hub: its token comes from token_file, from the systemd credential
\"upstream-token\", or from DESKTICKER_UPSTREAM_TOKEN. RUST_LOG=debug logs more details. On
SIGHUP the hub reads the tokens, the certificate and the limits again. On SIGUSR1 a hub with --simulate
breaks the connection to the simulated vendor once. Exit codes: 0 normal end, 1 failure, 64 wrong
arguments, 78 wrong configuration.
";

const CERTIFICATE_FORM: &str =
    "expected host names or addresses, like certificate hub.local 192.168.1.5";
const TOKEN_FORM: &str = "expected token add NAME, token list or token revoke NAME";

/// The commands by name, and the options that each command accepts.
const COMMANDS: &Commands = &[
    ("run", "config listen simulate"),
    (
        "setup",
        "config listen simulate key-file upstream upstream-token-file tls-cert tls-key name device yes \
         dry-run",
    ),
    ("check", "config"),
    ("token", "file config"),
    ("certificate", "config folder"),
    ("help", ""),
];

/// Returns the help of a command, or the whole help.
fn help(command: Option<&str>) -> Result<String, String> {
    match command {
        None => Ok(HELP.to_owned()),
        Some(command) => command_line::help_of(HELP, "deskticker-hub", command, COMMANDS),
    }
}

/// The parsed command with its arguments.
pub(super) enum Command {
    Print(String),
    Run {
        config: Option<PathBuf>,
        listen: Option<SocketAddr>,
        simulate: bool,
    },
    Check(Option<PathBuf>),
    Setup(HubOptions),
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
    let mut setup = HubOptions {
        ask: true,
        ..HubOptions::default()
    };
    let mut words: Vec<String> = Vec::new();
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        match argument {
            Short('h') | Long("help") => {
                return Ok(Command::Print(help(words.first().map(String::as_str))?));
            }
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "deskticker-hub {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("listen") => {
                let text = command_line::text(&mut parser, "listen")?;
                let address = typed_listen(&text);
                listen = Some(address.map_err(|reason| format!("--listen {reason}"))?);
            }
            Long("file") => file = Some(PathBuf::from(parser.value()?)),
            Long("folder") => folder = Some(PathBuf::from(parser.value()?)),
            Long("simulate") => simulate = true,
            Long("key-file") => setup.key_file = Some(parser.value()?.into()),
            Long("upstream") => setup.upstream = Some(command_line::text(&mut parser, "upstream")?),
            Long("upstream-token-file") => {
                setup.upstream_token_file = Some(parser.value()?.into());
            }
            Long("tls-cert") => setup.tls_cert = Some(command_line::text(&mut parser, "tls-cert")?),
            Long("tls-key") => setup.tls_key = Some(command_line::text(&mut parser, "tls-key")?),
            Long("name") => setup.name = Some(command_line::text(&mut parser, "name")?),
            Long("device") => setup.device = Some(command_line::text(&mut parser, "device")?),
            Long("yes") => setup.ask = false,
            Long("dry-run") => setup.dry_run = true,
            Value(word) if words.len() < 3 || words[0] == "certificate" => {
                words.push(word.string()?)
            }
            Long(option) => return Err(command_line::unknown_option(option, COMMANDS)),
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = words.first().copied().unwrap_or("run");
    let stray = command_line::stray_option(name, &given, COMMANDS);
    let command = match words[..] {
        [] | ["run"] => Command::Run {
            config,
            listen,
            simulate,
        },
        ["check"] => Command::Check(config),
        ["help"] => Command::Print(help(None)?),
        ["help", command] => Command::Print(help(Some(command))?),
        ["setup"] => Command::Setup(HubOptions {
            config,
            simulate,
            listen: listen.map(|address| address.to_string()),
            ..setup
        }),
        ["certificate"] => return Err(CERTIFICATE_FORM.into()),
        ["certificate", ref names @ ..] => Command::Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            folder,
            config,
        },
        ["token", action, ref name @ ..] => Command::Token {
            change: match (action, name) {
                ("add", [name]) => TokenCommand::Add((*name).to_owned()),
                ("list", []) => TokenCommand::List,
                ("revoke", [name]) => TokenCommand::Revoke((*name).to_owned()),
                _ => return Err(TOKEN_FORM.into()),
            },
            file,
            config,
        },
        ["token"] => return Err(TOKEN_FORM.into()),
        [known, ref rest @ ..] if COMMANDS.iter().any(|(name, _)| *name == known) => {
            return Err(format!("the command {known} takes no word {:?}", rest.join(" ")).into());
        }
        [other, ..] => return Err(command_line::unknown_command(other, COMMANDS).into()),
    };
    match stray {
        Some(error) => Err(error),
        None => Ok(command),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_help_of_each_command_has_exactly_the_options_of_the_command() {
        for (name, allowed) in COMMANDS {
            let text = help(Some(name)).expect("every command has a help text");
            let starts = text.split("--").skip(1);
            let options =
                starts.map(|rest| rest.split(|c: char| c != '-' && !c.is_ascii_lowercase()));
            let options: BTreeSet<_> = options.filter_map(|mut parts| parts.next()).collect();
            let all = allowed.split_whitespace().chain(["help", "version"]);
            assert_eq!(options, all.collect(), "{name}");
        }
    }
}
