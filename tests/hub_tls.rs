//! Tests of a hub that serves TLS with its own certificate: certificates of OpenSSL, of the command
//! `deskticker-hub certificate` and of an authority. The client is the client of the display.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use deskticker::hub::HubSettings;
use deskticker::hub::server::tls::Tls;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::time::Utc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use child_process::{Program, clean_command};
use hub_server::{TIME_LIMIT, TOKEN, block_on, directory, hub};

/// A certificate for 127.0.0.1 and its key, in files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let paths = (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    );
    std::fs::write(&paths.0, made.cert.pem()).unwrap();
    std::fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
    paths
}

#[test]
fn a_client_that_trusts_the_certificate_connects_over_tls_and_another_client_does_not() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls"), "hub");
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let endpoint = Endpoint::parse(&format!("wss://{}", hub.address())).unwrap();
        let path = format!("/ws/indices?token={TOKEN}");
        let connector = Connector::new(Some(&certificate)).unwrap();
        assert!(connector.websocket(&endpoint, &path).await.is_ok());
        let wrong = connector.websocket(&endpoint, "/ws/indices?token=x").await;
        assert_eq!(wrong.unwrap_err().reason, Failure::Token);
        let stranger = Connector::new(None).unwrap();
        let refused = stranger.websocket(&endpoint, &path).await;
        assert_eq!(refused.unwrap_err().reason, Failure::Issuer);

        // The hub closes the TLS session properly. Otherwise the client reports a truncated
        // response as an error.
        let mut stream = connector.stream(&endpoint).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        let reading = tokio::time::timeout(TIME_LIMIT, stream.read_to_string(&mut text));
        reading.await.unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    });
}

#[test]
fn a_client_that_does_not_start_tls_is_closed_in_time() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls-silent"), "hub");
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let mut silent = hub.connect().await;
        assert_eq!(hub.until_closed(&mut silent).await, "");
        // The hub closes a plain HTTP connection at once, so the clock does not have to move.
        let mut plain = hub.connect().await;
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = Vec::new();
        let reading = plain.read_to_end(&mut bytes);
        tokio::time::timeout(Duration::from_secs(5), reading)
            .await
            .unwrap()
            .ok();
        assert!(!bytes.starts_with(b"HTTP"));
    });
}

#[test]
fn a_certificate_that_does_not_match_its_key_is_reported() {
    let folder = directory("tls-wrong");
    let (certificate_a, key_a) = certificate(&folder, "a");
    let (_, key_b) = certificate(&folder, "b");
    let told = |certificate: &Path, key: &Path| Tls::load(certificate, key).unwrap_err();
    assert!(told(&certificate_a, &key_b).contains("does not match the key"));
    assert!(told(&key_a, &key_a).contains("no certificate"));
    assert!(told(&certificate_a, &certificate_a).contains("no private key"));
    assert!(told(Path::new("/nowhere"), &key_a).starts_with("/nowhere: "));
}

/// Returns true if the program `openssl` is here. `cargo test` must run on machines without it; `.ci/run`
/// installs it, so that each change is tested with it.
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!("skipped, because the program openssl is missing");
    }
    found
}

/// Runs the program `openssl` in a folder.
fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("this test needs the program openssl");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A certificate that has signed itself, as the usual recipe makes it. Returns both files.
fn self_signed(folder: &Path, name: &str, more: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    let usual = ["req", "-x509", "-nodes", "-days", "365", "-subj", "/CN=hub"];
    let files = ["-keyout", &key, "-out", &certificate];
    let arguments = [&usual[..], &files, more].concat();
    openssl(folder, &arguments);
    (folder.join(certificate), folder.join(key))
}

const RSA: [&str; 2] = ["-newkey", "rsa:2048"];
const NAMES: [&str; 2] = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];

/// The result of an upgrade at a hub with this certificate, for a client that trusts `ca_file`.
async fn attempt(
    (certificate, key): &(PathBuf, PathBuf),
    ca_file: Option<&Path>,
    host: &str,
) -> Result<(), Failure> {
    let hub = hub(HubSettings {
        tls: Some(Tls::load(certificate, key).unwrap()),
        ..HubSettings::default()
    })
    .await;
    let endpoint = format!("wss://{host}:{}", hub.address().port());
    let endpoint = Endpoint::parse(&endpoint).unwrap();
    let path = format!("/ws/indices?token={TOKEN}");
    let connector = Connector::new(ca_file).unwrap();
    let joined = connector.websocket(&endpoint, &path).await;
    joined.map(drop).map_err(|error| error.reason)
}

#[test]
fn a_self_signed_certificate_of_openssl_is_trusted_if_the_ca_file_names_it() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-openssl");
    block_on(async {
        for (name, kind) in [
            ("rsa", &RSA[..]),
            (
                "ec",
                &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            ),
            ("ed25519", &["-newkey", "ed25519"]),
        ] {
            let files = self_signed(&folder, name, &[kind, &NAMES].concat());
            // The library refuses such a certificate as the certificate of a server.
            let text = openssl(&folder, &["x509", "-in", &format!("{name}.crt"), "-text"]);
            assert!(text.contains("CA:TRUE"), "{text}");
            let trusted = Some(files.0.as_path());
            for host in ["127.0.0.1", "localhost"] {
                assert_eq!(attempt(&files, trusted, host).await, Ok(()), "{name}");
            }
            let stranger = attempt(&files, None, "localhost").await;
            assert_eq!(stranger, Err(Failure::Issuer), "{name}");
        }
        let rsa = (folder.join("rsa.crt"), folder.join("rsa.key"));
        // Another certificate with the same names and the same subject is another certificate.
        let twin = self_signed(&folder, "twin", &[&RSA[..], &NAMES].concat());
        let other = attempt(&rsa, Some(&twin.0), "localhost").await;
        assert_eq!(other, Err(Failure::CaFile));
        // The host name counts, although the certificate itself is trusted.
        let elsewhere = ["-addext", "subjectAltName=DNS:hub.local"];
        let elsewhere = self_signed(&folder, "elsewhere", &[&RSA[..], &elsewhere].concat());
        let other = attempt(&elsewhere, Some(&elsewhere.0), "localhost").await;
        assert_eq!(other, Err(Failure::HostName));
        // The shortest recipe writes the name only to the subject.
        let nameless = self_signed(&folder, "nameless", &RSA);
        let other = attempt(&nameless, Some(&nameless.0), "localhost").await;
        assert_eq!(other, Err(Failure::HostName));
        let tls = Tls::load(&nameless.0, &nameless.1).unwrap();
        let said = tls.warnings(None).concat();
        assert!(said.contains("no subjectAltName"), "{said}");
        let tls = Tls::load(&rsa.0, &rsa.1).unwrap();
        assert!(tls.warnings(None).is_empty());
    });
}

#[test]
fn an_expired_certificate_is_refused_although_the_ca_file_names_it() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-expired");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 11, 20);
    let key = rcgen::KeyPair::generate().unwrap();
    let files = (folder.join("hub.crt"), folder.join("hub.key"));
    std::fs::write(&files.0, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let tls = Tls::load(&files.0, &files.1).unwrap();
    let said = |utc| tls.warnings(Some(Utc(utc))).concat();
    // The times are 2026-11-05, 2026-11-15 and 2026-11-25.
    assert_eq!(said(1_793_836_800_000), "");
    assert!(said(1_794_700_800_000).contains("expires on 2026-11-20"));
    assert!(said(1_795_564_800_000).contains("has expired on 2026-11-20"));
    block_on(async {
        let outcome = attempt(&files, Some(&files.0), "localhost").await;
        assert_eq!(outcome, Err(Failure::Expired));
    });
}

/// An authority, its intermediate certificate, and a certificate for localhost with the address of
/// the intermediate certificate, as the public authorities write it. Returns the folder.
fn authority(name: &str) -> PathBuf {
    let folder = directory(name);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "leaf.ext",
        "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n\
         authorityInfoAccess=caIssuers;URI:http://i.example/i.der\n",
    );
    write("middle.ext", "basicConstraints=critical,CA:TRUE\n");
    self_signed(&folder, "root", &RSA);
    for (who, issuer) in [("middle", "root"), ("leaf", "middle")] {
        let file = |name: &str, kind: &str| format!("{name}.{kind}");
        let (key, request) = (file(who, "key"), file(who, "csr"));
        let subject = format!("/CN={who}");
        let files = ["-keyout", &key, "-out", &request, "-subj", &subject];
        openssl(
            &folder,
            &[&["req", "-new", "-nodes"][..], &RSA, &files].concat(),
        );
        openssl(
            &folder,
            &[
                "x509",
                "-req",
                "-days",
                "30",
                "-in",
                &request,
                "-CA",
                &file(issuer, "crt"),
                "-CAkey",
                &file(issuer, "key"),
                "-CAcreateserial",
                "-extfile",
                &file(who, "ext"),
                "-out",
                &file(who, "crt"),
            ],
        );
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    write("fullchain.pem", &(read("leaf.crt") + &read("middle.crt")));
    folder
}

#[test]
fn a_missing_intermediate_certificate_is_named_at_the_hub_and_at_the_display() {
    if !has_openssl() {
        return;
    }
    let folder = authority("tls-chain");
    let (root, key) = (folder.join("root.crt"), folder.join("leaf.key"));
    let (short, full) = (folder.join("leaf.crt"), folder.join("fullchain.pem"));
    let warnings = |file: &Path| Tls::load(file, &key).unwrap().warnings(None).concat();
    let said = warnings(&short);
    assert!(
        said.contains("use fullchain.pem instead of cert.pem"),
        "{said}"
    );
    assert_eq!(warnings(&full), "");
    block_on(async {
        let files = (short, key.clone());
        let outcome = attempt(&files, Some(&root), "localhost").await;
        assert_eq!(outcome, Err(Failure::Intermediate));
        let files = (full, key.clone());
        assert_eq!(attempt(&files, Some(&root), "localhost").await, Ok(()));
        assert_eq!(
            attempt(&files, None, "localhost").await,
            Err(Failure::Issuer)
        );
    });
}

#[test]
fn a_key_or_a_certificate_that_the_hub_cannot_use_is_explained() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-unusable");
    let (certificate, key) = self_signed(&folder, "hub", &[&RSA[..], &NAMES].concat());
    let told = |certificate: &Path, key: &Path| Tls::load(certificate, key).unwrap_err();
    // The two forms of a key with a passphrase.
    for (name, form) in [("new.key", None), ("old.key", Some("-traditional"))] {
        let mut arguments = vec!["rsa", "-aes256", "-passout", "pass:x"];
        arguments.extend(["-in", "hub.key", "-out", name]);
        arguments.extend(form);
        openssl(&folder, &arguments);
        let said = told(&certificate, &folder.join(name));
        assert!(
            said.contains(name) && said.contains("is encrypted"),
            "{said}"
        );
        assert!(said.contains("openssl pkey -in "), "{said}");
    }
    // The remedy that the message names.
    let pass = [
        "pkey", "-in", "new.key", "-passin", "pass:x", "-out", "b.key",
    ];
    openssl(&folder, &pass);
    assert!(Tls::load(&certificate, &folder.join("b.key")).is_ok());
    // Without extensions, OpenSSL makes a certificate of version 1.
    openssl(
        &folder,
        &[
            "req", "-new", "-key", "hub.key", "-subj", "/CN=hub", "-out", "v1.csr",
        ],
    );
    let sign = [
        "x509", "-req", "-in", "v1.csr", "-signkey", "hub.key", "-out", "v1.crt",
    ];
    openssl(&folder, &sign);
    let version = openssl(&folder, &["x509", "-in", "v1.crt", "-noout", "-text"]);
    if version.contains("Version: 1 ") {
        let said = told(&folder.join("v1.crt"), &key);
        assert!(said.contains("deskticker-hub certificate NAME"), "{said}");
    }
    let weak = self_signed(
        &folder,
        "p521",
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
    );
    let said = told(&weak.0, &weak.1);
    assert!(said.contains("this kind of key is not supported"), "{said}");
}

/// The hub as a program with these lines in its configuration.
fn hub_command(folder: &Path, lines: &str) -> Command {
    let config = folder.join("hub.toml");
    let devices = folder.join("devices");
    std::fs::write(
        &config,
        format!("listen = \"127.0.0.1:0\"\n{lines}\n[devices]\nfile = {devices:?}\n"),
    )
    .unwrap();
    let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker-hub"));
    command.arg("--config").arg(config);
    command.env("MASSIVE_API_KEY", "k");
    command.env("MASSIVE_PROXY_TOKEN", TOKEN);
    command
}

/// The exit code and the output of `deskticker-hub check` with these lines in the configuration.
fn check(folder: &Path, lines: &str) -> (i32, String) {
    let output = hub_command(folder, lines).arg("check").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

fn tls_lines(certificate: &Path, key: &Path) -> String {
    format!("[tls]\ncert = {certificate:?}\nkey = {key:?}\n")
}

/// Waits until the hub is ready, and returns its port.
fn port(hub: &mut Program) -> u16 {
    let line = hub.wait_for_line("listening on wss://127.0.0.1:");
    line.trim().rsplit(':').next().unwrap().parse().unwrap()
}

async fn joins(port: u16, ca_file: &Path) -> Result<(), Failure> {
    let endpoint = Endpoint::parse(&format!("wss://127.0.0.1:{port}")).unwrap();
    let path = format!("/ws/indices?token={TOKEN}");
    let connector = Connector::new(Some(ca_file)).unwrap();
    let joined = connector.websocket(&endpoint, &path).await;
    joined.map(drop).map_err(|error| error.reason)
}

#[test]
fn check_and_run_warn_of_a_certificate_that_displays_refuse_or_will_refuse_soon() {
    let folder = directory("tls-warned");
    let issuer = rcgen::CertificateParams::new(vec!["issuer".to_owned()]).unwrap();
    let issuer = rcgen::Issuer::new(issuer, rcgen::KeyPair::generate().unwrap());
    let soon = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let soon = soon.checked_add(jiff::ToSpan::days(3)).unwrap();
    // id-pe-authorityInfoAccess with the address `http://i` as caIssuers (RFC 5280, section 4.2.2.1).
    let access = b"\x30\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x08http://i";
    for (name, words) in [
        ("expired", "has expired on 2026-11-20".to_owned()),
        ("soon", format!("expires on {soon}")),
        ("leaf", "use fullchain.pem instead of cert.pem".to_owned()),
        ("nameless", "has no subjectAltName".to_owned()),
        ("good", String::new()),
    ] {
        let names = if name == "nameless" {
            vec![]
        } else {
            vec!["hub.local".to_owned()]
        };
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        match name {
            "expired" => params.not_after = rcgen::date_time_ymd(2026, 11, 20),
            "soon" => {
                let [month, day] = [soon.month(), soon.day()].map(i8::unsigned_abs);
                params.not_after = rcgen::date_time_ymd(soon.year().into(), month, day);
            }
            "leaf" => {
                // The subject differs from the one of the issuer.
                params.distinguished_name = rcgen::DistinguishedName::new();
                let id = [1, 3, 6, 1, 5, 5, 7, 1, 1];
                let extension = rcgen::CustomExtension::from_oid_content(&id, access.to_vec());
                params.custom_extensions.push(extension);
            }
            _ => {}
        }
        let pair = rcgen::KeyPair::generate().unwrap();
        let made = match name {
            "leaf" => params.signed_by(&pair, &issuer).unwrap(),
            _ => params.self_signed(&pair).unwrap(),
        };
        let files = [format!("{name}.pem"), format!("{name}.key")].map(|file| folder.join(file));
        std::fs::write(&files[0], made.pem()).unwrap();
        std::fs::write(&files[1], pair.serialize_pem()).unwrap();
        let lines = tls_lines(&files[0], &files[1]);
        let (code, said) = check(&folder, &lines);
        let warning = format!("hub.toml:3: cert: {}: the ", files[0].display());
        assert_eq!(code, 0, "{said}");
        assert_eq!(said.contains(&warning), !words.is_empty(), "{said}");
        assert!(said.contains(&words), "{said}");
        if !words.is_empty() {
            let mut hub = Program::spawn(&mut hub_command(&folder, &lines));
            hub.wait_for_line(&words);
        }
    }
}

#[test]
fn check_names_the_line_of_the_wrong_file_and_how_to_correct_it() {
    let folder = directory("tls-lines");
    let (certificate, key) = certificate(&folder, "hub");
    let said = |certificate: &Path, key: &Path| {
        let (code, said) = check(&folder, &tls_lines(certificate, key));
        assert_eq!(code, 78, "{said}");
        said
    };
    // The files are swapped.
    let swapped = said(&key, &certificate);
    for (line, name, file, part) in [
        (
            3,
            "cert",
            &key,
            "a private key and no certificate; exchange",
        ),
        (
            4,
            "key",
            &certificate,
            "a certificate and no private key; exchange",
        ),
    ] {
        let start = format!("hub.toml:{line}: {name}: {}: ", file.display());
        let line = swapped
            .lines()
            .find(|line| line.contains(&start))
            .expect(&swapped);
        assert!(line.contains(part), "{line}");
    }
    // Both files in the binary form, and the printed commands.
    if has_openssl() {
        let der = [folder.join("hub.der"), folder.join("key.der")];
        for (kind, from, to) in [("x509", &certificate, &der[0]), ("pkey", &key, &der[1])] {
            let [from, to] = [from, to].map(|path| path.to_str().unwrap());
            openssl(&folder, &[kind, "-in", from, "-outform", "DER", "-out", to]);
        }
        let said = said(&der[0], &der[1]);
        for (line, name) in [(3, "cert"), (4, "key")] {
            let start = format!("hub.toml:{line}: {name}: ");
            let line = said
                .lines()
                .find(|line| line.contains(&start))
                .expect(&said);
            assert!(line.contains("in the binary form DER"), "{line}");
            let command = line.split('`').nth(1).unwrap();
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            openssl(&folder, &words);
        }
        assert!(Tls::load(&folder.join("hub.pem"), &folder.join("hub.key")).is_ok());
    }
    let (code, said) = check(
        &folder,
        "[tls]\ncertificate = \"/c.pem\"\nkey = \"/c.key\"\n",
    );
    assert!(code == 78 && said.contains("did you mean `cert`"), "{said}");
    assert!(!said.contains("has no line"), "{said}");
}

#[test]
fn check_warns_of_an_address_that_no_interface_has() {
    let folder = directory("foreign-address");
    let config = folder.join("hub.toml");
    let text = "simulate = true\nlisten = \"192.0.2.1:3000\"\n[devices]\nfile = \"devices\"\n";
    std::fs::write(&config, text).unwrap();
    let hint = "no interface of this machine has the address 192.0.2.1; for all addresses of this \
                machine write listen = \"0.0.0.0:3000\"";
    for (name, code) in [("check", 0), ("run", 1)] {
        let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker-hub"));
        let output = command
            .args([name, "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.contains(hint)),
            (Some(code), true),
            "{said}"
        );
    }
}

#[test]
fn a_renewed_certificate_is_served_without_a_signal() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-renewed");
    let names = [&RSA[..], &NAMES].concat();
    let (old, old_key) = self_signed(&folder, "old", &names);
    let (new, new_key) = self_signed(&folder, "new", &names);
    let (live, live_key) = (folder.join("live.pem"), folder.join("live.key"));
    // Certbot replaces symbolic links.
    let renew = |certificate: &Path, key: &Path| {
        for (target, link) in [(certificate, &live), (key, &live_key)] {
            std::fs::remove_file(link).ok();
            std::os::unix::fs::symlink(target, link).unwrap();
        }
    };
    renew(&old, &old_key);
    let mut hub = Program::spawn(&mut hub_command(&folder, &tls_lines(&live, &live_key)));
    let port = port(&mut hub);
    block_on(async {
        assert_eq!(joins(port, &old).await, Ok(()));
        assert_eq!(joins(port, &new).await, Err(Failure::CaFile));
        renew(&new, &new_key);
        let begun = Instant::now();
        while joins(port, &new).await.is_err() {
            assert!(begun.elapsed() < TIME_LIMIT);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        hub.wait_for_line("the certificate has been read again");
        // A wrong pair changes nothing, and the log has the reason once.
        renew(&old, &new_key);
        hub.wait_for_line("keeps its previous certificate");
        hub.assert_silent_until(
            Instant::now() + Duration::from_secs(5),
            "keeps its previous",
        );
        assert_eq!(joins(port, &new).await, Ok(()));
    });
}

#[test]
fn the_hub_warns_about_its_certificate_at_its_start() {
    if !has_openssl() {
        return;
    }
    let folder = authority("tls-warned");
    let lines = tls_lines(&folder.join("leaf.crt"), &folder.join("leaf.key"));
    let mut hub = Program::spawn(&mut hub_command(&folder, &lines));
    hub.wait_for_line("use fullchain.pem instead of cert.pem");
}

#[test]
fn a_key_that_the_user_of_the_hub_may_not_read_is_reported_with_the_user() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-unreadable");
    let (certificate, key) = self_signed(&folder, "hub", &[&RSA[..], &NAMES].concat());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o000)).unwrap();
    let hub = hub_command(&folder, &tls_lines(&certificate, &key));
    // Without its capabilities, root may not read such a file either.
    let mut command = clean_command("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    command.arg(hub.get_program()).args(hub.get_args());
    command.env("MASSIVE_API_KEY", "k");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let expected = format!("hub.key: the file may not be read by {}", user.trim());
    assert!(said.contains(&expected), "{said}");
}

fn create(arguments: &[&str]) -> Output {
    let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker-hub"));
    command.arg("certificate").args(arguments).output().unwrap()
}

#[test]
fn the_command_certificate_makes_a_certificate_whose_printed_lines_work() {
    if !has_openssl() {
        return;
    }
    let folder = directory("tls-made");
    let place = folder.to_str().unwrap();
    let made = create(&["127.0.0.1", "hub.local", "--folder", place]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{said}");
    let mode = |name: &str| {
        let data = std::fs::metadata(folder.join(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    assert_eq!((mode("hub.key"), mode("hub.pem")), (0o600, 0o644));
    // OpenSSL reads the certificate as what it is.
    for name in ["-checkip=127.0.0.1", "-checkhost=hub.local"] {
        let (option, name) = name.split_once('=').unwrap();
        let text = openssl(&folder, &["x509", "-in", "hub.pem", "-noout", option, name]);
        assert!(text.contains("does match"), "{text}");
    }
    let text = openssl(&folder, &["x509", "-in", "hub.pem", "-noout", "-text"]);
    assert!(text.contains("CA:FALSE") && text.contains("TLS Web Server Authentication"));
    // The printed lines for the hub are a part of a configuration.
    let (_, lines) = said.split_once("\n[tls]\n").unwrap();
    let (lines, rest) = lines.split_once("\n\n").unwrap();
    let mut hub = Program::spawn(&mut hub_command(&folder, &format!("[tls]\n{lines}")));
    let port = port(&mut hub);
    assert_eq!(block_on(joins(port, &folder.join("hub.pem"))), Ok(()));
    assert!(!hub.output().contains("chmod"), "{}", hub.output());
    // The printed lines for a display name the first name, the port, and the copied file.
    let (_, lines) = rest.split_once("\n[hub]\n").unwrap();
    assert_eq!(
        lines,
        "url = \"wss://127.0.0.1:3000\"\nca_file = \"/etc/deskticker/hub.pem\"\n"
    );
    let config = folder.join("desk.toml");
    std::fs::write(&config, format!("[hub]\n{lines}")).unwrap();
    let read = deskticker::config::Config::load(
        &config,
        &deskticker::secret::Environment {
            token: Some(TOKEN.to_owned()),
            ..deskticker::secret::Environment::default()
        },
    );
    assert!(read.unwrap().source.endpoint.secure);

    // A second run replaces nothing.
    let before = std::fs::read(folder.join("hub.key")).unwrap();
    let again = create(&["hub.local", "--folder", place]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("replaces no file"));
    assert_eq!(std::fs::read(folder.join("hub.key")).unwrap(), before);
    // If only the key exists, no certificate is left behind.
    std::fs::remove_file(folder.join("hub.pem")).unwrap();
    assert!(!create(&["hub.local", "--folder", place]).status.success());
    assert!(!folder.join("hub.pem").exists());
    assert_eq!(std::fs::read(folder.join("hub.key")).unwrap(), before);
}

#[test]
fn the_command_certificate_refuses_what_is_no_name_of_a_host() {
    let folder = directory("tls-names");
    let place = folder.to_str().unwrap();
    for (arguments, code, expected) in [
        (&["ws://hub.local:3000"][..], 1, "without ws://"),
        (&["hub.local:3000"], 1, "without a port"),
        (&["my hub"], 1, "is no host name"),
        (&[], 64, "expected host names or addresses"),
    ] {
        let made = create(&[arguments, &["--folder", place]].concat());
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert_eq!(made.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
