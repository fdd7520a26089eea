//! Tests of the pictures of the big screen: each state in each size, and what a person sees from
//! five metres.
#![allow(clippy::unwrap_used)]

#[path = "support/big_screen/mod.rs"]
mod big_screen;
#[path = "support/views/mod.rs"]
mod views;

use std::path::Path;
use std::{env, fs};

use deskticker::market::{Denial, Freshness, SessionPart};
use deskticker::render::screen::{Ink, Look, Painter, Palette, Scene, ScreenContent, Shape, Theme};
use deskticker::render::{
    AlertView, InstrumentView, LinkHop, LinkIcon, LinkReport, PageView, PriceSummary, Threshold,
    View,
};

use big_screen::{Picture, content, look, scene, wall};
use views::{day, line, lines, price, report, sheet, stale, symbol, view, walk};

/// Pictures that are stored in one file of `tests/screens`.
struct Album {
    file: &'static str,
    pictures: Vec<String>,
}

impl Album {
    fn new(file: &'static str) -> Self {
        Self {
            file,
            pictures: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, content: &ScreenContent, look: Look) {
        let picture = Picture::of(content, look);
        assert_disjoint(&scene(content, look), name);
        assert!(
            !picture.pixels.contains(&0x12_34_56),
            "{name}: not everything is painted"
        );
        let (width, height) = look.size;
        picture.keep(&format!("{}-{name}-{width}x{height}", self.file).replace(' ', "-"));
        let columns = if width > height { 120 } else { 80 };
        let text = picture.text(columns);
        self.pictures
            .push(format!("{name}, {width}x{height}\n{text}"));
    }

    fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/screens")
            .join(format!("{}.txt", self.file));
        if env::var_os("UPDATE_SCREENS").is_some() {
            fs::write(&path, self.pictures.join("\n")).unwrap();
            return;
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let expected: Vec<&str> = kept.split("\n\n").map(str::trim_end).collect();
        for (at, actual) in self.pictures.iter().enumerate() {
            let expected = expected.get(at).copied().unwrap_or("no picture");
            assert!(
                actual.trim_end() == expected,
                "{}, expected:\n{expected}\nactual:\n{actual}\nUPDATE_SCREENS=1 keeps the pictures",
                self.file
            );
        }
        assert_eq!(
            self.pictures.len(),
            expected.len(),
            "{}: more are kept",
            self.file
        );
    }
}

/// A page with one instrument in this state, and simulated prices or not.
fn with(freshness: Freshness, base: View<'_>) -> View<'_> {
    let mut view = base;
    for line in lines(&mut view) {
        line.freshness = freshness;
    }
    view
}

fn tiles(freshness: Freshness, tiles: &[InstrumentView<'_>]) -> Vec<InstrumentView<'static>> {
    let tile = |line: &InstrumentView<'_>| InstrumentView {
        label: line.label.to_owned().leak(),
        contract: None,
        freshness,
        history: &[],
        expired: line.expired,
        part: line.part,
        denial: line.denial,
        price: line.price,
        change: line.change,
        decimals: line.decimals,
    };
    tiles.iter().map(tile).collect()
}

#[test]
fn each_state_of_a_price_matches_its_golden_picture() {
    let history = walk(120, 5912.41);
    let tiles_of = wall(&history);
    let base = view(PageView::Big(
        line("SPX", 5912.41, 5887.61, &history),
        day(),
    ));
    let mut album = Album::new("screen-states");
    for (name, freshness) in [
        ("live", Freshness::Live),
        ("stale", stale(12)),
        ("delayed", Freshness::Delayed),
        ("closed", Freshness::Closed),
        ("none", Freshness::None),
    ] {
        let content = content(&with(freshness, base), &tiles(freshness, &tiles_of[..6]));
        album.add(name, &content, look(1920, 1080));
    }
    let demo = View {
        simulated: true,
        ..base
    };
    album.add("demo", &content(&demo, &tiles_of[..6]), look(1920, 1080));
    let down = View {
        sign: LinkIcon::Down,
        misconfigured: true,
        ..with(stale(75), base)
    };
    album.add(
        "link down",
        &content(&down, &tiles(stale(75), &tiles_of)),
        look(1920, 1080),
    );
    for lit in [true, false] {
        let alert = AlertView {
            label: "SPX",
            threshold: Threshold::Above(price(5900.0)),
            decimals: 2,
            lit,
        };
        let alerted = View {
            alert: Some(alert),
            simulated: true,
            ..base
        };
        let name = if lit { "alert lit" } else { "alert" };
        album.add(name, &content(&alerted, &tiles_of[..6]), look(1920, 1080));
    }
    album.check();
}

#[test]
fn each_size_of_the_screen_matches_its_golden_picture() {
    let history = walk(120, 5912.41);
    let tiles_of = wall(&history);
    let base = view(PageView::Pair(
        line("SPX", 5912.41, 5887.61, &history),
        Some(line("VIX", 17.25, 17.48, &[])),
    ));
    let mut mixed = tiles_of.clone();
    mixed[1].freshness = stale(12);
    mixed[2].freshness = Freshness::Delayed;
    mixed[3].freshness = Freshness::Closed;
    mixed[4].denial = Some(Denial::NotEntitled);
    mixed[5].part = Some(SessionPart::Post);
    let mut album = Album::new("screen-sizes");
    for (size, count) in [
        ((1920, 1080), 12),
        ((1280, 720), 1),
        ((1080, 1920), 12),
        ((1080, 1920), 1),
        ((640, 480), 12),
        ((800, 480), 3),
        ((480, 800), 12),
        ((1280, 720), 5),
        ((320, 240), 1),
    ] {
        let name = format!("{count} instruments");
        album.add(
            &name,
            &content(&base, &mixed[..count]),
            look(size.0, size.1),
        );
    }
    let light = Look {
        theme: Theme::Light,
        ..look(1920, 1080)
    };
    album.add("light", &content(&base, &mixed), light);
    let night = Look {
        brightness: 10,
        ..look(1920, 1080)
    };
    album.add("night", &content(&base, &mixed), night);
    album.check();
}

#[test]
fn each_other_page_matches_its_golden_picture() {
    let history = walk(100, 12.34);
    let spy = symbol("O:SPY251219C00650000");
    let tiles_of = wall(&history);
    let failing = LinkReport {
        hop: LinkHop::Dns,
        prices: PriceSummary::Struck,
        ..report()
    };
    let code = "#.##\n##.#\n.##.\n#..#\n".repeat(6);
    let code: String = code
        .lines()
        .map(|line| format!("{}\n", line.repeat(6)))
        .collect();
    let mut album = Album::new("screen-pages");
    let outside = [
        InstrumentView {
            freshness: Freshness::Closed,
            ..line("AAPL", 229.87, 231.3, &history)
        },
        line("POST", 231.3, 229.87, &[]),
    ];
    for (name, page) in [
        ("contract", PageView::Contract(sheet(&spy, &history))),
        ("link", PageView::Link(report())),
        ("link failing", PageView::Link(failing)),
        (
            "notice",
            PageView::Notice {
                title: "CONFIG",
                text: "/etc/deskticker/deskticker.toml:12: [panel] size: \"128x46\", expected 128x64, 128x32",
            },
        ),
        (
            "phone",
            PageView::Join {
                text: "Wi-Fi deskticker code 1234-5678 then open http://10.0.0.1",
                code: &code,
            },
        ),
        (
            "outside the hours",
            PageView::Pair(outside[0], Some(outside[1])),
        ),
        ("empty", PageView::Empty),
    ] {
        let content = content(&view(page), &tiles_of[..4]);
        album.add(name, &content, look(1280, 720));
        album.add(name, &content, look(480, 800));
    }
    album.check();
}

/// Each item has a place of its own, except the backgrounds. A repaint of one item depends on it.
fn assert_disjoint(scene: &Scene, name: &str) {
    let items: Vec<_> = scene
        .items
        .iter()
        .filter(|item| item.shape != Shape::Fill)
        .collect();
    for (at, one) in items.iter().enumerate() {
        for other in &items[..at] {
            let common = one.rect.intersection(other.rect);
            assert!(common.is_empty(), "{name}: {one:?} and {other:?}");
        }
    }
}

/// The width of the picture of a monitor of 24 inches in millimetres, and the distance of a person.
const MONITOR: f64 = 531.0;
const DISTANCE: f64 = 5_000.0;

/// The brightness of the picture as an eye sees it from five metres: an eye resolves a minute of arc,
/// so the picture is averaged over squares of one minute.
fn seen(picture: &Picture) -> Vec<f64> {
    let minute = std::f64::consts::PI / 180.0 / 60.0;
    let side = (DISTANCE * minute / (MONITOR / picture.size.0 as f64)).round() as usize;
    let (columns, rows) = (picture.size.0 / side, picture.size.1 / side);
    let square = |column: usize, row: usize| {
        let places = (0..side * side).map(|at| (column * side + at % side, row * side + at / side));
        places.map(|(x, y)| picture.luma(x, y)).sum::<f64>() / (side * side) as f64
    };
    (0..columns * rows)
        .map(|at| square(at % columns, at / columns))
        .collect()
}

#[test]
fn each_state_is_unmistakable_from_five_metres() {
    let history = walk(120, 5912.41);
    let tiles_of = wall(&history);
    let base = view(PageView::Big(
        line("SPX", 5912.41, 5887.61, &history),
        day(),
    ));
    let demo = View {
        simulated: true,
        ..base
    };
    for theme in [Theme::Dark, Theme::Light] {
        for size in [(1920, 1080), (640, 480)] {
            let look = Look {
                theme,
                ..look(size.0, size.1)
            };
            let states = [
                ("live", base, Freshness::Live, None),
                ("stale", with(stale(12), base), stale(12), Some("STALE 12s")),
                (
                    "delayed",
                    with(Freshness::Delayed, base),
                    Freshness::Delayed,
                    Some("DELAYED 15m"),
                ),
                (
                    "closed",
                    with(Freshness::Closed, base),
                    Freshness::Closed,
                    Some("CLOSED"),
                ),
                ("none", with(Freshness::None, base), Freshness::None, None),
                ("demo", demo, Freshness::Live, Some("DEMO")),
            ];
            let pictures = states.map(|(name, view, freshness, word)| {
                let content = content(&view, &tiles(freshness, &tiles_of[..4]));
                // A letter of eight minutes of arc is larger than the letters that a driver must
                // read, five minutes. A tile may be smaller: its badge fills its whole width.
                let letters = scene(&content, look).items.into_iter().filter_map(|item| {
                    let Shape::Text(text) = item.shape else {
                        return None;
                    };
                    (Some(&*text.text) == word).then_some(text.size)
                });
                let minutes =
                    f64::from(letters.max().unwrap_or(0)) * MONITOR / f64::from(size.0) / DISTANCE
                        * (180.0 * 60.0 / std::f64::consts::PI);
                assert!(
                    word.is_none() || minutes >= 8.0,
                    "{name} {size:?}: {minutes}"
                );
                (name, seen(&Picture::of(&content, look)))
            });
            for (at, (name, one)) in pictures.iter().enumerate() {
                for (other_name, other) in &pictures[..at] {
                    let differ = one
                        .iter()
                        .zip(other)
                        .filter(|(a, b)| (*a - *b).abs() >= 0.2);
                    // A block of 30 by 10 minutes.
                    let differ = differ.count();
                    assert!(differ >= 300, "{name} and {other_name}, {look:?}: {differ}");
                }
            }
        }
    }
}

/// The contrast of two colours, from 1 to 21 (WCAG 2.2, relative luminance).
fn contrast(one: u32, other: u32) -> f64 {
    let luminance = |colour: u32| {
        let [_, red, green, blue] = colour.to_be_bytes().map(|channel| {
            let part = f64::from(channel) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn each_text_has_enough_contrast_in_both_themes() {
    for theme in [Theme::Dark, Theme::Light] {
        let palette = Palette::new(theme, 127);
        let on = |ink, back, least: f64| {
            let contrast = contrast(palette.colour(ink), palette.colour(back));
            assert!(
                contrast >= least,
                "{ink:?} on {back:?}, {theme:?}: {contrast}"
            );
        };
        for back in [Ink::Back, Ink::Tile] {
            on(Ink::Text, back, 7.0);
            // Large letters need 3.
            for ink in [Ink::Muted, Ink::Up, Ink::Down] {
                on(ink, back, 3.0);
            }
        }
        for badge in [Ink::Stale, Ink::Delayed, Ink::Closed, Ink::Demo] {
            on(Ink::OnBadge, badge, 4.5);
        }
    }
}

/// Contents that follow one another on a screen: ticks, states, pages, alerts.
fn story(history: &[deskticker::market::Price]) -> Vec<ScreenContent> {
    let tiles_of = wall(history);
    let mut all = Vec::new();
    let mut push = |view: View<'_>, freshness| {
        all.push(content(&view, &tiles(freshness, &tiles_of[..5])));
    };
    for now in [
        5912.41, 5912.43, 5913.0, 5999.99, 6000.02, 999.5, -3.25, 12_345.67,
    ] {
        let page = PageView::Big(line("SPX", now, 5887.61, history), day());
        push(view(page), Freshness::Live);
    }
    let base = view(PageView::Big(line("SPX", 5912.41, 5887.61, history), day()));
    for freshness in [
        stale(11),
        stale(12),
        Freshness::Closed,
        Freshness::Delayed,
        Freshness::None,
        Freshness::Live,
    ] {
        push(with(freshness, base), freshness);
        push(
            View {
                simulated: true,
                ..with(freshness, base)
            },
            Freshness::Live,
        );
    }
    push(view(PageView::Link(report())), Freshness::Live);
    push(base, stale(100));
    all
}

#[test]
fn a_change_leaves_the_same_picture_as_a_complete_repaint() {
    let history = walk(120, 5912.41);
    let mut painter = Painter::new().unwrap();
    for look in [
        look(640, 480),
        Look {
            shift: 1,
            ..look(480, 800)
        },
    ] {
        let mut picture = Picture::new(look.size);
        let mut before = None;
        for content in story(&history) {
            let next = scene(&content, look);
            picture.update(&mut painter, before.as_ref(), &next);
            assert!(picture == Picture::of(&content, look), "{:?}", look.size);
            before = Some(next);
        }
    }
}

#[test]
fn a_tick_repaints_only_the_digits_that_differ() {
    let history = walk(120, 5912.41);
    let at = |now| {
        let page = PageView::Big(line("SPX", now, 5887.61, &history), day());
        content(&view(page), &wall(&history)[1..6])
    };
    let look = look(1920, 1080);
    let mut painter = Painter::new().unwrap();
    let (first, second) = (scene(&at(5912.41), look), scene(&at(5912.42), look));
    let mut picture = Picture::new(look.size);
    picture.update(&mut painter, None, &first);
    let changed = picture.update(&mut painter, Some(&first), &second);
    assert!((1..25_000).contains(&changed), "{changed} pixels");
    assert_eq!(picture.update(&mut painter, Some(&second), &second), 0);
}
