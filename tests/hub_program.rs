//! Tests of the hub program: its output, its exit codes and its messages about a configuration.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use deskticker::hub::UpstreamServer;
use deskticker::hub::auth::registry;
use deskticker::hub::config::HubConfig;
use deskticker::hub::server::limits::Limits;
use deskticker::market::Cluster;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::source::FeedProvider;
use deskticker::secret::Environment;
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};

use tokio_tungstenite::tungstenite::Message;

use child_process::{Program, clean_command};
use hub_server::directory;

fn program() -> Command {
    clean_command(env!("CARGO_BIN_EXE_deskticker-hub"))
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

#[test]
fn help_and_version_are_printed_and_wrong_arguments_exit_with_64() {
    let help = run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("token add NAME"));
    let version = text(&run(&["-V"]).stdout);
    assert_eq!(
        version.trim(),
        format!("deskticker-hub {}", env!("CARGO_PKG_VERSION"))
    );
    for wrong in [
        &["serve"][..],
        &["token", "add"],
        &["token", "list", "--simulate"],
        &["--listen", "hub:3000"],
        &["--file", "x"],
    ] {
        assert_eq!(told(&run(wrong)).0, Some(64), "{wrong:?}");
    }
}

#[test]
fn the_help_of_one_command_is_printed() {
    let whole = run(&["help"]).stdout;
    assert_eq!(whole, run(&["--help"]).stdout);
    let text = String::from_utf8(run(&["token", "add", "--help"]).stdout).unwrap();
    for part in [
        "token add NAME",
        "token revoke NAME",
        "--file FILE",
        "--version",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("--listen"), "{text}");
    let error = run(&["chekc"]);
    assert_eq!(error.status.code(), Some(64));
    let text = String::from_utf8(error.stderr).unwrap();
    assert!(text.contains("did you mean check"), "{text}");
}

#[test]
fn check_reports_all_errors_of_the_configuration_and_of_its_files_in_file_order() {
    let folder = directory("program-check");
    let config = folder.join("hub.toml");
    let check = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let mut command = program();
        command.args(["check", "--config"]).arg(&config);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = text(output.stdout) + &text(output.stderr);
        (output.status.code().unwrap(), said)
    };
    std::fs::write(folder.join("devices"), "kitchen md5:1\n").unwrap();
    std::fs::write(folder.join("ca.pem"), "nothing\n").unwrap();
    let (code, said) = check(
        "lisen = \"0.0.0.0:3000\"\n\
         [massive]\n\
         key_file = \"nokey\"\n\
         ca_file = \"ca.pem\"\n\
         clusters = [\"index\"]\n\
         [devices]\n\
         file = \"devices\"\n\
         [tls]\n\
         cert = \"no.pem\"\n\
         key = \"no.key\"\n",
    );
    assert_eq!(code, 78, "{said}");
    let name = config.display().to_string();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(&name)).collect();
    for (line, (place, part)) in lines.iter().zip([
        ("1", "did you mean `listen`"),
        ("3", "key_file: "),
        ("4", "ca_file: "),
        ("5", "write: clusters = [\"indices\"]"),
        ("7", "devices: "),
        ("9", "cert: "),
        ("10", "key: "),
    ]) {
        assert!(
            line.contains(&format!("{name}:{place}: ")),
            "{place}\n{said}"
        );
        assert!(line.contains(part), "{part}\n{said}");
    }
    assert_eq!(lines.len(), 7, "{said}");

    std::fs::write(folder.join("key"), "k3y\n").unwrap();
    std::fs::write(folder.join("devices"), "").unwrap();
    let good = "[massive]\nkey_file = \"key\"\n[devices]\nfile = \"devices\"\n";
    let (code, said) = check(good);
    assert_eq!(code, 0, "{said}");
    let summary = "ok: clusters indices, options, upstream wss://socket.massive.com, listening on \
                   ws://0.0.0.0:3000, 0 displays with a token\n";
    assert!(said.contains(summary), "{said}");
    assert!(said.contains("no display can connect yet"), "{said}");
    let mut missing = program();
    let missing = missing.args(["check", "--config", "/nowhere/hub.toml"]);
    let said = String::from_utf8(missing.output().unwrap().stderr).unwrap();
    assert!(
        said.contains("write this file") && said.contains("--simulate"),
        "{said}"
    );
}

#[test]
fn tokens_are_added_listed_and_revoked() {
    let path = directory("program-tokens").join("devices");
    let file = path.to_str().unwrap();
    let added = run(&["token", "add", "kitchen", "--file", file]);
    assert!(added.status.success());
    let token = text(&added.stdout);
    // The token has 256 bits. It is the only text on standard output, and the file does not contain
    // it.
    assert_eq!(token.trim().len(), 43);
    assert!(
        !std::fs::read_to_string(&path)
            .unwrap()
            .contains(token.trim())
    );
    let twice = run(&["token", "add", "kitchen", "--file", file]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(told(&twice).1.contains("already"));
    assert_eq!(
        text(&run(&["token", "list", "--file", file]).stdout),
        "kitchen\n"
    );
    // The configuration names the same file. This command needs no vendor key.
    let config = path.with_file_name("hub.toml");
    std::fs::write(&config, format!("[devices]\nfile = {file:?}\n")).unwrap();
    let config = config.to_str().unwrap();
    assert!(
        run(&["token", "revoke", "kitchen", "--config", config])
            .status
            .success()
    );
    assert_eq!(text(&run(&["token", "list", "--file", file]).stdout), "");
    assert_eq!(
        told(&run(&["token", "revoke", "hallway", "--file", file])).0,
        Some(1)
    );
}

#[test]
fn a_registry_that_does_not_exist_is_named_with_its_absolute_path() {
    let folder = directory("program-elsewhere");
    for arguments in [
        &["token", "list", "--file", "devices"][..],
        &["token", "revoke", "x", "--file", "devices"],
    ] {
        let output = program()
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        let (code, message) = told(&output);
        let named = format!(
            "{}: does not exist: name the file",
            folder.join("devices").display()
        );
        assert!(code == Some(1) && message.contains(&named), "{message}");
    }
    // A path in the configuration is relative to the configuration.
    let config = folder.join("hub.toml");
    std::fs::write(&config, "[devices]\nfile = \"devices\"\n").unwrap();
    let config = config.to_str().unwrap();
    assert!(
        run(&["token", "add", "kitchen", "--config", config])
            .status
            .success()
    );
    assert!(folder.join("devices").exists());
    let list = run(&["token", "list", "--config", config]);
    assert_eq!(text(&list.stdout), "kitchen\n");
    run(&["token", "revoke", "kitchen", "--config", config]);
    let (code, message) = told(&run(&["token", "list", "--config", config]));
    assert!(
        code == Some(0) && message.contains("has no device with a token"),
        "{message}"
    );
}

#[test]
fn a_device_file_that_everybody_can_read_causes_a_warning() {
    let path = directory("program-open").join("devices");
    let file = path.to_str().unwrap();
    run(&["token", "add", "kitchen", "--file", file]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, complaint) = told(&run(&["token", "list", "--file", file]));
    assert_eq!(code, Some(0));
    assert!(complaint.contains("chmod 600"), "{complaint}");
    // Each change of the file restores the mode 0600.
    run(&["token", "add", "hallway", "--file", file]);
    let (_, complaint) = told(&run(&["token", "list", "--file", file]));
    assert!(!complaint.contains("chmod"), "{complaint}");
}

/// A running hub and its address.
struct Running {
    program: Program,
    address: String,
}

fn start(mut command: Command) -> Running {
    let mut program = Program::spawn(&mut command);
    let line = program.wait_for_line("ws://127.0.0.1:");
    let address = line.split("ws://").last().unwrap().trim().to_owned();
    Running { program, address }
}

impl Running {
    fn status(&self, path: &str) -> u16 {
        hub_server::block_on(async {
            use tokio::io::AsyncWriteExt;
            let mut stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
            let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            hub_server::reply(&mut stream).await.status
        })
    }
}

#[test]
fn a_key_and_a_token_in_the_environment_start_the_hub_and_sigterm_ends_the_hub() {
    let mut command = program();
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("MASSIVE_API_KEY", "k")
        .env("MASSIVE_PROXY_TOKEN", "a-static-token");
    let mut hub = start(command);
    assert_eq!(hub.status("/healthz"), 200);
    assert_eq!(hub.status("/api/quotes?token=wrong"), 403);
    let (code, took) = hub.program.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2));
}

#[test]
fn sighup_reads_tokens_and_settings_again() {
    let folder = directory("program-hangup");
    let (config, devices) = (folder.join("hub.toml"), folder.join("devices"));
    let write = |extra: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\n{extra}\n[devices]\nfile = {devices:?}\n");
        std::fs::write(&config, text).unwrap();
    };
    write("");
    let mut command = program();
    command
        .arg("--config")
        .arg(&config)
        .env("MASSIVE_API_KEY", "k");
    let mut hub = start(command);
    write(
        "announce = false\norigins = [\"https://desk.example\"]\n[massive]\nclusters = [\"stocks\"]\n[limits]\ntrades = 9",
    );
    hub.program.signal(Signal::HUP);
    hub.program
        .wait_for_line("takes effect only after a restart of the hub: announce");
    hub.program
        .wait_for_line("takes effect only after a restart of the hub: massive.clusters");
    hub.program
        .wait_for_line("takes effect only after a restart of the hub: limits: ");
    hub.program
        .wait_for_line("the settings have been read again");
    write("origin = 1");
    hub.program.signal(Signal::HUP);
    hub.program
        .wait_for_line("hub.toml:2: unknown key `origin`");
    assert_eq!(hub.status("/healthz"), 200);
}

/// Accepts connections, answers each request with the status 404, and sends its head to the test.
fn recording_vendor() -> (std::net::SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(&stream);
            while lines.read_line(&mut head).unwrap() > 2 {}
            let answer =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

#[test]
fn a_key_for_a_new_address_of_the_vendor_is_never_sent_to_the_old_address() {
    let folder = directory("program-new-vendor");
    let (config, key) = (folder.join("hub.toml"), folder.join("key"));
    let (old, heads) = recording_vendor();
    let write = |address: &str, secret: &str| {
        std::fs::write(&key, secret).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[massive]\nurl = \"ws://{address}\"\nkey_file = {key:?}\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write(&old.to_string(), "the-first-key");
    let token = "a-static-token-of-some-length";
    let mut command = program();
    command.arg("--config").arg(&config);
    command.env("MASSIVE_PROXY_TOKEN", token);
    let mut hub = start(command);
    let authorization = |hub: &Running| {
        let begun = Instant::now();
        let head = loop {
            hub.status(&format!("/api/market/status?token={token}"));
            // The hub waits two seconds after a failed request.
            match heads.recv_timeout(Duration::from_millis(200)) {
                Ok(head) => break head,
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "no request"),
            }
        };
        let lines = head.lines().map(str::to_ascii_lowercase);
        lines
            .filter(|line| line.starts_with("authorization:"))
            .collect::<String>()
    };
    let first = "authorization: bearer the-first-key";
    assert_eq!(authorization(&hub), first);
    write("127.0.0.1:1", "the-key-of-the-new-vendor");
    hub.program.signal(Signal::HUP);
    let kept =
        "only after a restart of the hub: the vendor's key, because its endpoint has changed";
    hub.program.wait_for_line(kept);
    assert_eq!(authorization(&hub), first);
    // The same address with a new key needs no restart.
    write(&old.to_string(), "the-second-key");
    hub.program.signal(Signal::HUP);
    hub.program
        .wait_for_line("the settings have been read again");
    assert_eq!(authorization(&hub), "authorization: bearer the-second-key");
}

#[test]
fn a_simulated_hub_accepts_its_own_vendor_although_the_environment_contains_a_real_key() {
    let token = "a-static-token-of-some-length";
    let mut hub = Program::spawn(
        program()
            .args(["--simulate", "--listen", "127.0.0.1:0"])
            .env("MASSIVE_API_KEY", "a-real-key-of-the-vendor")
            .env("MASSIVE_PROXY_TOKEN", token),
    );
    let line = hub.wait_for_line("Simulated prices, listening on 127.0.0.1:");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let address = format!("127.0.0.1:{}", port.split(' ').next().unwrap());
    let hub = Running {
        program: hub,
        address,
    };
    assert_eq!(
        hub.status(&format!("/api/quotes?tickers=SPX&token={token}")),
        200
    );
}

#[test]
fn the_first_token_can_be_added_while_the_hub_runs() {
    let folder = directory("program-first");
    let (config, devices) = (folder.join("hub.toml"), folder.join("devices"));
    let settings = format!("listen = \"127.0.0.1:0\"\n[devices]\nfile = {devices:?}\n");
    std::fs::write(&config, settings).unwrap();
    let mut command = program();
    command
        .arg("--config")
        .arg(&config)
        .env("MASSIVE_API_KEY", "k");
    let hub = start(command);
    let file = devices.to_str().unwrap();
    let added = run(&["token", "add", "kitchen", "--file", file]);
    let path = format!("/api/quotes?token={}", text(&added.stdout).trim());
    let begun = Instant::now();
    // The status 400 means that the hub accepts the token but finds no tickers.
    while hub.status(&path) != 400 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_hub_without_devices_runs_and_explains_how_to_add_a_display() {
    // This test needs a machine without the default device file.
    if Path::new(registry::DEFAULT_PATH).exists() {
        return;
    }
    let mut command = program();
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("MASSIVE_API_KEY", "the-key");
    let mut hub = start(command);
    let said = hub.program.output();
    assert!(
        said.contains("token add NAME") && said.contains("ws://") && !said.contains("the-key"),
        "{said}"
    );
}

#[test]
fn a_port_in_use_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, message) = told(&run(&["--simulate", "--listen", &address]));
    assert_eq!(code, Some(1));
    assert!(
        message.contains(&address) && message.contains("--listen"),
        "{message}"
    );
}

#[test]
fn a_simulated_hub_takes_its_address_tls_devices_and_limits_from_the_file() {
    let folder = directory("program-simulated");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let [config, devices, cert, key] = ["hub.toml", "devices", "cert", "key"].map(file);
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let write = |more: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nannounce = false\n[devices]\nfile = {devices:?}\n\
             [tls]\ncert = {cert:?}\nkey = {key:?}\n[limits]\nsubscriptions = 1\n{more}"
        );
        std::fs::write(&config, text).unwrap();
    };
    write("");
    let added = run(&["token", "add", "kitchen", "--file", &devices]);
    let token = text(&added.stdout);
    let start = || {
        let mut hub = Program::spawn(program().args(["--simulate", "--config", &config]));
        let line = hub.wait_for_line("Simulated prices, listening on 127.0.0.1:");
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port: u16 = port.split(' ').next().unwrap().parse().unwrap();
        (hub, port)
    };
    let (mut hub, port) = start();
    hub.wait_for_line(&format!("The token: a token of {devices}"));
    hub.wait_for_line(&format!("wss://127.0.0.1:{port}"));
    hub_server::block_on(async {
        let endpoint = Endpoint::parse(&format!("wss://127.0.0.1:{port}")).unwrap();
        let connector = Connector::new(Some(Path::new(&cert))).unwrap();
        let path = |token: &str| format!("/ws/indices?token={token}");
        let wrong = connector.websocket(&endpoint, &path("x")).await;
        assert_eq!(wrong.unwrap_err().reason, Failure::Token);
        let opened = connector.websocket(&endpoint, &path(token.trim())).await;
        let mut socket = opened.unwrap().socket;
        let subscribe = r#"{"action":"subscribe","params":"V.I:SPX,V.I:VIX"}"#;
        socket.send(Message::text(subscribe)).await.unwrap();
        loop {
            let message = socket.next().await.unwrap().unwrap();
            if message.to_text().unwrap().contains("at most 1") {
                break;
            }
        }
    });
    // SIGHUP reads the file again.
    write("head = 0");
    hub.signal(Signal::HUP);
    hub.wait_for_line("hub.toml:10: head: 0, expected 1 to 300");
    assert_eq!(hub.end(Signal::TERM).0, Some(0));

    // Without a device, the hub prints a new token. The key of [massive] is not needed.
    write("[massive]\nclusters = [\"stocks\"]");
    run(&["token", "revoke", "kitchen", "--file", &devices]);
    let (mut hub, _) = start();
    let line = hub.wait_for_line("The token: ");
    assert_eq!(line.trim().len(), "The token: ".len() + 43, "{line}");
}

#[test]
fn a_simulated_hub_prints_the_commands_that_show_its_prices() {
    let mut child = program()
        .args(["--simulate", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(
        first.starts_with("Simulated prices, listening on 127.0.0.1:"),
        "{first}"
    );
    let mut second = String::new();
    lines.read_line(&mut second).unwrap();
    assert_eq!(second.trim().len(), "The token: ".len() + 43);
    let port = first.split(':').nth(1).unwrap().split(' ').next().unwrap();
    let port: u16 = port.parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut health = String::new();
    stream.read_to_string(&mut health).unwrap();
    // The health report shows the simulation before the first subscription.
    assert_eq!(health.matches(r#""state":"idle""#).count(), 3, "{health}");
    assert_eq!(health.matches(r#""simulated":true"#).count(), 4, "{health}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("deskticker run") && rest.contains("WebSocketClient("));
}

fn environment() -> Environment {
    Environment {
        credentials: None,
        token: Some("a-static-token-of-the-hub".into()),
        key: Some("k".into()),
        ..Environment::default()
    }
}

fn parsed(text: &str) -> Result<HubConfig, String> {
    HubConfig::parse(text, Path::new("hub.toml"), &environment()).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_a_valid_hub_configuration() {
    let config = parsed("").unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:3000");
    assert_eq!(
        config.upstream.source.endpoint.to_string(),
        "wss://socket.massive.com"
    );
    assert!(config.announce);
    assert_eq!(config.clusters, [Cluster::Indices, Cluster::Options]);
    assert_eq!(config.limits, Limits::default());
    // The file does not have to exist.
    assert_eq!(config.devices.file, PathBuf::from(registry::DEFAULT_PATH));
}

#[test]
fn another_hub_can_be_above_in_place_of_the_vendor() {
    let environment = Environment {
        upstream_token: Some("a-token-of-the-upper-hub".into()),
        ..Environment::default()
    };
    let read = |text: &str, environment: &Environment| {
        let config = HubConfig::parse(text, Path::new("hub.toml"), environment);
        config.map_err(|error| error.to_string())
    };
    let text = "[massive]\n[upstream]\nhub = [\"wss://a.example\", \"ws://b.example:3000\"]\n\
                clusters = [\"stocks\"]\nca_file = \"/ca.pem\"\n";
    let config = read(text, &environment).unwrap();
    let UpstreamServer { source, rest } = config.upstream;
    assert_eq!(source, rest);
    assert_eq!(source.provider, FeedProvider::Hub);
    assert_eq!(source.endpoint.to_string(), "wss://a.example");
    assert_eq!(source.alternatives[0].to_string(), "ws://b.example:3000");
    assert_eq!(source.secret.unwrap().reveal(), "a-token-of-the-upper-hub");
    assert_eq!(config.clusters, [Cluster::Stocks]);
    assert_eq!(config.ca_file, Some("/ca.pem".into()));

    // The key of the vendor and the token for the displays are no token for the upper hub.
    let error = read(text, &self::environment()).unwrap_err();
    for words in [
        "hub.toml:2",
        "token_file",
        "upstream-token",
        "DESKTICKER_UPSTREAM_TOKEN",
    ] {
        assert!(error.contains(words), "{error}");
    }
    let both = text.replace("[massive]", "[massive]\nurl = \"wss://socket.massive.com\"");
    let error = read(&both, &environment).unwrap_err();
    assert!(error.contains("not both"), "{error}");
}

#[test]
fn every_setting_can_be_set() {
    let defaults = Limits::default();
    let lines: Vec<String> = defaults
        .values()
        .map(|(name, value, _)| format!("{name} = {}\n", value - 1))
        .collect();
    let config = parsed(&format!(
        "listen = \"[::1]:8443\"\nannounce = false\norigins = [\"https://Desk.example/\"]\n\
         hosts = [\"Hub.example\"]\ntrusted_proxy = [\"::1\"]\n\
         [massive]\nurl = \"wss://delayed.massive.com\"\nrest_url = \"https://api.massive.com\"\n\
         clusters = [\"stocks\"]\nca_file = \"/ca.pem\"\n\
         [devices]\nfile = \"/devices\"\n[tls]\ncert = \"/c\"\nkey = \"/k\"\n\
         [metrics]\npublic = true\n[limits]\n{}",
        lines.concat()
    ))
    .unwrap();
    assert!(!config.announce && config.public_metrics);
    assert_eq!(config.hosts, ["hub.example"]);
    assert_eq!(config.origins, ["https://desk.example"]);
    assert_eq!(
        config.upstream.rest.endpoint.to_string(),
        "wss://api.massive.com"
    );
    assert_eq!(config.tls, Some(("/c".into(), "/k".into())));
    assert_eq!(config.devices.file, PathBuf::from("/devices"));
    for ((name, set, _), (_, default, _)) in config.limits.values().zip(defaults.values()) {
        assert_eq!(set, default - 1, "{name}");
    }
}

#[test]
fn a_configuration_error_is_reported_with_its_line_and_the_expected_value() {
    for (text, expected) in [
        (
            "\nlisten = \"3000\"",
            "hub.toml:2: listen: \"3000\", expected an address and a port",
        ),
        (
            "lisen = 1",
            "hub.toml:1: unknown key `lisen`, did you mean `listen`",
        ),
        (
            "[limits]\ntrades = 0",
            "hub.toml:2: trades: 0, expected 1 to 1000000",
        ),
        (
            "[limits]\nhead = -1",
            "hub.toml:2: head: -1, expected 1 to 300",
        ),
        (
            "[massive]\nurl = \"socket\"",
            "hub.toml:2: url: expected an address",
        ),
        (
            "[massive]\nrest_url = \"ftp://x\"",
            "hub.toml:2: rest_url: expected an address",
        ),
        (
            "[massive]\nclusters = [\"forex\"]",
            "hub.toml:2: clusters: \"forex\", expected \"indices\"",
        ),
        (
            "[massive]\nclusters = []",
            "hub.toml:2: clusters: the list is empty",
        ),
        (
            "origins = [\"desk\"]",
            "hub.toml:1: origins: \"desk\", expected origins like",
        ),
        (
            "trusted_proxy = [\"x\"]",
            "hub.toml:1: trusted_proxy: \"x\", expected addresses",
        ),
        ("[tls]\ncert = \"x\"", "hub.toml:1: [tls] has no line `key`"),
        (
            "[massive]\nkey_file = \"/nowhere\"",
            "hub.toml:2: key_file: /nowhere: No such file",
        ),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn a_hub_without_a_key_names_the_missing_setting() {
    let (code, message) = told(&run(&[]));
    assert_eq!(code, Some(78));
    assert!(message.contains("MASSIVE_API_KEY"), "{message}");
    let (code, message) = told(&run(&["--config", "/nowhere.toml"]));
    assert_eq!(code, Some(78));
    assert!(
        message.starts_with("deskticker-hub: /nowhere.toml: cannot be read"),
        "{message}"
    );
}

#[test]
fn a_hub_at_the_loopback_address_warns_that_other_machines_cannot_connect() {
    let folder = directory("program-loopback");
    let config = folder.join("hub.toml");
    std::fs::write(&config, "listen = \"127.0.0.1:0\"\nannounce = false\n").unwrap();
    let start = |text: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\nannounce = false\n{text}");
        std::fs::write(&config, text).unwrap();
        let mut command = program();
        command.args(["--config", config.to_str().unwrap()]);
        command
            .env("MASSIVE_API_KEY", "k")
            .env("MASSIVE_PROXY_TOKEN", "long-enough-token");
        Program::spawn(&mut command)
    };
    let mut hub = start("");
    let line = hub.wait_for_line("only programs on this machine can connect");
    assert!(line.contains("write listen = \"0.0.0.0:"), "{line}");
    assert_eq!(hub.end(Signal::TERM).0, Some(0));
    // A reverse proxy on the same machine needs no other address.
    let mut hub = start("trusted_proxy = \"127.0.0.1\"\n");
    hub.wait_for_line("the hub is ready");
    assert_eq!(hub.end(Signal::TERM).0, Some(0));
    assert!(!hub.output().contains("only programs on this machine"));
}

#[test]
fn a_static_token_that_can_be_guessed_is_refused_and_a_short_one_causes_a_warning() {
    let short = Environment {
        token: Some("letme7".into()),
        ..environment()
    };
    let error = HubConfig::parse("", Path::new("hub.toml"), &short).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("6 characters") && error.contains("token add"),
        "{error}"
    );
    assert!(!error.contains("letme7"), "{error}");
    let mut command = program();
    command.args(["run", "--simulate", "--listen", "127.0.0.1:0"]);
    let mut hub = Program::spawn(command.env("MASSIVE_PROXY_TOKEN", "tolerated"));
    hub.wait_for_line("the static token has only 9 characters");
    assert!(hub.is_running());
    let mut command = program();
    command.args(["run", "--simulate", "--listen", "127.0.0.1:0"]);
    let mut hub = Program::spawn(command.env("MASSIVE_PROXY_TOKEN", "letme7"));
    hub.wait_for_line("has 6 characters and can be guessed");
    assert_eq!(hub.wait(), Some(78));
}

#[test]
fn a_token_is_revoked_on_a_full_disk_and_the_user_learns_what_is_missing() {
    // Some machines do not allow a name space of one's own; .ci/run runs where it is allowed.
    let mut attempt = Command::new("unshare");
    attempt.args(["--map-root-user", "--mount", "true"]);
    if !attempt.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped, because this machine allows no mount name space");
        return;
    }
    let folder = directory("hub_program-full-disk");
    // The name space of this shell has its own small file system.
    let script = r#"
        set -e
        mount -t tmpfs -o size=16k none "$1"
        "$2" token add kitchen --file "$1/devices" >/dev/null 2>&1
        "$2" token add hallway --file "$1/devices" >/dev/null 2>&1
        dd if=/dev/zero of="$1/fill" bs=1k count=99 2>/dev/null || true
        set +e
        "$2" token revoke kitchen --file "$1/devices"
        echo "exit code $?"
        cat "$1/devices"
    "#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([
            folder.to_str().unwrap(),
            env!("CARGO_BIN_EXE_deskticker-hub"),
        ])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(
        out.starts_with("exit code 1\nkitchen revoked "),
        "{out}{err}"
    );
    assert!(out.contains("\nhallway sha256:"), "{out}");
    assert!(err.contains("The token of \"kitchen\" is revoked"), "{err}");
    assert!(
        err.contains("Make room and revoke again") && err.contains("No space left"),
        "{err}"
    );
}
