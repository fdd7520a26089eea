//! The log of the program: each entry is one line on standard error. This module owns the filter
//! for the entries and the thread that writes them. A logging thread never waits for the reader of
//! the log: if the buffer is full, the line is dropped, and the number of dropped lines is logged
//! later.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, fmt, thread};

use log::{Level, Record};

/// The capacity of the buffer for unwritten lines, in bytes: enough for some hundred lines.
const BUFFER_LIMIT: usize = 64 << 10;

/// The log of this process. All clones write to the same log.
#[derive(Clone, Debug)]
pub struct LogWriter(Arc<LogShared>);

#[derive(Debug)]
struct LogShared {
    state: Mutex<LogState>,
    changed: Condvar,
    /// The format of the start of each line.
    manner: LogFormat,
}

#[derive(Debug, Default)]
struct LogState {
    /// Complete lines that are not written yet.
    text: Vec<u8>,
    /// The number of lines that were dropped since the last report of dropped lines.
    lost: u64,
    /// True while the thread writes lines that it took from the buffer.
    writing: bool,
}

/// The format of a line, which depends on the reader of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LogFormat {
    /// The format for systemd's journal. The journal adds the time and expects the priority at the
    /// start of the line (sd-daemon(3)).
    Journald,
    /// The format without the journal, such as for a terminal or a file: time, level and text.
    Plain,
}

impl LogWriter {
    /// Starts the log on standard error with the filter from `RUST_LOG`, or with `default` if that
    /// variable is not set. Call this function once per process.
    ///
    /// # Errors
    /// The system cannot start a thread, or another logger is already installed.
    pub fn to_stderr(default: &str) -> io::Result<Self> {
        let manner = match env::var_os("JOURNAL_STREAM") {
            Some(_) => LogFormat::Journald,
            None => LogFormat::Plain,
        };
        let journal = Self::to(io::stderr(), manner)?;
        let wanted = env::var_os("RUST_LOG").map(|wanted| wanted.to_string_lossy().into_owned());
        let filter = wanted.as_deref().filter(|wanted| is_filter(wanted));
        env_logger::Builder::new()
            .parse_filters(filter.unwrap_or(default))
            .target(env_logger::Target::Pipe(Box::new(journal.clone())))
            .format(move |out, record| match may_be_logged(record) {
                true => line(out, manner, record.level(), record.args()),
                false => Ok(()),
            })
            .try_init()
            .map_err(io::Error::other)?;
        if let (Some(wanted), None) = (&wanted, filter) {
            log::warn!(
                "RUST_LOG={wanted:?} is no level of the log, so {default} applies; expected error, \
                 warn, info, debug, trace or off"
            );
        }
        Ok(journal)
    }

    fn to(out: impl Write + Send + 'static, manner: LogFormat) -> io::Result<Self> {
        let journal = Self(Arc::new(LogShared {
            state: Mutex::default(),
            changed: Condvar::new(),
            manner,
        }));
        let shared = journal.0.clone();
        // The thread stops when the process exits. If the reader is blocked, the last line can be
        // incomplete.
        thread::Builder::new()
            .name("journal".into())
            .spawn(move || shared.write_to(out))?;
        Ok(journal)
    }

    /// Waits until all lines are written, but at most `limit`, so that a blocked reader cannot keep
    /// the program alive. Returns true if all lines are written.
    pub fn finish(&self, limit: Duration) -> bool {
        let state = self.0.lock();
        let unwritten = |state: &mut LogState| state.writing || !state.is_empty();
        let waited = self.0.changed.wait_timeout_while(state, limit, unwritten);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.writing && state.is_empty()
    }
}

/// Each call must pass one complete line. The line is buffered, or dropped if the buffer is full. A
/// call never waits.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.text.len() + line.len() <= BUFFER_LIMIT {
            state.text.extend_from_slice(line);
        } else {
            state.lost += 1;
        }
        drop(state);
        self.0.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogState {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.lost == 0
    }
}

impl LogShared {
    /// The main loop of the writer thread.
    fn write_to(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut state = self.lock();
            state.writing = false;
            self.changed.notify_all();
            let mut state = self
                .changed
                .wait_while(state, |state| state.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            text.clear();
            std::mem::swap(&mut state.text, &mut text);
            let lost = std::mem::take(&mut state.lost);
            state.writing = true;
            drop(state);
            if lost > 0 {
                // A write to a vector cannot fail.
                let words = format_args!(
                    "{lost} lines of the log were lost, because the reader of the log was too slow \
                     or has stopped"
                );
                line(&mut text, self.manner, Level::Warn, &words).ok();
            }
            // Write one line per call: a pipe accepts a short line whole or not at all, but a
            // longer text in parts.
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                // An error here is ignored, because no other output exists that could report it.
                out.write_all(line).and_then(|()| out.flush()).ok();
            }
        }
    }

    /// A panic cannot leave the state inconsistent, so a poisoned lock is still safe to use.
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns true if a text is a filter for the log: levels, or modules with their levels. env_logger
/// takes any other word as the name of a module, and then logs nothing.
fn is_filter(text: &str) -> bool {
    let level = |text: &str| text.parse::<log::LevelFilter>().is_ok();
    let directives = text.split('/').next().unwrap_or_default().split(',');
    let mut directives = directives
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .peekable();
    directives.peek().is_some()
        && directives.all(|part| match part.split_once('=') {
            Some((_, wanted)) => level(wanted),
            None => level(part) || part.starts_with("deskticker") || part.contains("::"),
        })
}

/// Returns true if a record may be logged, independent of the filter. Records of libraries below
/// the info level are rejected, because they can contain secrets: tungstenite logs the request with
/// the token in its URL, and the message with the API key.
fn may_be_logged(record: &Record<'_>) -> bool {
    let ours = |name| record.target().split("::").next() == Some(name);
    ours("deskticker") || ours("deskticker_hub") || record.level() <= Level::Info
}

fn line(
    out: &mut impl Write,
    manner: LogFormat,
    level: Level,
    words: &fmt::Arguments<'_>,
) -> io::Result<()> {
    match manner {
        LogFormat::Journald => {
            let priority = match level {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            writeln!(out, "<{priority}>{words}")
        }
        LogFormat::Plain => {
            let time = jiff::Timestamp::now().strftime("%H:%M:%S");
            writeln!(out, "{time}Z {level:5} {words}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn all_lines_are_written_in_order_before_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        let mut log = LogWriter::to(writer, LogFormat::Journald).unwrap();
        for number in 0..100 {
            let line = format!("line {number}\n");
            log.write_all(line.as_bytes()).unwrap();
        }
        assert!(log.finish(SOON));
        let lines = BufReader::new(reader).lines().take(100);
        for (number, line) in lines.enumerate() {
            assert_eq!(line.unwrap(), format!("line {number}"));
        }
    }

    #[test]
    fn a_stopped_reader_delays_no_writer_and_later_receives_the_number_of_lost_lines() {
        let (reader, writer) = io::pipe().unwrap();
        let mut log = LogWriter::to(writer, LogFormat::Journald).unwrap();
        let text = "x".repeat(1023) + "\n";
        let start = Instant::now();
        for _ in 0..1000 {
            log.write_all(text.as_bytes()).unwrap();
        }
        assert!(!log.finish(Duration::from_millis(20)));
        assert!(start.elapsed() < SOON);
        assert!(log.0.lock().text.len() <= BUFFER_LIMIT);
        let (mut written, mut lost) = (0, 0);
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            match line.strip_prefix("<4>") {
                Some(words) => {
                    assert!(words.contains(" lines of the log were lost, "));
                    lost += words.split(' ').next().unwrap().parse::<u64>().unwrap();
                }
                None => written += 1,
            }
            if written + lost == 1000 {
                break;
            }
        }
        assert!(lost > 0 && written >= 64, "{written} and {lost}");
        assert!(log.finish(SOON));
    }

    #[test]
    fn a_filter_has_levels_or_modules() {
        for good in [
            "debug",
            "INFO",
            "warn,deskticker::net=trace",
            "deskticker",
            "off",
            "info/x",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "verbose",
            "1",
            "yes",
            "deskticker=loud",
            "debug,verbose",
            ",",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
    }

    #[test]
    fn a_library_may_log_info_lines_but_no_debug_lines() {
        let logged = |target, level| {
            let record = Record::builder().target(target).level(level).build();
            may_be_logged(&record)
        };
        assert!(logged("deskticker::feed", Level::Trace));
        assert!(logged("deskticker_hub", Level::Debug));
        assert!(logged("tungstenite", Level::Info));
        assert!(!logged("tungstenite::client", Level::Debug));
        assert!(!logged("deskticker_like", Level::Trace));
    }
}
