//! Prints measured values beside their limits. Measures nothing itself.

use std::process::ExitCode;

/// Prints rows and counts the missed limits.
pub(crate) struct Table {
    missed: usize,
}

// Each bench uses only a part of this module.
#[allow(dead_code)]
impl Table {
    pub(crate) fn new(title: &str) -> Self {
        println!("\n{title}");
        println!("  {:<58}{:>16}{:>12}", "", "measured", "limit");
        Self { missed: 0 }
    }

    /// Prints a measured value that must not exceed its limit.
    pub(crate) fn at_most(&mut self, name: &str, measured: f64, limit: f64, unit: &str) {
        let verdict = if measured <= limit { "ok" } else { "MISSED" };
        self.missed += usize::from(measured > limit);
        let (measured, limit) = (figure(measured, unit), figure(limit, unit));
        println!("  {name:<58}{measured:>16}{limit:>12}  {verdict}");
    }

    /// Prints a value without a limit, or a text in place of a value.
    pub(crate) fn note(&self, name: &str, text: &str) {
        println!("  {name:<58}{text:>16}");
    }

    /// Adds limits that were missed in another table.
    pub(crate) fn with(self, missed: usize) -> Self {
        Self {
            missed: self.missed + missed,
        }
    }

    pub(crate) fn end(self) -> ExitCode {
        match self.missed {
            0 => ExitCode::SUCCESS,
            missed => {
                println!("  missed: {missed}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Formats a value with one decimal, or without decimals if the value is whole.
pub(crate) fn figure(number: f64, unit: &str) -> String {
    if number.fract() == 0.0 {
        format!("{number:.0} {unit}")
    } else {
        format!("{number:.1} {unit}")
    }
}
