//! A simulated world: it drives the program's own core through virtual time. A seeded generator
//! makes exchanges, servers, clocks, REST responses, buses and faults; an independent judge checks
//! every picture against the truth.
//!
//! `plan` and `tape` hold the true values. `scenario` and `faults` describe a world, and `run` runs
//! it. `display` is the only module that calls the program. `bus`, `fonts` and `reader` read the
//! display, and `judge` decides if a picture is correct.
// Each test or bench that includes this module uses only a part of it.
#![allow(dead_code, unused_imports)]

mod bus;
mod cases;
mod display;
mod faults;
mod fonts;
mod hours;
#[path = "../support/i2c_display/mod.rs"]
mod i2c_display;
mod judge;
mod plan;
mod reader;
mod reduce;
mod run;
mod scenario;
mod tape;
mod words;

pub(crate) use cases::cases;
pub(crate) use faults::What;
pub(crate) use judge::Rule;
pub(crate) use reader::Word;
pub(crate) use reduce::reduce;
pub(crate) use run::{Counts, Outcome, run, skip};
pub(crate) use scenario::Scenario;
