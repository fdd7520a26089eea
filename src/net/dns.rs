//! Name resolution on separate threads. The system resolver blocks its thread and cannot be
//! cancelled, so this module limits the number of threads. This module never opens a connection.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;

use super::endpoint::Endpoint;

/// The maximum number of threads that resolve names at the same time. A silent name server blocks a
/// thread for 10 s to 30 s (two rounds of 5 s for each of up to three servers, resolv.conf(5)),
/// which is longer than any caller waits. With one new thread for each attempt, 51 threads existed
/// after half a minute. systemd allows 32 tasks for the service (`TasksMax=`), and the program
/// needs four tasks for all other work.
const THREADS: usize = 24;

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
