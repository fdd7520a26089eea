//! A simulated panel on a simulated I2C bus, and pictures for it.

// Each test file uses only a part of this module.
#![allow(dead_code)]

pub(crate) mod bus;
pub(crate) mod chip;
pub(crate) mod pictures;
