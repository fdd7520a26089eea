//! The status as metrics in the text format of Prometheus. Pure.
//!
//! A price is only there with its freshness as a label: a query for `freshness="live"` never returns
//! an old price, because a series without a new sample ends.

use std::fmt::Write;

use super::status::{LinkStatus, Status, ValueStatus};

/// Returns all metrics of the display.
pub(super) fn render(status: &Status) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        if samples.is_empty() {
            return;
        }
        let name = format!("deskticker_{name}");
        // A write to a `String` cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let version = format!("{{version=\"{}\"}}", status.version);
    family(
        "build_info",
        "gauge",
        "The version of the program.",
        &[(version, 1.0)],
    );
    let uptime = one(status.uptime_ms as f64 / 1e3);
    family(
        "uptime_seconds",
        "gauge",
        "Time since the start of the program.",
        &uptime,
    );
    let agreed = one(f64::from(u8::from(status.time.is_some())));
    family(
        "clock_agreed",
        "gauge",
        "1 if two time sources agree.",
        &agreed,
    );
    let problem = one(f64::from(u8::from(status.problem.is_some())));
    family(
        "problem",
        "gauge",
        "1 if the configuration has a problem.",
        &problem,
    );
    if let Some(link) = &status.link {
        for (name, kind, help, value) in link_samples(link) {
            if let Some((labels, value)) = value {
                family(name, kind, help, &[(labels, value)]);
            }
        }
    }
    let samples = |value: fn(&ValueStatus) -> Option<f64>| -> Vec<(String, f64)> {
        let values = status.values.iter();
        let known = values.filter_map(|row| Some((labels(row), value(row)?)));
        known.collect()
    };
    let prices = samples(|row| row.price);
    family("price", "gauge", "The price with its freshness.", &prices);
    let changes = samples(|row| row.change_percent);
    family(
        "change_percent",
        "gauge",
        "Change since the previous close.",
        &changes,
    );
    let ages = samples(|row| Some(row.age_ms? as f64 / 1e3));
    family("price_age_seconds", "gauge", "The age of the price.", &ages);
    text
}

/// A metric of the link: its name, type and help, and its labels and value if it is known.
type LinkSample = (
    &'static str,
    &'static str,
    &'static str,
    Option<(String, f64)>,
);

fn link_samples(link: &LinkStatus) -> [LinkSample; 6] {
    let plain = |value: f64| Some((String::new(), value));
    let seconds = |millis: u64| millis as f64 / 1e3;
    let state = format!(
        "{{state=\"{}\",failing=\"{}\"}}",
        link.state,
        link.failing.unwrap_or("")
    );
    [
        (
            "link_state",
            "gauge",
            "The state of the link.",
            Some((state, 1.0)),
        ),
        (
            "link_state_seconds",
            "gauge",
            "Time since the link has this state.",
            plain(seconds(link.since_ms)),
        ),
        (
            "reconnects_total",
            "counter",
            "Reconnections since the start.",
            plain(f64::from(link.reconnects)),
        ),
        (
            "latency_seconds",
            "gauge",
            "Time from the timestamp of a value to its receipt.",
            link.latency_ms
                .map(|millis| (String::new(), millis as f64 / 1e3)),
        ),
        (
            "last_message_seconds",
            "gauge",
            "Time since the last message.",
            link.last_message_ms
                .map(|millis| (String::new(), seconds(millis))),
        ),
        (
            "lit_seconds_total",
            "counter",
            "Time for which the most used dot of the panel has been lit, in whole hours.",
            plain(f64::from(link.lit_hours) * 3600.0),
        ),
    ]
}

fn labels(row: &ValueStatus) -> String {
    let simulated = if row.simulated {
        ",simulated=\"yes\""
    } else {
        ""
    };
    format!(
        "{{symbol=\"{}\",freshness=\"{}\"{simulated}}}",
        escaped(&row.symbol),
        row.freshness
    )
}

/// Escapes the value of a label (Prometheus exposition format).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
