//! The local API of a running hub: a Unix socket from which `deskticker-hub token list` reads the
//! state of the devices. Only root and the user of the hub can read it. Never changes anything.
//!
//! The socket has an abstract name (see unix(7)), which follows from the path of the device
//! registry. Therefore the command finds the hub that uses this registry, for any address, TLS
//! certificate or user of the hub, and no file remains after the end of the hub.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::auth::authenticator::Authenticator;
use super::auth::registry::digest_of;
use super::auth::sessions::DeviceStatus;
use crate::massive::display_report::DisplayReport;
use crate::time::{Clock, Now, Utc};

/// The time limit of one exchange. Both sides are on the same machine.
const LIMIT: Duration = Duration::from_secs(5);

/// The wait before the next attempt to open the socket, if another program uses its name.
const RETRY: Duration = Duration::from_secs(60);

/// The state of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The name of the device.
    pub device: String,
    /// `connected`, `disconnected` or `not seen`, since the start of the hub.
    pub state: String,
    /// The time of the last data from the device, in milliseconds since 1970; `None` if the device
    /// was not seen or the wall clock is not set.
    pub last_seen: Option<i64>,
    /// The last address of the device.
    pub address: Option<IpAddr>,
    /// The last report of the display.
    pub report: Option<DisplayReport>,
}

impl DeviceRow {
    fn new(status: DeviceStatus, now: Now) -> Self {
        let seen = status.seen.and_then(|seen| now.utc_of(seen));
        Self {
            state: status.state().to_owned(),
            device: status.device.to_string(),
            last_seen: seen.map(|Utc(millis)| millis),
            address: status.address,
            report: status.report,
        }
    }
}

/// Returns the address of the socket for a device registry.
fn address(registry: &Path) -> io::Result<SocketAddr> {
    let name = HEXLOWER.encode(&digest_of(&registry.to_string_lossy()));
    SocketAddr::from_abstract_name(format!("deskticker-hub/{name}"))
}

fn bind(registry: &Path) -> io::Result<UnixListener> {
    let listener = StdListener::bind_addr(&address(registry)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Serves the state of the devices until the hub stops.
pub(super) async fn serve(
    authenticator: Arc<Authenticator>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let Some(registry) = authenticator.registry_path() else {
        return;
    };
    let mut is_logged = false;
    let listener = loop {
        let error = match bind(registry) {
            Ok(listener) => break listener,
            Err(error) => error,
        };
        if !std::mem::replace(&mut is_logged, true) {
            log::warn!(
                "`deskticker-hub token list` cannot show the state of the displays of this hub: \
                 the local socket for {} is not available ({error}); the usual cause is a second \
                 hub with the same device registry; the hub tries again each minute",
                registry.display()
            );
        }
        tokio::select! {
            () = super::stopped(&mut stop) => return,
            () = clock.sleep_until(clock.now().monotonic + RETRY) => {}
        }
    };
    loop {
        let accepted = tokio::select! {
            () = super::stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        // A failed accept means that all file descriptors are in use, so the loop waits before the
        // next accept.
        let Ok((stream, _)) = accepted else {
            clock.sleep_until(clock.now().monotonic + LIMIT).await;
            continue;
        };
        tokio::select! {
            () = super::stopped(&mut stop) => return,
            _ = tokio::time::timeout(LIMIT, send(stream, &authenticator, &clock)) => {}
        }
    }
}

async fn send(
    mut stream: UnixStream,
    authenticator: &Authenticator,
    clock: &Clock,
) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if user != 0 && user != geteuid().as_raw() {
        return Ok(());
    }
    let now = clock.now();
    let statuses = authenticator.statuses().into_iter();
    let rows: Vec<DeviceRow> = statuses.map(|status| DeviceRow::new(status, now)).collect();
    stream.write_all(&serde_json::to_vec(&rows)?).await
}

/// Reads the state of the devices from the running hub that uses this device registry.
///
/// # Errors
/// No hub with this registry runs ([`io::ErrorKind::ConnectionRefused`]), or the hub does not answer
/// to this user.
pub fn devices(registry: &Path) -> io::Result<Vec<DeviceRow>> {
    let mut stream = StdStream::connect_addr(&address(registry)?)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.shutdown(Shutdown::Write)?;
    // Any user of the machine can open a socket with this name before the hub does.
    let server = socket_peercred(stream.as_fd())?.uid.as_raw();
    let owner = std::fs::metadata(registry).map(|file| file.uid());
    if server != 0 && server != geteuid().as_raw() && !owner.is_ok_and(|owner| owner == server) {
        return Err(io::Error::other(format!(
            "the program at the hub's local socket belongs to another user ({server})"
        )));
    }
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    if text.is_empty() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(serde_json::from_slice(&text)?)
}
