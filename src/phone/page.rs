//! The page of the set-up by phone, and the files that its answers become. Pure: this module reads
//! and writes no file. The page never contains a password or a token: it only receives them.

use percent_encoding::percent_decode_str;

use crate::net::endpoint::Endpoint;

/// The port of a hub, if the address has none.
const HUB_PORT: u16 = 3000;
/// The address of the hub on this Pi.
const OWN_HUB: &str = "ws://127.0.0.1:3000";

/// The answers of a person on the page. An empty text means that the person has not changed the
/// value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The name of the Wi-Fi network.
    pub ssid: String,
    /// The password of the Wi-Fi network.
    pub psk: String,
    /// The country of the Wi-Fi network.
    pub country: String,
    /// The address of the hub.
    pub hub: String,
    /// The key of the vendor, if this Pi is the hub.
    pub key: String,
    /// The token for the hub.
    pub token: String,
}

impl Answers {
    /// Reads the body of a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// A text for the page: a value contains control characters, all values are empty, or the hub is
    /// both this Pi and another machine.
    pub fn parse(body: &str) -> Result<Self, &'static str> {
        let mut answers = Self::default();
        for (name, value) in body.split('&').filter_map(|field| field.split_once('=')) {
            let value = value.replace('+', " ");
            let value: Vec<u8> = percent_decode_str(&value).collect();
            let value = String::from_utf8_lossy(&value).into_owned();
            if value.chars().any(char::is_control) {
                return Err("a value has more than one line; expected one line");
            }
            match name {
                "ssid" => answers.ssid = value,
                "psk" => answers.psk = value,
                "country" => answers.country = value,
                "hub" => answers.hub = value.trim().to_owned(),
                "key" => answers.key = value,
                "token" => answers.token = value,
                _ => {}
            }
        }
        if answers == Self::default() {
            return Err("nothing is filled in; expected at least the name of your Wi-Fi");
        }
        if !answers.hub.is_empty() && !answers.key.is_empty() {
            return Err(
                "expected either the address of a hub, or the key of the vendor if this Pi is the hub",
            );
        }
        Ok(answers)
    }

    /// Returns the text of the file `wifi.txt`, or `None` without values for the Wi-Fi. The import
    /// script of the card image reads this file.
    pub fn wifi(&self) -> Option<String> {
        // Quotes keep every character of a value. The import checks the value.
        let line = |name: &str, value: &str| match value {
            "" => String::new(),
            value if value.contains('"') && !value.contains('\'') => {
                format!("{name} = '{value}'\n")
            }
            value => format!("{name} = \"{value}\"\n"),
        };
        let text =
            line("ssid", &self.ssid) + &line("psk", &self.psk) + &line("country", &self.country);
        (!text.is_empty()).then_some(text)
    }

    /// Returns the text of the file `token` for the import command, or `None` without a token.
    pub fn token(&self) -> Option<String> {
        (!self.token.is_empty()).then(|| format!("{}\n", self.token))
    }

    /// Returns the text of the file `key` for the import command, or `None` if this Pi is not the
    /// hub.
    pub fn key(&self) -> Option<String> {
        (!self.key.is_empty()).then(|| format!("{}\n", self.key))
    }

    /// Returns the configuration of the display with the address of the hub, or `None` if the
    /// address stays the same.
    ///
    /// # Errors
    /// A text for the page: the address is invalid, or this configuration cannot get an address.
    pub fn configuration(&self, text: &str) -> Option<Result<String, String>> {
        match (self.hub.is_empty(), self.key.is_empty()) {
            (true, true) => None,
            (true, false) => Some(with_hub(text, OWN_HUB)),
            (false, _) => Some(url(&self.hub).and_then(|url| with_hub(text, &url))),
        }
    }
}

/// Returns the url of a hub. People also write only the name or the address of the machine.
fn url(text: &str) -> Result<String, String> {
    let mut url = text.to_owned();
    if !url.contains("://") {
        let port = text.rsplit_once(':').map(|(_, port)| port);
        let named = port.is_some_and(|port| port.parse::<u16>().is_ok());
        url = match named {
            true => format!("ws://{text}"),
            false => format!("ws://{text}:{HUB_PORT}"),
        };
    }
    match Endpoint::parse(&url) {
        Ok(_) if !url.contains(['"', '\\']) => Ok(url),
        Ok(_) => Err(format!(
            "the address of the hub: expected a text like ws://hub.local:{HUB_PORT}"
        )),
        Err(error) => Err(format!("the address of the hub: {error}")),
    }
}

/// Sets the url in the table `[hub]` of a configuration, and keeps all other lines. A table or a
/// url that is inactive (`#[hub]`) becomes active.
fn with_hub(text: &str, url: &str) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let new = format!("url = \"{url}\"");
    let bare = |line: &str| line.trim_start_matches('#').trim().to_owned();
    match lines.iter().position(|line| bare(line) == "[hub]") {
        Some(table) => {
            lines[table] = "[hub]".to_owned();
            let rest = lines.iter().skip(table + 1);
            let length = rest.take_while(|line| !bare(line).starts_with('[')).count();
            let own = lines.iter().skip(table + 1).take(length);
            let key = |line: &str| bare(line).split('=').next().map(str::trim) == Some("url");
            match own.into_iter().position(|line| key(line)) {
                Some(place) => lines[table + 1 + place] = new,
                None => lines.insert(table + 1, new),
            }
        }
        None => lines.extend([String::new(), "[hub]".to_owned(), new]),
    }
    let text = lines.join("\n") + "\n";
    let valid = toml::de::DeTable::parse(&text).is_ok_and(|document| {
        let table = document.get_ref();
        let hub = table.get("hub").and_then(|hub| hub.get_ref().as_table());
        let written = hub.and_then(|hub| hub.get("url")?.get_ref().as_str());
        written == Some(url) && !table.contains_key("massive")
    });
    valid.then_some(text).ok_or_else(|| {
        "the address of the hub cannot be written into deskticker.toml on the card, because this file \
         has an error or uses [massive]; correct it on a computer"
            .to_owned()
    })
}

/// Returns an error of the import as text for the page. The page has fields, and no files with
/// lines.
pub fn import_error(error: &str) -> String {
    let (file, rest) = error.split_once(": ").unwrap_or(("", error));
    let name = file.split(':').next().unwrap_or_default();
    match name {
        "wifi.txt" => rest.replacen("psk:", "the password of the Wi-Fi:", 1),
        "token" | "key" => format!("the {name}: {rest}"),
        _ => error.to_owned(),
    }
}

/// Returns the page with the form. `problem` is the reason why the last answers did not work. The
/// fields contain the last answers, except the secrets.
pub fn form(problem: Option<&str>, last: &Answers) -> String {
    let problem = problem.map_or_else(String::new, |problem| {
        format!("<p class=problem>{}</p>", escaped(problem))
    });
    let field = |name: &str, label: &str, value: &str, more: &str| {
        let value = escaped(value);
        format!(
            "<label>{label}<input name={name} value=\"{value}\" autocomplete=off {more}></label>"
        )
    };
    let plain = "autocapitalize=none autocorrect=off spellcheck=false";
    let wifi = [
        field("ssid", "Name", &last.ssid, plain),
        field("psk", "Password", "", "type=password"),
        field(
            "country",
            "Country, like DE, US or GB",
            &last.country,
            "autocapitalize=characters maxlength=40",
        ),
    ];
    let hub = field(
        "hub",
        "Address of your hub, like hub.local",
        &last.hub,
        &format!("inputmode=url {plain}"),
    );
    let key = field(
        "key",
        "Or, if this Pi is the hub: the key of the vendor (Massive)",
        "",
        "type=password",
    );
    let token = field("token", "Token of the hub", "", "type=password");
    page(&format!(
        "{problem}<p>An empty field keeps its value.</p><form method=post action=/>\
         <fieldset><legend>Your Wi-Fi</legend>{}</fieldset>\
         <fieldset><legend>The hub</legend>{hub}{key}{token}\
         <p>If this Pi is the hub, choose the token, and use it for your other displays.</p>\
         </fieldset><button>Save</button></form>",
        wifi.concat()
    ))
}

/// Returns the page after valid answers.
pub fn saved() -> String {
    page(
        "<p><b>Saved.</b> The ticker now closes this network and connects to your Wi-Fi. Look at its \
         display. If it shows the name of this network again after two minutes, the connection did \
         not work.</p>",
    )
}

fn page(content: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\"><title>deskticker</title>\
         <style>body{{font:17px/1.4 sans-serif;max-width:26em;margin:auto;padding:0 1em 1em}}\
         h1{{font-size:1.3em}}fieldset{{border:1px solid #999;border-radius:.4em;margin:0 0 1em;\
         padding:.6em .8em}}label{{display:block}}input,button{{display:block;width:100%;\
         box-sizing:border-box;font:inherit;padding:.5em;margin:.2em 0 .8em}}p{{margin:.4em 0 .8em}}\
         .problem{{color:#a00;font-weight:bold}}</style><h1>deskticker</h1>{content}</html>"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../systemd/deb/deskticker.toml");

    fn hub(address: &str) -> Answers {
        Answers {
            hub: address.to_owned(),
            ..Answers::default()
        }
    }

    #[test]
    fn the_answers_become_the_files_of_the_card() {
        let body =
            "ssid=Caf%C3%A9+%22one%22&psk=a%5Cb+%23secret&country=DE&hub=&token=abc%2B%2F%3D%3D";
        let answers = Answers::parse(body).unwrap();
        assert_eq!(
            answers.wifi().unwrap(),
            "ssid = 'Caf\u{e9} \"one\"'\npsk = \"a\\b #secret\"\ncountry = \"DE\"\n"
        );
        assert_eq!(answers.token().unwrap(), "abc+/==\n");
        assert_eq!(answers.configuration(TEMPLATE), None);
        let answers = Answers::parse("hub=+hub.local+&ssid=").unwrap();
        assert_eq!((answers.wifi(), answers.token()), (None, None));
        assert_eq!(answers.key(), None);
        // The key of the vendor means that this Pi is the hub.
        let answers = Answers::parse("hub=&key=abc").unwrap();
        assert_eq!(answers.key().unwrap(), "abc\n");
        let text = answers.configuration(TEMPLATE).unwrap().unwrap();
        assert!(
            text.contains("\n[hub]\nurl = \"ws://127.0.0.1:3000\"\n"),
            "{text}"
        );
    }

    #[test]
    fn a_line_break_in_a_value_or_an_empty_form_is_refused() {
        assert!(Answers::parse("ssid=a%0Apsk+%3D+12345678").is_err());
        assert!(Answers::parse("ssid=&psk=").is_err());
        assert!(Answers::parse("").is_err());
        let both = Answers::parse("hub=hub.local&key=k").err().unwrap();
        assert!(both.starts_with("expected either"), "{both}");
    }

    #[test]
    fn the_address_of_the_hub_is_set_in_the_template_and_in_every_valid_configuration() {
        for text in [
            TEMPLATE,
            "",
            "watchlist = [\"SPX\"]\n[panel]\nsize = \"128x32\"\n",
            "[hub]\nca_file = \"/ca\"\n\n[panel]\n",
            "[hub]\nurl = \"wss://old:1\" # old\ntoken_file = \"/t\"\n",
        ] {
            let new = hub("hub.local").configuration(text).unwrap().unwrap();
            let table: toml::Table = toml::from_str(&new).unwrap();
            let url = table["hub"]["url"].as_str();
            assert_eq!(url, Some("ws://hub.local:3000"), "{new}");
            assert_eq!(
                hub("hub.local").configuration(&new).unwrap().as_ref(),
                Ok(&new)
            );
            // All other settings stay the same.
            let mut old: toml::Table = toml::from_str(text).unwrap();
            let mut new = table;
            for table in [&mut old, &mut new] {
                if let Some(hub) = table.get_mut("hub").and_then(toml::Value::as_table_mut) {
                    hub.remove("url");
                }
            }
            new.retain(|name, value| name != "hub" || !value.as_table().unwrap().is_empty());
            old.retain(|name, value| name != "hub" || !value.as_table().unwrap().is_empty());
            assert_eq!(new, old);
        }
    }

    #[test]
    fn an_address_of_a_hub_is_understood_with_and_without_its_port_and_scheme() {
        for (text, expected) in [
            ("192.168.1.5", "ws://192.168.1.5:3000"),
            ("192.168.1.5:8080", "ws://192.168.1.5:8080"),
            ("wss://hub.example", "wss://hub.example"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(expected));
        }
        for text in ["two words", "ftp://hub", "hub\"", "ws://"] {
            let error = hub(text).configuration("").unwrap().unwrap_err();
            assert!(error.starts_with("the address of the hub: "), "{error}");
        }
        // The vendor's feed needs another secret, so the page does not change it.
        for text in ["[massive]\n", "watchlist = \n"] {
            let error = hub("hub").configuration(text).unwrap().unwrap_err();
            assert!(error.contains("correct it on a computer"), "{error}");
        }
    }

    #[test]
    fn an_error_of_the_import_names_the_field_of_the_page() {
        for (error, expected) in [
            (
                "wifi.txt:2: psk: 5 characters; expected 8 to 63",
                "the password of the Wi-Fi: 5 characters; expected 8 to 63",
            ),
            (
                "wifi.txt:3: country: expected two letters, like DE, US or GB",
                "country: expected two letters, like DE, US or GB",
            ),
            ("token:1: this is the hash", "the token: this is the hash"),
            ("the disk is full", "the disk is full"),
        ] {
            assert_eq!(import_error(error), expected);
        }
    }

    #[test]
    fn the_page_repeats_the_answers_but_no_secret() {
        let answers = Answers {
            ssid: "<b>\"net\" & co".into(),
            psk: "s3cr3t-password".into(),
            country: "DE".into(),
            hub: "hub.local".into(),
            key: "s3cr3t-key".into(),
            token: "s3cr3t-token".into(),
        };
        let page = form(Some("wifi.txt:2: psk: <short>"), &answers);
        assert!(
            page.contains("value=\"&lt;b>&quot;net&quot; &amp; co\""),
            "{page}"
        );
        assert!(page.contains("value=\"hub.local\"") && page.contains("psk: &lt;short>"));
        assert!(!page.contains("s3cr3t") && !saved().contains("s3cr3t"));
    }
}
