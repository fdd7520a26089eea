//! Tests of the configuration parser. An error names the file, the line and the expected value, and
//! no error contains the secret.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use deskticker::board::Board;
use deskticker::config::settings::{AlertRule, DimmingPeriod, PageSpec, TickerSettings};
use deskticker::config::{Config, PanelConfig, PanelKind};
use deskticker::display::screen::{PixelFormat, ScreenRotation, ScreenSettings};
use deskticker::display::{Chip, GpioLine, Rotation};
use deskticker::market::{Calendar, NumberFormat, Price, Symbol};
use deskticker::net::source::FeedProvider;
use deskticker::render::screen::Theme;
use deskticker::render::{Colours, Size, Threshold};
use deskticker::secret::Environment;
use deskticker::time::Utc;
use jiff::tz::TimeZone;

/// The file name at the start of each error.
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

/// Checks that this text is refused. The error must begin with the place and contain all of the
/// words.
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
fn a_file_with_all_keys_sets_each_setting() {
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
        reset = 17
        rotation = 180
        brightness = 255
        shift = false
        "#,
    )
    .unwrap();
    let names: Vec<&str> = config
        .settings
        .watchlist
        .iter()
        .map(|s| s.ticker())
        .collect();
    assert_eq!(names, ["I:SPX", "I:VIX9D", "O:SPY251219C00650000"]);
    assert_eq!(config.source.provider, FeedProvider::Hub);
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
    assert_eq!(panel.oled.reset, Some(GpioLine { chip: 0, line: 17 }));
    assert_eq!(panel.oled.rotation, Rotation::UpsideDown);
    assert_eq!(config.settings.brightness, 255);
    assert!(!config.settings.shift);
}

#[test]
fn an_address_alone_is_a_complete_configuration() {
    let config = parse(HUB).unwrap();
    let names: Vec<&str> = config.settings.watchlist.iter().map(|s| s.name()).collect();
    assert_eq!(names, ["SPX", "VIX"]);
    assert_eq!(config.panel.kind, PanelKind::Oled);
    assert_eq!(config.panel.oled.bus, Path::new("/dev/i2c-1"));
    // All other settings have the default values of the ticker.
    assert_eq!(
        config.settings,
        TickerSettings::of(config.settings.watchlist.clone())
    );
    let vendor = parse("[massive]\n").unwrap();
    assert_eq!(vendor.source.provider, FeedProvider::Vendor);
    assert_eq!(vendor.source.secret.unwrap().reveal(), "k3y");
    assert_eq!(
        vendor.source.endpoint.to_string(),
        "wss://socket.massive.com"
    );
}

#[test]
fn a_server_without_an_identity_is_trusted_only_by_a_line_of_the_configuration() {
    let relay = parse(&format!("{HUB}trust = true")).unwrap();
    assert!(relay.source.trusted);
    assert!(!parse(HUB).unwrap().source.trusted);
    assert!(
        !parse(&format!("{HUB}trust = false"))
            .unwrap()
            .source
            .trusted
    );
    let words = ["trust", "wss://", "remove this line"];
    refused("[hub]\nurl = \"wss://h\"\ntrust = true", "3", &words);
    refused(
        "[massive]\ntrust = true",
        "2",
        &["`trust` belongs to [hub]"],
    );
    refused(&format!("{HUB}trust = \"yes\""), "3", &["true or false"]);
}

#[test]
fn several_hubs_are_a_list_of_addresses() {
    let config = parse("[hub]\nurl = [\"ws://a:3000\", \"wss://b\"]\ntrust = true").unwrap();
    let address = |place| config.source.at(place).endpoint.to_string();
    assert_eq!(
        [0, 1, 2].map(address),
        ["ws://a:3000", "wss://b", "ws://a:3000"]
    );
    assert_eq!(config.source.at(1).secret, config.source.secret);
    for (url, words) in [
        ("[]", ["url: the list is empty", "ws://hub.local:3000"]),
        (
            "[\"ws://a\", \"ws://a/\"]",
            ["url: ws://a occurs twice", "remove one"],
        ),
        ("[\"ws://a\", \"b\"]", ["url: expected an address", "ws://"]),
        ("[7]", ["7", "a text in quotes"]),
        ("7", ["url: expected an address", "ws://"]),
    ] {
        refused(&format!("[hub]\nurl = {url}"), "2", &words);
    }
    let all = "[hub]\nurl = [\"wss://a\", \"wss://b\"]\ntrust = true";
    refused(all, "3", &["trust", "wss://"]);
}

#[test]
fn an_unknown_key_is_refused_with_a_list_of_known_keys() {
    refused(
        "brightnes = 1\n[hub]\nurl = \"ws://h\"",
        "1",
        &["brightnes", "did you mean `brightness` of ["],
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
    // The configuration must not contain a token, and the error does not repeat the token.
    refused(
        &format!("{HUB}token = \"s3cr3t\""),
        "3",
        &["token", "token_file"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_the_expected_type() {
    refused(
        &format!("watchlist = 3\n{HUB}"),
        "1",
        &["3, expected a list", "[\"SPX\", \"VIX\"]"],
    );
    refused(
        &format!("watchlist = [1]\n{HUB}"),
        "1",
        &["1, expected a list of texts"],
    );
    refused("[hub]\nurl = 3000", "2", &["expected an address"]);
    // Without an address, the display searches for the only hub that announces itself.
    let config = parse("[hub]").expect("[hub]");
    assert!(config.source.endpoint.is_announced());
    refused(
        &format!("{HUB}[panel]\naddress = [60]"),
        "4",
        &["[60], expected", "0x3c"],
    );
    refused(
        &format!("{HUB}[panel]\nbrightness = 0.5"),
        "4",
        &["0.5, expected a whole number"],
    );
    refused("hub = \"ws://hub:3000\"", "1", &["a table", "write: [hub]"]);
    refused(
        &format!("{HUB}[panel]\nkind = 3"),
        "4",
        &["\"3\", expected oled"],
    );
    // The error does not repeat a token that has no quotes.
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
fn an_invalid_address_is_refused_with_an_example() {
    let url = |url: &str, words: &[&str]| refused(&format!("[hub]\nurl = \"{url}\""), "2", words);
    url("hub.local:3000", &["ws://"]);
    url("hub.local", &["\"ws://\" or \"wss://\" is missing"]);
    url("", &["ws://hub.local:3000"]);
    url("ftp://hub", &["not the scheme \"ftp\""]);
    url("ws://", &["ws://hub.local:3000"]);
    url("ws:// hub", &["ws://hub.local:3000"]);
    url(
        "ws://user:s3cr3t@hub",
        &["must not contain a user name or a password"],
    );
    url(
        "ws://hub:3000?token=s3cr3t",
        &["must not contain \"?\"", "its own file"],
    );
    url("ws://hub:99999", &["port"]);
    url("ws://hub:port", &["port"]);
    url("ws://hub:0", &["port"]);
    url("ws://hub:", &["port"]);
    url("ws://:3000", &["ws://hub.local:3000"]);
    url("ws://hub:3000/#s3cr3t", &["#"]);
}

#[test]
fn an_address_can_be_ipv4_or_ipv6_and_have_a_path() {
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
fn a_configuration_names_exactly_one_price_source() {
    refused(
        "watchlist = [\"SPX\"]",
        "",
        &["[hub]", "[massive]", "ws://HOST:3000"],
    );
    refused(&format!("{HUB}[massive]\n"), "3", &["either", "not both"]);
}

#[test]
fn an_invalid_watchlist_is_refused_with_its_line() {
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
        &format!("watchlist = [\"SPX\",\n\"^FTSE\"]\n{HUB}"),
        "2",
        &["write: \"I:FTSE\""],
    );
    refused(
        &format!("watchlist = [\"SPX\",\n\"Nvda\"]\n{HUB}"),
        "2",
        &["watchlist: \"Nvda\"", "small letter", "write \"NVDA\""],
    );
    refused(
        &format!("watchlist = [\"I:tick\"]\n{HUB}"),
        "1",
        &["write \"I:TICK\""],
    );
    refused(
        &format!("watchlist = [\"stock:COMP\",\n\"COMP\",\n\"stock:comp\"]\n{HUB}"),
        "3",
        &["stock:COMP", "twice"],
    );
    let many: Vec<String> = (0..65).map(|n| format!("\"I:X{n}\"")).collect();
    refused(
        &format!("watchlist = [{}]\n{HUB}", many.join(",")),
        "1",
        &["65", "the limit is 64", "remove 1"],
    );
    assert!(parse(&format!("watchlist = [{}]\n{HUB}", many[1..].join(","))).is_ok());
    let far_too_many: Vec<String> = (0..200).map(|n| format!("\"I:X{n}\"")).collect();
    refused(
        &format!("watchlist = [\n{}]\n{HUB}", far_too_many.join(",\n")),
        "1",
        &["200", "the limit is 64", "remove 136"],
    );
}

#[test]
fn an_ambiguous_name_means_the_index_and_the_choice_is_reported() {
    let list = "watchlist = [\"AMpB\", \"brk.b\", \"SPX\",\n\"COMP\", \"stock:MID\", \"I:OEX\"]";
    let text = format!("{list}\n{HUB}[pages]\nshow = [\"COMP stock:MID\", \"AMpB\"]\n");
    let config = parse(&text).unwrap();
    let tickers: Vec<&str> = config
        .settings
        .watchlist
        .iter()
        .map(Symbol::ticker)
        .collect();
    assert_eq!(
        tickers,
        ["AMpB", "BRK.B", "I:SPX", "I:COMP", "MID", "I:OEX"]
    );
    let told = ":2: watchlist: COMP means the index; write stock:COMP for the share";
    let meant = |line: &&String| line.ends_with(told);
    assert_eq!(config.warnings.iter().filter(meant).count(), 1);
    assert!(
        !config
            .warnings
            .iter()
            .any(|line| line.contains("means the index") && !meant(&line))
    );
    refused(
        &text.replace("COMP stock:MID", "COMP MID"),
        "6",
        &["MID is not on the watchlist, but stock:MID is"],
    );
}

#[test]
fn an_unknown_panel_setting_is_refused_with_the_valid_values() {
    let panel = |line: &str, words: &[&str]| refused(&format!("{HUB}[panel]\n{line}"), "4", words);
    panel("kind = \"lcd\"", &["lcd", "oled", "terminal", "png"]);
    panel(
        "chip = \"sh1108\"",
        &["chip", "sh1106", "sh1107", "ssd1306", "ssd1309"],
    );
    let sh1106 = "chip = \"sh1106\"\ncolumn_offset = 5";
    refused(
        &format!("{HUB}[panel]\n{sh1106}"),
        "5",
        &["column_offset", "5", "0 to 4"],
    );
    let sh1107 = "chip = \"sh1107\"\ncolumn_offset = 128";
    refused(
        &format!("{HUB}[panel]\n{sh1107}"),
        "5",
        &["column_offset", "128", "0 to 127"],
    );
    // The column offset has no effect on any other chip.
    panel("column_offset = 0", &["column_offset", "sh1106"]);
    panel("size = \"64x48\"", &["size", "128x64", "128x32"]);
    panel("size = \"128x128\"", &["size", "sh1107"]);
    refused(
        &format!("{HUB}[panel]\nchip = \"sh1107\"\nsize = \"128x64\""),
        "5",
        &["size", "an sh1107 has 128x128"],
    );
    panel("address = 7", &["address", "0x3c"]);
    panel("address = -1", &["address", "0x3c"]);
    panel("reset = \"P9_12\"", &["reset", "P9_12", "a GPIO, like 17"]);
    panel("rotation = 90", &["rotation", "90", "0", "180"]);
    panel("brightness = 256", &["brightness", "256", "0", "255"]);
    panel("brightness = -1", &["brightness", "-1"]);
    panel(
        "brightness = 99999999999999999999",
        &["expected a whole number"],
    );
}

#[test]
fn a_value_with_one_meaning_is_taken_in_every_usual_form() {
    let panel = |line: &str| {
        let config = parse(&format!("{HUB}[panel]\n{line}")).expect(line);
        (config.panel, config.warnings)
    };
    for line in [
        "address = 0x3D",
        "address = 61",
        "address = \"3d\"",
        "address = \"0x3d\"",
    ] {
        let (panel, warnings) = panel(line);
        assert_eq!((panel.oled.address, warnings.len()), (0x3d, 0), "{line}");
    }
    for (line, address) in [("address = 0x78", 0x3c), ("address = \"7A\"", 0x3d)] {
        let (panel, warnings) = panel(line);
        assert_eq!(panel.oled.address, address, "{line}");
        let [told] = &warnings[..] else {
            panic!("{line}: {warnings:?}");
        };
        assert!(told.contains(&format!("is {address:#04x} here")), "{told}");
    }
    for line in [
        "bus = 1",
        "bus = \"1\"",
        "bus = \"i2c-1\"",
        "bus = \"/dev/i2c-1\"",
    ] {
        assert_eq!(panel(line).0.oled.bus, Path::new("/dev/i2c-1"), "{line}");
    }
    for line in ["reset = 5", "reset = \"GPIO5\"", "reset = \"gpiochip0:5\""] {
        let reset = panel(line).0.oled.reset;
        assert_eq!(reset, Some(GpioLine { chip: 0, line: 5 }), "{line}");
    }
    assert_eq!(panel("chip = \"SSD1309\"").0.oled.chip, Chip::Ssd1309);
    assert_eq!(panel("size = \"128 × 32\"").0.oled.size, Size::Short);
    assert_eq!(
        panel("rotation = \"180\"").0.oled.rotation,
        Rotation::UpsideDown
    );
    assert_eq!(panel("kind = \"PNG\"").0.kind, PanelKind::Png);

    let night = "[[night]]\ndays = \"Monday\"\nfrom = 22:00\nto = 06:30\noff = true";
    let [period] = settings(night).dimming_periods.try_into().unwrap();
    assert_eq!(
        period.days,
        [true, false, false, false, false, false, false]
    );
    assert_eq!((period.from, period.to), (22 * 60, 6 * 60 + 30));
    let list = settings("watchlist = \"^GSPC\"").watchlist;
    assert_eq!(list, ["SPX".parse::<Symbol>().unwrap()]);
}

#[test]
fn a_relative_path_is_relative_to_the_configuration() {
    let text = "[hub]\nurl = \"ws://h:3000\"\nca_file = \"ca.pem\"\n[panel]\nkind = \"png\"\nfile = \"x/y.png\"";
    let config =
        Config::parse(text, Path::new("/etc/deskticker/desk.toml"), &with_token()).unwrap();
    assert_eq!(config.panel.file, Path::new("/etc/deskticker/x/y.png"));
    let ca_file = config.ca_file.as_deref();
    assert_eq!(ca_file, Some(Path::new("/etc/deskticker/ca.pem")));
    let here = parse(text).unwrap().panel.file;
    assert_eq!(here, std::env::current_dir().unwrap().join("x/y.png"));
}

#[test]
fn the_default_bus_is_the_bus_of_the_board() {
    static BOARD: Board = Board {
        name: "elsewhere",
        model: "Elsewhere",
        bus: "/dev/i2c-7",
        pins: "",
        speed: 100_000,
        wanted_speed: 400_000,
        boot_file: "",
        i2c: &[],
        spi: &[],
        buttons: &[],
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
fn a_panel_on_spi_needs_its_dc_line_and_has_no_address() {
    let text = |lines: &str| format!("{HUB}[panel]\n{lines}");
    for bus in ["spi0.1", "spidev0.1", "/dev/spidev0.1"] {
        let config = parse(&text(&format!(
            "bus = \"{bus}\"\ndc = 24\nreset = \"gpiochip1:5\""
        )));
        let oled = config.unwrap().panel.oled;
        assert_eq!(oled.bus, Path::new("/dev/spidev0.1"));
        assert_eq!(oled.dc, Some(GpioLine { chip: 0, line: 24 }));
        assert_eq!(oled.reset, Some(GpioLine { chip: 1, line: 5 }));
    }
    refused(
        &text("bus = \"spi0.0\""),
        "4",
        &["bus", "its pin DC", "dc = 24"],
    );
    refused(&text("dc = 24"), "4", &["dc", "only a panel on SPI"]);
    let config = parse(&text("bus = \"spi0.0\"\ndc = 24\naddress = 0x3d")).unwrap();
    let [told] = &config.warnings[..] else {
        panic!("{:?}", config.warnings);
    };
    assert!(told.contains("a panel on SPI has no address"), "{told}");
}

#[test]
fn a_gpio_of_the_bus_itself_is_reported_on_a_raspberry_pi() {
    let environment = |model: &str| Environment {
        board: Board::for_model(model),
        ..with_token()
    };
    let told = |model: &str, lines: &str| {
        let text = format!("{HUB}[panel]\n{lines}");
        let config = Config::parse(&text, Path::new(FILE), &environment(model));
        config.unwrap().warnings.join("\n")
    };
    let (pi, spi) = (
        "Raspberry Pi 4",
        "bus = \"/dev/spidev0.0\"\ndc = 24\nreset = 10",
    );
    let words = "6: reset: GPIO 10 belongs to the bus /dev/spidev0.0";
    assert!(told(pi, spi).contains(words), "{}", told(pi, spi));
    assert!(told(pi, "bus = \"/dev/i2c-1\"\nreset = 2").contains("GPIO 2 belongs"));
    assert_eq!(told(pi, "bus = \"/dev/i2c-3\"\nreset = 2"), "");
    assert_eq!(told("OrangePi Zero3", spi), "");
}

#[test]
fn the_buttons_are_those_at_the_gpios_or_the_named_devices() {
    let buttons = |line: &str| settings(line).buttons;
    assert_eq!(buttons(""), ["gpio"]);
    assert_eq!(buttons("buttons = \"AB Shutter3\""), ["AB Shutter3"]);
    let two = "buttons = [\"gpio\", \"/dev/input/event3\"]";
    assert_eq!(buttons(two), ["gpio", "/dev/input/event3"]);
    assert!(buttons("buttons = []").is_empty());
    assert_eq!(buttons("buttons = \" GPIO \""), ["gpio"]);
}

#[test]
fn the_default_column_offset_of_an_sh1106_is_2() {
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
fn an_sh1107_has_128x128_and_the_column_offset_0() {
    let panel = |lines: &str| parse(&format!("{HUB}[panel]\n{lines}")).unwrap().panel;
    for (lines, column) in [
        ("chip = \"sh1107\"", 0),
        ("chip = \"SH1107\"\nsize = \"128 × 128\"", 0),
        ("chip = \"sh1107\"\ncolumn_offset = 96", 96),
    ] {
        let oled = panel(lines).oled;
        assert_eq!(
            (oled.chip, oled.size),
            (Chip::Sh1107 { column }, Size::Square)
        );
    }
    // A picture file needs no chip.
    let picture = panel("kind = \"png\"\nsize = \"128x128\"");
    assert_eq!(picture.oled.size, Size::Square);
}

#[test]
fn invalid_toml_is_refused_with_its_line() {
    refused("\n\n[hub\n", "3", &["expected"]);
    refused(
        &format!("{HUB}url = \"ws://again\""),
        "3",
        &["duplicate key"],
    );
    refused("watchlist = [\"SPX\"", "1", &["]"]);
    refused("[hub]\nurl = \"ws://hub", "2", &["\""]);
    // This nesting is deeper than the stack of a recursive parser allows.
    refused(&format!("watchlist = {}", "[".repeat(200_000)), "1", &[]);
    refused("", "", &["[hub]"]);
}

/// The settings from these lines, with a valid hub section after them.
#[track_caller]
fn settings(lines: &str) -> TickerSettings {
    parse(&format!("{lines}\n{HUB}")).unwrap().settings
}

/// Checks that these lines are refused. A watchlist of one line stands before them, so they start
/// at line 2.
#[track_caller]
fn wrong(lines: &str, place: &str, words: &[&str]) {
    let list = "watchlist = [\"SPX\", \"VIX\", \"SPY\", \"O:SPY261218C00650000\"]";
    refused(&format!("{list}\n{lines}\n{HUB}"), place, words);
}

#[test]
fn time_zone_clock_and_number_formats_can_be_configured() {
    let of = |lines: &str| settings(lines);
    let berlin = of("time_zone = \"Europe/Berlin\"").zone;
    assert_eq!(berlin, TimeZone::get("Europe/Berlin").unwrap());
    assert!(of("clock = \"12h\"").format.twelve_hours);
    assert!(!of("clock = \"24h\"").format.twelve_hours);
    for (written, group, point) in [
        ("1,234.56", Some(b','), b'.'),
        ("1.234,56", Some(b'.'), b','),
        ("1 234,56", Some(b' '), b','),
        ("1'234.56", Some(b'\''), b'.'),
        ("1234.56", None, b'.'),
        ("1234,56", None, b','),
    ] {
        let numbers = of(&format!("numbers = \"{written}\"")).format.numbers;
        assert_eq!(numbers, NumberFormat { group, point });
        let (whole, fraction) = Price::from_scaled(12_345_600).parts(2, numbers);
        assert_eq!(format!("{whole}{fraction}"), written);
    }
    wrong(
        "time_zone = \"Europe/Berln\"",
        "2",
        &["Europe/Berln", "Europe/Berlin"],
    );
    assert!(of("clock = 12").format.twelve_hours);
    wrong("clock = \"25\"", "2", &["\"25\"", "\"24h\" or \"12h\""]);
    wrong(
        "numbers = \"1,234\"",
        "2",
        &["1,234", "\"1.234,56\"", "\"1'234.56\""],
    );
}

#[test]
fn the_colours_of_the_panel_are_one_or_yellow_and_blue_in_any_usual_spelling() {
    assert_eq!(settings("").colours, Colours::One);
    for spelling in ["yellow-blue", "yellow/blue", "Yellow Blue"] {
        let read = settings(&format!("[panel]\ncolours = \"{spelling}\""));
        assert_eq!(read.colours, Colours::YellowBlue, "{spelling}");
    }
}

#[test]
fn the_decimals_of_a_symbol_are_read_with_any_usual_separator_and_wrong_ones_are_refused() {
    let list = "watchlist = [\"SPX\", \"I:TICK\", \"SPY\", \"O:SPY261218C00650000\"]\n";
    let of = |decimals: &str| settings(&format!("{list}decimals = {decimals}")).decimals;
    let written = "[\"I:TICK 0\", \"SPX=4\", \"SPY: 3\", \"SPY 18DEC26 650 C 1\"]";
    assert_eq!(of(written), [(1, 0), (0, 4), (2, 3), (3, 1)]);
    assert_eq!(of("\"SPX 4\""), [(0, 4)]);
    assert_eq!(settings("").decimals, []);
    let refused = |decimals: &str, words: &[&str]| {
        wrong(&format!("decimals = {decimals}"), "2", words);
    };
    for entry in [
        "SPX 5", "SPX -1", "SPX", "2 SPX", "SPX2", "I:TICK", "SPX 2.5", "",
    ] {
        let shown = format!("{entry:?}, expected a symbol and the number of its decimals, 0 to 4");
        refused(&format!("[{entry:?}]"), &[&shown]);
    }
    refused("[\"NDX 2\"]", &["decimals: NDX is not on the watchlist"]);
    refused("[\"SPX 2\", \"I:SPX 3\"]", &["SPX is in the list twice"]);
    refused("2", &["decimals: 2, expected a list of texts"]);
}

#[test]
fn a_page_shows_a_pair_a_symbol_a_contract_or_the_connection() {
    let list = "watchlist = [\"SPX\", \"VIX\", \"SPY\", \"O:SPY261218C00650000\"]";
    let of = |pages: &str| settings(&format!("{list}\n[pages]\n{pages}"));
    let chosen = of(r#"
        interval = 3
        show = ["VIX SPX", "SPY", "O:SPY261218C00650000", "link", "I:SPX"]
        pin = "link"
        "#);
    let page_specs = [
        PageSpec::Pair(1, Some(0)),
        PageSpec::Big(2),
        PageSpec::Contract(3),
        PageSpec::Link,
        PageSpec::Big(0),
    ];
    assert_eq!(chosen.pages, page_specs);
    assert_eq!(chosen.pin, Some(3));
    assert_eq!(chosen.interval, Duration::from_secs(3));
    // A configuration without a list of pages pins one of the default pages of its watchlist.
    for (pin, place) in [("SPX VIX", 0), ("SPY", 1), ("O:SPY261218C00650000", 2)] {
        assert_eq!(of(&format!("pin = \"{pin}\"")).pin, Some(place), "{pin}");
    }
}

#[test]
fn an_invalid_page_is_refused_with_its_line() {
    let pages = |lines: &str, place: &str, words: &[&str]| {
        wrong(&format!("[pages]\n{lines}"), place, words);
    };
    pages("interval = 2", "3", &["interval", "2", "3 to 3600"]);
    pages("interval = 3601", "3", &["interval", "3601"]);
    pages("show = []", "3", &["show", "empty"]);
    pages(
        "show = [\"SPX VIX\",\n\"NDX\"]",
        "4",
        &["NDX", "not on the watchlist", "add this symbol"],
    );
    pages("show = [\"SPX SPX\"]", "3", &["SPX SPX", "differ"]);
    pages(
        "show = [\"SPX VIX SPY\"]",
        "3",
        &["one symbol, two", "\"link\""],
    );
    pages("show = [\"\"]", "3", &["one symbol"]);
    pages("show = 3", "3", &["expected a list"]);
    pages(
        "show = [\"SPX VIX\", \"link\"]\npin = \"VIX\"",
        "4",
        &["pin", "\"SPX VIX\", \"link\""],
    );
    pages(
        "pin = \"link\"",
        "3",
        &["\"SPX VIX\", \"SPY\", \"O:SPY261218C00650000\""],
    );
    pages("pin = \"NDX\"", "3", &["NDX", "not on the watchlist"]);
    wrong("pages = 3", "2", &["write: [pages]"]);
}

#[test]
fn an_alert_has_exactly_one_threshold() {
    let alerts = settings(
        r#"
        [[alert]]
        symbol = "SPX"
        above = 6000
        [[alert]]
        symbol = "I:VIX"
        below = 12.5
        seconds = 5
        [[alert]]
        symbol = "SPX"
        change_percent = 1.5
        seconds = 3600
        "#,
    )
    .alerts;
    let rule = |place, threshold, secs| AlertRule {
        place,
        threshold,
        shown: Duration::from_secs(secs),
    };
    let expected = [
        rule(0, Threshold::Above(Price::from_scaled(60_000_000)), 60),
        rule(1, Threshold::Below(Price::from_scaled(125_000)), 5),
        rule(0, Threshold::Moved(150), 3600),
    ];
    assert_eq!(alerts, expected);

    let alert = |lines: &str, place: &str, words: &[&str]| {
        wrong(
            &format!("[[alert]]\nsymbol = \"SPX\"\n{lines}"),
            place,
            words,
        );
    };
    alert("", "2", &["exactly one of above, below and change_percent"]);
    alert("above = 1.0\nbelow = 2.0", "2", &["exactly one"]);
    alert("above = 0", "4", &["above", "0", "a price"]);
    alert("below = -3.5", "4", &["below", "-3.5"]);
    alert("above = inf", "4", &["above", "inf"]);
    alert("above = nan", "4", &["above", "NaN"]);
    alert("above = \"6,000\"", "4", &["expected a number"]);
    alert(
        "change_percent = 0",
        "4",
        &["change_percent", "0.01 to 1000"],
    );
    alert(
        "change_percent = -2",
        "4",
        &["change_percent", "a rise and a fall"],
    );
    alert(
        "above = 1\nseconds = 4",
        "5",
        &["seconds", "4", "5 to 3600"],
    );
    alert("above = 1\nseconds = 3601", "5", &["seconds", "3601"]);
    wrong(
        "[[alert]]\nsymbol = \"NDX\"\nabove = 1",
        "3",
        &["NDX", "not on the watchlist"],
    );
    // TICK can be negative, because more shares can fall than rise. The price of a share is always
    // above 0.
    let breadth = "watchlist = [\"I:TICK\"]\n[[alert]]\nsymbol = \"I:TICK\"\nbelow = -1000\n";
    let alerts = parse(&format!("{breadth}{HUB}")).unwrap().settings.alerts;
    let below = Threshold::Below(Price::from_scaled(-10_000_000));
    assert_eq!(alerts, [rule(0, below, 60)]);
    refused(
        &format!("{}{HUB}", breadth.replace("-1000", "-1e9")),
        "4",
        &["below", "above -100000000 and below 100000000"],
    );
    wrong("[[alert]]\nabove = 1", "2", &["symbol"]);
    wrong("[alert]\nsymbol = \"SPX\"", "2", &["[[alert]]"]);
    wrong(
        "[[alert]]\nsymbol = \"SPX\"\nunder = 1",
        "4",
        &["under", "below"],
    );
}

#[test]
fn a_night_either_dims_the_panel_or_turns_the_panel_off() {
    let dimming_periods = settings(
        r#"
        [[night]]
        days = ["mon", "sun"]
        from = "22:00"
        to = "06:30"
        brightness = 10
        [[night]]
        from = "00:00"
        to = "24:00"
        off = true
        "#,
    )
    .dimming_periods;
    let first = DimmingPeriod {
        days: [true, false, false, false, false, false, true],
        from: 22 * 60,
        to: 6 * 60 + 30,
        brightness: Some(10),
    };
    let second = DimmingPeriod {
        days: [true; 7],
        from: 0,
        to: 1440,
        brightness: None,
    };
    assert_eq!(dimming_periods, [first, second]);

    let night = |lines: &str, place: &str, words: &[&str]| {
        wrong(&format!("[[night]]\n{lines}"), place, words);
    };
    let hours = "from = \"22:00\"\nto = \"06:00\"";
    night(hours, "2", &["either a brightness", "off = true"]);
    night(&format!("{hours}\noff = false"), "2", &["off = true"]);
    night(
        &format!("{hours}\noff = true\nbrightness = 1"),
        "2",
        &["either"],
    );
    night(
        &format!("{hours}\nbrightness = 256"),
        "5",
        &["brightness", "0 (dimmest) to 255"],
    );
    night(
        &format!("{hours}\noff = 1"),
        "5",
        &["expected true or false"],
    );
    night(
        &format!("days = []\n{hours}\noff = true"),
        "3",
        &["days", "empty"],
    );
    night(
        &format!("days = [\"Mo\"]\n{hours}\noff = true"),
        "3",
        &["\"Mo\"", "mon, tue"],
    );
    let between = |from: &str, to: &str, place: &str, words: &[&str]| {
        let lines = format!("from = \"{from}\"\nto = \"{to}\"\noff = true");
        night(&lines, place, words);
    };
    between("22:00", "22:00", "4", &["to", "\"00:00\" to \"24:00\""]);
    between("24:00", "06:00", "3", &["from", "24:00", "\"23:59\""]);
    between("22:60", "06:00", "3", &["22:60"]);
    between("22:00", "24:01", "4", &["24:01", "\"24:00\""]);
    for time in ["9:00", "0900", "+9:00", "09:00:00", "", "ab:cd"] {
        between(time, "06:00", "3", &["from", "\"00:00\" to \"23:59\""]);
    }
    night("from = \"22:00\"\noff = true", "2", &["to"]);
}

#[test]
fn an_expired_contract_is_reported_with_its_line_and_is_no_error() {
    let text = format!(
        "watchlist = [\n\"SPX\",\n\"O:SPY251219C00650000\",\n\"O:SPY261218C00650000\"]\n{HUB}"
    );
    let config = parse(&text).unwrap();
    let said = |utc| config.expired(&Calendar::us(), Utc(utc));
    // 2026-01-02 and 2025-12-19, both at 12:00 in New York.
    let [line] = said(1_767_373_200_000).try_into().unwrap();
    assert!(line.starts_with(&format!("{FILE}:3: ")), "{line}");
    assert!(
        line.contains("SPY251219C00650000") && line.contains("2025-12-19"),
        "{line}"
    );
    assert!(
        said(1_766_163_600_000).is_empty(),
        "it is traded on that day"
    );
}

#[test]
fn a_screen_is_alone_or_beside_a_panel() {
    let panel = |text: &str| parse(&format!("{HUB}{text}")).unwrap().panel;
    let usual = Some(ScreenSettings::default());
    for (text, kind, screen) in [
        ("", PanelKind::Oled, None),
        ("[panel]\n", PanelKind::Oled, None),
        (
            "[panel]\nkind = \"screen\"\n",
            PanelKind::Screen,
            usual.clone(),
        ),
        ("[screen]\n", PanelKind::Screen, usual.clone()),
        ("[panel]\n[screen]\n", PanelKind::Oled, usual.clone()),
        ("[panel]\nkind = \"png\"\n[screen]\n", PanelKind::Png, usual),
    ] {
        let read = panel(text);
        assert_eq!((read.kind, read.screen), (kind, screen), "{text}");
    }
    let read = panel(
        "[screen]\ndevice = \"/dev/fb1\"\ntheme = \"light\"\nrotation = 270\nformat = \"X8R8G8B8\"",
    );
    let expected = ScreenSettings {
        device: "/dev/fb1".into(),
        sysfs: "/sys/class/graphics/fb1".into(),
        format: Some(PixelFormat::X8r8g8b8),
        rotation: ScreenRotation::CounterClockwise,
        theme: Theme::Light,
    };
    assert_eq!(read.screen, Some(expected));
    let text = format!("{HUB}[screen]\n[[night]]\n");
    let alone = Config::panel_of(&text, Path::new(FILE), &with_token());
    assert_eq!((alone.kind, alone.assumed), (PanelKind::Screen, false));
}

#[test]
fn the_panel_settings_of_an_otherwise_wrong_file_are_readable() {
    let panel = |text: &str| Config::panel_of(text, Path::new(FILE), &with_token());
    let wrong = panel("watchlist = 3\n[hub]\nfoo = 1\n[panel]\nkind = \"png\"\n[[night]]\n");
    assert_eq!(wrong.kind, PanelKind::Png);
    let read = panel("[panel]\nkind = \"oled\"\naddress = 0x3d\n[hub]\nurl \"ws://a\"\n");
    assert_eq!((read.oled.address, read.assumed), (0x3d, false));
    assert!(!wrong.assumed);
    // Nothing in these files is certainly about the usual panel.
    let usual = PanelConfig {
        assumed: true,
        ..parse(HUB).unwrap().panel
    };
    for text in [
        "",
        "[panel",
        "[panel]\nsize = \"3x3\"",
        "[panel]\nfoo = 1",
        "[panel]\nkind = \"pgn\"",
        "[panel]\nkind \"png\"",
    ] {
        assert_eq!(panel(text), usual, "{text}");
    }
}

#[test]
fn the_installed_sample_needs_only_the_token_and_its_examples_are_valid() {
    let sample = include_str!("../systemd/deb/deskticker.toml");
    let as_installed = parse(sample).unwrap();
    assert_eq!(
        as_installed.source.endpoint.to_string(),
        "ws://hub.local:3000"
    );
    let shown = |without: &str| {
        let blocks = sample
            .split("\n\n")
            .filter(|block| !block.contains(without));
        let lines = blocks.flat_map(|block| block.lines().chain([""]));
        let set = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) => setting.to_owned(),
            _ => line.to_owned(),
        };
        parse(&lines.map(set).collect::<Vec<_>>().join("\n"))
    };
    let hub = shown("#[massive]").unwrap();
    assert_eq!(hub.source.provider, FeedProvider::Hub);
    assert_eq!(hub.settings.pages.len(), 3);
    assert_eq!(
        (
            hub.settings.alerts.len(),
            hub.settings.dimming_periods.len()
        ),
        (2, 2)
    );
    let usual = parse(HUB).unwrap();
    let screen = Some(ScreenSettings::default());
    assert_eq!(
        hub.panel,
        PanelConfig {
            screen,
            ..usual.panel
        }
    );
    assert_eq!(hub.settings.brightness, usual.settings.brightness);
    assert_eq!(hub.settings.format, usual.settings.format);
    assert_eq!(
        shown("\n[hub]\n").unwrap().source.provider,
        FeedProvider::Vendor
    );
}

#[test]
fn the_settings_in_the_readme_are_valid() {
    let readme = include_str!("../README.md");
    let (_, settings) = readme.split_once("## All settings").unwrap();
    let (_, file) = settings.split_once("```toml\n").unwrap();
    let (file, _) = file.split_once("```").unwrap();
    let config = parse(file).unwrap();
    let page_specs = [
        PageSpec::Pair(0, Some(1)),
        PageSpec::Big(2),
        PageSpec::Contract(3),
        PageSpec::Link,
    ];
    assert_eq!(config.settings.pages, page_specs);
    assert_eq!(config.settings.pin, Some(0));
    let screen = Some(ScreenSettings::default());
    let usual = parse(HUB).unwrap().panel;
    assert_eq!(config.panel, PanelConfig { screen, ..usual });
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_makes_the_parser_panic(
        key in "(watchlist|time_zone|clock|numbers|decimals|pages|alert|night|pages\\.(interval|show|pin)|hub|massive|panel|panel\\.(kind|size|address|rotation|brightness|bus)|hub\\.(url|token_file))",
        value in "(\"\\PC{0,20}\"|-?[0-9]{1,25}|\\[(\"[A-Z:0-9]{0,20}\",?){0,5}\\]|\\{\\}|true|nan|[0-9]{4}-[0-9]{2}-[0-9]{2})",
    ) {
        let _ = parse(&format!("{key} = {value}\n"));
        let _ = parse(&format!("{key} = {value}\n{HUB}"));
    }

    #[test]
    fn no_address_makes_the_parser_panic(url in "(ws|wss|http)?:?/{0,3}\\PC{0,30}") {
        if let Ok(endpoint) = deskticker::net::endpoint::Endpoint::parse(&url) {
            // The displayed form of an endpoint must parse to the same endpoint.
            let again = deskticker::net::endpoint::Endpoint::parse(&endpoint.to_string());
            proptest::prop_assert_eq!(again, Ok(endpoint));
        }
    }
}
