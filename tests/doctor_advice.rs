//! Tests of the output of the doctor: exit codes, JSON and the report. No output contains a secret,
//! in any format and from any place.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/fake_machine.rs"]
mod fake_machine;
#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use deskticker::doctor::{self, Bundle, CheckState, Finding, redacted};
use deskticker::secret::Environment;
use serde_json::Value;

use child_process::{Program, directory, run};
use fake_machine::{CHECKS, DoctorRun, Machine, TOKEN, echo_server, simulated};

/// A configuration for a hub, without an I2C bus, and with the token in a separate file.
fn configured(name: &str, hub: &str, token: &str) -> PathBuf {
    let directory = directory(&format!("doctor-{name}"));
    let file = directory.join("token");
    std::fs::write(&file, token).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = directory.join("desk.toml");
    let text = format!("[hub]\nurl = \"{hub}\"\ntoken_file = {file:?}\n[panel]\nkind = \"png\"\n");
    std::fs::write(&config, text).unwrap();
    config
}

fn states(json: &str) -> Vec<(String, String)> {
    let rows: Vec<Value> = serde_json::from_str(json).unwrap();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    for row in &rows {
        assert_eq!(row.as_object().unwrap().len(), 4, "{row}");
        assert!(row["found"].is_string() && (row["mend"].is_string() || row["mend"].is_null()));
        assert!(row["mend"].is_string() || row["state"] == "ok" || row["state"] == "skipped");
    }
    rows.iter()
        .map(|row| (word(row, "check"), word(row, "state")))
        .collect()
}

#[test]
fn the_exit_code_and_the_json_agree_with_the_text() {
    let hub = simulated();
    let place = format!("ws://{}", hub.value.0);
    let good = configured("good", &place, TOKEN);
    let wrong = configured("wrong", &place, "another-token");
    let broken = configured("broken", "ws://hub?a=b", TOKEN);
    for (config, code, check) in [
        (&good, 0, ""),
        (&wrong, 1, "access"),
        (&broken, 78, "configuration"),
    ] {
        let config = config.to_str().unwrap();
        let (ended, out, err) = run(&["doctor", "--config", config, "--json"]);
        assert_eq!((ended, err.as_str()), (code, ""), "{out}");
        let states = states(&out);
        let checks: Vec<&str> = states.iter().map(|(check, _)| check.as_str()).collect();
        assert_eq!(checks, CHECKS);
        let mut failed = states.iter().filter(|(_, state)| state == "failed");
        // A configuration that cannot be read has no panel settings, so the doctor checks the
        // default panel. The last failure is the expected one.
        let last = failed.next_back().map(|(check, _)| check.as_str());
        assert_eq!(last.unwrap_or_default(), check, "{out}");

        let (ended, text, err) = run(&["doctor", "--config", config]);
        assert_eq!((ended, err.as_str()), (code, ""));
        for (check, state) in states {
            assert!(
                text.contains(&format!("\n{state:<7}  {check:<13} ")) || check == "board",
                "{text}"
            );
        }
        assert!(!text.contains('\x1b'), "no colour in a pipe");
    }
    for arguments in [
        &["doctor", "--demo"][..],
        &["run", "--json"],
        &["doctor", "--bundle"],
        &["doctor", "now"],
    ] {
        let (code, out, _) = run(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
    }
}

#[test]
fn colours_appear_only_in_a_terminal_that_supports_colours() {
    if !Path::new("/usr/bin/script").exists() {
        // Each Debian system has util-linux. Other systems skip this test, and the test with a pipe
        // must be enough.
        return;
    }
    let config = configured("colour", "ws://hub.invalid", TOKEN);
    for (variables, coloured) in [
        ("TERM=xterm", true),
        ("TERM=xterm NO_COLOR=1", false),
        ("TERM=dumb", false),
    ] {
        let binary = env!("CARGO_BIN_EXE_deskticker");
        let command = format!(
            "env -u NO_COLOR {variables} {binary} doctor --config {}",
            config.display()
        );
        let mut program = Program::spawn(Command::new("/usr/bin/script").args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ]));
        assert_eq!(program.wait(), Some(1), "{}", program.output());
        let said = program.output();
        assert_eq!(
            said.contains("\x1b[31mfailed \x1b[0m  dns "),
            coloured,
            "{said:?}"
        );
        assert_eq!(said.contains('\x1b'), coloured, "{said:?}");
    }
}

#[test]
fn lines_wrap_at_80_columns_and_a_command_is_never_split() {
    let finding = Finding::failed(
        "panel",
        "nothing answers at 0x3c on /dev/i2c-1 and this goes on for longer than one line of it",
        "Prose is wrapped where it would be wider than the eighty columns that a terminal has.\n  \
         sudo a-command --that is --much --longer --than --eighty --columns --and --stays --on --one",
    );
    assert_eq!(
        doctor::text(&finding, false),
        "\
failed   panel         nothing answers at 0x3c on /dev/i2c-1 and this goes on
                       for longer than one line of it
         Prose is wrapped where it would be wider than the eighty columns that a
         terminal has.
           sudo a-command --that is --much --longer --than --eighty --columns --and --stays --on --one
"
    );
    let summary = |states: &[CheckState]| {
        let finding = |state: &CheckState| Finding {
            state: *state,
            ..finding.clone()
        };
        doctor::summary(&states.iter().map(finding).collect::<Vec<_>>())
    };
    assert_eq!(
        summary(&[CheckState::Ok, CheckState::Skipped]),
        "all checks passed\n"
    );
    assert_eq!(
        summary(&[CheckState::Warning]),
        "no check failed, 1 warning\n"
    );
    assert_eq!(summary(&[CheckState::Failed]), "1 check failed\n");
    assert_eq!(
        summary(&[
            CheckState::Failed,
            CheckState::Warning,
            CheckState::Failed,
            CheckState::Warning
        ]),
        "2 checks failed, 2 warnings\n"
    );
}

#[test]
fn a_report_is_readable_by_its_owner_only_and_overwrites_nothing() {
    let config = configured("report", "ws://hub.invalid:3000", TOKEN);
    let path = config.with_file_name("report.txt");
    let arguments = [
        "doctor",
        "--config",
        config.to_str().unwrap(),
        "--bundle",
        path.to_str().unwrap(),
    ];
    let (code, out, err) = run(&arguments);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.contains("report.txt: read this report before you share"),
        "{out}"
    );
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let report = std::fs::read_to_string(&path).unwrap();
    assert!(report.starts_with(&format!("deskticker {} on ", env!("CARGO_PKG_VERSION"))));
    assert!(
        report.contains("\nfailed   dns           hub.invalid "),
        "{report}"
    );
    assert!(
        report.contains("\n  url = ws://hub.invalid:3000\n"),
        "{report}"
    );
    assert!(!report.contains(TOKEN), "{report}");
    // The doctor refuses to overwrite the report before it runs any check.
    let (code, out, err) = run(&arguments);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("report.txt already exists"), "{err}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report);
    let nowhere = Bundle::new("/no/such/folder/report".into()).unwrap_err();
    assert_eq!(nowhere, "/no/such/folder/report: the folder does not exist");
}

#[test]
fn the_source_of_the_token_and_its_file_mode_are_reported() {
    let put = |machine: &Machine, mode| {
        let token = machine.root.join("etc/deskticker/token");
        std::fs::set_permissions(token, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // The doctor finds the token file of the systemd unit, even if a user starts the doctor by
    // hand.
    let machine = Machine::pi("unit").with("etc/deskticker/token", TOKEN);
    let mut machine = machine.with_hub("ws://hub.invalid");
    machine.environment = Environment::default();
    for (mode, state) in [
        (0o600, CheckState::Ok),
        (0o640, CheckState::Ok),
        (0o644, CheckState::Warning),
    ] {
        put(&machine, mode);
        let remedy = if state == CheckState::Ok {
            ""
        } else {
            "  sudo chmod 600 /"
        };
        machine
            .run_doctor()
            .assert_finding("token", state, "/etc/deskticker/token", remedy);
    }
    // The vendor key of a hub on the same machine is not a token.
    machine.environment.key = Some("the-vendors-key".into());
    let found = "/etc/deskticker/token";
    machine
        .run_doctor()
        .assert_finding("token", CheckState::Warning, found, "chmod");
    machine.environment.token = Some(TOKEN.into());
    machine.run_doctor().assert_finding(
        "token",
        CheckState::Ok,
        "from the variable MASSIVE_PROXY_TOKEN",
        "",
    );
    let doctor_run = Machine::new("none").run_doctor();
    doctor_run.assert_finding(
        "configuration",
        CheckState::Failed,
        "desk.toml: cannot be read",
        "sudo deskticker doctor",
    );
    doctor_run.assert_skipped(&[
        "token", "dns", "tcp", "tls", "hub", "access", "upstream", "channels",
    ]);
    assert_eq!(doctor_run.code, 78);
}

/// The whole output of a doctor run: the lines, the JSON and the report.
fn everything(doctor_run: &DoctorRun, text: &str) -> String {
    format!(
        "{}{}{}",
        doctor_run.text(),
        doctor::json(&doctor_run.findings),
        redacted(text)
    )
}

#[test]
fn no_output_contains_a_secret_from_any_place() {
    const PLAIN: &str = "s3cr3tT0kenOf44Characters00000000000000000";
    const BASE64: &str = "/9s3cr3t+Ab/cd==";
    const SIGNED: &str = "eyJ1IjoiczNjcjN0In0=.s3cr3t0a1b2c";
    for secret in [PLAIN, BASE64, SIGNED, "s3cr3t", "s3cr3t-with.dots_and~more"] {
        for text in [
            format!("[hub]\nurl = \"ws://hub.invalid/{secret}\"\n"),
            format!("[hub]\nurl = \"ws://user:{secret}@hub.invalid\"\n"),
            format!("[hub]\nurl = \"ws://hub.invalid/ws?token={secret}\"\n"),
            format!("[hub]\nurl = \"ws://hub.invalid\"\ntoken_file = \"{secret}\"\n"),
            format!("[hub]\nurl = \"ws://hub.invalid\"\ntoken = \"{secret}\"\n"),
            format!("[hub]\nurl = \"ws://hub.invalid\" # the old one: {secret}\n# {secret}\n"),
            format!("hub = {{ url = \"ws://hub.invalid\", token_file = \"{secret}\" }}\n"),
            format!("hub.url = \"ws://hub.invalid\"\nhub.token_file = '{secret}'\n"),
            format!("[hub]\nurl = \"ws://hub.invalid\"\nca_file = \"{secret}\"\n"),
            format!("[massive]\nkey_file = \"{secret}\"\nurl = \"ws://hub.invalid\"\n"),
            format!("[hub]\nurl = \"\"\"\nws://{secret}\"\"\"\n{secret}\n"),
            format!("[hub] # {secret}\nurl = 'ws://hub.invalid' # {secret}\n"),
        ] {
            // The secret is either the token in use, or a text that the doctor does not know as a
            // token.
            for token in [secret, "another-token"] {
                let mut machine = Machine::pi("secret").with_config(&text);
                machine.environment.token = Some(format!(" {token}\n"));
                let doctor_run = machine.run_doctor();
                let all = everything(&doctor_run, &text);
                assert!(!all.contains("s3cr3t"), "{text}\n{all}");
            }
        }
    }
}

#[test]
fn a_token_repeated_by_the_server_is_hidden() {
    // The response repeats the token in plain text and percent-encoded, with a control sequence
    // between the two.
    const REPORT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 127\r\nConnection: close\r\n\r\n\
        {\"status\":\"s3cr3t/t0ken+of==a-display \\u001b[2J s3cr3t%2Ft0ken%2Bof%3D%3Da%2Ddisplay\",\"clusters\":{\"indices\":{\"state\":\"live\"}} }";
    let (_, body) = REPORT.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 127, "as its head says");
    let server = echo_server(REPORT);
    let doctor_run = Machine::pi("repeats")
        .with_hub(format!("ws://{}", server.value.0))
        .run_doctor();
    doctor_run.assert_finding(
        "hub",
        CheckState::Ok,
        "reports the status: (hidden)  [2J (hidden)",
        "",
    );
    assert!(!everything(&doctor_run, "").contains("s3cr3t"));
    // The redactor removes the token from any text.
    let mut text = format!("{TOKEN} and {TOKEN}");
    doctor_run.hidden.hide(&mut text);
    assert_eq!(text, "(hidden) and (hidden)");
    assert!(!format!("{:?}", doctor_run.hidden).contains("s3cr3t"));
}

#[test]
fn the_redacted_configuration_keeps_harmless_values() {
    let text = "\
# a desk
watchlist = [\"SPX\", \"I:NDX\", \"O:SPY251219C00650000\"] # mine

[hub]
url = \"wss://hub.example:3000/behind/\"
token_file = \"/etc/deskticker/token\"
ca_file = \"/home/me/ca.pem\"
[panel] # on the wall
kind = \"oled\"
chip=\"ssd1309\"
size = '128x32'
bus = \"/dev/i2c-1\"
address = 0x3d
rotation = 180
brightness = 40 # dim
colour = \"blue\"
kind = \"lcd\"
]
clock = \"12h\"
numbers = \"1'234.56\"
time_zone = \"Europe/Berlin\"
[pages]
interval = 10
show = [\"SPX VIX\", \"link\"]
pin = \"s3cr3t\"
[[alert]] # mine
symbol = \"VIX\"
above = 25.5
below = \"s3cr3t\"
seconds = 60
[[night]]
days = [\"fri\", \"sat\"]
from = \"22:00\"
to = \"s3:cr\"
off = true
";
    let expected = "  watchlist = \"SPX\", \"I:NDX\", \"O:SPY251219C00650000\"
  [hub]
  url = wss://hub.example:3000/…
  token_file = /etc/deskticker/token
  ca_file = /home/me/ca.pem
  [panel]
  kind = oled
  chip = ssd1309
  size = 128x32
  bus = /dev/i2c-1
  address = 0x3d
  rotation = 180
  brightness = 40
  (hidden)
  kind = (hidden)
  (hidden)
  clock = 12h
  numbers = 1'234.56
  (hidden)
  [pages]
  interval = 10
  show = \"SPX VIX\", \"link\"
  pin = (hidden)
  [[alert]]
  symbol = VIX
  above = 25.5
  below = (hidden)
  seconds = 60
  [[night]]
  days = \"fri\", \"sat\"
  from = 22:00
  to = (hidden)
  off = true
";
    assert_eq!(redacted(text), expected);
}
