//! The metrics of the process and of the build, with the names that all Prometheus clients use.
//! Reads `/proc/self`; a value that cannot be read is omitted.

use std::fmt::{Display, Write};
use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{family, sample};
use crate::time::Now;

/// Writes the metrics of the process. The monotonic time of the program is zero at its start.
pub(in crate::hub) fn render(text: &mut String, now: Now) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    let mut write = |name: &str, kind: &str, help: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            // A write to a `String` cannot fail.
            let _ = writeln!(
                text,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}"
            );
        }
    };
    let help = "User and system CPU time.";
    write("cpu_seconds_total", "counter", help, Some(&cpu));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // The kernel writes sizes in units of 1024 bytes.
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let bytes = |name: &str| field(name).map(|size| size * 1024);
    for (name, value, help) in [
        ("resident_memory_bytes", bytes("VmRSS:"), "Resident memory."),
        ("virtual_memory_bytes", bytes("VmSize:"), "Virtual memory."),
        ("threads", field("Threads:"), "Threads."),
        ("open_fds", open_files(), "Open file descriptors."),
        (
            "max_fds",
            getrlimit(Resource::Nofile).current,
            "The maximum number of open file descriptors.",
        ),
    ] {
        write(name, "gauge", help, value.as_ref().map(|value| value as _));
    }
    let start = now.utc.map(|utc| {
        let start = utc.0.saturating_sub_unsigned(now.monotonic.as_millis());
        start as f64 / 1000.0
    });
    let help = "Start of the process, in seconds since 1970.";
    let start = start.as_ref().map(|start| start as _);
    write("start_time_seconds", "gauge", help, start);

    family(text, "build_info", "gauge", "The version of the program.");
    let (version, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let labels = format!("version=\"{version}\",arch=\"{machine}\"");
    sample(text, "build_info", &labels, 1);
}

/// Returns the number of open file descriptors, without the descriptor that this function uses.
fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?;
    Some((files.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Moment, Utc};

    #[test]
    fn the_process_has_memory_files_and_a_start_before_now() {
        let now = Now::new(Moment::from_secs(100), Utc(1_780_326_000_000));
        let mut text = String::new();
        render(&mut text, now);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_threads ") >= 1.0);
        assert_eq!(value("process_start_time_seconds "), 1_780_325_900.0);
        assert!(text.contains(concat!(
            "{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\",arch="
        )));
    }
}
