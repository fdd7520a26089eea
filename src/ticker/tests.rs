use super::*;
use crate::feed::connection_status::{ConnectionAction, ConnectionEvent, ConnectionPhase};
use crate::feed::{Connection, ConnectionStatus, Update};
use crate::market::{
    ChannelKind, Cluster, DayStats, Price, Provenance, Quote, QuoteSource, Symbol, Ticker,
    TopOfBook, Trade,
};
use crate::massive::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use crate::massive::websocket::{MarketData, MarketEvent};
use crate::net::failure::Failure;
use crate::net::source::FeedProvider;
use crate::ticker::demand::{SHARES, SHARES_EXTENDED};
use crate::time::Utc;

/// Monday 2026-01-12, 9:35 in New York.
const MONDAY: Utc = Utc(1_768_228_500_000);
const HOUR: i64 = 3_600_000;

fn ticker_state(names: &[&str]) -> TickerState {
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

fn tick(timestamp: Utc) -> Update {
    let event = MarketEvent {
        kind: ChannelKind::Value,
        data: MarketData::Value(price(101)),
        stamp: Some(timestamp),
        age: None,
    };
    Update::Market(Ticker::try_from("I:SPX").unwrap(), event)
}

fn book(ticker: &str, timestamp: Utc) -> Update {
    let event = MarketEvent {
        kind: ChannelKind::Quote,
        data: MarketData::Quote(TopOfBook {
            bid: price(1),
            ask: price(2),
            bid_size: 1,
            ask_size: 1,
        }),
        stamp: Some(timestamp),
        age: None,
    };
    Update::Market(Ticker::try_from(ticker).unwrap(), event)
}

/// Makes the server report the same time as this machine.
fn agree(state: &mut TickerState, now: Now) {
    let update = Update::ServerTime {
        at: now.monotonic,
        utc: now.utc.unwrap(),
    };
    state.on(&update, now);
}

/// Makes the connection of this cluster live.
fn link(state: &mut TickerState, cluster: Cluster, simulated: Option<bool>, now: Now) {
    let status = ConnectionStatus {
        phase: ConnectionPhase::Live,
        reason: None,
        connections: state.link_monitor.link(cluster).connections + 1,
        simulated,
        heard: now.monotonic,
        cut_off: false,
    };
    state.on(&Update::Status(cluster, status), now);
}

fn change_of(state: &TickerState, now: Now) -> Option<Price> {
    let instrument = &state.watchlist.instruments()[0];
    let change = instrument.change(&instrument.quote()?, now)?;
    Some(change.absolute())
}

fn freshness_of(state: &TickerState, now: Now) -> Freshness {
    state.watchlist.freshness(0, now, &state.calendar)
}

#[test]
fn a_rest_quote_is_not_shown_before_the_clock_is_set() {
    let mut state = ticker_state(&["SPX"]);
    state.on(&seed(Some(Utc(MONDAY.0 - 600_000)), None), at(1, None));
    assert_eq!(freshness_of(&state, at(1, None)), Freshness::None);
    assert!(!state.complete(at(1, None)));
    let set = at(2, Some(MONDAY));
    let age = Duration::from_secs(602);
    assert_eq!(freshness_of(&state, set), Freshness::Stale(age));
}

#[test]
fn the_older_of_the_reported_age_and_the_timestamp_of_a_rest_row_counts() {
    let body = |more: &str| {
        format!(
            r#"{{"results":[{{"symbol":"SPX","last":100,"asOf":{},"source":"indices"{more}}}]}}"#,
            MONDAY.0 - 4_000
        )
    };
    let old = Duration::from_secs(1_000_000_000);
    for (more, expected) in [
        ("", None),
        (r#","age":5,"stale":true"#, None),
        (r#","age":600,"stale":true"#, Some(Duration::from_secs(600))),
        (r#","age":600"#, Some(Duration::from_secs(600))),
        (r#","stale":true"#, Some(old)),
    ] {
        let mut state = ticker_state(&["SPX"]);
        let now = at(0, Some(MONDAY));
        agree(&mut state, now);
        let reply = crate::massive::quotes::rows(body(more).as_bytes()).unwrap();
        for seed in reply.seeds {
            state.on(&Update::Seed(Box::new(seed)), now);
        }
        let expected = expected.map_or(Freshness::Live, Freshness::Stale);
        assert_eq!(freshness_of(&state, now), expected, "{more}");
    }
}

#[test]
fn without_a_clock_rest_does_not_replace_a_live_streamed_value() {
    let mut state = ticker_state(&["SPX"]);
    let now = at(1, None);
    state.on(&tick(MONDAY), now);
    state.on(&seed(Some(Utc(MONDAY.0 + 1)), None), now);
    assert_eq!(freshness_of(&state, now), Freshness::Live);
    let shown = state.watchlist.instruments()[0].quote().unwrap();
    assert_eq!(shown.price, price(101));
}

#[test]
fn a_wrong_own_clock_changes_no_freshness_and_is_reported() {
    for off in [-48 * HOUR, -900_000, 45_000, HOUR] {
        let own = |secs| at(secs, Some(Utc(MONDAY.0 + off)));
        let mut state = ticker_state(&["SPX"]);
        link(&mut state, Cluster::Indices, Some(false), own(0));
        let server = |secs: u64| Update::ServerTime {
            at: Moment::from_secs(secs),
            utc: Utc(MONDAY.0 + secs as i64 * 1000),
        };
        state.on(&server(0), own(0));
        for secs in 0..30 {
            state.on(&tick(Utc(MONDAY.0 + secs as i64 * 1000)), own(secs));
        }
        let real = at(30, Some(MONDAY));
        assert_eq!(state.time(Moment::from_secs(30)), real, "{off}");
        assert_eq!(freshness_of(&state, real), Freshness::Live);
        assert_eq!(
            freshness_of(&state, at(50, Some(MONDAY))),
            Freshness::Stale(Duration::from_secs(21))
        );
        let fault = state.time.fault(Moment::from_secs(30)).unwrap();
        assert_eq!(
            (fault.who, fault.off),
            (crate::render::TimeSource::Own, off)
        );
    }
}

#[test]
fn a_late_feed_with_an_unset_or_late_own_clock_is_delayed_without_alerts() {
    for own_off in [None, Some(-900_000)] {
        let own = |secs| at(secs, own_off.map(|off| Utc(MONDAY.0 + off)));
        let mut state = ticker_state(&["SPX"]);
        let mut settings = state.settings().clone();
        settings.alerts = vec![AlertRule {
            place: 0,
            threshold: crate::render::Threshold::Above(price(50)),
            shown: Duration::from_secs(60),
        }];
        state.apply(settings, own(0)).unwrap();
        link(&mut state, Cluster::Indices, Some(false), own(0));
        let server = Update::ServerTime {
            at: Moment::ZERO,
            utc: MONDAY,
        };
        state.on(&server, own(0));
        let row = InstrumentSnapshot {
            delayed: true,
            price: Some(price(100)),
            stamp: Some(Utc(MONDAY.0 - 905_000)),
            ..empty_snapshot("SPX")
        };
        state.on(&Update::Seed(Box::new(row)), own(0));
        for secs in 1..30 {
            let timestamp = Utc(MONDAY.0 - 903_000 + secs as i64 * 1000);
            state.on(&tick(timestamp), own(secs));
            state.draw(own(secs));
            let now = state.time(Moment::from_secs(secs));
            assert_eq!(
                freshness_of(&state, now),
                Freshness::Delayed,
                "{own_off:?} {secs}"
            );
            assert_eq!(state.alerts.on(Moment::from_secs(secs)), None);
        }
    }
}

#[test]
fn a_value_that_a_connection_delays_has_its_true_age_without_a_clock() {
    let own = |secs| at(secs, None);
    let mut state = ticker_state(&["SPX"]);
    link(&mut state, Cluster::Indices, Some(false), own(0));
    for secs in 0..5 {
        state.on(&tick(Utc(MONDAY.0 + secs as i64 * 1000)), own(secs));
    }
    // The machine was suspended for 26 s. The first value after the suspension is from before it.
    state.on(&tick(Utc(MONDAY.0 + 5_000)), own(31));
    assert_eq!(
        freshness_of(&state, own(31)),
        Freshness::Stale(Duration::from_secs(26))
    );
    state.on(&tick(Utc(MONDAY.0 + 31_000)), own(31));
    assert_eq!(freshness_of(&state, own(31)), Freshness::Live);
}

#[test]
fn a_value_that_the_hub_repeats_has_the_age_that_the_hub_reports() {
    // No wall clock and no earlier value: only the hub knows the age.
    let now = at(1, None);
    for (age, freshness) in [
        (Some(9_000), Freshness::Live),
        (Some(29_000), Freshness::Stale(Duration::from_secs(29))),
    ] {
        let mut state = ticker_state(&["SPX"]);
        link(&mut state, Cluster::Indices, Some(false), now);
        let event = MarketEvent {
            kind: ChannelKind::Value,
            data: MarketData::Value(price(101)),
            stamp: Some(MONDAY),
            age: age.map(Duration::from_millis),
        };
        let ticker = Ticker::try_from("I:SPX").unwrap();
        state.on(&Update::Market(ticker, event), now);
        assert_eq!(freshness_of(&state, now), freshness);
    }
}

#[test]
fn a_future_timestamp_does_not_block_the_next_values() {
    let mut state = ticker_state(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    link(&mut state, Cluster::Indices, Some(false), now(0));
    agree(&mut state, now(0));
    state.on(&tick(Utc(MONDAY.0 + 50_000)), now(0));
    for secs in 1..=10 {
        state.on(&tick(now(secs).utc.unwrap()), now(secs));
        let shown = state.watchlist.instruments()[0].quote().unwrap();
        assert_eq!(shown.as_of.stamp, now(secs).utc);
    }
    assert_eq!((state.anomalies().older, state.anomalies().ahead), (0, 1));
}

#[test]
fn a_derived_previous_close_needs_a_value_with_a_known_day() {
    let now = at(0, Some(MONDAY));
    let change = |close, stamp| {
        let mut state = ticker_state(&["SPX"]);
        agree(&mut state, now);
        state.on(&seed(stamp, Some(close)), now);
        state.on(&tick(MONDAY), now);
        change_of(&state, now)
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
fn the_last_trade_of_a_contract_names_the_day_of_its_previous_close_and_range() {
    const CONTRACT: &str = "O:SPY261218C00650000";
    let now = at(0, Some(MONDAY));
    let shown = |traded: Option<Utc>| {
        let mut state = ticker_state(&[CONTRACT]);
        agree(&mut state, now);
        // The quote is of this morning. The other figures are of the day of the last trade.
        state.on(
            &Update::Seed(Box::new(InstrumentSnapshot {
                price: Some(price(100)),
                stamp: Some(MONDAY),
                previous_close: Some(PreviousClose::Told(price(99))),
                trade: traded.map(|stamp| {
                    let (price, size) = (price(100), 1);
                    (Trade { price, size }, Some(stamp))
                }),
                day: DayStats {
                    range: Some((price(90), price(110))),
                    volume: Some(7),
                },
                ..InstrumentSnapshot::empty(Ticker::try_from(CONTRACT).unwrap())
            })),
            now,
        );
        state.on(&book(CONTRACT, MONDAY), now);
        let has_range = state.watchlist.instruments()[0].day(now).range.is_some();
        (change_of(&state, now).is_some(), has_range)
    };
    assert_eq!(shown(None), (false, false));
    assert_eq!(shown(Some(Utc(MONDAY.0 - 72 * HOUR))), (false, false));
    assert_eq!(shown(Some(Utc(MONDAY.0 - 60_000))), (true, true));
}

#[test]
fn each_value_of_the_status_is_simulated_while_a_connection_is() {
    let now = at(0, Some(MONDAY));
    let mut state = ticker_state(&["SPX", "SPY"]);
    link(&mut state, Cluster::Indices, Some(true), now);
    let status = state.display_status(now);
    let simulated: Vec<bool> = status.values.iter().map(|value| value.simulated).collect();
    assert_eq!((simulated, status.simulated), (vec![true, true], true));
}

#[test]
fn a_delayed_feed_is_never_live() {
    let mut state = ticker_state(&["SPX"]);
    state.set_delayed(true);
    for utc in [None, Some(MONDAY), Some(Utc(MONDAY.0 + 900_000))] {
        let now = at(1, utc);
        state.on(&tick(Utc(MONDAY.0 + 1000)), now);
        assert_eq!(freshness_of(&state, now), Freshness::Delayed, "{utc:?}");
    }
}

#[test]
fn contracts_have_a_long_silence_limit_during_trading_hours() {
    let max_silence = |utc| {
        let mut state = ticker_state(&["O:SPY261218C00650000"]);
        agree(&mut state, at(0, Some(utc)));
        state.demand(Cluster::Options, at(0, Some(utc))).max_silence
    };
    assert_eq!(max_silence(MONDAY), Some(Duration::from_secs(300)));
    assert_eq!(max_silence(Utc(MONDAY.0 + 12 * HOUR)), None);
}

/// A proxy keeps its sockets open after the loss of its own upstream connection, answers pings, and
/// connects to the vendor again only for a new client.
#[test]
fn the_connections_to_a_proxy_that_lost_its_upstream_deliver_again_within_30_s_of_the_vendor() {
    const CONTRACT: &str = "O:SPY261218C00650000";
    for (lost, back) in [(30, 40), (30, 75), (31, 150), (33, 600), (47, 1911)] {
        let mut state = ticker_state(&["SPX", CONTRACT]);
        agree(&mut state, at(0, Some(MONDAY)));
        let clusters = [Cluster::Indices, Cluster::Options];
        let mut connections = clusters.map(|_| Connection::new(FeedProvider::Hub, 1));
        let (mut opened, mut returned) = ([0; 2], [None; 2]);
        for second in 0..back + 60 {
            let now = at(second, Some(MONDAY));
            for (nth, cluster) in clusters.into_iter().enumerate() {
                let (connection, demand) = (&mut connections[nth], state.demand(cluster, now));
                connection.set_reports_upstream(false);
                connection.want(&demand.channels, demand.max_silence, now.monotonic);
                while let Some(action) = connection.next(now.monotonic) {
                    if action == ConnectionAction::Open {
                        opened[nth] = second;
                        connection.on(ConnectionEvent::Opened, now.monotonic);
                    }
                }
                connection.on(ConnectionEvent::Heard, now.monotonic);
                if second < lost || second >= back && opened[nth] >= lost {
                    let stamp = Utc(MONDAY.0 + second as i64 * 1000);
                    let update = match cluster {
                        Cluster::Indices => tick(stamp),
                        _ => book(CONTRACT, stamp),
                    };
                    let Update::Market(ticker, event) = &update else {
                        unreachable!()
                    };
                    connection.data(event.kind, ticker, now.monotonic);
                    state.on(&update, now);
                    if second >= back {
                        returned[nth].get_or_insert(second - back);
                    }
                }
                state.on(&Update::Status(cluster, connection.status()), now);
            }
        }
        let within = returned.map(|after| after.is_some_and(|after| after <= 30));
        assert_eq!(
            within, [true; 2],
            "lost at {lost}, back at {back}: {returned:?}"
        );
    }
}

#[test]
fn a_delayed_source_has_a_silence_limit_only_while_session_data_can_arrive() {
    let max_silence = |minutes: i64| {
        let now = at(0, Some(Utc(MONDAY.0 + 60_000 * minutes)));
        let mut state = ticker_state(&["SPX"]);
        state.set_delayed(true);
        agree(&mut state, now);
        state.demand(Cluster::Indices, now).max_silence
    };
    assert_eq!(max_silence(0), None, "at 9:35");
    assert_eq!(max_silence(12), Some(Duration::from_secs(20)));
    assert_eq!(max_silence(6 * 60 + 26), None, "at 16:01");
}

#[test]
fn an_index_is_polled_each_minute_until_its_official_close_must_exist() {
    let closing_time = Utc(MONDAY.0 + 6 * HOUR + 25 * 60_000);
    for (delayed, minutes, expected) in [
        (false, 1, Some(60)),
        (false, 30, Some(60)),
        (false, 31, None),
        (true, 31, Some(60)),
        (true, 48, None),
    ] {
        let now = at(0, Some(Utc(closing_time.0 + 60_000 * minutes)));
        let mut state = ticker_state(&["SPX"]);
        state.set_delayed(delayed);
        agree(&mut state, now);
        let row = InstrumentSnapshot {
            price: Some(price(100)),
            stamp: Some(closing_time),
            is_close: true,
            previous_close: Some(PreviousClose::Told(price(99))),
            delayed,
            ..empty_snapshot("SPX")
        };
        state.on(&Update::Seed(Box::new(row)), now);
        assert_eq!(freshness_of(&state, now), Freshness::Closed);
        let pace = state.poll_intervals(now).next().unwrap();
        assert_eq!(pace, expected.map(Duration::from_secs), "{minutes}");
    }
}

#[test]
fn a_cached_hub_response_from_too_early_does_not_make_a_close() {
    let closing_time = Utc(MONDAY.0 + 6 * HOUR + 25 * 60_000);
    let now = at(0, Some(Utc(closing_time.0 + 120_000)));
    for (age, freshness) in [
        (59, Freshness::Closed),
        (61, Freshness::Stale(Duration::from_secs(150))),
    ] {
        let mut state = ticker_state(&["SPY"]);
        let now = at(300, Some(Utc(now.utc.unwrap().0 - 300_000)));
        agree(&mut state, now);
        let row = InstrumentSnapshot {
            price: Some(price(100)),
            stamp: Some(Utc(closing_time.0 - 30_000)),
            age: Duration::from_secs(age),
            ..empty_snapshot("SPY")
        };
        state.on(&Update::Seed(Box::new(row)), now);
        assert_eq!(freshness_of(&state, now), freshness, "{age}");
    }
}

#[test]
fn rest_is_polled_while_a_connection_is_not_live_and_reconnects_are_counted() {
    let mut state = ticker_state(&["SPX"]);
    let now = |secs| at(secs, Some(Utc(MONDAY.0)));
    agree(&mut state, now(0));
    let mut set_phase = |phase, connections, secs| {
        let now = now(secs);
        let status = ConnectionStatus {
            phase,
            reason: Some(Failure::Lost),
            connections,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        };
        state.on(&Update::Status(Cluster::Indices, status), now);
        if phase == ConnectionPhase::Live {
            state.on(&tick(now.utc.unwrap()), now);
        }
        (state.poll_intervals(now).next().unwrap(), state.returns())
    };
    // Half of the staleness limit, so that REST alone keeps the value fresh.
    let half = Some(Duration::from_secs(5));
    assert_eq!(set_phase(ConnectionPhase::Joining, 0, 0), (half, 0));
    assert_eq!(set_phase(ConnectionPhase::Live, 1, 1), (None, 0));
    assert_eq!(set_phase(ConnectionPhase::Down, 1, 2), (half, 0));
    assert_eq!(set_phase(ConnectionPhase::Live, 2, 3), (None, 1));
    // REST is also polled for a single silent symbol while its connection is live.
    assert_eq!(state.poll_intervals(now(30)).next(), Some(half));
}

fn empty_snapshot(name: &str) -> InstrumentSnapshot {
    let symbol: Symbol = name.parse().unwrap();
    InstrumentSnapshot::empty(Ticker::try_from(symbol.ticker()).unwrap())
}

fn streamed(name: &str, whole: i64, timestamp: Utc) -> Update {
    Update::Market(
        empty_snapshot(name).ticker,
        MarketEvent {
            kind: ChannelKind::Value,
            data: MarketData::Value(price(whole)),
            stamp: Some(timestamp),
            age: None,
        },
    )
}

#[test]
fn a_display_started_on_a_sunday_shows_fridays_close_and_its_change() {
    let (friday, sunday) = (
        Utc(MONDAY.0 - 65 * HOUR - 2_100_000),
        Utc(MONDAY.0 - 20 * HOUR),
    );
    let now = at(5, Some(sunday));
    for name in ["SPX", "SPY"] {
        let mut state = ticker_state(&[name]);
        agree(&mut state, now);
        state.on(
            &Update::Seed(Box::new(InstrumentSnapshot {
                price: Some(price(102)),
                is_close: true,
                stamp: Some(friday),
                previous_close: Some(PreviousClose::Told(price(100))),
                ..empty_snapshot(name)
            })),
            now,
        );
        assert_eq!(freshness_of(&state, now), Freshness::Closed, "{name}");
        assert_eq!(change_of(&state, now), Some(price(2)), "{name}");
        assert_eq!(
            state.poll_intervals(now).collect::<Vec<_>>(),
            [None],
            "{name}"
        );
    }
}

#[test]
fn a_share_is_polled_during_trading_hours_only_without_streamed_values() {
    let mut state = ticker_state(&["SPY"]);
    let at_hour = |hours: i64| at(9, Some(Utc(MONDAY.0 + hours * HOUR)));
    let pace = |state: &mut TickerState, now| {
        agree(state, now);
        state.poll_intervals(now).next().unwrap()
    };
    assert_eq!(pace(&mut state, at_hour(0)), Some(SHARES));
    assert_eq!(pace(&mut state, at_hour(-2)), Some(SHARES_EXTENDED));
    assert_eq!(pace(&mut state, at_hour(8)), Some(SHARES_EXTENDED));
    let now = at_hour(0);
    state.on(&streamed("SPY", 650, now.utc.unwrap()), now);
    assert_eq!(pace(&mut state, now), None);
    let later = at(30, Some(MONDAY));
    assert_eq!(pace(&mut state, later), Some(SHARES));
}

#[test]
fn before_the_open_an_untraded_share_shows_its_close_and_a_traded_share_its_age() {
    let mut state = ticker_state(&["SPY"]);
    let monday = |hours: i64, secs| at(secs, Some(Utc(MONDAY.0 + hours * HOUR)));
    // The last trade on Friday after regular hours was hours before trading ended.
    let friday = Utc(MONDAY.0 - 63 * HOUR);
    let seed = InstrumentSnapshot {
        price: Some(price(650)),
        stamp: Some(friday),
        is_close: true,
        ..empty_snapshot("SPY")
    };
    agree(&mut state, monday(-4, 0));
    state.on(&Update::Seed(Box::new(seed)), monday(-4, 0));
    assert_eq!(freshness_of(&state, monday(-4, 1)), Freshness::Closed);
    let early = monday(-4, 60);
    state.on(&streamed("SPY", 651, early.utc.unwrap()), early);
    assert_eq!(freshness_of(&state, monday(-4, 300)), Freshness::Live);
    let stale = Freshness::Stale(Duration::from_secs(301));
    assert_eq!(freshness_of(&state, monday(-4, 361)), stale);
}

fn market_status(state: crate::market::MarketState, as_of: Utc) -> Update {
    Update::MarketStatus(
        crate::market::MarketStatus {
            groups: [Some(state), Some(state), None, None, None],
            as_of,
        },
        false,
    )
}

#[test]
fn a_recent_market_status_of_the_vendor_overrides_the_calendar() {
    let mut state = ticker_state(&["SPX"]);
    let noon = |secs| at(secs, Some(Utc(MONDAY.0 + 2 * HOUR)));
    link(&mut state, Cluster::Indices, Some(false), noon(0));
    agree(&mut state, noon(0));
    state.on(&streamed("SPX", 5900, noon(55).utc.unwrap()), noon(55));
    assert!(matches!(
        freshness_of(&state, noon(90)),
        Freshness::Stale(_)
    ));
    // Trading ended early at noon, which no table contains. The connection has received other data
    // since.
    let (open, closed) = (
        crate::market::MarketState::Open,
        crate::market::MarketState::Closed,
    );
    state.on(&market_status(open, noon(0).utc.unwrap()), noon(60));
    state.on(&market_status(closed, noon(60).utc.unwrap()), noon(60));
    state.watchlist.heard(Cluster::Indices, noon(90).monotonic);
    assert_eq!(freshness_of(&state, noon(91)), Freshness::Closed);
    assert_eq!(state.demand(Cluster::Indices, noon(91)).max_silence, None);
    assert!(matches!(
        freshness_of(&state, noon(661)),
        Freshness::Stale(_)
    ));
}

#[test]
fn a_market_status_from_the_future_counts_as_a_status_of_now() {
    let mut state = ticker_state(&["SPX"]);
    let noon = |secs| at(secs, Some(Utc(MONDAY.0 + 2 * HOUR)));
    link(&mut state, Cluster::Indices, Some(false), noon(0));
    agree(&mut state, noon(0));
    state.on(&streamed("SPX", 5900, noon(55).utc.unwrap()), noon(55));
    let open = market_status(crate::market::MarketState::Open, noon(0).utc.unwrap());
    state.on(&open, noon(60));
    // The clock of the server is a quarter of an hour ahead.
    let ahead = noon(60 + 900).utc.unwrap();
    let closed = market_status(crate::market::MarketState::Closed, ahead);
    state.on(&closed, noon(60));
    state.watchlist.heard(Cluster::Indices, noon(90).monotonic);
    assert_eq!(freshness_of(&state, noon(91)), Freshness::Closed);
}

#[test]
fn a_denied_symbol_is_polled_rarely_until_a_value_is_streamed() {
    let mut state = ticker_state(&["SPX"]);
    let now = at(0, Some(MONDAY));
    let seed = InstrumentSnapshot {
        denial: Some(crate::market::Denial::NotEntitled),
        ..empty_snapshot("SPX")
    };
    state.on(&Update::Seed(Box::new(seed)), now);
    assert_eq!(state.poll_intervals(now).collect::<Vec<_>>(), [None]);
    assert!(state.complete(now), "nothing more is to come");
    // A symbol with streamed values is served, even if REST denies it.
    state.on(&tick(MONDAY), now);
    assert_eq!(state.watchlist.instruments()[0].denial(), None);
}

#[test]
fn an_expired_contract_is_neither_subscribed_nor_polled() {
    let mut state = ticker_state(&["O:SPY260109C00650000", "O:SPY260112C00650000"]);
    let now = at(0, Some(MONDAY));
    agree(&mut state, now);
    let channels = state.demand(Cluster::Options, now).channels;
    assert!(
        channels
            .iter()
            .all(|channel| channel.ticker.contains("260112"))
    );
    assert_eq!(channels.len(), 3);
    assert_eq!(state.poll_intervals(now).next(), Some(None));
}

#[test]
fn a_crossed_threshold_shows_its_page_for_the_configured_time() {
    let mut state = ticker_state(&["DJI", "NDX", "SPX"]);
    let mut settings = state.settings().clone();
    settings.alerts = vec![AlertRule {
        place: 2,
        threshold: crate::render::Threshold::Above(price(101)),
        shown: Duration::from_secs(60),
    }];
    let now = |secs| at(secs, Some(MONDAY));
    state.apply(settings, now(0)).unwrap();
    agree(&mut state, now(0));
    link(&mut state, Cluster::Indices, Some(false), now(0));
    state.draw(now(1));
    assert_eq!(state.page_spec, Some(PageSpec::Pair(0, Some(1))));
    state.on(&tick(MONDAY), now(2));
    state.draw(now(2));
    assert_eq!(state.page_spec, Some(PageSpec::Pair(2, None)));
    assert!(state.deadline(now(2)) <= Moment::from_millis(2_500));
    state.draw(now(62));
    assert_eq!(state.page_spec, Some(PageSpec::Pair(0, Some(1))));
}

#[test]
fn the_minute_bars_of_a_session_make_the_curve() {
    let mut state = ticker_state(&["SPX"]);
    let now = at(0, Some(MONDAY));
    agree(&mut state, now);
    state.advance(now);
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
    let since = state.days().next().map(|(_, since)| since);
    assert_eq!(since, Some(Utc(MONDAY.0 - 300_000)), "the open, at 9:30");
    let ticker = empty_snapshot("SPX").ticker;
    state.on(
        &Update::Minutes {
            ticker,
            bars,
            simulated: false,
        },
        now,
    );
    let curve = state.watchlist.instruments()[0].minutes().points();
    assert_eq!(curve, [100, 101, 102, 103].map(price));
}

#[test]
fn a_bar_with_an_impossible_timestamp_is_counted_as_an_anomaly() {
    let mut state = ticker_state(&["SPX"]);
    let close = price(100);
    let bar = crate::market::Bar {
        open: close,
        high: close,
        low: close,
        close,
        start: Utc(0),
        end: Utc(60_000),
    };
    let event = MarketEvent {
        kind: ChannelKind::Minute,
        data: MarketData::Bar { bar, volume: None },
        stamp: Some(bar.end),
        age: None,
    };
    state.on(
        &Update::Market(empty_snapshot("SPX").ticker, event),
        at(0, Some(MONDAY)),
    );
    assert_eq!(state.anomalies().absurd, 1);
}

#[test]
fn a_refused_stream_means_no_access_unless_rest_returns_a_value() {
    let mut state = ticker_state(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    link(&mut state, Cluster::Indices, Some(false), now(0));
    agree(&mut state, now(0));
    let channel = crate::market::Channel::parse("V.I:SPX").unwrap();
    let refused = Update::Unanswered {
        channel,
        not_authorized: true,
    };
    state.on(&refused, now(20));
    let denial = |state: &TickerState| state.watchlist.instruments()[0].denial();
    assert_eq!(denial(&state), Some(crate::market::Denial::NotEntitled));
    state.on(&seed(now(21).utc, None), now(21));
    assert_eq!(
        (denial(&state), freshness_of(&state, now(22))),
        (None, Freshness::Live)
    );
}

#[test]
fn simulated_rest_prices_are_marked_and_removed_by_a_real_connection() {
    let mut state = ticker_state(&["SPX"]);
    let now = |secs| at(secs, Some(MONDAY));
    agree(&mut state, now(0));
    // The prices come by REST only, because the WebSocket paths return 404.
    let row = InstrumentSnapshot {
        price: Some(price(100)),
        stamp: now(0).utc,
        simulated: true,
        ..empty_snapshot("SPX")
    };
    state.on(&Update::Seed(Box::new(row)), now(0));
    let simulated = |state: &TickerState| state.watchlist.instruments()[0].simulated();
    assert!(simulated(&state));
    // A proxy sends no greeting. Its first frame shows that the prices are real.
    link(&mut state, Cluster::Indices, Some(false), now(5));
    assert!(!simulated(&state));
    assert_eq!(state.watchlist.instruments()[0].quote(), None);
}

#[test]
fn a_lost_simulated_connection_does_not_mark_later_real_values() {
    let mut state = ticker_state(&["SPX", "SPY"]);
    let now = |secs| at(secs, Some(MONDAY));
    for cluster in [Cluster::Indices, Cluster::Stocks] {
        link(&mut state, cluster, Some(true), now(0));
    }
    // The simulated hub is replaced by the old proxy, which has no WebSocket for shares and no
    // greeting.
    for cluster in [Cluster::Indices, Cluster::Stocks] {
        let status = ConnectionStatus {
            phase: ConnectionPhase::Down,
            ..state.link_monitor.link(cluster)
        };
        state.on(&Update::Status(cluster, status), now(1));
    }
    assert!(state.link_monitor.simulated(), "nobody has spoken since");
    let row = |simulated| InstrumentSnapshot {
        price: Some(price(100)),
        stamp: now(2).utc,
        simulated,
        ..empty_snapshot("SPX")
    };
    state.on(&Update::Seed(Box::new(row(false))), now(2));
    assert!(!state.link_monitor.simulated());
    state.on(&Update::Seed(Box::new(row(true))), now(3));
    assert!(state.link_monitor.simulated());
    link(&mut state, Cluster::Indices, None, now(4));
    assert!(!state.link_monitor.simulated());
}

#[test]
fn a_picture_is_valid_until_its_first_live_value_becomes_stale() {
    let mut state = ticker_state(&["SPX", "VIX"]);
    let validity = |state: &mut TickerState, now: Now| {
        state.draw(now);
        state.good_until(now).since(now.monotonic)
    };
    let now = at(1, Some(MONDAY));
    let no_live_value = Duration::from_secs(90);
    assert_eq!(validity(&mut state, now), no_live_value);
    state.on(&tick(now.utc.unwrap()), now);
    // A value of SPX may be ten seconds old.
    let limit = Duration::from_millis(10_001);
    assert_eq!(validity(&mut state, now), limit);
    let later = at(4, Some(MONDAY));
    assert_eq!(
        validity(&mut state, later),
        limit.checked_sub(Duration::from_secs(3)).unwrap()
    );
    let stale = at(12, Some(MONDAY));
    assert_eq!(validity(&mut state, stale), no_live_value);
}

#[test]
fn a_configured_number_of_decimals_is_shown_and_another_one_redraws_the_price() {
    let now = at(0, Some(MONDAY));
    let mut state = ticker_state(&["SPX"]);
    agree(&mut state, now);
    link(&mut state, Cluster::Indices, Some(false), now);
    state.on(&tick(MONDAY), now);
    let mut pictures = Vec::new();
    for decimals in [None, Some(2), Some(0), Some(4)] {
        let settings = TickerSettings {
            decimals: decimals.map(|decimals| (0, decimals)).into_iter().collect(),
            ..state.settings().clone()
        };
        state.apply(settings, now).unwrap();
        pictures.push(state.draw(now).clone());
    }
    assert_eq!(pictures[0], pictures[1], "two decimals are usual");
    assert_ne!(pictures[1], pictures[2]);
    assert_ne!(pictures[1], pictures[3]);
    assert_ne!(pictures[2], pictures[3]);
}

#[test]
fn the_big_page_has_the_close_and_the_later_price_each_with_its_own_change_and_freshness() {
    let mut state = ticker_state(&["SPY"]);
    let big = TickerSettings {
        pages: vec![PageSpec::Big(0)],
        ..state.settings().clone()
    };
    // One minute before the bell.
    let start = Utc(MONDAY.0 + 6 * HOUR + 24 * 60_000);
    let moment = |secs| at(secs, Some(start));
    state.apply(big, moment(0)).unwrap();
    state.set_described(true);
    agree(&mut state, moment(0));
    link(&mut state, Cluster::Stocks, Some(false), moment(0));
    let calendar = state.calendar;
    (state.watchlist).set_previous_close("SPY", price(80), start, &calendar);
    for (whole, secs) in [(100, 58), (101, 600)] {
        let now = moment(secs);
        agree(&mut state, now);
        state.watchlist.heard(Cluster::Stocks, now.monotonic);
        let provenance = Provenance {
            epoch: state.watchlist.link(Cluster::Stocks).epoch,
            ..Provenance::default()
        };
        let quote = Quote::streamed(price(whole), now.utc, QuoteSource::Tick, provenance, now);
        state.watchlist.value("SPY", quote, now, &calendar);
    }
    let mut words = |secs| {
        let now = moment(secs);
        agree(&mut state, now);
        state.draw(now);
        let until = state.good_until(now);
        (state.take_words(), until.since(now.monotonic))
    };
    let (fresh, until) = words(899);
    assert_eq!(fresh[0], "SPY 100.00 +25.00%, CLOSED");
    assert_eq!(fresh[1], "POST 101.00 +1.00%, live");
    assert!(until <= Duration::from_millis(1_001), "{until:?}");
    let (old, _) = words(901);
    assert_eq!(old[0], "SPY 100.00 +25.00%, CLOSED");
    assert_eq!(old[1], "POST 101.00, struck out: 5m old");
}
