//! Tests of the script that imports settings from the boot partition of the card image
//! (boards/root/usr/lib/deskticker/import). The script stores valid settings and removes secrets
//! from the card. An invalid setting changes nothing, and the script reports it with its line
//! number.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const IMPORT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/boards/root/usr/lib/deskticker/import"
);

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
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        Self { root }
    }

    fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.root.join(file), text).unwrap();
        self
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.root.join(file), text).unwrap();
    }

    /// Runs the import script and returns the reported fault, if any.
    fn start(&self) -> Option<String> {
        let mut command = Command::new("/bin/sh");
        command.arg(IMPORT).env("ROOT", &self.root);
        let done = command.output().unwrap();
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
    ] {
        let system = System::new("bad-token")
            .with("etc/deskticker/token", "the-old-one\n")
            .with("boot/firmware/token", text);
        assert_eq!(system.start().as_deref(), Some(fault));
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
        &format!("ssid=caf\u{e9}/1\npsk={key}\n"),
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
            "ssid = desk\ncountry = Germany\n",
            "wifi.txt:2: country: expected two capital letters, like DE or US",
        ),
        (
            "psk = 12345678\n",
            "wifi.txt:1: a psk without a network; expected a line ssid = NAME",
        ),
        (
            "ssid = desk\npassword = 12345678\n",
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
    ] {
        let system = System::new("bad-wifi")
            .with("kept/iwd/old.psk", "[Security]\nPassphrase=87654321\n")
            .with("boot/firmware/wifi.txt", text);
        assert_eq!(system.start().as_deref(), Some(fault), "{text}");
        assert_eq!(system.networks(), ["old.psk"], "{text}");
        // A corrected file removes the reported fault.
        system.put("boot/firmware/wifi.txt", "ssid = desk\npsk = 12345678\n");
        assert_eq!(system.start(), None);
    }
}
