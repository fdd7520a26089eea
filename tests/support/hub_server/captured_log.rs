//! Captures all log lines of this process, at each level, for one test.

use std::sync::{Mutex, MutexGuard};

static LOG: Mutex<String> = Mutex::new(String::new());

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let (level, words, target) = (record.level(), record.args(), record.target());
        let line = format!("{level} {words} [{target}]\n");
        LOG.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

/// Starts the capture. A process can call this function once.
pub fn start() {
    log::set_logger(&Keeper).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

/// The log until now, one line per entry.
pub fn text() -> MutexGuard<'static, String> {
    LOG.lock().unwrap()
}
