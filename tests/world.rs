//! Tests of some hours and of short cases in a simulated world. `cargo bench --bench world` runs
//! many whole days.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "world/mod.rs"]
mod simulated;

#[test]
fn every_case_of_the_issue_keeps_all_promises() {
    let only = std::env::var("CASE").ok();
    let mut broken = Vec::new();
    for (name, scenario) in simulated::cases() {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let outcome = simulated::run(&scenario);
        if only.is_some() {
            outcome.story.iter().for_each(|line| println!("{line}"));
        }
        if let Some(found) = outcome.broken {
            broken.push(format!("{name}: {}", found.told()));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_wrong_price_looks_live_in_some_simulated_hours() {
    for nth in 0..3 {
        let mut scenario = simulated::Scenario::draw(1, nth);
        scenario.shorten(1);
        let outcome = simulated::run(&scenario);
        if let Some(broken) = outcome.broken {
            let tail = outcome.story.len().saturating_sub(12);
            let story = outcome.story[tail..].join("\n");
            panic!("{}\n{story}\n{}", scenario.told(), broken.told());
        }
    }
}

/// Prints the story of one scenario: `WORLD=seed:nth cargo test --test world one -- --ignored`.
#[test]
#[ignore]
fn one_scenario_keeps_all_promises_and_prints_its_story() {
    let which = std::env::var("WORLD").unwrap();
    let (seed, nth) = which.split_once(':').unwrap();
    let scenario = simulated::Scenario::draw(seed.parse().unwrap(), nth.parse().unwrap());
    let outcome = simulated::run(&scenario);
    outcome.story.iter().for_each(|line| println!("{line}"));
    println!("{}", scenario.told());
    assert!(outcome.broken.is_none(), "{:#?}", outcome.broken);
}
