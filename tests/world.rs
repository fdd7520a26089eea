//! Some days of a world that is simulated; `cargo bench --bench world` lives through many more.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "world/mod.rs"]
mod simulated;

#[test]
fn each_case_of_the_issue_in_a_short_world_breaks_no_promise() {
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
fn nothing_untrue_looks_true_for_some_hours_of_some_days() {
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

/// For who looks into one of them: `WORLD=seed:nth cargo test --test world one -- --ignored`.
#[test]
#[ignore]
fn one_of_them_and_its_whole_story() {
    let which = std::env::var("WORLD").unwrap();
    let (seed, nth) = which.split_once(':').unwrap();
    let scenario = simulated::Scenario::draw(seed.parse().unwrap(), nth.parse().unwrap());
    let outcome = simulated::run(&scenario);
    outcome.story.iter().for_each(|line| println!("{line}"));
    println!("{}", scenario.told());
    assert!(outcome.broken.is_none(), "{:#?}", outcome.broken);
}
