//! The search for hubs that announce themselves in the local network: one question by multicast DNS
//! (RFC 6762, section 5.1) at each network interface, and the answers to it. Only IPv4 is searched,
//! because a hub announces its IPv4 addresses in each usual configuration. This module connects to
//! no hub and does not trust an announcement.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::set_ip_multicast_if_with_ifindex;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::message::{self, Data, Name};

/// The type of the service that each hub announces.
const SERVICE: &str = "_deskticker._tcp.local";
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// The times of the questions, from the start of the search. Wi-Fi does not repeat a lost
/// multicast.
const QUESTIONS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// The duration of a search without any answer.
const LIMIT: Duration = Duration::from_millis(2500);
/// The duration of the search after the first answer. A second hub answers within this time: an
/// answer is sent at once or up to 120 ms later (RFC 6762, section 6), and the next question
/// follows within this time.
const OTHERS: Duration = Duration::from_millis(700);
/// The maximum number of hubs and of addresses of one hub. A false hub can invent any number.
const MAX: usize = 8;
/// The largest message, in bytes (RFC 6762, section 17).
const MESSAGE: usize = 9000;

/// The announcement of one hub. Its content is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The name of the announced service, for the user.
    pub(crate) name: String,
    /// The host name, without a dot at its end.
    pub(super) host: String,
    /// The addresses, of which at least one exists.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port: u16,
    /// True if the hub serves TLS.
    pub(super) secure: bool,
}

impl Announcement {
    /// The name and the address of the hub, for the user.
    pub(crate) fn place(&self) -> String {
        let address = self.addresses.first();
        let address = address.map(|ip| SocketAddr::new(*ip, self.port).to_string());
        format!("{} ({})", self.name, address.unwrap_or_default())
    }
}

/// Searches for hubs. The result is empty if no hub answers.
///
/// # Errors
/// No network interface can send the question.
pub(super) async fn search() -> io::Result<Vec<Announcement>> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_ttl_v4(255)?;
    let socket = UdpSocket::from_std(socket)?;
    let id = fastrand::u16(1..);
    let question = message::question(id, &SERVICE.into());
    let start = Instant::now();
    let mut end = start + LIMIT;
    let mut hubs = Vec::new();
    let mut buffer = vec![0; MESSAGE];
    let mut questions = QUESTIONS.iter().peekable();
    loop {
        let now = Instant::now();
        if let Some(due) = questions.peek()
            && now >= start + **due
        {
            questions.next();
            ask(&socket, &question).await?;
        }
        if now >= end {
            return Ok(hubs);
        }
        let next = questions.peek().map_or(end, |due| start + **due);
        // After this time without an answer, the next question is due, or the search ends.
        let Ok(received) = timeout_at(next.min(end), socket.recv_from(&mut buffer)).await else {
            continue;
        };
        // The socket can return the error of an earlier message here. Such an error does not
        // concern the answers.
        let Ok((size, from)) = received else { continue };
        if read(&buffer[..size], id, from.ip(), &mut hubs) {
            end = end.min(Instant::now() + OTHERS);
        }
    }
}

/// Sends the question at each interface.
async fn ask(socket: &UdpSocket, question: &[u8]) -> io::Result<()> {
    let mut last = io::Error::other("this machine has no network interface");
    let mut sent = false;
    // `/proc` lists the interfaces in the network namespace of this process.
    let list = std::fs::read_to_string("/proc/self/net/dev")?;
    for name in list.lines().filter_map(|line| line.split_once(':')) {
        let outcome = name_to_index(socket, name.0.trim()).and_then(|index| {
            let (group, own) = (&GROUP, &Ipv4Addr::UNSPECIFIED);
            set_ip_multicast_if_with_ifindex(socket, group, own, index)
        });
        let to = SocketAddr::from((GROUP, PORT));
        let outcome = match outcome {
            Ok(()) => socket.send_to(question, to).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(_) => sent = true,
            // The interface is down or has no address.
            Err(error) => last = error,
        }
    }
    if sent { Ok(()) } else { Err(last) }
}

/// Adds the announcements in a message from this address. Returns true if the message contains an
/// announcement.
fn read(message: &[u8], id: u16, from: IpAddr, hubs: &mut Vec<Announcement>) -> bool {
    let records = message::records(message, id).unwrap_or_default();
    let mut found = false;
    for record in &records {
        let Data::Instance(instance) = &record.data else {
            continue;
        };
        let of = |name: &Name| {
            let own = records.iter().filter(|record| record.name.is(name));
            own.map(|record| &record.data).collect::<Vec<_>>()
        };
        let own = of(instance);
        let place = own.iter().find_map(|data| match data {
            Data::Place(host, port) if *port > 0 => Some((host, *port)),
            _ => None,
        });
        let (true, Some((host, port))) = (record.name.is(&SERVICE.into()), place) else {
            continue;
        };
        let tls = |text: &String| text.eq_ignore_ascii_case("tls=yes");
        let secure = own.iter().any(|data| match data {
            Data::Properties(texts) => texts.iter().any(tls),
            _ => false,
        });
        let addresses = of(host).into_iter().filter_map(|data| match data {
            Data::Address(ip) => Some(IpAddr::from(*ip)),
            _ => None,
        });
        let mut addresses: Vec<IpAddr> = addresses.collect();
        // The sender is in this network, but another address in its message may be in another
        // network.
        if addresses.is_empty() || addresses.contains(&from) {
            addresses.retain(|address| *address != from);
            addresses.insert(0, from);
        }
        found = true;
        let new = Announcement {
            name: printable(instance.0.first().map_or("", String::as_str)),
            host: printable(&host.0.join(".")),
            addresses,
            port,
            secure,
        };
        add(new, hubs);
    }
    found
}

/// Adds an announcement. A hub that answers at two interfaces is one hub with two addresses.
fn add(new: Announcement, hubs: &mut Vec<Announcement>) {
    let same = |hub: &Announcement| {
        (&hub.name, &hub.host, hub.port, hub.secure) == (&new.name, &new.host, new.port, new.secure)
    };
    if let Some(known) = hubs.iter().position(same) {
        for address in new.addresses {
            let addresses = &mut hubs[known].addresses;
            if addresses.contains(&address) || addresses.len() >= MAX {
                continue;
            }
            // A hub on this machine answers at the loopback interface too.
            let at = if address.is_loopback() {
                addresses.len()
            } else {
                0
            };
            addresses.insert(at, address);
        }
    } else if hubs.len() < MAX {
        let addresses = new.addresses.into_iter().take(MAX).collect();
        // The answers of several hubs can arrive in any order, so the list is sorted.
        let key = (&new.name, new.port);
        let at = hubs.partition_point(|hub| (&hub.name, hub.port) < key);
        hubs.insert(at, Announcement { addresses, ..new });
    }
}

/// Returns a text without control characters.
fn printable(text: &str) -> String {
    let plain = |char: char| if char.is_control() { '?' } else { char };
    text.chars().map(plain).collect()
}
