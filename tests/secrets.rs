//! Tests of the token: the places where the program looks for it, their order, the valid content of
//! a token file, and that no output contains the token.
#![allow(clippy::unwrap_used)]

#[path = "support/basics.rs"]
mod basics;
#[path = "support/captured_log.rs"]
mod captured_log;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use deskticker::config::Config;
use deskticker::secret::Environment;

use basics::directory;

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn load(path: &Path, environment: &Environment) -> Result<String, String> {
    Config::load(path, environment)
        .map(|config| config.source.secret.unwrap().reveal().to_owned())
        .map_err(|error| error.to_string())
}

/// The token from a configuration that names a token file with this content.
fn from_file(name: &str, content: impl AsRef<[u8]>) -> Result<String, String> {
    let directory = directory(name);
    let token = directory.join("token");
    write(&token, content, 0o600);
    load(&naming(&directory, &token), &Environment::default())
}

/// Writes a configuration to the directory. Its third line names this token file.
fn naming(directory: &Path, token: &Path) -> PathBuf {
    let config = directory.join("desk.toml");
    let text = format!(
        "[hub]\nurl = \"ws://hub:3000\"\ntoken_file = \"{}\"\n",
        token.display()
    );
    write(&config, text, 0o644);
    config
}

#[test]
fn white_space_around_a_token_is_ignored() {
    assert_eq!(from_file("plain", "a+b/c=="), Ok("a+b/c==".into()));
    assert_eq!(from_file("newline", "a+b/c==\n"), Ok("a+b/c==".into()));
    assert_eq!(from_file("crlf", "a+b/c==\r\n"), Ok("a+b/c==".into()));
    assert_eq!(
        from_file("spaces", "\n  a+b/c== \t\n\n"),
        Ok("a+b/c==".into())
    );
    assert_eq!(from_file("bom", "\u{feff}a+b/c==\n"), Ok("a+b/c==".into()));
}

#[test]
fn every_usual_form_of_a_token_has_the_same_meaning() {
    let forms = [
        "\"a+b/c==\"",
        "'a+b/c=='",
        "\u{201c}a+b/c==\u{201d}",
        "\u{2018}a+b/c==\u{2019}",
        "MASSIVE_PROXY_TOKEN=a+b/c==",
        "export MASSIVE_PROXY_TOKEN='a+b/c=='",
        "token = \"a+b/c==\"  # of the kitchen",
        "Token: a+b/c==",
        "a+b/c== # of the kitchen",
        "# the token of the kitchen\r\na+b/c==",
        "# old Mac\ra+b/c==\r",
    ];
    for form in forms {
        let expected = Ok("a+b/c==".to_owned());
        assert_eq!(from_file("form", form), expected, "{form}");
        assert_eq!(from_file("form", format!("\u{feff}{form}\r\n")), expected);
        for (mark, unit) in [
            ("", u16::to_le_bytes as fn(u16) -> [u8; 2]),
            ("", u16::to_be_bytes),
            ("\u{feff}", u16::to_le_bytes),
            ("\u{feff}", u16::to_be_bytes),
        ] {
            let units = format!("{mark}{form}\r\n");
            let bytes: Vec<u8> = units.encode_utf16().flat_map(unit).collect();
            // Without a mark, the first character shows the byte order; it must be ASCII.
            if !mark.is_empty() || form.is_ascii() {
                assert_eq!(from_file("form", bytes), expected, "{form}");
            }
        }
        let directory = directory("variable");
        let config = directory.join("desk.toml");
        write(&config, "[hub]\nurl = \"ws://hub:3000\"\n", 0o644);
        let environment = Environment {
            token: Some(form.to_owned()),
            ..Environment::default()
        };
        assert_eq!(load(&config, &environment), expected, "{form}");
    }
}

#[test]
fn a_hash_or_a_secret_of_the_other_kind_is_named() {
    let hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for text in [
        hash,
        &format!("kitchen  {hash}"),
        &format!("token=\"{hash}\""),
    ] {
        let error = from_file("hash", text).unwrap_err();
        assert!(error.contains("this is the hash of a token"), "{error}");
        assert!(error.contains("deskticker-hub token add NAME"), "{error}");
        assert!(!error.contains("9f86"), "{error}");
    }
    let error = from_file("other-kind", "MASSIVE_API_KEY=s3cr3t").unwrap_err();
    assert!(error.contains("the key of the vendor"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
    // A token of 64 hexadecimal digits is valid.
    let hex = hash.trim_start_matches("sha256:");
    assert_eq!(from_file("hex", hex), Ok(hex.to_owned()));

    let directory = directory("key");
    let config = directory.join("desk.toml");
    write(&config, "[massive]\n", 0o644);
    let load_key = |key: &str| {
        let environment = Environment {
            key: Some(key.to_owned()),
            ..Environment::default()
        };
        load(&config, &environment)
    };
    assert_eq!(load_key("'abc'"), Ok("abc".to_owned()));
    assert_eq!(load_key("MASSIVE_API_KEY=abc"), Ok("abc".to_owned()));
    let error = load_key("token=s3cr3t").unwrap_err();
    assert!(error.contains("expected the key of the vendor"), "{error}");
}

#[test]
fn a_token_file_without_one_token_is_refused_and_not_repeated() {
    let refused = |name: &str, content: &[u8], word: &str| {
        let error = from_file(name, content).expect_err(name);
        assert!(error.contains("desk.toml:3: token_file: "), "{error}");
        assert!(error.contains("/token: "), "{error}");
        assert!(error.contains(word), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    };
    refused("empty", b"", "empty");
    refused("blank", b" \r\n\t\n", "empty");
    refused("comment", b"# s3cr3t\n", "empty");
    refused("no-value", b"token=\n", "empty");
    refused("two-lines", b"s3cr3t\ns3cr3t-too\n", "one token");
    refused("quote-at-start", b"\"s3cr3t", "one token");
    refused("quote-at-end", b"s3cr3t'", "one token");
    refused("two-quoted", b"'s3cr3t' 's3cr3t'", "one token");
    refused("two-words", b"s3cr3t s3cr3t", "one token");
    refused("control", b"s3cr3t\x1b[0m", "one token");
    refused("not-utf-8", b"s3cr3t\xff", "one token");
    refused(
        "a-mebibyte",
        &b"s3cr3t".repeat(1 << 18)[..1 << 20],
        "4096 bytes",
    );
    let mut padded = b"s3cr3t".to_vec();
    padded.resize(1 << 20, b'\n');
    refused("padded", &padded, "4096 bytes");
}

#[test]
fn a_token_of_the_maximum_length_is_read_completely() {
    let token = "x".repeat(4095);
    assert_eq!(from_file("longest", format!("{token}\n")), Ok(token));
}

#[test]
fn a_missing_token_file_or_a_directory_is_reported_by_its_name() {
    let directory = directory("missing");
    let error = load(
        &naming(&directory, &directory.join("none")),
        &Environment::default(),
    )
    .unwrap_err();
    assert!(error.contains("desk.toml:3: token_file: "), "{error}");
    assert!(error.contains("none: No such file"), "{error}");
    let error = load(&naming(&directory, &directory), &Environment::default()).unwrap_err();
    assert!(error.contains("directory"), "{error}");
}

#[test]
fn a_token_in_place_of_its_path_is_not_repeated() {
    let directory = directory("pasted");
    for token in ["s3cr3t", "eyJs3cr3t/9+==", &"s3cr3t".repeat(1000)] {
        let config = naming(&directory, Path::new(token));
        let error = load(&config, &Environment::default()).unwrap_err();
        assert!(error.contains("desk.toml:3: token_file: "), "{error}");
        assert!(error.contains("expected the path of a file"), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn a_missing_token_is_reported_with_the_line_of_its_table() {
    let directory = directory("no-token");
    let config = directory.join("desk.toml");
    for (table, name) in [("hub", "token"), ("massive", "key")] {
        let text = format!("watchlist = [\"SPX\"]\n\n[{table}]\nurl = \"ws://hub:3000\"\n");
        write(&config, text, 0o644);
        let error = load(&config, &Environment::default()).unwrap_err();
        let place = format!("desk.toml:3: there is no {name}");
        assert!(error.contains(&place), "{error}");
    }
}

#[test]
fn a_world_readable_token_file_works_with_a_warning_and_a_remedy() {
    static LOG: Once = Once::new();
    LOG.call_once(|| captured_log::start(log::LevelFilter::Info));
    let directory = directory("world");
    let token = directory.join("token");
    let config = naming(&directory, &token);
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        write(&token, "s3cr3t", mode);
        captured_log::take();
        assert_eq!(load(&config, &Environment::default()), Ok("s3cr3t".into()));
        let lines = captured_log::take();
        assert_eq!(!lines.is_empty(), warned, "{mode:o}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains("chmod 600")));
        assert!(!lines.join("").contains("s3cr3t"));
    }
}

#[test]
fn the_token_file_precedes_systemd_and_systemd_precedes_the_environment() {
    let directory = directory("order");
    let credentials = directory.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let everything = Environment {
        credentials: Some(credentials.clone()),
        token: Some("from-the-environment".into()),
        key: Some("the-vendors".into()),
        ..Environment::default()
    };
    let named = directory.join("token");
    write(&named, "from-the-file", 0o600);
    let with_file = naming(&directory, &named);
    let without = directory.join("plain.toml");
    write(&without, "[hub]\nurl = \"ws://hub:3000\"\n", 0o644);

    assert_eq!(
        load(&without, &everything),
        Ok("from-the-environment".into())
    );
    write(&credentials.join("token"), "from-systemd\n", 0o400);
    assert_eq!(load(&without, &everything), Ok("from-systemd".into()));
    assert_eq!(load(&with_file, &everything), Ok("from-the-file".into()));

    // A place with an invalid token is an error. The program does not continue with the next place.
    write(&named, "", 0o600);
    assert!(load(&with_file, &everything).unwrap_err().contains("empty"));
    write(&credentials.join("token"), "two words", 0o600);
    let error = load(&without, &everything).unwrap_err();
    assert!(
        error.contains("credential") && error.contains("one token"),
        "{error}"
    );
    // A blank credential counts as missing, because the systemd units of this project provide a
    // blank one by default.
    write(&credentials.join("token"), "\n", 0o600);
    assert_eq!(
        load(&without, &everything),
        Ok("from-the-environment".into())
    );
}

#[test]
fn a_user_finds_the_token_where_the_systemd_unit_finds_it() {
    let directory = directory("by-hand");
    let config = directory.join("desk.toml");
    write(&config, "[hub]\nurl = \"ws://hub:3000\"\n", 0o644);
    let unit = directory.join("etc");
    std::fs::create_dir(&unit).unwrap();
    let by_hand = Environment {
        unit_secrets: Some(unit.clone()),
        ..Environment::default()
    };
    let missing = load(&config, &by_hand).unwrap_err();
    assert!(missing.contains("there is no token"), "{missing}");
    write(&unit.join("token"), "of-the-unit\n", 0o600);
    assert_eq!(load(&config, &by_hand), Ok("of-the-unit".into()));
    // The environment variable precedes the file of the unit.
    let with_variable = Environment {
        token: Some("of-the-variable".into()),
        ..by_hand.clone()
    };
    assert_eq!(load(&config, &with_variable), Ok("of-the-variable".into()));
    // A service uses only its credentials, and its user cannot read the file of the unit.
    let service = Environment {
        credentials: Some(directory.join("no-credentials")),
        ..by_hand.clone()
    };
    assert_eq!(load(&config, &service), Err(missing));
    // A file without a valid token is an error that names the file and the remedy.
    write(&unit.join("token"), "two words", 0o600);
    let error = load(&config, &by_hand).unwrap_err();
    for part in ["etc/token: expected one token", "sudo"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn the_error_for_a_missing_token_names_all_places() {
    let directory = directory("nowhere");
    let config = directory.join("desk.toml");
    write(&config, "[hub]\nurl = \"ws://hub:3000\"\n", 0o644);
    let error = load(&config, &Environment::default()).unwrap_err();
    for place in ["token_file", "systemd credential", "MASSIVE_PROXY_TOKEN"] {
        assert!(error.contains(place), "{error}");
    }
    write(&config, "[massive]\n", 0o644);
    let error = load(&config, &Environment::default()).unwrap_err();
    for place in ["key_file", "systemd credential", "MASSIVE_API_KEY"] {
        assert!(error.contains(place), "{error}");
    }
    let blank = Environment {
        key: Some(" ".into()),
        ..Environment::default()
    };
    let error = load(&config, &blank).unwrap_err();
    assert!(
        error.contains("MASSIVE_API_KEY: the value is empty"),
        "{error}"
    );
}

#[test]
fn no_debug_output_contains_the_secret() {
    let environment = Environment {
        credentials: None,
        token: Some("s3cr3t".into()),
        key: Some("k3y".into()),
        ..Environment::default()
    };
    let config = Config::parse(
        "[hub]\nurl = \"ws://hub:3000\"",
        Path::new("desk.toml"),
        &environment,
    )
    .unwrap();
    let text = format!("{config:?} {config:#?} {environment:?} {environment:#?}");
    assert!(!text.contains("s3cr3t") && !text.contains("k3y"), "{text}");
    let blank = Environment {
        token: Some("s3cr3t two".into()),
        ..environment
    };
    let error = Config::parse("[hub]\nurl = \"ws://hub\"", Path::new("x"), &blank).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("MASSIVE_PROXY_TOKEN") && !text.contains("s3cr3t"),
        "{text}"
    );
}

#[test]
fn an_unreadable_configuration_is_reported_by_its_name() {
    let directory = directory("unreadable");
    let none = Environment::default();
    let missing = load(&directory.join("none.toml"), &none).unwrap_err();
    assert!(missing.contains("none.toml: cannot be read"), "{missing}");
    assert!(
        missing.contains("--config") && missing.contains("deskticker demo"),
        "{missing}"
    );
    let folder = load(&directory, &none).unwrap_err();
    assert!(
        folder.contains("secrets-unreadable: cannot be read"),
        "{folder}"
    );
    assert!(folder.contains("directory"), "{folder}");
    let latin = directory.join("latin-1.toml");
    write(&latin, b"# one\n# two\n# caf\xe9\n[hub]\n", 0o644);
    let error = load(&latin, &none).unwrap_err();
    assert!(error.contains("latin-1.toml:3: "), "{error}");
    assert!(error.contains("UTF-8"), "{error}");
}
