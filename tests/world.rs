//! Some days of a world that is simulated; `cargo bench --bench world` lives through many more.
#![allow(clippy::unwrap_used)]

#[path = "world/mod.rs"]
mod simulated;

#[test]
fn nothing_untrue_looks_true_for_some_days() {
    for nth in 0..6 {
        let scenario = simulated::Scenario::draw(1, nth);
        let outcome = simulated::run(&scenario);
        if let Some(broken) = outcome.broken {
            let tail = outcome.story.len().saturating_sub(44);
            panic!(
                "{}\n{}\n{broken:#?}",
                scenario.told(),
                outcome.story[tail..].join("\n")
            );
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
