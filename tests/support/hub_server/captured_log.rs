//! All that this process logs, at every level, to be read by the test that asked for it.

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

/// From now on; once for a process.
pub fn keep() {
    log::set_logger(&Keeper).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

/// What has been logged so far, a line an entry.
pub fn kept() -> MutexGuard<'static, String> {
    LOG.lock().unwrap()
}
