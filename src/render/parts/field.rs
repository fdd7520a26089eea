//! A field of a table: a name at the left and a value at the right. This module never cuts the
//! figures of a value: dots replace a value that does not fit.

use core::ops::Range;

use crate::market::{NumberFormat, Price, ShortText, whole};
use crate::render::Frame;
use crate::render::font::Font;

/// The least gap between a name and its value, in columns.
const GAP: usize = 3;

/// Returns the width of the pieces of a text in columns.
pub(crate) fn width(font: &Font, pieces: &[&str]) -> usize {
    pieces.iter().map(|piece| font.width(piece)).sum()
}

/// Writes the pieces of a text one after another. Returns the column after the text.
pub(crate) fn write(
    font: &Font,
    frame: &mut Frame,
    x: usize,
    page: usize,
    pieces: &[&str],
) -> usize {
    let mut x = x;
    for piece in pieces {
        x = font.write(frame, x, page, piece);
    }
    x
}

/// Writes the pieces of a text directly before the column `end`. Returns the first column of the
/// text.
pub(crate) fn before(
    font: &Font,
    frame: &mut Frame,
    end: usize,
    page: usize,
    pieces: &[&str],
) -> usize {
    let x = end.saturating_sub(width(font, pieces));
    write(font, frame, x, page, pieces);
    x
}

/// Draws a field. If there is too little space, the name is cut to its first letter, and then left
/// out. If the value alone does not fit, two dots replace it.
pub(crate) fn draw(
    font: &Font,
    frame: &mut Frame,
    columns: Range<usize>,
    page: usize,
    name: &str,
    value: &[&str],
) {
    let taken = width(font, value);
    let value = if taken <= columns.len() {
        value
    } else {
        &[".."]
    };
    let start = before(font, frame, columns.end, page, value);
    let first = name.get(..1).unwrap_or_default();
    let fitting = [name, first]
        .into_iter()
        .find(|name| columns.start + font.width(name) + GAP <= start);
    if let Some(name) = fitting {
        font.write(frame, columns.start, page, name);
    }
}

/// Returns a price as one text; dashes if there is no price.
pub(crate) fn price(price: Option<Price>, numbers: NumberFormat) -> ShortText {
    let Some(price) = price else {
        return dashes();
    };
    let (mut text, fraction) = price.parts(numbers);
    let _ = text.push_str(&fraction);
    text
}

/// Returns a number of contracts or shares that fits into `room` columns, if necessary in
/// thousands, millions or billions (`k`, `M`, `G`). Returns dashes if there is no value.
pub(crate) fn count(
    font: &Font,
    count: Option<u64>,
    numbers: NumberFormat,
    room: usize,
) -> ShortText {
    let Some(count) = count else {
        return dashes();
    };
    let mut text = whole(count, numbers);
    for (unit, letter) in [(1_000, 'k'), (1_000_000, 'M'), (1_000_000_000, 'G')] {
        if font.width(&text) <= room {
            break;
        }
        text = whole(count / unit, numbers);
        let _ = text.push(letter);
    }
    text
}

fn dashes() -> ShortText {
    ShortText::try_from("---").unwrap_or_default()
}
