//! The dimming periods of the configuration: the tables `[[night]]`.

use serde::Deserialize;
use toml::Spanned;

use super::settings::{DimmingPeriod, MinuteOfDay};
use super::toml_reader::number;
use super::{ConfigError, ConfigReader};

/// The names of the weekdays in the configuration file.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [[night]], and its settings below")]
pub(super) struct NightTable {
    days: Option<Spanned<Vec<Spanned<String>>>>,
    from: Spanned<String>,
    to: Spanned<String>,
    brightness: Option<Spanned<i64>>,
    #[serde(default)]
    off: bool,
}

impl ConfigReader<'_> {
    pub(super) fn night(&self, table: &Spanned<NightTable>) -> Result<DimmingPeriod, ConfigError> {
        let night = table.get_ref();
        let mut days = [night.days.is_none(); 7];
        if let Some(names) = &night.days {
            for name in names.get_ref() {
                days[self.read("days", name, day)?] = true;
            }
            if names.get_ref().is_empty() {
                let reason = "days: the list is empty, expected days, like [\"sat\", \"sun\"]; \
                              without this line the night is on all days";
                return Err(self.error(Some(names.span()), reason));
            }
        }
        // A period begins at 23:59 at the latest and may end at the end of the day, 24:00.
        let from = self.read("from", &night.from, |text| minute(text, 1439, "23:59"))?;
        let to = self.read("to", &night.to, |text| minute(text, 1440, "24:00"))?;
        if from == to {
            let reason = "to: the night ends at the time when it begins; a whole day is from \
                          \"00:00\" to \"24:00\"";
            return Err(self.error(Some(night.to.span()), reason));
        }
        let brightness = match (&night.brightness, night.off) {
            (Some(value), false) => Some(self.read("brightness", value, brightness)?),
            (None, true) => None,
            _ => {
                let reason = "a night has either a brightness, 0 to 255, or off = true";
                return Err(self.error(Some(table.span()), reason));
            }
        };
        Ok(DimmingPeriod {
            days,
            from,
            to,
            brightness,
        })
    }
}

pub(super) fn brightness(value: &i64) -> Result<u8, String> {
    number(*value, 0..=255, "0 (dimmest) to 255")
}

fn day(name: &str) -> Result<usize, String> {
    let day = DAYS.iter().position(|day| *day == name);
    day.ok_or_else(|| {
        let known = DAYS.join(", ");
        format!("{name:?}, expected names of this list: {known}")
    })
}

/// Reads a minute of the day, from 0 to `last` inclusive; `latest` is the text of `last`.
fn minute(text: &str, last: MinuteOfDay, latest: &str) -> Result<MinuteOfDay, String> {
    let two = |digits: &str| -> Option<MinuteOfDay> {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)))
        .filter(|(_, minute)| *minute < 60)
        .map(|(hour, minute)| hour * 60 + minute)
        .filter(|minute| *minute <= last)
        .ok_or_else(|| format!("{text:?}, expected \"00:00\" to \"{latest}\""))
}
