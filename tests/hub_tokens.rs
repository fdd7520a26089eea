//! Tests of tokens: a token gives access to its own device only, in each supported form, and only
//! until its owner revokes the token.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use deskticker::hub::HubSettings;
use deskticker::hub::auth::authenticator::{Authenticator, EPHEMERAL};
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::secret::Secret;
use deskticker::time::{Moment, Now};

use hub_server::{HubUnderTest, START, TOKEN, block_on, directory, hub, hub_with};

fn encoded(token: &str) -> String {
    let all = percent_encoding::NON_ALPHANUMERIC;
    percent_encoding::utf8_percent_encode(token, all).to_string()
}

async fn ephemeral(hub: &HubUnderTest, token: &str) -> (String, i64) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let reply = hub.request("POST /api/ws-token", &headers).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let answer = reply.json();
    let expires = answer["expiresAt"].as_i64().unwrap();
    (answer["token"].as_str().unwrap().to_owned(), expires)
}

/// The status of an upgrade with this token in the URL.
async fn join(hub: &HubUnderTest, token: &str) -> u16 {
    let path = format!("/ws/indices?token={}", encoded(token));
    hub.upgrade(&path, "").await
}

#[test]
fn a_token_is_accepted_in_the_url_and_in_both_headers() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        for (token, status) in [(TOKEN, 101), ("wrong", 403), ("", 403)] {
            let ways = [
                (format!("/ws/indices?token={token}"), String::new()),
                (
                    "/ws/indices".into(),
                    format!("X-Massive-Proxy-Token: {token}\r\n"),
                ),
                (
                    "/ws/indices".into(),
                    format!("Authorization: Bearer {token}\r\n"),
                ),
            ];
            for (path, headers) in ways {
                // A header without text after its scheme contains no token.
                if !(token.is_empty() && headers.starts_with("Auth")) {
                    assert_eq!(
                        hub.upgrade(&path, &headers).await,
                        status,
                        "{path} {headers}"
                    );
                }
            }
        }
        // A trailing newline, for example from a file, is not part of the token.
        assert_eq!(
            hub.upgrade(&format!("/ws/indices?token={TOKEN}%0A"), "")
                .await,
            101
        );
        // A client without a token can still authenticate with an `auth` action.
        assert_eq!(hub.upgrade("/ws/indices", "").await, 101);
    });
}

#[test]
fn a_request_without_a_token_gets_401_and_with_a_wrong_token_403() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        for request in [
            "GET /api/quotes?tickers=SPX",
            "GET /api/market/status",
            "POST /api/ws-token",
        ] {
            let none = hub.request(request, "").await;
            assert_eq!(
                (none.status, none.header("www-authenticate")),
                (401, Some("Bearer"))
            );
            let wrong = hub
                .request(request, "X-Massive-Proxy-Token: wrong\r\n")
                .await;
            assert_eq!(wrong.status, 403);
        }
        assert_eq!(hub.metric(r#"refused_total{reason="token"}"#).await, 6.0);
    });
}

#[test]
fn a_short_lived_token_is_valid_for_one_upgrade_and_for_quotes_until_its_expiry() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let (token, expires) = ephemeral(&hub, TOKEN).await;
        assert_eq!(expires - START.0, 300_000);
        let quotes = async || {
            let headers = format!("X-Massive-Proxy-Token: {token}\r\n");
            hub.request("GET /api/quotes?tickers=SPX", &headers)
                .await
                .status
        };
        // The hub accepts the token, but its vendor cannot be reached.
        assert_eq!(quotes().await, 502);
        assert_eq!(join(&hub, &token).await, 101);
        assert_eq!(join(&hub, &token).await, 403);
        assert_eq!(quotes().await, 502);
        // A short-lived token cannot issue another token.
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(
            hub.request("POST /api/ws-token", &headers).await.status,
            403
        );

        let (late, _) = ephemeral(&hub, TOKEN).await;
        hub.manual_clock.advance(EPHEMERAL);
        assert_eq!(join(&hub, &late).await, 403);
        assert_eq!(quotes().await, 403);
    });
}

#[test]
fn a_modified_short_lived_token_is_invalid() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let (token, _) = ephemeral(&hub, TOKEN).await;
        let (payload, signature) = token.split_once('.').unwrap();
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(bytes).unwrap();
            let now = Now::new(Moment::ZERO, START);
            assert_eq!(
                hub.authenticator.authenticate_request(&touched, now),
                None,
                "byte {index}"
            );
        }
        for touched in [
            payload.to_owned(),
            format!("{payload}."),
            format!(".{signature}"),
        ] {
            assert_eq!(join(&hub, &touched).await, 403);
        }
        // A token that another process has signed is not valid here.
        let token = Secret::new(TOKEN).unwrap();
        let other = Authenticator::new(None, Some(&token)).unwrap();
        let device = other.check(TOKEN).unwrap();
        let (foreign, _) = other.issue(&device, Now::new(Moment::ZERO, START)).unwrap();
        assert_eq!(join(&hub, &foreign).await, 403);
    });
}

fn file(name: &str) -> (PathBuf, RegistryFile) {
    let path = directory(name).join("devices");
    (path.clone(), RegistryFile::new(path))
}

#[test]
fn a_revoked_device_and_its_short_lived_tokens_are_refused_within_seconds() {
    block_on(async {
        let (path, file) = file("revoked");
        let kitchen = file.add("kitchen").unwrap();
        let hub = hub_with(HubSettings::default(), Some(path)).await;
        assert_eq!(join(&hub, &kitchen).await, 101);
        let (ticket, _) = ephemeral(&hub, &kitchen).await;
        // The hub also accepts a token that was added after its start.
        let hallway = file.add("hallway").unwrap();
        let mut registry = hub.authenticator.registry();
        let wait = async |registry: &mut tokio::sync::watch::Receiver<_>, count: usize| {
            let passing = async {
                loop {
                    hub.manual_clock.advance(Duration::from_millis(500));
                    tokio::task::yield_now().await;
                }
            };
            let known =
                |registry: &std::sync::Arc<std::collections::HashSet<_>>| registry.len() == count;
            tokio::select! {
                found = registry.wait_for(known) => { found.unwrap(); }
                () = passing => {}
            }
        };
        // The third device is "static".
        wait(&mut registry, 3).await;
        assert_eq!(join(&hub, &hallway).await, 101);
        file.revoke("kitchen").unwrap();
        wait(&mut registry, 2).await;
        assert!(!registry.borrow().contains("kitchen"));
        assert_eq!(join(&hub, &kitchen).await, 403);
        assert_eq!(join(&hub, &ticket).await, 403);
        assert_eq!(join(&hub, &hallway).await, 101);
    });
}

#[test]
fn a_wrong_device_file_keeps_all_devices_except_revoked_ones() {
    let (path, file) = file("wrong");
    let (kitchen, hallway) = (file.add("kitchen").unwrap(), file.add("hallway").unwrap());
    let authenticator = Authenticator::new(Some(path.clone()), None).unwrap();
    let in_now = || {
        (
            authenticator.check(&kitchen).is_some(),
            authenticator.check(&hallway).is_some(),
        )
    };
    assert_eq!(in_now(), (true, true));

    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}desk a-secret-in-the-wrong-place\n")).unwrap();
    let error = authenticator.reload().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}:3: expected", path.display())),
        "{error}"
    );
    assert!(!error.contains("a-secret"), "{error}");
    assert_eq!(in_now(), (true, true));
    // Adding a token needs a valid file, but revoking one does not.
    assert!(file.add("desk").is_err());
    file.revoke("kitchen").unwrap();
    assert!(authenticator.reload().is_err());
    assert_eq!(in_now(), (false, true));

    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(authenticator.reload().is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(
        authenticator
            .reload()
            .unwrap_err()
            .to_string()
            .contains("no longer exists")
    );
    std::fs::create_dir(&path).unwrap();
    assert!(authenticator.reload().is_err());
    assert_eq!(in_now(), (false, true));
    // At the start, no earlier registry exists to fall back to.
    assert!(Authenticator::new(Some(path), None).is_err());
}

#[test]
fn a_device_with_a_revoked_line_is_refused() {
    let (path, file) = file("both");
    let (kitchen, hallway) = (file.add("kitchen").unwrap(), file.add("hallway").unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    for both in [
        format!("{text}kitchen revoked\n"),
        format!("kitchen revoked\n{text}"),
    ] {
        std::fs::write(&path, both).unwrap();
        let authenticator = Authenticator::new(Some(path.clone()), None).unwrap();
        assert!(authenticator.check(&kitchen).is_none() && authenticator.check(&hallway).is_some());
        assert_eq!(file.list().unwrap().len(), 1);
    }
    // A new token replaces both lines.
    let new = file.add("kitchen").unwrap();
    let authenticator = Authenticator::new(Some(path), None).unwrap();
    assert!(authenticator.check(&new).is_some() && authenticator.check(&kitchen).is_none());
}

#[test]
fn an_unreadable_default_device_file_does_not_block_the_static_token() {
    let (path, file) = file("usual");
    // A directory cannot be read as a file, even by root. So the test also works for root.
    std::fs::create_dir(&path).unwrap();
    let authenticator =
        Authenticator::with_optional_file(path.clone(), &Secret::new(TOKEN).unwrap()).unwrap();
    assert!(authenticator.check(TOKEN).is_some());
    std::fs::remove_dir(&path).unwrap();
    let kitchen = file.add("kitchen").unwrap();
    authenticator.check_file();
    assert!(authenticator.check(&kitchen).is_some() && authenticator.check(TOKEN).is_some());
}

#[test]
fn a_device_with_a_changed_token_leaves_the_registry_for_one_reload() {
    let (path, file) = file("changed");
    let old = file.add("kitchen").unwrap();
    let authenticator = Authenticator::new(Some(path), None).unwrap();
    file.revoke("kitchen").unwrap();
    let new = file.add("kitchen").unwrap();
    authenticator.check_file();
    // The device leaves the registry for one reload, so the hub closes connections that used the
    // old token.
    assert!(authenticator.registry().borrow().is_empty());
    authenticator.check_file();
    assert!(authenticator.registry().borrow().contains("kitchen"));
    assert!(authenticator.check(&new).is_some() && authenticator.check(&old).is_none());
}

#[test]
fn a_short_lived_token_is_invalid_after_its_device_gets_a_new_token() {
    let (path, file) = file("ticket-of-old");
    let old = file.add("kitchen").unwrap();
    let authenticator = Authenticator::new(Some(path), None).unwrap();
    let now = Now::new(Moment::ZERO, START);
    let issue = |token: &str| {
        let device = authenticator.check(token).unwrap();
        authenticator.issue(&device, now).unwrap().0
    };
    let ticket = issue(&old);
    assert!(authenticator.authenticate_request(&ticket, now).is_some());
    file.revoke("kitchen").unwrap();
    let new = file.add("kitchen").unwrap();
    authenticator.check_file();
    authenticator.check_file();
    assert!(authenticator.check(&new).is_some());
    assert_eq!(authenticator.authenticate_request(&ticket, now), None);
    assert_eq!(authenticator.authenticate_upgrade(&ticket, now), None);
    // A short-lived token from the new token is valid.
    let ticket = issue(&new);
    assert!(
        authenticator.authenticate_request(&ticket, now).is_some()
            && authenticator.authenticate_upgrade(&ticket, now).is_some()
    );
}

#[test]
fn the_device_file_keeps_comments_and_has_mode_0600() {
    let (path, file) = file("kept");
    std::fs::write(&path, "# my displays\n\n").unwrap();
    let kitchen = file.add("kitchen").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("kitchen ", "kitchen\t ")
            .replace('\n', " # note\n"),
    )
    .unwrap();
    file.add("pi-3.desk_2").unwrap();
    file.revoke("kitchen").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# my displays # note\n # note\nkitchen revoked\npi-3.desk_2 sha256:")
    );
    assert!(!text.contains(&kitchen));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<String> = file
        .list()
        .unwrap()
        .iter()
        .map(|name| name.to_string())
        .collect();
    assert_eq!(names, ["pi-3.desk_2"]);
    // The folder contains no other files.
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1
    );
}

#[test]
fn device_names_are_valid_and_unique() {
    let (_, file) = file("names");
    file.add("kitchen").unwrap();
    let long = "x".repeat(33);
    for name in [
        "kitchen", "", "static", "-v", "a b", "a#b", "küche", "a\nb", &long,
    ] {
        assert!(file.add(name).is_err(), "{name:?}");
    }
    assert!(file.revoke("hallway").is_err());
    assert_eq!(file.list().unwrap().len(), 1);
}

#[test]
fn concurrent_changes_of_the_device_file_lose_nothing() {
    let (_, file) = file("together");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let file = &file;
            scope.spawn(move || file.add(&format!("display-{number}")).unwrap());
        }
    });
    assert_eq!(file.list().unwrap().len(), 16);
}
