//! The alert rules of the configuration: the tables `[[alert]]`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::pages::{place, seconds};
use super::settings::AlertRule;
use super::{ConfigError, ConfigReader};
use crate::market::{Price, Symbol};
use crate::render::Threshold;

/// The default duration of an alert.
const SHOWN: Duration = Duration::from_secs(60);
/// The maximum of `change_percent`. A larger value is a typing error.
const MOST: f64 = 1000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [[alert]], and its settings below")]
pub(super) struct AlertTable {
    symbol: Spanned<String>,
    above: Option<Spanned<f64>>,
    below: Option<Spanned<f64>>,
    change_percent: Option<Spanned<f64>>,
    seconds: Option<Spanned<i64>>,
}

impl ConfigReader<'_> {
    pub(super) fn alert(
        &self,
        table: &Spanned<AlertTable>,
        watchlist: &[Symbol],
    ) -> Result<AlertRule, ConfigError> {
        let alert = table.get_ref();
        let place = self.read("symbol", &alert.symbol, |name: &str| {
            place(name.trim(), watchlist)
        })?;
        let negative = watchlist[place].may_be_negative();
        let price = |key, value| self.read(key, value, |value: &f64| price(*value, negative));
        let threshold = match (&alert.above, &alert.below, &alert.change_percent) {
            (Some(above), None, None) => Threshold::Above(price("above", above)?),
            (None, Some(below), None) => Threshold::Below(price("below", below)?),
            (None, None, Some(percent)) => {
                self.read("change_percent", percent, |percent: &f64| {
                    // The unit is 1/100 percent. Every value would raise an alert with a smaller
                    // threshold than one unit.
                    let points = (percent * 100.0).round();
                    match (1.0..=MOST * 100.0).contains(&points) {
                        true => Ok(Threshold::Moved(points as i64)),
                        false => Err(format!(
                            "{percent}, expected 0.01 to {MOST}; a rise and a fall both count"
                        )),
                    }
                })?
            }
            _ => {
                let reason = "an alert has exactly one of above, below and change_percent";
                return Err(self.error(Some(table.span()), reason));
            }
        };
        let mut shown = SHOWN;
        self.set(&mut shown, "seconds", &alert.seconds, |value: &i64| {
            seconds(*value, 5..=3600, "5 to 3600")
        })?;
        Ok(AlertRule {
            place,
            threshold,
            shown,
        })
    }
}

/// Reads a threshold. Zero and negative values are allowed only for a symbol whose value can be
/// negative.
fn price(value: f64, negative: bool) -> Result<Price, String> {
    let price = Price::from_f64(value).filter(|price| negative || price.scaled() > 0);
    price.ok_or_else(|| {
        let least = if negative { "-100000000" } else { "0" };
        format!("{value}, expected a price, above {least} and below 100000000")
    })
}
