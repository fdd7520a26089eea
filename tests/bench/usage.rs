//! Reads the resource usage of a process from `/proc` (proc(5)).
#![allow(dead_code)]

use std::fs;

/// The CPU time of all threads of a process so far, in seconds, including the time in the kernel.
pub(crate) fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind_the_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = behind_the_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    // These are the fields 14 and 15 of the whole line (proc(5)). Linux has always reported these
    // fields in units of 1/100 s.
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// A memory size of a process in KiB. `entry` is `VmRSS` or `VmHWM`. `None` if the process has
/// ended.
pub(crate) fn memory(process: u32, entry: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(entry))?;
    line.trim_start_matches(':')
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()
}
