//! Tests of the broker of the hub: its promises to clients, over real sockets. The test moves the
//! clock.
#![allow(clippy::unwrap_used)]

#[path = "support/fanout_host.rs"]
mod fanout_host;

use std::collections::BTreeSet;
use std::time::Duration;

use deskticker::hub::server::limits::Limits;
use deskticker::hub::{RelayedEvent, UpstreamEvent};
use deskticker::market::{Channel, Cluster};
use deskticker::massive::websocket::ChannelRefusal;
use deskticker::net::failure::Failure;
use futures_util::SinkExt;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use fanout_host::{Client, FanoutUnderTest, TOKEN, device, event, within_time};

#[tokio::test]
async fn a_client_without_a_token_authenticates_with_a_message() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.unauthenticated().await;
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
        .await;
    assert!(client.statuses().await[0].starts_with("error not authenticated"));
    assert_eq!(fixture.metrics.unauthenticated_clients.value(), 1);
    client
        .send_text(&format!(r#"{{"action":"auth","params":"{TOKEN}"}}"#))
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
    assert_eq!(fixture.metrics.unauthenticated_clients.value(), 0);
    client.subscribe("V.I:SPX").await;
}

#[tokio::test]
async fn pipelined_requests_are_processed_in_order() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.unauthenticated().await;
    client
        .send_text(&format!(r#"{{"action":"auth","params":"{TOKEN}"}}"#))
        .await;
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
        .await;
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:VIX"}"#)
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
    let mut answers = Vec::new();
    while answers.len() < 4 {
        answers.extend(client.statuses().await);
    }
    answers.retain(|answer| answer.starts_with("pending"));
    let expected =
        ["V.I:SPX", "V.I:VIX"].map(|name| format!("pending requested from the vendor: {name}"));
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn bytes_read_after_the_upgrade_are_not_lost() {
    let fixture = FanoutUnderTest::new().await;
    // A frame with a ping action. Its mask is zero.
    let request = b"\x81\x91\0\0\0\0{\"action\":\"ping\"}";
    let mut client = Client::new(fixture.connect(Some(device()), request).await).await;
    client.statuses().await;
    client.statuses().await;
    assert_eq!(client.statuses().await, ["pong pong"]);
}

#[tokio::test]
async fn a_repeated_authentication_succeeds() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    client
        .send_text(r#"{"action":"auth","params":"whatever its library sends"}"#)
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
}

#[tokio::test]
async fn a_wrong_token_is_reported_and_the_client_closed_with_1008() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.unauthenticated().await;
    client
        .send_text(r#"{"action":"auth","params":"guess"}"#)
        .await;
    assert_eq!(
        client.statuses().await,
        ["auth_failed authentication failed"]
    );
    assert_eq!(client.close_code().await, 1008);
    assert_eq!(fixture.metrics.refused_tokens.value(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_in_time_is_closed_with_1008() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.unauthenticated().await;
    fixture.manual_clock.advance(Duration::from_secs(9));
    client.assert_only_pong().await;
    fixture.manual_clock.advance(Duration::from_secs(1));
    assert_eq!(
        client.statuses().await,
        ["auth_timeout No authentication request received."]
    );
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn a_revoked_device_is_closed_with_1008_at_once() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    fixture.authenticator.revoke();
    assert!(client.statuses().await[0].starts_with("force_disconnect"));
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn every_requested_channel_is_acknowledged_and_an_unknown_channel_is_named() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    client
        .send_text(r#"{"action":"subscribe","params":["V.I:SPX","V.I:VIX, AM.I:SPX"]}"#)
        .await;
    let names = ["V.I:SPX", "V.I:VIX", "AM.I:SPX"];
    let pending = names.map(|name| format!("pending requested from the vendor: {name}"));
    assert_eq!(client.statuses().await, pending);
    let acks = BTreeSet::from(names.map(|name| format!("success subscribed to: {name}")));
    assert_eq!(BTreeSet::from_iter(client.statuses().await), acks);
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:SPX,X.I:SPX,V.I:SPX"}"#)
        .await;
    let answers = [
        "success subscribed to: V.I:SPX",
        "error unknown channel: X.I:SPX",
        "success subscribed to: V.I:SPX",
    ];
    assert_eq!(client.statuses().await, answers);
    client
        .send_text(r#"{"action":"unsubscribe","params":"V.I:SPX"}"#)
        .await;
    assert_eq!(
        client.statuses().await,
        ["success unsubscribed to: V.I:SPX"]
    );
    assert_eq!(fixture.metrics.subscriptions.value(), 2);
}

#[tokio::test]
async fn a_client_receives_only_its_channels_in_one_frame() {
    let fixture = FanoutUnderTest::new().await;
    let (mut one, mut all) = (fixture.authenticated().await, fixture.authenticated().await);
    one.subscribe("V.I:SPX").await;
    all.subscribe("V.*").await;
    fixture
        .publish(&[
            ("V.I:SPX", 1),
            ("V.I:VIX", 2),
            ("AM.I:SPX", 3),
            ("V.I:SPX", 4),
        ])
        .await;
    assert_eq!(one.values().await, ["V.I:SPX 4"]);
    assert_eq!(all.values().await, ["V.I:VIX 2", "V.I:SPX 4"]);
    one.assert_only_pong().await;
    assert_eq!(fixture.metrics.events_received.value(), 4);
    assert_eq!(fixture.metrics.events_conflated.value(), 2);
}

#[tokio::test]
async fn a_late_client_receives_the_last_value_of_its_channel_at_once() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    early.subscribe("V.I:SPX,V.I:VIX").await;
    fixture.publish(&[("V.I:SPX", 1), ("V.I:VIX", 2)]).await;
    early.values().await;
    let mut late = fixture.authenticated().await;
    late.subscribe("V.I:VIX").await;
    assert_eq!(late.values().await, ["V.I:VIX 2"]);
    late.subscribe("V.I:SPX").await;
    assert_eq!(late.values().await, ["V.I:SPX 1"]);
    late.subscribe("V.I:SPX").await;
    late.assert_only_pong().await;
    early.assert_only_pong().await;
}

#[tokio::test]
async fn an_unsubscription_does_not_affect_other_clients() {
    let fixture = FanoutUnderTest::new().await;
    let (mut stays, mut goes) = (fixture.authenticated().await, fixture.authenticated().await);
    stays.subscribe("V.I:SPX").await;
    goes.subscribe("V.I:SPX").await;
    goes.send_text(r#"{"action":"unsubscribe","params":"V.I:SPX"}"#)
        .await;
    goes.statuses().await;
    fixture.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(stays.values().await, ["V.I:SPX 1"]);
    goes.assert_only_pong().await;
}

#[tokio::test]
async fn the_upstream_subscribes_to_the_union_of_all_channels_and_keeps_each_five_seconds_longer() {
    let mut fixture = FanoutUnderTest::new().await;
    let (mut one, mut two) = (fixture.authenticated().await, fixture.authenticated().await);
    one.subscribe("V.I:SPX,V.I:VIX").await;
    two.subscribe("V.I:SPX").await;
    fixture.wait_for_interest(&["V.I:SPX", "V.I:VIX"]).await;
    fixture.publish(&[("V.I:VIX", 1)]).await;
    one.values().await;
    drop(one);
    while fixture.metrics.clients.value() > 1 {
        tokio::task::yield_now().await;
    }
    fixture.advance(4, &mut two).await;
    assert_eq!(fixture.interest.borrow().len(), 2);
    fixture.advance(2, &mut two).await;
    fixture.wait_for_interest(&["V.I:SPX"]).await;
    // The hub does not replay a value whose subscription has ended, because the value may be out of
    // date.
    two.subscribe("V.I:VIX").await;
    two.assert_only_pong().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_no_other_client_and_later_receives_the_newest_values() {
    let fixture = FanoutUnderTest::new().await;
    let (mut slow, mut quick) = (fixture.authenticated().await, fixture.authenticated().await);
    slow.subscribe("V.I:SPX").await;
    quick.subscribe("V.I:SPX").await;
    fixture
        .assert_conflation(&mut slow, &mut quick, 2000, |_| 20_000)
        .await;
}

#[tokio::test]
async fn slow_clients_of_another_cluster_do_not_cost_a_client_its_connection() {
    let mut fixture = FanoutUnderTest::new().await;
    // All clusters share the metrics.
    let others = Limits::default().waiting_bytes;
    fixture.metrics.bytes_waiting.add(others);
    let (mut slow, mut quick) = (fixture.authenticated().await, fixture.authenticated().await);
    slow.subscribe("V.I:SPX").await;
    quick.subscribe("V.I:SPX").await;
    fixture.wait_for_interest(&["V.I:SPX"]).await;
    let mut last = 0;
    // The slow client reads nothing, until its socket is full and bytes wait in the hub.
    while fixture.metrics.bytes_waiting.value() == others
        && fixture.metrics.clients_shed.value() == 0
    {
        last += 1;
        fixture.publish(&[("V.I:SPX", last)]).await;
        assert_eq!(quick.frame().await[0]["n"], last);
    }
    assert_eq!(fixture.metrics.clients_shed.value(), 0);
    while slow.frame().await[0]["n"] != last {}
}

#[tokio::test]
async fn a_client_that_reads_trades_too_slowly_is_closed_with_1013() {
    let limits = Limits {
        trades: 50,
        ..Limits::default()
    };
    let fixture = FanoutUnderTest::with(Cluster::Options, limits).await;
    let (mut slow, mut quick) = (fixture.authenticated().await, fixture.authenticated().await);
    let name = "T.O:SPY251219C00650000";
    slow.subscribe(name).await;
    quick.subscribe(name).await;
    let filler = "x".repeat(20_000);
    let mut sent = 0;
    while fixture.metrics.slow_consumers.value() == 0 {
        sent += 1;
        let json = format!(r#"{{"c":"{name}","n":{sent},"x":"{filler}"}}"#);
        let relayed = RelayedEvent {
            json: json.into(),
            ..event(name, 0)
        };
        fixture.report(UpstreamEvent::Events(vec![relayed])).await;
        assert_eq!(
            quick.values().await,
            [format!("{name} {sent}")],
            "every trade, in order"
        );
    }
    let mut trades = 0;
    let told = loop {
        let frame = slow.frame().await;
        if frame[0]["n"].is_null() {
            break frame[0]["status"].clone();
        }
        for event in frame {
            trades += 1;
            assert_eq!(event["n"], trades, "no trade is left out before the end");
        }
    };
    assert_eq!(told, "slow_consumer");
    assert_eq!(slow.close_code().await, 1013);
    quick.assert_only_pong().await;
}

#[tokio::test]
async fn a_lost_upstream_is_reported_and_its_old_values_are_not_replayed() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    early.subscribe("V.I:SPX").await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    fixture.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(early.values().await, ["V.I:SPX 1"]);
    fixture.report(UpstreamEvent::Down(Failure::Key)).await;
    let told = format!("upstream_down {}", Failure::Key);
    assert_eq!(early.statuses().await, std::slice::from_ref(&told));
    fixture.advance(7, &mut early).await;
    let mut late = Client::new(fixture.connect(Some(device()), b"").await).await;
    late.statuses().await;
    let welcome = late.frame().await;
    assert_eq!(welcome[0]["status"], "auth_success");
    // The cluster, the reason, the age in ms and the time of the begin.
    let expected = serde_json::json!({
        "ev": "status", "status": "upstream_down", "message": Failure::Key.to_string(),
        "cluster": "indices", "age": 7000, "since": 1_795_444_200_000_u64,
    });
    assert_eq!(welcome[1], expected);
    late.send_text(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
        .await;
    // The hub confirms no channel while the vendor is lost.
    assert_eq!(
        late.statuses().await,
        ["pending requested from the vendor: V.I:SPX"]
    );
    late.assert_only_pong().await;
    fixture.report(UpstreamEvent::Down(Failure::Key)).await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    for client in [&mut early, &mut late] {
        assert_eq!(
            client.statuses().await,
            ["upstream_up prices are coming again"]
        );
    }
    // A value is a confirmation too.
    fixture.publish(&[("V.I:SPX", 2)]).await;
    assert_eq!(late.statuses().await, ["success subscribed to: V.I:SPX"]);
    for client in [&mut early, &mut late] {
        assert_eq!(client.values().await, ["V.I:SPX 2"]);
    }
}

#[tokio::test]
async fn a_channel_that_returns_before_the_upstream_has_cancelled_it_stays_confirmed() {
    for is_busy in [true, false] {
        let mut fixture = FanoutUnderTest::new().await;
        let (mut client, mut witness) =
            (fixture.authenticated().await, fixture.authenticated().await);
        fixture.report(UpstreamEvent::Up { simulated: false }).await;
        client.subscribe("V.I:SPX,V.I:VIX").await;
        let session = fixture.session.clone();
        let busy = session.lock().await;
        let busy = is_busy.then_some(busy);
        let unsubscribe = r#"{"action":"unsubscribe","params":"V.I:SPX"}"#;
        client.send_text(unsubscribe).await;
        client.statuses().await;
        fixture.advance(6, &mut witness).await;
        fixture.wait_for_interest(&["V.I:VIX"]).await;
        // The broker handles the reports of the session before it answers the witness again.
        fixture.advance(2, &mut witness).await;
        client.request_channels("V.I:SPX").await;
        let expected = match is_busy {
            // The session has the subscription, so the vendor does not confirm the channel again.
            true => "success subscribed to: V.I:SPX",
            false => "pending requested from the vendor: V.I:SPX",
        };
        assert_eq!(client.statuses().await, [expected]);
        drop(busy);
        if !is_busy {
            let confirmed = ["success subscribed to: V.I:SPX"];
            assert_eq!(client.statuses().await, confirmed);
        }
        client.assert_only_pong().await;
    }
}

#[tokio::test]
async fn a_cluster_outside_the_plan_closes_current_and_new_clients() {
    let mut fixture = FanoutUnderTest::new().await;
    let mut authenticated = fixture.authenticated().await;
    let mut unauthenticated = fixture.unauthenticated().await;
    authenticated.subscribe("V.I:SPX").await;
    fixture.wait_for_interest(&["V.I:SPX"]).await;
    fixture.report(UpstreamEvent::Barred(Failure::Plan)).await;
    let told = [format!("upstream_down {}", Failure::Plan)];
    for client in [&mut authenticated, &mut unauthenticated] {
        assert_eq!(client.statuses().await, told);
        assert_eq!(client.close_code().await, 1013);
    }
    let mut late = fixture.authenticated().await;
    assert_eq!(late.statuses().await, told);
    assert_eq!(late.close_code().await, 1013);
    // The vendor accepts the cluster again, and a new client receives its prices.
    fixture.report(UpstreamEvent::Down(Failure::Done)).await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    fixture.publish(&[("V.I:SPX", 1)]).await;
    let mut again = Client::new(fixture.connect(Some(device()), b"").await).await;
    again.statuses().await;
    while again.statuses().await != ["auth_success authenticated"] {}
    again.assert_only_pong().await;
}

#[tokio::test]
async fn a_channel_outside_the_plan_is_never_confirmed_and_reported_once_to_each_subscriber() {
    let fixture = FanoutUnderTest::new().await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    let (mut holds, mut other) = (fixture.authenticated().await, fixture.authenticated().await);
    holds
        .send_text(r#"{"action":"subscribe","params":"V.I:NDX"}"#)
        .await;
    assert_eq!(
        holds.statuses().await,
        ["pending requested from the vendor: V.I:NDX"]
    );
    holds.subscribe("V.I:SPX").await;
    other.subscribe("V.I:SPX").await;
    let ndx = Channel::parse("V.I:NDX").unwrap();
    let told = "error not authorized: V.I:NDX";
    for _ in 0..2 {
        let refusal = ChannelRefusal::NotAuthorized;
        fixture
            .report(UpstreamEvent::Unanswered(ndx.clone(), refusal))
            .await;
    }
    assert_eq!(holds.statuses().await, [told]);
    for client in [&mut holds, &mut other] {
        client.assert_only_pong().await;
    }
    other
        .send_text(r#"{"action":"subscribe","params":"V.I:NDX"}"#)
        .await;
    // The hub does not confirm what the vendor has refused.
    assert_eq!(other.statuses().await, [told]);
    // A value on the channel shows that the confirmation was only late.
    fixture.publish(&[("V.I:NDX", 1)]).await;
    for client in [&mut holds, &mut other] {
        assert_eq!(client.statuses().await, ["success subscribed to: V.I:NDX"]);
        assert_eq!(client.values().await, ["V.I:NDX 1"]);
    }
    fixture.authenticated().await.subscribe("V.I:NDX").await;
}

#[tokio::test]
async fn a_stalled_upstream_keeps_its_confirmations_because_the_vendor_confirms_only_once() {
    let fixture = FanoutUnderTest::new().await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    let mut early = fixture.authenticated().await;
    early.subscribe("V.I:SPX").await;
    fixture
        .report(UpstreamEvent::Stalled(Failure::Silent))
        .await;
    let [down] = early.statuses().await.try_into().unwrap();
    assert!(down.starts_with("upstream_down"), "{down}");
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    let up = ["upstream_up prices are coming again"];
    assert_eq!(early.statuses().await, up);
    fixture.authenticated().await.subscribe("V.I:SPX").await;
}

#[tokio::test]
async fn an_unused_upstream_is_no_failure() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    fixture.report(UpstreamEvent::Down(Failure::Done)).await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    client.subscribe("V.I:SPX").await;
    fixture.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(client.values().await, ["V.I:SPX 1"]);
}

#[tokio::test]
async fn simulated_prices_are_marked_in_the_greeting_or_when_the_upstream_reports_the_simulation() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    fixture.report(UpstreamEvent::Up { simulated: true }).await;
    let mark = "simulated These prices are simulated.";
    assert_eq!(early.statuses().await, [mark]);
    let mut late = Client::new(fixture.connect(Some(device()), b"").await).await;
    assert_eq!(
        late.statuses().await,
        ["connected Connected Successfully", mark]
    );
}

#[tokio::test]
async fn clients_of_a_simulated_vendor_are_closed_when_a_real_vendor_takes_over() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    early.subscribe("V.I:SPX").await;
    fixture.report(UpstreamEvent::Up { simulated: true }).await;
    early.statuses().await;
    fixture.publish(&[("V.I:SPX", 1)]).await;
    early.values().await;
    fixture.report(UpstreamEvent::Up { simulated: false }).await;
    assert_eq!(early.close_code().await, 1012);
    let mut late = fixture.authenticated().await;
    late.subscribe("V.I:SPX").await;
    late.assert_only_pong().await;
    fixture.publish(&[("V.I:SPX", 2)]).await;
    assert_eq!(late.values().await, ["V.I:SPX 2"]);
}

#[tokio::test]
async fn a_late_client_receives_the_age_of_the_last_value() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    early.subscribe("V.I:SPX,V.I:VIX").await;
    let mut repeated = event("V.I:SPX", 1);
    // Another hub repeats this event and has added its age in ms.
    repeated.json = r#"{"c":"V.I:SPX","n":1,"age":6000}"#.into();
    repeated.arrival.age = Duration::from_secs(6);
    fixture
        .report(UpstreamEvent::Events(vec![repeated, event("V.I:VIX", 2)]))
        .await;
    early.values().await;
    fixture.advance(3, &mut early).await;
    let mut late = fixture.authenticated().await;
    late.subscribe("V.I:SPX,V.I:VIX").await;
    let replay = late.frame().await;
    let ages: Vec<_> = replay.iter().map(|event| &event["age"]).collect();
    assert_eq!(ages, [9000, 3000]);
}

#[tokio::test]
async fn a_value_beyond_the_limit_of_its_symbol_is_not_repeated_to_a_new_client() {
    let fixture = FanoutUnderTest::new().await;
    let mut early = fixture.authenticated().await;
    let names = "AM.I:SPX,V.I:SPX,V.I:VIX";
    early.subscribe(names).await;
    let mut repeated = event("V.I:VIX", 3);
    repeated.arrival.age = Duration::from_secs(20);
    let events = vec![event("AM.I:SPX", 1), event("V.I:SPX", 2), repeated];
    fixture.report(UpstreamEvent::Events(events)).await;
    early.values().await;
    // The limits are 75 s for a minute bar, 10 s for SPX and 45 s for the VIX.
    for (seconds, expected) in [
        (10, &["AM.I:SPX 1", "V.I:SPX 2", "V.I:VIX 3"][..]),
        (1, &["AM.I:SPX 1", "V.I:VIX 3"]),
        (15, &["AM.I:SPX 1"]),
    ] {
        fixture.advance(seconds, &mut early).await;
        let mut late = fixture.authenticated().await;
        late.subscribe(names).await;
        assert_eq!(late.values().await, expected);
        late.assert_only_pong().await;
    }
    // A new value is sent as usual.
    let mut late = fixture.authenticated().await;
    fixture.advance(50, &mut early).await;
    late.subscribe(names).await;
    late.assert_only_pong().await;
    fixture.publish(&[("V.I:SPX", 4)]).await;
    assert_eq!(late.values().await, ["V.I:SPX 4"]);
}

#[tokio::test]
async fn a_request_in_a_binary_frame_is_read() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    let request = br#"{"action":"subscribe","params":"V.I:SPX"}"#;
    client
        .0
        .send(Message::binary(request.to_vec()))
        .await
        .unwrap();
    let told = client.statuses().await;
    assert_eq!(told, ["pending requested from the vendor: V.I:SPX"]);
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_and_the_client_stays_connected() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    for (said, answer) in [
        (Message::text("hello"), "error invalid JSON"),
        (
            Message::text(r#"{"action":"dance"}"#),
            "error unknown action: dance",
        ),
        (
            Message::text(r#"{"action":"subscribe","params":7}"#),
            "error not understood",
        ),
        (
            Message::text(r#"{"action":"subscribe"}"#),
            "error params name no channel",
        ),
        (
            Message::binary(vec![0xff, 0x00]),
            "error a binary message that is no text",
        ),
    ] {
        client.0.send(said).await.unwrap();
        let told = client.statuses().await;
        assert!(told[0].starts_with(answer), "{told:?}");
    }
    client.subscribe("V.I:SPX").await;
    assert_eq!(fixture.metrics.refused_messages.value(), 5);
}

#[tokio::test]
async fn a_message_of_a_megabyte_closes_the_client_with_1009_and_a_bad_frame_with_1002_or_1007() {
    let fixture = FanoutUnderTest::new().await;
    let mut witness = fixture.authenticated().await;
    let mut client = fixture.authenticated().await;
    // The hub may close the connection before the client has sent the whole message.
    client.0.send(Message::text("x".repeat(1 << 20))).await.ok();
    assert_eq!(client.close_code().await, 1009);
    for (bytes, code) in [(&b"\x81\x01x"[..], 1002), (b"\x81\x81\0\0\0\0\xff", 1007)] {
        let mut socket = fixture.connect(Some(device()), b"").await;
        socket.write_all(bytes).await.unwrap();
        assert_eq!(Client::new(socket).await.close_code().await, code);
    }
    witness.assert_only_pong().await;
}

#[tokio::test]
async fn no_client_holds_more_channels_than_allowed() {
    let limits = Limits {
        subscriptions: 2,
        ..Limits::default()
    };
    let fixture = FanoutUnderTest::with(Cluster::Indices, limits).await;
    let mut client = fixture.authenticated().await;
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:A,V.I:B,V.I:C"}"#)
        .await;
    assert_eq!(
        client.statuses().await,
        ["error 3 channels in one message; at most 2 (subscriptions)"]
    );
    client.subscribe("V.I:A,V.I:B").await;
    client
        .send_text(r#"{"action":"subscribe","params":"V.I:A,V.I:C"}"#)
        .await;
    let told = client.statuses().await;
    assert_eq!(told[0], "success subscribed to: V.I:A");
    assert_eq!(
        told[1],
        "error not subscribed to: V.I:C: at most 2 channels (subscriptions)"
    );
}

#[tokio::test]
async fn all_clients_together_hold_no_more_channels_than_allowed_until_one_is_released() {
    let limits = Limits {
        channels: 3,
        ..Limits::default()
    };
    let fixture = FanoutUnderTest::with(Cluster::Indices, limits).await;
    let (mut first, mut second) = (fixture.authenticated().await, fixture.authenticated().await);
    first.subscribe("V.I:A,V.I:B").await;
    // A channel that another client holds is free, and a channel that is requested twice counts
    // once.
    second
        .send_text(r#"{"action":"subscribe","params":"V.I:A,V.I:C,V.I:C,V.I:D"}"#)
        .await;
    let full =
        "error not subscribed to: V.I:D: the hub holds as many channels as it may, 3 (channels)"
            .to_owned();
    let pending = "pending requested from the vendor: V.I:C";
    assert_eq!(
        second.statuses().await,
        ["success subscribed to: V.I:A", pending, pending, &full]
    );
    assert_eq!(second.statuses().await, ["success subscribed to: V.I:C"]);
    assert_eq!(fixture.metrics.refused_messages.value(), 1);
    assert_eq!(fixture.metrics.subscriptions.value(), 4);
    // The upstream keeps a released channel for some seconds, and the channel counts during this
    // time.
    first
        .send_text(r#"{"action":"unsubscribe","params":"V.I:B"}"#)
        .await;
    first.statuses().await;
    second
        .send_text(r#"{"action":"subscribe","params":"V.I:D"}"#)
        .await;
    assert_eq!(second.statuses().await, [full]);
    fixture.advance(6, &mut first).await;
    second.subscribe("V.I:D").await;
}

#[tokio::test]
async fn a_client_that_sends_requests_without_reading_is_dropped() {
    let fixture = FanoutUnderTest::new().await;
    let mut witness = fixture.authenticated().await;
    let mut socket = fixture.connect(Some(device()), b"").await;
    // The response to each of these frames is about thirty times as long as the frame.
    let names = vec!["x"; 1000].join(",");
    let text = format!(r#"{{"action":"subscribe","params":"{names}"}}"#);
    let mut frame = vec![0x81, 0xfe];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    let flood = async { while socket.write_all(&frame).await.is_ok() {} };
    within_time(flood).await;
    assert_eq!(fixture.metrics.slow_consumers.value(), 1);
    witness.assert_only_pong().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped() {
    let fixture = FanoutUnderTest::new().await;
    let mut alive = fixture.authenticated().await;
    let mut dead = fixture.connect(Some(device()), b"").await;
    fixture.advance(89, &mut alive).await;
    assert_eq!(fixture.metrics.clients.value(), 2);
    fixture.advance(2, &mut alive).await;
    assert_eq!(fixture.metrics.clients_dead.value(), 1);
    let mut heard = Vec::new();
    within_time(dead.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.ends_with(&[0x89, 0, 0x89, 0]), "two pings");
    assert_eq!(fixture.metrics.clients.value(), 1);
}

#[tokio::test]
async fn a_client_that_sends_only_pongs_stays_connected() {
    let fixture = FanoutUnderTest::new().await;
    let (mut witness, mut quiet) = (fixture.authenticated().await, fixture.authenticated().await);
    for _ in 0..5 {
        fixture.advance(30, &mut witness).await;
        // The WebSocket library sends the pong without the test, and the clock stands still until
        // then.
        assert!(matches!(quiet.message().await, Message::Ping(_)));
        quiet.0.flush().await.unwrap();
        // These responses show that the hub has processed all earlier frames of the other client.
        for _ in 0..3 {
            witness.assert_only_pong().await;
        }
    }
    quiet.assert_only_pong().await;
}

#[tokio::test]
async fn a_device_revoked_during_its_upgrade_is_refused() {
    let fixture = FanoutUnderTest::new().await;
    fixture.authenticator.revoke();
    let mut client = Client::new(fixture.connect(Some(device()), b"").await).await;
    assert_eq!(
        client.statuses().await,
        ["connected Connected Successfully"]
    );
    assert!(client.statuses().await[0].starts_with("force_disconnect"));
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_bytes() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    client
        .0
        .send(Message::Ping(Bytes::from_static(b"there?")))
        .await
        .unwrap();
    assert_eq!(
        client.message().await,
        Message::Pong(Bytes::from_static(b"there?"))
    );
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code() {
    let fixture = FanoutUnderTest::new().await;
    let mut socket = fixture.connect(Some(device()), b"").await;
    socket.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    let mut heard = Vec::new();
    within_time(socket.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.ends_with(b"\x88\x02\x03\xe8"));
    assert_eq!(fixture.metrics.clients.value(), 0);
}

#[tokio::test]
async fn a_stop_closes_every_client_with_1012_without_delay() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    let _silent = fixture.connect(Some(device()), b"").await;
    fixture.stop.send_replace(true);
    assert_eq!(client.close_code().await, 1012);
    let ended = tokio::time::timeout(Duration::from_secs(2), fixture.task).await;
    ended.expect("within two seconds").unwrap();
    assert_eq!(fixture.metrics.clients.value(), 0);
}

#[tokio::test]
async fn a_client_that_sends_too_much_before_its_authentication_is_not_read_any_more() {
    let fixture = FanoutUnderTest::new().await;
    let mut stream = fixture.connect(None, b"").await;
    let pong = [0x8a, 0x80, 0, 0, 0, 0];
    stream.write_all(&pong.repeat(800)).await.unwrap();
    let mut client = Client::new(stream).await;
    let hello = ["connected Connected Successfully"];
    assert_eq!(client.statuses().await, hello);
    client
        .send_text(r#"{"action":"auth","params":"a token"}"#)
        .await;
    let mut witness = fixture.authenticated().await;
    within_time(async {
        while fixture.metrics.paused_unauthenticated.value() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fixture.advance(11, &mut witness).await;
    let words = "auth_timeout No authentication request received.";
    assert_eq!(client.statuses().await, [words]);
}

#[tokio::test]
async fn a_client_above_its_rate_is_read_later_and_loses_nothing() {
    let fixture = FanoutUnderTest::new().await;
    let mut client = fixture.authenticated().await;
    for _ in 0..500 {
        client.send_text(r#"{"action":"ping"}"#).await;
    }
    let mut witness = fixture.authenticated().await;
    within_time(async {
        while fixture.metrics.paused_messages.value() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = fixture.metrics.frames_sent.value();
    assert!(
        before < 2 * 500,
        "the client is not read while time stands still"
    );
    fixture.advance(10, &mut witness).await;
    for _ in 0..500 {
        assert_eq!(client.statuses().await, ["pong pong"]);
    }
}
