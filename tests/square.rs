//! Tests of the pictures for a panel of 128×128: each page uses the whole height, and each price has
//! its own change, mark and curve.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use deskticker::market::{DayStats, Denial, Freshness, Price, SessionPart};
use deskticker::phone::notice;
use deskticker::render::{
    self, AlertView, Frame, InstrumentView, LinkHop, LinkIcon, LinkReport, OptionView, PageView,
    Size, Threshold, View, WIDTH, test_picture,
};

use views::goldens::Album;
use views::{
    HOPS, day, drawn, line, lines, option, price, report, sheet, stale, symbol, view, waiting, walk,
};

const SIZE: Size = Size::Square;

/// A page with two prices, each with its own history.
fn pair<'a>(first: &'a [Price], second: &'a [Price]) -> View<'a> {
    view(PageView::Pair(
        line("SPX", 5912.41, 5887.61, first),
        Some(line("VIX", 17.25, 17.48, second)),
    ))
}

fn alert() -> Option<AlertView<'static>> {
    Some(AlertView {
        label: "SPX",
        threshold: Threshold::Above(price(6000.0)),
        decimals: 2,
        lit: true,
    })
}

/// True if any dot of these pages is lit.
fn lit(frame: &Frame, mut pages: std::ops::Range<usize>) -> bool {
    pages.any(|page| frame.page(page).iter().any(|byte| *byte != 0))
}

#[test]
fn a_pair_in_each_state_matches_its_golden_picture() {
    let (first, second) = (walk(100, 5912.41), walk(60, 17.25));
    let base = pair(&first, &second);
    let mut album = Album::square("square-pair");
    album.add_each_freshness("both ", base);
    for (which, at) in [("first", 0), ("second", 1)] {
        for (name, freshness) in [("stale", stale(12)), ("delayed", Freshness::Delayed)] {
            let mut view = base;
            lines(&mut view)[at].freshness = freshness;
            album.add(&format!("the {which} {name}"), view);
        }
    }
    let worst = View {
        simulated: true,
        misconfigured: true,
        sign: LinkIcon::Down,
        ..base
    };
    album.add_each_freshness("simulated and misconfigured, ", worst);
    album.add_each_freshness(
        "alert, ",
        View {
            alert: alert(),
            ..base
        },
    );
    let nothing = PageView::Pair(waiting("SPX"), Some(waiting("VIX")));
    album.add("nothing known", view(nothing));
    let mut denied = base;
    for line in lines(&mut denied) {
        line.denial = Some(Denial::NotEntitled);
    }
    album.add("denied", denied);
    let mut share = line("NVDA", 187.9, 190.02, &second);
    share.part = Some(SessionPart::Post);
    album.add("post", view(PageView::Pair(share, Some(share))));
    let closed = InstrumentView {
        freshness: Freshness::Closed,
        part: None,
        ..share
    };
    let later = line("POST", 189.25, 187.9, &second);
    album.add("after hours", view(PageView::Pair(closed, Some(later))));
    album.check();
}

#[test]
fn a_pair_of_extreme_numbers_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let mut album = Album::square("square-numbers");
    let [spy, long] = ["O:SPY251219C00650000", "O:ABCDEF251219P00652500"].map(symbol);
    for (name, first, before, second, then, decimals) in [
        ("six digits", 123_456.78, 123_000.0, 3_988.0, 4_010.0, 2),
        ("negative", -12_313.5, -12_000.0, -0.25, 100.0, 2),
        ("four decimals", 5912.3456, 5887.6, 17.2549, 17.4812, 4),
        (
            "six digits and four decimals",
            123_456.789_1,
            123_000.0,
            -123_456.789_1,
            -1.0,
            4,
        ),
        ("largest", 99_999_999.999_9, 1.0, -99_999_999.999_9, -1.0, 4),
    ] {
        let mut view = view(PageView::Pair(
            line("SPX", first, before, &history),
            Some(line("VIX", second, then, &history)),
        ));
        for line in lines(&mut view) {
            line.decimals = decimals;
        }
        album.add(name, view);
        let mut both = lines(&mut view);
        (both[0].freshness, both[1].freshness) = (stale(12), Freshness::Delayed);
        album.add(&format!("{name}, stale and delayed"), view);
        let mut both = lines(&mut view);
        (both[0].freshness, both[1].freshness) = (Freshness::Closed, stale(7_200));
        view.alert = alert();
        album.add(&format!("{name}, closed and stale, alert"), view);
    }
    let options = view(PageView::Pair(
        option(&spy, 12.34, 12.0, &history),
        Some(option(&long, 1_234.5, 1_200.0, &history)),
    ));
    album.add_each_freshness("options, ", options);
    let mut expired = options;
    for line in lines(&mut expired) {
        line.expired = true;
    }
    album.add("options, expired", expired);
    album.check();
}

#[test]
fn one_price_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let spx = line("SPX", 5912.41, 5887.61, &history);
    let mut album = Album::square("square-big");
    let base = view(PageView::Big(spx, day()));
    album.add_each_freshness("", base);
    album.add_each_freshness(
        "simulated, ",
        View {
            simulated: true,
            ..base
        },
    );
    album.add(
        "alert",
        View {
            alert: alert(),
            ..base
        },
    );
    let traded = DayStats {
        volume: Some(48_123_456),
        ..day()
    };
    let mut share = line("NVDA", 187.9, 190.02, &history);
    share.part = Some(SessionPart::Pre);
    album.add("share", view(PageView::Big(share, traded)));
    album.add_each_freshness("without its day, ", view(PageView::Pair(spx, None)));
    let long = InstrumentView {
        decimals: 4,
        ..line("LONGERNAME", -123_456.789_1, -120_000.0, &history)
    };
    album.add("long", view(PageView::Big(long, day())));
    album.check();
}

#[test]
fn a_contract_matches_its_golden_picture() {
    let history = walk(100, 12.34);
    let spy = symbol("O:SPY251219C00650000");
    let mut album = Album::square("square-contract");
    let base = view(PageView::Contract(sheet(&spy, &history)));
    album.add_each_freshness("", base);
    album.add(
        "simulated, alert",
        View {
            simulated: true,
            alert: alert(),
            ..base
        },
    );
    let mut expired = sheet(&spy, &history);
    expired.line.expired = true;
    let expired = OptionView {
        days: Some(-1),
        ..expired
    };
    album.add("expired", view(PageView::Contract(expired)));
    let mut today = sheet(&spy, &history);
    (today.days, today.analytics, today.book) = (Some(0), None, None);
    album.add("today, little known", view(PageView::Contract(today)));
    album.check();
}

#[test]
fn the_other_pages_match_their_golden_pictures() {
    let mut album = Album::square("square-others");
    album.add("link", view(PageView::Link(report())));
    for hop in [HOPS[0], LinkHop::Upstream] {
        let report = LinkReport {
            hop,
            excluded: [true, false, false],
            ..report()
        };
        let down = View {
            sign: LinkIcon::Down,
            simulated: true,
            ..view(PageView::Link(report))
        };
        album.add(&format!("link, {hop:?}").to_lowercase(), down);
    }
    let link = view(PageView::Link(report()));
    album.add(
        "link, alert",
        View {
            alert: alert(),
            ..link
        },
    );
    album.add("empty", view(PageView::Empty));
    let short = view(PageView::Notice {
        title: "CONFIG",
        text: "no configuration on the card",
    });
    album.add("notice", short);
    album.add(
        "notice, alert",
        View {
            alert: alert(),
            ..short
        },
    );
    let text = "deskticker.toml:12: watchlist: \"SPXX\" is no index of this plan and no share; the \
                names of indices are those of the vendor without I:, such as SPX or VIX; a contract \
                has the form O:SPY251219C00650000";
    album.add(
        "long notice",
        view(PageView::Notice {
            title: "CONFIG",
            text,
        }),
    );
    let phone = notice::text("ticker-1a2b", "12345678", [10, 42, 0, 1].into(), false);
    let (text, code) = phone.split_once('\n').unwrap();
    album.add("phone", view(PageView::Join { text, code }));
    album.check();
}

#[test]
fn every_page_uses_the_lower_half() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    for page in [
        PageView::Pair(line("SPX", 5912.41, 5887.61, &history), None),
        PageView::Big(line("SPX", 5912.41, 5887.61, &history), day()),
        PageView::Contract(sheet(&spy, &history)),
        PageView::Link(report()),
    ] {
        let frame = drawn(&view(page), SIZE);
        assert!(lit(&frame, 0..1) && lit(&frame, 13..16), "{frame:?}");
    }
}

#[test]
fn both_prices_of_a_pair_are_equally_large_and_stand_at_the_same_place_of_their_halves() {
    let history = walk(100, 5912.41);
    let spx = line("SPX", 5912.41, 5887.61, &history);
    let frame = drawn(&view(PageView::Pair(spx, Some(spx))), SIZE);
    // The first line also has the time and the state of the connection.
    for page in 1..8 {
        assert_eq!(frame.page(page), frame.page(page + 8), "{frame:?}");
    }
}

#[test]
fn a_notice_and_the_test_picture_are_inside_the_panel() {
    for (word, meaning) in [
        ("STARTING", "the system comes up"),
        ("HALTED", "the program stands still"),
        ("NOT LIVE", "cannot write this file"),
        ("A LONGER WORD", "nothing here is live"),
    ] {
        let frame = render::notice(SIZE, word, meaning);
        assert!(lit(&frame, 4..7) && lit(&frame, 9..10), "{frame:?}");
        assert!(!lit(&frame, 0..4) && !lit(&frame, 10..16), "{frame:?}");
    }
    let frame = test_picture(SIZE, "2345");
    for at in 0..WIDTH {
        let corners = [(at, 0), (at, WIDTH - 1), (0, at), (WIDTH - 1, at)];
        assert!(
            corners.into_iter().all(|(x, y)| frame.lit(x, y)),
            "{frame:?}"
        );
    }
}
