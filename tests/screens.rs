//! What each page looks like in each state, on both sizes of glass.
//!
//! Golden pictures in `tests/screens/`, two dots a character, a bar at the end of each line;
//! `UPDATE_SCREENS=1 cargo test --test screens` draws them anew, and `git diff` shows what changed.
#![allow(clippy::unwrap_used)]

mod scene;

use std::fmt::Write as _;
use std::time::Duration;
use std::{env, fs, path::Path};

use deskticker::market::{Analysis, Book, Day, Denial, Freshness, Numbers, Part, Trade};
use deskticker::screen::{
    Alert, Format, Frame, Hop, Page, Report, Sheet, Sign, Size, Threshold, View, WIDTH,
};
use scene::{
    HOPS, SIGNS, SIZES, day, drawn, line, lines, option, ordinary, price, report, sheet, stale,
    symbol, view, waiting, walk,
};

/// A picture as it is kept: the bars keep editors and git from eating the dark dots.
fn text(frame: &Frame) -> String {
    let mut text = String::new();
    for line in frame.to_string().lines() {
        writeln!(text, "{line}|").unwrap();
    }
    text
}

/// Pictures that are kept in one file, each under its name.
struct Album<'a> {
    file: &'a str,
    views: Vec<(String, View<'a>)>,
}

impl<'a> Album<'a> {
    fn new(file: &'a str) -> Self {
        Self {
            file,
            views: vec![],
        }
    }

    fn add(&mut self, name: &str, view: View<'a>) -> &mut Self {
        self.views.push((name.into(), view));
        self
    }

    /// The view in each freshness, all of its lines alike.
    fn add_each_freshness(&mut self, name: &str, view: View<'a>) -> &mut Self {
        for (word, freshness) in FRESHNESSES {
            let mut view = view;
            for line in lines(&mut view) {
                line.freshness = freshness;
            }
            self.add(&format!("{name}{word}"), view);
        }
        self
    }

    /// Compares with the golden pictures, on both sizes of glass.
    fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/screens")
            .join(format!("{}.txt", self.file));
        let pictures = self.views.iter().flat_map(|(name, view)| {
            SIZES.map(|size| format!("{name}, {size}\n{}", text(&drawn(view, size))))
        });
        let actual: Vec<String> = pictures.collect();
        if env::var_os("UPDATE_SCREENS").is_some() {
            fs::write(&path, actual.join("\n")).unwrap();
            return;
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let expected: Vec<&str> = kept.split("\n\n").map(str::trim_end).collect();
        for (at, actual) in actual.iter().enumerate() {
            let expected = expected.get(at).copied().unwrap_or("no picture");
            assert!(
                actual.trim_end() == expected,
                "{}, expected:\n{expected}\nactual:\n{actual}\nUPDATE_SCREENS=1 keeps the pictures",
                self.file
            );
        }
        assert_eq!(actual.len(), expected.len(), "{}: more are kept", self.file);
    }
}

const FRESHNESSES: [(&str, Freshness); 6] = [
    ("live", Freshness::Live),
    ("stale", Freshness::Stale(Duration::from_secs(12))),
    (
        "stale for hours",
        Freshness::Stale(Duration::from_secs(2 * 3600)),
    ),
    ("delayed", Freshness::Delayed),
    ("closed", Freshness::Closed),
    ("none", Freshness::None),
];

#[test]
fn a_pair_in_each_freshness() {
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
fn a_pair_in_each_state_of_the_link_and_the_clock() {
    let history = walk(100, 5912.41);
    let base = ordinary(&history);
    let mut album = Album::new("pair-states");
    for sign in SIGNS {
        album.add(&format!("{sign:?}").to_lowercase(), View { sign, ..base });
    }
    album.add("clock not set", View { time: None, ..base });
    let start = View {
        time: None,
        sign: Sign::Joining,
        ..view(Page::Pair(waiting("SPX"), Some(waiting("VIX"))))
    };
    album.add("nothing known yet", start);
    let alone = view(Page::Pair(line("SPX", 5912.41, 5887.61, &history), None));
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

#[test]
fn a_pair_of_extremes() {
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
        let mut view = view(Page::Pair(
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
        let mut view = view(Page::Pair(
            line("SPX", 5912.41, 5887.61, &history),
            Some(line("NDX", 21_345.67, 21_400.0, &[])),
        ));
        view.format.numbers = Numbers { group, point };
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
fn a_pair_of_names() {
    let history = walk(100, 5912.41);
    let [spy, next, long, spxw] = [
        "O:SPY251219C00650000",
        "O:SPY260116C00650000",
        "O:ABCDEF251219P00652500",
        "O:SPXW251219C06000000",
    ]
    .map(symbol);
    let mut album = Album::new("pair-names");
    let options = view(Page::Pair(
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
    let long = view(Page::Pair(
        option(&long, 1234.5, 1200.0, &history),
        Some(option(&spxw, 1234.5, 1200.0, &[])),
    ));
    album.add("long", long);
    let mixed = view(Page::Pair(
        line("SPX", 5912.41, 5887.61, &history),
        Some(option(&spxw, 84.6, 82.0, &[])),
    ));
    album.add("index and option", mixed);
    let foreign = view(Page::Pair(
        line("ÜBERLANGERNAME", 12.34, 12.0, &history),
        Some(line("LONGERTHANTHAT", 3988.0, 4000.0, &[])),
    ));
    album.add("foreign", foreign);
    album.check();
}

#[test]
fn a_pair_of_shares() {
    let history = walk(100, 650.0);
    let mut base = view(Page::Pair(
        line("SPY", 650.12, 647.3, &history),
        Some(line("NVDA", 187.9, 190.02, &[])),
    ));
    let mut album = Album::new("pair-shares");
    for (name, part) in [
        ("pre", Part::Pre),
        ("regular", Part::Regular),
        ("post", Part::Post),
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
fn alerts() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let alert = |label, threshold, lit| {
        Some(Alert {
            label,
            threshold,
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
    let big = Page::Big(line("SPX", 5912.41, 5887.61, &history), day());
    album.add_each_freshness("big, ", View { page: big, ..base });
    let contract = Page::Contract(sheet(&spy, &history));
    album.add_each_freshness(
        "contract, ",
        View {
            page: contract,
            ..base
        },
    );
    for (name, page) in [
        ("link", Page::Link(report())),
        ("empty", Page::Empty),
        (
            "notice",
            Page::Notice {
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
fn one_instrument_alone() {
    let history = walk(100, 5912.41);
    let spy = symbol("O:SPY251219C00650000");
    let spx = line("SPX", 5912.41, 5887.61, &history);
    let mut album = Album::new("big");
    let base = view(Page::Big(spx, day()));
    album.add_each_freshness("", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("simulated and misconfigured, ", worst);
    album.add("no day", view(Page::Big(spx, Day::default())));
    let range = |low, high| Day {
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
            view(Page::Big(line("SPX", now, before, &history), day)),
        );
    }
    let contract = option(&spy, 12.34, 12.0, &history);
    album.add_each_freshness("option, ", view(Page::Big(contract, range(11.9, 13.05))));
    let mut share = line("NVDA", 187.9, 190.02, &history);
    share.part = Some(Part::Post);
    album.add("post", view(Page::Big(share, range(186.2, 191.0))));
    share.denial = Some(Denial::NotEntitled);
    album.add("not in the plan", view(Page::Big(share, day())));
    let twelve = View {
        time: Some((12, 32)),
        format: Format {
            twelve_hours: true,
            numbers: Numbers {
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
fn a_contract() {
    let history = walk(100, 12.34);
    let [spy, long] = ["O:SPY251219C00650000", "O:ABCDEF251219P00652500"].map(symbol);
    let full = sheet(&spy, &history);
    let mut album = Album::new("contract");
    let base = view(Page::Contract(full));
    album.add_each_freshness("", base);
    let worst = View {
        simulated: true,
        misconfigured: true,
        ..base
    };
    album.add_each_freshness("simulated and misconfigured, ", worst);
    let with = |sheet| view(Page::Contract(sheet));
    for (name, days) in [
        ("last day", Some(0)),
        ("expired", Some(-3)),
        ("days not known", None),
        ("years", Some(1023)),
    ] {
        album.add(name, with(Sheet { days, ..full }));
    }
    let expired = Sheet {
        days: Some(-1),
        ..full
    };
    album.add_each_freshness("expired, ", with(expired));
    let unknown = Sheet {
        line: waiting(spy.name()),
        book: None,
        last: None,
        day: Day::default(),
        analysis: None,
        ..full
    };
    album.add("nothing known", with(unknown));
    let part = Sheet {
        book: None,
        analysis: Some(Analysis {
            delta: full.analysis.unwrap().delta,
            ..Analysis::default()
        }),
        ..full
    };
    album.add("no book", with(part));
    let unbid = Sheet {
        book: Some(Book {
            bid: price(0.0),
            bid_size: 0,
            ..full.book.unwrap()
        }),
        ..full
    };
    album.add("nobody bids", with(unbid));
    let old = Sheet {
        last: Some((full.last.unwrap().0, Duration::from_secs(200))),
        ..full
    };
    album.add("old trade", with(old));
    let wide = Sheet {
        line: option(&long, 1234.5, 1200.0, &history),
        contract: long.contract().unwrap(),
        days: Some(365),
        book: Some(Book {
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
        day: Day {
            range: None,
            volume: Some(12_345_678),
        },
        analysis: Some(Analysis {
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
fn the_link() {
    let mut album = Album::new("link");
    for hop in HOPS {
        let sign = if hop == Hop::None {
            Sign::Live
        } else {
            Sign::Down
        };
        let report = Report { hop, ..report() };
        let name = format!("{hop:?}").to_lowercase();
        album.add(
            &name,
            View {
                sign,
                ..view(Page::Link(report))
            },
        );
    }
    let start = Report {
        hop: Hop::Clock,
        since: Duration::ZERO,
        messages: 0,
        latency: None,
        clock_set: false,
        reconnects: 0,
        last: None,
        wear: (0, 0),
    };
    let start = View {
        time: None,
        sign: Sign::Joining,
        ..view(Page::Link(start))
    };
    album.add("start", start);
    let most = Report {
        hop: Hop::Upstream,
        since: Duration::MAX,
        messages: u32::MAX,
        latency: Some(i64::MIN),
        reconnects: u32::MAX,
        last: Some(Duration::MAX),
        wear: (u32::MAX, u32::MAX),
        ..report()
    };
    let most = View {
        simulated: true,
        misconfigured: true,
        ..view(Page::Link(most))
    };
    album.add("most", most);
    album.check();
}

#[test]
fn words_in_place_of_prices() {
    let mut album = Album::new("notice");
    album.add("empty", view(Page::Empty));
    let simulated = View {
        simulated: true,
        misconfigured: true,
        ..view(Page::Empty)
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
        album.add(name, view(Page::Notice { title, text }));
    }
    album.check();
}

#[test]
fn a_tick_of_hundredths_changes_two_digits_and_nothing_else() {
    let history = walk(100, 5912.41);
    let mut view = ordinary(&history);
    let mut pictures = [5912.34, 5912.41].map(|now| {
        // The change in percent is the same for both.
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
fn a_new_point_of_the_history_changes_the_newest_column() {
    let mut history = walk(127, 5912.41);
    // Points beyond the extremes would rightly scale the curve anew.
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
