//! The web page of the display: a copy of the glass, the watchlist, and the state of the link, for
//! browsers and for programs. This module owns the web server. It reads pictures from the
//! [`Mirror`] and asks the event loop for the status; it never holds a price that somebody could
//! take for a present one, and a visitor never delays the display.
//!
//! Each answer says how old each value is and for how long it is valid. The browser judges the age
//! by its own clock, from the time of its request.

mod assets;
mod metrics;
mod request;
mod response;
mod server;
pub mod status;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::config::PageConfig;
use crate::display::Mirror;
use crate::time::{Clock, Moment};
use status::Status;

/// A question for the status; the answer goes into this sender.
pub type StatusQuestion = oneshot::Sender<Box<Status>>;

/// The time for which all visitors get the same status. Many visitors therefore cost the event loop
/// as little as one.
const STATUS_AGE: Duration = Duration::from_millis(250);
/// The limit for the answer of the event loop.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The handle of the web server. Its drop ends the server.
#[derive(Debug)]
pub struct WebPage {
    config: watch::Sender<Option<PageConfig>>,
    mirror: Mirror,
}

impl WebPage {
    /// Starts a task for the server, which opens its port when it has a configuration. Returns the
    /// handle and the questions of the visitors.
    pub fn start(clock: Clock) -> (Self, mpsc::Receiver<StatusQuestion>) {
        let (config, configs) = watch::channel(None);
        let (questions, receiver) = mpsc::channel(4);
        let mirror = Mirror::default();
        let site = Arc::new(Site {
            mirror: mirror.clone(),
            questions,
            last: Mutex::new(None),
            clock,
        });
        tokio::spawn(server::run(site, configs));
        (Self { config, mirror }, receiver)
    }

    /// Sets the configuration. The server opens another port if the address has changed; `None`
    /// closes the port.
    pub fn configure(&self, config: Option<PageConfig>) {
        self.config.send_if_modified(|current| {
            let changed = *current != config;
            *current = config;
            changed
        });
    }

    /// Returns the mirror, which must get each picture.
    pub const fn mirror(&self) -> &Mirror {
        &self.mirror
    }
}

/// All that an answer needs.
#[derive(Debug)]
struct Site {
    mirror: Mirror,
    questions: mpsc::Sender<StatusQuestion>,
    /// The last status and its time.
    last: Mutex<Option<(Moment, Arc<Status>)>>,
    clock: Clock,
}

impl Site {
    /// Returns the status, which is at most [`STATUS_AGE`] old; `None` if the event loop does not
    /// answer.
    async fn status(&self) -> Option<(Arc<Status>, Duration)> {
        let mut last = self.last.lock().await;
        let now = self.clock.now().monotonic;
        if let Some((at, status)) = &*last
            && now.since(*at) < STATUS_AGE
        {
            return Some((status.clone(), now.since(*at)));
        }
        // A question that gets no answer must leave no old status behind.
        *last = None;
        let (question, answer) = oneshot::channel();
        let asked = async {
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        let status = tokio::select! {
            status = asked => status?,
            () = self.clock.sleep_until(now + ANSWER_LIMIT) => return None,
        };
        let status: Arc<Status> = Arc::from(status);
        // The age counts from the question, so that a value is never younger than it is.
        *last = Some((now, status.clone()));
        Some((status, self.clock.now().monotonic.since(now)))
    }
}
