//! The JSON protocol of the clients: parses requests and builds status frames. All functions are
//! pure; this module never decides if a client may have a channel.

use std::time::Duration;

use serde::Deserialize;

use crate::market::{Channel, ChannelKind, Cluster};
use crate::massive::display_report::DisplayReport;
use crate::net::failure::Failure;
use crate::time::Now;

/// One request of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientRequest {
    Auth(String),
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Ping,
    /// The report of a display about itself. The hub does not answer a report.
    Report(Box<DisplayReport>),
}

#[derive(Deserialize)]
struct Wire {
    action: String,
    #[serde(default)]
    params: Params,
}

/// The field `params`. The vendor accepts one string with commas; the current version of the proxy
/// accepts an array.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Params {
    One(String),
    Many(Vec<String>),
    Report(Box<DisplayReport>),
    #[default]
    None,
}

impl Params {
    /// Returns the channel names in the order of the message. Duplicate names stay.
    fn names(self) -> Vec<String> {
        let texts = match self {
            Params::One(text) => vec![text],
            Params::Many(texts) => texts,
            Params::Report(_) | Params::None => Vec::new(),
        };
        let names = texts.iter().flat_map(|text| text.split(','));
        names
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl ClientRequest {
    /// Parses a message.
    ///
    /// # Errors
    /// Returns an error text for the client. The text does not contain the message of the JSON
    /// parser, because that message may quote a token.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = r#"expected a message like {"action":"subscribe","params":"V.I:SPX"}"#;
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|_| format!("invalid JSON: {FORM}"))?;
        let wire: Wire =
            serde_json::from_value(value).map_err(|_| format!("not understood: {FORM}"))?;
        match (wire.action.as_str(), wire.params) {
            ("auth", Params::One(key)) => Ok(ClientRequest::Auth(key)),
            ("auth", _) => Err("the params of auth are one string".to_owned()),
            ("subscribe", params) => Ok(ClientRequest::Subscribe(params.names())),
            ("unsubscribe", params) => Ok(ClientRequest::Unsubscribe(params.names())),
            ("report", Params::Report(report)) if report.is_plain() => {
                Ok(ClientRequest::Report(report))
            }
            ("report", _) => Err("the params of report are not those of a display".to_owned()),
            ("ping", _) => Ok(ClientRequest::Ping),
            (other, _) => Err(format!("unknown action: {}", brief(other))),
        }
    }
}

/// Returns the first 64 characters of a client's text, for use in an error message.
pub(crate) fn brief(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Returns the channel with this name, or `None` if the cluster does not have the channel.
pub(crate) fn channel(cluster: Cluster, name: &str) -> Option<Channel> {
    let channel = Channel::parse(name)?;
    let ticker = channel.ticker.as_str();
    let all = ticker == "*";
    let plain = ticker
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"*\"\\,".contains(&byte));
    let ours = match cluster {
        Cluster::Indices => {
            matches!(
                channel.kind,
                ChannelKind::Value | ChannelKind::Second | ChannelKind::Minute
            ) && (all || ticker.len() > 2 && ticker.starts_with("I:"))
        }
        // The vendor does not offer the wildcard `Q.*` for options.
        Cluster::Options => {
            channel.kind != ChannelKind::Value
                && (ticker.len() > 2 && ticker.starts_with("O:")
                    || all && channel.kind != ChannelKind::Quote)
        }
        Cluster::Stocks => channel.kind != ChannelKind::Value && !ticker.contains(':'),
    };
    (ours && (all || plain)).then_some(channel)
}

/// The status events of one text frame. The default frame has no status events.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatusFrame(String);

impl StatusFrame {
    /// Creates a frame with one status event.
    pub(crate) fn one(status: &str, message: &str) -> Self {
        let mut status_frame = Self::default();
        status_frame.add(status, message);
        status_frame
    }

    /// Adds a status event. `status` is not escaped, so `status` must be valid inside a JSON
    /// string.
    pub(crate) fn add(&mut self, status: &str, message: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        // The JSON serialization of a string never fails.
        let message = serde_json::to_string(message).unwrap_or_default();
        self.0 += &format!(r#"{{"ev":"status","status":"{status}","message":{message}}}"#);
    }

    /// Adds the status `upstream_down`. Besides the reason, it contains the cluster, the age of the
    /// state in milliseconds, and the time of its begin as the vendor writes timestamps if the wall
    /// clock is set.
    pub(crate) fn add_upstream_down(
        &mut self,
        cluster: Cluster,
        reason: Failure,
        age: Duration,
        now: Now,
    ) {
        self.add("upstream_down", &reason.to_string());
        self.0.pop();
        let age = age.as_millis();
        self.0 += &format!(r#","cluster":"{}","age":{age}"#, cluster.path());
        if let Some(utc) = now.utc {
            self.0 += &format!(r#","since":{}"#, utc.0 - age as i64);
        }
        self.0.push('}');
    }

    /// Returns the text of the frame, or `None` if the frame has no status events.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(']');
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        match ClientRequest::parse(text).unwrap() {
            ClientRequest::Subscribe(names) => names,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_channels_of_a_request_are_a_string_or_an_array() {
        for text in [
            r#"{"action":"subscribe","params":"V.I:SPX, V.I:VIX"}"#,
            r#"{"action":"subscribe","params":["V.I:SPX","V.I:VIX"]}"#,
            r#"{"params":["V.I:SPX,V.I:VIX",""],"action":"subscribe","id":7}"#,
        ] {
            assert_eq!(names(text), ["V.I:SPX", "V.I:VIX"], "{text}");
        }
        assert_eq!(names(r#"{"action":"subscribe"}"#), Vec::<String>::new());
    }

    #[test]
    fn the_error_of_an_invalid_request_never_contains_a_secret() {
        for text in [
            "",
            "hello",
            r#"{"action":"auth","params":"SECRET""#,
            "[]",
            "7",
            r#"{"action":"auth","params":{"key":"SECRET"}}"#,
            r#"{"action":7,"params":"SECRET"}"#,
        ] {
            let error = ClientRequest::parse(text).unwrap_err();
            assert!(!error.contains("SECRET"), "{error}");
        }
        let error = ClientRequest::parse(r#"{"action":"dance"}"#).unwrap_err();
        assert_eq!(error, "unknown action: dance");
    }

    #[test]
    fn a_cluster_has_only_its_own_channels() {
        use Cluster::{Indices, Options, Stocks};
        for (cluster, name, known) in [
            (Indices, "V.I:SPX", true),
            (Indices, "V.*", true),
            (Indices, "V.SPX", false),
            (Indices, "T.I:SPX", false),
            (Indices, "V.I:", false),
            (Indices, "V.I:S*", false),
            (Indices, "SPX", false),
            (Options, "Q.O:SPY251219C00650000", true),
            (Options, "Q.*", false),
            (Options, "T.*", true),
            (Stocks, "T.BRK.B", true),
            (Stocks, "V.SPY", false),
        ] {
            assert_eq!(channel(cluster, name).is_some(), known, "{cluster} {name}");
        }
    }

    #[test]
    fn a_status_frame_is_valid_json_for_every_message() {
        let mut status_frame = StatusFrame::one("error", "a \"quote\"\n");
        status_frame.add("success", "é");
        let text = status_frame.finish().unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["message"], "a \"quote\"\n");
        assert_eq!(value[1]["status"], "success");
    }
}
