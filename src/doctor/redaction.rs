//! Masks secrets in all output of the doctor. No check puts a secret into a finding, but a server
//! may send a received secret back, so this filter is the last protection.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::bundle::{self, MASK};
use crate::config::Config;
use crate::secret::{Environment, Secret};

/// The minimum length of a secret, in bytes. A shorter text could match ordinary words and protects
/// nothing.
const SHORTEST: usize = 6;

/// The secrets, each as plain text and with percent-encoding.
#[derive(Clone, Default)]
pub struct Redactor(Vec<String>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(…)")
    }
}

impl Redactor {
    /// Collects the secrets from the configuration and the environment. `text` is the content of
    /// the configuration file, which may be invalid.
    pub fn of(environment: &Environment, config: Option<&Config>, text: &str) -> Self {
        let mut hidden = Self::default();
        let variables = [
            &environment.token,
            &environment.key,
            &environment.upstream_token,
        ];
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
            // The list is sorted by descending length, because a secret may be the beginning of a
            // longer secret.
            let at = self.0.partition_point(|other| other.len() >= word.len());
            self.0.insert(at, word);
        }
    }

    /// Replaces every secret in `text` with a mask.
    pub fn hide(&self, text: &mut String) {
        for word in &self.0 {
            if text.contains(word) {
                *text = text.replace(word, MASK);
            }
        }
    }
}
