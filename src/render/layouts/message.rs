//! The layouts of messages in place of prices: an error in the configuration, an empty watchlist,
//! and notices for a picture that is no longer updated. This module never judges a price.

use super::header;
use crate::render::font::{BADGE, Font, LARGE, TEXT, WORD};
use crate::render::parts::{alert, name};
use crate::render::row::GAP;
use crate::render::{Colours, Frame, Size, View, WIDTH};

/// Returns a picture without a price: a word, and an explanation in small letters below it.
pub fn notice(size: Size, word: &str, meaning: &str) -> Frame {
    let mut frame = Frame::new(size);
    let (font, first, second) = match size {
        Size::Tall => (&WORD, 2, 5),
        Size::Short => (&WORD, 0, 3),
        Size::Square => (&LARGE.whole, 4, 9),
    };
    let font = [font, &WORD]
        .into_iter()
        .find(|font| font.fits(word, WIDTH));
    for (font, page, text) in [
        (font.unwrap_or(&WORD), first, word),
        (&TEXT, second, meaning),
    ] {
        let text = name::cut(font, text, WIDTH);
        let x = WIDTH.saturating_sub(font.width(&text)) / 2;
        font.write(&mut frame, x, page, &text);
    }
    frame
}

/// Returns a picture that shows if the settings of a panel are right: a line along all four edges,
/// the first half of a number at the top left, and the second half at the bottom right.
pub fn test_picture(size: Size, number: &str) -> Frame {
    let mut frame = Frame::new(size);
    let (first, second) = number.split_at(number.len() / 2);
    // No digit stands at row 16, where a panel of two colours has a gap.
    let (top, bottom) = match size {
        Size::Tall => (2, 5),
        Size::Short => (1, 1),
        Size::Square => (2, 12),
    };
    WORD.write(&mut frame, 6, top, first);
    let right = WIDTH - 5 - WORD.width(second);
    WORD.write(&mut frame, right, bottom, second);
    let bottom = size.height() - 1;
    for x in 0..WIDTH {
        frame.set(x, 0, true);
        frame.set(x, bottom, true);
    }
    for y in 0..=bottom {
        frame.set(0, y, true);
        frame.set(WIDTH - 1, y, true);
    }
    frame
}

/// Draws a message page: a title, and as much of the text as fits.
pub(crate) fn page(view: &View<'_>, title: &str, text: &str, frame: &mut Frame) {
    let line = header::signs(view, frame);
    let alerted = alert::draw(view, frame, line);
    match frame.size() {
        Size::Tall => {
            // The title is two pages high, and the icons are in the first of these pages. Between an
            // alert and the blue rows of a panel of two colours is only one page.
            let (font, first, room) = match (alerted, view.colours) {
                (true, Colours::YellowBlue) => (&TEXT, 1, WIDTH),
                (true, Colours::One) => (&WORD, 1, WIDTH),
                (false, _) => (&WORD, 0, line.right - GAP),
            };
            font.write(frame, 0, first, &name::cut(font, title, room));
            paragraph(frame, &TEXT, text, first + font.pages..8, 0, WIDTH);
        }
        Size::Square => {
            let (first, room) = if alerted {
                (1, WIDTH)
            } else {
                (0, line.right - GAP)
            };
            WORD.write(frame, 0, first, &name::cut(&WORD, title, room));
            let pages = first + 3..frame.size().pages();
            // Large letters, if the whole text fits without a split word.
            let whole = |word| WORD.fits(without_folders(word), WIDTH);
            let large = text.split_whitespace().all(whole);
            if !large || !paragraph(frame, &WORD, text, pages.clone(), 0, WIDTH) {
                frame.as_bytes_mut()[pages.start * WIDTH..].fill(0);
                paragraph(frame, &TEXT, text, pages, 0, WIDTH);
            }
        }
        Size::Short => {
            BADGE.write(frame, 0, 0, &name::cut(&BADGE, title, WIDTH - 1));
            let pages = 1..if alerted { 3 } else { 4 };
            paragraph(frame, &TEXT, text, pages, 0, line.right);
        }
    }
}

/// Draws the page of the set-up by phone: a QR code at the left, and the text at the right, or below
/// the code on 128×128. A low panel has no space for a QR code with dots that a phone can recognise, so it shows the text
/// alone. The code has a line for each row of modules, with `#` for a dark module.
pub(crate) fn join(view: &View<'_>, text: &str, code: &str, frame: &mut Frame) {
    let (side, text_pages, left) = match frame.size() {
        Size::Square => (96, 12..16, 0),
        _ => (Size::Tall.height(), 0..8, Size::Tall.height() + GAP),
    };
    let modules = code.lines().count();
    if frame.size() == Size::Short || modules == 0 || modules + 2 > side {
        return page(view, "PHONE", text, frame);
    }
    let scale = side / (modules + 2);
    let margin = (side - scale * modules) / 2;
    // The background of the code is lit, because phones expect dark modules.
    for page in 0..side / 8 {
        frame.columns_mut(page, 0..side).fill(0xFF);
    }
    for (row, line) in code.lines().enumerate() {
        let dark = line.bytes().take(modules).enumerate();
        for (column, _) in dark.filter(|(_, module)| *module == b'#') {
            for (x, y) in (0..scale * scale).map(|dot| (dot % scale, dot / scale)) {
                frame.set(margin + column * scale + x, margin + row * scale + y, false);
            }
        }
    }
    paragraph(frame, &TEXT, text, text_pages, left, WIDTH);
}

/// Draws the page of an empty watchlist.
pub(crate) fn empty(view: &View<'_>, frame: &mut Frame) {
    match frame.size() {
        Size::Tall => {
            let mut row = header::place(view, frame, 1);
            header::slot(view, frame, &mut row);
            WORD.write(frame, 4, 3, "Nothing to show");
            TEXT.write(frame, 9, 6, "the watchlist is empty");
        }
        Size::Square => {
            let mut row = header::place(view, frame, 1);
            header::slot(view, frame, &mut row);
            WORD.write(frame, 4, 6, "Nothing to show");
            TEXT.write(frame, 9, 9, "the watchlist is empty");
        }
        Size::Short => {
            let row = header::signs(view, frame);
            WORD.write(frame, 4, 0, "Nothing to show");
            if !alert::draw(view, frame, row) {
                let (font, text) = match view.simulated {
                    true => (&BADGE, "DEMO"),
                    false => (&TEXT, "empty watchlist"),
                };
                font.write(frame, 4, row.page, text);
            }
        }
    }
}

/// Draws a text over several lines, with line breaks between words where possible. The last line is
/// at most `last` columns wide. Two dots replace the text that does not fit. Returns true if the
/// whole text fits.
fn paragraph(
    frame: &mut Frame,
    font: &Font,
    text: &str,
    pages: core::ops::Range<usize>,
    left: usize,
    last: usize,
) -> bool {
    let dots = font.width("..");
    let mut words = text.split_whitespace().map(without_folders).peekable();
    let (mut page, mut x) = (pages.start, left);
    while let Some(mut word) = words.next() {
        loop {
            let final_line = page + 2 * font.pages > pages.end;
            let end = if final_line { last } else { WIDTH };
            let more = final_line && words.peek().is_some();
            let room = if more { end - dots } else { end };
            let start = if x == left { x } else { x + font.width(" ") };
            if start + font.width(word) <= room {
                x = font.write(frame, start, page, word);
                break;
            }
            if final_line {
                if x == left {
                    let head = &word[..fitting(font, word, end - left - dots)];
                    x = font.write(frame, left, page, head);
                }
                font.write(frame, x, page, "..");
                return false;
            }
            if x == left {
                // The word is too long for any line, so it is split.
                let (head, tail) = word.split_at(fitting(font, word, room - left));
                font.write(frame, left, page, head);
                word = tail;
            }
            (page, x) = (page + font.pages, left);
        }
    }
    true
}

/// Returns the number of bytes of a word that fit into `room` columns.
fn fitting(font: &Font, word: &str, room: usize) -> usize {
    let ends = word
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8());
    let fitting = ends.take_while(|end| font.fits(&word[..*end], room));
    fitting.last().unwrap_or(0)
}

/// Removes the directories from a file path, because the display has no space for them.
fn without_folders(word: &str) -> &str {
    match word.rsplit_once('/') {
        Some((folders, name)) if folders.starts_with('/') && !name.is_empty() => name,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_shows_both_lines_within_the_panel_in_both_sizes() {
        for (size, pages) in [(Size::Tall, [2, 3, 5]), (Size::Short, [0, 1, 3])] {
            let frame = notice(size, "HALTED", "no picture for 90 s");
            for page in 0..size.pages() {
                let lit = frame.page(page).iter().any(|byte| *byte != 0);
                assert_eq!(lit, pages.contains(&page), "{frame:?}");
            }
            for y in 0..size.height() {
                assert!(!frame.lit(0, y) && !frame.lit(WIDTH - 1, y), "{frame:?}");
            }
        }
    }

    #[test]
    fn only_the_file_name_of_a_path_is_shown() {
        let name = without_folders;
        assert_eq!(
            name("/etc/deskticker/deskticker.toml:12:"),
            "deskticker.toml:12:"
        );
        assert_eq!(name("deskticker.toml:12:"), "deskticker.toml:12:");
        assert_eq!(name("wss://hub.local/ws"), "wss://hub.local/ws");
        assert_eq!(name("and/or"), "and/or");
        assert_eq!(name("/etc/"), "/etc/");
    }
}
