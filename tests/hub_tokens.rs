//! A token lets its device in and nobody else, in every way it can be given, and no longer than
//! its owner wants.
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
use hub_server::{HubUnderTest, START, TOKEN, block_on, folder, hub, hub_with};

fn encoded(token: &str) -> String {
    let all = percent_encoding::NON_ALPHANUMERIC;
    percent_encoding::utf8_percent_encode(token, all).to_string()
}

async fn ephemeral(hub: &HubUnderTest, token: &str) -> (String, i64) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let reply = hub.ask("POST /api/ws-token", &headers).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let answer = reply.json();
    let expires = answer["expiresAt"].as_i64().unwrap();
    (answer["token"].as_str().unwrap().to_owned(), expires)
}

/// The status of an upgrade with this token in the address.
async fn join(hub: &HubUnderTest, token: &str) -> u16 {
    let path = format!("/ws/indices?token={}", encoded(token));
    hub.upgrade(&path, "").await
}

#[test]
fn a_token_can_be_given_in_every_way() {
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
                // A header that ends behind its scheme gives no token at all.
                if !(token.is_empty() && headers.starts_with("Auth")) {
                    assert_eq!(
                        hub.upgrade(&path, &headers).await,
                        status,
                        "{path} {headers}"
                    );
                }
            }
        }
        // A trailing newline, as it comes from a file, is not part of it.
        assert_eq!(
            hub.upgrade(&format!("/ws/indices?token={TOKEN}%0A"), "")
                .await,
            101
        );
        // With none, an `auth` action may still come.
        assert_eq!(hub.upgrade("/ws/indices", "").await, 101);
    });
}

#[test]
fn a_request_without_a_token_is_401_and_with_a_wrong_one_403() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        for request in [
            "GET /api/quotes?tickers=SPX",
            "GET /api/market/status",
            "POST /api/ws-token",
        ] {
            let none = hub.ask(request, "").await;
            assert_eq!(
                (none.status, none.header("www-authenticate")),
                (401, Some("Bearer"))
            );
            let wrong = hub.ask(request, "X-Massive-Proxy-Token: wrong\r\n").await;
            assert_eq!(wrong.status, 403);
        }
        assert_eq!(hub.metric("refused_tokens_total").await, 6.0);
    });
}

#[test]
fn an_ephemeral_token_is_good_for_one_upgrade_and_for_quotes_until_it_expires() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let (token, expires) = ephemeral(&hub, TOKEN).await;
        assert_eq!(expires - START.0, 300_000);
        let quotes = async || {
            let headers = format!("X-Massive-Proxy-Token: {token}\r\n");
            hub.ask("GET /api/quotes?tickers=SPX", &headers)
                .await
                .status
        };
        // Let in, though the vendor is away.
        assert_eq!(quotes().await, 502);
        assert_eq!(join(&hub, &token).await, 101);
        assert_eq!(join(&hub, &token).await, 403);
        assert_eq!(quotes().await, 502);
        // It gives no other.
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(hub.ask("POST /api/ws-token", &headers).await.status, 403);

        let (late, _) = ephemeral(&hub, TOKEN).await;
        hub.hand.advance(EPHEMERAL);
        assert_eq!(join(&hub, &late).await, 403);
        assert_eq!(quotes().await, 403);
    });
}

#[test]
fn an_ephemeral_token_that_was_touched_is_nobodys() {
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
        // What another process has signed is good for nothing here.
        let token = Secret::new(TOKEN).unwrap();
        let other = Authenticator::new(None, Some(&token)).unwrap();
        let device = other.check(TOKEN).unwrap();
        let (foreign, _) = other.issue(&device, Now::new(Moment::ZERO, START)).unwrap();
        assert_eq!(join(&hub, &foreign).await, 403);
    });
}

fn file(name: &str) -> (PathBuf, RegistryFile) {
    let path = folder(name).join("devices");
    (path.clone(), RegistryFile::new(path))
}

#[test]
fn a_revoked_device_is_out_within_seconds_and_its_ephemeral_tokens_with_it() {
    block_on(async {
        let (path, file) = file("revoked");
        let kitchen = file.add("kitchen").unwrap();
        let hub = hub_with(HubSettings::default(), Some(path)).await;
        assert_eq!(join(&hub, &kitchen).await, 101);
        let (ticket, _) = ephemeral(&hub, &kitchen).await;
        // One that was added while the hub runs is let in too.
        let hallway = file.add("hallway").unwrap();
        let mut registry = hub.authenticator.registry();
        let wait = async |registry: &mut tokio::sync::watch::Receiver<_>, count: usize| {
            let passing = async {
                loop {
                    hub.hand.advance(Duration::from_millis(500));
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
        // "static" is the third.
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
fn a_file_that_is_wrong_keeps_everybody_but_who_is_revoked() {
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
    // A new token needs a file that is right; taking one away does not.
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
            .contains("no longer there")
    );
    std::fs::create_dir(&path).unwrap();
    assert!(authenticator.reload().is_err());
    assert_eq!(in_now(), (false, true));
    // At the start there is nobody to keep.
    assert!(Authenticator::new(Some(path), None).is_err());
}

#[test]
fn a_device_that_is_also_revoked_is_not_let_in() {
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
    // A new token takes the place of both lines.
    let new = file.add("kitchen").unwrap();
    let authenticator = Authenticator::new(Some(path), None).unwrap();
    assert!(authenticator.check(&new).is_some() && authenticator.check(&kitchen).is_none());
}

#[test]
fn a_usual_file_that_cannot_be_read_keeps_nobody_out_who_has_the_static_token() {
    let (path, file) = file("usual");
    // As good as a file of somebody else's, and the same for root.
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
fn a_device_whose_token_has_changed_is_out_for_a_moment() {
    let (path, file) = file("changed");
    let old = file.add("kitchen").unwrap();
    let authenticator = Authenticator::new(Some(path), None).unwrap();
    file.revoke("kitchen").unwrap();
    let new = file.add("kitchen").unwrap();
    authenticator.check_file();
    // Whoever came in by the old one is disconnected by this.
    assert!(authenticator.registry().borrow().is_empty());
    authenticator.check_file();
    assert!(authenticator.registry().borrow().contains("kitchen"));
    assert!(authenticator.check(&new).is_some() && authenticator.check(&old).is_none());
}

#[test]
fn an_ephemeral_token_does_not_survive_a_new_token_of_its_device() {
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
    // What the new one gives is good.
    let ticket = issue(&new);
    assert!(
        authenticator.authenticate_request(&ticket, now).is_some()
            && authenticator.authenticate_upgrade(&ticket, now).is_some()
    );
}

#[test]
fn the_file_keeps_what_its_owner_wrote_and_is_his_alone() {
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
    // Nothing else is left in the folder.
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1
    );
}

#[test]
fn names_are_names_and_each_is_there_once() {
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
fn changes_at_the_same_time_lose_nothing() {
    let (_, file) = file("together");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let file = &file;
            scope.spawn(move || file.add(&format!("display-{number}")).unwrap());
        }
    });
    assert_eq!(file.list().unwrap().len(), 16);
}
