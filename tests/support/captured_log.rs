//! Captures the log lines of a test process.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Mutex;
use std::thread::{self, ThreadId};

static LOG: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Line {
    thread: ThreadId,
    level: log::Level,
    message: String,
    target: String,
}

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = Line {
            thread: thread::current().id(),
            level: record.level(),
            message: record.args().to_string(),
            target: record.target().to_owned(),
        };
        LOG.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// Starts the capture of the lines up to this level. A process can call this function once.
pub fn start(level: log::LevelFilter) {
    log::set_logger(&Capture).unwrap();
    log::set_max_level(level);
}

/// Takes the messages of this thread only, because tests run in parallel.
pub fn take() -> Vec<String> {
    let is_own = |line: &mut Line| line.thread == thread::current().id();
    let mut log = LOG.lock().unwrap();
    log.extract_if(.., is_own)
        .map(|line| line.message)
        .collect()
}

/// The lines of all threads until now, each with its level and its target.
pub fn text() -> String {
    let log = LOG.lock().unwrap();
    let lines = log.iter();
    lines
        .map(|line| format!("{} {} [{}]\n", line.level, line.message, line.target))
        .collect()
}
