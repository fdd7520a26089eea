//! The upper half of the tall layouts: one line of small text with the first instrument's name and
//! the state of the whole display, and the first price with all that is said of it. The square
//! layouts have such a block for each price. This module never judges a price.

use crate::render::font::{
    BADGE, HUGE, LARGE, LARGE_BADGE, MEDIUM, NumberStyle, SMALL, TEXT, WORD,
};
use crate::render::parts::badge::{self, DELAY, StatusBadge};
use crate::render::parts::change::ChangeText;
use crate::render::parts::icon::{self, SIGN};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, change, clock, name};
use crate::render::row::{GAP, Row};
use crate::render::{Colours, DrawCache, Frame, InstrumentView, Size, View, WIDTH};

/// The column after a name of seven letters.
pub(crate) const NAME_END: usize = 35;
/// The page of the top of a price, from the first page of its block.
const TOP: usize = 1;
/// The page of the change, which is the last page of the block.
const LAST: usize = 4;
/// The page of the top of a price, and its largest digits, below the yellow rows of a panel.
const BLUE: (usize, &NumberStyle) = (2, &LARGE);
/// The same on a panel of 128×128.
const SQUARE: (usize, &NumberStyle) = (2, &HUGE);
/// The second of the two pages of the header on these panels.
const SECOND: usize = 1;
/// The first column of the change. The change, the curve and the name are at the same place for most
/// prices, so that the turn of a page rewrites only their different dots.
const CHANGE_X: usize = 71;
/// The width of a usual change with its arrow in columns.
const CHANGE: usize = 44;
/// The dark columns between a price and its curve.
const CURVE_GAP: usize = 4;
/// The width of the curve at the right end in columns, unless the price needs more space.
const CURVE: usize = 36;
/// The least width of a readable curve in columns.
const CURVE_LEAST: usize = 16;

/// Draws the connection icon at the end of the first line on 128×64 or of the last line on 128×32,
/// and a mark for a wrong configuration before it. Returns the rest of the line.
pub(crate) fn signs(view: &View<'_>, frame: &mut Frame) -> Row {
    let page = match frame.size() {
        Size::Tall | Size::Square => 0,
        Size::Short => 3,
    };
    icon::sign(frame, view.sign, WIDTH - SIGN, page);
    let mut row = Row::new(page, 0..WIDTH - SIGN - GAP);
    if view.misconfigured {
        row.write_right(frame, &BADGE, "!");
    }
    row
}

/// Draws the icons and the alert, if any, in the first line. Returns the row of the header: the
/// rest of the first line, or the page `elsewhere` while an alert is in the first line.
pub(crate) fn place(view: &View<'_>, frame: &mut Frame, elsewhere: usize) -> Row {
    let row = signs(view, frame);
    match alert::draw(view, frame, row) {
        true => Row::new(elsewhere, 0..WIDTH),
        false => row,
    }
}

/// Fills the right end of the header: the word DEMO has priority over the time.
pub(crate) fn slot(view: &View<'_>, frame: &mut Frame, row: &mut Row) {
    match view.simulated {
        true => row.write_right(frame, &BADGE, "DEMO"),
        false => row.write_right(frame, &TEXT, &clock::text(view)),
    }
}

/// Returns the page of the top of a price in a tall layout, and its largest digits.
pub(crate) const fn top(view: &View<'_>) -> (usize, &'static NumberStyle) {
    match view.colours {
        Colours::One => (TOP, &HUGE),
        Colours::YellowBlue => BLUE,
    }
}

/// Draws the first price of a tall layout with its header. All that is said of the price stands
/// directly behind it: the curve or the block with its age or its delay beside the digits, and the
/// change below the raised fraction. Without a draw cache there is no curve.
/// Returns true if it has drawn the curve.
///
/// An alert covers the first line. The name then stands below the raised fraction, so that the
/// price stays as it is. If there is too little space, the price is smaller and the header is below
/// it.
///
/// On a panel of two colours, the yellow rows have the header, the change and the word STALE, and
/// the price is below them. The name and the change are large if they fit. So it is on 128×128.
///
/// The block of the price begins at the page `first`. A block below another one, on 128×128, has no
/// state of the whole display.
pub(crate) fn draw(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    frame: &mut Frame,
    draw_cache: Option<&mut DrawCache>,
    first: usize,
) -> bool {
    let numbers = view.format.numbers;
    let mut row = Row::new(first, 0..WIDTH);
    let mut alerted = false;
    if first == 0 {
        row = signs(view, frame);
        alerted = alert::draw(view, frame, row);
    }
    let mark = StatusBadge::of(line);
    // The reason for a denial stands beside the dashes, so the dashes are short.
    let dashes = if line.denial.is_some() {
        "---"
    } else {
        "-----"
    };
    let number = PriceText::of(line, dashes, numbers);
    // The block of a delayed price is permanent, so its space has priority over large digits.
    let room = match &mark {
        Some(StatusBadge::Delayed) => WIDTH - GAP - LARGE_BADGE.width(DELAY),
        _ => WIDTH,
    };
    let square = frame.size() == Size::Square;
    // The header has two pages.
    let double = square || view.colours == Colours::YellowBlue;
    let (top, largest) = if square { SQUARE } else { top(view) };
    let top = first + top;
    let mut style = number.fit([largest, &LARGE, &MEDIUM, &SMALL], room);
    let mut last = first + if double { SECOND } else { LAST };
    if alerted {
        row = if double {
            last = top + 2;
            Row::new(SECOND, 0..WIDTH)
        } else if let Some(row) = below(view, line, mark.as_ref(), &number, style) {
            row
        } else {
            style = number.fit([&LARGE, &MEDIUM, &SMALL], room);
            last = top + 2;
            Row::new(LAST, 0..WIDTH)
        };
    }
    let fraction = number.draw(style, frame, 0, top);
    let raised = fraction.start + GAP;
    // Digits that end above the row of the change leave more space for it.
    let left = match top + style.whole.pages <= last {
        _ if last < top => 0,
        true => raised.clamp(CHANGE_X, WIDTH - CHANGE),
        false => raised.max(CHANGE_X),
    };
    let mut under = Row::new(last, left..WIDTH);
    let mut beside = Row::new(top, fraction.end + GAP..WIDTH);

    // The name of a contract needs the space of the time if there is a mark.
    let marked = matches!(mark, Some(StatusBadge::Delayed | StatusBadge::Word(_)));
    let usual = row.left == 0 && !(marked && line.contract.is_some() && !view.simulated);
    if usual && first == 0 {
        slot(view, frame, &mut row);
    } else if view.simulated {
        row.write_right(frame, &BADGE, "DEMO");
    }
    match &mark {
        Some(StatusBadge::Age(age)) => {
            // A person can read the large age from two metres. If it fits nowhere, the small age
            // replaces STALE.
            let mut lower = Row::new(top + 2, raised..WIDTH);
            if LARGE_BADGE.fits(age, beside.room()) {
                beside.write_left(frame, &LARGE_BADGE, age);
                match BADGE.fits("STALE", under.room()) {
                    true => under.write_left(frame, &BADGE, "STALE"),
                    false => row.write_right(frame, &BADGE, "STALE"),
                }
            } else if (square || row.page == first && !double)
                && LARGE_BADGE.fits(age, lower.room())
            {
                lower.write_left(frame, &LARGE_BADGE, age);
                row.write_right(frame, &BADGE, "STALE");
            } else {
                row.write_right(frame, &BADGE, age);
            }
        }
        Some(mark @ StatusBadge::Delayed) => {
            row.write_right(frame, &BADGE, mark.text());
            let pages = badge::delay(frame, &mut beside);
            if (top..top + pages).contains(&last) {
                under.right = beside.right;
            }
        }
        Some(StatusBadge::Word(word)) => row.write_right(frame, &BADGE, word),
        // The price is short dashes, so the reason fits beside them.
        Some(StatusBadge::Denied(reason, _)) => {
            Row::new(top + 1, 0..WIDTH).write_right(frame, &LARGE_BADGE, reason);
        }
        None => {}
    }
    let part = line.shown_part();
    let change = line.shown_percent(numbers);
    let plain = part.is_none() && line.contract.is_none();
    let large = WORD.width(line.label) + GAP + change.as_ref().map_or(0, ChangeText::large_width);
    let aged = matches!(mark, Some(StatusBadge::Age(_)));
    if double && !alerted && plain && !aged && large <= row.room() {
        row.write_left(frame, &WORD, line.label);
        change::draw_large(frame, change, row);
    } else {
        let room = row.room();
        let part_width = part.map_or(0, |part| BADGE.width(part) + GAP);
        name::draw(frame, &mut row, line, room.saturating_sub(part_width));
        if let Some(part) = part {
            row.write_left(frame, &BADGE, part);
        }
        let fits = change.as_ref().is_none_or(|change| change.fits(under));
        // Beside very long numbers, the change stands behind the name.
        change::draw(frame, change, if fits { under } else { row });
    }

    let columns = (fraction.end + CURVE_GAP).max(WIDTH - CURVE)..WIDTH;
    let plain = mark.is_none_or(|mark| mark.block().is_none()) && !line.is_struck();
    if let Some(draw_cache) = draw_cache
        && line.shown_price().is_some()
        && plain
        && columns.len() >= CURVE_LEAST
    {
        draw_cache.curve(frame, line.history, columns, top, !line.is_live());
        return true;
    }
    false
}

/// Returns the row below the raised fraction of large digits, if the name and all marks fit there
/// during an alert.
fn below(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    mark: Option<&StatusBadge>,
    number: &PriceText,
    style: &NumberStyle,
) -> Option<Row> {
    let beside = WIDTH.saturating_sub(number.width(style) + GAP);
    let (word, right) = match mark {
        None => (None, WIDTH),
        Some(StatusBadge::Word(word)) => (Some(*word), WIDTH),
        Some(StatusBadge::Age(age)) if LARGE_BADGE.fits(age, beside) => (None, WIDTH),
        Some(mark @ StatusBadge::Delayed) if badge::delay_pages(beside) == 2 => {
            (Some(mark.text()), WIDTH)
        }
        // The block would cover a part of this row.
        Some(_) => return None,
    };
    let demo = view.simulated.then_some("DEMO");
    let words = [demo, word, line.shown_part()].into_iter().flatten();
    let words: usize = words.map(|word| BADGE.width(word) + GAP).sum();
    let row = Row::new(TOP + 2, style.whole.width(&number.whole) + GAP..right);
    let fits = words + name::width(line, NAME_END) <= row.room();
    (fits && style.whole.pages == 4).then_some(row)
}
