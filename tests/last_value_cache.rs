//! Tests of the last-value cache, for any order of events, subscriptions and slow clients.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use deskticker::hub::Arrival;
use deskticker::hub::broker::delivery::{ClientSlot, Delivery, DeliveryOutcome, PublishOutcome};
use deskticker::hub::broker::last_value::LastValueCache;
use deskticker::market::{Channel, ChannelKind};
use deskticker::time::Moment;
use proptest::prelude::*;
use serde_json::Value;

const TRADES: usize = 8;
const NOW: Moment = Moment::from_secs(60);

/// The events in the frames of the last-value cache: `[{"c":"V.a","n":7},…]`.
fn events(frames: &[u8]) -> Vec<(Channel, u64)> {
    let told = |event: &Value| {
        let channel = Channel::parse(event["c"].as_str().unwrap()).unwrap();
        (channel, event["n"].as_u64().unwrap())
    };
    objects(frames).iter().map(told).collect()
}

fn objects(mut frames: &[u8]) -> Vec<Value> {
    let mut objects = Vec::new();
    while let [0x81, length, ..] = *frames {
        let (start, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
            127 => (
                10,
                u64::from_be_bytes(frames[2..10].try_into().unwrap()) as usize,
            ),
            length => (2, usize::from(length)),
        };
        let value: Vec<Value> = serde_json::from_slice(&frames[start..start + length]).unwrap();
        objects.extend(value);
        frames = &frames[start + length..];
    }
    assert!(frames.is_empty(), "nothing but whole frames");
    objects
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn json(channel: &Channel, number: u64) -> Vec<u8> {
    format!(r#"{{"c":"{channel}","n":{number}}}"#).into_bytes()
}

/// An event with its receive time and its age at that time (both in ms).
fn dated(channel: &Channel, number: u64, arrival: Arrival) -> Vec<u8> {
    let (at, age) = (arrival.at.as_millis(), arrival.age.as_millis());
    let said = if age > 0 {
        format!(r#","age":{age}"#)
    } else {
        String::new()
    };
    format!(r#"{{"c":"{channel}","n":{number},"at":{at},"was":{age}{said}}}"#).into_bytes()
}

/// A model of one client: its subscriptions and the data that it has received.
#[derive(Default)]
struct Client {
    topics: BTreeSet<Channel>,
    has: HashMap<Channel, u64>,
    trades: Vec<u64>,
    held: bool,
    too_slow: bool,
    /// The events that were too old for a replay.
    expired: BTreeSet<u64>,
}

/// The maximum age of a replayed value in ms: the limit of an index, or of a minute bar.
fn repeat_limit(channel: &Channel) -> u64 {
    match channel.kind {
        ChannelKind::Minute => 75_000,
        _ => 10_000,
    }
}

impl Client {
    /// Checks the received events. A replay contains the age of each event. Other frames contain an
    /// age only for events that are older than one second.
    fn receive(&mut self, frames: &[u8], now: Moment, replay: bool) -> Result<(), TestCaseError> {
        for event in objects(frames) {
            let said = event.get("age").and_then(Value::as_u64);
            let was = event["was"].as_u64().unwrap();
            let age = now.as_millis() - event["at"].as_u64().unwrap() + was;
            let channel = Channel::parse(event["c"].as_str().unwrap()).unwrap();
            prop_assert!(!replay || age <= repeat_limit(&channel));
            if replay || age > 1000 {
                prop_assert_eq!(said, Some(age));
            } else {
                // A new event is unchanged.
                prop_assert_eq!(said, Some(was).filter(|was| *was > 0));
            }
        }
        for (channel, number) in events(frames) {
            let held = self.topics.iter().any(|topic| topic.covers(&channel));
            prop_assert!(held, "{channel} was not asked for");
            if channel.kind == ChannelKind::Trade {
                prop_assert!(self.trades.last().is_none_or(|&last| last < number));
                self.trades.push(number);
                continue;
            }
            let before = self.has.insert(channel, number);
            prop_assert!(
                before.is_none_or(|before| before <= number),
                "older after newer"
            );
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join,
    Leave(usize),
    Topics(usize, BTreeSet<usize>),
    Publish(usize),
    Wait(u64),
    Sweep,
    Hold(usize),
    Release(usize),
    Forget,
    Tidy,
}

const NAMES: [&str; 9] = [
    "V.I:A", "V.I:B", "V.I:C", "V.*", "AM.I:A", "AM.*", "T.O:A", "T.O:B", "T.*",
];
const PUBLISHED: [&str; 7] = [
    "V.I:A", "V.I:B", "V.I:C", "AM.I:A", "AM.I:B", "T.O:A", "T.O:B",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0usize..6;
    let topics = prop::collection::btree_set(0..NAMES.len(), 0..4);
    prop::collection::vec(
        prop_oneof![
            2 => Just(Step::Join),
            1 => client.clone().prop_map(Step::Leave),
            4 => (client.clone(), topics).prop_map(|(who, topics)| Step::Topics(who, topics)),
            12 => (0..PUBLISHED.len()).prop_map(Step::Publish),
            4 => (1..2000_u64).prop_map(Step::Wait),
            3 => Just(Step::Sweep),
            2 => client.clone().prop_map(Step::Hold),
            2 => client.prop_map(Step::Release),
            1 => Just(Step::Forget),
            1 => Just(Step::Tidy),
        ],
        0..120,
    )
}

struct World {
    cache: LastValueCache,
    clients: HashMap<ClientSlot, Client>,
    newest: HashMap<Channel, (u64, Arrival)>,
    number: u64,
    now: Moment,
}

impl World {
    fn client_slot(&self, nth: usize) -> Option<ClientSlot> {
        let mut slots: Vec<ClientSlot> = self.clients.keys().copied().collect();
        slots.sort_unstable();
        slots.get(nth).copied()
    }

    fn deliver(&mut self, only: Option<ClientSlot>) -> Result<(), TestCaseError> {
        let mut result = Ok(());
        let (clients, now) = (&mut self.clients, self.now);
        let mut deliver = |client_slot: ClientSlot, news: Delivery<'_>| {
            let client = clients
                .get_mut(&client_slot)
                .expect("a client that is here");
            match news {
                Delivery::Frames(frames, _) if result.is_ok() => {
                    result = client.receive(frames, now, false)
                }
                Delivery::Frames(..) => {}
                Delivery::TooSlow => client.too_slow = true,
            }
            DeliveryOutcome::All
        };
        match only {
            Some(client_slot) => self.cache.release(client_slot, now, &mut deliver),
            None => self.cache.deliver_pending(now, &mut deliver),
        }
        result
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Join => {
                let client_slot = self.cache.join();
                prop_assert!(
                    self.clients
                        .insert(client_slot, Client::default())
                        .is_none()
                );
            }
            Step::Leave(nth) => {
                if let Some(client_slot) = self.client_slot(nth) {
                    self.cache.leave(client_slot);
                    self.clients.remove(&client_slot);
                }
            }
            Step::Topics(nth, topics) => {
                if let Some(client_slot) = self.client_slot(nth) {
                    let topics: BTreeSet<Channel> =
                        topics.iter().map(|&at| channel(NAMES[at])).collect();
                    let client = self.clients.get_mut(&client_slot).unwrap();
                    client.topics = topics.clone();
                    // The model forgets values without a subscription. A new subscription replays
                    // its values.
                    client
                        .has
                        .retain(|channel, _| topics.iter().any(|topic| topic.covers(channel)));
                    for (channel, (number, arrival)) in &self.newest {
                        let age = (self.now.since(arrival.at) + arrival.age).as_millis() as u64;
                        if age > repeat_limit(channel) {
                            client.expired.insert(*number);
                        }
                    }
                    let mut replay = Vec::new();
                    let (topics, now) = (topics.into_iter().collect(), self.now);
                    self.cache.set_topics(client_slot, topics, now, &mut replay);
                    client.receive(&replay, now, true)?;
                }
            }
            Step::Publish(at) => {
                let channel = channel(PUBLISHED[at]);
                self.number += 1;
                let arrival = Arrival {
                    at: self.now,
                    // The age of an event that another hub repeats.
                    age: Duration::from_millis(400 * (self.number % 4)),
                };
                let json = dated(&channel, self.number, arrival);
                let fate = self.cache.publish(&channel, &json, arrival);
                let wanted = self
                    .clients
                    .values()
                    .any(|client| client.topics.iter().any(|topic| topic.covers(&channel)));
                // The cache stores a value without a subscriber as long as its channel exists. It
                // never stores a trade without a subscriber.
                if wanted {
                    prop_assert_ne!(fate, PublishOutcome::Unwanted, "{}", channel);
                } else if channel.kind == ChannelKind::Trade {
                    prop_assert_eq!(fate, PublishOutcome::Unwanted, "{}", channel);
                }
                if channel.kind != ChannelKind::Trade
                    && (wanted || self.newest.contains_key(&channel))
                {
                    self.newest.insert(channel, (self.number, arrival));
                }
                if self.cache.should_flush_trades() {
                    self.deliver(None)?;
                }
            }
            Step::Wait(millis) => self.now = self.now + Duration::from_millis(millis),
            Step::Sweep => self.deliver(None)?,
            Step::Hold(nth) => {
                if let Some(client_slot) = self.client_slot(nth) {
                    self.cache.hold(client_slot);
                    self.clients.get_mut(&client_slot).unwrap().held = true;
                }
            }
            Step::Release(nth) => {
                if let Some(client_slot) = self.client_slot(nth) {
                    self.clients.get_mut(&client_slot).unwrap().held = false;
                    self.deliver(Some(client_slot))?;
                }
            }
            Step::Forget => {
                self.deliver(None)?;
                self.cache.clear_values();
                self.newest.clear();
                for client in self.clients.values_mut() {
                    client.has.clear();
                }
            }
            Step::Tidy => {
                self.cache.retain(|_| false);
                let clients = &self.clients;
                self.newest.retain(|channel, _| {
                    clients
                        .values()
                        .any(|client| client.topics.iter().any(|topic| topic.covers(channel)))
                });
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn every_client_ends_with_the_newest_values_of_its_subscriptions_only(steps in steps()) {
        let mut world = World {
            cache: LastValueCache::new(TRADES),
            clients: HashMap::new(),
            newest: HashMap::new(),
            number: 0,
            now: Moment::from_secs(5),
        };
        for step in steps {
            world.step(step)?;
        }
        let slots: Vec<ClientSlot> = world.clients.keys().copied().collect();
        for client_slot in slots {
            world.deliver(Some(client_slot))?;
        }
        world.deliver(None)?;
        for client in world.clients.values() {
            for (channel, (number, _)) in &world.newest {
                let held = client.topics.iter().any(|topic| topic.covers(channel));
                if held && !client.too_slow && !client.expired.contains(number) {
                    prop_assert_eq!(client.has.get(channel), Some(number), "{}", channel);
                }
            }
        }
    }
}

/// The numbers of the events that a client receives when it is released, or 0 if it is too slow.
fn received(cache: &mut LastValueCache, client_slot: ClientSlot) -> Vec<u64> {
    let mut received = Vec::new();
    cache.release(client_slot, NOW, |_, news| {
        match news {
            Delivery::Frames(frames, _) => {
                received = events(frames).iter().map(|event| event.1).collect()
            }
            Delivery::TooSlow => received = vec![0],
        }
        DeliveryOutcome::All
    });
    received
}

#[test]
fn a_slow_client_receives_the_newest_value_and_every_trade() {
    let mut cache = LastValueCache::new(TRADES);
    let client_slot = cache.join();
    let (value, trade) = (channel("AM.O:A"), channel("T.O:A"));
    cache.set_topics(
        client_slot,
        vec![value.clone(), trade.clone()],
        NOW,
        &mut Vec::new(),
    );
    cache.hold(client_slot);
    for number in 1..=5 {
        cache.publish(&value, &json(&value, number), Arrival::new(NOW));
        cache.publish(&trade, &json(&trade, number), Arrival::new(NOW));
        cache.deliver_pending(NOW, |_, _| panic!("it is held"));
    }
    assert_eq!(received(&mut cache, client_slot), [1, 2, 3, 4, 5, 5]);
}

#[test]
fn one_trade_above_the_limit_makes_only_the_slow_client_too_slow() {
    let mut cache = LastValueCache::new(TRADES);
    let (slow, quick) = (cache.join(), cache.join());
    let trade = channel("T.O:A");
    for client_slot in [slow, quick] {
        cache.set_topics(client_slot, vec![trade.clone()], NOW, &mut Vec::new());
    }
    cache.hold(slow);
    let mut told = Vec::new();
    for number in 1..=TRADES as u64 + 1 {
        cache.publish(&trade, &json(&trade, number), Arrival::new(NOW));
        cache.deliver_pending(NOW, |client_slot, news| {
            told.push((client_slot, matches!(news, Delivery::TooSlow)));
            DeliveryOutcome::All
        });
        assert_eq!(told.contains(&(slow, true)), number > TRADES as u64);
    }
    assert_eq!(
        told.iter().filter(|&&told| told == (quick, false)).count(),
        TRADES + 1
    );
}

#[test]
fn clients_with_the_same_channels_share_one_buffer() {
    let mut cache = LastValueCache::new(TRADES);
    let spx = channel("V.I:SPX");
    for _ in 0..3 {
        let client_slot = cache.join();
        cache.set_topics(client_slot, vec![spx.clone()], NOW, &mut Vec::new());
        cache.publish(&spx, &json(&spx, 1), Arrival::new(NOW));
    }
    let mut at = Vec::new();
    cache.deliver_pending(NOW, |_, news| {
        if let Delivery::Frames(frames, 1) = news {
            at.push(frames.as_ptr());
        }
        DeliveryOutcome::All
    });
    assert_eq!(at.len(), 3);
    assert!(
        at.windows(2).all(|pair| pair[0] == pair[1]),
        "one buffer for all"
    );
}

/// A large event, so that a few channels fill a part of a delivery.
fn large(channel: &Channel, number: u64) -> Vec<u8> {
    let long = "x".repeat(1000);
    format!(r#"{{"c":"{channel}","n":{number},"x":"{long}"}}"#).into_bytes()
}

#[test]
fn a_large_delivery_has_parts_that_fit_into_the_memory_of_a_slow_client() {
    let mut cache = LastValueCache::new(TRADES);
    let first = cache.join();
    cache.set_topics(first, vec![channel("V.*")], NOW, &mut Vec::new());
    for number in 0..2000 {
        let channel = channel(&format!("V.I:{number}"));
        cache.publish(&channel, &large(&channel, number), Arrival::new(NOW));
    }
    let (mut parts, mut seen) = (0, Vec::new());
    while cache.is_dirty() {
        cache.deliver_pending(NOW, |_, news| {
            if let Delivery::Frames(frames, 1) = news {
                assert!(frames.len() < 70_000);
                seen.extend(events(frames));
                parts += 1;
            }
            DeliveryOutcome::All
        });
    }
    assert_eq!((seen.len(), parts), (2000, 32));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 2000);
}

#[test]
fn a_large_replay_has_parts_and_each_of_its_values_has_an_age() {
    let mut cache = LastValueCache::new(TRADES);
    let first = cache.join();
    cache.set_topics(first, vec![channel("V.*")], NOW, &mut Vec::new());
    for number in 0..200 {
        let channel = channel(&format!("V.I:{number}"));
        cache.publish(&channel, &large(&channel, number), Arrival::new(NOW));
    }
    while cache.is_dirty() {
        cache.deliver_pending(NOW, |_, _| DeliveryOutcome::All);
    }
    let (new, mut replay) = (cache.join(), Vec::new());
    let count = cache.set_topics(new, vec![channel("V.*")], NOW, &mut replay);
    assert_eq!((count, replay.len()), (0, 0));
    let mut seen = Vec::new();
    while cache.is_dirty() {
        cache.deliver_pending(NOW, |client_slot, news| {
            if let Delivery::Frames(frames, _) = news {
                assert!(client_slot == new && frames.len() < 70_000);
                seen.extend(objects(frames));
            }
            DeliveryOutcome::All
        });
    }
    assert_eq!(seen.len(), 200);
    for event in &seen {
        assert_eq!(event["age"], 0, "{}", event["c"]);
    }
    // A later event is no replay.
    let spx = channel("V.I:7");
    cache.publish(&spx, &large(&spx, 7777), Arrival::new(NOW));
    let mut later = Vec::new();
    cache.deliver_pending(NOW, |client_slot, news| {
        if let (true, Delivery::Frames(frames, _)) = (client_slot == new, news) {
            later.extend(objects(frames));
        }
        DeliveryOutcome::All
    });
    assert_eq!(later.len(), 1);
    assert_eq!(later[0]["n"], 7777);
    assert!(later[0].get("age").is_none());
}

#[test]
fn a_slow_client_gets_the_newest_value_of_every_channel_although_all_change_in_between() {
    let mut cache = LastValueCache::new(TRADES);
    let (slow, late) = (cache.join(), cache.join());
    let trade = channel("T.O:A");
    let topics = vec![channel("V.*"), trade.clone()];
    cache.set_topics(slow, topics.clone(), NOW, &mut Vec::new());
    let mut number = 0;
    let mut newest = HashMap::new();
    let mut seen: HashMap<(ClientSlot, Channel), u64> = HashMap::new();
    let mut trades = Vec::new();
    let mut publish = |cache: &mut LastValueCache, from: u64, to: u64| {
        for channel_number in from..to {
            number += 1;
            let channel = channel(&format!("V.I:{channel_number}"));
            cache.publish(&channel, &large(&channel, number), Arrival::new(NOW));
            newest.insert(channel, number);
        }
        newest.clone()
    };
    let mut take = |client_slot: ClientSlot, news: Delivery<'_>| {
        let Delivery::Frames(frames, _) = news else {
            panic!("it is not too slow");
        };
        for (channel, number) in events(frames) {
            if channel == trade {
                trades.push((client_slot, number));
                continue;
            }
            let before = seen.insert((client_slot, channel), number);
            assert!(
                before.is_none_or(|before| before <= number),
                "never an older value"
            );
        }
        DeliveryOutcome::Enough
    };
    publish(&mut cache, 0, 300);
    cache.deliver_pending(NOW, &mut take);
    cache.set_topics(late, topics, NOW, &mut Vec::new());
    for round in 0..3 {
        publish(&mut cache, 0, 300 - 100 * round);
        cache.publish(&trade, &json(&trade, round), Arrival::new(NOW));
        cache.deliver_pending(NOW, &mut take);
        cache.release(slow, NOW, &mut take);
        cache.release(late, NOW, &mut take);
    }
    let newest = publish(&mut cache, 7, 9);
    for _ in 0..20 {
        cache.deliver_pending(NOW, &mut take);
        cache.release(slow, NOW, &mut take);
        cache.release(late, NOW, &mut take);
    }
    for client_slot in [slow, late] {
        for (channel, number) in &newest {
            assert_eq!(seen[&(client_slot, channel.clone())], *number, "{channel}");
        }
        let trades = trades.iter().filter(|(slot, _)| *slot == client_slot);
        let trades: Vec<u64> = trades.map(|(_, number)| *number).collect();
        assert_eq!(trades, [0, 1, 2]);
    }
}

#[test]
fn a_fresh_event_is_unchanged_and_a_repeated_event_contains_its_age() {
    let mut cache = LastValueCache::new(TRADES);
    let (first, slow) = (cache.join(), cache.join());
    let spx = channel("V.I:SPX");
    for client_slot in [first, slow] {
        cache.set_topics(client_slot, vec![spx.clone()], NOW, &mut Vec::new());
    }
    cache.hold(slow);
    let written = br#"{ "c" : "V.I:SPX", "n": 1e0 }"#;
    cache.publish(&spx, written, Arrival::new(NOW));
    let mut told = Vec::new();
    cache.deliver_pending(NOW + Duration::from_secs(1), |client_slot, news| {
        assert_eq!(client_slot, first);
        if let Delivery::Frames(frames, 1) = news {
            told = frames[2..].to_vec();
        }
        DeliveryOutcome::All
    });
    assert_eq!(told, [b"[", &written[..], b"]"].concat());

    let later = NOW + Duration::from_secs(29);
    let mut repeated = Vec::new();
    cache.release(slow, later, |_, news| {
        if let Delivery::Frames(frames, 1) = news {
            repeated = objects(frames);
        }
        DeliveryOutcome::All
    });
    assert_eq!(repeated[0]["age"], 29_000);
    let newcomer = cache.join();
    let mut replay = Vec::new();
    cache.set_topics(newcomer, vec![spx.clone()], later, &mut replay);
    assert_eq!(objects(&replay).len(), 0, "the limit of SPX is 10 s");
    let sooner = NOW + Duration::from_secs(10);
    let newcomer = cache.join();
    cache.set_topics(newcomer, vec![spx], sooner, &mut replay);
    assert_eq!(objects(&replay)[0]["age"], 10_000);
}
