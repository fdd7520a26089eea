//! What the hub promises its clients, over real sockets and with a clock moved by hand.
#![allow(clippy::unwrap_used)]

#[path = "support/fanout_host.rs"]
mod fanout_host;

use std::time::Duration;

use deskticker::hub::broker::event_loop::{PendingClient, Transport};
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{RelayedEvent, UpstreamEvent};
use deskticker::market::{Channel, Cluster};
use deskticker::net::failure::Failure;
use fanout_host::{Client, FanoutUnderTest, TOKEN, device, event, within_time};
use futures_util::SinkExt;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_stranger_authenticates_by_a_message() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.unauthenticated().await;
    client
        .say(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
        .await;
    assert!(client.statuses().await[0].starts_with("error not authenticated"));
    assert_eq!(house.metrics.unauthenticated.value(), 1);
    client
        .say(&format!(r#"{{"action":"auth","params":"{TOKEN}"}}"#))
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
    assert_eq!(house.metrics.unauthenticated.value(), 0);
    client.subscribe("V.I:SPX").await;
}

#[tokio::test]
async fn requests_sent_without_waiting_for_answers_are_all_obeyed_in_order() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.unauthenticated().await;
    client
        .say(&format!(r#"{{"action":"auth","params":"{TOKEN}"}}"#))
        .await;
    client
        .say(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
        .await;
    client
        .say(r#"{"action":"subscribe","params":"V.I:VIX"}"#)
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
    assert_eq!(client.statuses().await, ["success subscribed to: V.I:SPX"]);
    assert_eq!(client.statuses().await, ["success subscribed to: V.I:VIX"]);
}

#[tokio::test]
async fn what_was_read_behind_the_upgrade_is_not_lost() {
    let house = FanoutUnderTest::new().await;
    // A ping action, masked with zeros.
    let request = b"\x81\x91\0\0\0\0{\"action\":\"ping\"}";
    let mut client = Client::new(house.connect(Some(device()), request).await).await;
    client.statuses().await;
    client.statuses().await;
    assert_eq!(client.statuses().await, ["pong pong"]);
}

#[tokio::test]
async fn a_member_that_authenticates_again_is_told_that_it_is_in() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    client
        .say(r#"{"action":"auth","params":"whatever its library sends"}"#)
        .await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
}

#[tokio::test]
async fn a_wrong_token_is_told_and_closed_with_1008() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.unauthenticated().await;
    client.say(r#"{"action":"auth","params":"guess"}"#).await;
    assert_eq!(
        client.statuses().await,
        ["auth_failed authentication failed"]
    );
    assert_eq!(client.close_code().await, 1008);
    assert_eq!(house.metrics.refused_token.count(), 1);
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_is_told_and_closed_with_1008() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.unauthenticated().await;
    house.hand.advance(Duration::from_secs(9));
    client.is_answered().await;
    house.hand.advance(Duration::from_secs(1));
    assert_eq!(
        client.statuses().await,
        ["auth_timeout No authentication request received."]
    );
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn a_revoked_device_is_closed_with_1008_at_once() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    house.authenticator.revoke();
    assert!(client.statuses().await[0].starts_with("force_disconnect"));
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn each_channel_is_acknowledged_however_it_is_asked_for_and_the_unknown_is_named() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    client
        .say(r#"{"action":"subscribe","params":["V.I:SPX","V.I:VIX, AM.I:SPX"]}"#)
        .await;
    let acks =
        ["V.I:SPX", "V.I:VIX", "AM.I:SPX"].map(|name| format!("success subscribed to: {name}"));
    assert_eq!(client.statuses().await, acks);
    client
        .say(r#"{"action":"subscribe","params":"V.I:SPX,X.I:SPX,V.I:SPX"}"#)
        .await;
    let answers = [
        "success subscribed to: V.I:SPX",
        "error unknown channel: X.I:SPX",
        "success subscribed to: V.I:SPX",
    ];
    assert_eq!(client.statuses().await, answers);
    client
        .say(r#"{"action":"unsubscribe","params":"V.I:SPX"}"#)
        .await;
    assert_eq!(
        client.statuses().await,
        ["success unsubscribed to: V.I:SPX"]
    );
    assert_eq!(house.metrics.subscriptions.value(), 2);
}

#[tokio::test]
async fn a_client_gets_what_it_wants_in_one_frame_and_nothing_else() {
    let house = FanoutUnderTest::new().await;
    let (mut one, mut all) = (house.authenticated().await, house.authenticated().await);
    one.subscribe("V.I:SPX").await;
    all.subscribe("V.*").await;
    house
        .publish(&[
            ("V.I:SPX", 1),
            ("V.I:VIX", 2),
            ("AM.I:SPX", 3),
            ("V.I:SPX", 4),
        ])
        .await;
    assert_eq!(one.values().await, ["V.I:SPX 4"]);
    assert_eq!(all.values().await, ["V.I:VIX 2", "V.I:SPX 4"]);
    one.is_answered().await;
    assert_eq!(house.metrics.events_in.count(), 4);
    assert_eq!(house.metrics.events_conflated.count(), 2);
}

#[tokio::test]
async fn who_comes_late_gets_the_last_value_of_that_channel_at_once() {
    let house = FanoutUnderTest::new().await;
    let mut early = house.authenticated().await;
    early.subscribe("V.I:SPX,V.I:VIX").await;
    house.publish(&[("V.I:SPX", 1), ("V.I:VIX", 2)]).await;
    early.values().await;
    let mut late = house.authenticated().await;
    late.subscribe("V.I:VIX").await;
    assert_eq!(late.values().await, ["V.I:VIX 2"]);
    late.subscribe("V.I:SPX").await;
    assert_eq!(late.values().await, ["V.I:SPX 1"]);
    late.subscribe("V.I:SPX").await;
    late.is_answered().await;
    early.is_answered().await;
}

#[tokio::test]
async fn unsubscribing_disturbs_nobody_else() {
    let house = FanoutUnderTest::new().await;
    let (mut stays, mut goes) = (house.authenticated().await, house.authenticated().await);
    stays.subscribe("V.I:SPX").await;
    goes.subscribe("V.I:SPX").await;
    goes.say(r#"{"action":"unsubscribe","params":"V.I:SPX"}"#)
        .await;
    goes.statuses().await;
    house.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(stays.values().await, ["V.I:SPX 1"]);
    goes.is_answered().await;
}

#[tokio::test]
async fn the_upstream_is_asked_for_what_all_want_and_for_five_seconds_longer() {
    let mut house = FanoutUnderTest::new().await;
    let (mut one, mut two) = (house.authenticated().await, house.authenticated().await);
    one.subscribe("V.I:SPX,V.I:VIX").await;
    two.subscribe("V.I:SPX").await;
    house.wants(&["V.I:SPX", "V.I:VIX"]).await;
    house.publish(&[("V.I:VIX", 1)]).await;
    one.values().await;
    drop(one);
    while house.metrics.clients.value() > 1 {
        tokio::task::yield_now().await;
    }
    house.pass(4, &mut two).await;
    assert_eq!(house.interest.borrow().len(), 2);
    house.pass(2, &mut two).await;
    house.wants(&["V.I:SPX"]).await;
    // What has not been kept up is not shown as if it had.
    two.subscribe("V.I:VIX").await;
    two.is_answered().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody_and_gets_the_newest_when_it_does() {
    let house = FanoutUnderTest::new().await;
    let (mut slow, mut quick) = (house.authenticated().await, house.authenticated().await);
    slow.subscribe("V.I:SPX").await;
    quick.subscribe("V.I:SPX").await;
    let filler = "x".repeat(20_000);
    let mut last = 0;
    while house.metrics.clients_blocked.count() == 0 || last < 2000 {
        last += 1;
        let json = format!(r#"{{"c":"V.I:SPX","n":{last},"x":"{filler}"}}"#);
        let relayed = RelayedEvent {
            json: json.into(),
            ..event("V.I:SPX", 0)
        };
        house.report(UpstreamEvent::Events(vec![relayed])).await;
        assert_eq!(quick.values().await, [format!("V.I:SPX {last}")]);
    }
    let (mut before, mut count) = (0, 0);
    while before < last {
        let now = slow.frame().await[0]["n"].as_u64().unwrap();
        assert!(now > before, "never an older after a newer");
        before = now;
        count += 1;
    }
    assert!(count < last, "it was spared what it missed");
    slow.is_answered().await;
}

#[tokio::test]
async fn who_reads_its_trades_too_slowly_is_told_and_closed_with_1013() {
    let limits = Limits {
        trades: 50,
        ..Limits::default()
    };
    let house = FanoutUnderTest::with(Cluster::Options, limits).await;
    let (mut slow, mut quick) = (house.authenticated().await, house.authenticated().await);
    let name = "T.O:SPY251219C00650000";
    slow.subscribe(name).await;
    quick.subscribe(name).await;
    let filler = "x".repeat(20_000);
    let mut sent = 0;
    while house.metrics.slow_consumers.count() == 0 {
        sent += 1;
        let json = format!(r#"{{"c":"{name}","n":{sent},"x":"{filler}"}}"#);
        let relayed = RelayedEvent {
            json: json.into(),
            ..event(name, 0)
        };
        house.report(UpstreamEvent::Events(vec![relayed])).await;
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
    quick.is_answered().await;
}

#[tokio::test]
async fn a_lost_upstream_is_told_and_what_came_before_is_not_shown_as_new() {
    let house = FanoutUnderTest::new().await;
    let mut early = house.authenticated().await;
    early.subscribe("V.I:SPX").await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    house.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(early.values().await, ["V.I:SPX 1"]);
    house.report(UpstreamEvent::Down(Failure::Key)).await;
    let told = format!("upstream_down {}", Failure::Key);
    assert_eq!(early.statuses().await, std::slice::from_ref(&told));
    let mut late = Client::new(house.connect(Some(device()), b"").await).await;
    late.statuses().await;
    assert_eq!(
        late.statuses().await,
        ["auth_success authenticated".to_owned(), told]
    );
    late.subscribe("V.I:SPX").await;
    late.is_answered().await;
    house.report(UpstreamEvent::Down(Failure::Key)).await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    house.publish(&[("V.I:SPX", 2)]).await;
    for client in [&mut early, &mut late] {
        assert_eq!(
            client.statuses().await,
            ["upstream_up prices are coming again"]
        );
        assert_eq!(client.values().await, ["V.I:SPX 2"]);
    }
}

#[tokio::test]
async fn a_cluster_that_the_plan_lacks_sends_everybody_away_and_who_comes_meanwhile() {
    let mut house = FanoutUnderTest::new().await;
    let mut authenticated = house.authenticated().await;
    let mut unauthenticated = house.unauthenticated().await;
    authenticated.subscribe("V.I:SPX").await;
    house.wants(&["V.I:SPX"]).await;
    house.report(UpstreamEvent::Barred).await;
    let told = [format!("upstream_down {}", Failure::Key)];
    for client in [&mut authenticated, &mut unauthenticated] {
        assert_eq!(client.statuses().await, told);
        assert_eq!(client.close_code().await, 1013);
    }
    let mut late = house.authenticated().await;
    assert_eq!(late.statuses().await, told);
    assert_eq!(late.close_code().await, 1013);
    // It is over, which is seen by who has come after it.
    house.report(UpstreamEvent::Down(Failure::Done)).await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    house.publish(&[("V.I:SPX", 1)]).await;
    let mut again = Client::new(house.connect(Some(device()), b"").await).await;
    again.statuses().await;
    while again.statuses().await != ["auth_success authenticated"] {}
    again.is_answered().await;
}

#[tokio::test]
async fn a_channel_that_the_plan_lacks_is_told_once_to_each_who_holds_it() {
    let house = FanoutUnderTest::new().await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    let (mut holds, mut other) = (house.authenticated().await, house.authenticated().await);
    holds.subscribe("V.I:NDX,V.I:SPX").await;
    other.subscribe("V.I:SPX").await;
    let ndx = Channel::parse("V.I:NDX").unwrap();
    let told = "error not authorized: V.I:NDX";
    for _ in 0..2 {
        house.report(UpstreamEvent::Unanswered(ndx.clone())).await;
    }
    assert_eq!(holds.statuses().await, [told]);
    for client in [&mut holds, &mut other] {
        client.is_answered().await;
    }
    other
        .say(r#"{"action":"subscribe","params":"V.I:NDX"}"#)
        .await;
    let acknowledged = "success subscribed to: V.I:NDX";
    assert_eq!(other.statuses().await, [acknowledged, told]);
    // What comes all the same was only late.
    house.publish(&[("V.I:NDX", 1)]).await;
    assert_eq!(other.values().await, ["V.I:NDX 1"]);
    house.authenticated().await.subscribe("V.I:NDX").await;
}

#[tokio::test]
async fn an_upstream_that_nobody_needs_is_no_failure() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    house.report(UpstreamEvent::Down(Failure::Done)).await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    client.subscribe("V.I:SPX").await;
    house.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(client.values().await, ["V.I:SPX 1"]);
}

#[tokio::test]
async fn simulated_prices_are_marked_in_the_greeting_or_as_soon_as_it_is_known() {
    let house = FanoutUnderTest::new().await;
    let mut early = house.authenticated().await;
    house.report(UpstreamEvent::Up { simulated: true }).await;
    let mark = "simulated These prices are simulated.";
    assert_eq!(early.statuses().await, [mark]);
    let mut late = Client::new(house.connect(Some(device()), b"").await).await;
    assert_eq!(
        late.statuses().await,
        ["connected Connected Successfully", mark]
    );
}

#[tokio::test]
async fn clients_of_a_simulated_vendor_begin_anew_with_a_real_one() {
    let house = FanoutUnderTest::new().await;
    let mut early = house.authenticated().await;
    early.subscribe("V.I:SPX").await;
    house.report(UpstreamEvent::Up { simulated: true }).await;
    early.statuses().await;
    house.publish(&[("V.I:SPX", 1)]).await;
    early.values().await;
    house.report(UpstreamEvent::Up { simulated: false }).await;
    assert_eq!(early.close_code().await, 1012);
    let mut late = house.authenticated().await;
    late.subscribe("V.I:SPX").await;
    late.is_answered().await;
    house.publish(&[("V.I:SPX", 2)]).await;
    assert_eq!(late.values().await, ["V.I:SPX 2"]);
}

#[tokio::test]
async fn who_comes_late_is_told_how_old_the_last_value_is() {
    let house = FanoutUnderTest::new().await;
    let mut early = house.authenticated().await;
    early.subscribe("V.I:SPX,V.I:VIX").await;
    let mut repeated = event("V.I:SPX", 1);
    // By another hub, and so it says its age already.
    repeated.json = r#"{"c":"V.I:SPX","n":1,"age":26000}"#.into();
    repeated.arrival.age = Duration::from_secs(26);
    house
        .report(UpstreamEvent::Events(vec![repeated, event("V.I:VIX", 2)]))
        .await;
    early.values().await;
    house.pass(3, &mut early).await;
    let mut late = house.authenticated().await;
    late.subscribe("V.I:SPX,V.I:VIX").await;
    let replay = late.frame().await;
    let ages: Vec<_> = replay.iter().map(|event| &event["age"]).collect();
    assert_eq!(ages, [29_000, 3000]);
}

#[tokio::test]
async fn a_request_in_a_binary_frame_is_read() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    let request = br#"{"action":"subscribe","params":"V.I:SPX"}"#;
    client
        .0
        .send(Message::binary(request.to_vec()))
        .await
        .unwrap();
    let told = client.statuses().await;
    assert_eq!(told, ["success subscribed to: V.I:SPX"]);
}

#[tokio::test]
async fn nonsense_is_answered_and_forgiven() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
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
    assert_eq!(house.metrics.refused_message.count(), 5);
}

#[tokio::test]
async fn a_megabyte_from_a_client_is_closed_with_1009_and_bad_frames_with_1002_and_1007() {
    let house = FanoutUnderTest::new().await;
    let mut witness = house.authenticated().await;
    let mut client = house.authenticated().await;
    // It may be closed before it has said it all.
    client.0.send(Message::text("x".repeat(1 << 20))).await.ok();
    assert_eq!(client.close_code().await, 1009);
    for (bytes, code) in [(&b"\x81\x01x"[..], 1002), (b"\x81\x81\0\0\0\0\xff", 1007)] {
        let mut socket = house.connect(Some(device()), b"").await;
        socket.write_all(bytes).await.unwrap();
        assert_eq!(Client::new(socket).await.close_code().await, code);
    }
    witness.is_answered().await;
}

#[tokio::test]
async fn nobody_holds_more_channels_than_allowed() {
    let limits = Limits {
        subscriptions: 2,
        ..Limits::default()
    };
    let house = FanoutUnderTest::with(Cluster::Indices, limits).await;
    let mut client = house.authenticated().await;
    client
        .say(r#"{"action":"subscribe","params":"V.I:A,V.I:B,V.I:C"}"#)
        .await;
    assert_eq!(
        client.statuses().await,
        ["error 3 channels in one message; at most 2"]
    );
    client.subscribe("V.I:A,V.I:B").await;
    client
        .say(r#"{"action":"subscribe","params":"V.I:A,V.I:C"}"#)
        .await;
    let told = client.statuses().await;
    assert_eq!(told[0], "success subscribed to: V.I:A");
    assert_eq!(
        told[1],
        "error not subscribed to: V.I:C: at most 2 channels"
    );
}

#[tokio::test]
async fn all_together_hold_no_more_channels_than_allowed_until_one_is_let_go() {
    let limits = Limits {
        channels: 3,
        ..Limits::default()
    };
    let house = FanoutUnderTest::with(Cluster::Indices, limits).await;
    let (mut first, mut second) = (house.authenticated().await, house.authenticated().await);
    first.subscribe("V.I:A,V.I:B").await;
    // What somebody holds already costs nothing, and what is asked for twice counts once.
    second
        .say(r#"{"action":"subscribe","params":"V.I:A,V.I:C,V.I:C,V.I:D"}"#)
        .await;
    let full =
        "error not subscribed to: V.I:D: the hub holds as many channels as it may, 3".to_owned();
    let told = ["V.I:A", "V.I:C", "V.I:C"].map(|name| format!("success subscribed to: {name}"));
    assert_eq!(
        second.statuses().await,
        [told.as_slice(), std::slice::from_ref(&full)].concat()
    );
    assert_eq!(house.metrics.refused_message.count(), 1);
    assert_eq!(house.metrics.subscriptions.value(), 4);
    // The upstream goes on with it for a while, so until then it counts.
    first
        .say(r#"{"action":"unsubscribe","params":"V.I:B"}"#)
        .await;
    first.statuses().await;
    second
        .say(r#"{"action":"subscribe","params":"V.I:D"}"#)
        .await;
    assert_eq!(second.statuses().await, [full]);
    house.pass(6, &mut first).await;
    second.subscribe("V.I:D").await;
}

#[tokio::test]
async fn who_asks_and_asks_without_reading_is_dropped() {
    let house = FanoutUnderTest::new().await;
    let mut witness = house.authenticated().await;
    let mut socket = house.connect(Some(device()), b"").await;
    // Each of these frames is answered with some thirty times its length.
    let names = vec!["x"; 1000].join(",");
    let text = format!(r#"{{"action":"subscribe","params":"{names}"}}"#);
    let mut frame = vec![0x81, 0xfe];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    let flood = async { while socket.write_all(&frame).await.is_ok() {} };
    within_time(flood).await;
    assert_eq!(house.metrics.slow_consumers.count(), 1);
    witness.is_answered().await;
}

#[tokio::test]
async fn who_answers_no_ping_is_dropped_and_who_does_is_not() {
    let house = FanoutUnderTest::new().await;
    let mut alive = house.authenticated().await;
    let mut dead = house.connect(Some(device()), b"").await;
    house.pass(89, &mut alive).await;
    assert_eq!(house.metrics.clients.value(), 2);
    house.pass(2, &mut alive).await;
    assert_eq!(house.metrics.clients_dead.count(), 1);
    let mut heard = Vec::new();
    within_time(dead.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.ends_with(&[0x89, 0, 0x89, 0]), "two pings");
    assert_eq!(house.metrics.clients.value(), 1);
}

#[tokio::test]
async fn who_comes_through_tls_comes_through_a_socket_pair_and_is_served_alike() {
    let house = FanoutUnderTest::new().await;
    let (ours, inner) = tokio::net::UnixStream::pair().unwrap();
    let pending_client = PendingClient {
        socket: Transport::Pair(inner),
        read_ahead: Bytes::new(),
        device: Some(device()),
    };
    house.door.admit(pending_client).expect("room at the door");
    let mut client = Client::new(ours).await;
    client.statuses().await;
    client.statuses().await;
    client.subscribe("V.I:SPX").await;
    house.publish(&[("V.I:SPX", 1)]).await;
    assert_eq!(client.values().await, ["V.I:SPX 1"]);
}

#[tokio::test]
async fn a_client_that_says_nothing_but_pongs_is_alive_however_quick_it_is() {
    let house = FanoutUnderTest::new().await;
    let (mut witness, mut quiet) = (house.authenticated().await, house.authenticated().await);
    for _ in 0..5 {
        house.pass(30, &mut witness).await;
        // The library answers on its own, and the clock stands still meanwhile.
        assert!(matches!(quiet.message().await, Message::Ping(_)));
        quiet.0.flush().await.unwrap();
        // Whoever was heard before these answers was heard at this moment too.
        for _ in 0..3 {
            witness.is_answered().await;
        }
    }
    quiet.is_answered().await;
}

#[tokio::test]
async fn a_device_revoked_on_its_way_in_is_not_let_in() {
    let house = FanoutUnderTest::new().await;
    house.authenticator.revoke();
    let mut client = Client::new(house.connect(Some(device()), b"").await).await;
    assert_eq!(
        client.statuses().await,
        ["connected Connected Successfully"]
    );
    assert!(client.statuses().await[0].starts_with("force_disconnect"));
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_bytes() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
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
async fn a_farewell_is_answered_with_its_own_code() {
    let house = FanoutUnderTest::new().await;
    let mut socket = house.connect(Some(device()), b"").await;
    socket.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    let mut heard = Vec::new();
    within_time(socket.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.ends_with(b"\x88\x02\x03\xe8"));
    assert_eq!(house.metrics.clients.value(), 0);
}

#[tokio::test]
async fn at_the_end_everybody_is_told_1012_and_nobody_can_delay_it() {
    let house = FanoutUnderTest::new().await;
    let mut client = house.authenticated().await;
    let _silent = house.connect(Some(device()), b"").await;
    house.stop.send_replace(true);
    assert_eq!(client.close_code().await, 1012);
    let ended = tokio::time::timeout(Duration::from_secs(2), house.task).await;
    ended.expect("within two seconds").unwrap();
    assert_eq!(house.metrics.clients.value(), 0);
}
