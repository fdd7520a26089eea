//! The layout of 128×64: a line of small text, the large price, the second price with the curve.
//! Only places things; what they look like is in the modules of their names.

use super::badge::{self, Mark};
use super::icon::{self, SIGN};
use super::number::{Number, Placed};
use super::{Frame, Glyphs, Kept, Line, View, WIDTH};
use super::{change, clock, label, sparkline};

const SIGN_X: usize = WIDTH - SIGN;
/// The column after the slot of the clock and of the words about the whole screen.
const SLOT_END: usize = SIGN_X - 2;
/// The column after a name: seven letters.
const NAME_END: usize = 35;
/// The column after the change in the first line.
const CHANGE_END: usize = 77;
/// Where the curve starts, if the second price leaves it so much.
const CURVE_X: usize = 84;
/// A curve narrower than this says nothing.
const CURVE_LEAST: usize = 16;

/// Draws a view on a dark frame.
pub(super) fn draw(view: &View<'_>, glyphs: &Glyphs, kept: &mut Kept, frame: &mut Frame) {
    icon::sign(frame, view.sign, SIGN_X, 0);
    let Some((primary, secondary)) = view.lines() else {
        slot(view, None, glyphs, frame);
        glyphs.word.write(frame, 4, 3, "Nothing to show");
        glyphs
            .small
            .whole
            .write(frame, 9, 6, "the watchlist is empty");
        return;
    };
    let mark = Mark::of(primary.freshness).filter(|_| primary.marked());
    let number = Number::of(primary, "-----", view.format.numbers);
    let style = number.fit(
        [&glyphs.huge, &glyphs.large, &glyphs.medium, &glyphs.small],
        WIDTH,
    );
    let placed = number.draw(style, frame, 0, 1);

    label::draw(&glyphs.small.whole, frame, 0, 0, primary.label, NAME_END);
    let in_slot = slot(view, mark.as_ref(), glyphs, frame);
    match &mark {
        Some(Mark::Age(age)) => {
            // An old change is no change: its place says so, and the age stands below the
            // fraction, where there is room to write it as large as two metres ask for.
            let width = badge::width(&glyphs.word, age.text());
            let small = if placed.fraction + 2 + width <= WIDTH {
                badge::draw(&glyphs.word, frame, WIDTH - width, 3, age.text());
                "STALE"
            } else {
                age.text()
            };
            badge::before(glyphs, frame, CHANGE_END, 0, small);
        }
        Some(Mark::Word(word)) if !in_slot => {
            badge::before(glyphs, frame, CHANGE_END, 0, word);
        }
        _ => {
            if let Some(change) = primary.shown_change() {
                change::draw(
                    glyphs,
                    frame,
                    change,
                    view.format.numbers,
                    NAME_END..CHANGE_END,
                    0,
                );
            }
        }
    }

    match secondary {
        Some(secondary) if kept.again(frame, secondary, primary.history) => {}
        Some(secondary) => {
            if let Some(x) = second(view, secondary, glyphs, frame) {
                sparkline::draw(frame, primary.history, x..WIDTH, 5..8);
            }
            kept.keep(frame, secondary, primary.history);
        }
        None => sparkline::draw(frame, primary.history, 0..WIDTH, 5..8),
    }
}

/// Fills the slot before the sign: what is said of the whole screen goes before what is said of
/// its first price, and that before the time. Returns whether the mark is in it.
fn slot(view: &View<'_>, mark: Option<&Mark>, glyphs: &Glyphs, frame: &mut Frame) -> bool {
    if view.simulated {
        badge::before(glyphs, frame, SLOT_END, 0, "DEMO");
    } else if let Some(Mark::Word(word)) = mark {
        badge::before(glyphs, frame, SLOT_END, 0, word);
        return true;
    } else {
        let text = clock::text(view.time);
        let font = &glyphs.small.whole;
        font.write(frame, SLOT_END - font.width(&text), 0, &text);
    }
    false
}

/// Draws the second price; returns where the curve may start, if it may.
fn second(view: &View<'_>, line: &Line<'_>, glyphs: &Glyphs, frame: &mut Frame) -> Option<usize> {
    let font = &glyphs.small.whole;
    let mark = Mark::of(line.freshness).filter(|_| line.marked());
    let beside = match &mark {
        None => 0,
        Some(Mark::Age(age)) => 2 + badge::width(&glyphs.word, age.text()),
        Some(Mark::Word(word)) => 2 + badge::width(&glyphs.badge, word),
    };
    let number = Number::of(line, "---", view.format.numbers);
    let room = (WIDTH - 4).saturating_sub(beside);
    let name = room
        .saturating_sub(number.width(&glyphs.small))
        .min(NAME_END);
    let x = label::width(font, line.label, name) + 4;
    let style = number.fit(
        [&glyphs.large, &glyphs.medium, &glyphs.small],
        WIDTH.saturating_sub(x + beside),
    );
    label::draw(font, frame, 0, 6, line.label, name);
    let page = if style.whole.pages == 3 { 5 } else { 6 };
    let Placed { fraction, end } = number.draw(style, frame, x, page);

    let curve = CURVE_X.max(end + 4);
    // Below a raised fraction there is a place for a line of small text.
    let below = if style.whole.pages == 3 {
        fraction..curve - 4
    } else {
        end..end
    };
    match &mark {
        Some(Mark::Age(age)) => {
            let x = WIDTH.saturating_sub(badge::width(&glyphs.word, age.text()));
            badge::draw(&glyphs.word, frame, x, 6, age.text());
            return None;
        }
        Some(Mark::Word(word)) => {
            let width = badge::width(&glyphs.badge, word);
            if width > below.len() {
                badge::before(glyphs, frame, WIDTH, 6, word);
                return None;
            }
            badge::before(glyphs, frame, below.end, 7, word);
        }
        None => {
            if let Some(change) = line.shown_change() {
                change::draw(glyphs, frame, change, view.format.numbers, below, 7);
            }
        }
    }
    (curve + CURVE_LEAST <= WIDTH).then_some(curve)
}
