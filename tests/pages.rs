//! Tests of the pages that are not a pair of prices, in each state and for both display sizes.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use std::time::Duration;

use deskticker::market::{
    DayStats, Denial, Freshness, NumberFormat, OptionAnalytics, SessionPart, TopOfBook, Trade,
};
use deskticker::phone::notice;
use deskticker::render::{
    AlertView, ClockFault, Format, InstrumentView, LinkHop, LinkIcon, LinkReport, OptionView,
    PageView, PriceSummary, Threshold, TimeSource, View,
};

use views::goldens::Album;
use views::{
    HOPS, day, line, option, ordinary, price, report, sheet, stale, symbol, view, waiting, walk,
};

#[test]
fn every_alert_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let alert = |label, threshold, lit| {
        Some(AlertView {
            label,
            threshold,
            decimals: 2,
            lit,
        })
    };
    let crossed = alert("SPX", Threshold::Above(price(6000.0)), true);
    let mut album = Album::new("alerts");
    let base = ordinary(&history);
    for (name, alert) in [
        ("above, lit", crossed),
        (
            "above, dark",
            alert("SPX", Threshold::Above(price(6000.0)), false),
        ),
        ("below", alert("VIX", Threshold::Below(price(12.0)), true)),
        ("moved", alert("SPY", Threshold::Moved(200), true)),
        (
            "moved a little",
            alert("LONGERNAMETHANFITS", Threshold::Moved(25), true),
        ),
    ] {
        album.add(name, View { alert, ..base });
    }
    let base = View {
        alert: crossed,
        ..base
    };
    album.add_each_freshness("pair, ", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("pair, simulated and misconfigured, ", worst);
    let big = PageView::Big(line("SPX", 5912.41, 5887.61, &history), day());
    album.add_each_freshness("big, ", View { page: big, ..base });
    let contract = PageView::Contract(sheet(&spy, &history));
    album.add_each_freshness(
        "contract, ",
        View {
            page: contract,
            ..base
        },
    );
    for (name, page) in [
        ("link", PageView::Link(report())),
        ("empty", PageView::Empty),
        (
            "notice",
            PageView::Notice {
                title: "CONFIG",
                text: "deskticker.toml:12: unknown key",
            },
        ),
    ] {
        album.add(name, View { page, ..base });
    }
    album.check();
}

#[test]
fn every_page_of_one_instrument_matches_its_golden_picture() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let spx = line("SPX", 5912.41, 5887.61, &history);
    let mut album = Album::new("big");
    let base = view(PageView::Big(spx, day()));
    album.add_each_freshness("", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("simulated and misconfigured, ", worst);
    album.add("no day", view(PageView::Big(spx, DayStats::default())));
    let range = |low, high| DayStats {
        range: Some((price(low), price(high))),
        volume: None,
    };
    for (name, now, before, day) in [
        (
            "six digits",
            123_456.78,
            123_000.0,
            range(122_987.0, 124_001.5),
        ),
        ("at its low", 5880.12, 5887.61, day()),
        ("tiny", 0.0001, 0.0002, range(0.0001, 0.0003)),
        ("fallen", 87.66, 100.0, range(87.0, 101.25)),
        (
            "largest",
            99_999_999.99,
            50_000_000.0,
            range(50_000_000.0, 99_999_999.99),
        ),
        (
            "most negative",
            -99_999_999.99,
            1.0,
            range(-99_999_999.99, -1.0),
        ),
        ("risen wildly", 5000.0, 1.0, range(1.0, 5000.0)),
    ] {
        album.add(
            name,
            view(PageView::Big(line("SPX", now, before, &history), day)),
        );
    }
    let contract = option(&spy, 12.34, 12.0, &history);
    album.add_each_freshness(
        "option, ",
        view(PageView::Big(contract, range(11.9, 13.05))),
    );
    let mut share = line("NVDA", 187.9, 190.02, &history);
    share.part = Some(SessionPart::Post);
    album.add("post", view(PageView::Big(share, range(186.2, 191.0))));
    share.part = Some(SessionPart::Outside);
    album.add("outside", view(PageView::Big(share, range(186.2, 191.0))));
    (share.freshness, share.part) = (Freshness::Live, Some(SessionPart::Post));
    share.denial = Some(Denial::NotEntitled);
    album.add("not in the plan", view(PageView::Big(share, day())));
    let twelve = View {
        time: Some((12, 32)),
        format: Format {
            twelve_hours: true,
            numbers: NumberFormat {
                group: Some(b'.'),
                point: b',',
            },
        },
        ..base
    };
    album.add("twelve hours and German", twelve);
    album.check();
}

#[test]
fn every_page_of_a_close_and_a_later_price_matches_its_golden_picture() {
    let history = walk(100, 187.9);
    let closed = InstrumentView {
        freshness: Freshness::Closed,
        ..line("NVDA", 187.9, 190.02, &history)
    };
    let mut album = Album::new("after-hours");
    for (name, label, later, freshness) in [
        ("post, live", "POST", 189.25, Freshness::Live),
        ("post, stale", "POST", 189.25, stale(12 * 60)),
        ("post, two days old", "POST", 189.25, stale(49 * 3600)),
        ("pre, delayed", "PRE", 186.41, Freshness::Delayed),
        ("outside the known hours", "EXT", 187.9, Freshness::Live),
        ("largest", "EXT", 99_999_999.99, Freshness::Live),
    ] {
        let later = InstrumentView {
            freshness,
            ..line(label, later, 187.9, &history)
        };
        let base = view(PageView::Pair(closed, Some(later)));
        album.add(name, base);
        let worst = View {
            simulated: true,
            misconfigured: true,
            ..base
        };
        album.add(&format!("{name}, simulated and misconfigured"), worst);
    }
    // In the morning, the close of the day before has no change.
    let morning = InstrumentView {
        change: None,
        ..closed
    };
    let early = line("PRE", 189.25, 187.9, &history);
    album.add("in the morning", view(PageView::Pair(morning, Some(early))));
    album.check();
}

#[test]
fn every_page_of_a_contract_matches_its_golden_picture() {
    let history = walk(100, 12.34);
    let [spy, long] = ["O:SPY251219C00650000", "O:ABCDEF251219P00652500"].map(symbol);
    let full = sheet(&spy, &history);
    let mut album = Album::new("contract");
    let base = view(PageView::Contract(full));
    album.add_each_freshness("", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("simulated and misconfigured, ", worst);
    let with = |sheet| view(PageView::Contract(sheet));
    for (name, days) in [
        ("last day", Some(0)),
        ("days not known", None),
        ("years", Some(1023)),
    ] {
        album.add(name, with(OptionView { days, ..full }));
    }
    let mut expired = OptionView {
        days: Some(-1),
        ..full
    };
    expired.line.expired = true;
    album.add_each_freshness("expired, ", with(expired));
    // The expiry day is not over, but trading in the contract has ended.
    expired.days = Some(0);
    album.add("expired today", with(expired));
    let mut outside = full;
    outside.line.part = Some(SessionPart::Outside);
    album.add("outside", with(outside));
    outside.line.price = Some(price(1.25));
    album.add("outside, delayed", {
        outside.line.freshness = Freshness::Delayed;
        with(outside)
    });
    let unknown = OptionView {
        line: waiting(spy.name()),
        book: None,
        last: None,
        day: DayStats::default(),
        analytics: None,
        ..full
    };
    album.add("nothing known", with(unknown));
    let part = OptionView {
        book: None,
        analytics: Some(OptionAnalytics {
            delta: full.analytics.unwrap().delta,
            ..OptionAnalytics::default()
        }),
        ..full
    };
    album.add("no book", with(part));
    let unbid = OptionView {
        book: Some(TopOfBook {
            bid: price(0.0),
            bid_size: 0,
            ..full.book.unwrap()
        }),
        ..full
    };
    album.add("nobody bids", with(unbid));
    let unasked = OptionView {
        book: Some(TopOfBook {
            ask: price(0.0),
            ask_size: 0,
            ..full.book.unwrap()
        }),
        ..full
    };
    album.add("nobody asks", with(unasked));
    let neither = OptionView {
        book: Some(TopOfBook {
            bid: price(0.0),
            ask: price(0.0),
            bid_size: 0,
            ask_size: 0,
        }),
        ..full
    };
    album.add("nobody bids or asks", with(neither));
    let old = OptionView {
        last: Some((full.last.unwrap().0, Duration::from_secs(200))),
        ..full
    };
    album.add("old trade", with(old));
    let wide = OptionView {
        line: option(&long, 1234.5, 1200.0, &history),
        contract: long.contract().unwrap(),
        days: Some(365),
        book: Some(TopOfBook {
            bid: price(1_230.5),
            ask: price(1_240.25),
            bid_size: 1_234,
            ask_size: 1_200,
        }),
        last: Some((
            Trade {
                price: price(1_233.45),
                size: 1,
            },
            Duration::from_secs(900),
        )),
        day: DayStats {
            range: None,
            volume: Some(12_345_678),
        },
        analytics: Some(OptionAnalytics {
            delta: Some(price(-1.0)),
            gamma: Some(price(0.0001)),
            theta: Some(price(-123.45)),
            vega: Some(price(1_234.5)),
            implied_volatility: Some(price(12.345)),
            open_interest: Some(1_234_567),
        }),
    };
    album.add_each_freshness("wide, ", with(wide));
    let mut denied = full;
    denied.line.denial = Some(Denial::NotEntitled);
    album.add("not in the plan", with(denied));
    denied.line.denial = Some(Denial::NotFound);
    album.add("no such ticker", with(denied));
    album.check();
}

#[test]
fn every_link_page_matches_its_golden_picture() {
    let mut album = Album::new("link");
    for hop in HOPS {
        let sign = if hop == LinkHop::None {
            LinkIcon::Live
        } else {
            LinkIcon::Down
        };
        let report = LinkReport { hop, ..report() };
        let name = format!("{hop:?}").to_lowercase();
        album.add(
            &name,
            View {
                sign,
                ..view(PageView::Link(report))
            },
        );
    }
    let start = LinkReport {
        hop: LinkHop::Clock,
        since: Duration::ZERO,
        prices: PriceSummary::None,
        messages: None,
        latency: None,
        undated: false,
        clock_set: false,
        clock: None,
        reconnects: 0,
        last: None,
        lit_hours: 0,
        excluded: [false; 3],
    };
    let start = View {
        time: None,
        sign: LinkIcon::Joining,
        ..view(PageView::Link(start))
    };
    album.add("start", start);
    let good = report();
    let fault = |who, off| {
        let clock = Some(ClockFault { who, off });
        LinkReport { clock, ..good }
    };
    for (name, report) in [
        (
            "first ten seconds",
            LinkReport {
                messages: None,
                ..good
            },
        ),
        (
            "all prices struck",
            LinkReport {
                prices: PriceSummary::Struck,
                ..good
            },
        ),
        (
            "no price at all",
            LinkReport {
                prices: PriceSummary::None,
                ..good
            },
        ),
        (
            "no usable timestamps",
            LinkReport {
                prices: PriceSummary::None,
                undated: true,
                ..good
            },
        ),
        (
            "the plan lacks one cluster",
            LinkReport {
                excluded: [false, true, false],
                ..good
            },
        ),
        (
            "the plan lacks two clusters",
            LinkReport {
                excluded: [true, true, false],
                ..good
            },
        ),
        (
            "the plan lacks all clusters",
            LinkReport {
                hop: LinkHop::Plan,
                excluded: [true; 3],
                ..good
            },
        ),
        ("own clock ahead", fault(TimeSource::Own, 45_000)),
        (
            "the server's clock behind",
            fault(TimeSource::Server, -3_600_000),
        ),
        ("the stamps ahead", fault(TimeSource::Stamps, 50_000)),
        (
            "own clock wrong and all prices struck",
            LinkReport {
                prices: PriceSummary::Struck,
                ..fault(TimeSource::Own, -900_000)
            },
        ),
        (
            "own clock wrong and the hub gone",
            LinkReport {
                hop: LinkHop::Hub,
                ..fault(TimeSource::Own, i64::MIN)
            },
        ),
    ] {
        album.add(name, view(PageView::Link(report)));
    }
    let most = LinkReport {
        hop: LinkHop::Upstream,
        since: Duration::MAX,
        messages: Some(u32::MAX),
        latency: Some(i64::MIN),
        reconnects: u32::MAX,
        last: Some(Duration::MAX),
        lit_hours: u32::MAX,
        ..report()
    };
    let most = View {
        simulated: true,
        misconfigured: true,
        ..view(PageView::Link(most))
    };
    album.add("most", most);
    album.check();
}

#[test]
fn every_notice_page_matches_its_golden_picture() {
    let mut album = Album::new("notice");
    album.add("empty", view(PageView::Empty));
    let simulated = View {
        simulated: true,
        misconfigured: true,
        ..view(PageView::Empty)
    };
    album.add("empty, simulated and misconfigured", simulated);
    for (name, title, text) in [
        (
            "configuration",
            "CONFIG",
            "/etc/deskticker/deskticker.toml:12: \"SPX1\" is not a symbol: write an index (\"SPX\", \"I:SPX\"), a share or an option",
        ),
        ("short", "NO KEY", "run deskticker setup"),
        (
            "unbreakable",
            "A LONG TITLE THAT IS CUT",
            "https://hub.example.com:8443/v1/quotes?symbols=SPX,VIX,NDX,RUT&session=20251219 is not an address",
        ),
        ("no text", "HALTED", ""),
    ] {
        album.add(name, view(PageView::Notice { title, text }));
    }
    let notice = |failed| notice::text("ticker-1a2b", "12345678", [10, 42, 0, 1].into(), failed);
    let notices = [("phone", notice(false)), ("phone, again", notice(true))];
    for (name, notice) in &notices {
        let (text, code) = notice.split_once('\n').unwrap();
        album.add(name, view(PageView::Join { text, code }));
    }
    album.check();
}
