//! What must appear in nothing that is printed or written. No check puts a secret into its words;
//! but a server may repeat what it was sent, and this is the last door.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::bundle;
use crate::config::{Config, Environment, Secret};

/// What stands in the place of a secret.
const MASK: &str = "(hidden)";
/// What is shorter is a word that may stand anywhere, and protects nothing.
const SHORTEST: usize = 6;

/// The secrets, in each way in which they may be written.
#[derive(Clone, Default)]
pub struct Redactor(Vec<String>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

impl Redactor {
    /// All that the configuration and the environment know; `text` is the configuration as it
    /// stands in its file, whether it can be used or not.
    pub fn of(environment: &Environment, config: Option<&Config>, text: &str) -> Self {
        let mut hidden = Self::default();
        let variables = [&environment.token, &environment.key];
        for value in variables.into_iter().flatten() {
            hidden.add(value.trim());
        }
        let secret = config.and_then(|config| config.source.secret.as_ref());
        hidden.add(secret.map_or("", Secret::reveal));
        bundle::pasted(text).for_each(|value| hidden.add(value));
        hidden
    }

    #[inline(never)]
    fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        for word in [encoded.to_ascii_lowercase(), encoded, secret.to_owned()] {
            // The longest first: one may be the beginning of another.
            let at = self.0.partition_point(|other| other.len() >= word.len());
            self.0.insert(at, word);
        }
    }

    /// Masks each of them.
    pub fn hide(&self, text: &mut String) {
        for word in &self.0 {
            if text.contains(word) {
                *text = text.replace(word, MASK);
            }
        }
    }
}
