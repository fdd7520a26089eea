//! The state of the alert rules. This module owns which alert is shown and for how long. The caller
//! passes fresh values only.

use core::time::Duration;

use crate::config::settings::{AlertRule, TickerSettings};
use crate::market::{Change, Price, Symbol};
use crate::render::Threshold;
use crate::time::Moment;

/// The duration of each half of a flash, lit and dark, in milliseconds.
const FLASH: u64 = 500;
/// The minimum time between the end of an alert and its next start. A value that moves around the
/// threshold would otherwise flash all day.
const REARM_AFTER: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AlertState {
    /// The value has not crossed the threshold yet.
    Armed,
    /// The value has crossed the threshold, and the display shows the alert.
    Shown { until: Moment },
    /// The alert has been shown for its full time, which counts as an acknowledgement.
    Seen { since: Moment },
}

/// The states of all alert rules; see the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alerts {
    rules: Vec<RuleState>,
}

/// A rule and the state of its alert.
#[derive(Clone, Debug)]
struct RuleState {
    rule: AlertRule,
    /// The symbol of the rule; it identifies the rule if the order of the watchlist changes.
    symbol: Symbol,
    state: AlertState,
}

impl Alerts {
    /// Replaces the rules. A rule with the same symbol and threshold keeps its state, even if the
    /// symbol has moved on the watchlist.
    pub(crate) fn replace(&mut self, settings: &TickerSettings) {
        let before = core::mem::take(&mut self.rules);
        self.rules.extend(settings.alerts.iter().filter_map(|rule| {
            let symbol = settings.watchlist.get(rule.place)?;
            let same = before
                .iter()
                .find(|known| known.symbol == *symbol && known.rule.threshold == rule.threshold);
            Some(RuleState {
                rule: *rule,
                symbol: symbol.clone(),
                state: same.map_or(AlertState::Armed, |known| known.state),
            })
        }));
    }

    /// Returns true if a rule exists for this instrument.
    pub(crate) fn watches(&self, index: usize) -> bool {
        self.rules.iter().any(|known| known.rule.place == index)
    }

    /// Checks a fresh value against the rules of its instrument.
    pub(crate) fn check(
        &mut self,
        index: usize,
        price: Price,
        change: Option<Change>,
        now: Moment,
    ) {
        let known = self.rules.iter_mut();
        for RuleState { rule, state, .. } in known.filter(|known| known.rule.place == index) {
            let crossed = match rule.threshold {
                Threshold::Above(limit) => price >= limit,
                Threshold::Below(limit) => price <= limit,
                Threshold::Moved(points) => change
                    .and_then(Change::basis_points)
                    .is_some_and(|moved| moved.abs() >= points),
            };
            *state = match *state {
                AlertState::Armed if crossed => AlertState::Shown {
                    until: now + rule.shown,
                },
                AlertState::Shown { until } if now >= until => AlertState::Seen { since: until },
                AlertState::Seen { since } if !crossed && now.since(since) >= REARM_AFTER => {
                    AlertState::Armed
                }
                same => same,
            };
        }
    }

    /// Returns the rule of the newest active alert, and true if the flash is in its lit half.
    pub(crate) fn on(&self, now: Moment) -> Option<(AlertRule, bool)> {
        let shown = self.rules.iter().filter_map(|known| match known.state {
            AlertState::Shown { until } if now < until => Some((until, &known.rule)),
            _ => None,
        });
        let (_, rule) = shown.max_by_key(|(until, _)| *until)?;
        Some((*rule, (now.as_millis() / FLASH).is_multiple_of(2)))
    }

    /// Ends the alerts on the display, because a person has seen them. Returns true if there were
    /// any.
    pub(crate) fn acknowledge(&mut self, now: Moment) -> bool {
        let mut ended = false;
        for known in &mut self.rules {
            if matches!(known.state, AlertState::Shown { until } if now < until) {
                known.state = AlertState::Seen { since: now };
                ended = true;
            }
        }
        ended
    }

    /// Returns the time of the next change of the flash; [`Moment::NEVER`] if no alert is active.
    pub(crate) fn deadline(&self, now: Moment) -> Moment {
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

    /// Returns settings with this watchlist and with rules for places on it.
    fn settings(names: &[&str], rules: &[(usize, Threshold)]) -> TickerSettings {
        let symbols = names.iter().map(|name| name.parse().unwrap());
        let rule = |&(place, threshold): &(usize, Threshold)| AlertRule {
            place,
            threshold,
            shown: Duration::from_secs(60),
        };
        TickerSettings {
            alerts: rules.iter().map(rule).collect(),
            ..TickerSettings::of(symbols.collect())
        }
    }

    fn alerts(threshold: Threshold) -> Alerts {
        let mut alerts = Alerts::default();
        alerts.replace(&settings(&["SPX"], &[(0, threshold)]));
        alerts
    }

    fn check(alerts: &mut Alerts, value: i64, secs: u64) -> bool {
        let change = price(value).change_from(price(100));
        alerts.check(0, price(value), Some(change), at(secs));
        alerts.on(at(secs)).is_some()
    }

    #[test]
    fn a_crossed_threshold_is_shown_once_until_the_value_returns() {
        let mut alerts = alerts(Threshold::Above(price(10)));
        assert!(!check(&mut alerts, 9, 0));
        assert!(check(&mut alerts, 10, 1));
        assert!(check(&mut alerts, 5, 60));
        assert!(!check(&mut alerts, 11, 61));
        assert!(!check(&mut alerts, 12, 1000));
    }

    #[test]
    fn an_alert_is_raised_again_only_after_the_value_returns_and_minutes_pass() {
        let mut alerts = alerts(Threshold::Below(price(10)));
        assert!(check(&mut alerts, 10, 0));
        assert!(!check(&mut alerts, 11, 60));
        assert!(!check(&mut alerts, 9, 70), "it trembles at the threshold");
        assert!(!check(&mut alerts, 11, 360));
        assert!(check(&mut alerts, 9, 361));
    }

    #[test]
    fn an_acknowledged_alert_ends_and_is_not_raised_again_by_the_same_crossing() {
        let mut alerts = alerts(Threshold::Above(price(10)));
        assert!(!alerts.acknowledge(at(0)));
        assert!(check(&mut alerts, 10, 1));
        assert!(alerts.acknowledge(at(2)));
        assert_eq!(alerts.on(at(2)), None);
        assert!(!check(&mut alerts, 12, 3));
        assert!(!alerts.acknowledge(at(4)));
    }

    #[test]
    fn a_move_alert_is_raised_in_both_directions() {
        for (value, raised) in [(101, false), (102, true), (98, true), (99, false)] {
            let mut alerts = alerts(Threshold::Moved(200));
            assert_eq!(check(&mut alerts, value, 0), raised, "{value}");
        }
        let mut alerts = alerts(Threshold::Moved(200));
        alerts.check(0, price(500), None, at(0));
        assert_eq!(alerts.on(at(0)), None, "a change that is not known is none");
    }

    #[test]
    fn an_alert_toggles_twice_a_second_and_the_newest_alert_is_shown() {
        let [ten, five] = [10, 5].map(|whole| Threshold::Above(price(whole)));
        let mut alerts = Alerts::default();
        alerts.replace(&settings(&["SPX", "VIX"], &[(0, ten), (1, five)]));
        check(&mut alerts, 10, 0);
        alerts.check(1, price(6), None, at(1));
        let lit = |millis| alerts.on(Moment::from_millis(millis)).unwrap();
        assert_eq!(
            (lit(1000).0.place, lit(1000).1, lit(1500).1),
            (1, true, false)
        );
        assert_eq!(alerts.deadline(at(1)), Moment::from_millis(1500));
        assert!(alerts.watches(1) && !alerts.watches(2));
    }

    #[test]
    fn a_shown_alert_is_not_repeated_after_a_change_of_the_watchlist() {
        let above = Threshold::Above(price(10));
        let mut alerts = alerts(above);
        check(&mut alerts, 10, 0);
        alerts.replace(&settings(&["VIX", "SPX"], &[(1, above)]));
        let (rule, _) = alerts.on(at(1)).unwrap();
        assert_eq!(rule.place, 1, "it is on, and finds its symbol");
        alerts.check(1, price(11), None, at(60));
        assert!(alerts.on(at(60)).is_none(), "it has been seen");
        alerts.replace(&settings(&["SPY", "VIX", "SPX"], &[(2, above)]));
        alerts.check(2, price(12), None, at(61));
        assert!(alerts.on(at(61)).is_none(), "and stays so");
        // The same threshold for another symbol, and another threshold for the same symbol, are new
        // rules.
        for (place, threshold, crossed) in [(0, above, 12), (2, Threshold::Above(price(20)), 20)] {
            let rules = settings(&["SPY", "VIX", "SPX"], &[(2, above), (place, threshold)]);
            alerts.replace(&rules);
            alerts.check(place, price(crossed), None, at(62));
            assert_eq!(
                alerts.on(at(62)).map(|(rule, _)| rule),
                Some(rules.alerts[1])
            );
        }
    }

    #[test]
    fn a_rule_that_is_removed_and_added_again_is_a_new_rule() {
        let above = Threshold::Above(price(10));
        let mut alerts = alerts(above);
        check(&mut alerts, 10, 0);
        alerts.replace(&settings(&["SPX"], &[]));
        assert!(alerts.on(at(1)).is_none());
        alerts.replace(&settings(&["SPX"], &[(0, above)]));
        assert!(check(&mut alerts, 10, 100));
    }
}
