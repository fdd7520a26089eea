//! A desk ticker: values from a WebSocket feed on a small OLED.
//!
//! The promise is that **a number on the glass is either fresh or visibly not**. The modules stand
//! in the order in which a price travels:
//!
//! ```text
//! socket ─ session ─ wire ─ Link ─ Update ─▶ Desk ─ Watchlist ─ View ─ render::draw ─ Frame ─▶ Panel
//! ```
//!
//! [`market`], [`feed::wire`], [`feed::link`], [`feed::subscriptions`], [`desk`] and [`screen`] are
//! pure: time and events are arguments, answers are values. [`feed::session`], [`feed::net`],
//! [`feed::rest`], [`panel`] and [`service`] are the shells that own a socket, a timer or a bus;
//! [`station`] runs them as a [`config`] that may change has it.
//! [`hub`] stands between the vendor and the displays, and reads the same [`feed`]. [`doctor`] looks at
//! all of it when something is wrong. [`journal`] is the log of both programs, [`supervisor`] what
//! they tell systemd; [`board`] knows where a panel is wired; [`simulator`] is the other side, for
//! the [`demo`] and the tests.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod board;
pub mod config;
pub mod demo;
pub mod display;
pub mod doctor;
pub mod feed;
pub mod hub;
pub mod logging;
pub mod market;
pub mod massive;
pub mod net;
pub mod render;
pub mod secret;
pub mod simulator;
pub mod systemd;
pub mod ticker;
pub mod time;
