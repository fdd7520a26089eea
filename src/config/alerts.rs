//! The alert rules of the configuration: the tables `[[alert]]`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::settings::AlertRule;
use super::{ConfigError, ConfigReader};
use crate::market::{Price, Symbol};
use crate::render::Threshold;

/// The default duration of an alert, in seconds.
const SHOWN: u16 = 60;
/// The maximum of `change_percent`. A larger value is a typing error.
const MOST: f64 = 1000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
        let symbol = &alert.symbol;
        let place = self.place(symbol.get_ref().trim(), symbol, "symbol", watchlist)?;
        let negative = watchlist.get(place).is_some_and(Symbol::may_be_negative);
        let price = |number, key| self.price(number, key, negative);
        let threshold = match (&alert.above, &alert.below, &alert.change_percent) {
            (Some(above), None, None) => Threshold::Above(price(above, "above")?),
            (None, Some(below), None) => Threshold::Below(price(below, "below")?),
            (None, None, Some(percent)) => {
                // The unit is 1/100 percent. Every value would raise an alert with a smaller
                // threshold than one unit.
                let points = (percent.get_ref() * 100.0).round();
                if !(1.0..=MOST * 100.0).contains(&points) {
                    let message = format!(
                        "change_percent: {}, expected 0.01 to {MOST}; a rise and a fall both count",
                        percent.get_ref()
                    );
                    return Err(self.error(Some(percent.span()), message));
                }
                Threshold::Moved(points as i64)
            }
            _ => {
                let reason = "an alert has exactly one of above, below and change_percent";
                return Err(self.error(Some(table.span()), reason));
            }
        };
        let seconds = match &alert.seconds {
            Some(seconds) => self.number(seconds, "seconds", 5..=3600, "5 to 3600")?,
            None => SHOWN,
        };
        Ok(AlertRule {
            place,
            threshold,
            shown: Duration::from_secs(seconds.into()),
        })
    }

    /// Reads a threshold. Zero and negative values are allowed only for a symbol whose value can be
    /// negative.
    fn price(
        &self,
        number: &Spanned<f64>,
        key: &str,
        negative: bool,
    ) -> Result<Price, ConfigError> {
        let price = Price::from_f64(*number.get_ref());
        let price = price.filter(|price| negative || price.scaled() > 0);
        price.ok_or_else(|| {
            let least = if negative { "-100000000" } else { "0" };
            let message = format!(
                "{key}: {}, expected a price, above {least} and below 100000000",
                number.get_ref()
            );
            self.error(Some(number.span()), message)
        })
    }
}
