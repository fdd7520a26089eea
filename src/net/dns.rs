//! Names into addresses, on threads that nobody can end before the system's resolver does.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;

use super::connector::Endpoint;

/// So many threads look up names at once at most. Silent name servers hold each of them for 10 to 30 s
/// (two rounds of 5 s for each of up to three servers, resolv.conf(5)), longer than anybody waits: with
/// one more for each try there were 51 after half a minute, and systemd grants the service 32
/// (`TasksMax=`), of which the program needs four for all else.
const THREADS: usize = 24;

static FREE: Semaphore = Semaphore::const_new(THREADS);

/// The addresses of a host, in the resolver's order.
///
/// # Errors
/// What the resolver says.
pub(crate) async fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let name = (endpoint.host.clone(), endpoint.port);
    on_own_thread(&FREE, move || Ok(name.to_socket_addrs()?.collect())).await
}

/// Runs what blocks on a thread of its own, once one is free. Who gives up while waiting for that leaves
/// nothing behind.
async fn on_own_thread<T: Send + 'static>(
    free: &'static Semaphore,
    look: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = free.acquire().await.map_err(io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let found = look();
        // Taken until the thread is free again, though nobody may wait for it any more.
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
    async fn lookups_that_are_not_answered_never_hold_more_threads_than_the_limit() {
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
        // Who asked gives up, and the threads are held.
        assert!(silent().now_or_never().is_none());
        assert!(silent().now_or_never().is_none());
        assert_eq!(FREE.available_permits(), 0);
        // Nothing of this one is left: it has had no thread, and takes none later.
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
    async fn an_address_needs_no_thread_and_a_name_of_this_machine_is_found() {
        for (host, expected) in [("127.0.0.1", "127.0.0.1:3000"), ("::1", "[::1]:3000")] {
            let endpoint = Endpoint {
                secure: false,
                host: host.into(),
                port: 3000,
                base: String::new(),
            };
            let found = addresses(&endpoint).now_or_never().unwrap().unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        let endpoint = Endpoint::parse("ws://localhost:3000").unwrap();
        let found = addresses(&endpoint).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}
