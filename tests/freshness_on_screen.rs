//! Tests of the main promise of the display, for each possible page: each price is either fresh or
//! visibly marked as not fresh. In debug builds the drawing code also asserts that no element
//! covers another one.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use std::ops::Range;

use deskticker::market::{
    DayStats, Denial, Freshness, NumberFormat, Price, SessionPart, TopOfBook,
};
use deskticker::render::{Colours, DrawCache, Frame, PageView, Size, View, WIDTH, draw, notice};
use proptest::prelude::*;

use views::arbitrary::{PAGES, PRICED, some_freshness, some_glass};
use views::{SIGNS, SIZES, drawn, line, lines, ordinary, price, sheet, stale, symbol, view, walk};

/// The bytes of the link icon.
fn sign_of(frame: &Frame) -> [u8; 8] {
    let page = match frame.size() {
        Size::Tall | Size::Square => 0,
        Size::Short => 3,
    };
    frame.page(page)[WIDTH - 8..].try_into().unwrap()
}

/// Returns true if one of these pages contains these bytes.
fn contains_bytes(frame: &Frame, bytes: &[u8], mut pages: Range<usize>) -> bool {
    pages.any(|page| frame.page(page).windows(bytes.len()).any(|at| at == bytes))
}

/// The number of times that these bytes stand in a picture.
fn times(frame: &Frame, bytes: &[u8]) -> usize {
    let pages = 0..frame.size().pages();
    let times = |page| {
        let places = frame.page(page).windows(bytes.len());
        places.filter(|place| *place == bytes).count()
    };
    pages.map(times).sum()
}

/// The bytes of an inverted badge in the small font, which stands before the link icon.
fn badge(word: &str) -> Vec<u8> {
    let history = walk(2, 1.0);
    let mut view = ordinary(&history);
    match word {
        "CLOSED" => lines(&mut view)[0].freshness = Freshness::Closed,
        "DELAYED" => lines(&mut view)[0].freshness = Freshness::Delayed,
        "EXPIRED" => lines(&mut view)[0].expired = true,
        _ => view.simulated = true,
    }
    inked(&drawn(&view, Size::Tall).page(0)[20..WIDTH - 9], 0xFF)
}

/// The bytes of an inverted badge in the large font.
fn large(word: &str) -> Vec<u8> {
    let spy = symbol("O:SPY251219C00650000");
    let mut sheet = sheet(&spy, &[]);
    sheet.line.expired = true;
    assert_eq!(word, "EXPIRED");
    inked(
        &drawn(&view(PageView::Contract(sheet)), Size::Tall).page(3)[60..],
        0xFF,
    )
}

/// Removes the data of a page that do not belong to its instruments.
fn bare(view: &mut View<'_>) {
    match &mut view.page {
        PageView::Big(_, day) => *day = DayStats::default(),
        PageView::Contract(sheet) => {
            (sheet.book, sheet.last, sheet.analytics) = (None, None, None);
            sheet.day = DayStats::default();
        }
        _ => {}
    }
}

/// The bytes of the arrows after a change.
const UP: [u8; 7] = [0x20, 0x30, 0x38, 0x3C, 0x38, 0x30, 0x20];
const FALL: [u8; 7] = [0x04, 0x0C, 0x1C, 0x3C, 0x1C, 0x0C, 0x04];

/// The bytes of a text in the small font.
fn small(text: &str) -> Vec<u8> {
    inked(notice(Size::Tall, "", text).page(5), 0)
}

/// The bytes from the first to the last one that equals `full`. If `full` is 0, from the first to
/// the last one that is not 0.
fn inked(bytes: &[u8], full: u8) -> Vec<u8> {
    let counts = |byte: &u8| if full == 0 { *byte != 0 } else { *byte == full };
    let start = bytes.iter().position(counts).unwrap();
    let end = bytes.iter().rposition(counts).unwrap();
    bytes[start..=end].to_vec()
}

/// The number of pixels that differ.
fn difference(one: &Frame, other: &Frame) -> u32 {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The configuration of the property tests. They draw thousands of pages.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_page_panics_overlaps_or_touches_the_link_icon(
        glass in some_glass(0..PAGES),
        history in prop::collection::vec(any::<i64>().prop_map(Price::from_scaled), 0..300),
    ) {
        let view = glass.view(&history);
        for size in SIZES {
            let alone = View { page: PageView::Empty, ..view };
            prop_assert_eq!(sign_of(&drawn(&view, size)), sign_of(&drawn(&alone, size)));
        }
    }

    /// The main promise of the display. A few different pixels are not enough: the difference must
    /// be easy to see.
    #[test]
    fn a_price_that_is_not_live_never_looks_live(
        glass in some_glass(0..PRICED),
        other in some_freshness(),
    ) {
        let history = walk(60, 100.0);
        let mut view = glass.view(&history);
        for size in SIZES {
            for at in 0..lines(&mut view).len() {
                let look = |freshness| {
                    let mut view = view;
                    let line = &mut *lines(&mut view)[at];
                    let known = line.price.get_or_insert(price(12.34));
                    if glass.page == 2 {
                        // No contract has a price outside this range; the page shows dots instead
                        // of such a price.
                        *known = (*known).clamp(price(0.0), price(99_999.99));
                    }
                    line.denial = None;
                    line.expired = false;
                    line.freshness = freshness;
                    drawn(&view, size)
                };
                let (live, not) = (look(Freshness::Live), look(other));
                let dots = difference(&live, &not);
                // Dashes differ from digits by fewer pixels, but they are always easy to recognize.
                let least = if other == Freshness::None { 16 } else { 40 };
                prop_assert!(
                    other == Freshness::Live || dots >= least,
                    "{dots} dots\n{live:?}{not:?}"
                );
            }
        }
    }

    #[test]
    fn a_required_badge_is_never_covered(glass in some_glass(0..PRICED)) {
        let history = walk(60, 100.0);
        let mut view = glass.view(&history);
        for (freshness, word) in [(Freshness::Closed, "CLOSED"), (Freshness::Delayed, "DELAYED")] {
            for line in lines(&mut view) {
                line.price.get_or_insert(price(12.34));
                line.denial = None;
                line.expired = false;
                line.freshness = freshness;
            }
            for size in SIZES {
                let frame = drawn(&view, size);
                let all = 0..size.pages();
                // Each of two prices has its badge.
                let prices = lines(&mut view).len();
                prop_assert!(times(&frame, &badge(word)) >= prices, "{frame:?}");
                prop_assert_eq!(contains_bytes(&frame, &badge("DEMO"), all), view.simulated, "{:?}", frame);
            }
        }
    }

    /// An expired contract shows its last price with a line through it, and the word EXPIRED.
    #[test]
    fn an_expired_contract_shows_only_its_struck_price(glass in some_glass(0..PRICED)) {
        let history = walk(60, 100.0);
        let view = glass.view(&history);
        for size in SIZES {
            let look = |expired| {
                let mut view = view;
                for line in lines(&mut view) {
                    line.price = Some(price(12.34));
                    line.denial = None;
                    line.freshness = Freshness::Live;
                    line.expired = expired;
                }
                let known = drawn(&view, size);
                for line in lines(&mut view) {
                    (line.change, line.part) = (None, None);
                }
                bare(&mut view);
                (known, drawn(&view, size))
            };
            let (expired, bare) = look(true);
            prop_assert_eq!(&expired, &bare, "what is known of it shows");
            let (live, _) = look(false);
            prop_assert!(difference(&live, &expired) >= 40, "{live:?}{expired:?}");
            let word = [badge("EXPIRED"), large("EXPIRED")];
            let told = word.iter().any(|word| contains_bytes(&expired, word, 0..size.pages()));
            prop_assert!(told, "{expired:?}");
        }
    }

    /// All values on a page have the same mark.
    #[test]
    fn a_page_with_a_struck_price_shows_no_unmarked_value(glass in some_glass(1..PRICED), age in 0u64..100_000) {
        let history = walk(60, 100.0);
        let mut view = glass.view(&history);
        for size in SIZES {
            let pictures = [true, false].map(|whole| {
                for line in lines(&mut view) {
                    line.price.get_or_insert(price(12.34));
                    line.denial = None;
                    line.freshness = stale(age);
                    if !whole {
                        line.change = None;
                    }
                }
                if !whole {
                    bare(&mut view);
                }
                drawn(&view, size)
            });
            prop_assert_eq!(&pictures[0], &pictures[1]);
            let (demo, size) = (contains_bytes(&pictures[0], &badge("DEMO"), 0..size.pages()), size);
            prop_assert_eq!(demo, view.simulated, "{}", size);
        }
    }

    /// A change that rounds to zero shows only the zero. An arrow stands only after digits with the
    /// same sign.
    #[test]
    fn sign_digits_and_arrow_of_a_change_agree(
        glass in some_glass(0..2),
        now in 1i64..10_000_000_000,
        moved in prop_oneof![-30i64..30, -1_000_000i64..1_000_000],
    ) {
        let mut view = glass.view(&[]);
        view.format.numbers = NumberFormat::ENGLISH;
        view.alert = None;
        // This test reads the small figures. On a panel of two colours they can be large; on 128×128
        // they are small beside a word.
        view.colours = Colours::One;
        for line in lines(&mut view) {
            let now = Price::from_scaled(now);
            line.price = Some(now);
            line.change = Some(now.change_from(Price::from_scaled((now.scaled() - moved).max(1))));
            line.denial = None;
            line.expired = false;
            line.freshness = Freshness::Live;
        }
        for size in SIZES {
            for line in lines(&mut view) {
                if size == Size::Square {
                    line.part = Some(SessionPart::Pre);
                }
            }
            let frame = drawn(&view, size);
            for (arrow, sign) in [(UP, "+"), (FALL, "-")] {
                for page in 0..size.pages() {
                    let row = frame.page(page);
                    for x in (0..=WIDTH - arrow.len()).filter(|x| row[*x..].starts_with(&arrow)) {
                        let sign = small(sign);
                        // The digits before the arrow end at a gap that is wider than a space.
                        let before = &row[..x - 1];
                        let gap = before.windows(6).rposition(|gap| gap.iter().all(|byte| *byte == 0));
                        let figures = &before[gap.map_or(0, |gap| gap + 6)..];
                        prop_assert!(figures.windows(sign.len()).any(|at| at == sign), "{frame:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_denied_symbol_shows_dashes_instead_of_any_price(
        glass in some_glass(0..PRICED),
        denial in prop::sample::select(vec![Denial::NotEntitled, Denial::NotFound]),
    ) {
        let history = walk(60, 100.0);
        let mut view = glass.view(&history);
        for size in SIZES {
            let pictures = [Some(price(5912.41)), None].map(|price| {
                for line in lines(&mut view) {
                    line.denial = Some(denial);
                    line.expired = false;
                    line.price = price;
                }
                drawn(&view, size)
            });
            prop_assert_eq!(&pictures[0], &pictures[1]);
            for line in lines(&mut view) {
                line.denial = None;
            }
            prop_assert!(difference(&pictures[0], &drawn(&view, size)) >= 40, "{:?}", pictures[0]);
        }
    }

    /// The draw cache of one view must not affect the next view.
    #[test]
    fn a_picture_never_depends_on_earlier_pictures(
        first in some_glass(0..2),
        second in some_glass(0..2),
        mixed in any::<[bool; 6]>(),
    ) {
        let history = walk(60, 100.0);
        let before = first.view(&history);
        // If views differ in all fields, each comparison finds a difference. So the mixed view
        // differs in some fields only.
        let mut after = before;
        let new = second.view(&history);
        if let (PageView::Pair(_, Some(line)), PageView::Pair(_, Some(other))) = (&mut after.page, &new.page) {
            if mixed[0] { (line.part, line.expired) = (other.part, other.expired); }
            if mixed[1] { line.denial = other.denial; }
            if mixed[2] { line.freshness = other.freshness; }
            if mixed[3] { line.price = other.price; }
            if mixed[5] { line.decimals = other.decimals; }
        }
        if mixed[4] { after.format = new.format; }
        let mut kept = DrawCache::new();
        let mut frame = Frame::new(Size::Tall);
        for view in [&before, &before, &after, &new, &before] {
            draw(view, &mut kept, &mut frame);
            prop_assert_eq!(&frame, &drawn(view, Size::Tall));
        }
    }

    /// A table may omit a name, but it never omits a digit of a number.
    #[test]
    fn the_book_of_a_contract_is_legible(
        bid in 1i64..10_000_000, spread in 0i64..10_000, glass in some_glass(2..3),
    ) {
        let history = walk(60, 100.0);
        let mut view = glass.view(&history);
        view.alert = None;
        let [bid, ask] = [bid, bid + spread].map(|scaled| Price::from_scaled(scaled * 100));
        let PageView::Contract(sheet) = &mut view.page else { unreachable!() };
        sheet.days = Some(5);
        sheet.line.denial = None;
        sheet.line.expired = false;
        sheet.line.freshness = Freshness::Live;
        sheet.line.decimals = 2;
        sheet.book = Some(TopOfBook { bid, ask, bid_size: 12, ask_size: 7 });
        view.format.numbers = NumberFormat::ENGLISH;
        let tall = drawn(&view, Size::Tall);
        for price in [bid, ask] {
            prop_assert!(contains_bytes(&tall, &small(&price.to_string()), 4..6), "{price} {tall:?}");
        }
        let short = drawn(&view, Size::Short);
        prop_assert!(contains_bytes(&short, &small(&format!("{bid}x{ask}")), 1..2), "{bid} {ask} {short:?}");
    }
}

#[test]
fn two_numbers_that_do_not_fit_side_by_side_lose_decimals_and_no_other_digit() {
    // The drawing code panics in debug builds if a text overlaps another one.
    let far = -10_000_000.0;
    let (first, second) = (line("A", far, far, &[]), line("B", far, far, &[]));
    let mut view = view(PageView::Pair(first, Some(second)));
    view.format.numbers = NumberFormat {
        group: Some(b' '),
        point: b',',
    };
    let frame = drawn(&view, Size::Short);
    assert_eq!(times(&frame, &small("-10 000 000,0")), 2, "{frame:?}");
    assert_eq!(times(&frame, &small("-10 000 000,00")), 0, "{frame:?}");
}

#[test]
fn the_five_link_icons_differ_clearly() {
    let icons = SIGNS.map(|sign| {
        let view = View {
            sign,
            ..view(PageView::Empty)
        };
        u64::from_le_bytes(sign_of(&drawn(&view, Size::Tall)))
    });
    for (i, one) in icons.iter().enumerate() {
        for other in &icons[..i] {
            assert!((one ^ other).count_ones() >= 12);
        }
    }
}
