//! Reduces a world that breaks a rule: it removes faults and shortens the day.

use super::hours::{MINUTE, SECOND};
use super::judge::Broken;
use super::run::{Outcome, run};
use super::scenario::Scenario;

/// Returns the smallest world that still breaks the same rule for the same instrument.
pub(crate) fn reduce(scenario: &Scenario, broken: &Broken) -> (Scenario, Outcome) {
    let same = |scenario: &Scenario| {
        let outcome = run(scenario);
        let found = outcome.broken.as_ref();
        let same =
            found.is_some_and(|found| found.rule == broken.rule && found.place == broken.place);
        same.then_some(outcome)
    };
    let mut best = scenario.clone();
    best.end = broken.at + SECOND;
    let Some(mut outcome) = same(&best) else {
        return (scenario.clone(), run(scenario));
    };
    let mut attempt = |best: &mut Scenario, smaller: Scenario| {
        if let Some(found) = same(&smaller) {
            (*best, outcome) = (smaller, found);
            return true;
        }
        false
    };
    let mut at = 0;
    while at < best.faults.len() {
        let mut smaller = best.clone();
        smaller.faults.remove(at);
        if !attempt(&mut best, smaller) {
            at += 1;
        }
    }
    // Tries later starts, the latest first. A later start changes the random values, so the broken
    // rule may not appear again.
    for before in [1, 3, 10, 60, 240] {
        let start = broken.at - before * MINUTE;
        let late = best.faults.iter().all(|fault| fault.from > start);
        if start > best.start && late {
            let smaller = Scenario {
                start,
                ..best.clone()
            };
            if attempt(&mut best, smaller) {
                break;
            }
        }
    }
    (best, outcome)
}
