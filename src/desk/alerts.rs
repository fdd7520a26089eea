//! Thresholds that were crossed. Owns which alert is on and until when; looks at fresh values
//! alone.

use core::time::Duration;

use super::settings::Rule;
use crate::clock::Moment;
use crate::market::{Change, Price};
use crate::screen::Threshold;

/// The lit and the dark half of a flash each take this long.
const FLASH: u64 = 500;
/// An alert that was shown is not raised again before this, however often its value crosses the
/// threshold: one that trembles there would flash all day.
const REST: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The value is on the near side of the threshold.
    Armed,
    /// It has crossed, and the glass says so.
    Shown { until: Moment },
    /// It was shown long enough, and that counts as acknowledged.
    Seen { since: Moment },
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Alerts {
    rules: Vec<(Rule, State)>,
}

impl Alerts {
    /// Takes other rules; those that stay keep what is known of them.
    pub(super) fn replace(&mut self, rules: &[Rule]) {
        let before = core::mem::take(&mut self.rules);
        let known = |rule: &Rule| before.iter().find(|(known, _)| known == rule);
        self.rules = rules
            .iter()
            .map(|rule| (*rule, known(rule).map_or(State::Armed, |(_, state)| *state)))
            .collect();
    }

    /// Whether a value of this instrument needs a look.
    pub(super) fn watches(&self, place: usize) -> bool {
        self.rules.iter().any(|(rule, _)| rule.place == place)
    }

    /// Looks at a fresh value.
    pub(super) fn look(&mut self, place: usize, price: Price, change: Option<Change>, now: Moment) {
        for (rule, state) in self
            .rules
            .iter_mut()
            .filter(|(rule, _)| rule.place == place)
        {
            let crossed = match rule.threshold {
                Threshold::Above(limit) => price >= limit,
                Threshold::Below(limit) => price <= limit,
                Threshold::Moved(points) => change
                    .and_then(Change::basis_points)
                    .is_some_and(|moved| moved.abs() >= points),
            };
            *state = match *state {
                State::Armed if crossed => State::Shown {
                    until: now + rule.shown,
                },
                State::Shown { until } if now >= until => State::Seen { since: until },
                State::Seen { since } if !crossed && now.since(since) >= REST => State::Armed,
                same => same,
            };
        }
    }

    /// The alert that is on, the newest of several, and whether it is the lit half of a flash.
    pub(super) fn on(&self, now: Moment) -> Option<(Rule, bool)> {
        let shown = self.rules.iter().filter_map(|(rule, state)| match state {
            State::Shown { until } if now < *until => Some((*until, rule)),
            _ => None,
        });
        let (_, rule) = shown.max_by_key(|(until, _)| *until)?;
        Some((*rule, (now.as_millis() / FLASH).is_multiple_of(2)))
    }

    /// When the glass would say something else.
    pub(super) fn deadline(&self, now: Moment) -> Moment {
        match self.on(now) {
            Some(_) => Moment::from_millis((now.as_millis() / FLASH + 1) * FLASH),
            None => Moment::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(whole: i64) -> Price {
        Price::from_scaled(whole * Price::SCALE)
    }

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn alerts(threshold: Threshold) -> Alerts {
        let mut alerts = Alerts::default();
        alerts.replace(&[Rule {
            place: 0,
            threshold,
            shown: Duration::from_secs(60),
        }]);
        alerts
    }

    fn look(alerts: &mut Alerts, value: i64, secs: u64) -> bool {
        let change = price(value).change_from(price(100));
        alerts.look(0, price(value), Some(change), at(secs));
        alerts.on(at(secs)).is_some()
    }

    #[test]
    fn a_crossed_threshold_is_shown_for_its_time_and_not_again_while_the_value_stays() {
        let mut alerts = alerts(Threshold::Above(price(10)));
        assert!(!look(&mut alerts, 9, 0));
        assert!(look(&mut alerts, 10, 1));
        assert!(look(&mut alerts, 5, 60));
        assert!(!look(&mut alerts, 11, 61));
        assert!(!look(&mut alerts, 12, 1000));
    }

    #[test]
    fn it_is_raised_again_once_the_value_has_been_back_and_some_minutes_have_passed() {
        let mut alerts = alerts(Threshold::Below(price(10)));
        assert!(look(&mut alerts, 10, 0));
        assert!(!look(&mut alerts, 11, 60));
        assert!(!look(&mut alerts, 9, 70), "it trembles at the threshold");
        assert!(!look(&mut alerts, 11, 360));
        assert!(look(&mut alerts, 9, 361));
    }

    #[test]
    fn a_move_counts_either_way() {
        for (value, raised) in [(101, false), (102, true), (98, true), (99, false)] {
            let mut alerts = alerts(Threshold::Moved(200));
            assert_eq!(look(&mut alerts, value, 0), raised, "{value}");
        }
        let mut alerts = alerts(Threshold::Moved(200));
        alerts.look(0, price(500), None, at(0));
        assert_eq!(alerts.on(at(0)), None, "a change that is not known is none");
    }

    #[test]
    fn it_flashes_twice_a_second_and_of_two_the_newest_is_on() {
        let mut alerts = alerts(Threshold::Above(price(10)));
        alerts.rules.push((
            Rule {
                place: 1,
                threshold: Threshold::Above(price(5)),
                shown: Duration::from_secs(60),
            },
            State::Armed,
        ));
        look(&mut alerts, 10, 0);
        alerts.look(1, price(6), None, at(1));
        let lit = |millis| alerts.on(Moment::from_millis(millis)).unwrap();
        assert_eq!(
            (lit(1000).0.place, lit(1000).1, lit(1500).1),
            (1, true, false)
        );
        assert_eq!(alerts.deadline(at(1)), Moment::from_millis(1500));
        assert!(alerts.watches(1) && !alerts.watches(2));
    }

    #[test]
    fn rules_that_stay_keep_what_is_known_of_them() {
        let mut alerts = alerts(Threshold::Above(price(10)));
        look(&mut alerts, 10, 0);
        let same: Vec<Rule> = alerts.rules.iter().map(|(rule, _)| *rule).collect();
        alerts.replace(&same);
        assert!(alerts.on(at(1)).is_some());
        alerts.replace(&[]);
        assert!(alerts.on(at(1)).is_none());
    }
}
