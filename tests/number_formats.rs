//! Tests of the number formats that a user can configure: each layout shows the thousands separator
//! and the decimal sign of the format.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use deskticker::market::{NumberFormat, Price};
use deskticker::render::{
    AlertView, Colours, InstrumentView, OptionView, PageView, Size, Threshold, View,
};

use views::goldens::Album;
use views::{day, drawn, line, price, sheet, symbol, view, walk};

/// The number formats of the configuration.
const FORMATS: [(&str, Option<u8>, u8); 6] = [
    ("1,234.56", Some(b','), b'.'),
    ("1.234,56", Some(b'.'), b','),
    ("1 234,56", Some(b' '), b','),
    ("1'234.56", Some(b'\''), b'.'),
    ("1234.56", None, b'.'),
    ("1234,56", None, b','),
];

/// The layouts with prices, on a panel of these colours.
fn pages<'a>(
    history: &'a [Price],
    sheet: OptionView<'a>,
    colours: Colours,
) -> [(&'static str, View<'a>); 5] {
    let spx = line("SPX", 5912.41, 5887.61, history);
    let ndx = line("NDX", 21_345.67, 21_400.0, history);
    let mut contract = sheet;
    let book = contract.book.as_mut().unwrap();
    (book.bid, book.ask) = (price(1_233.25), price(1_235.75));
    contract.line.price = Some(price(1_234.5));
    let alert = Some(AlertView {
        label: "SPX",
        threshold: Threshold::Above(price(5_900.5)),
        decimals: 2,
        lit: true,
    });
    let pair = PageView::Pair(spx, Some(ndx));
    [
        ("pair", None, pair),
        ("alone", None, PageView::Pair(ndx, None)),
        ("big", None, PageView::Big(spx, day())),
        ("contract", None, PageView::Contract(contract)),
        ("alert", alert, pair),
    ]
    .map(|(name, alert, page)| {
        let view = View {
            alert,
            colours,
            ..view(page)
        };
        (name, view)
    })
}

#[test]
fn every_number_format_matches_its_golden_picture_in_each_layout() {
    let (history, spy) = (walk(100, 5912.41), symbol("O:SPY251219C00650000"));
    for (mut album, colours) in [
        (Album::every_size("number-formats"), Colours::One),
        (
            Album::tall("number-formats-yellow-blue"),
            Colours::YellowBlue,
        ),
    ] {
        for (format, group, point) in FORMATS {
            for (name, mut view) in pages(&history, sheet(&spy, &history), colours) {
                view.format.numbers = NumberFormat { group, point };
                album.add(&format!("{format}, {name}"), view);
            }
        }
        album.check();
    }
}

/// A comma without its tail is a point, and `5.912.41` is no price.
#[test]
fn the_largest_digits_have_the_comma_of_the_other_sizes() {
    let spx = InstrumentView {
        change: None,
        ..line("SPX", 5912.41, 1.0, &[])
    };
    let mut view = view(PageView::Pair(spx, None));
    view.format.numbers = NumberFormat {
        group: None,
        point: b',',
    };
    let frame = drawn(&view, Size::Tall);
    // The comma is the only part that is lit in these columns: after four digits of 16 columns.
    let rows: Vec<String> = (8..40)
        .map(|y| {
            let dot = |x| if frame.lit(x, y) { '#' } else { '.' };
            (64..67).map(dot).collect()
        })
        .filter(|row: &String| row.contains('#'))
        .collect();
    assert_eq!(rows, [".##", ".##", "##."], "{frame:?}");
}
