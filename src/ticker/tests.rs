use super::*;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::{ConnectionStatus, Update};
use crate::market::{Cluster, Price, Symbol, Ticker};
use crate::massive::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use crate::net::failure::Failure;
use crate::ticker::polling::{SHARES, SHARES_EXTENDED};
use crate::time::Utc;

/// Monday 2026-01-12, 9:35 in New York.
const MONDAY: Utc = Utc(1_768_228_500_000);
const HOUR: i64 = 3_600_000;

fn desk(names: &[&str]) -> TickerState {
    let symbols: Vec<Symbol> = names.iter().map(|name| name.parse().unwrap()).collect();
    let settings = TickerSettings {
        zone: jiff::tz::TimeZone::UTC,
        ..TickerSettings::of(symbols)
    };
    TickerState::new(settings, Calendar::us(), Size::Tall, at(0, None)).unwrap()
}

fn at(secs: u64, utc: Option<Utc>) -> Now {
    Now {
        monotonic: Moment::from_secs(secs),
        utc: utc.map(|utc| Utc(utc.0 + secs as i64 * 1000)),
    }
}

fn price(whole: i64) -> Price {
    Price::from_scaled(whole * Price::SCALE)
}

fn seed(stamp: Option<Utc>, close: Option<PreviousClose>) -> Update {
    Update::Seed(Box::new(InstrumentSnapshot {
        price: Some(price(100)),
        stamp,
        previous_close: close,
        ..InstrumentSnapshot::empty(Ticker::try_from("I:SPX").unwrap())
    }))
}

fn tick(stamp: Utc) -> Update {
    Update::Value {
        ticker: Ticker::try_from("I:SPX").unwrap(),
        price: price(101),
        stamp: Some(stamp),
        age: None,
    }
}

/// Makes the server report the same time as this machine.
fn agree(desk: &mut TickerState, now: Now) {
    let update = Update::ServerTime {
        at: now.monotonic,
        utc: now.utc.unwrap(),
    };
    desk.on(&update, now);
}

/// Makes the connection of this cluster live.
fn link(desk: &mut TickerState, cluster: Cluster, simulated: Option<bool>, now: Now) {
    let status = ConnectionStatus {
        phase: ConnectionPhase::Live,
        reason: None,
        connections: desk.link_monitor.link(cluster).connections + 1,
        simulated,
        heard: now.monotonic,
        cut_off: false,
    };
    desk.on(&Update::Status(cluster, status), now);
}

fn change_of(desk: &TickerState, now: Now) -> Option<Price> {
    let instrument = &desk.watchlist.instruments()[0];
    let change = instrument.change(&instrument.quote()?, now)?;
    Some(change.absolute())
}

fn judged(desk: &TickerState, now: Now) -> Freshness {
    desk.watchlist.freshness(0, now, &desk.calendar)
}

#[test]
fn a_quote_by_rest_is_no_value_until_the_clock_tells_its_age() {
    let mut desk = desk(&["SPX"]);
    desk.on(&seed(Some(Utc(MONDAY.0 - 600_000)), None), at(1, None));
    assert_eq!(judged(&desk, at(1, None)), Freshness::None);
    assert!(!desk.complete(at(1, None)));
    let set = at(2, Some(MONDAY));
    let age = Duration::from_secs(602);
    assert_eq!(judged(&desk, set), Freshness::Stale(age));
}

#[test]
fn what_is_streamed_stays_live_without_a_clock_and_unknown_rest_does_not_replace_it() {
    let mut desk = desk(&["SPX"]);
    let now = at(1, None);
    desk.on(&tick(MONDAY), now);
    desk.on(&seed(Some(Utc(MONDAY.0 + 1)), None), now);
    assert_eq!(judged(&desk, now), Freshness::Live);
    let shown = desk.watchlist.instruments()[0].quote().unwrap();
    assert_eq!(shown.price, price(101));
}

#[test]
fn a_clock_of_its_own_that_is_wrong_closes_nothing_and_is_named() {
    for off in [-48 * HOUR, -900_000, 45_000, HOUR] {
        let own = |secs| at(secs, Some(Utc(MONDAY.0 + off)));
        let mut desk = desk(&["SPX"]);
        link(&mut desk, Cluster::Indices, Some(false), own(0));
        let server = |secs: u64| Update::ServerTime {
            at: Moment::from_secs(secs),
            utc: Utc(MONDAY.0 + secs as i64 * 1000),
        };
        desk.on(&server(0), own(0));
        for secs in 0..30 {
            desk.on(&tick(Utc(MONDAY.0 + secs as i64 * 1000)), own(secs));
        }
        let real = at(30, Some(MONDAY));
        assert_eq!(desk.time(Moment::from_secs(30)), real, "{off}");
        assert_eq!(judged(&desk, real), Freshness::Live);
        assert_eq!(
            judged(&desk, at(50, Some(MONDAY))),
            Freshness::Stale(Duration::from_secs(21))
        );
        let fault = desk.time.fault(Moment::from_secs(30)).unwrap();
        assert_eq!(
            (fault.who, fault.off),
            (crate::render::TimeSource::Own, off)
        );
    }
}

#[test]
fn a_late_feed_beside_an_unset_clock_or_one_that_is_as_late_is_delayed_and_raises_no_alert() {
    for own_off in [None, Some(-900_000)] {
        let own = |secs| at(secs, own_off.map(|off| Utc(MONDAY.0 + off)));
        let mut desk = desk(&["SPX"]);
        let mut settings = desk.settings().clone();
        settings.alerts = vec![AlertRule {
            place: 0,
            threshold: crate::render::Threshold::Above(price(50)),
            shown: Duration::from_secs(60),
        }];
        desk.apply(settings, own(0)).unwrap();
        link(&mut desk, Cluster::Indices, Some(false), own(0));
        let server = Update::ServerTime {
            at: Moment::ZERO,
            utc: MONDAY,
        };
        desk.on(&server, own(0));
        let row = InstrumentSnapshot {
            delayed: true,
            price: Some(price(100)),
            stamp: Some(Utc(MONDAY.0 - 905_000)),
            ..told("SPX")
        };
        desk.on(&Update::Seed(Box::new(row)), own(0));
        for secs in 1..30 {
            let stamp = Utc(MONDAY.0 - 903_000 + secs as i64 * 1000);
            desk.on(&tick(stamp), own(secs));
            desk.draw(own(secs));
            let now = desk.time(Moment::from_secs(secs));
            assert_eq!(judged(&desk, now), Freshness::Delayed, "{own_off:?} {secs}");
            assert_eq!(desk.alerts.on(Moment::from_secs(secs)), None);
        }
    }
}

#[test]
fn what_a_link_holds_back_is_as_old_as_it_is_without_any_clock() {
    let own = |secs| at(secs, None);
    let mut desk = desk(&["SPX"]);
    link(&mut desk, Cluster::Indices, Some(false), own(0));
    for secs in 0..5 {
        desk.on(&tick(Utc(MONDAY.0 + secs as i64 * 1000)), own(secs));
    }
    // The machine was suspended for 26 s. The first value after the suspension is from before it.
    desk.on(&tick(Utc(MONDAY.0 + 5_000)), own(31));
    assert_eq!(
        judged(&desk, own(31)),
        Freshness::Stale(Duration::from_secs(26))
    );
    desk.on(&tick(Utc(MONDAY.0 + 31_000)), own(31));
    assert_eq!(judged(&desk, own(31)), Freshness::Live);
}

#[test]
fn a_stamp_ahead_holds_up_nothing_that_follows() {
    let mut desk = desk(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    link(&mut desk, Cluster::Indices, Some(false), now(0));
    agree(&mut desk, now(0));
    desk.on(&tick(Utc(MONDAY.0 + 50_000)), now(0));
    for secs in 1..=10 {
        desk.on(&tick(now(secs).utc.unwrap()), now(secs));
        let shown = desk.watchlist.instruments()[0].quote().unwrap();
        assert_eq!(shown.as_of.stamp, now(secs).utc);
    }
    assert_eq!((desk.anomalies().older, desk.anomalies().ahead), (0, 1));
}

#[test]
fn a_close_derived_from_a_value_of_no_known_day_is_refused_and_a_named_one_is_of_now() {
    let now = at(0, Some(MONDAY));
    let change = |close, stamp| {
        let mut desk = desk(&["SPX"]);
        agree(&mut desk, now);
        desk.on(&seed(stamp, Some(close)), now);
        desk.on(&tick(MONDAY), now);
        change_of(&desk, now)
    };
    let future = Some(Utc(MONDAY.0 + 9 * HOUR));
    for stamp in [None, Some(Utc(0)), future] {
        assert_eq!(
            change(PreviousClose::Derived(price(99)), stamp),
            None,
            "{stamp:?}"
        );
        assert_eq!(
            change(PreviousClose::Told(price(99)), stamp),
            Some(price(2))
        );
    }
    assert_eq!(
        change(PreviousClose::Derived(price(99)), Some(MONDAY)),
        Some(price(2))
    );
}

#[test]
fn a_feed_that_is_late_by_definition_is_never_live() {
    let mut desk = desk(&["SPX"]);
    desk.set_delayed(true);
    for utc in [None, Some(MONDAY), Some(Utc(MONDAY.0 + 900_000))] {
        let now = at(1, utc);
        desk.on(&tick(Utc(MONDAY.0 + 1000)), now);
        assert_eq!(judged(&desk, now), Freshness::Delayed, "{utc:?}");
    }
}

#[test]
fn contracts_have_a_long_patience_while_they_are_traded() {
    let max_silence = |utc| {
        let mut desk = desk(&["O:SPY261218C00650000"]);
        agree(&mut desk, at(0, Some(utc)));
        desk.demand(Cluster::Options, at(0, Some(utc))).max_silence
    };
    assert_eq!(max_silence(MONDAY), Some(Duration::from_secs(300)));
    assert_eq!(max_silence(Utc(MONDAY.0 + 12 * HOUR)), None);
}

#[test]
fn the_silence_of_a_late_source_is_borne_until_it_can_have_something_of_the_session() {
    let max_silence = |minutes: i64| {
        let now = at(0, Some(Utc(MONDAY.0 + 60_000 * minutes)));
        let mut desk = desk(&["SPX"]);
        desk.set_delayed(true);
        agree(&mut desk, now);
        desk.demand(Cluster::Indices, now).max_silence
    };
    assert_eq!(max_silence(0), None, "at 9:35");
    assert_eq!(max_silence(12), Some(Duration::from_secs(20)));
    assert_eq!(max_silence(6 * 60 + 26), None, "at 16:01");
}

#[test]
fn an_index_is_asked_for_each_minute_until_its_official_close_must_have_come() {
    let bell = Utc(MONDAY.0 + 6 * HOUR + 25 * 60_000);
    for (delayed, minutes, expected) in [
        (false, 1, Some(60)),
        (false, 30, Some(60)),
        (false, 31, None),
        (true, 31, Some(60)),
        (true, 48, None),
    ] {
        let now = at(0, Some(Utc(bell.0 + 60_000 * minutes)));
        let mut desk = desk(&["SPX"]);
        desk.set_delayed(delayed);
        agree(&mut desk, now);
        let row = InstrumentSnapshot {
            price: Some(price(100)),
            stamp: Some(bell),
            is_close: true,
            previous_close: Some(PreviousClose::Told(price(99))),
            delayed,
            ..told("SPX")
        };
        desk.on(&Update::Seed(Box::new(row)), now);
        assert_eq!(judged(&desk, now), Freshness::Closed);
        let pace = desk.poll_intervals(now).next().unwrap();
        assert_eq!(pace, expected.map(Duration::from_secs), "{minutes}");
    }
}

#[test]
fn an_answer_that_a_hub_repeats_says_only_what_was_the_last_value_then() {
    let bell = Utc(MONDAY.0 + 6 * HOUR + 25 * 60_000);
    let now = at(0, Some(Utc(bell.0 + 120_000)));
    for (age, freshness) in [
        (59, Freshness::Closed),
        (61, Freshness::Stale(Duration::from_secs(150))),
    ] {
        let mut desk = desk(&["SPY"]);
        let now = at(300, Some(Utc(now.utc.unwrap().0 - 300_000)));
        agree(&mut desk, now);
        let row = InstrumentSnapshot {
            price: Some(price(100)),
            stamp: Some(Utc(bell.0 - 30_000)),
            age: Duration::from_secs(age),
            ..told("SPY")
        };
        desk.on(&Update::Seed(Box::new(row)), now);
        assert_eq!(judged(&desk, now), freshness, "{age}");
    }
}

#[test]
fn rest_is_needed_while_a_link_is_not_live_and_its_return_is_counted() {
    let mut desk = desk(&["SPX"]);
    let now = |secs| at(secs, Some(Utc(MONDAY.0)));
    agree(&mut desk, now(0));
    let mut tell = |phase, connections, secs| {
        let now = now(secs);
        let status = ConnectionStatus {
            phase,
            reason: Some(Failure::Lost),
            connections,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        };
        desk.on(&Update::Status(Cluster::Indices, status), now);
        if phase == ConnectionPhase::Live {
            desk.on(&tick(now.utc.unwrap()), now);
        }
        (desk.poll_intervals(now).next().unwrap(), desk.returns())
    };
    // Half of the staleness limit, so that REST alone keeps the value fresh.
    let half = Some(Duration::from_secs(5));
    assert_eq!(tell(ConnectionPhase::Joining, 0, 0), (half, 0));
    assert_eq!(tell(ConnectionPhase::Live, 1, 1), (None, 0));
    assert_eq!(tell(ConnectionPhase::Down, 1, 2), (half, 0));
    assert_eq!(tell(ConnectionPhase::Live, 2, 3), (None, 1));
    // REST is also polled for a single silent symbol while its connection is live.
    assert_eq!(desk.poll_intervals(now(30)).next(), Some(half));
}

fn told(name: &str) -> InstrumentSnapshot {
    let symbol: Symbol = name.parse().unwrap();
    InstrumentSnapshot::empty(Ticker::try_from(symbol.ticker()).unwrap())
}

fn streamed(name: &str, whole: i64, stamp: Utc) -> Update {
    Update::Value {
        ticker: told(name).ticker,
        price: price(whole),
        stamp: Some(stamp),
        age: None,
    }
}

#[test]
fn a_display_started_on_a_sunday_shows_fridays_close_and_its_change() {
    let (friday, sunday) = (
        Utc(MONDAY.0 - 65 * HOUR - 2_100_000),
        Utc(MONDAY.0 - 20 * HOUR),
    );
    let now = at(5, Some(sunday));
    for name in ["SPX", "SPY"] {
        let mut desk = desk(&[name]);
        agree(&mut desk, now);
        desk.on(
            &Update::Seed(Box::new(InstrumentSnapshot {
                price: Some(price(102)),
                is_close: true,
                stamp: Some(friday),
                previous_close: Some(PreviousClose::Told(price(100))),
                ..told(name)
            })),
            now,
        );
        assert_eq!(judged(&desk, now), Freshness::Closed, "{name}");
        assert_eq!(change_of(&desk, now), Some(price(2)), "{name}");
        assert_eq!(
            desk.poll_intervals(now).collect::<Vec<_>>(),
            [None],
            "{name}"
        );
    }
}

#[test]
fn a_share_is_asked_for_often_while_it_is_traded_and_not_at_all_while_it_streams() {
    let mut desk = desk(&["SPY"]);
    let at_hour = |hours: i64| at(9, Some(Utc(MONDAY.0 + hours * HOUR)));
    let pace = |desk: &mut TickerState, now| {
        agree(desk, now);
        desk.poll_intervals(now).next().unwrap()
    };
    assert_eq!(pace(&mut desk, at_hour(0)), Some(SHARES));
    assert_eq!(pace(&mut desk, at_hour(-2)), Some(SHARES_EXTENDED));
    assert_eq!(pace(&mut desk, at_hour(8)), Some(SHARES_EXTENDED));
    let now = at_hour(0);
    desk.on(&streamed("SPY", 650, now.utc.unwrap()), now);
    assert_eq!(pace(&mut desk, now), None);
    let later = at(30, Some(MONDAY));
    assert_eq!(pace(&mut desk, later), Some(SHARES));
}

#[test]
fn a_share_without_a_trade_before_the_open_shows_its_close_and_a_live_one_its_age() {
    let mut desk = desk(&["SPY"]);
    let monday = |hours: i64, secs| at(secs, Some(Utc(MONDAY.0 + hours * HOUR)));
    // The last trade on Friday after regular hours was hours before trading ended.
    let friday = Utc(MONDAY.0 - 63 * HOUR);
    let seed = InstrumentSnapshot {
        price: Some(price(650)),
        stamp: Some(friday),
        is_close: true,
        ..told("SPY")
    };
    agree(&mut desk, monday(-4, 0));
    desk.on(&Update::Seed(Box::new(seed)), monday(-4, 0));
    assert_eq!(judged(&desk, monday(-4, 1)), Freshness::Closed);
    let early = monday(-4, 60);
    desk.on(&streamed("SPY", 651, early.utc.unwrap()), early);
    assert_eq!(judged(&desk, monday(-4, 300)), Freshness::Live);
    let stale = Freshness::Stale(Duration::from_secs(301));
    assert_eq!(judged(&desk, monday(-4, 361)), stale);
}

#[test]
fn the_vendors_word_on_its_markets_overrules_the_table_while_it_is_young() {
    let status = |state, as_of| {
        Update::Market(
            crate::market::MarketStatus {
                shares: Some(state),
                s_and_p: Some(state),
                cboe: None,
                nasdaq: None,
                dow_jones: None,
                as_of,
            },
            false,
        )
    };
    let mut desk = desk(&["SPX"]);
    let noon = |secs| at(secs, Some(Utc(MONDAY.0 + 2 * HOUR)));
    link(&mut desk, Cluster::Indices, Some(false), noon(0));
    agree(&mut desk, noon(0));
    desk.on(&streamed("SPX", 5900, noon(55).utc.unwrap()), noon(55));
    assert!(matches!(judged(&desk, noon(90)), Freshness::Stale(_)));
    // Trading ended early at noon, which no table contains. The connection has received other data
    // since.
    let (open, closed) = (
        crate::market::MarketState::Open,
        crate::market::MarketState::Closed,
    );
    desk.on(&status(open, noon(0).utc.unwrap()), noon(60));
    desk.on(&status(closed, noon(60).utc.unwrap()), noon(60));
    desk.watchlist.heard(Cluster::Indices, noon(90).monotonic);
    assert_eq!(judged(&desk, noon(91)), Freshness::Closed);
    assert_eq!(desk.demand(Cluster::Indices, noon(91)).max_silence, None);
    assert!(matches!(judged(&desk, noon(661)), Freshness::Stale(_)));
}

#[test]
fn what_the_vendor_does_not_serve_is_said_and_asked_for_now_and_then() {
    let mut desk = desk(&["SPX"]);
    let now = at(0, Some(MONDAY));
    let seed = InstrumentSnapshot {
        denial: Some(crate::market::Denial::NotEntitled),
        ..told("SPX")
    };
    desk.on(&Update::Seed(Box::new(seed)), now);
    assert_eq!(desk.poll_intervals(now).collect::<Vec<_>>(), [None]);
    assert!(desk.complete(now), "nothing more is to come");
    // A symbol with streamed values is served, even if REST denies it.
    desk.on(&tick(MONDAY), now);
    assert_eq!(desk.watchlist.instruments()[0].denial(), None);
}

#[test]
fn an_expired_contract_is_neither_subscribed_nor_asked_for() {
    let mut desk = desk(&["O:SPY260109C00650000", "O:SPY260112C00650000"]);
    let now = at(0, Some(MONDAY));
    agree(&mut desk, now);
    let channels = desk.demand(Cluster::Options, now).channels;
    assert!(
        channels
            .iter()
            .all(|channel| channel.ticker.contains("260112"))
    );
    assert_eq!(channels.len(), 3);
    assert_eq!(desk.poll_intervals(now).next(), Some(None));
}

#[test]
fn a_crossed_threshold_brings_its_page_to_the_front_for_its_time() {
    let mut desk = desk(&["DJI", "NDX", "SPX"]);
    let mut settings = desk.settings().clone();
    settings.alerts = vec![AlertRule {
        place: 2,
        threshold: crate::render::Threshold::Above(price(101)),
        shown: Duration::from_secs(60),
    }];
    let now = |secs| at(secs, Some(MONDAY));
    desk.apply(settings, now(0)).unwrap();
    agree(&mut desk, now(0));
    link(&mut desk, Cluster::Indices, Some(false), now(0));
    desk.draw(now(1));
    assert_eq!(desk.page_spec, Some(PageSpec::Pair(0, Some(1))));
    desk.on(&tick(MONDAY), now(2));
    desk.draw(now(2));
    assert_eq!(desk.page_spec, Some(PageSpec::Pair(2, None)));
    assert!(desk.deadline(now(2)) <= Moment::from_millis(2_500));
    desk.draw(now(62));
    assert_eq!(desk.page_spec, Some(PageSpec::Pair(0, Some(1))));
}

#[test]
fn the_sessions_minutes_make_the_curve_and_come_back_with_a_refill() {
    let mut desk = desk(&["SPX"]);
    let now = at(0, Some(MONDAY));
    agree(&mut desk, now);
    desk.advance(now);
    let bars: Box<[crate::market::Bar]> = (0..4)
        .map(|minute| {
            let start = Utc(MONDAY.0 - 300_000 + minute * 60_000);
            let close = price(100 + minute);
            crate::market::Bar {
                open: close,
                high: close,
                low: close,
                close,
                start,
                end: Utc(start.0 + 60_000),
            }
        })
        .collect();
    let since = desk.days().next().map(|(_, since)| since);
    assert_eq!(since, Some(Utc(MONDAY.0 - 300_000)), "the open, at 9:30");
    let ticker = told("SPX").ticker;
    desk.on(
        &Update::Minutes {
            ticker,
            bars,
            simulated: false,
        },
        now,
    );
    let curve = desk.watchlist.instruments()[0].curve();
    assert_eq!(curve, [100, 101, 102, 103].map(price));
}

#[test]
fn a_bar_with_a_stamp_that_can_be_none_is_counted_as_odd() {
    let mut desk = desk(&["SPX"]);
    let close = price(100);
    let bar = crate::market::Bar {
        open: close,
        high: close,
        low: close,
        close,
        start: Utc(0),
        end: Utc(60_000),
    };
    let update = Update::Bar {
        ticker: told("SPX").ticker,
        kind: crate::market::ChannelKind::Minute,
        bar,
        volume: None,
        age: None,
    };
    desk.on(&update, at(0, Some(MONDAY)));
    assert_eq!(desk.anomalies().absurd, 1);
}

#[test]
fn what_the_vendor_refuses_to_stream_has_no_access_unless_rest_has_it() {
    let mut desk = desk(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    link(&mut desk, Cluster::Indices, Some(false), now(0));
    agree(&mut desk, now(0));
    let channel = crate::market::Channel::parse("V.I:SPX").unwrap();
    let refused = Update::Unanswered {
        channel,
        not_authorized: true,
    };
    desk.on(&refused, now(20));
    let denial = |desk: &TickerState| desk.watchlist.instruments()[0].denial();
    assert_eq!(denial(&desk), Some(crate::market::Denial::NotEntitled));
    desk.on(&seed(now(21).utc, None), now(21));
    assert_eq!(
        (denial(&desk), judged(&desk, now(22))),
        (None, Freshness::Live)
    );
}

#[test]
fn simulated_prices_wear_demo_by_whatever_way_they_came_and_are_gone_with_their_source() {
    let mut desk = desk(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    agree(&mut desk, now(0));
    // The prices come by REST only, because the WebSocket paths return 404.
    let row = InstrumentSnapshot {
        price: Some(price(100)),
        stamp: now(0).utc,
        simulated: true,
        ..told("SPX")
    };
    desk.on(&Update::Seed(Box::new(row)), now(0));
    let simulated = |desk: &TickerState| desk.watchlist.instruments()[0].simulated();
    assert!(simulated(&desk));
    // A proxy sends no greeting. Its first frame shows that the prices are real.
    link(&mut desk, Cluster::Indices, Some(false), now(5));
    assert!(!simulated(&desk));
    assert_eq!(desk.watchlist.instruments()[0].quote(), None);
}

#[test]
fn a_link_that_is_gone_says_demo_of_nothing_that_somebody_else_tells() {
    let mut desk = desk(&["SPX", "SPY"]);
    let now = |secs| at(secs, Some(MONDAY));
    for cluster in [Cluster::Indices, Cluster::Stocks] {
        link(&mut desk, cluster, Some(true), now(0));
    }
    // The simulated hub is replaced by the old proxy, which has no WebSocket for shares and no
    // greeting.
    for cluster in [Cluster::Indices, Cluster::Stocks] {
        let status = ConnectionStatus {
            phase: ConnectionPhase::Down,
            ..desk.link_monitor.link(cluster)
        };
        desk.on(&Update::Status(cluster, status), now(1));
    }
    assert!(desk.link_monitor.simulated(), "nobody has spoken since");
    let row = |simulated| InstrumentSnapshot {
        price: Some(price(100)),
        stamp: now(2).utc,
        simulated,
        ..told("SPX")
    };
    desk.on(&Update::Seed(Box::new(row(false))), now(2));
    assert!(!desk.link_monitor.simulated());
    desk.on(&Update::Seed(Box::new(row(true))), now(3));
    assert!(desk.link_monitor.simulated());
    link(&mut desk, Cluster::Indices, None, now(4));
    assert!(!desk.link_monitor.simulated());
}

#[test]
fn a_picture_is_good_until_the_first_plain_value_on_it_grows_old() {
    let mut desk = desk(&["SPX", "VIX"]);
    let good = |desk: &mut TickerState, now: Now| {
        desk.draw(now);
        desk.good_until(now).since(now.monotonic)
    };
    let now = at(1, Some(MONDAY));
    let nothing_plain = Duration::from_secs(90);
    assert_eq!(good(&mut desk, now), nothing_plain);
    desk.on(&tick(now.utc.unwrap()), now);
    // A value of SPX may be ten seconds old.
    let limit = Duration::from_millis(10_001);
    assert_eq!(good(&mut desk, now), limit);
    let later = at(4, Some(MONDAY));
    assert_eq!(
        good(&mut desk, later),
        limit.checked_sub(Duration::from_secs(3)).unwrap()
    );
    let stale = at(12, Some(MONDAY));
    assert_eq!(good(&mut desk, stale), nothing_plain);
}
