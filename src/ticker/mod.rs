//! The ticker application without its panel: the ticker state, the pages, and the event loop that
//! updates and draws them.

pub(crate) mod alerts;
pub mod app;
pub(crate) mod demand;
pub mod event_loop;
pub(crate) mod light_schedule;
pub(crate) mod link_monitor;
pub(crate) mod page_rotation;
pub mod state;
pub(crate) mod time_consensus;
pub(crate) mod view_builder;
