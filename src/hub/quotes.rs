//! The vendor's REST, asked once for all displays.

use std::sync::Arc;

use crate::clock::Clock;
use crate::feed::Why;
use crate::feed::net::Connector;
use crate::feed::session::Source;

/// A cache in front of the vendor's REST.
#[derive(Debug)]
pub struct Quotes {
    _source: Arc<Source>,
    _connector: Connector,
    _clock: Clock,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotesError {
    /// The reason.
    pub why: Why,
    /// After how many seconds to ask again, if the vendor said.
    pub retry_after: Option<u64>,
}

impl Quotes {
    /// An empty cache.
    pub fn new(source: Arc<Source>, connector: Connector, clock: Clock) -> Self {
        Self {
            _source: source,
            _connector: connector,
            _clock: clock,
        }
    }

    /// The body of `/api/quotes` for these tickers, as the caller wrote them and in that order.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn quotes(&self, _tickers: &[&str]) -> Result<String, QuotesError> {
        Err(QuotesError {
            why: Why::Busy,
            retry_after: None,
        })
    }

    /// The body of `/api/market/status`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn market_status(&self) -> Result<String, QuotesError> {
        Err(QuotesError {
            why: Why::Busy,
            retry_after: None,
        })
    }
}
