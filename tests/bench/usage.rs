//! What the kernel says of a process (proc(5)).
#![allow(dead_code)]

use std::fs;

/// Seconds of CPU so far of all its threads, the kernel's included.
pub(crate) fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind_the_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = behind_the_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    // Fields 14 and 15 of the whole line; Linux has shown them in 1/100 s for ever.
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// A size in KiB that is counted for it, `VmRSS` or `VmHWM`; `None` if it has ended.
pub(crate) fn memory(process: u32, entry: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(entry))?;
    line.trim_start_matches(':')
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()
}
