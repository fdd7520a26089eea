//! The report of a display about itself, which a display sends to a deskticker-hub: an extension of
//! this project. A display sends a report only to a server that has identified itself as a hub.

use serde::{Deserialize, Serialize};

/// The maximum length of the version, in bytes.
const VERSION_LENGTH: usize = 24;
/// The maximum length of the page, in bytes. Two option contracts with their long names fit.
const PAGE_LENGTH: usize = 64;

/// The state of a display: its version, the page on its panel, and the number of its instruments with
/// each freshness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayReport {
    /// The version of the program.
    pub version: String,
    /// The page on the panel: the names of its instruments, or `link`.
    pub page: String,
    /// The number of live values.
    pub live: u16,
    /// The number of stale values.
    pub stale: u16,
    /// The number of values from a delayed source.
    pub delayed: u16,
    /// The number of closing prices.
    pub closed: u16,
    /// The number of instruments without a value.
    pub none: u16,
}

#[derive(Serialize)]
struct Message<'a> {
    action: &'a str,
    params: &'a DisplayReport,
}

impl DisplayReport {
    /// Returns the message to the hub.
    pub fn message(&self) -> String {
        let message = Message {
            action: "report",
            params: self,
        };
        // The serialization of strings and numbers cannot fail.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Returns the number of instruments with each freshness, by the name of the freshness.
    pub const fn freshness(&self) -> [(&'static str, u16); 5] {
        [
            ("live", self.live),
            ("stale", self.stale),
            ("delayed", self.delayed),
            ("closed", self.closed),
            ("none", self.none),
        ]
    }

    /// Returns true if the texts are short and printable, so that they can be shown on a terminal.
    pub fn is_plain(&self) -> bool {
        let printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        self.version.len() <= VERSION_LENGTH
            && self.page.len() <= PAGE_LENGTH
            && printable(&self.version)
            && printable(&self.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_message_with_an_action() {
        let report = DisplayReport {
            version: "0.1.0".to_owned(),
            page: "SPX VIX".to_owned(),
            live: 2,
            ..DisplayReport::default()
        };
        assert_eq!(
            report.message(),
            r#"{"action":"report","params":{"version":"0.1.0","page":"SPX VIX","live":2,"stale":0,"delayed":0,"closed":0,"none":0}}"#
        );
        assert!(report.is_plain());
    }

    #[test]
    fn a_text_that_is_long_or_controls_a_terminal_is_not_plain() {
        for page in ["\u{1b}[2J", "a\nb", "é", &"x".repeat(65)] {
            let report = DisplayReport {
                page: page.to_owned(),
                ..DisplayReport::default()
            };
            assert!(!report.is_plain(), "{page:?}");
        }
    }
}
