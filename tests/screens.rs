//! Tests of the pictures of a pair of prices, in each state and for both display sizes.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use deskticker::market::{DayStats, Denial, Freshness, NumberFormat, SessionPart};
use deskticker::render::{
    AlertView, Format, InstrumentView, LinkIcon, PageView, Size, Threshold, View, WIDTH,
};

use views::goldens::{Album, FRESHNESSES};
use views::{
    SIGNS, SIZES, drawn, line, lines, option, ordinary, price, sheet, stale, symbol, view, waiting,
    walk,
};

#[test]
fn a_pair_in_each_freshness_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let base = ordinary(&history);
    let mut album = Album::new("pair-freshness");
    album.add_each_freshness("both ", base);
    for (name, freshness) in &FRESHNESSES[1..] {
        for (which, at) in [("first", 0), ("second", 1)] {
            let mut view = base;
            lines(&mut view)[at].freshness = *freshness;
            album.add(&format!("the {which} {name}"), view);
        }
    }
    let simulated = View {
        simulated: true,
        ..base
    };
    album.add_each_freshness("simulated, ", simulated);
    album.check();
}

#[test]
fn a_pair_in_each_state_of_link_and_clock_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let base = ordinary(&history);
    let mut album = Album::new("pair-states");
    for sign in SIGNS {
        album.add(&format!("{sign:?}").to_lowercase(), View { sign, ..base });
    }
    album.add("clock not set", View { time: None, ..base });
    let start = View {
        time: None,
        sign: LinkIcon::Joining,
        ..view(PageView::Pair(waiting("SPX"), Some(waiting("VIX"))))
    };
    album.add("nothing known yet", start);
    let alone = view(PageView::Pair(
        line("SPX", 5912.41, 5887.61, &history),
        None,
    ));
    album.add_each_freshness("alone, ", alone);
    let misconfigured = View {
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("misconfigured, ", misconfigured);
    for (name, points) in [
        ("young", walk(20, 5912.41)),
        ("flat", vec![price(5912.41); 30]),
    ] {
        let points: &[_] = points.leak();
        album.add(&format!("{name} history"), ordinary(points));
    }
    album.check();
}

fn range(low: f64, high: f64) -> DayStats {
    DayStats {
        range: Some((price(low), price(high))),
        volume: None,
    }
}

#[test]
fn every_expired_contract_matches_its_golden_picture() {
    let history = walk(100, 12.34);
    let [spy, long] = ["O:SPY251219C00650000", "O:ABCDEF251219P00652500"].map(symbol);
    let mut album = Album::new("expired");
    let contracts = PageView::Pair(
        option(&spy, 12.34, 12.0, &history),
        Some(option(&long, 1_234.5, 1_200.0, &[])),
    );
    let mixed = PageView::Pair(
        line("SPX", 5912.41, 5887.61, &history),
        Some(option(&spy, 12.34, 12.0, &[])),
    );
    let alone = PageView::Big(option(&spy, 12.34, 12.0, &history), range(11.9, 13.05));
    let unknown = PageView::Pair(option(&spy, 12.34, 12.0, &[]), None);
    for (name, page) in [
        ("both", contracts),
        ("the second", mixed),
        ("alone", alone),
        ("nothing known", unknown),
    ] {
        let mut view = view(page);
        for line in lines(&mut view) {
            line.expired = line.contract.is_some();
            if name == "nothing known" {
                (line.price, line.freshness) = (None, Freshness::None);
            }
        }
        album.add(name, view);
        let worst = View {
            simulated: true,
            misconfigured: true,
            ..view
        };
        album.add(&format!("{name}, simulated and misconfigured"), worst);
    }
    album.check();
}

#[test]
fn a_pair_of_extreme_numbers_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let mut album = Album::new("pair-numbers");
    let numbers = [
        ("six digits", 123_456.78, 123_000.0, 3_988.0, 4_010.0),
        ("tiny", 0.0001, 0.0002, 0.05, 0.05),
        ("fallen", 87.66, 100.0, -12.34, -10.0),
        (
            "largest",
            99_999_999.99,
            50_000_000.0,
            99_999_999.99,
            50_000_000.0,
        ),
        ("most negative", -99_999_999.99, -1.0, -99_999_999.99, -1.0),
        ("risen wildly", 5000.0, 1.0, 500.0, 1.0),
    ];
    for (name, first, before, second, then) in numbers {
        let mut view = view(PageView::Pair(
            line("SPX", first, before, &history),
            Some(line("VIX", second, then, &[])),
        ));
        album.add(name, view);
        let mut both = lines(&mut view);
        both[0].freshness = stale(12);
        both[1].freshness = Freshness::Closed;
        album.add(&format!("{name}, stale and closed"), view);
    }
    let styles = [
        ("points", Some(b'.'), b','),
        ("spaces", Some(b' '), b','),
        ("apostrophes", Some(b'\''), b'.'),
        ("nothing", None, b'.'),
    ];
    for (name, group, point) in styles {
        let mut view = view(PageView::Pair(
            line("SPX", 5912.41, 5887.61, &history),
            Some(line("NDX", 21_345.67, 21_400.0, &[])),
        ));
        view.format.numbers = NumberFormat { group, point };
        album.add(&format!("{name} between thousands"), view);
        lines(&mut view)[1].freshness = stale(12);
        lines(&mut view)[0].freshness = stale(12);
        album.add(&format!("{name} between thousands, stale"), view);
    }
    for (name, time) in [
        ("afternoon", (14, 32)),
        ("midnight", (0, 5)),
        ("noon", (12, 59)),
    ] {
        let twelve = View {
            time: Some(time),
            format: Format {
                twelve_hours: true,
                ..Format::default()
            },
            ..ordinary(&history)
        };
        album.add(&format!("{name} in twelve hours"), twelve);
    }
    album.check();
}

#[test]
fn every_number_of_decimals_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let mut album = Album::new("decimals");
    let pair = |first: (f64, f64), second: (f64, f64), decimals| {
        let mut page = view(PageView::Pair(
            line("SPX", first.0, first.1, &history),
            Some(line("VIX", second.0, second.1, &[])),
        ));
        for line in lines(&mut page) {
            line.decimals = decimals;
        }
        page
    };
    let big = |(now, before): (f64, f64), decimals| {
        let spx = line("SPX", now, before, &history);
        let line = InstrumentView { decimals, ..spx };
        view(PageView::Big(line, range(now * 0.998, now)))
    };
    let (spx, vix) = ((5912.3456, 5887.6), (17.2549, 17.4812));
    for decimals in 0..=4 {
        album.add(&format!("{decimals}"), pair(spx, vix, decimals));
        album.add(&format!("{decimals}, big"), big(spx, decimals));
    }
    let contract = |now: f64, decimals| {
        let mut sheet = sheet(&spy, &history);
        sheet.line.price = Some(price(now));
        sheet.line.decimals = decimals;
        let book = sheet.book.as_mut().unwrap();
        (book.bid, book.ask) = (price(now - 0.0125), price(now + 0.0125));
        view(PageView::Contract(sheet))
    };
    album.add("0, contract", contract(12.3456, 0));
    album.add("4, contract", contract(12.3456, 4));
    album.add("4, contract of six digits", contract(123_456.789_1, 4));
    let largest = 99_999_999.999_9;
    for (name, first, second) in [
        ("around 1", (0.9987, 1.0012), (1.0012, 0.9987)),
        (
            "six digits",
            (123_456.789_1, 123_000.0),
            (-123_456.789_1, -123_000.0),
        ),
        ("largest", (largest, 1.0), (-largest, -1.0)),
    ] {
        let mut page = pair(first, second, 4);
        album.add(&format!("4, {name}"), page);
        album.add(&format!("4, {name}, big"), big(first, 4));
        let mut both = lines(&mut page);
        both[0].freshness = stale(12);
        both[1].freshness = Freshness::Delayed;
        album.add(&format!("4, {name}, stale and delayed"), page);
        page.alert = Some(AlertView {
            label: "SPX",
            threshold: Threshold::Above(price(first.0)),
            decimals: 4,
            lit: true,
        });
        album.add(&format!("4, {name}, alert"), page);
    }
    album.check();
}

#[test]
fn a_price_that_crosses_1_keeps_its_digits_in_their_places() {
    let history = walk(100, 1.0);
    let columns = |now: f64| {
        let nvda = line("ABCD", now, 1.0, &history);
        let line = InstrumentView {
            decimals: 4,
            change: None,
            ..nvda
        };
        let frame = drawn(&view(PageView::Pair(line, None)), Size::Tall);
        let lit = |x: &usize| (8..40).any(|y| frame.lit(*x, y));
        let columns: Vec<usize> = (0..WIDTH).filter(lit).collect();
        (columns[0], columns[columns.len() - 1])
    };
    // The digits 8 and 0 have equal widths.
    assert_eq!(columns(0.8888), columns(8.0008));
}

#[test]
fn every_value_of_zero_or_below_matches_its_golden_picture() {
    let history: Vec<_> = walk(100, 500.0)
        .iter()
        .map(|point| price(point.as_f64() - 500.0))
        .collect();
    let mut album = Album::new("negative");
    for (name, first, before, second, then) in [
        ("below zero", -311.0, 312.0, -2_311.25, -2_310.0),
        ("zero", 0.0, 312.0, 0.0, 0.0),
        ("thousands below zero", -1_313.5, -1_000.0, -12_311.25, 0.0),
        (
            "tens of thousands below zero",
            -21_313.5,
            -1_000.0,
            -0.25,
            100.0,
        ),
    ] {
        let mut pair = view(PageView::Pair(
            line("TICK", first, before, &history),
            Some(line("ADVN", second, then, &[])),
        ));
        let mut big = view(PageView::Big(
            line("TICK", first, before, &history),
            range(-1_400.0, 1_250.0),
        ));
        album.add(name, pair);
        album.add(&format!("{name}, alone"), big);
        for line in lines(&mut pair).into_iter().chain(lines(&mut big)) {
            line.freshness = stale(12);
        }
        album.add(&format!("{name}, stale"), pair);
        album.add(&format!("{name}, alone, stale"), big);
    }
    album.check();
}

#[test]
fn every_change_that_rounds_to_zero_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let mut album = Album::new("changes");
    for (name, now, before) in [
        ("down by 0.003 percent", 5912.23, 5912.41),
        ("up by 0.003 percent", 5912.41, 5912.23),
        ("no change", 5912.41, 5912.41),
        ("down by 0.005 percent", 5912.11, 5912.41),
    ] {
        let spx = line("SPX", now, before, &history);
        album.add(
            name,
            view(PageView::Pair(
                spx,
                Some(line("NDX", now * 3.0, before * 3.0, &[])),
            )),
        );
        album.add(
            &format!("{name}, alone"),
            view(PageView::Big(spx, range(5880.12, 5930.55))),
        );
    }
    album.check();
}

#[test]
fn a_pair_of_long_names_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let [spy, next, long, spxw] = [
        "O:SPY251219C00650000",
        "O:SPY260116C00650000",
        "O:ABCDEF251219P00652500",
        "O:SPXW251219C06000000",
    ]
    .map(symbol);
    let mut album = Album::new("pair-names");
    let options = view(PageView::Pair(
        option(&spy, 12.34, 12.0, &history),
        Some(option(&next, 15.8, 15.2, &[])),
    ));
    album.add_each_freshness("two expiries, ", options);
    let simulated = View {
        simulated: true,
        misconfigured: true,
        ..options
    };
    album.add_each_freshness("two expiries, simulated and misconfigured, ", simulated);
    let long = view(PageView::Pair(
        option(&long, 1234.5, 1200.0, &history),
        Some(option(&spxw, 1234.5, 1200.0, &[])),
    ));
    album.add("long", long);
    let mixed = view(PageView::Pair(
        line("SPX", 5912.41, 5887.61, &history),
        Some(option(&spxw, 84.6, 82.0, &[])),
    ));
    album.add("index and option", mixed);
    let foreign = view(PageView::Pair(
        line("ÜBERLANGERNAME", 12.34, 12.0, &history),
        Some(line("LONGERTHANTHAT", 3988.0, 4000.0, &[])),
    ));
    album.add("foreign", foreign);
    album.check();
}

#[test]
fn a_pair_of_shares_matches_its_golden_picture() {
    let history = walk(100, 650.0);
    let mut base = view(PageView::Pair(
        line("SPY", 650.12, 647.3, &history),
        Some(line("NVDA", 187.9, 190.02, &[])),
    ));
    let mut album = Album::new("pair-shares");
    for (name, part) in [
        ("pre", SessionPart::Pre),
        ("regular", SessionPart::Regular),
        ("post", SessionPart::Post),
        ("outside", SessionPart::Outside),
    ] {
        for line in lines(&mut base) {
            line.part = Some(part);
        }
        album.add(name, base);
    }
    let mut delayed = base;
    for line in lines(&mut delayed) {
        line.freshness = Freshness::Delayed;
    }
    album.add("post, delayed", delayed);
    for line in lines(&mut base) {
        line.part = None;
        line.price = None;
        line.freshness = Freshness::None;
        line.denial = Some(Denial::NotEntitled);
    }
    album.add("not in the plan", base);
    lines(&mut base)[0].denial = Some(Denial::NotFound);
    album.add("no such ticker", base);
    base.simulated = true;
    base.misconfigured = true;
    album.add("no such ticker, simulated and misconfigured", base);
    lines(&mut base)[0].denial = None;
    album.add("the second not in the plan", base);
    album.check();
}

#[test]
fn a_change_of_hundredths_redraws_only_two_digits() {
    let history = walk(100, 5912.41);
    let mut view = ordinary(&history);
    let mut pictures = [5912.34, 5912.41].map(|now| {
        // Both prices have the same change in percent.
        *lines(&mut view)[0] = line("SPX", now, 5887.61, &history);
        drawn(&view, Size::Tall)
    });
    let [before, after] = &mut pictures;
    let bytes = before.as_bytes().iter().zip(after.as_bytes()).enumerate();
    let changed: Vec<usize> = bytes.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
    let columns = || changed.iter().map(|at| at % WIDTH);
    assert!(changed.iter().all(|at| (1..3).contains(&(at / WIDTH))));
    let width = columns().max().unwrap() - columns().min().unwrap() + 1;
    assert!(width <= 15, "{width} columns\n{before:?}{after:?}");
}

#[test]
fn a_new_point_of_the_history_redraws_only_the_newest_column() {
    let mut history = walk(127, 5912.41);
    // The new point is within the range of the history, because a new extreme would change the
    // scale of the whole curve.
    history.push(history[50]);
    for points in [10, 43, 99, 127] {
        for size in SIZES {
            let before = drawn(&ordinary(&history[..points]), size);
            let mut longer = history[..points].to_vec();
            longer.push(history[points - 1]);
            let after = drawn(&ordinary(&longer), size);
            let bytes = before.as_bytes().iter().zip(after.as_bytes()).enumerate();
            let mut columns: Vec<usize> = bytes
                .filter(|(_, (a, b))| a != b)
                .map(|(i, _)| i % WIDTH)
                .collect();
            columns.sort_unstable();
            columns.dedup();
            assert!(columns.len() <= 1, "{points} points: {columns:?}");
        }
    }
}
