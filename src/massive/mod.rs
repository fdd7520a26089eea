//! The JSON of the vendor and of the hub, read and written. Knows nothing of connections.

pub(crate) mod aggregates;
pub(crate) mod fields;
pub(crate) mod market_status;
pub(crate) mod quotes;
pub mod snapshot;
pub(crate) mod trade_conditions;
pub mod websocket;
