//! The names and types of all settings of a program, each with an example. This module finds the
//! setting that a wrong line means. It reads no value.

/// The type of a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A text in quotes.
    Text,
    /// The path of the file of a secret. A message never repeats its value, which may be the
    /// secret.
    Secret,
    /// A line of a GPIO chip: a number, or a text in quotes.
    Gpio,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A list of texts.
    List,
    /// A table that occurs once.
    Table,
    /// A table that can occur more than once.
    Tables,
}

impl Kind {
    /// The description of the type in a message.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Kind::Text => "expected a text in quotes",
            Kind::Secret => "expected the path of a file, in quotes",
            Kind::Gpio => "expected the number of a GPIO, or a text like \"gpiochip1:17\"",
            Kind::Whole => "expected a whole number",
            Kind::Number => "expected a number",
            Kind::Flag => "expected true or false",
            Kind::List => "expected a list of texts in quotes",
            Kind::Table => {
                "expected a table: a line with the name in brackets, and its settings below"
            }
            Kind::Tables => {
                "expected a list: each of its tables begins with a line in double brackets"
            }
        }
    }

    /// Returns the TOML text of the value that a wrong text means; `None` if that is not certain.
    pub(crate) fn guess(self, key: &str, written: &str) -> Option<String> {
        const QUOTES: [char; 8] = ['"', '\'', '“', '”', '„', '‘', '’', '`'];
        let bare = written.trim().trim_matches(QUOTES).trim();
        let quoted = |text: &str| format!("\"{text}\"");
        let bracket = written.starts_with('[') && !matches!(self, Kind::List | Kind::Gpio);
        if bare.is_empty() || bare.contains('\\') || bracket {
            return None;
        }
        match self {
            Kind::Gpio => {
                let number = bare.trim_matches(['[', ']', ' ']);
                match number.parse::<u16>() {
                    Ok(number) => Some(number.to_string()),
                    Err(_) => Some(quoted(bare)).filter(|_| !bare.contains(['[', '"'])),
                }
            }
            Kind::Text => Some(quoted(bare)).filter(|_| !bare.contains(QUOTES)),
            Kind::Whole if key == "address" => {
                let digits = bare.to_ascii_lowercase();
                let digits = digits.trim_start_matches("0x").trim_end_matches('h');
                u8::from_str_radix(digits, 16)
                    .ok()
                    .map(|number| format!("{number:#04x}"))
            }
            Kind::Whole => {
                let seconds = bare.trim_end_matches('s').trim_end();
                seconds.parse::<i64>().ok().map(|number| number.to_string())
            }
            Kind::Number => {
                let percent = bare.strip_suffix('%').filter(|_| key == "change_percent");
                let number = percent.unwrap_or(bare).trim_end();
                number.parse::<f64>().ok().map(|_| number.to_owned())
            }
            Kind::Flag => match bare.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some("true".to_owned()),
                "false" | "no" | "off" | "0" => Some("false".to_owned()),
                _ => None,
            },
            Kind::List => {
                let open = written.starts_with('[') && !written.ends_with(']');
                // A space separates words without quotes only if no comma separates them. In the
                // settings whose texts have several words, a space never separates texts.
                let separated = written.contains([',', ';', '"', '\'', '“', '”', '„']);
                let spaces = !separated && !matches!(key, "show" | "decimals");
                let words = written
                    .split(|c: char| spaces && c.is_whitespace() || "[],;\"'“”„".contains(c));
                let words = words.map(str::trim).filter(|word| !word.is_empty());
                let words: Vec<String> = words.map(quoted).collect();
                (!open && !words.is_empty()).then(|| format!("[{}]", words.join(", ")))
            }
            Kind::Secret | Kind::Table | Kind::Tables => None,
        }
    }
}

/// A setting, or a table of settings.
#[derive(Debug)]
pub(crate) struct Key {
    /// The name of the table; empty for the settings before the first table.
    pub(crate) table: &'static str,
    /// The name of the setting or of the table.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// An example of its value in TOML.
    pub(crate) example: &'static str,
}

/// Declares a setting.
pub(crate) const fn key(
    table: &'static str,
    name: &'static str,
    kind: Kind,
    example: &'static str,
) -> Key {
    Key {
        table,
        name,
        kind,
        example,
    }
}

/// The settings of the display.
pub(in crate::config) const KEYS: &[Key] = &[
    key("", "watchlist", Kind::List, "[\"SPX\", \"VIX\"]"),
    key("", "time_zone", Kind::Text, "\"Europe/Berlin\""),
    key("", "clock", Kind::Text, "\"24h\""),
    key("", "numbers", Kind::Text, "\"1,234.56\""),
    key("", "decimals", Kind::List, "[\"SPX 2\", \"VIX 3\"]"),
    key("", "buttons", Kind::List, "[\"gpio\"]"),
    key("", "hub", Kind::Table, ""),
    key("hub", "url", Kind::Text, "\"ws://hub.local:3000\""),
    key(
        "hub",
        "token_file",
        Kind::Secret,
        "\"/etc/deskticker/token\"",
    ),
    key("hub", "ca_file", Kind::Text, "\"/etc/deskticker/ca.pem\""),
    key("hub", "trust", Kind::Flag, "true"),
    key("", "massive", Kind::Table, ""),
    key("massive", "url", Kind::Text, "\"wss://socket.massive.com\""),
    key(
        "massive",
        "key_file",
        Kind::Secret,
        "\"/etc/deskticker/key\"",
    ),
    key(
        "massive",
        "ca_file",
        Kind::Text,
        "\"/etc/deskticker/ca.pem\"",
    ),
    key("", "pages", Kind::Table, ""),
    key("pages", "interval", Kind::Whole, "10"),
    key("pages", "show", Kind::List, "[\"SPX VIX\", \"link\"]"),
    key("pages", "pin", Kind::Text, "\"SPX VIX\""),
    key("", "alert", Kind::Tables, ""),
    key("alert", "symbol", Kind::Text, "\"SPX\""),
    key("alert", "above", Kind::Number, "6000.0"),
    key("alert", "below", Kind::Number, "5000.0"),
    key("alert", "change_percent", Kind::Number, "2.0"),
    key("alert", "seconds", Kind::Whole, "60"),
    key("", "night", Kind::Tables, ""),
    key("night", "days", Kind::List, "[\"sat\", \"sun\"]"),
    key("night", "from", Kind::Text, "\"22:00\""),
    key("night", "to", Kind::Text, "\"06:30\""),
    key("night", "brightness", Kind::Whole, "10"),
    key("night", "off", Kind::Flag, "true"),
    key("", "page", Kind::Table, ""),
    key("page", "listen", Kind::Text, "\"127.0.0.1:8080\""),
    key("page", "hosts", Kind::List, "[\"ticker.lan\"]"),
    key("", "panel", Kind::Table, ""),
    key("panel", "kind", Kind::Text, "\"oled\""),
    key(
        "panel",
        "file",
        Kind::Text,
        "\"/run/deskticker/screen.png\"",
    ),
    key("panel", "chip", Kind::Text, "\"ssd1306\""),
    key("panel", "column_offset", Kind::Whole, "2"),
    key("panel", "size", Kind::Text, "\"128x64\""),
    key("panel", "colours", Kind::Text, "\"yellow-blue\""),
    key("panel", "bus", Kind::Text, "\"/dev/i2c-1\""),
    key("panel", "address", Kind::Whole, "0x3c"),
    key("panel", "dc", Kind::Gpio, "24"),
    key("panel", "reset", Kind::Gpio, "17"),
    key("panel", "rotation", Kind::Whole, "180"),
    key("panel", "brightness", Kind::Whole, "127"),
    key("panel", "shift", Kind::Flag, "false"),
    key("", "screen", Kind::Table, ""),
    key("screen", "theme", Kind::Text, "\"dark\""),
    key("screen", "rotation", Kind::Whole, "90"),
    key("screen", "device", Kind::Text, "\"/dev/fb0\""),
    key("screen", "format", Kind::Text, "\"r5g6b5\""),
    key("screen", "sysfs", Kind::Text, "\"/sys/class/graphics/fb0\""),
];

/// All settings of a program. The settings can be in more than one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema(pub(crate) &'static [&'static [Key]]);

impl Schema {
    pub(crate) fn keys(self) -> impl Iterator<Item = &'static Key> {
        self.0.iter().copied().flatten()
    }

    pub(super) fn find(self, table: &str, name: &str) -> Option<&'static Key> {
        self.keys()
            .find(|key| key.table == table && key.name == name)
    }

    /// Returns the names of the settings or of the tables inside a table.
    pub(super) fn names(self, table: &str, tables: bool) -> impl Iterator<Item = &'static str> {
        let is_table = |key: &Key| matches!(key.kind, Kind::Table | Kind::Tables);
        self.keys()
            .filter(move |key| key.table == table && is_table(key) == tables)
            .map(|key| key.name)
    }

    /// Returns the line that begins a table.
    pub(super) fn header(self, table: &str) -> String {
        match self.find("", table).map(|key| key.kind) {
            Some(Kind::Tables) => format!("[[{table}]]"),
            _ => format!("[{table}]"),
        }
    }

    /// Returns the table that a line begins, and true if the line is a comment.
    pub(super) fn header_of(self, line: &str) -> Option<(&'static str, bool)> {
        let line = line.trim_start();
        let bare = line.trim_start_matches(['#', ' ', '\t']);
        let name = bare.strip_prefix('[')?.trim_start_matches(['[', ' ', '#']);
        let name = name.split([']', ' ']).next()?;
        let known = self.find("", name)?;
        matches!(known.kind, Kind::Table | Kind::Tables)
            .then_some((known.name, line.starts_with('#')))
    }
}

/// Usual names of settings whose name here is not similar.
const OTHER_NAMES: [(&str, &str); 3] = [
    ("color", "colours"),
    ("colors", "colours"),
    ("rst", "reset"),
];

/// Returns the most similar of the known names, if one is similar enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let lower = match OTHER_NAMES.iter().find(|(other, _)| *other == lower) {
        Some((_, name)) => (*name).to_owned(),
        None => lower,
    };
    let limit = (lower.chars().count() / 3).clamp(1, 3);
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let begins = lower.len() >= 3 && (name.starts_with(&lower) || lower.starts_with(&name));
        match strsim::osa_distance(&lower, &name) {
            0 => 0,
            _ if begins => 1,
            distance => distance,
        }
    };
    let known = known.map(|name| (distance(name), name));
    let near = known.filter(|(distance, _)| *distance <= limit);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
