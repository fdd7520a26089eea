//! The display's program without its panel: what is known, what is shown, and the loop that runs it.

pub(crate) mod alerts;
pub mod app;
pub(crate) mod dimming;
pub mod event_loop;
pub(crate) mod ingest;
pub(crate) mod link_monitor;
pub(crate) mod pages;
pub(crate) mod polling;
pub mod state;
pub(crate) mod time_consensus;
pub(crate) mod view_builder;
