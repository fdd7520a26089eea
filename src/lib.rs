//! deskticker: a desk ticker for single-board computers. `deskticker` shows the prices of a
//! watchlist on a small OLED; `deskticker-hub` holds the only connection to the vendor and serves
//! all displays.
//!
//! The promise: **a price on the display is either fresh or visibly not fresh.** The path of a
//! price:
//!
//! ```text
//! socket ─ feed::session ─ massive::websocket ─ feed::Connection ─ feed::Update ─▶ ticker::state
//!        ─ market::Watchlist ─ render::View ─ render::draw ─ render::Frame ─▶ display (own thread)
//! ```
//!
//! The modules, from the lowest layer to the highest. A module uses only the layers below it
//! (`tests/layers.rs`).
//!
//! | module | contents |
//! |---|---|
//! | [`time`], [`board`], [`files`] | moments and clocks; known boards; how files are replaced |
//! | [`secret`], [`logging`], [`systemd`] | tokens and keys; the log; the notifications for systemd |
//! | [`market`] | symbols, prices, the calendar, staleness, the watchlist |
//! | [`massive`], [`render`] | the JSON of the vendor and of the hub; the picture in memory |
//! | [`net`] | DNS, the search for a hub, TCP, TLS, the WebSocket upgrade, HTTP |
//! | [`feed`], [`display`] | sessions, subscriptions, backoff, REST polling; OLED, PNG, terminal, HDMI screen |
//! | [`config`], [`simulator`] | the configuration file; a simulated vendor for the demo and the tests |
//! | [`web`] | the web page of the display: the glass, the values and the link for browsers and programs |
//! | [`ticker`] | the state of the display's program, its pages, its event loop |
//! | [`hub`] | server, authentication, last-value cache, conflation, upstream connections |
//! | [`demo`], [`doctor`], [`phone`] | everything in one process; the diagnosis; the set-up by phone |
//! | [`command_line`] | the help of one command, and the errors about options, for both programs |
//! | [`setup`] | the set-up of a new display or hub: questions, checks, files, services |
//!
//! [`market`], [`massive`], [`render`], [`ticker::state`], the state machine [`feed::Connection`]
//! and the cache in [`hub::broker`] are pure: time and events are arguments, and results are return
//! values. The other modules own a socket, a timer, a thread or a bus.
//!
//! # Glossary
//!
//! - **cluster**: one of the vendor's WebSocket endpoints: indices, options or stocks. A session is
//!   the connection to one cluster.
//! - **channel**: one kind of event of one ticker, for example `V.I:SPX`.
//! - **timestamp** (`stamp`): the time at which a value was true, by the clock of its source.
//! - **agreed time**: the time that two of three time sources agree on: the wall clock, the `Date`
//!   of the server, the newest timestamps of the stream.
//! - **freshness**: live, stale, delayed or closed; computed when the picture is drawn.
//! - **provenance**: the source of a value: streamed or from REST, simulated or real, real-time or
//!   delayed.
//! - **close**: the last value of a regular session. `CLOSED` on the display means exactly this
//!   value.
//! - **snapshot**: the REST response for one instrument.
//! - **conflation**: a slow client receives the newest value of a channel and not the missed ones.
//! - **dirty window**: the part of the panel's memory that one I2C message rewrites.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod board;
pub mod command_line;
pub mod config;
pub mod demo;
pub mod display;
pub mod doctor;
pub mod feed;
pub mod files;
pub mod hub;
pub mod logging;
pub mod market;
pub mod massive;
pub mod net;
pub mod phone;
pub mod render;
pub mod secret;
pub mod setup;
pub mod simulator;
pub mod systemd;
pub mod ticker;
pub mod time;
pub mod web;
