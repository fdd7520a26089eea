//! Tests of the script that imports settings from the boot partition of the card image
//! (boards/root/usr/lib/deskticker/import). The script stores valid settings and removes secrets
//! from the card. An invalid setting changes nothing, and the script reports it with its line
//! number.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Output};

const IMPORT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/boards/root/usr/lib/deskticker/import"
);

/// A few lines of the table of countries, which is a file of the package tzdata.
const COUNTRIES: &str = "# tzdb\n#code\tname\nDE\tGermany\nGB\tBritain (UK)\nUS\tUnited States\n";

/// The file that the import writes to, for each network and for the token.
const DESK: &str = "kept/iwd/desk.psk";
const TOKEN: &str = "etc/deskticker/token";

/// A temporary folder with the files of a system and its boot partition. The drop of this value
/// deletes the folder.
struct System {
    root: PathBuf,
}

impl System {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("deskticker-{}-{name}", std::process::id()));
        for folder in [
            "boot/firmware",
            "etc/deskticker",
            "kept/iwd",
            "var/lib/iwd",
            "run",
            "proc",
            "usr/share/zoneinfo",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        Self { root }
            .with("proc/mounts", "/dev/mmcblk0p3 /kept ext4 rw,noatime 0 0\n")
            .with("usr/share/zoneinfo/iso3166.tab", COUNTRIES)
    }

    fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.root.join(file), text).unwrap();
        self
    }

    fn put(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.root.join(file), text).unwrap();
    }

    /// Runs the import script.
    fn run(&self, path: &str) -> Output {
        let mut command = Command::new("/bin/sh");
        command.arg(IMPORT).env("ROOT", &self.root);
        command.env("PATH", path).process_group(0);
        command.output().unwrap()
    }

    /// Runs the import script and returns the reported fault, if any.
    fn start(&self) -> Option<String> {
        let done = self.run(&std::env::var("PATH").unwrap());
        assert!(done.status.success(), "{done:?}");
        let fault = fs::read_to_string(self.root.join("run/deskticker-import/fault")).ok();
        assert_eq!(
            fault.is_some(),
            !done.stderr.is_empty(),
            "the log says what the panel says: {done:?}"
        );
        fault.map(|line| line.trim_end().to_owned())
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }

    /// Returns true if a file on the boot partition contains this secret.
    fn on_card(&self, secret: &str) -> bool {
        let folder = fs::read_dir(self.root.join("boot/firmware")).unwrap();
        folder
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .any(|bytes| String::from_utf8_lossy(&bytes).contains(secret))
    }

    /// Runs the import script with a file that it must not accept. Returns the fault, and checks
    /// that the file and the stored values stay the same.
    fn refusal(&self, file: &str) -> String {
        let path = self.root.join("boot/firmware").join(file);
        let values = || {
            let networks: Vec<_> = self.networks();
            (self.text(TOKEN), networks, fs::read(&path).ok())
        };
        let before = values();
        let fault = self.start().unwrap_or_default();
        assert_eq!(values(), before, "{fault}");
        fault
    }

    fn networks(&self) -> Vec<String> {
        let folder = fs::read_dir(self.root.join("kept/iwd")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for System {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

#[test]
fn a_freshly_flashed_card_imports_nothing_and_reports_no_fault() {
    let system = System::new("flashed")
        .with("boot/firmware/token", include_str!("../boards/card/token"))
        .with(
            "boot/firmware/wifi.txt",
            include_str!("../boards/card/wifi.txt"),
        );
    assert_eq!(system.start(), None);
    assert_eq!(system.text("etc/deskticker/token"), "");
    assert!(system.networks().is_empty());
}

#[test]
fn a_token_moves_from_the_card_to_a_file_for_root_only() {
    // A Windows editor writes the token like this, below the lines of the template.
    let text = format!(
        "{}\r\n  secret-of-the-hub \r\n",
        include_str!("../boards/card/token")
    );
    let system = System::new("token").with("boot/firmware/token", text);
    assert_eq!(system.start(), None);
    assert_eq!(system.text("etc/deskticker/token"), "secret-of-the-hub\n");
    let data = fs::metadata(system.root.join("etc/deskticker/token")).unwrap();
    assert_eq!(data.permissions().mode() & 0o777, 0o600);
    assert!(!system.on_card("secret-of-the-hub"));
    // The import replaces the token by a comment, so the next start changes nothing.
    assert_eq!(system.start(), None);
    assert_eq!(system.text("etc/deskticker/token"), "secret-of-the-hub\n");
}

#[test]
fn an_invalid_token_is_reported_with_its_line_and_the_old_token_stays() {
    for (text, fault) in [
        (
            "two words\n",
            "token:1: expected one token of printable characters, without spaces",
        ),
        (
            "# comment\none\ntwo\n",
            "token:3: a second token; expected one, on one line",
        ),
        (
            "caf\u{e9}\n",
            "token:1: expected one token of printable characters, without spaces",
        ),
        (
            "token = \"abc\n",
            "token:1: expected one token of printable characters, without spaces",
        ),
        (
            "kitchen  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            "token:1: this is the hash; the token is the text that deskticker-hub token add NAME printed",
        ),
        (
            "MASSIVE_API_KEY=abc\n",
            "token:1: this is the key of the vendor; expected the token of the hub (deskticker-hub token add NAME)",
        ),
        (
            &"x".repeat(4096),
            "token:1: the token has 4096 characters; expected at most 4095",
        ),
    ] {
        let system = System::new("bad-token")
            .with("etc/deskticker/token", "the-old-one\n")
            .with("boot/firmware/token", text);
        assert_eq!(system.refusal("token"), fault);
        assert_eq!(system.text("etc/deskticker/token"), "the-old-one\n");
    }
}

#[test]
fn a_network_is_stored_for_iwd_and_its_password_leaves_the_card() {
    let system = System::new("wifi").with(
        "boot/firmware/wifi.txt",
        "ssid = Corner desk\r\npsk = a\\b secret\r\ncountry = DE\r\n",
    );
    assert_eq!(system.start(), None);
    assert_eq!(
        system.text("kept/iwd/Corner desk.psk"),
        "[Security]\nPassphrase=a\\\\b secret\n"
    );
    // iwd reads this folder, and it may also write to it.
    assert_eq!(
        system.text("var/lib/iwd/Corner desk.psk"),
        system.text("kept/iwd/Corner desk.psk")
    );
    assert!(!system.on_card("b secret"));
    let main = system.text("etc/iwd/main.conf");
    assert!(main.contains("Country=DE") && main.contains("EnableNetworkConfiguration=true"));
    // The next start finds the network name on the card and the password in the stored file.
    fs::remove_file(system.root.join("etc/iwd/main.conf")).unwrap();
    assert_eq!(system.start(), None);
    assert!(system.text("etc/iwd/main.conf").contains("Country=DE"));
    assert_eq!(system.networks(), ["Corner desk.psk"]);
}

#[test]
fn a_network_name_in_any_script_is_valid_and_a_new_network_replaces_the_old_one() {
    let system = System::new("names").with("boot/firmware/wifi.txt", "ssid=first\npsk=12345678\n");
    assert_eq!(system.start(), None);
    let key = "0123456789abcdef".repeat(4);
    system.put(
        "boot/firmware/wifi.txt",
        format!("ssid=caf\u{e9}/1\npsk={key}\n"),
    );
    assert_eq!(system.start(), None);
    assert_eq!(system.networks(), ["=636166c3a92f31.psk"]);
    assert_eq!(
        system.text("kept/iwd/=636166c3a92f31.psk"),
        format!("[Security]\nPreSharedKey={key}\n")
    );
}

#[test]
fn a_wifi_fault_is_reported_with_its_line_and_without_the_password() {
    for (text, fault) in [
        (
            "ssid = desk\npsk = short12\n",
            "wifi.txt:2: psk: 7 characters; expected 8 to 63",
        ),
        (
            "ssid = desk\npsk = caf\u{e9} secret\n",
            "wifi.txt:2: psk: expected only ASCII letters, digits and signs",
        ),
        (
            "ssid = desk\ncountry = Deutschland\n",
            "wifi.txt:2: country: expected two letters, like DE, US or GB",
        ),
        (
            "ssid = desk\ncountry = EN\n",
            "wifi.txt:2: country: expected two letters, like DE, US or GB",
        ),
        (
            "psk = 12345678\n",
            "wifi.txt:1: a psk without a network; expected a line ssid = NAME",
        ),
        (
            "ssid = desk\nproto = WPA\n",
            "wifi.txt:2: unknown setting; expected ssid, psk or country",
        ),
        (
            "desk 12345678\n",
            "wifi.txt:1: expected a line like ssid = my network",
        ),
        (
            "ssid = desk\n",
            "wifi.txt: psk: the password is missing; expected a line psk = PASSWORD, of 8 to 63 characters",
        ),
        (
            "ssid = 123456789012345678901234567890123\npsk = 12345678\n",
            "wifi.txt:1: ssid: the name has more than 32 bytes; expected at most 32",
        ),
        (
            "ssid = desk\npsk = its password\n",
            "wifi.txt:2: psk: expected the password of your network instead of the example",
        ),
        (
            "ssid = one\npsk = 12345678\nssid = two\n",
            "wifi.txt:3: a second ssid; expected one line ssid = NAME",
        ),
        (
            "psk = 12345678\npassword = 87654321\n",
            "wifi.txt:2: a second psk; expected one line psk = PASSWORD",
        ),
        // The password can begin with a quote, and a word of the password can begin with a #.
        (
            "ssid = desk\npsk = \"12345678\n",
            "wifi.txt:2: psk: a quote or a # with two possible meanings; expected quotes around the whole value, psk = \"VALUE\"",
        ),
        (
            "ssid = desk\npsk = 12345678\"\n",
            "wifi.txt:2: psk: a quote or a # with two possible meanings; expected quotes around the whole value, psk = \"VALUE\"",
        ),
        (
            "ssid = net #1\npsk = 12345678\n",
            "wifi.txt:1: ssid: a quote or a # with two possible meanings; expected quotes around the whole value, ssid = \"VALUE\"",
        ),
    ] {
        let system = System::new("bad-wifi")
            .with("kept/iwd/old.psk", "[Security]\nPassphrase=87654321\n")
            .with("boot/firmware/wifi.txt", text);
        assert_eq!(system.refusal("wifi.txt"), fault, "{text}");
        assert_eq!(system.networks(), ["old.psk"], "{text}");
        // A corrected file removes the reported fault.
        system.put("boot/firmware/wifi.txt", "ssid = desk\npsk = 12345678\n");
        assert_eq!(system.start(), None);
    }
}

/// Returns the stored name of the network, its secret and its country, for a valid `wifi.txt`.
fn imported(text: &[u8]) -> (String, String, String) {
    let system = System::new("forms").with("boot/firmware/wifi.txt", text);
    let shown = String::from_utf8_lossy(text);
    assert_eq!(system.start(), None, "{shown}");
    let networks = system.networks();
    assert_eq!(networks.len(), 1, "{shown}");
    let secret = system.text(&format!("kept/iwd/{}", networks[0]));
    let secret = secret.strip_prefix("[Security]\n").unwrap();
    let secret = secret.strip_suffix('\n').unwrap();
    let main = system.text("etc/iwd/main.conf");
    // The next start reads the rewritten file and finds the same network.
    assert_eq!(
        system.start(),
        None,
        "{}",
        system.text("boot/firmware/wifi.txt")
    );
    assert_eq!(system.networks(), networks, "{shown}");
    assert_eq!(system.text("etc/iwd/main.conf"), main, "{shown}");
    let country = main.lines().find_map(|line| line.strip_prefix("Country="));
    let name = networks[0].trim_end_matches(".psk").to_owned();
    (
        name,
        secret.to_owned(),
        country.unwrap_or_default().to_owned(),
    )
}

/// Returns a text as UTF-16, in the byte order of `bytes`.
fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn every_usual_form_of_a_wifi_file_has_the_same_meaning() {
    let lines = "ssid = my network\r\npsk = secret123\r\ncountry = US\r\n";
    let with_mark = format!("\u{feff}{lines}");
    let old_mac = lines.replace("\r\n", "\r");
    let texts: [&[u8]; 19] = [
        include_bytes!("bug_reports/06-wifi-quoted.txt"),
        include_bytes!("bug_reports/07-wifi-bom.txt"),
        lines.as_bytes(),
        old_mac.as_bytes(),
        &utf_16(&with_mark, u16::to_le_bytes),
        &utf_16(&with_mark, u16::to_be_bytes),
        &utf_16(lines, u16::to_le_bytes),
        &utf_16(lines, u16::to_be_bytes),
        b"ssid='my network'\npsk='secret123'\ncountry='us'",
        "ssid = \u{201c}my network\u{201d}\npsk = \u{201e}secret123\u{201c}\ncountry = US".as_bytes(),
        "ssid = \u{2018}my network\u{2019}\npsk =\u{a0}secret123\u{a0}\ncountry = US".as_bytes(),
        b"ssid = my network # upstairs\npsk = secret123 # the \"guest\" one\ncountry = US #where I live\n",
        b"ssid = \"my network\" #upstairs\npsk = \"secret123\"\t# '\ncountry = \"US\" # \"\n",
        b"SSID: my network\nPassword: secret123\nCountry: usa\n",
        b"  ssid\t=\tmy network  \n\tpsk=secret123\t\ncountry_code = United States\n",
        b"; a comment\n// another\n#psk = its password\nssid=my network\npassphrase=secret123\ncountry=US",
        // An invalid UTF-8 character in a comment has no effect.
        b"# caf\xe9\nssid=my network\npsk=secret123\ncountry=US",
        // A file of wpa_supplicant.
        b"ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\ncountry=US\n\n\
          network={\n\tssid=\"my network\"\n\tpsk=\"secret123\"\n\tkey_mgmt=WPA-PSK\n}\n",
        b"network = {\nssid=\"my network\"\n#psk=\"secret123\"\npsk=\"secret123\"\n}\ncountry=US",
    ];
    for text in texts {
        let expected = ("my network", "Passphrase=secret123", "US");
        let (ssid, secret, country) = imported(text);
        let got = (ssid.as_str(), secret.as_str(), country.as_str());
        assert_eq!(got, expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_quote_or_a_number_sign_inside_a_value_is_a_part_of_the_value() {
    for (value, passphrase) in [
        ("pass#word", "pass#word"),
        ("\"password #1\"", "password #1"),
        ("'\"quoted\"'", "\"quoted\""),
        ("\"say \"hello\"\"", "say \"hello\""),
        ("\"\"12345678\"", "\"12345678"),
        ("it's \"me\" again", "it's \"me\" again"),
        ("the Jones'", "the Jones'"),
        ("a=b:c=d;e", "a=b:c=d;e"),
        // iwd removes a space at the start of a value, and a backslash begins an escape.
        ("\"  secret  \"", "\\s secret  "),
        ("c:\\path\\", "c:\\\\path\\\\"),
    ] {
        let text = format!("ssid = desk\npsk = {value}\n");
        let (_, secret, _) = imported(text.as_bytes());
        let secret = secret.strip_prefix("Passphrase=").unwrap().to_owned();
        assert_eq!(secret, passphrase, "{value}");
    }
    for (value, name) in [
        ("Anna\u{2019}s phone", "Anna\u{2019}s phone"),
        ("\"Room #5\"", "Room #5"),
        ("\"the \"net\" of Anna's\"", "the \"net\" of Anna's"),
    ] {
        let text = format!("ssid = {value}\npsk = 12345678\n");
        let hex = name
            .bytes()
            .fold(String::from("="), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(imported(text.as_bytes()).0, hex, "{value}");
    }
    let spaces = imported(b"ssid = \" both ends \"\npsk = 12345678\n");
    assert_eq!(spaces.0, " both ends ");
}

#[test]
fn a_country_is_understood_by_its_code_or_its_english_name() {
    for (country, code) in [
        ("UK", "GB"),
        ("uk", "GB"),
        ("gb", "GB"),
        ("Germany", "DE"),
        ("USA", "US"),
        ("", ""),
        ("# DE", ""),
    ] {
        let text = format!("ssid = desk\npsk = 12345678\ncountry = {country}\n");
        assert_eq!(imported(text.as_bytes()).2, code, "{country}");
    }
}

#[test]
fn every_usual_form_of_a_token_has_the_same_meaning() {
    let with_mark = utf_16("\u{feff}abc+/==\r\n", u16::to_le_bytes);
    let texts: [&[u8]; 12] = [
        b"abc+/==",
        b"\xef\xbb\xbfabc+/==\r\n",
        &with_mark,
        b"\"abc+/==\"\n",
        b"'abc+/=='\n",
        "\u{201c}abc+/==\u{201d}\n".as_bytes(),
        b"token=abc+/==\n",
        b"Token: \"abc+/==\" # of the kitchen\n",
        b"MASSIVE_PROXY_TOKEN='abc+/=='\n",
        b"export MASSIVE_PROXY_TOKEN=abc+/==\n",
        b"token = abc+/==\n",
        b"abc+/== # of the kitchen\n",
    ];
    for text in texts {
        for name in ["token", "token.txt"] {
            let system = System::new("token-forms").with(&format!("boot/firmware/{name}"), text);
            let shown = String::from_utf8_lossy(text);
            assert_eq!(system.start(), None, "{shown}");
            assert_eq!(system.text(TOKEN), "abc+/==\n", "{shown}");
            assert!(!system.on_card("abc"), "{shown}");
            assert_eq!(system.start(), None, "{shown}");
        }
    }
    // The longest token of the program.
    let token = "x".repeat(4095);
    let system = System::new("longest").with("boot/firmware/token", &token);
    assert_eq!(system.start(), None);
    assert_eq!(system.text(TOKEN), format!("{token}\n"));
}

#[test]
fn the_key_of_the_vendor_is_imported_like_a_token_and_not_confused_with_one() {
    for text in ["v3ndor\n", "MASSIVE_API_KEY=\"v3ndor\" # mine\r\n"] {
        let system = System::new("key").with("boot/firmware/key", text);
        assert_eq!(system.start(), None, "{text}");
        assert_eq!(system.text("etc/deskticker/key"), "v3ndor\n", "{text}");
        assert_eq!(system.text(TOKEN), "");
        assert!(!system.on_card("v3ndor"), "{text}");
        assert_eq!(system.start(), None, "{text}");
    }
    let system = System::new("key-token").with("boot/firmware/key", "token = abc\n");
    assert_eq!(
        system.start().as_deref(),
        Some("key:1: this is the token of a hub; expected the key of the vendor")
    );
    assert!(system.on_card("abc"));
}

#[test]
fn a_wifi_file_with_a_second_ending_of_windows_is_imported() {
    let system = System::new("ending")
        .with(
            "boot/firmware/wifi.txt",
            include_str!("../boards/card/wifi.txt"),
        )
        .with(
            "boot/firmware/wifi.txt.txt",
            "ssid = desk\npsk = 12345678\n",
        );
    assert_eq!(system.start(), None);
    assert_eq!(system.networks(), ["desk.psk"]);
    assert!(!system.on_card("12345678"));
}

#[test]
fn a_password_behind_a_number_sign_is_reported_until_a_network_is_stored() {
    let text = "#ssid = home\n#psk = secret123\n#country = US\n";
    let system = System::new("commented").with("boot/firmware/wifi.txt", text);
    assert_eq!(
        system.refusal("wifi.txt"),
        "wifi.txt:2: psk: the line still begins with a #; remove the # from the lines ssid, psk and country"
    );
    system.put(DESK, "[Security]\nPassphrase=87654321\n");
    assert_eq!(system.start(), None);
}

#[test]
fn a_file_that_is_no_short_text_is_refused_with_a_remedy() {
    let large = "ssid = desk\npsk = 12345678\n".repeat(40_000);
    let damaged = [0; 60];
    let odd = &utf_16("\u{feff}ssid = desk\npsk = 12345678", u16::to_le_bytes)[..41];
    for (name, bytes, fault) in [
        ("wifi.txt", large.as_bytes(), "more than 16384 bytes"),
        ("token", large.as_bytes(), "more than 16384 bytes"),
        ("wifi.txt", &damaged, "damaged"),
        ("token", &damaged, "damaged"),
        ("wifi.txt", odd, "damaged"),
        (
            "wifi.txt",
            b"ssid = caf\xe9\npsk = 12345678",
            "wifi.txt:1: ssid: the text is not UTF-8",
        ),
    ] {
        let system = System::new("no-text")
            .with(DESK, "[Security]\nPassphrase=87654321\n")
            .with(TOKEN, "the-old-one\n")
            .with(&format!("boot/firmware/{name}"), bytes);
        let got = system.refusal(name);
        assert!(got.starts_with(name) && got.contains(fault), "{got}");
        // The stored network stays in use.
        assert_ne!(system.text("var/lib/iwd/desk.psk"), "");
    }
}

#[test]
fn a_card_that_cannot_be_read_changes_nothing() {
    let system = System::new("unreadable").with(TOKEN, "the-old-one\n");
    // The first address of a process is not mapped, so a read of it fails with EIO, as a read of a
    // card without contact does.
    for name in ["token", "wifi.txt"] {
        let file = system.root.join("boot/firmware").join(name);
        symlink("/proc/self/mem", &file).unwrap();
        let fault = system.start().unwrap();
        assert_eq!(
            fault,
            format!(
                "{name}: the card cannot be read; put this file on the card again, or replace the card"
            )
        );
        fs::remove_file(&file).unwrap();
    }
    assert_eq!(system.text(TOKEN), "the-old-one\n");
}

#[test]
fn a_secret_that_the_card_cannot_store_stays_where_it_is() {
    let write = |system: &System| {
        system.put("boot/firmware/token", "abc\n");
        system.put("boot/firmware/wifi.txt", "ssid = desk\npsk = 12345678\n");
    };
    // The file system of the stored values is not mounted, so its folders are in memory.
    let system = System::new("no-store").with("proc/mounts", "/dev/root / overlay rw 0 0\n");
    write(&system);
    let fault = system.start().unwrap();
    assert!(fault.contains("until the power goes off"), "{fault}");
    assert!(system.on_card("abc") && system.on_card("12345678"));
    assert_eq!(system.text(TOKEN), "abc\n");
    assert_ne!(system.text("var/lib/iwd/desk.psk"), "");
    // The stored values cannot be written: a directory has the name of the new file.
    let system = System::new("full");
    fs::create_dir_all(system.root.join(format!("{TOKEN}.new"))).unwrap();
    fs::create_dir_all(system.root.join(format!("{DESK}.new"))).unwrap();
    write(&system);
    let fault = system.start().unwrap();
    assert!(fault.contains("cannot be stored"), "{fault}");
    assert!(system.on_card("abc") && system.on_card("12345678"));
}

#[test]
fn a_power_failure_at_any_command_of_the_import_loses_no_value() {
    let mut kills = 0;
    loop {
        let system = System::new("power")
            .with(
                "boot/firmware/token",
                format!("{}\nabc-of-the-hub\n", "#".repeat(300)),
            )
            .with(
                "boot/firmware/wifi.txt",
                "ssid = desk\npsk = 12345678\ncountry = UK\n",
            )
            .with("kept/iwd/old.psk", "[Security]\nPassphrase=87654321\n");
        // Each command counts, and the last one kills the import instead of its work.
        let tools = system.root.join("tools");
        fs::create_dir(&tools).unwrap();
        system.put("count", "0\n");
        let path = std::env::var("PATH").unwrap();
        for tool in [
            "cat", "chmod", "cp", "dd", "head", "mkdir", "mv", "rm", "sync", "truncate",
        ] {
            let real = path.split(':').map(|folder| format!("{folder}/{tool}"));
            let real = real
                .into_iter()
                .find(|file| fs::metadata(file).is_ok())
                .unwrap();
            let mut script = String::from("#!/bin/sh\n");
            let count = system.root.join("count");
            let count = count.display();
            writeln!(script, "read -r n <'{count}'; echo $((n + 1)) >'{count}'").unwrap();
            writeln!(script, "[ $n != {kills} ] || kill -9 0\nexec {real} \"$@\"").unwrap();
            fs::write(tools.join(tool), script).unwrap();
            fs::set_permissions(tools.join(tool), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let done = system.run(&format!("{}:{path}", tools.display()));
        let kept =
            |file: &str, secret: &str| system.on_card(secret) || system.text(file).contains(secret);
        assert!(kept(TOKEN, "abc-of-the-hub"), "{kills}");
        assert!(kept(DESK, "12345678"), "{kills}");
        if done.status.signal().is_none() {
            break;
        }
        // The next start completes the import.
        assert_eq!(system.start(), None, "{kills}");
        assert_eq!(system.text(TOKEN), "abc-of-the-hub\n", "{kills}");
        assert_eq!(
            system.text(DESK),
            "[Security]\nPassphrase=12345678\n",
            "{kills}"
        );
        assert!(
            !system.on_card("abc-of-the-hub") && !system.on_card("12345678"),
            "{kills}"
        );
        assert_eq!(system.networks(), ["desk.psk"], "{kills}");
        assert!(
            system.text("etc/iwd/main.conf").contains("Country=GB"),
            "{kills}"
        );
        kills += 1;
    }
    assert!(
        kills > 20,
        "the import used only {kills} of the counted commands"
    );
}
