//! Captures the log lines of this thread only, because tests run in parallel.

use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }
    fn flush(&self) {}
}

pub(crate) fn install() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Info);
}

pub(crate) fn take() -> Vec<String> {
    LINES.take()
}
