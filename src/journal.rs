//! The form of the programs' log lines. Owns where they go; it never decides what is said.

/// Whether a record may be written, whatever the filter asks for. Libraries log, at the levels
/// below info, the bytes that pass through them: tungstenite the request with the token in its
/// address, and the message with the key.
fn is_presentable(record: &log::Record<'_>) -> bool {
    // The library's name, and those of both programs.
    let ours = matches!(
        record.target().split("::").next(),
        Some("deskticker" | "deskticker_hub")
    );
    ours || record.level() <= log::Level::Info
}

/// Log lines go to standard error from now on, one an entry; at `default` unless RUST_LOG says
/// another level. The journal adds the time itself and wants the priority in front.
pub fn log_to_stderr(default: &str) {
    use std::io::Write;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default))
        .format(move |out, record| {
            if !is_presentable(record) {
                return Ok(());
            }
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
        .init();
}
