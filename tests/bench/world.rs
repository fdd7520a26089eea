//! Runs many days of a simulated world on two threads and reports every broken rule. The command is
//! `cargo bench --bench world -- ARGUMENTS` with `--minutes N`, `--days N` or `--seed S`.
//!
//! `--from NTH` leaves out the worlds before this one. `--only NTH` runs one world and prints all its events. `--skip RULE` ignores a known fault, so
//! that other faults become visible.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../world/mod.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulated::{Counts, Outcome, Rule, Scenario, What, Word, reduce, run, skip};

const THREADS: usize = 2;

fn argument(name: &str) -> Option<u64> {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == name)?;
    Some(words[at + 1].parse().unwrap())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let skipped = words
        .iter()
        .zip(words.iter().skip(1))
        .filter(|(name, _)| *name == "--skip");
    skipped.for_each(|(_, rule)| skip(rule));
    let seed = argument("--seed").unwrap_or(1);
    if let Some(nth) = argument("--only") {
        let scenario = Scenario::draw(seed, nth);
        let outcome = run(&scenario);
        outcome.story.iter().for_each(|line| println!("{line}"));
        println!("{}", scenario.told());
        println!("{:#?}", outcome.broken);
        return ExitCode::from(u8::from(outcome.broken.is_some()));
    }
    let days = argument("--days").unwrap_or(u64::MAX);
    let minutes = argument("--minutes").unwrap_or(if days == u64::MAX { 4 } else { 600 });
    let began = Instant::now();
    let end = began + Duration::from_secs(60 * minutes);
    let first = argument("--from").unwrap_or(0);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Counts::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= days || Instant::now() > end {
                        return;
                    }
                    let scenario = Scenario::draw(seed, nth);
                    let outcome = run(&scenario);
                    let mut total = total.lock().unwrap();
                    total.0.add(&outcome.counts);
                    if let Some(broken) = &outcome.broken {
                        println!("world {nth} of seed {seed}: {broken:?}");
                        total.1.push((nth, scenario, outcome));
                    }
                }
            });
        }
    });
    let (counts, mut broken) = total.into_inner().unwrap();
    broken.sort_by_key(|(nth, ..)| *nth);
    let missing = tell(&counts, began.elapsed());
    let mut kinds: BTreeMap<Rule, Vec<u64>> = BTreeMap::new();
    for (nth, _, outcome) in &broken {
        let rule = outcome.broken.as_ref().unwrap().rule;
        let seeds = kinds.entry(rule).or_default();
        seeds.push(*nth);
        if seeds.len() <= 3 {
            story(
                seed,
                *nth,
                &broken.iter().find(|(at, ..)| at == nth).unwrap().1,
                outcome,
            );
        }
    }
    for (rule, seeds) in &kinds {
        println!(
            "{rule:?}: {} worlds: {:?}",
            seeds.len(),
            &seeds[..seeds.len().min(12)]
        );
    }
    println!(
        "{} of {} worlds broke a promise",
        broken.len(),
        next.load(Ordering::Relaxed) - first
    );
    ExitCode::from(u8::from(!broken.is_empty() || missing))
}

fn story(seed: u64, nth: u64, scenario: &Scenario, outcome: &Outcome) {
    let (scenario, outcome) = reduce(scenario, outcome.broken.as_ref().unwrap());
    println!("--- seed {seed}, world {nth}: {}", scenario.told());
    scenario
        .faults
        .iter()
        .for_each(|fault| println!("    with {}", fault.told()));
    let tail = outcome.story.len().saturating_sub(8);
    outcome.story[tail..]
        .iter()
        .for_each(|line| println!("    {line}"));
    if let Some(broken) = &outcome.broken {
        println!("    {}", broken.told());
    }
}

/// Prints the number of occurrences of each event. Returns true if an event never occurred.
fn tell(counts: &Counts, took: Duration) -> bool {
    let minutes = took.as_secs_f64() / 60.0;
    println!(
        "{:.0} days in {minutes:.1} minutes ({:.0} a minute), {} values, {} pictures",
        counts.days,
        counts.days / minutes,
        counts.values,
        counts.pictures
    );
    let mut missing = false;
    let mut line = |name: String, count: u64| {
        missing |= count == 0;
        println!("  {count:>9}  {name}");
    };
    for (what, count) in What::ALL.iter().zip(counts.faults) {
        line(format!("{what:?}"), count);
    }
    for ((_, word), count) in Word::ALL.iter().zip(counts.words) {
        line((*word).to_owned(), count);
    }
    line("plain".into(), counts.plain);
    line("struck".into(), counts.struck);
    line("dashes".into(), counts.dashes);
    line("no time of day".into(), counts.no_time);
    let mut recoveries = counts.recoveries.clone();
    recoveries.sort_unstable();
    if !recoveries.is_empty() {
        let at = |part: f64| {
            f64::from(recoveries[((recoveries.len() - 1) as f64 * part) as usize]) / 1000.0
        };
        println!(
            "  recoveries: {}, p50 {:.1} s, p95 {:.1} s, p99 {:.1} s",
            recoveries.len(),
            at(0.5),
            at(0.95),
            at(0.99)
        );
    }
    missing
}
