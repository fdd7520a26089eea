//! The layout of an option contract with all its known values. This module only places the parts;
//! other modules draw them. The module never judges a price.

use core::ops::Range;
use core::time::Duration;

use super::header;
use crate::market::{NumberFormat, OptionAnalytics, Price, ShortText, Trade, whole};
use crate::render::font::{Font, NumberStyle};
use crate::render::parts::badge::{self, Age, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, field, name};
use crate::render::{FontSet, Frame, InstrumentView, OptionView, View, WIDTH};

/// The two columns of the table on 128×64.
const LEFT: Range<usize> = 0..63;
const RIGHT: Range<usize> = 69..WIDTH;
/// The column of the vertical line between the two columns of the table.
const RULE: usize = 65;
/// The columns beside the large price on 128×64.
const BESIDE_NUMBER: Range<usize> = 80..WIDTH;
/// The columns beside the large price on 128×32.
const ASIDE: Range<usize> = 61..WIDTH;
const GAP: usize = 2;
/// The dots of the vertical line in one page.
const DOTTED: u8 = 0b0101_0101;
/// The age in seconds from which a last trade shows its age.
const OLD: u64 = 60;

/// The shown values of an option. If the price is struck out, the other values are not shown.
struct OptionFields<'a> {
    line: InstrumentView<'a>,
    days: Option<ShortText>,
    mid: PriceText,
    mark: Option<StatusBadge>,
    bid: [ShortText; 2],
    ask: [ShortText; 2],
    last: Option<(Trade, Duration)>,
    volume: Option<u64>,
    analytics: OptionAnalytics,
}

impl<'a> OptionFields<'a> {
    fn of(view: &View<'_>, sheet: &OptionView<'a>) -> Self {
        let numbers = view.format.numbers;
        let line = InstrumentView {
            contract: Some(sheet.contract),
            ..sheet.line
        };
        let served = !line.is_struck() && line.denial.is_none();
        let book = sheet.book.filter(|_| served);
        let side = |side: Option<(Price, u32)>| {
            let mut size = ShortText::new();
            if let Some((_, number @ 1..)) = side {
                let _ = size.push('x');
                let _ = size.push_str(&plain(number));
            }
            [field::price(side.map(|(price, _)| price), numbers), size]
        };
        // An ask of zero means that there is no seller. If there is a seller, a bid of zero means
        // that there is no buyer, and the zero is shown; without a seller, no bid of zero is shown.
        let zero = Price::from_scaled(0);
        let ask = book.filter(|book| book.ask > zero);
        let bid = book.filter(|book| book.bid > zero || ask.is_some());
        Self {
            line,
            days: match line.expired {
                true => Some(days(-1)),
                false => sheet.days.map(days),
            },
            mid: PriceText::of(&line, "---", numbers),
            // The days field already shows EXPIRED, so the mark is not shown.
            mark: StatusBadge::of(&line).filter(|_| !line.expired),
            bid: side(bid.map(|book| (book.bid, book.bid_size))),
            ask: side(ask.map(|book| (book.ask, book.ask_size))),
            last: sheet.last.filter(|_| served),
            volume: sheet.day.volume.filter(|_| served),
            analytics: sheet.analytics.filter(|_| served).unwrap_or_default(),
        }
    }

    /// Draws the remaining days of the contract before the column `end`. Returns the first column
    /// of the text.
    fn days(&self, font_set: &FontSet, frame: &mut Frame, end: usize, page: usize) -> usize {
        match &self.days {
            // An expired contract, or one that expires today, uses an inverted badge.
            Some(text) if text.starts_with(['E', 'T']) => {
                badge::before(font_set, frame, end, page, text)
            }
            Some(text) => field::before(&font_set.small.whole, frame, end, page, &[text, "d"]),
            None => field::before(&font_set.small.whole, frame, end, page, &["--d"]),
        }
    }
}

/// Returns the remaining days as text: `25`, `TODAY`, `EXPIRED`.
fn days(days: i32) -> ShortText {
    match days {
        ..0 => ShortText::try_from("EXPIRED").unwrap_or_default(),
        0 => ShortText::try_from("TODAY").unwrap_or_default(),
        _ => plain(days.unsigned_abs().min(9_999)),
    }
}

/// Returns a small integer without thousands separators.
fn plain(number: u32) -> ShortText {
    let numbers = NumberFormat {
        group: None,
        ..NumberFormat::ENGLISH
    };
    whole(number.into(), numbers)
}

/// Converts a fraction to percent: 0.3049 becomes 30.49.
fn hundredfold(fraction: Price) -> Price {
    Price::from_scaled(
        fraction
            .scaled()
            .saturating_mul(100)
            .clamp(-Price::MAX.scaled(), Price::MAX.scaled()),
    )
}

/// Rounds to two decimals, because a small value would be shown with four.
fn coarse(price: Price) -> Price {
    Price::from_scaled((price.scaled() + 50).div_euclid(100) * 100)
}

/// Draws the page on 128×64: the header, the middle of bid and ask, and a table.
pub(crate) fn tall(view: &View<'_>, sheet: &OptionView<'_>, font_set: &FontSet, frame: &mut Frame) {
    let font = &font_set.small.whole;
    let numbers = view.format.numbers;
    let shown = OptionFields::of(view, sheet);
    let (page, end) = header::place(view, font_set, frame, 7);
    let slot = header::slot(view, shown.mark.as_ref(), font_set, frame, page, end);
    name::draw(font, frame, 0, page, &shown.line, slot.start - GAP);

    let room = if shown.line.expired {
        let x = WIDTH - badge::width(&font_set.word, "EXPIRED");
        badge::draw(&font_set.word, frame, x, 2, "EXPIRED");
        x - GAP
    } else {
        let OptionAnalytics {
            delta,
            implied_volatility: volatility,
            ..
        } = shown.analytics;
        shown.days(font_set, frame, WIDTH, 1);
        let percent = field::price(volatility.map(hundredfold), numbers);
        let unit = if volatility.is_some() { "%" } else { "" };
        field::draw(font, frame, BESIDE_NUMBER, 2, "IV", &[&percent, unit]);
        let delta = field::price(delta.map(coarse), numbers);
        field::draw(font, frame, BESIDE_NUMBER, 3, "delta", &[&delta]);
        BESIDE_NUMBER.start - GAP
    };
    let mark = shown.mark.as_ref().filter(|_| !slot.marked);
    let part = shown.line.shown_part();
    mid(&shown.mid, mark, part, font_set, frame, room);

    let OptionAnalytics {
        gamma,
        theta,
        vega,
        open_interest,
        ..
    } = shown.analytics;
    let greek = |value| field::price(value, numbers);
    let volume = field::count(font, shown.volume, numbers, RIGHT.len());
    let interest = field::count(font, open_interest, numbers, RIGHT.len());
    book(&shown.bid, "bid", font, frame, LEFT);
    book(&shown.ask, "ask", font, frame, RIGHT);
    last(view, shown.last, font_set, frame, 5);
    field::draw(font, frame, RIGHT, 5, "vol", &[&volume]);
    field::draw(font, frame, LEFT, 6, "gamma", &[&greek(gamma)]);
    field::draw(font, frame, RIGHT, 6, "OI", &[&interest]);
    for row in 4..if page == 0 { 8 } else { 7 } {
        frame.as_bytes_mut()[row * WIDTH + RULE] = DOTTED;
    }
    if page == 0 {
        field::draw(font, frame, LEFT, 7, "theta", &[&greek(theta)]);
        field::draw(font, frame, RIGHT, 7, "vega", &[&greek(vega)]);
    }
}

/// Draws the middle of bid and ask on 128×64, with its mark, in at most `room` columns.
fn mid(
    number: &PriceText,
    mark: Option<&StatusBadge>,
    part: Option<&'static str>,
    font_set: &FontSet,
    frame: &mut Frame,
    room: usize,
) {
    let font = &font_set.badge;
    let styles = [&font_set.large, &font_set.medium, &font_set.small];
    // A word stands below the fraction or below a smaller price. An age or a reason stands after
    // the price.
    let fits = |style: &&NumberStyle| match mark {
        None => number.width(style) <= room,
        Some(StatusBadge::Word(word)) => {
            let start = if style.whole.pages == 3 {
                style.whole.width(number.whole()) + GAP
            } else {
                0
            };
            number.width(style).max(start + badge::width(font, word)) <= room
        }
        Some(mark) => number.width(style) + GAP + badge::width(font, mark.brief()) <= room,
    };
    let least = mark.map_or(0, |mark| match mark {
        StatusBadge::Word(_) => 0,
        mark => GAP + badge::width(font, mark.brief()),
    });
    let number = &number.clone().or_dots(&font_set.small, room - least);
    let style = styles.into_iter().find(fits).unwrap_or(&font_set.small);
    let placed = number.draw(style, frame, 0, 1);
    let below = if style.whole.pages == 3 && placed.fraction < placed.end {
        placed.fraction + GAP
    } else {
        0
    };
    let after = placed.end + GAP;
    match mark {
        Some(StatusBadge::Word(word)) => {
            badge::draw(font, frame, below, 3, word);
            return;
        }
        Some(StatusBadge::Age(age)) if after + badge::width(&font_set.word, age.text()) <= room => {
            badge::draw(&font_set.word, frame, after, 1, age.text());
        }
        Some(mark) => {
            badge::draw(font, frame, after, 1, mark.brief());
        }
        None => {}
    }
    let below = match part {
        Some(part) => badge::draw(font, frame, below, 3, part) + GAP,
        None => below,
    };
    if below + font_set.small.whole.width("mid") <= room {
        font_set.small.whole.write(frame, below, 3, "mid");
    }
}

/// Draws one side of the book. The size is shown only if it fits.
fn book(
    [price, size]: &[ShortText; 2],
    name: &str,
    font: &Font,
    frame: &mut Frame,
    columns: Range<usize>,
) {
    let both: &[&str] = &[price, size];
    let fits = field::width(font, both) <= columns.len();
    let value = if fits { both } else { &both[..1] };
    field::draw(font, frame, columns, 4, name, value);
}

/// Draws the last trade. An old trade also shows its age.
fn last(
    view: &View<'_>,
    last: Option<(Trade, Duration)>,
    font_set: &FontSet,
    frame: &mut Frame,
    page: usize,
) {
    let font = &font_set.small.whole;
    let price = field::price(last.map(|(trade, _)| trade.price), view.format.numbers);
    let age = last.filter(|(_, age)| age.as_secs() >= OLD);
    let mut columns = LEFT;
    if let Some((_, age)) = age {
        columns.end = badge::before(font_set, frame, LEFT.end, page, Age::new(age).text()) - GAP;
    }
    field::draw(font, frame, columns, page, "last", &[&price]);
}

/// Draws the page on 128×32: the name and the remaining days, the middle of bid and ask, and the
/// most important values beside it.
pub(crate) fn low(view: &View<'_>, sheet: &OptionView<'_>, font_set: &FontSet, frame: &mut Frame) {
    let font = &font_set.small.whole;
    let numbers = view.format.numbers;
    let shown = OptionFields::of(view, sheet);
    let end = header::signs(view, font_set, frame, 3);
    let alerted = alert::draw(view, font_set, frame, 0..WIDTH, 0);

    let ([bid, _], [ask, _]) = (&shown.bid, &shown.ask);
    let book: &[&str] = &[bid, "x", ask];
    // A wide book needs the whole line above the price. Smaller digits leave this line free.
    let first = match field::width(font, book) <= ASIDE.len() {
        true => &font_set.large,
        false => &font_set.medium,
    };
    let room = ASIDE.start - GAP;
    let mid = shown.mid.clone().or_dots(&font_set.small, room);
    let style = mid.fit([first, &font_set.medium, &font_set.small], room);
    let page = if style.whole.pages == 3 { 1 } else { 2 };
    mid.draw(style, frame, 0, page);

    // While the alert covers the name, these texts stand beside the price.
    let (page, start) = if alerted { (1, ASIDE.start) } else { (0, 0) };
    let mut right = shown.days(font_set, frame, WIDTH, page) - GAP;
    if view.simulated {
        right = badge::before(font_set, frame, right, page, "DEMO") - GAP;
    }
    if alerted {
        name::draw(font, frame, start, 2, &shown.line, WIDTH - start);
    } else {
        name::draw(font, frame, 0, 0, &shown.line, right);
        let columns = if style.whole.pages == 3 {
            ASIDE
        } else {
            0..WIDTH
        };
        field::draw(font, frame, columns, 1, "", book);
        let OptionAnalytics {
            delta,
            implied_volatility: volatility,
            ..
        } = shown.analytics;
        let delta = field::price(delta.map(coarse), numbers);
        let (percent, tenths) = match volatility {
            // There is space for one decimal only.
            Some(fraction) => tenths(hundredfold(fraction), numbers),
            None => (field::price(None, numbers), ShortText::new()),
        };
        let unit = if volatility.is_some() { "%" } else { "" };
        let volatility = ["IV", &percent, &tenths, unit];
        let start = ASIDE.end - field::width(font, &volatility).min(ASIDE.len());
        if field::width(font, &volatility) <= ASIDE.len() {
            field::write(font, frame, start, 2, &volatility);
        }
        let columns = ASIDE.start..start.saturating_sub(GAP + 1).max(ASIDE.start);
        if field::width(font, &["d", &delta]) <= columns.len() {
            field::write(font, frame, columns.start, 2, &["d", &delta]);
        }
    }

    let font = &font_set.badge;
    match &shown.mark {
        Some(mark) => {
            let fits = badge::width(font, mark.text()) <= end - ASIDE.start;
            let text = if fits { mark.text() } else { mark.brief() };
            let x = badge::before(font_set, frame, end, 3, text);
            if matches!(mark, StatusBadge::Age(_)) && ASIDE.start + badge::width(font, "STALE") <= x
            {
                badge::before(font_set, frame, x, 3, "STALE");
            }
        }
        None => {
            let time = crate::render::parts::clock::text(view);
            let x = field::before(&font_set.small.whole, frame, end, 3, &[&time]);
            if let Some(part) = shown.line.shown_part() {
                badge::before(font_set, frame, x - GAP, 3, part);
            }
        }
    }
}

/// Returns a value with one decimal as whole part and fraction.
fn tenths(number: Price, numbers: NumberFormat) -> (ShortText, ShortText) {
    let rounded = Price::from_scaled((number.scaled() + 500).div_euclid(1000) * 1000);
    let (whole, mut fraction) = rounded.parts(numbers);
    fraction.truncate(2);
    (whole, fraction)
}
