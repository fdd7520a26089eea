//! The dimming periods of the configuration: the tables `[[night]]`.

use serde::Deserialize;
use toml::Spanned;

use super::settings::{DimmingPeriod, MinuteOfDay};
use super::{ConfigError, ConfigReader};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NightTable {
    days: Option<Spanned<Vec<Spanned<String>>>>,
    from: Spanned<String>,
    to: Spanned<String>,
    brightness: Option<Spanned<i64>>,
    off: Option<bool>,
}

impl ConfigReader<'_> {
    pub(super) fn night(&self, table: &Spanned<NightTable>) -> Result<DimmingPeriod, ConfigError> {
        let night = table.get_ref();
        let days = match &night.days {
            Some(days) => self.days(days)?,
            None => [true; 7],
        };
        // A period begins at 23:59 at the latest and may end at the end of the day, 24:00.
        let from = self.minute(&night.from, "from", 1439, "\"00:00\" to \"23:59\"")?;
        let to = self.minute(&night.to, "to", 1440, "\"00:00\" to \"24:00\"")?;
        if from == to {
            let reason = "to: the night ends at the time when it begins; a whole day is from \
                          \"00:00\" to \"24:00\"";
            return Err(self.error(Some(night.to.span()), reason));
        }
        let brightness = match (&night.brightness, night.off.unwrap_or(false)) {
            (Some(brightness), false) => Some(self.brightness(brightness)?),
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

    pub(super) fn brightness(&self, value: &Spanned<i64>) -> Result<u8, ConfigError> {
        self.number(value, "brightness", 0..=255, "0 (dimmest) to 255")
    }

    fn days(&self, names: &Spanned<Vec<Spanned<String>>>) -> Result<[bool; 7], ConfigError> {
        let mut days = [false; 7];
        for name in names.get_ref() {
            let Some(day) = DAYS.iter().position(|day| day == name.get_ref()) else {
                let known = DAYS.join(", ");
                let message = format!(
                    "days: {:?}, expected names of this list: {known}",
                    name.get_ref()
                );
                return Err(self.error(Some(name.span()), message));
            };
            days[day] = true;
        }
        if names.get_ref().is_empty() {
            let reason = "days: the list is empty, expected days, like [\"sat\", \"sun\"]; without \
                          this line the night is on all days";
            return Err(self.error(Some(names.span()), reason));
        }
        Ok(days)
    }

    /// Reads a minute of the day, from 0 to `last` inclusive.
    fn minute(
        &self,
        text: &Spanned<String>,
        key: &str,
        last: MinuteOfDay,
        expected: &str,
    ) -> Result<MinuteOfDay, ConfigError> {
        let two = |digits: &str| -> Option<MinuteOfDay> {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain)
        };
        let time = text.get_ref().split_once(':');
        let time = time.and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
        let minute = time
            .filter(|(_, minute)| *minute < 60)
            .map(|(hour, minute)| hour * 60 + minute);
        minute.filter(|minute| *minute <= last).ok_or_else(|| {
            let message = format!("{key}: {:?}, expected {expected}", text.get_ref());
            self.error(Some(text.span()), message)
        })
    }
}
