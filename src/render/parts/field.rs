//! A field of a table: a name at the left and a value at the right. This module never cuts the
//! figures of a value: dots replace a value that does not fit.

use crate::market::{NumberFormat, Price, ShortText, whole};
use crate::render::Frame;
use crate::render::font::{TEXT, WORD};
use crate::render::row::Row;

/// The least gap between a name and its value, in columns.
const GAP: usize = 3;

/// Draws a field. If there is too little space, the name is cut to its first letter, and then left
/// out. If the value alone does not fit, two dots replace it.
pub(crate) fn draw(frame: &mut Frame, row: Row, name: &str, value: &str) {
    let fits = TEXT.fits(value, row.room());
    let value = if fits { value } else { ".." };
    let start = row.right.saturating_sub(TEXT.width(value));
    TEXT.write(frame, start, row.page, value);
    let first = name.get(..1).unwrap_or_default();
    let fitting = [name, first]
        .into_iter()
        .find(|name| row.left + TEXT.width(name) + GAP <= start);
    if let Some(name) = fitting {
        TEXT.write(frame, row.left, row.page, name);
    }
}

/// Draws a field two pages high, with large letters if they fit.
pub(crate) fn draw_large(frame: &mut Frame, mut row: Row, name: &str, value: &str) {
    for font in [&WORD, &TEXT] {
        if font.width(name) + GAP + WORD.width(value) <= row.room() {
            // Small letters stand on the line of the large ones.
            let page = row.page + WORD.pages - font.pages;
            font.write(frame, row.left, page, name);
            return row.write_right(frame, &WORD, value);
        }
    }
    row.page += 1;
    draw(frame, row, name, value);
}

/// Returns a constant text.
pub(crate) fn text(text: &str) -> ShortText {
    ShortText::try_from(text).unwrap_or_default()
}

/// Returns a number with its usual decimals as one text; dashes if there is no number.
pub(crate) fn number(number: Option<Price>, numbers: NumberFormat) -> ShortText {
    price(number, number.map_or(0, Price::usual_decimals), numbers)
}

/// Returns a price as one text, rounded to this number of decimals; dashes if there is no price.
pub(crate) fn price(price: Option<Price>, decimals: u8, numbers: NumberFormat) -> ShortText {
    let Some(price) = price else {
        return text("---");
    };
    let (mut text, fraction) = price.parts(decimals, numbers);
    let _ = text.push_str(&fraction);
    text
}

/// Returns a price as one text, rounded to as few decimals as necessary to be at most `room`
/// columns wide.
pub(crate) fn price_within(
    whole: Option<Price>,
    decimals: u8,
    numbers: NumberFormat,
    room: usize,
) -> ShortText {
    let mut texts = (0..=decimals)
        .rev()
        .map(|decimals| price(whole, decimals, numbers));
    let fitting = texts.find(|text| TEXT.fits(text, room));
    fitting.unwrap_or_else(|| price(whole, 0, numbers))
}

/// Returns a number of contracts or shares that fits into `room` columns, if necessary in
/// thousands, millions or billions (`k`, `M`, `G`). Returns dashes if there is no value.
pub(crate) fn count(count: Option<u64>, numbers: NumberFormat, room: usize) -> ShortText {
    let Some(count) = count else {
        return text("---");
    };
    let mut text = whole(count, numbers);
    for (unit, letter) in [(1_000, 'k'), (1_000_000, 'M'), (1_000_000_000, 'G')] {
        if TEXT.fits(&text, room) {
            break;
        }
        text = whole(count / unit, numbers);
        let _ = text.push(letter);
    }
    text
}
