//! Announces the hub in the local network by multicast DNS (RFC 6762, RFC 6763): the host name
//! `hub.local`, and the service `_deskticker._tcp`. The hub also works without an announcement, and
//! this module accepts no connection.
//!
//! The hub announces itself, because most machines have no service for this: Debian's servers have
//! neither Avahi nor multicast DNS in systemd-resolved, and Raspberry Pi OS has only Avahi. A
//! configuration file for one of these services would also contain a wrong port after a change of
//! the port, and would stay active after the end of the hub.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, ServiceDaemon, ServiceInfo};

/// The type of the service.
const SERVICE: &str = "_deskticker._tcp.local.";
/// The host name. It does not depend on the machine's own name, which Avahi or systemd-resolved may
/// announce at the same time. If another device has this name, the hub becomes `hub-2.local`.
const HOST: &str = "hub.local.";
/// The longest wait for the end of the announcement. The end must not delay the exit of the hub.
const GOODBYE: Duration = Duration::from_millis(500);

/// The announcement of a hub. The drop of this value withdraws the announcement.
pub struct Announcement {
    daemon: ServiceDaemon,
}

impl Announcement {
    /// Announces a hub that listens at this address. Returns `None` if the hub listens only on the
    /// loopback address, or if the system does not allow multicast; the log then has a warning.
    /// The function must run in a tokio runtime.
    pub fn start(address: SocketAddr, tls: bool) -> Option<Self> {
        if address.ip().is_loopback() {
            return None;
        }
        match Self::register(address, tls) {
            Ok(announcement) => Some(announcement),
            Err(error) => {
                log::warn!(
                    "the hub cannot announce itself as hub.local: {error}; write its address into \
                     the url of the displays"
                );
                None
            }
        }
    }

    fn register(address: SocketAddr, tls: bool) -> Result<Self, mdns_sd::Error> {
        let system = rustix::system::uname();
        let instance = format!("deskticker-hub on {}", system.nodename().to_string_lossy());
        let properties = [("tls", if tls { "yes" } else { "no" })];
        let info = ServiceInfo::new(
            SERVICE,
            &instance,
            HOST,
            "",
            address.port(),
            &properties[..],
        );
        let mut info = info?.enable_addr_auto();
        // A display must not get an address at which the hub does not listen.
        info.set_interfaces(vec![match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IfKind::IPv4,
            IpAddr::V6(ip) if ip.is_unspecified() => IfKind::All,
            ip => IfKind::Addr(ip),
        }]);
        let daemon = ServiceDaemon::new()?;
        let events = daemon.monitor()?;
        daemon.register(info)?;
        tokio::spawn(async move {
            while let Ok(event) = events.recv_async().await {
                match event {
                    DaemonEvent::NameChange(change) if change.original == HOST => log::warn!(
                        "another device of this network has the name {}; the name of this hub is {}",
                        HOST.trim_end_matches('.'),
                        change.new_name.trim_end_matches('.')
                    ),
                    DaemonEvent::Error(error) => {
                        log::warn!("the announcement of the hub as hub.local has failed: {error}");
                    }
                    _ => {}
                }
            }
        });
        Ok(Self { daemon })
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Ok(ended) = self.daemon.shutdown() {
            ended.recv_timeout(GOODBYE).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hub_on_the_loopback_address_is_not_announced() {
        for address in ["127.0.0.1:3000", "[::1]:3000"] {
            assert!(Announcement::start(address.parse().unwrap(), false).is_none());
        }
    }
}
