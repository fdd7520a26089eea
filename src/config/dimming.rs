//! The dimming periods of the configuration: the tables `[[night]]`.

use toml::Spanned;

use super::reader::number;
use super::settings::{DimmingPeriod, MinuteOfDay};
use super::{ConfigReader, ConfigTable, Correction, Mistake, nearest};

/// The names of the weekdays in the configuration file.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl ConfigReader<'_> {
    pub(super) fn night(&self, mut table: ConfigTable<'_, '_>) -> Option<DimmingPeriod> {
        let span = table.span();
        let (names, from, to) = (table.list("days"), table.text("from"), table.text("to"));
        let (level, off) = (table.whole("brightness"), table.flag("off"));
        let wrong = table.is_wrong();
        table.finish();
        let mut days = [names.is_none(); 7];
        if let Some(names) = &names {
            for name in names.get_ref() {
                if let Some(day) = self.item("days", name, day) {
                    days[day] = true;
                }
            }
            if names.get_ref().is_empty() {
                let reason = "the list is empty, expected days, like [\"sat\", \"sun\"]; without \
                              this line the night is on all days";
                self.mistake("days", names.span(), reason);
            }
        }
        let required = |name: &str, value: Option<Spanned<String>>| {
            if value.is_none() && !wrong {
                let reason =
                    format!("this night has no line `{name}`, for example {name} = \"22:00\"");
                self.note_missing(self.error(Some(span.clone()), reason));
            }
            value
        };
        let (from, to) = (required("from", from), required("to", to));
        // A period begins at 23:59 at the latest and may end at the end of the day, 24:00.
        let first =
            from.and_then(|from| self.read("from", &from, |text| minute(text, 1439, "23:59")));
        let last = to.as_ref();
        let last = last.and_then(|to| self.read("to", to, |text| minute(text, 1440, "24:00")));
        if let (true, Some(to)) = (first.is_some() && first == last, &to) {
            let reason = "the night ends at the time when it begins; a whole day is from \
                          \"00:00\" to \"24:00\"";
            self.mistake("to", to.span(), reason);
        }
        let level = match (&level, off.unwrap_or_default()) {
            (Some(value), false) => Some(self.read("brightness", value, brightness)?),
            (None, true) => None,
            (value, _) => {
                let reason = "a night has either a brightness, 0 to 255, or off = true";
                let mut error = self.error(Some(span.clone()), reason);
                error.correction = Some(Correction::words("for example: off = true"));
                match value {
                    None if wrong => {}
                    None => self.note_missing(error),
                    Some(_) => self.note(error),
                }
                return None;
            }
        };
        Some(DimmingPeriod {
            days,
            from: first?,
            to: last?,
            brightness: level,
        })
    }
}

pub(super) fn brightness(value: &i64) -> Result<u8, String> {
    number(*value, 0..=255, "0 (dimmest) to 255")
}

/// Reads a weekday: the first three letters or the whole name.
fn day(name: &str) -> Result<usize, Mistake> {
    const FULL: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let lower = name.trim().to_ascii_lowercase();
    let place = |name: &str| {
        let mut days = DAYS.iter().zip(FULL);
        days.position(|(short, full)| *short == name || full == name)
    };
    if let Some(place) = place(&lower) {
        return Ok(place);
    }
    let reason = format!("{name:?}, expected names of this list: {}", DAYS.join(", "));
    let range = match lower.as_str() {
        "weekend" => "sat-sun",
        "weekdays" => "mon-fri",
        range => range,
    };
    if let Some((first, last)) = range.split_once(['-', '–'])
        && let (Some(first), Some(last)) = (place(first.trim()), place(last.trim()))
    {
        let days = DAYS.iter().cycle().skip(first);
        let days: Vec<&str> = days.take((last + 7 - first) % 7 + 1).copied().collect();
        return Err(Mistake::items(reason, &days));
    }
    let word = lower.bytes().all(|byte| byte.is_ascii_alphabetic());
    match nearest(&lower, FULL.into_iter().chain(DAYS)).filter(|_| word) {
        Some(meant) => Err(Mistake::with(reason, format!("\"{}\"", &meant[..3]))),
        None => Err(reason.into()),
    }
}

/// Reads a minute of the day, from 0 to `last` inclusive; `latest` is the text of `last`.
fn minute(text: &str, last: MinuteOfDay, latest: &str) -> Result<MinuteOfDay, Mistake> {
    let two = |digits: &str| -> Option<MinuteOfDay> {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let read = |text: &str| {
        text.split_once(':')
            .and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)))
            .filter(|(_, minute)| *minute < 60)
            .map(|(hour, minute)| hour * 60 + minute)
            .filter(|minute| *minute <= last)
    };
    let reason = || format!("{text:?}, expected \"00:00\" to \"{latest}\"");
    // People also write "9:00", "0900" and "09:00:00".
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let lower = text.trim().to_ascii_lowercase();
    let half = match lower.get(lower.len().saturating_sub(2)..) {
        Some("am") => Some(0),
        Some("pm") => Some(12),
        _ => None,
    };
    let meant = match (text.split(':').count(), digits.len()) {
        // The hours of a clock with twelve hours: 12 am is midnight.
        (count @ 1..=2, length @ 1..=4) if let Some(half) = half => {
            let (hour, minutes) = match count {
                2 => digits.split_at(length.saturating_sub(2)),
                _ => (digits.as_str(), ""),
            };
            let hour = hour.parse().ok().filter(|hour| (1..=12).contains(hour));
            let hour = hour.map_or(99, |hour: u16| hour % 12 + half);
            format!("{hour:02}:{minutes:0<2}")
        }
        (2, 3) if text.trim().find(':') == Some(1) => format!("0{}:{}", &digits[..1], &digits[1..]),
        (1, 4) | (3, 6) => format!("{}:{}", &digits[..2], &digits[2..4]),
        _ => String::new(),
    };
    match (read(text), read(&meant)) {
        (Some(minute), _) => Ok(minute),
        (None, Some(_)) => Err(Mistake::with(reason(), format!("\"{meant}\""))),
        (None, None) => Err(reason().into()),
    }
}
