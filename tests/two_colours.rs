//! Tests of the pictures for a panel whose first 16 rows are yellow and whose other rows are blue. A
//! part that crosses row 16 looks cut, because the panel has a gap there.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use deskticker::market::{Denial, Freshness, Price, SessionPart};
use deskticker::phone::notice;
use deskticker::render::{
    self, AlertView, Colours, Frame, InstrumentView, LinkHop, LinkIcon, LinkReport, OptionView,
    PageView, Size, Threshold, View, WIDTH, test_picture,
};
use proptest::prelude::*;

use views::arbitrary::{PAGES, some_glass};
use views::goldens::Album;
use views::{
    HOPS, day, drawn, line, lines, option, ordinary, price, report, sheet, stale, symbol, view,
    waiting, walk,
};

/// Returns the column of a part that crosses the edge between the colours: a lit dot in the last
/// yellow row with a lit dot next to it in the first blue row.
fn crossing(frame: &Frame) -> Option<usize> {
    let below = |x: usize| (x.saturating_sub(1)..=x + 1).any(|x| frame.lit(x, Colours::YELLOW));
    (0..WIDTH).find(|x| frame.lit(*x, Colours::YELLOW - 1) && below(*x))
}

/// Returns the view on a panel of two colours.
fn two<'a>(view: View<'a>) -> View<'a> {
    View {
        colours: Colours::YellowBlue,
        ..view
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// In debug builds the drawing code asserts that no text has two colours. The dots alone do not
    /// show this, because a text may stand directly below another one.
    #[test]
    fn no_text_of_any_page_in_any_state_has_two_colours(
        glass in some_glass(0..PAGES),
        history in prop::collection::vec(any::<i64>().prop_map(Price::from_scaled), 0..300),
    ) {
        drawn(&two(glass.view(&history)), Size::Tall);
    }
}

#[test]
fn no_notice_and_no_test_picture_crosses_the_edge_between_the_colours() {
    for (word, meaning) in [
        ("STARTING", "the system comes up"),
        ("HALTED", "the program stands still"),
        ("ENDED", "nothing here is live"),
        ("SETUP", "at the terminal"),
    ] {
        let frame = render::notice(Size::Tall, word, meaning);
        assert_eq!(crossing(&frame), None, "{frame:?}");
    }
    let mut frame = test_picture(Size::Tall, "2345");
    // The line along the left and the right edge is no text.
    for x in [0, WIDTH - 1] {
        frame.set(x, Colours::YELLOW, false);
    }
    assert_eq!(crossing(&frame), None, "{frame:?}");
}

#[test]
fn the_usual_layout_crosses_the_edge_so_these_tests_can_fail() {
    let frame = drawn(&ordinary(&[]), Size::Tall);
    assert!(crossing(&frame).is_some(), "{frame:?}");
}

#[test]
fn a_change_of_hundredths_redraws_the_same_window_as_on_a_panel_of_one_colour() {
    let history = walk(100, 5912.41);
    let window = |colours| {
        let mut view = View {
            colours,
            ..ordinary(&history)
        };
        let [before, after] = [5912.34, 5912.41].map(|now| {
            // Both prices have the same change in percent.
            *lines(&mut view)[0] = line("SPX", now, 5887.61, &history);
            drawn(&view, Size::Tall)
        });
        let bytes = before.as_bytes().iter().zip(after.as_bytes()).enumerate();
        let changed: Vec<usize> = bytes.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
        let columns = changed.iter().map(|at| at % WIDTH);
        let (first, last) = (columns.clone().min().unwrap(), columns.max().unwrap());
        (
            changed[0] / WIDTH..=changed[changed.len() - 1] / WIDTH,
            last - first + 1,
        )
    };
    let (pages, width) = window(Colours::One);
    assert_eq!((pages, width), (1..=2, 15));
    let (pages, width) = window(Colours::YellowBlue);
    assert_eq!((pages, width), (2..=3, 15));
}

#[test]
fn every_kind_of_page_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let mut album = Album::tall("yellow-blue");
    let base = two(ordinary(&history));
    album.add_each_freshness("pair, ", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add("pair, simulated and misconfigured", worst);
    let alert = Some(AlertView {
        label: "SPX",
        threshold: Threshold::Above(price(6000.0)),
        decimals: 2,
        lit: true,
    });
    album.add_each_freshness("pair, alert, ", View { alert, ..base });
    let spx = line("SPX", 5912.41, 5887.61, &history);
    let mut share = line("NVDA", 187.9, 190.02, &history);
    share.part = Some(SessionPart::Post);
    let closed = InstrumentView {
        freshness: Freshness::Closed,
        part: None,
        ..share
    };
    let later = InstrumentView {
        freshness: stale(12 * 60),
        ..line("POST", 189.25, 187.9, &history)
    };
    let denied = InstrumentView {
        denial: Some(Denial::NotEntitled),
        ..spx
    };
    let six = line("BIG", 123_456.78, 123_000.0, &history);
    let contract = option(&spy, 12.34, 12.0, &history);
    for (name, page) in [
        ("alone", PageView::Pair(spx, None)),
        ("post", PageView::Pair(share, Some(spx))),
        ("after hours", PageView::Pair(closed, Some(later))),
        ("denied", PageView::Pair(denied, Some(denied))),
        ("six digits", PageView::Pair(six, Some(six))),
        ("option and index", PageView::Pair(contract, Some(spx))),
        (
            "nothing known",
            PageView::Pair(waiting("SPX"), Some(waiting("VIX"))),
        ),
        ("big", PageView::Big(spx, day())),
        ("empty", PageView::Empty),
        ("link", PageView::Link(report())),
    ] {
        album.add(name, two(view(page)));
        album.add(
            &format!("{name}, alert"),
            View {
                alert,
                ..two(view(page))
            },
        );
    }
    let page = two(view(PageView::Contract(sheet(&spy, &history))));
    album.add_each_freshness("contract, ", page);
    album.add("contract, alert", View { alert, ..page });
    let mut expired = sheet(&spy, &history);
    expired.line.expired = true;
    let expired = OptionView {
        days: Some(-1),
        ..expired
    };
    album.add("contract, expired", two(view(PageView::Contract(expired))));
    for hop in [HOPS[0], LinkHop::Upstream] {
        let report = LinkReport { hop, ..report() };
        let down = View {
            sign: LinkIcon::Down,
            simulated: true,
            ..two(view(PageView::Link(report)))
        };
        album.add(&format!("link, {hop:?}").to_lowercase(), down);
    }
    let text = "deskticker.toml:12: unknown key";
    let config = two(view(PageView::Notice {
        title: "CONFIG",
        text,
    }));
    album.add("notice", config);
    album.add("notice, alert", View { alert, ..config });
    let phone = notice::text("ticker-1a2b", "12345678", [10, 42, 0, 1].into(), false);
    let (text, code) = phone.split_once('\n').unwrap();
    for view in album.views() {
        let frame = drawn(view, Size::Tall);
        assert_eq!(crossing(&frame), None, "{frame:?}");
    }
    // The lit background of the code covers all rows.
    album.add("phone", two(view(PageView::Join { text, code })));
    album.check();
}
