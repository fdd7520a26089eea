//! The REST responses of the hub: quotes, market status and one-minute bars. Each response is
//! requested from the vendor once for all clients. This module does not route or authenticate
//! requests.

pub mod aggregates;
pub(crate) mod aggregates_request;
pub(crate) mod bar_store;
pub mod cache;
pub(crate) mod demand;
mod handlers;
pub(crate) mod query;
pub mod quote_rows;
pub mod quotes;
mod split;
pub(crate) mod vendor_form;
