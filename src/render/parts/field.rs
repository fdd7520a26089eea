//! A field of a table: a name at the left, a value at the right. Never lets a value lose a
//! figure: what does not fit is said not to.

use core::ops::Range;

use crate::market::{NumberFormat, Price, ShortText, whole};
use crate::render::Frame;
use crate::render::font::Font;

/// The least between a name and its value.
const GAP: usize = 3;

/// How many columns the pieces of a text take.
pub(crate) fn width(font: &Font, pieces: &[&str]) -> usize {
    pieces.iter().map(|piece| font.width(piece)).sum()
}

/// Writes the pieces of a text one after the other; returns the column after it.
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

/// Writes the pieces of a text so that it ends before a column; returns where it starts.
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

/// Draws a field. A name that leaves its value too little room is cut to its first letter, then
/// left out; a value that does not fit alone is dots.
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

/// A price in one piece; dashes if there is none.
pub(crate) fn price(price: Option<Price>, numbers: NumberFormat) -> ShortText {
    let Some(price) = price else {
        return dashes();
    };
    let (mut text, fraction) = price.parts(numbers);
    let _ = text.push_str(&fraction);
    text
}

/// A number of contracts or shares in at most `room` columns, in thousands, millions or
/// thousands of millions if it must; dashes if there is none.
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
