//! The port of the web page: opens it, accepts connections and limits them. This module never
//! decides what an answer contains.
//!
//! A connection without a request costs a visitor nothing, so these connections have a short
//! deadline, and the oldest one makes way for a new connection when all places are taken.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::Site;
use super::request::{self, Rules};
use crate::config::PageConfig;

/// The largest number of connections.
const CONNECTIONS: usize = 64;
/// The time limit of a connection for its requests. A browser opens another one when it needs it.
const LIMIT: Duration = Duration::from_secs(30);
/// The time limit for the first request of a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// The largest head of a request in bytes.
const HEAD_SIZE: usize = 16 << 10;
/// The pause after a failed attempt to open the port or to accept a connection.
const RETRY: Duration = Duration::from_secs(5);

/// Serves the page as the configuration says, until the sender of the configuration is dropped.
pub(super) async fn run(site: Arc<Site>, mut configs: watch::Receiver<Option<PageConfig>>) {
    let mut failed = false;
    loop {
        let config = configs.borrow_and_update().clone();
        let serving = async {
            let Some(config) = config else {
                return std::future::pending().await;
            };
            match TcpListener::bind(config.listen).await {
                Ok(listener) => {
                    failed = false;
                    let address = listener.local_addr().unwrap_or(config.listen);
                    log::info!("the page of this display is at http://{address}/");
                    serve(listener, Rules::new(&config), site.clone()).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        log::warn!(
                            "[page]: cannot open {}: {error}; the program tries again every {} s",
                            config.listen,
                            RETRY.as_secs()
                        );
                    }
                    site.clock
                        .sleep_until(site.clock.now().monotonic + RETRY)
                        .await;
                }
            }
        };
        tokio::select! {
            () = serving => {}
            changed = configs.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// A connection that has sent no request yet.
struct Silent {
    /// Becomes true with the first request.
    has_asked: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Accepts connections without end. The drop of this future ends all connections.
async fn serve(listener: TcpListener, rules: Rules, site: Arc<Site>) {
    let rules = Arc::new(rules);
    let viewers = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    let mut silent: VecDeque<Silent> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // All file descriptors are in use.
            let due = site.clock.now().monotonic + RETRY;
            site.clock.sleep_until(due).await;
            continue;
        };
        silent.retain(|connection| {
            !connection.task.is_finished() && !connection.has_asked.load(Ordering::Relaxed)
        });
        if connections.len() >= CONNECTIONS {
            match silent.pop_front() {
                Some(oldest) => oldest.task.abort(),
                // The drop of the stream closes the new connection.
                None => continue,
            }
        }
        let has_asked = Arc::new(AtomicBool::new(false));
        let task = connections.spawn(connection(
            stream,
            rules.clone(),
            site.clone(),
            viewers.clone(),
            has_asked.clone(),
        ));
        silent.push_back(Silent { has_asked, task });
        // An endless row of new connections must not delay the event loop.
        tokio::task::yield_now().await;
    }
}

/// Answers the requests of one connection.
async fn connection(
    stream: TcpStream,
    rules: Arc<Rules>,
    site: Arc<Site>,
    viewers: Arc<AtomicUsize>,
    has_asked: Arc<AtomicBool>,
) {
    // The page is small and interactive.
    stream.set_nodelay(true).ok();
    let clock = site.clock.clone();
    let start = clock.now().monotonic;
    let service = service_fn({
        let has_asked = has_asked.clone();
        move |request| {
            has_asked.store(true, Ordering::Relaxed);
            let (rules, site, viewers) = (rules.clone(), site.clone(), viewers.clone());
            async move { Ok::<_, Infallible>(request::answer(request, &rules, &site, &viewers).await) }
        }
    });
    let serving = http1::Builder::new()
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let expired = async {
        clock.sleep_until(start + HEAD_LIMIT).await;
        if has_asked.load(Ordering::Relaxed) {
            clock.sleep_until(start + LIMIT).await;
        }
    };
    tokio::select! {
        ended = serving => drop(ended),
        () = expired => {}
    }
}
