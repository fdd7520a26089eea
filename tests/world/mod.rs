//! A world that is simulated: the program's own core, driven through virtual time by a seeded
//! generator of exchanges, servers, clocks, answers, buses and faults, and a judge who knows what
//! was true when and looks at every picture.
//!
//! `plan` and `tape` are the truth, `scenario` and `faults` what a world is made of, `run` its
//! life, `display` the only file that calls the program, `bus`, `fonts` and `reader` how the glass
//! is read, `judge` what may be on it.
// Each of those who use it needs a part.
#![allow(dead_code, unused_imports)]

mod bus;
mod cases;
mod display;
mod faults;
mod fonts;
mod hours;
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
