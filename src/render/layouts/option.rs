//! The layout of an option contract with all its known values. This module only places the parts;
//! other modules draw them. The module never judges a price.

use core::ops::Range;
use core::time::Duration;

use super::header;
use crate::market::{NumberFormat, OptionAnalytics, Price, ShortText, Trade, whole};
use crate::render::font::{BADGE, Font, LARGE, LARGE_BADGE, MEDIUM, NumberStyle, SMALL, TEXT};
use crate::render::parts::badge::{self, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, clock, field, name, range, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{Colours, Frame, InstrumentView, OptionView, View, WIDTH};

/// The two columns of the table on 128×64.
const LEFT: Range<usize> = 0..63;
const RIGHT: Range<usize> = 69..WIDTH;
/// The column of the vertical line between the two columns of the table.
const RULE: usize = 65;
/// The columns beside the large price on 128×64.
const BESIDE_NUMBER: Range<usize> = 80..WIDTH;
/// The columns beside the large price on 128×32.
const ASIDE: Range<usize> = 61..WIDTH;
/// The dots of the vertical line in one page.
const DOTTED: u8 = 0b0101_0101;
/// The age in seconds from which a last trade shows its age.
const OLD: u64 = 60;

/// The shown values of an option. If the price is struck out, the other values are not shown.
struct OptionFields<'a> {
    line: InstrumentView<'a>,
    /// The remaining days and their font.
    days: (ShortText, &'static Font),
    mark: Option<StatusBadge>,
    /// The price of each side of the book, and its size; 0 if the size is unknown.
    bid: Option<(Price, u32)>,
    ask: Option<(Price, u32)>,
    last: Option<(Trade, Duration)>,
    volume: Option<u64>,
    analytics: OptionAnalytics,
}

impl<'a> OptionFields<'a> {
    fn of(sheet: &OptionView<'a>) -> Self {
        let line = InstrumentView {
            contract: Some(sheet.contract),
            ..sheet.line
        };
        let served = !line.is_struck() && line.denial.is_none();
        let book = sheet.book.filter(|_| served);
        // An ask of zero means that there is no seller. If there is a seller, a bid of zero means
        // that there is no buyer, and the zero is shown; without a seller, no bid of zero is shown.
        let zero = Price::from_scaled(0);
        let ask = book.filter(|book| book.ask > zero);
        let bid = book.filter(|book| book.bid > zero || ask.is_some());
        Self {
            line,
            days: days(if line.expired { Some(-1) } else { sheet.days }),
            // The days field already shows EXPIRED, so the mark is not shown.
            mark: StatusBadge::of(&line).filter(|_| !line.expired),
            bid: bid.map(|book| (book.bid, book.bid_size)),
            ask: ask.map(|book| (book.ask, book.ask_size)),
            last: sheet.last.filter(|_| served),
            volume: sheet.day.volume.filter(|_| served),
            analytics: sheet.analytics.filter(|_| served).unwrap_or_default(),
        }
    }
}

/// Returns the remaining days as text: `25d`, `TODAY`, `EXPIRED`. An expired contract, or one that
/// expires today, uses a badge.
fn days(days: Option<i32>) -> (ShortText, &'static Font) {
    match days {
        Some(..0) => (field::text("EXPIRED"), &BADGE),
        Some(0) => (field::text("TODAY"), &BADGE),
        Some(days) => {
            let text = heapless::format!("{}d", days.min(9_999));
            (text.unwrap_or_default(), &TEXT)
        }
        None => (field::text("--d"), &TEXT),
    }
}

/// Returns an implied volatility in percent: 0.3049 becomes `30.49%`, or the short form `30.5%`.
fn volatility(fraction: Option<Price>, numbers: NumberFormat, short: bool) -> ShortText {
    let Some(fraction) = fraction else {
        return field::number(None, numbers);
    };
    let most = Price::MAX.scaled();
    let hundredfold = fraction.scaled().saturating_mul(100).clamp(-most, most);
    let percent = Price::from_scaled(hundredfold);
    let mut text = field::price(Some(percent), if short { 1 } else { 2 }, numbers);
    let _ = text.push('%');
    text
}

/// Returns all known values of an option with their names.
pub(crate) fn fields(
    sheet: &OptionView<'_>,
    numbers: NumberFormat,
) -> heapless::Vec<(&'static str, heapless::String<64>), 12> {
    let shown = OptionFields::of(sheet);
    let text = |text: &str| heapless::String::try_from(text).unwrap_or_default();
    let price = |price| text(&field::price(price, shown.line.decimals, numbers));
    let value = |value| text(&field::number(value, numbers));
    let count = |count: Option<u64>| match count {
        Some(count) => text(&whole(count, numbers)),
        None => text("---"),
    };
    let side = |side: Option<(Price, u32)>| match side {
        Some((at, size)) if size > 0 => {
            heapless::format!("{} x {size}", price(Some(at))).unwrap_or_default()
        }
        side => price(side.map(|(at, _)| at)),
    };
    let last = match shown.last.filter(|(_, age)| age.as_secs() >= OLD) {
        Some((trade, age)) => {
            let age = badge::age(age);
            heapless::format!("{} {age} old", price(Some(trade.price))).unwrap_or_default()
        }
        None => price(shown.last.map(|(trade, _)| trade.price)),
    };
    let analytics = shown.analytics;
    let volatility = volatility(analytics.implied_volatility, numbers, false);
    let rows = [
        ("bid", side(shown.bid)),
        ("ask", side(shown.ask)),
        ("last", last),
        ("expires", text(&shown.days.0)),
        ("volatility", text(&volatility)),
        ("open interest", count(analytics.open_interest)),
        ("delta", value(analytics.delta)),
        ("gamma", value(analytics.gamma)),
        ("theta", value(analytics.theta)),
        ("vega", value(analytics.vega)),
        ("volume", count(shown.volume)),
    ];
    heapless::Vec::from_iter(rows)
}

/// Draws the page on 128×64: the header, the middle of bid and ask, and a table.
pub(crate) fn tall(view: &View<'_>, sheet: &OptionView<'_>, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let shown = OptionFields::of(sheet);
    let OptionAnalytics {
        delta,
        gamma,
        theta,
        vega,
        implied_volatility,
        open_interest,
    } = shown.analytics;
    let value = |value| field::number(value, numbers);
    let count = |count| field::count(count, numbers, RIGHT.len());
    let yellow = view.colours == Colours::YellowBlue;
    let mut row = header::place(view, frame, if yellow { 1 } else { 7 });
    let alerted = row.page > 0;
    header::slot(view, frame, &mut row);
    if yellow && alerted {
        row.write_right(frame, shown.days.1, &shown.days.0);
    }
    let room = row.room();
    name::draw(frame, &mut row, &shown.line, room);
    // The first page of the table. On a panel of two colours, the second yellow page and the page
    // beside the price have its last line.
    let (table, last_line) = if yellow { (5, [1, 4]) } else { (4, [7, 7]) };

    let room = if shown.line.expired {
        let mut row = Row::new(2, 0..WIDTH);
        row.write_right(frame, &LARGE_BADGE, "EXPIRED");
        row.right
    } else {
        let beside = |page| Row::new(page, BESIDE_NUMBER);
        if !(yellow && alerted) {
            beside(1).write_right(frame, shown.days.1, &shown.days.0);
        }
        let volatility = volatility(implied_volatility, numbers, false);
        field::draw(frame, beside(2), "IV", &volatility);
        field::draw(frame, beside(3), "delta", &field::price(delta, 2, numbers));
        BESIDE_NUMBER.start - GAP
    };
    mid(&shown, numbers, frame, header::top(view).0, room);

    // While an alert is in the first line, the header replaces the last line of the table.
    let [left, right] = [LEFT, RIGHT].map(|columns| move |page| Row::new(page, columns.clone()));
    let decimals = shown.line.decimals;
    book_side(shown.bid, "bid", decimals, numbers, frame, left(table));
    book_side(shown.ask, "ask", decimals, numbers, frame, right(table));
    last(shown.last, decimals, numbers, frame, left(table + 1));
    field::draw(frame, right(table + 1), "vol", &count(shown.volume));
    field::draw(frame, left(table + 2), "gamma", &value(gamma));
    field::draw(frame, right(table + 2), "OI", &count(open_interest));
    if !alerted {
        field::draw(frame, left(last_line[0]), "theta", &value(theta));
    }
    if yellow && !shown.line.expired {
        field::draw(
            frame,
            Row::new(last_line[1], BESIDE_NUMBER),
            "vega",
            &value(vega),
        );
    } else if !yellow && !alerted {
        field::draw(frame, right(last_line[1]), "vega", &value(vega));
    }
    let bottom = if alerted && !yellow { 7 } else { 8 };
    for page in table..bottom {
        frame.columns_mut(page, RULE..RULE + 1)[0] = DOTTED;
    }
}

/// Draws the page on 128×128: the header and the middle of bid and ask, its curve, a table, and the
/// range of the day.
pub(crate) fn square(view: &View<'_>, sheet: &OptionView<'_>, frame: &mut Frame) {
    /// The pages of the curve, the table, and the range.
    const CURVE: Range<usize> = 7..10;
    const TABLE: Range<usize> = 10..15;
    const DAY: usize = 15;
    let numbers = view.format.numbers;
    let shown = OptionFields::of(sheet);
    let line = &shown.line;
    header::draw(view, line, frame, None, 0);
    let mut row = Row::new(CURVE.start - 1, 0..WIDTH);
    row.write_left(frame, &TEXT, "mid");
    // An expired contract has this word in the header.
    if !line.expired {
        row.write_right(frame, shown.days.1, &shown.days.0);
    }
    if line.shown_price().is_some() {
        sparkline::draw(frame, line.history, 0..WIDTH, CURVE, !line.is_live());
    }
    let [left, right] = [LEFT, RIGHT].map(|columns| move |page| Row::new(page, columns.clone()));
    let page = |row: usize| TABLE.start + row;
    let (decimals, values) = (line.decimals, &shown.analytics);
    let count = |count| field::count(count, numbers, RIGHT.len());
    let value = |value| field::number(value, numbers);
    book_side(shown.bid, "bid", decimals, numbers, frame, left(page(0)));
    book_side(shown.ask, "ask", decimals, numbers, frame, right(page(0)));
    last(shown.last, decimals, numbers, frame, left(page(1)));
    let fields: [(&str, ShortText, Row); 7] = [
        ("vol", count(shown.volume), right(page(1))),
        (
            "IV",
            volatility(values.implied_volatility, numbers, false),
            left(page(2)),
        ),
        (
            "delta",
            field::price(values.delta, 2, numbers),
            right(page(2)),
        ),
        ("theta", value(values.theta), left(page(3))),
        ("gamma", value(values.gamma), right(page(3))),
        ("vega", value(values.vega), left(page(4))),
        ("OI", count(values.open_interest), right(page(4))),
    ];
    for (name, value, row) in fields {
        field::draw(frame, row, name, &value);
    }
    for page in TABLE {
        frame.columns_mut(page, RULE..RULE + 1)[0] = DOTTED;
    }
    range::draw(view, line, sheet.day, frame, Row::new(DAY, 0..WIDTH));
}

/// Draws the middle of bid and ask on 128×64, with its mark, in at most `room` columns.
fn mid(
    shown: &OptionFields<'_>,
    numbers: NumberFormat,
    frame: &mut Frame,
    top: usize,
    room: usize,
) {
    // A word stands below the fraction or below a smaller price. An age, a delay or a reason stands
    // after the price.
    let (word, after) = match &shown.mark {
        Some(mark @ StatusBadge::Delayed) => (Some(mark.text()), mark.block()),
        Some(StatusBadge::Word(word)) => (Some(*word), None),
        Some(mark) => (None, Some(mark.brief())),
        None => (None, None),
    };
    let part = shown.line.shown_part();
    let least = after.map_or(0, |text| GAP + BADGE.width(text));
    let number = PriceText::within(&shown.line, "---", numbers, room - least);
    let fits = |style: &&NumberStyle| {
        let below = word.or(part).map_or(0, |word| {
            let start = if style.whole.pages == 3 {
                style.whole.width(&number.whole) + GAP
            } else {
                0
            };
            start + BADGE.width(word)
        });
        below.max(number.width(style) + least) <= room
    };
    let style = [&LARGE, &MEDIUM, &SMALL]
        .into_iter()
        .find(fits)
        .unwrap_or(&SMALL);
    let fraction = number.draw(style, frame, 0, top);
    // The dashes of a missing price leave the last page free.
    let large = style.whole.pages == 3 && shown.line.shown_price().is_some();
    let mut below = Row::new(top + 2, if large { fraction.start + GAP } else { 0 }..room);
    let mut row = Row::new(top, fraction.end + GAP..room);
    if let Some(text) = after {
        let block = shown.mark.as_ref().and_then(StatusBadge::block);
        let large = block.is_some() && LARGE_BADGE.fits(text, row.room());
        row.write_left(frame, if large { &LARGE_BADGE } else { &BADGE }, text);
    }
    if let Some(word) = word {
        return below.write_left(frame, &BADGE, word);
    }
    if let Some(part) = part {
        below.write_left(frame, &BADGE, part);
    }
    if TEXT.fits("mid", below.room()) {
        below.write_left(frame, &TEXT, "mid");
    }
}

/// Draws one side of the book. The size is shown only if it is known and fits.
fn book_side(
    side: Option<(Price, u32)>,
    name: &str,
    decimals: u8,
    numbers: NumberFormat,
    frame: &mut Frame,
    row: Row,
) {
    let price = side.map(|(price, _)| price);
    let price = field::price_within(price, decimals, numbers, row.room());
    let size = side.map_or(0, |(_, size)| size);
    let both: heapless::String<40> = heapless::format!("{price}x{size}").unwrap_or_default();
    let fits = size > 0 && TEXT.fits(&both, row.room());
    field::draw(frame, row, name, if fits { &both } else { &price });
}

/// Draws the last trade. An old trade also shows its age.
fn last(
    last: Option<(Trade, Duration)>,
    decimals: u8,
    numbers: NumberFormat,
    frame: &mut Frame,
    mut row: Row,
) {
    if let Some((_, age)) = last.filter(|(_, age)| age.as_secs() >= OLD) {
        row.write_right(frame, &BADGE, &badge::age(age));
    }
    let price = last.map(|(trade, _)| trade.price);
    let price = field::price_within(price, decimals, numbers, row.room());
    field::draw(frame, row, "last", &price);
}

/// Draws the page on 128×32: the name and the remaining days, the middle of bid and ask, and the
/// most important values beside it.
pub(crate) fn low(view: &View<'_>, sheet: &OptionView<'_>, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let shown = OptionFields::of(sheet);
    let mut top = Row::new(0, 0..WIDTH);
    let alerted = alert::draw(view, frame, top);

    let side = |side: Option<(Price, u32)>, decimals| {
        field::price(side.map(|(price, _)| price), decimals, numbers)
    };
    let rounded = |decimals| -> heapless::String<40> {
        let (bid, ask) = (side(shown.bid, decimals), side(shown.ask, decimals));
        heapless::format!("{bid}x{ask}").unwrap_or_default()
    };
    let mut books = (0..=shown.line.decimals).rev().map(rounded);
    let book = books.find(|book| TEXT.fits(book, WIDTH));
    let book = book.unwrap_or_else(|| rounded(0));
    // A wide book needs the whole line above the price. Smaller digits leave this line free.
    let first = match TEXT.fits(&book, ASIDE.len()) {
        true => &LARGE,
        false => &MEDIUM,
    };
    let room = ASIDE.start - GAP;
    let mid = PriceText::within(&shown.line, "---", numbers, room);
    let style = mid.fit([first, &MEDIUM, &SMALL], room);
    let large = style.whole.pages == 3;
    mid.draw(style, frame, 0, if large { 1 } else { 2 });

    if alerted {
        // The alert covers the name, so these texts stand beside the price.
        top = Row::new(1, ASIDE);
    }
    top.write_right(frame, shown.days.1, &shown.days.0);
    if view.simulated {
        top.write_right(frame, &BADGE, "DEMO");
    }
    let mut middle = Row::new(2, ASIDE);
    if alerted {
        name::draw(frame, &mut middle, &shown.line, ASIDE.len());
    } else {
        let room = top.room();
        name::draw(frame, &mut top, &shown.line, room);
        let columns = if large { ASIDE } else { 0..WIDTH };
        field::draw(frame, Row::new(1, columns), "", &book);
        let volatility = volatility(shown.analytics.implied_volatility, numbers, true);
        let delta = field::price(shown.analytics.delta, 2, numbers);
        let [volatility, delta]: [ShortText; 2] = [
            heapless::format!("IV{volatility}").unwrap_or_default(),
            heapless::format!("d{delta}").unwrap_or_default(),
        ];
        if TEXT.fits(&volatility, middle.room()) {
            middle.write_right(frame, &TEXT, &volatility);
            middle.right -= 1;
            if TEXT.fits(&delta, middle.room()) {
                middle.write_left(frame, &TEXT, &delta);
            }
        }
    }

    let mut bottom = header::signs(view, frame);
    bottom.left = ASIDE.start;
    match &shown.mark {
        Some(mark) => {
            let fits = BADGE.fits(mark.text(), bottom.room());
            bottom.write_right(frame, &BADGE, if fits { mark.text() } else { mark.brief() });
            // The word STALE directly touches the age.
            bottom.right += GAP;
            if matches!(mark, StatusBadge::Age(_)) && BADGE.fits("STALE", bottom.room()) {
                bottom.write_right(frame, &BADGE, "STALE");
            }
        }
        None => {
            bottom.write_right(frame, &TEXT, &clock::text(view));
            if let Some(part) = shown.line.shown_part() {
                bottom.write_right(frame, &BADGE, part);
            }
        }
    }
}
