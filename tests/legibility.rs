//! Tests of what a person sees from two metres: the pictures of all states are blurred as by the
//! eye, and still differ clearly.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use deskticker::market::{Freshness, Price};
use deskticker::render::{Frame, InstrumentView, LinkIcon, PageView, Size, View, WIDTH};

use views::{SIGNS, SIZES, day, drawn, line, lines, price, stale, view, walk};

/// The width of the active area of a 0.96" panel in millimetres; its dots are square.
const PANEL: f64 = 21.7;
/// An eye resolves about one minute of arc, in radians.
const MINUTE: f64 = std::f64::consts::PI / 180.0 / 60.0;
/// The part of the full brightness by which a dot must differ, so that a person sees it.
const CONTRAST: f64 = 0.25;

/// The distances of a person from the panel in millimetres: at the desk, and across the room.
const NEAR: f64 = 800.0;
const FAR: f64 = 2_000.0;
/// The least area in square minutes of arc in which the pictures of two states of a price differ: a
/// block of two by ten minutes.
const CLEAR: f64 = 20.0;
/// The same for a mark in the header, which is only 2.3 minutes high.
const VISIBLE: f64 = 2.0;
/// The possible states of one price.
const FRESHNESSES: [Freshness; 5] = [
    Freshness::Live,
    Freshness::Stale(std::time::Duration::from_secs(12)),
    Freshness::Delayed,
    Freshness::Closed,
    Freshness::None,
];

/// The number of dots of the panel within one minute of arc, from a distance in millimetres.
fn dots_per_minute(distance: f64) -> f64 {
    distance * MINUTE / (PANEL / WIDTH as f64)
}

/// The brightness of each dot, from 0 to 1, as an eye sees it from a distance in millimetres. The
/// image of one dot is a Gaussian bell whose width at half height is one minute of arc.
fn seen(frame: &Frame, distance: f64) -> Vec<f64> {
    let sigma = dots_per_minute(distance) / (8.0 * 2f64.ln()).sqrt();
    let reach = (4.0 * sigma).ceil() as isize;
    let bell: Vec<f64> = (-reach..=reach)
        .map(|x| (-(x * x) as f64 / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = bell.iter().sum();
    let height = frame.size().height();
    let lit: Vec<f64> = (0..WIDTH * height)
        .map(|at| f64::from(u8::from(frame.lit(at % WIDTH, at / WIDTH))))
        .collect();
    // The bell is the same in both directions, so the picture is blurred along rows and then along
    // columns. The surroundings of the panel are dark.
    let along = |from: &[f64], step_x: isize, step_y: isize| -> Vec<f64> {
        (0..WIDTH * height)
            .map(|at| {
                let (x, y) = ((at % WIDTH) as isize, (at / WIDTH) as isize);
                let near = (-reach..=reach).zip(&bell).map(|(by, weight)| {
                    let (x, y) = (x + by * step_x, y + by * step_y);
                    let inside =
                        (0..WIDTH as isize).contains(&x) && (0..height as isize).contains(&y);
                    if inside {
                        weight * from[y as usize * WIDTH + x as usize]
                    } else {
                        0.0
                    }
                });
                near.sum::<f64>() / sum
            })
            .collect()
    };
    along(&along(&lit, 1, 0), 0, 1)
}

/// The area in square minutes of arc in which two pictures differ by at least [`CONTRAST`].
fn distance(one: &[f64], other: &[f64], from: f64) -> f64 {
    let differ = one
        .iter()
        .zip(other)
        .filter(|(a, b)| (*a - *b).abs() >= CONTRAST);
    differ.count() as f64 / dots_per_minute(from).powi(2)
}

/// The states of a page that a person must tell apart. Freshness is that of all its prices.
fn states(base: View<'_>) -> [(&'static str, View<'_>); 7] {
    let with = |freshness| {
        let mut view = base;
        for line in lines(&mut view) {
            line.freshness = freshness;
        }
        view
    };
    let simulated = View {
        simulated: true,
        ..base
    };
    let down = View {
        sign: LinkIcon::Down,
        ..base
    };
    [
        ("live", base),
        ("stale", with(stale(12))),
        ("delayed", with(Freshness::Delayed)),
        ("closed", with(Freshness::Closed)),
        ("no value", with(Freshness::None)),
        ("demo", simulated),
        ("link down", down),
    ]
}

/// A page with two prices.
fn pair(first: f64, second: f64, history: &[Price]) -> View<'_> {
    view(PageView::Pair(
        line("SPX", first, 5887.61, history),
        Some(line("VIX", second, 17.48, &[])),
    ))
}

/// A page with one price.
fn big(price: f64, history: &[Price]) -> View<'_> {
    view(PageView::Big(line("SPX", price, 5887.61, history), day()))
}

#[test]
fn all_states_of_a_page_differ_clearly_at_two_metres() {
    let history = walk(100, 5912.41);
    for size in SIZES {
        for base in [pair(5912.41, 17.25, &history), big(5912.41, &history)] {
            let states = states(base);
            let seen = states.map(|(_, view)| seen(&drawn(&view, size), FAR));
            for i in 0..states.len() {
                for j in 0..i {
                    // The last two states differ from the first one only in the header.
                    let least = if i < 5 { CLEAR } else { VISIBLE };
                    let distance = distance(&seen[i], &seen[j], FAR);
                    let names = (states[i].0, states[j].0);
                    assert!(distance >= least, "{size}, {names:?}: {distance:.1}");
                }
            }
        }
    }
}

#[test]
fn each_price_of_a_pair_shows_its_own_state_at_two_metres() {
    let history = walk(100, 5912.41);
    let base = pair(5912.41, 17.25, &history);
    for size in SIZES {
        for at in 0..2 {
            // The second price on 128×32 is as high as two lines of small text.
            let least = match (size, at) {
                (Size::Short, 1) => VISIBLE,
                _ => CLEAR,
            };
            let states = FRESHNESSES.map(|freshness| {
                let mut view = base;
                lines(&mut view)[at].freshness = freshness;
                seen(&drawn(&view, size), FAR)
            });
            for i in 0..states.len() {
                for j in 0..i {
                    let distance = distance(&states[i], &states[j], FAR);
                    let names = (FRESHNESSES[i], FRESHNESSES[j]);
                    assert!(
                        distance >= least,
                        "{size}, price {at}, {names:?}: {distance:.1}"
                    );
                }
            }
        }
    }
}

/// A person who knows the states only from other prices names the state of each picture rightly.
/// The person compares how bright each field of the picture is.
#[test]
fn a_stranger_sorts_the_pictures_of_other_prices_rightly_at_two_metres() {
    let prices = [
        (5912.41, 17.25),
        (6184.37, 21.06),
        (5387.95, 14.83),
        (7021.66, 33.50),
    ];
    let histories = prices.map(|(first, _)| walk(100, first));
    for size in SIZES {
        let looks: Vec<_> = prices
            .iter()
            .zip(&histories)
            .flat_map(|((first, second), history)| {
                states(pair(*first, *second, history))
                    .map(|(name, view)| (name, *first, fields(&seen(&drawn(&view, size), FAR))))
            })
            .collect();
        for (name, price, look) in &looks {
            let nearest = looks
                .iter()
                .filter(|(_, other, _)| other != price)
                .min_by(|(_, _, a), (_, _, b)| apart(look, a).total_cmp(&apart(look, b)))
                .unwrap();
            assert_eq!(*name, nearest.0, "{size}, {price}");
        }
    }
}

/// The brightness of the fields of a picture, each 8 dots wide and high.
fn fields(seen: &[f64]) -> Vec<f64> {
    let height = seen.len() / WIDTH;
    let field = |x: usize, y: usize| -> f64 {
        (0..64)
            .map(|dot| seen[(y + dot / 8) * WIDTH + x + dot % 8])
            .sum::<f64>()
            / 64.0
    };
    (0..height)
        .step_by(8)
        .flat_map(|y| (0..WIDTH).step_by(8).map(move |x| field(x, y)))
        .collect()
}

fn apart(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum()
}

#[test]
fn the_signs_of_the_connection_differ_in_outline() {
    let seen = SIGNS.map(|sign| {
        let view = View {
            sign,
            ..view(PageView::Empty)
        };
        seen(&drawn(&view, Size::Tall), NEAR)
    });
    for i in 0..seen.len() {
        for j in 0..i {
            let distance = distance(&seen[i], &seen[j], NEAR);
            assert!(
                distance >= 10.0,
                "{:?} {:?}: {distance:.1}",
                SIGNS[i],
                SIGNS[j]
            );
        }
    }
}

/// The number of dots in which two digits differ at least.
const DISTINCT: usize = 3;
/// The same for the smallest digits, which only a page with two long prices has.
const SMALLEST: usize = 2;

/// Two prices differ in one digit. Each digit size and each place of a digit occurs, as whole part
/// and as fraction.
#[test]
fn all_digits_differ_in_each_faint_face() {
    let patterns = [
        "7.#7",
        "7.7#",
        "#7.25",
        "1#.25",
        "17.#5",
        "17.2#",
        "#912.41",
        "5#12.41",
        "5912.#1",
        "5912.4#",
        "#23456.78",
        "12#456.78",
        "12345#.78",
        "123456.#8",
        "#234567.25",
        "12345#7.25",
        "1234567.#5",
        "1234567.2#",
    ];
    for pattern in patterns {
        let page = |digit: usize, pair: bool| {
            let now: f64 = pattern.replace('#', &digit.to_string()).parse().unwrap();
            let spx = InstrumentView {
                price: Some(price(now)),
                change: None,
                decimals: 2,
                ..line("SPX", 1.0, 1.0, &[])
            };
            match pair {
                true => view(PageView::Pair(spx, Some(spx))),
                false => view(PageView::Pair(spx, None)),
            }
        };
        for (size, pair) in SIZES
            .into_iter()
            .flat_map(|size| [(size, false), (size, true)])
        {
            for freshness in [Freshness::Live, Freshness::Closed, stale(12), stale(7_200)] {
                // A number does not start with zero.
                let first = usize::from(pattern.starts_with('#'));
                let pictures: Vec<Frame> = (first..10)
                    .map(|digit| {
                        let mut view = page(digit, pair);
                        for line in lines(&mut view) {
                            line.freshness = freshness;
                        }
                        drawn(&view, size)
                    })
                    .collect();
                for (at, one) in pictures.iter().enumerate() {
                    for other in &pictures[..at] {
                        let dots = differing(one, other);
                        let least = if pair { 2 * SMALLEST } else { DISTINCT };
                        assert!(
                            dots >= least,
                            "{pattern}, {size}, {freshness:?}: {dots}\n{one:?}{other:?}"
                        );
                    }
                }
            }
        }
    }
}

/// The number of dots in which two pictures differ.
fn differing(one: &Frame, other: &Frame) -> usize {
    let bytes = one.as_bytes().iter().zip(other.as_bytes());
    bytes.map(|(a, b)| (a ^ b).count_ones() as usize).sum()
}
