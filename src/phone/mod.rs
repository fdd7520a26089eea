//! The set-up by phone, on the card image. Without a network for two minutes, the Pi opens a Wi-Fi
//! network of its own. The display shows its name and its code. A page in this network takes the
//! Wi-Fi, the address of the hub and the token. Then the Pi closes its network and connects.
//!
//! iwd is the access point and gives the phone its address. A script of the image starts it and stores
//! the answers, with the same checks as for the files of the card. This module owns the decision, the
//! page and the words for the display, and never reads a stored secret.

pub mod decision;
pub mod page;
mod server;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
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
    /// The command that opens and closes the network and stores the answers: `phone open NAME CODE`,
    /// `phone close`, `phone store FOLDER`.
    pub tool: PathBuf,
    /// A folder in memory for the answers on their way to the command.
    pub folder: PathBuf,
    /// The configuration of the display.
    pub config: PathBuf,
    /// The file with the words for the display.
    pub words: PathBuf,
    /// The name of the network.
    pub name: String,
    /// The address of the page.
    pub page: SocketAddr,
    /// The address of the name server, which answers each name with the address of the page. A phone
    /// then opens the page by itself.
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
    /// The machine has no command to open a network, or the folder for the answers cannot be created.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), String> {
        if !self.tool.exists() {
            return Err(format!(
                "there is no {}: the set-up by phone works only on the card image",
                self.tool.display()
            ));
        }
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", self.folder.display());
        std::fs::create_dir_all(&self.folder).map_err(|error| failed(&error))?;
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
                Some(Step::Open { failed }) => match self.open(failed).await {
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

    async fn open(&self, failed: bool) -> Result<OpenNetwork, String> {
        // The import's error is often the reason for the missing network. The page repeats the error,
        // because the words for the display replace it.
        let problem = match failed {
            true => Some(
                "The ticker could not connect to this Wi-Fi. Check its name and its password."
                    .to_owned(),
            ),
            false => std::fs::read_to_string(&self.words).ok(),
        };
        let code = code()?;
        let name = &self.name;
        call(&self.tool, &["open", name, &code]).await?;
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
        if let Err(error) = started {
            call(&self.tool, &["close"]).await.ok();
            return Err(error.to_string());
        }
        // On a high panel, the text has eight lines of twelve characters beside the QR code.
        let ip = self.page.ip();
        let words = match failed {
            true => format!("no connection. Again: Wi-Fi {name}, code {code}, {ip}"),
            false => format!("join the Wi-Fi {name} with the code {code}, then open {ip}"),
        };
        let words = format!("phone: {words} qr: WIFI:T:WPA;S:{name};P:{code};;");
        log::info!("the network {name} for the set-up by phone is open");
        self.say(&words);
        Ok(OpenNetwork {
            events: receiver,
            _end: end,
        })
    }

    async fn close(&self) {
        self.say("");
        log::info!(
            "the network {} for the set-up by phone is closed",
            self.name
        );
        if let Err(error) = call(&self.tool, &["close"]).await {
            log::warn!("cannot close the network for the set-up by phone: {error}");
        }
    }

    /// Writes the words for the display.
    fn say(&self, words: &str) {
        if let Err(error) = replace_file(&self.words, words.as_bytes(), 0o644, false) {
            log::warn!("{}: {error}", self.words.display());
        }
    }
}

/// Returns the current network access. `own` is the address of the Pi's own network, and `stored` is
/// the folder with the stored Wi-Fi networks.
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

/// Returns a random code of eight digits. It is also the password of the network, so it is easy to
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
