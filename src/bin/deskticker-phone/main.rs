//! The program `deskticker-phone`: the set-up by phone, with the files and the addresses of the
//! card image (boards/root). Contains no logic of the set-up.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use deskticker::logging::LogWriter;
use deskticker::phone::{self, PhoneSetup};
use deskticker::time::Clock;
use lexopt::Arg::{Long, Short};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

const HELP: &str = "\
deskticker-phone: the set-up by phone, on the card image. Without a network for two minutes, it opens a
Wi-Fi network, and a page in this network takes the Wi-Fi, the hub and the token.

Usage: deskticker-phone [--config FILE]

Options:
      --config FILE    the configuration of the display
                       (default: /boot/firmware/deskticker.toml)
  -h, --help           print this text
  -V, --version        print the version
";

fn main() -> ExitCode {
    let done = config(lexopt::Parser::from_env())
        .map_err(|error| (64, format!("{error}\nTry: deskticker-phone --help")))
        .and_then(|config| config.map_or(Ok(()), |config| run(config).map_err(|error| (1, error))));
    let Err((code, message)) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("deskticker-phone: {message}");
    ExitCode::from(code)
}

/// Returns the path of the configuration, or `None` if the program has only printed a text.
fn config(mut parser: lexopt::Parser) -> Result<Option<PathBuf>, lexopt::Error> {
    let mut config = PathBuf::from("/boot/firmware/deskticker.toml");
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => config = parser.value()?.into(),
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            Short('V') | Long("version") => {
                println!("deskticker-phone {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(config))
}

fn run(config: PathBuf) -> Result<(), String> {
    let log = LogWriter::to_stderr("info").map_err(|error| error.to_string())?;
    let own = IpAddr::from([10, 42, 0, 1]);
    let setup = PhoneSetup {
        tool: "/usr/lib/deskticker/phone".into(),
        folder: "/run/deskticker-phone/answers".into(),
        config,
        notice: "/run/deskticker-phone/notice".into(),
        fault: "/run/deskticker-import/fault".into(),
        radio: "/sys/class/net/wlan0/address".into(),
        page: (own, 80).into(),
        names: (own, 53).into(),
        access: Box::new(move || phone::access(own, Path::new("/kept/iwd"))),
        clock: Clock::system(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let done = runtime.block_on(async {
        let (stop, stops) = mpsc::channel(1);
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut signals = signal(kind).map_err(|error| error.to_string())?;
            let stop = stop.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() && stop.send(()).await.is_ok() {}
            });
        }
        setup.run(stops).await
    });
    log.finish(Duration::from_millis(200));
    done
}
