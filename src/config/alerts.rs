//! The alert rules of the configuration: the tables `[[alert]]`.

use std::time::Duration;

use super::pages::place;
use super::settings::AlertRule;
use super::{ConfigReader, ConfigTable, Correction};
use crate::market::{Price, Symbol};
use crate::render::Threshold;

/// The default duration of an alert.
const SHOWN: Duration = Duration::from_secs(60);
/// The maximum of `change_percent`. A larger value is a typing error.
const MOST: f64 = 1000.0;

impl ConfigReader<'_> {
    pub(super) fn alert(
        &self,
        mut table: ConfigTable<'_, '_>,
        watchlist: &[Symbol],
    ) -> Option<AlertRule> {
        let span = table.span();
        let symbol = table.text("symbol");
        let (above, below) = (table.number("above"), table.number("below"));
        let (percent, seconds) = (table.number("change_percent"), table.whole("seconds"));
        let wrong = table.is_wrong();
        table.finish();
        let mut shown = SHOWN;
        self.set(&mut shown, "seconds", &seconds, |value: &i64| {
            super::pages::seconds(*value, 5..=3600, "5 to 3600")
        });
        let count = [&above, &below, &percent].into_iter().flatten().count();
        if count != 1 {
            let reason = "an alert has exactly one of above, below and change_percent";
            let mut error = self.error(Some(span.clone()), reason);
            error.correction = Some(Correction::words("for example: above = 6000.0"));
            match count {
                0 if wrong => {}
                0 => self.note_missing(error),
                _ => self.note(error),
            }
        }
        let Some(symbol) = symbol else {
            let reason = "this alert has no symbol, expected a line like symbol = \"SPX\"";
            if !wrong {
                self.note_missing(self.error(Some(span), reason));
            }
            return None;
        };
        // A wrong watchlist would cause an error for each alert.
        let place = match watchlist {
            [] => None,
            _ => self.read("symbol", &symbol, |name: &str| {
                place(name.trim(), watchlist)
            }),
        };
        // The price of a symbol that is not known can be negative.
        let negative = place.is_none_or(|place| watchlist[place].may_be_negative());
        let price = |key, value| self.read(key, value, |value: &f64| price(*value, negative));
        let threshold = match (&above, &below, &percent) {
            (Some(above), _, _) => Threshold::Above(price("above", above)?),
            (_, Some(below), _) => Threshold::Below(price("below", below)?),
            (_, _, Some(percent)) => self.read("change_percent", percent, |percent: &f64| {
                // The unit is 1/100 percent. If the threshold were smaller than one unit, every
                // value would raise an alert.
                let points = (percent * 100.0).round();
                match (1.0..=MOST * 100.0).contains(&points) {
                    true => Ok(Threshold::Moved(points as i64)),
                    false => Err(format!(
                        "{percent}, expected 0.01 to {MOST}; a rise and a fall both count"
                    )),
                }
            })?,
            _ => return None,
        };
        Some(AlertRule {
            place: place?,
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
