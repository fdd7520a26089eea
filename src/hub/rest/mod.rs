//! The hub's REST answers: quotes and bars, each fetched once for all displays.

pub mod aggregates;
pub(crate) mod aggregates_request;
pub(crate) mod bar_store;
pub(crate) mod cache;
pub(crate) mod quote_rows;
pub mod quotes;
