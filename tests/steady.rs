//! What runs for months allocates nothing: from the text of a frame to the message on the bus.
#![allow(clippy::unwrap_used)]

mod glass;
mod straight_line;

use deskticker::feed::Update;
use deskticker::market::{Price, Ticker};
use glass::bus::{Quiet, Rig};
use straight_line::{StraightLine, at, bar, value, walk};

/// Seconds before anything is counted: every buffer has been used and the panel has healed.
const WARM: u64 = 300;
const TICKS: u64 = 1_000;

/// A line on which SPX has ticked for [`WARM`] seconds, and VIX once.
fn warm() -> StraightLine<Quiet> {
    let mut line = StraightLine::new(Quiet);
    line.seed([("I:SPX", 58_871_200), ("I:VIX", 168_100)]);
    line.hear(&value("I:VIX", 1_725, at(0)), at(0));
    for (second, price) in (1..=WARM).zip(walk(1, 591_234.0, 35.0)) {
        let now = at(1_000 * second);
        line.heal(now);
        line.hear(&value("I:SPX", price, now), now);
    }
    line
}

/// How often anything was allocated while these texts arrived, one a second.
fn allocations(line: &mut StraightLine<Quiet>, texts: &[String]) -> u64 {
    let counted = allocation_counter::measure(|| {
        for (second, text) in (WARM + 1..).zip(texts) {
            let now = at(1_000 * second);
            line.heal(now);
            line.hear(text, now);
        }
    });
    counted.count_total
}

fn texts(text: impl Fn(u64, i64) -> String) -> Vec<String> {
    let prices = walk(2, 591_234.0, 35.0);
    let seconds = WARM + 1..=WARM + TICKS;
    seconds
        .zip(prices)
        .map(|(at, price)| text(at, price))
        .collect()
}

#[test]
fn a_value_goes_from_its_frame_to_the_glass_without_an_allocation() {
    let texts = texts(|second, price| value("I:SPX", price, at(1_000 * second)));
    let mut line = warm();
    let before = line.picture().clone();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn a_minutes_bar_goes_from_its_frame_to_the_glass_without_an_allocation() {
    let texts = texts(|second, price| bar("I:VIX", price / 300, at(1_000 * second)));
    let mut line = warm();
    let before = line.picture().clone();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn a_frame_of_several_events_costs_no_allocation() {
    let texts = texts(|second, price| {
        let now = at(1_000 * second);
        let (spx, vix) = (value("I:SPX", price, now), value("I:VIX", price / 300, now));
        let foreign = value("I:NDX", price, now);
        [spx, vix, foreign].join(",").replace("],[", ",")
    });
    assert_eq!(allocations(&mut warm(), &texts), 0);
}

#[test]
fn junk_is_counted_without_an_allocation() {
    let kinds = [
        "",
        "no JSON",
        "[",
        "[]",
        "[1,2]",
        "{\"ev\":\"V\"}",
        r#"[{"ev":"V","val":0,"T":"I:SPX","t":1795444200000}]"#,
        r#"[{"ev":"V","val":"much","T":"I:SPX"}]"#,
        r#"[{"ev":"V","T":"I:SPX"}]"#,
        r#"[{"ev":"X"}]"#,
        r#"[{"ev":"LV","val":7.2,"sym":"O:TSLA210903C00700000"}]"#,
    ];
    let texts = texts(|second, _| kinds[second as usize % kinds.len()].to_owned());
    let mut line = warm();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert!(line.junk.iter().sum::<u64>() > TICKS / 2);
}

#[test]
fn a_value_that_grows_old_is_redrawn_without_an_allocation() {
    let mut line = warm();
    let before = line.picture().clone();
    let counted = allocation_counter::measure(|| {
        for second in WARM + 1..=WARM + TICKS {
            let now = at(1_000 * second);
            line.heal(now);
            line.show(now);
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn what_is_sent_is_what_the_glass_shows() {
    let bus = Rig::new();
    let mut line = StraightLine::new(bus.clone());
    for (second, price) in (1..=WARM).zip(walk(3, 591_234.0, 35.0)) {
        let now = at(1_000 * second);
        bus.messages();
        line.hear(&value("I:SPX", price, now), now);
        bus.assert_shows(line.picture());
    }
}

#[test]
fn the_queue_between_session_and_desk_allocates_nothing_once_it_has_been_used() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(256);
    let update = |price| Update::Value {
        ticker: Ticker::try_from("I:SPX").unwrap(),
        price: Price::from_scaled(price),
        stamp: None,
    };
    let mut pass = |count| {
        for price in 1..=count {
            sender.try_send(update(price)).unwrap();
            assert_eq!(receiver.try_recv().unwrap(), update(price));
        }
    };
    pass(300);
    assert_eq!(allocation_counter::measure(|| pass(1_000)).count_total, 0);
}
