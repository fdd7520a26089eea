//! The layout of 128×32: the two prices beside each other, names and the curve below them.
//! Only places things; what they look like is in the modules of their names.

use super::badge::{self, Mark};
use super::icon::{self, SIGN};
use super::number::Number;
use super::{Frame, Glyphs, View, WIDTH};
use super::{change, clock, label, sparkline};

const SIGN_X: usize = WIDTH - SIGN;
/// The width of a name: seven letters.
const NAME: usize = 35;
const GAP: usize = 2;
/// A curve narrower than this says nothing.
const CURVE_LEAST: usize = 16;

/// Draws a view on a dark frame.
pub(super) fn draw(view: &View<'_>, glyphs: &Glyphs, frame: &mut Frame) {
    icon::sign(frame, view.sign, SIGN_X, 3);
    let Some((primary, secondary)) = view.lines() else {
        glyphs.word.write(frame, 4, 0, "Nothing to show");
        if view.simulated {
            badge::draw(&glyphs.badge, frame, 4, 3, "DEMO");
        } else {
            glyphs.small.whole.write(frame, 4, 3, "empty watchlist");
        }
        return;
    };
    let mark = Mark::of(primary.freshness).filter(|_| primary.marked());
    let number = Number::of(primary, "-----", view.format.numbers);
    let other = secondary.map(|line| Number::of(line, "---", view.format.numbers));

    // The largest pair of sizes that leaves the right column room for its widest field.
    let least = mark
        .as_ref()
        .map_or(0, |mark| badge::width(&glyphs.badge, mark.text()));
    let Glyphs {
        large,
        medium,
        small,
        ..
    } = glyphs;
    let sizes = [
        (large, medium),
        (large, small),
        (medium, medium),
        (medium, small),
        (small, small),
    ];
    let fits = |&(first, second): &(_, _)| {
        let right = other.as_ref().map_or(0, |other| other.width(second));
        number.width(first) + GAP + right.max(least) <= WIDTH
    };
    let (first, second) = sizes.into_iter().find(fits).unwrap_or((small, small));
    // Smaller digits stand on the line the large ones stand on.
    let page = if first.whole.pages == 3 { 0 } else { 1 };
    let left = number.draw(first, frame, 0, page).end + GAP;

    match &mark {
        // Right after the number it is about, for another stands below it.
        Some(mark) => {
            let age = badge::width(&glyphs.badge, mark.text());
            let stale = badge::width(&glyphs.badge, "STALE");
            let mut x = left;
            if matches!(mark, Mark::Age(_)) && left + stale + age <= WIDTH {
                x = badge::draw(&glyphs.badge, frame, x, 0, "STALE");
            }
            badge::draw(&glyphs.badge, frame, x, 0, mark.text());
        }
        None => {
            if let Some(change) = primary.shown_change() {
                change::draw(glyphs, frame, change, view.format.numbers, left..WIDTH, 0);
            }
        }
    }
    match &other {
        Some(other) => {
            other.draw(second, frame, WIDTH - other.width(second).min(WIDTH), 1);
        }
        None => {
            let text = clock::text(view.time);
            let width = glyphs.word.width(&text);
            if left + width <= WIDTH {
                glyphs.word.write(frame, WIDTH - width, 1, &text);
            }
        }
    }

    let font = &glyphs.small.whole;
    let mut right = SIGN_X - GAP;
    let mut left = label::width(font, primary.label, NAME) + GAP;
    label::draw(font, frame, 0, 3, primary.label, NAME);
    if view.simulated {
        left = badge::draw(&glyphs.badge, frame, left, 3, "DEMO") + GAP;
    }
    if let Some(line) = secondary {
        let mark = Mark::of(line.freshness).filter(|_| line.marked());
        let width = mark
            .as_ref()
            .map_or(0, |mark| badge::width(&glyphs.badge, mark.text()) + GAP);
        let name = right.saturating_sub(left + width).min(NAME);
        right = right.saturating_sub(label::width(font, line.label, name));
        label::draw(font, frame, right, 3, line.label, name);
        right = right.saturating_sub(GAP);
        if let Some(mark) = &mark {
            right = badge::before(glyphs, frame, right, 3, mark.text()).saturating_sub(GAP);
        }
    }
    if left + CURVE_LEAST <= right {
        sparkline::draw(frame, primary.history, left..right, 3..4);
    }
}
