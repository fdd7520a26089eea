//! The set-up by phone, on the card image. If the Pi has no network for two minutes, it opens a
//! Wi-Fi network of its own. The display shows the name and the code of this network, and a QR
//! code. On a page in this network, the user enters the Wi-Fi, the hub and the token. Then the Pi
//! closes its network and connects to the Wi-Fi.
//!
//! iwd is the access point, and systemd-networkd gives the phone its address. A script of the image
//! starts them and stores the answers, with the same checks as for the files of the card. This
//! module owns the decision, the page and the notice for the display, and never reads a stored
//! secret. Only the program `deskticker-phone` uses this module.

pub mod decision;
pub mod notice;
pub mod page;
mod server;

use std::fs::DirBuilder;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};

use crate::files::replace_file;
use crate::time::{Clock, Moment};
use decision::{Access, Decision, Step};

/// The interval between two checks of the network access.
const INTERVAL: Duration = Duration::from_secs(2);
/// The time for the phone to receive the last page before the network closes.
const FAREWELL: Duration = Duration::from_secs(3);

/// The files, the addresses and the commands of the set-up by phone.
pub struct PhoneSetup {
    /// The command that opens and closes the network and stores the answers: `phone open NAME
    /// CODE`, `phone close`, `phone store FOLDER`.
    pub tool: PathBuf,
    /// A folder in memory for the answers on their way to the command.
    pub folder: PathBuf,
    /// The configuration of the display.
    pub config: PathBuf,
    /// The file with the notice for the display.
    pub notice: PathBuf,
    /// The error of the import from the card, which is often the reason for the missing network.
    pub fault: PathBuf,
    /// The file with the address of the radio, from which the name of the network is made.
    pub radio: PathBuf,
    /// The address of the page.
    pub page: SocketAddr,
    /// The address of the name server, which answers each name with the address of the page. A
    /// phone then opens the page by itself.
    pub names: SocketAddr,
    /// Returns the current network access.
    pub access: Box<dyn Fn() -> Access + Send>,
    /// The clock.
    pub clock: Clock,
}

/// An event of the page.
enum PageEvent {
    /// A phone has requested the page.
    Visited,
    /// The answers of a phone are stored.
    Stored,
}

/// An open network. The drop of this value ends the page and the name server.
struct OpenNetwork {
    events: mpsc::Receiver<PageEvent>,
    _end: watch::Sender<()>,
}

impl PhoneSetup {
    /// Runs until a value arrives in `stop`.
    ///
    /// # Errors
    /// The machine has no command for a network, or the folder for the answers cannot be created.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), String> {
        if !self.tool.exists() {
            return Err(format!(
                "there is no {}: the set-up by phone works only on the card image",
                self.tool.display()
            ));
        }
        let failed = |error: io::Error| format!("{}: {error}", self.folder.display());
        let mut folder = DirBuilder::new();
        let folder = folder.recursive(true).mode(0o700).create(&self.folder);
        folder.map_err(failed)?;
        // The code stays the same until the next start, because a phone remembers it.
        let code = code()?;
        let mut decision = Decision::new(self.now());
        let mut network: Option<OpenNetwork> = None;
        loop {
            let due = self.now() + INTERVAL;
            let event = tokio::select! {
                _ = stop.recv() => break,
                () = self.clock.sleep_until(due) => None,
                Some(event) = next(&mut network) => Some(event),
            };
            let step = match event {
                None => decision.observe(self.now(), (self.access)()),
                Some(PageEvent::Visited) => {
                    decision.visited(self.now());
                    None
                }
                Some(PageEvent::Stored) => {
                    self.clock.sleep_until(self.now() + FAREWELL).await;
                    decision.submitted(self.now())
                }
            };
            match step {
                None => {}
                Some(Step::Open { failed }) => match self.open(&code, failed).await {
                    Ok(open) => network = Some(open),
                    Err(error) => {
                        log::warn!("cannot open a network for the set-up by phone: {error}");
                        decision.not_opened(self.now());
                    }
                },
                Some(Step::Close) => {
                    network = None;
                    self.close().await;
                }
            }
        }
        if network.take().is_some() {
            self.close().await;
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        self.clock.now().monotonic
    }

    async fn open(&self, code: &str, failed: bool) -> Result<OpenNetwork, String> {
        let problem = match failed {
            true => Some(
                "The ticker could not connect to this Wi-Fi. Check its name and its password."
                    .to_owned(),
            ),
            false => std::fs::read_to_string(&self.fault).ok(),
        };
        let address = std::fs::read_to_string(&self.radio);
        let address = address.map_err(|error| format!("{}: {error}", self.radio.display()))?;
        let id: String = address.trim().split(':').skip(4).collect();
        let name = format!("ticker-{id}");
        call(&self.tool, &["open", &name, code]).await?;
        let (events, receiver) = mpsc::channel(8);
        let (end, ended) = watch::channel(());
        let page = server::Page {
            tool: self.tool.clone(),
            folder: self.folder.clone(),
            config: self.config.clone(),
            address: self.page,
            events,
            problem: problem.filter(|problem| !problem.is_empty()),
        };
        let started = server::start(Arc::new(page), self.names, ended).await;
        let told = match started {
            Ok(()) => self.tell(&notice::text(&name, code, self.page.ip(), failed)),
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            call(&self.tool, &["close"]).await.ok();
            return Err(error.to_string());
        }
        log::info!("the network {name} for the set-up by phone is open");
        Ok(OpenNetwork {
            events: receiver,
            _end: end,
        })
    }

    async fn close(&self) {
        if let Err(error) = self.tell("") {
            log::warn!(
                "cannot clear the notice {}: {error}; the display may still show the notice",
                self.notice.display()
            );
        }
        match call(&self.tool, &["close"]).await {
            Ok(_) => log::info!("the network for the set-up by phone is closed"),
            Err(error) => {
                log::warn!("cannot close the network for the set-up by phone: {error}");
            }
        }
    }

    /// Writes the notice for the display, which runs as another user.
    fn tell(&self, notice: &str) -> io::Result<()> {
        replace_file(&self.notice, notice.as_bytes(), 0o644, false).map(drop)
    }
}

/// Returns the current network access. `own` is the address of the Pi's own network, and `stored`
/// is the folder with the stored Wi-Fi networks.
pub fn access(own: IpAddr, stored: &Path) -> Access {
    let used = |interface: &if_addrs::Interface| {
        !interface.is_loopback() && !interface.is_link_local() && interface.ip() != own
    };
    let mut networks = std::fs::read_dir(stored).into_iter().flatten().flatten();
    Access {
        connected: if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(used)),
        stored: networks.any(|entry| entry.path().extension().is_some_and(|kind| kind == "psk")),
    }
}

/// The next event of the page. Without an open network, no event comes.
async fn next(network: &mut Option<OpenNetwork>) -> Option<PageEvent> {
    match network {
        Some(network) => network.events.recv().await,
        None => std::future::pending().await,
    }
}

/// Returns a random code of eight digits, which is the password of the network. Digits are easy to
/// type on a phone.
fn code() -> Result<String, String> {
    let mut bytes = [0; 8];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_| "the operating system provides no random numbers".to_owned())?;
    Ok(format!("{:08}", u64::from_le_bytes(bytes) % 100_000_000))
}

/// Runs the command. Returns its output as the error if the command fails.
async fn call(tool: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || command.output()).await;
    let done = done.map_err(|error| error.to_string())?;
    let done = done.map_err(|error| format!("{}: {error}", tool.display()))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&done.stdout);
            let line = text.lines().next().unwrap_or_default().trim();
            let text = String::from_utf8_lossy(&done.stderr);
            let line = if line.is_empty() { text.trim() } else { line };
            Err(line.to_owned())
        }
    }
}
