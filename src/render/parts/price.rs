//! Draws a price: large digits with a raised fraction, dashes for a missing price, faint digits for
//! a closing price, and lines through or around a stale price. This module never judges the freshness of a
//! price.

use core::ops::Range;

use super::field;
use crate::market::{Freshness, NumberFormat, ShortText};
use crate::render::font::{DigitFade, NumberStyle, SMALL, Strike};
use crate::render::{Frame, InstrumentView};

/// The look of the digits of a price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Bright digits: a live or delayed price, or dashes.
    Plain,
    /// Faint digits: a closing price.
    Faint,
    /// Faint digits with a bright line through them: a stale price.
    Struck,
}

/// A price as text, which can be drawn in any style.
#[derive(Clone)]
pub(crate) struct PriceText {
    /// The part before the decimals.
    pub(crate) whole: ShortText,
    fraction: ShortText,
    look: Look,
}

impl PriceText {
    /// Creates a price from its whole part and its fraction.
    pub(crate) fn new((whole, fraction): (ShortText, ShortText), look: Look) -> Self {
        Self {
            whole,
            fraction,
            look,
        }
    }

    /// Returns the price of a line, or `dashes` if there is no price to show.
    pub(crate) fn of(line: &InstrumentView<'_>, dashes: &str, numbers: NumberFormat) -> Self {
        let look = match line.freshness {
            _ if line.is_struck() => Look::Struck,
            Freshness::Closed => Look::Faint,
            _ => Look::Plain,
        };
        match line.shown_price() {
            Some(price) => Self::new(price.parts(line.decimals, numbers), look),
            None => Self::new((field::text(dashes), ShortText::new()), Look::Plain),
        }
    }

    /// Returns the price of a line like [`Self::of`], rounded to as few decimals as necessary to be
    /// at most `room` columns wide in the smallest style. Returns two dots if the price does not
    /// fit without decimals, because a price with missing figures would be a wrong price.
    pub(crate) fn within(
        line: &InstrumentView<'_>,
        dashes: &str,
        numbers: NumberFormat,
        room: usize,
    ) -> Self {
        let rounded = |decimals| {
            let line = InstrumentView { decimals, ..*line };
            Self::of(&line, dashes, numbers)
        };
        let mut texts = (0..=line.decimals).rev().map(rounded);
        let fitting = texts.find(|text| text.width(&SMALL) <= room);
        fitting.unwrap_or_else(|| Self::new((field::text(".."), ShortText::new()), Look::Plain))
    }

    /// Returns the width in columns.
    pub(crate) fn width(&self, style: &NumberStyle) -> usize {
        style.whole.width(&self.whole) + style.fraction.width(&self.fraction)
    }

    /// Returns the first style in which the price is at most `room` columns wide, or the last style
    /// if no style fits.
    pub(crate) fn fit<const N: usize>(
        &self,
        styles: [&'static NumberStyle; N],
        room: usize,
    ) -> &'static NumberStyle {
        let fits = |style: &&&NumberStyle| {
            // No character is wider than the stride of its font, so a short price needs no
            // measurement.
            let most = self.whole.len() * style.whole.stride;
            most + self.fraction.len() * style.fraction.stride <= room || self.width(style) <= room
        };
        let fitting = styles.iter().find(fits);
        fitting.unwrap_or(&styles[N - 1])
    }

    /// Draws the price from column `x`, with its top at `page`. Returns the columns of the
    /// fraction, which is the end of the price.
    pub(crate) fn draw(
        &self,
        style: &NumberStyle,
        frame: &mut Frame,
        x: usize,
        page: usize,
    ) -> Range<usize> {
        let middle = style.whole.write(frame, x, page, &self.whole);
        let end = style.fraction.write(frame, middle, page, &self.fraction);
        if self.look != Look::Plain {
            fade(style.fades.0, frame, x..middle, page, style.whole.pages);
            fade(
                style.fades.1,
                frame,
                middle..end,
                page,
                style.fraction.pages,
            );
        }
        if self.look == Look::Struck {
            strike(style, frame, x..middle, end, page);
        }
        middle..end
    }
}

/// Removes dots from digits, so that they look faint.
fn fade(fade: DigitFade, frame: &mut Frame, columns: Range<usize>, page: usize, pages: usize) {
    for row in page..page + pages {
        let bytes = frame.columns_mut(row, columns.clone());
        let mut left = 0;
        for step in 0..bytes.len() {
            let dots = bytes[step];
            let right = bytes.get(step + 1).copied().unwrap_or_default();
            bytes[step] &= match fade {
                DigitFade::Grey if step % 2 == 0 => 0xAA,
                DigitFade::Grey => 0x55,
                // The last dot of each stroke is removed.
                DigitFade::Thin => !left | right,
                DigitFade::None => 0xFF,
            };
            left = dots;
        }
    }
}

/// Strikes out a price with the whole part in these columns and its end at `end`. The lines are
/// bright and the digits are faint, so that both are readable.
fn strike(style: &NumberStyle, frame: &mut Frame, whole: Range<usize>, end: usize, page: usize) {
    let mut line = |x: usize, rows: u32| {
        for below in 0..style.whole.pages {
            frame.columns_mut(page + below, x..x + 1)[0] |= (rows >> (8 * below)) as u8;
        }
    };
    match style.strike {
        Strike::Through { right, left } => {
            let last = whole.len().saturating_sub(1).max(1) as u32;
            for (step, x) in (0..).zip(whole) {
                line(
                    x,
                    0b11 << (left - ((left - right) * step + last / 2) / last),
                );
            }
        }
        // The last column is the gap after the price.
        Strike::Beside { rows } => (whole.start..end - 1).for_each(|x| line(x, rows)),
    }
}
