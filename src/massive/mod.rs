//! The JSON formats of the vendor and of the hub: parsing and serialization. This module opens no
//! connection.

pub(crate) mod aggregates;
pub(crate) mod fields;
pub(crate) mod market_status;
pub(crate) mod quotes;
pub mod snapshot;
pub(crate) mod trade_conditions;
pub mod websocket;
