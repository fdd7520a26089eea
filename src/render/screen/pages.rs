//! The pages of the big screen without prices: the connection, a notice, and the set-up by phone.

use super::canvas::{Canvas, Label, cut};
use super::focus;
use super::scene::{Align, Ink, Rect};
use crate::render::layouts::link_status;
use crate::render::parts::badge::age;
use crate::render::{LinkIcon, LinkReport, PriceSummary};

/// Draws the state of the connection and the values of the connection page.
pub(crate) fn link(canvas: &mut Canvas<'_>, report: &LinkReport, sign: LinkIcon, mut area: Rect) {
    let (word, since) = link_status::word(report, sign);
    let mut title = area.cut_top((area.h * 3 / 10).min(area.w / 5));
    if let Some(since) = since {
        let place = title.cut_right(title.w / 3);
        let inks = (Ink::Back, Ink::Muted);
        canvas.text(place, inks, &age(since), title.h / 2, Align::Right);
        title.cut_right(canvas.margin);
    }
    let good = report.hop == crate::render::LinkHop::None && report.prices == PriceSummary::Fresh;
    match good {
        true => canvas.text(
            title,
            (Ink::Back, Ink::Text),
            word,
            title.h / 2,
            Align::Left,
        ),
        false => canvas.badge(title, word, Ink::Stale),
    }
    area.cut_top(canvas.margin);
    let rows = link_status::rows(report, canvas.numbers);
    let rows = rows.map(|(name, value)| (name, cut(&value)));
    focus::table(canvas, &rows, 1, area);
}

/// Draws a text in place of prices.
pub(crate) fn notice(canvas: &mut Canvas<'_>, title: &str, text: &str, mut area: Rect) {
    if !title.is_empty() {
        let place = area.cut_top((area.h * 3 / 10).min(area.w / 5));
        canvas.badge(place, title, Ink::Stale);
        area.cut_top(canvas.margin);
    }
    paragraph(canvas, text, area);
}

/// Draws the notice of the set-up by phone: a QR code, and the text beside or below it.
pub(crate) fn join(canvas: &mut Canvas<'_>, text: &str, code: &str, mut area: Rect) {
    let side = area.w.min(area.h);
    let place = match area.w > area.h {
        true => area.cut_left(side),
        false => area.cut_top(side),
    };
    canvas.scene.push_code(place, code);
    area.cut_left(if place.h == area.h { canvas.margin } else { 0 });
    paragraph(canvas, text, area);
}

/// Draws a text over several lines, as large as it fits.
fn paragraph(canvas: &mut Canvas<'_>, text: &str, mut area: Rect) {
    let mut size = (area.h / 6).clamp(6, 200) as u16;
    let too_large = |size: u16| {
        let mut words = text.split(' ');
        let wide = words.any(|word| canvas.widths.of(word, size, 0) > area.w);
        let high = lines(canvas, text, size, area.w, |_| ()) * i32::from(size) * 2 > area.h;
        // A path can be longer than any line.
        high || wide && i32::from(size) > area.w / 24
    };
    while size > 6 && too_large(size) {
        size -= 1 + size / 16;
    }
    let mut all: heapless::Vec<Label, 24> = heapless::Vec::new();
    lines(canvas, text, size, area.w, |line| drop(all.push(cut(line))));
    for line in &all {
        let row = area.cut_top(i32::from(size) * 2);
        canvas.sized(row, (Ink::Back, Ink::Text), line, size, Align::Left);
    }
}

/// Breaks a text into lines between words where possible. Returns the number of lines.
fn lines(canvas: &Canvas<'_>, text: &str, size: u16, room: i32, mut each: impl FnMut(&str)) -> i32 {
    let mut rest = text.trim();
    let mut count = 0;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, one)| at + one.len_utf8());
        let fits = |end: &usize| {
            *end <= Label::new().capacity() && canvas.widths.of(&rest[..*end], size, 0) <= room
        };
        let end = ends.take_while(fits).last();
        let first = rest.chars().next().map_or(rest.len(), char::len_utf8);
        let mut end = end.unwrap_or(first);
        if end < rest.len() && !rest[end..].starts_with(' ') {
            end = rest[..end].rfind(' ').filter(|at| *at > 0).unwrap_or(end);
        }
        each(&rest[..end]);
        count += 1;
        rest = rest[end..].trim_start();
    }
    count
}
