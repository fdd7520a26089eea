//! The configuration: what is wrong is told with file, line and what was expected, and the secret
//! is never part of what is told.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use deskticker::board::Board;
use deskticker::config::{Config, Environment, PanelKind};
use deskticker::feed::link::Via;
use deskticker::panel::{Chip, Rotation};
use deskticker::screen::Size;

/// What the errors below are prefixed with.
const FILE: &str = "desk.toml";

fn with_token() -> Environment {
    Environment {
        token: Some("s3cr3t".into()),
        key: Some("k3y".into()),
        ..Environment::default()
    }
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new(FILE), &with_token()).map_err(|error| error.to_string())
}

/// The error of a text, which must begin with its place and hold every one of the words.
#[track_caller]
fn refused(text: &str, place: &str, words: &[&str]) {
    let error = parse(text).expect_err(text);
    let place = if place.is_empty() {
        format!("{FILE}: ")
    } else {
        format!("{FILE}:{place}: ")
    };
    assert!(error.starts_with(&place), "{text}\n{error}");
    for word in words {
        assert!(error.contains(word), "{text}\n{error}\nlacks {word:?}");
    }
    assert!(!error.contains('\n'), "one line for the log: {error}");
}

const HUB: &str = "[hub]\nurl = \"ws://hub:3000\"\n";

#[test]
fn a_full_file_is_understood_to_the_last_key() {
    let config = parse(
        r#"
        watchlist = ["SPX", "I:VIX9D", "O:SPY251219C00650000"]
        [hub]
        url = "wss://hub.example/desk/"
        ca_file = "/etc/deskticker/ca.pem"
        [panel]
        kind = "png"
        file = "/run/screen.png"
        chip = "ssd1309"
        size = "128x32"
        bus = "/dev/i2c-3"
        address = 0x3d
        rotation = 180
        brightness = 255
        "#,
    )
    .unwrap();
    let names: Vec<&str> = config.watchlist.iter().map(|s| s.ticker()).collect();
    assert_eq!(names, ["I:SPX", "I:VIX9D", "O:SPY251219C00650000"]);
    assert_eq!(config.source.via, Via::Hub);
    assert_eq!(config.source.endpoint.to_string(), "wss://hub.example/desk");
    assert_eq!(config.source.endpoint.port, 443);
    assert_eq!(config.source.secret.as_ref().unwrap().reveal(), "s3cr3t");
    assert_eq!(
        config.ca_file.as_deref(),
        Some(Path::new("/etc/deskticker/ca.pem"))
    );
    let panel = &config.panel;
    assert_eq!(panel.kind, PanelKind::Png);
    assert_eq!(panel.file, Path::new("/run/screen.png"));
    assert_eq!(panel.oled.chip, Chip::Ssd1309);
    assert_eq!(panel.oled.size, Size::Short);
    assert_eq!(panel.oled.bus, Path::new("/dev/i2c-3"));
    assert_eq!(panel.oled.address, 0x3d);
    assert_eq!(panel.oled.rotation, Rotation::UpsideDown);
    assert_eq!(panel.brightness, 255);
}

#[test]
fn an_address_is_enough() {
    let config = parse(HUB).unwrap();
    let names: Vec<&str> = config.watchlist.iter().map(|s| s.name()).collect();
    assert_eq!(names, ["SPX", "VIX"]);
    assert_eq!(config.panel.kind, PanelKind::Oled);
    assert_eq!(config.panel.oled.bus, Path::new("/dev/i2c-1"));
    let vendor = parse("[massive]\n").unwrap();
    assert_eq!(vendor.source.via, Via::Vendor);
    assert_eq!(vendor.source.secret.unwrap().reveal(), "k3y");
    assert_eq!(
        vendor.source.endpoint.to_string(),
        "wss://socket.massive.com"
    );
}

#[test]
fn a_key_that_nobody_knows_is_refused_with_those_that_are_known() {
    refused(
        "brightnes = 1\n[hub]\nurl = \"ws://h\"",
        "1",
        &["brightnes", "watchlist"],
    );
    refused(
        &format!("{HUB}tokn_file = \"x\""),
        "3",
        &["tokn_file", "token_file"],
    );
    refused(
        &format!("{HUB}[panel]\nbrightnes = 1"),
        "4",
        &["brightnes", "brightness"],
    );
    refused(
        &format!("{HUB}[pannel]\nsize = \"x\""),
        "3",
        &["pannel", "panel"],
    );
    // A token does not belong here, and is not repeated.
    refused(
        &format!("{HUB}token = \"s3cr3t\""),
        "3",
        &["token", "token_file"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_the_right_one() {
    refused(
        &format!("watchlist = \"SPX\"\n{HUB}"),
        "1",
        &["string", "expected a list", "[\"SPX\", \"VIX\"]"],
    );
    refused(
        &format!("watchlist = [1]\n{HUB}"),
        "1",
        &["integer", "string"],
    );
    refused("[hub]\nurl = 3000", "2", &["integer", "string"]);
    refused(
        &format!("{HUB}[panel]\naddress = \"0x3c\""),
        "4",
        &["string", "0x3c"],
    );
    refused(
        &format!("{HUB}[panel]\nbrightness = 0.5"),
        "4",
        &["decimal number", "expected a whole number"],
    );
    refused("hub = \"ws://hub:3000\"", "1", &["string", "a line [hub]"]);
    refused(&format!("{HUB}[panel]\nbus = 1"), "4", &["expected a path"]);
    refused(
        &format!("{HUB}[panel]\nkind = 3"),
        "4",
        &["expected a string"],
    );
    // A token without its quotes is not repeated.
    for text in [
        &format!("{HUB}token_file = 5432167"),
        "\n\nhub = { url = \"ws://hub\", token_file = 5432167 }",
        "\n[massive]\n\"key_file\"=5432167",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(":3: "), "{error}");
        assert!(error.contains("expected the path of a file"), "{error}");
        assert!(!error.contains("5432167"), "{error}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_an_example() {
    let url = |url: &str, words: &[&str]| refused(&format!("[hub]\nurl = \"{url}\""), "2", words);
    url("hub.local:3000", &["ws://"]);
    url("hub.local", &["\"ws://\" or \"wss://\" is missing"]);
    url("", &["ws://hub.local:3000"]);
    url("ftp://hub", &["not the scheme \"ftp\""]);
    url("ws://", &["ws://hub.local:3000"]);
    url("ws:// hub", &["ws://hub.local:3000"]);
    url("ws://user:s3cr3t@hub", &["no user name or password"]);
    url(
        "ws://hub:3000?token=s3cr3t",
        &["no \"?\"", "file of its own"],
    );
    url("ws://hub:99999", &["port"]);
    url("ws://hub:port", &["port"]);
    url("ws://hub:0", &["port"]);
    url("ws://hub:", &["port"]);
    url("ws://:3000", &["ws://hub.local:3000"]);
    url("ws://hub:3000/#s3cr3t", &["#"]);
}

#[test]
fn an_address_may_be_of_any_family_and_have_a_path() {
    for (url, expected) in [
        ("ws://127.0.0.1:3000", "ws://127.0.0.1:3000"),
        ("ws://[::1]:3000/", "ws://[::1]:3000"),
        ("wss://[::1]", "wss://[::1]"),
        ("http://hub", "ws://hub"),
        ("https://hub:444/a/b/", "wss://hub:444/a/b"),
        ("ws://hub:80", "ws://hub"),
    ] {
        let config = parse(&format!("[hub]\nurl = \"{url}\"")).expect(url);
        assert_eq!(config.source.endpoint.to_string(), expected);
    }
}

#[test]
fn the_prices_come_from_exactly_one_place() {
    refused(
        "watchlist = [\"SPX\"]",
        "",
        &["[hub]", "[massive]", "ws://HOST:3000"],
    );
    refused(&format!("{HUB}[massive]\n"), "3", &["either", "not both"]);
}

#[test]
fn a_watchlist_that_cannot_be_shown_is_refused() {
    refused(
        &format!("watchlist = [\n\"SPX\",\n\"VIX\",\n\"I:SPX\"]\n{HUB}"),
        "4",
        &["SPX", "twice"],
    );
    refused(
        &format!("\nwatchlist = []\n{HUB}"),
        "2",
        &["empty", "\"SPX\""],
    );
    refused(
        &format!("watchlist = [\"SPX\",\n\"^VIX\"]\n{HUB}"),
        "2",
        &["without \"^\""],
    );
    let many: Vec<String> = (0..65).map(|n| format!("\"I:X{n}\"")).collect();
    refused(
        &format!("watchlist = [{}]\n{HUB}", many.join(",")),
        "1",
        &["65", "64 fit", "remove 1"],
    );
    assert!(parse(&format!("watchlist = [{}]\n{HUB}", many[1..].join(","))).is_ok());
}

#[test]
fn a_panel_that_does_not_exist_is_refused_with_those_that_do() {
    let panel = |line: &str, words: &[&str]| refused(&format!("{HUB}[panel]\n{line}"), "4", words);
    panel("kind = \"lcd\"", &["lcd", "oled", "terminal", "png"]);
    panel(
        "chip = \"sh1107\"",
        &["chip", "sh1106", "ssd1306", "ssd1309"],
    );
    let sh1106 = "chip = \"sh1106\"\ncolumn_offset = 5";
    refused(
        &format!("{HUB}[panel]\n{sh1106}"),
        "5",
        &["column_offset", "5", "0 to 4"],
    );
    // Of any other chip it would do nothing.
    panel("column_offset = 0", &["column_offset", "sh1106"]);
    panel("size = \"64x48\"", &["size", "128x64", "128x32"]);
    panel("address = 0x78", &["address", "0x3c", "0x3d"]);
    panel("address = 7", &["address", "0x3c"]);
    panel("address = -1", &["address", "0x3c"]);
    panel("rotation = 90", &["rotation", "90", "0", "180"]);
    panel("brightness = 256", &["brightness", "256", "0", "255"]);
    panel("brightness = -1", &["brightness", "-1"]);
    panel("brightness = 99999999999999999999", &["integer"]);
}

#[test]
fn the_bus_that_nobody_names_is_that_of_the_board() {
    static BOARD: Board = Board {
        name: "elsewhere",
        model: "Elsewhere",
        bus: "/dev/i2c-7",
        speed: 100_000,
        wanted_speed: 400_000,
        config_txt: &[],
        target: "aarch64-unknown-linux-gnu",
    };
    let environment = Environment {
        board: &BOARD,
        ..with_token()
    };
    let bus = |text: &str| {
        let config = Config::parse(text, Path::new(FILE), &environment).unwrap();
        config.panel.oled.bus
    };
    assert_eq!(bus(HUB), Path::new("/dev/i2c-7"));
    let named = format!("{HUB}[panel]\nbus = \"/dev/i2c-0\"");
    assert_eq!(bus(&named), Path::new("/dev/i2c-0"));
}

#[test]
fn the_first_column_of_an_sh1106_is_2_unless_it_is_said() {
    let chip = |lines: &str| {
        parse(&format!("{HUB}[panel]\n{lines}"))
            .unwrap()
            .panel
            .oled
            .chip
    };
    let column = |column| Chip::Sh1106 { column };
    assert_eq!(chip("chip = \"sh1106\""), column(2));
    assert_eq!(chip("column_offset = 0\nchip = \"sh1106\""), column(0));
}

#[test]
fn text_that_is_no_toml_is_refused_at_its_line() {
    refused("\n\n[hub\n", "3", &["expected"]);
    refused(
        &format!("{HUB}url = \"ws://again\""),
        "3",
        &["duplicate key"],
    );
    refused("watchlist = [\"SPX\"", "1", &["]"]);
    refused("[hub]\nurl = \"ws://hub", "2", &["\""]);
    // Deeper than any stack.
    refused(&format!("watchlist = {}", "[".repeat(200_000)), "1", &[]);
    refused("", "", &["[hub]"]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_makes_the_parser_panic(
        key in "(watchlist|hub|massive|panel|panel\\.(kind|size|address|rotation|brightness|bus)|hub\\.(url|token_file))",
        value in "(\"\\PC{0,20}\"|-?[0-9]{1,25}|\\[(\"[A-Z:0-9]{0,20}\",?){0,5}\\]|\\{\\}|true|nan|[0-9]{4}-[0-9]{2}-[0-9]{2})",
    ) {
        let _ = parse(&format!("{key} = {value}\n"));
        let _ = parse(&format!("{key} = {value}\n{HUB}"));
    }

    #[test]
    fn no_address_makes_the_parser_panic(url in "(ws|wss|http)?:?/{0,3}\\PC{0,30}") {
        if let Ok(endpoint) = deskticker::feed::net::Endpoint::parse(&url) {
            // What is shown of it is an address of the same place.
            let again = deskticker::feed::net::Endpoint::parse(&endpoint.to_string());
            proptest::prop_assert_eq!(again, Ok(endpoint));
        }
    }
}
