//! The path to a host: the addresses of its name, the route and the network interface. The system
//! resolver blocks its thread and cannot be cancelled, so this module limits the number of threads.
//! This module never opens a connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Boxed;
use super::endpoint::Endpoint;
use super::failure::Failure;
use crate::time::Clock;

/// The time between two checks of a path. A wait can last minutes, and the display must name the
/// hop that fails now.
const CHECK: Duration = Duration::from_secs(2);
/// The time between two checks of an interface that does not work. A Wi-Fi interface is down for a
/// moment when it changes its access point, and the connection survives that.
const INTERFACE_CHECK: Duration = Duration::from_secs(1);
/// The time limit of a name resolution. The limit of the system resolver is longer than a whole
/// attempt, so without this limit the attempt could not report the name resolution as the cause.
const LOOKUP: Duration = Duration::from_secs(5);

/// The maximum number of threads that resolve names at the same time. A silent name server blocks a
/// thread for 10 s to 30 s (two rounds of 5 s for each of up to three servers, resolv.conf(5)),
/// which is longer than any caller waits. With one new thread for each attempt, 51 threads existed
/// after half a minute. systemd allows 32 tasks for the service (`TasksMax=`), and each thread needs
/// about 15 kB of memory.
const THREADS: usize = 10;

static FREE: Semaphore = Semaphore::const_new(THREADS);

/// Returns the addresses of a host in the resolver's order.
///
/// # Errors
///
/// The error of the system resolver.
pub(crate) async fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = endpoint
        .address
        .or_else(|| endpoint.host.parse::<IpAddr>().ok())
    {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let name = (endpoint.host.clone(), endpoint.port);
    on_own_thread(&FREE, move || Ok(name.to_socket_addrs()?.collect())).await
}

/// Waits for two seconds, and then returns the failure that prevents each connection to the host:
/// its name cannot be resolved, or no route exists. For a hub that announces itself, the function
/// only checks the network interfaces.
#[inline(never)]
pub(crate) fn check(endpoint: Endpoint, clock: Clock) -> Boxed<'static, Option<Failure>> {
    Box::pin(async move {
        clock.sleep_until(clock.now().monotonic + CHECK).await;
        if endpoint.is_announced() {
            return (!has_interface()).then_some(Failure::Network);
        }
        match resolved(&endpoint).await {
            Err(failure) => Some(failure),
            Ok(addresses) => (!addresses.into_iter().any(is_routed)).then_some(Failure::Network),
        }
    })
}

/// Returns a failure if the network interface with this address of the machine does not work after
/// two seconds and does not work one second later either.
#[inline(never)]
pub(crate) fn check_interface(own: IpAddr, clock: Clock) -> Boxed<'static, Option<Failure>> {
    Box::pin(async move {
        clock.sleep_until(clock.now().monotonic + CHECK).await;
        if has_working_interface(own) {
            return None;
        }
        clock
            .sleep_until(clock.now().monotonic + INTERFACE_CHECK)
            .await;
        (!has_working_interface(own)).then_some(Failure::Network)
    })
}

/// Resolves the name of the host.
pub(super) async fn resolved(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let unresolved = |error: &dyn std::fmt::Display| {
        log::debug!("cannot resolve the name {}: {error}", endpoint.host);
        if has_route() {
            Failure::Dns
        } else {
            Failure::Network
        }
    };
    timeout(LOOKUP, addresses(endpoint))
        .await
        .map_err(|late| unresolved(&late))?
        .map_err(|error| unresolved(&error))
}

/// Returns true if this machine has a route to other networks. The destinations are addresses for
/// documentation (RFC 5737, RFC 3849).
fn has_route() -> bool {
    let address = |text: &str| text.parse().is_ok_and(is_routed);
    address("192.0.2.1:9") || address("[2001:db8::1]:9")
}

/// Returns true if this machine has a network interface that works, besides the loopback interface.
pub(super) fn has_interface() -> bool {
    let works =
        |interface: &if_addrs::Interface| !interface.is_loopback() && interface.is_oper_up();
    if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(works))
}

/// Returns true if the network interface with this address of the machine still has the address and
/// works: it is up, and its cable is connected. Without a list of the interfaces, the result is
/// true.
fn has_working_interface(own: IpAddr) -> bool {
    let own = own.to_canonical();
    let works = |interface: &if_addrs::Interface| interface.ip() == own && interface.is_oper_up();
    if_addrs::get_if_addrs().map_or(true, |all| all.iter().any(works))
}

/// Returns true if this machine has a route to the address, over an interface that works. `connect`
/// on a UDP socket only reads the routing table and sends nothing.
pub(super) fn is_routed(address: SocketAddr) -> bool {
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let own = UdpSocket::bind(own).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    own.is_ok_and(|own| has_working_interface(own.ip()))
}

/// Runs a blocking function on its own thread as soon as a thread is free. If the caller stops the
/// wait for a free thread, the function never runs.
async fn on_own_thread<T: Send + 'static>(
    free: &'static Semaphore,
    look: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = free.acquire().await.map_err(io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let found = look();
        // The permit stays in use until the thread is free again, even if the caller has stopped
        // waiting.
        drop(place);
        found
    });
    looking.await?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn unanswered_lookups_never_use_more_threads_than_the_limit() {
        static FREE: Semaphore = Semaphore::const_new(2);
        let (answer, answers) = mpsc::channel::<()>();
        let answers = std::sync::Arc::new(std::sync::Mutex::new(answers));
        let silent = || {
            let answers = answers.clone();
            on_own_thread(&FREE, move || {
                answers.lock().unwrap().recv().unwrap();
                Ok(())
            })
        };
        // The callers give up, but the lookups still occupy both threads.
        assert!(silent().now_or_never().is_none());
        assert!(silent().now_or_never().is_none());
        assert_eq!(FREE.available_permits(), 0);
        // The caller gives up before a thread is free, so this function must never run.
        let never = on_own_thread(&FREE, || -> io::Result<()> {
            panic!("given up before it began")
        });
        assert!(never.now_or_never().is_none());
        answer.send(()).unwrap();
        let found = on_own_thread(&FREE, || Ok(7)).await.unwrap();
        assert_eq!(found, 7);
        answer.send(()).unwrap();
        let both = FREE.acquire_many(2).await.unwrap();
        drop(both);
    }

    #[tokio::test]
    async fn an_ip_address_needs_no_thread_and_localhost_is_resolved() {
        for (host, expected) in [("127.0.0.1", "127.0.0.1:3000"), ("::1", "[::1]:3000")] {
            let endpoint = Endpoint {
                secure: false,
                host: host.into(),
                port: 3000,
                base: String::new(),
                address: None,
            };
            let found = addresses(&endpoint).now_or_never().unwrap().unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        let endpoint = Endpoint::parse("ws://localhost:3000").unwrap();
        let found = addresses(&endpoint).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}
