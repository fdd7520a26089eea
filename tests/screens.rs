//! The promise of the glass: a number on it is either fresh or visibly not.
//!
//! Golden pictures in `tests/screens/`, two dots a character, a bar at the end of each line;
//! `UPDATE_SCREENS=1 cargo test --test screens` draws them anew, and `git diff` shows what changed.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::Duration;
use std::{env, fs, path::Path};

use deskticker::market::{Freshness, Price};
use deskticker::screen::{Frame, Glyphs, Kept, Line, Sign, Size, View, WIDTH, draw};
use proptest::prelude::*;

const SIGNS: [Sign; 5] = [
    Sign::Live,
    Sign::Joining,
    Sign::Silent,
    Sign::Down,
    Sign::Refused,
];

fn price(number: f64) -> Price {
    Price::from_f64(number).unwrap()
}

fn stale(seconds: u64) -> Freshness {
    Freshness::Stale(Duration::from_secs(seconds))
}

/// A walk of so many points that ends near a price; always the same one.
fn walk(points: usize, near: f64) -> Vec<Price> {
    let mut seed = 7u64;
    let mut value = near * 0.998;
    (0..points)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            value += near * 1e-4 * ((seed >> 60) as f64 - 7.2);
            price(value)
        })
        .collect()
}

fn line<'a>(label: &'a str, now: f64, before: f64, history: &'a [Price]) -> Line<'a> {
    Line {
        label,
        price: Some(price(now)),
        change: Some(price(now).change_from(price(before))),
        freshness: Freshness::Live,
        history,
    }
}

fn ordinary(history: &[Price]) -> View<'_> {
    View {
        primary: Some(line("SPX", 5912.41, 5887.61, history)),
        secondary: Some(line("VIX", 17.25, 17.48, &[])),
        time: Some((14, 32)),
        sign: Sign::Live,
        simulated: false,
    }
}

fn drawn(view: &View<'_>, size: Size) -> Frame {
    let mut frame = Frame::new(size);
    draw(view, &Glyphs::new(), &mut Kept::new(), &mut frame);
    frame
}

/// A picture as it is kept: the bars keep editors and git from eating the dark dots.
fn text(frame: &Frame) -> String {
    let mut text = String::new();
    for line in frame.to_string().lines() {
        writeln!(text, "{line}|").unwrap();
    }
    text
}

/// Compares a view in both sizes with its golden pictures; returns what is wrong.
fn compare(name: &str, view: &View<'_>) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    let mut wrong = String::new();
    for size in [Size::Tall, Size::Short] {
        let path = folder.join(format!("{name}-{size}.txt"));
        let actual = text(&drawn(view, size));
        if env::var_os("UPDATE_SCREENS").is_some() {
            fs::write(&path, &actual).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if actual != expected {
            write!(
                wrong,
                "{name} {size}, expected:\n{expected}\nactual:\n{actual}\n"
            )
            .unwrap();
        }
    }
    wrong
}

#[test]
fn every_state_looks_like_its_picture() {
    let history = walk(100, 5912.41);
    let short = walk(20, 5912.41);
    let flat = [price(5912.41); 30];
    let base = ordinary(&history);
    let mut views: Vec<(String, View<'_>)> = vec![("live".into(), base)];
    let freshnesses = [
        ("stale", stale(12)),
        ("stale-hours", stale(2 * 3600)),
        ("delayed", Freshness::Delayed),
        ("closed", Freshness::Closed),
        ("none", Freshness::None),
    ];
    for (name, freshness) in freshnesses {
        let mut view = base;
        view.primary.as_mut().unwrap().freshness = freshness;
        views.push((format!("primary-{name}"), view));
        view.secondary.as_mut().unwrap().freshness = freshness;
        views.push((format!("both-{name}"), view));
        view.simulated = true;
        views.push((format!("simulated-{name}"), view));
        view = base;
        view.secondary.as_mut().unwrap().freshness = freshness;
        views.push((format!("secondary-{name}"), view));
    }
    for sign in SIGNS {
        let name = format!("sign-{sign:?}").to_lowercase();
        views.push((name, View { sign, ..base }));
    }
    let simulated = View {
        simulated: true,
        ..base
    };
    views.push(("simulated".into(), simulated));
    views.push(("clock-unset".into(), View { time: None, ..base }));
    let waiting = |label| Line {
        label,
        price: None,
        change: None,
        freshness: Freshness::None,
        history: &[],
    };
    let start = View {
        primary: Some(waiting("SPX")),
        secondary: Some(waiting("VIX")),
        time: None,
        sign: Sign::Joining,
        simulated: false,
    };
    views.push(("no-values-yet".into(), start));
    views.push((
        "empty".into(),
        View {
            primary: None,
            secondary: None,
            ..base
        },
    ));
    let alone = View {
        secondary: None,
        ..base
    };
    views.push(("alone".into(), alone));
    let mut alone_stale = alone;
    alone_stale.primary.as_mut().unwrap().freshness = stale(180);
    views.push(("alone-stale".into(), alone_stale));
    let only_secondary = View {
        primary: None,
        ..base
    };
    views.push(("only-a-secondary".into(), only_secondary));

    let numbers = [
        ("six-digits", 123_456.78, 123_000.0, 3_988.0, 4_010.0),
        ("tiny", 0.0001, 0.0002, 0.05, 0.05),
        ("fallen", 87.66, 100.0, -12.34, -10.0),
        (
            "largest",
            99_999_999.99,
            50_000_000.0,
            99_999_999.99,
            50_000_000.0,
        ),
        ("most-negative", -99_999_999.99, -1.0, -99_999_999.99, -1.0),
        ("risen-wildly", 5000.0, 1.0, 500.0, 1.0),
    ];
    for (name, first, before, second, then) in numbers {
        let view = View {
            primary: Some(line("SPX", first, before, &history)),
            secondary: Some(line("VIX", second, then, &[])),
            ..base
        };
        views.push((name.into(), view));
        let mut view = view;
        view.primary.as_mut().unwrap().freshness = stale(12);
        view.secondary.as_mut().unwrap().freshness = Freshness::Closed;
        views.push((format!("{name}-stale"), view));
    }
    let options = View {
        primary: Some(line("SPY251219C00650000", 12.34, 12.0, &history)),
        secondary: Some(line("ABCDEF251219P00652500", 1234.5, 1200.0, &[])),
        ..base
    };
    views.push(("options".into(), options));
    let mut options_delayed = options;
    options_delayed.primary.as_mut().unwrap().freshness = Freshness::Delayed;
    options_delayed.secondary.as_mut().unwrap().freshness = Freshness::Delayed;
    options_delayed.simulated = true;
    views.push(("options-simulated-delayed".into(), options_delayed));
    let foreign = View {
        primary: Some(line("ÜBERLANGERNAME", 12.34, 12.0, &history)),
        secondary: Some(line("LONGERTHANTHAT", 3988.0, 4000.0, &[])),
        ..base
    };
    views.push(("long-names".into(), foreign));
    for (name, history) in [("young", &short[..]), ("flat", &flat[..])] {
        views.push((format!("history-{name}"), ordinary(history)));
    }

    let wrong: String = views
        .iter()
        .map(|(name, view)| compare(name, view))
        .collect();
    assert!(
        wrong.is_empty(),
        "{wrong}UPDATE_SCREENS=1 keeps these pictures"
    );
}

#[test]
fn a_tick_of_hundredths_changes_two_digits_and_nothing_else() {
    let history = walk(100, 5912.41);
    let mut view = ordinary(&history);
    let mut pictures = [5912.34, 5912.41].map(|now| {
        // The change in percent is the same for both.
        view.primary = Some(line("SPX", now, 5887.61, &history));
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
fn a_new_point_of_the_history_changes_the_newest_column() {
    let mut history = walk(127, 5912.41);
    // Points beyond the extremes would rightly scale the curve anew.
    history.push(history[50]);
    for points in [10, 43, 99, 127] {
        for size in [Size::Tall, Size::Short] {
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

fn some_price() -> impl Strategy<Value = Price> {
    // Prices of every length, not mostly the longest.
    (0u32..13, any::<i64>()).prop_map(|(digits, number)| {
        Price::from_scaled(
            (number % 10i64.pow(digits)).clamp(-Price::MAX.scaled(), Price::MAX.scaled()),
        )
    })
}

fn some_freshness() -> impl Strategy<Value = Freshness> {
    prop_oneof![
        Just(Freshness::Live),
        any::<u64>().prop_map(stale),
        (0u64..1_000_000).prop_map(stale),
        Just(Freshness::Delayed),
        Just(Freshness::Closed),
        Just(Freshness::None),
    ]
}

/// What an instrument may be: label, price, previous close, freshness.
type Parts = (String, Option<Price>, Option<Price>, Freshness);

fn some_line() -> impl Strategy<Value = Parts> {
    (
        prop_oneof!["[A-Z0-9]{1,6}", "[A-Z]{1,6}[0-9]{6}[CP][0-9]{8}", ".{0,24}"],
        prop::option::of(some_price()),
        prop::option::of(some_price()),
        some_freshness(),
    )
}

fn as_line<'a>((label, price, before, freshness): &'a Parts, history: &'a [Price]) -> Line<'a> {
    Line {
        label,
        price: *price,
        change: before.and_then(|before| Some(price.as_ref()?.change_from(before))),
        freshness: *freshness,
        history,
    }
}

/// The bytes where the sign stands.
fn sign_of(frame: &Frame) -> [u8; 8] {
    let page = match frame.size() {
        Size::Tall => 0,
        Size::Short => 3,
    };
    frame.page(page)[WIDTH - 8..].try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_touches_the_sign(
        primary in prop::option::of(some_line()),
        secondary in prop::option::of(some_line()),
        time in prop::option::of(any::<(u8, u8)>()),
        sign in prop::sample::select(&SIGNS[..]),
        simulated in any::<bool>(),
        history in prop::collection::vec(any::<i64>().prop_map(Price::from_scaled), 0..300),
    ) {
        let view = View {
            primary: primary.as_ref().map(|parts| as_line(parts, &history)),
            secondary: secondary.as_ref().map(|parts| as_line(parts, &history)),
            time,
            sign,
            simulated,
        };
        for size in [Size::Tall, Size::Short] {
            let alone = View { primary: None, secondary: None, ..view };
            prop_assert_eq!(sign_of(&drawn(&view, size)), sign_of(&drawn(&alone, size)));
        }
    }

    /// The promise itself. Pixels that differ are not enough: some must differ that nobody misses.
    #[test]
    fn a_value_that_is_not_live_never_looks_live(
        primary in some_line(),
        secondary in some_line(),
        other in some_freshness(),
        simulated in any::<bool>(),
    ) {
        let history = walk(60, 100.0);
        let mut view = View {
            primary: Some(as_line(&primary, &history)),
            secondary: Some(as_line(&secondary, &history)),
            time: Some((9, 30)),
            sign: Sign::Live,
            simulated,
        };
        for size in [Size::Tall, Size::Short] {
            for first in [true, false] {
                let mut look = |freshness| {
                    let line = if first { &mut view.primary } else { &mut view.secondary };
                    let line = line.as_mut().unwrap();
                    line.price.get_or_insert(price(12.34));
                    line.freshness = freshness;
                    drawn(&view, size)
                };
                let live = look(Freshness::Live);
                let not = look(other);
                let dots: u32 = live.as_bytes().iter().zip(not.as_bytes())
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum();
                prop_assert!(other == Freshness::Live || dots >= 40, "{dots} dots\n{live:?}{not:?}");
            }
        }
    }

    #[test]
    fn a_word_that_must_be_said_is_never_covered(primary in some_line(), secondary in some_line()) {
        let history = walk(60, 100.0);
        let mut view = View {
            primary: Some(as_line(&primary, &history)),
            secondary: Some(as_line(&secondary, &history)),
            time: Some((9, 30)),
            sign: Sign::Live,
            simulated: false,
        };
        for simulated in [false, true] {
            view.simulated = simulated;
            for (freshness, word) in [(Freshness::Closed, "closed"), (Freshness::Delayed, "delayed")] {
                for line in [&mut view.primary, &mut view.secondary].into_iter().flatten() {
                    line.price.get_or_insert(price(12.34));
                    line.freshness = freshness;
                }
                for (size, first, second) in [(Size::Tall, 0..1, 6..8), (Size::Short, 0..1, 3..4)] {
                    let frame = drawn(&view, size);
                    let said = |badge: &[u8], mut pages: std::ops::Range<usize>| {
                        pages.any(|page| frame.page(page).windows(badge.len()).any(|at| at == badge))
                    };
                    prop_assert!(said(&badge(word), first), "{frame:?}");
                    prop_assert!(said(&badge(word), second), "{frame:?}");
                    let demo = if size == Size::Tall { 0..1 } else { 3..4 };
                    prop_assert_eq!(said(&badge("demo"), demo), simulated, "{:?}", frame);
                }
            }
        }
    }
}

/// The bytes of an inverted word, from the slot before the sign.
fn badge(word: &str) -> Vec<u8> {
    let history = walk(2, 1.0);
    let mut view = ordinary(&history);
    let line = view.primary.as_mut().unwrap();
    match word {
        "closed" => line.freshness = Freshness::Closed,
        "delayed" => line.freshness = Freshness::Delayed,
        _ => view.simulated = true,
    }
    let page = drawn(&view, Size::Tall).page(0)[80..WIDTH - 9].to_vec();
    let start = page.iter().position(|byte| *byte == 0xFF).unwrap();
    let end = page.iter().rposition(|byte| *byte == 0xFF).unwrap();
    page[start..=end].to_vec()
}

#[test]
fn the_five_signs_are_told_apart_at_a_glance() {
    let history = walk(10, 1.0);
    let icons = SIGNS.map(|sign| {
        let view = View {
            sign,
            ..ordinary(&history)
        };
        u64::from_le_bytes(sign_of(&drawn(&view, Size::Tall)))
    });
    for (i, one) in icons.iter().enumerate() {
        for other in &icons[..i] {
            assert!((one ^ other).count_ones() >= 12);
        }
    }
}
