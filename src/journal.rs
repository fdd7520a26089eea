//! The form of the programs' log lines. Owns where they go; it never decides what is said.

/// Log lines go to standard error from now on, one an entry; at `default` unless RUST_LOG says
/// another level. The journal adds the time itself and wants the priority in front.
pub fn log_to_stderr(default: &str) {
    use std::io::Write;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default))
        .format(move |out, record| {
            if journal {
                let priority = match record.level() {
                    log::Level::Error => 3,
                    log::Level::Warn => 4,
                    log::Level::Info => 6,
                    log::Level::Debug | log::Level::Trace => 7,
                };
                writeln!(out, "<{priority}>{}", record.args())
            } else {
                let time = jiff::Timestamp::now().strftime("%H:%M:%S");
                writeln!(out, "{time}Z {:5} {}", record.level(), record.args())
            }
        })
        // At this level it writes down whole requests and frames, and with them tokens and keys.
        .filter_module("tungstenite", log::LevelFilter::Info)
        .init();
}
