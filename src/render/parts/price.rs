//! Draws a price: large digits with a raised fraction, dashes for a missing price, and a line
//! through a stale price. This module never judges the freshness of a price.

use core::ops::Range;

use crate::market::{NumberFormat, Price, ShortText};
use crate::render::font::{DigitFade, NumberStyle, StrikeOut};
use crate::render::{Frame, InstrumentView, WIDTH};

/// A price as text, which can be drawn in any style.
#[derive(Clone)]
pub(crate) struct PriceText {
    whole: ShortText,
    fraction: ShortText,
    struck: bool,
}

/// The columns of a price that was drawn.
pub(crate) struct PlacedText {
    /// The column after the whole part, where the fraction starts.
    pub(crate) fraction: usize,
    /// The column after the whole price.
    pub(crate) end: usize,
}

impl PriceText {
    /// Returns the price of a line, or `dashes` if there is no price to show.
    pub(crate) fn of(line: &InstrumentView<'_>, dashes: &str, numbers: NumberFormat) -> Self {
        match line.shown_price() {
            Some(price) => {
                let (whole, fraction) = price.parts(numbers);
                Self {
                    whole,
                    fraction,
                    struck: line.is_struck(),
                }
            }
            None => Self {
                whole: ShortText::try_from(dashes).unwrap_or_default(),
                fraction: ShortText::new(),
                struck: false,
            },
        }
    }

    /// Returns a price that is struck out.
    pub(crate) fn struck(price: Price, numbers: NumberFormat) -> Self {
        let (whole, fraction) = price.parts(numbers);
        Self {
            whole,
            fraction,
            struck: true,
        }
    }

    /// Returns a text that is struck out.
    pub(crate) const fn crossed(text: ShortText) -> Self {
        Self {
            whole: text,
            fraction: ShortText::new(),
            struck: true,
        }
    }

    /// Returns two dots if the price does not fit in the smallest style, because a price with
    /// missing figures would be a wrong price.
    pub(crate) fn or_dots(self, style: &NumberStyle, room: usize) -> Self {
        if self.width(style) <= room {
            return self;
        }
        Self {
            whole: ShortText::try_from("..").unwrap_or_default(),
            fraction: ShortText::new(),
            struck: false,
        }
    }

    /// Returns the part before the decimals.
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    /// Returns the width in columns.
    pub(crate) fn width(&self, style: &NumberStyle) -> usize {
        style.whole.width(&self.whole) + style.fraction.width(&self.fraction)
    }

    /// Returns the first style in which the price is at most `room` columns wide, or the last style
    /// if no style fits.
    pub(crate) fn fit<'a, const N: usize>(
        &self,
        styles: [&'a NumberStyle; N],
        room: usize,
    ) -> &'a NumberStyle {
        let fits = |style: &&&NumberStyle| {
            // No character is wider than the stride of its font, so a short price needs no
            // measurement.
            let most = self.whole.len() * style.whole.stride;
            most + self.fraction.len() * style.fraction.stride <= room || self.width(style) <= room
        };
        let fitting = styles.iter().find(fits);
        fitting.unwrap_or(&styles[N - 1])
    }

    /// Draws the price from column `x`, with its top at `page`.
    pub(crate) fn draw(
        &self,
        style: &NumberStyle,
        frame: &mut Frame,
        x: usize,
        page: usize,
    ) -> PlacedText {
        let fraction = style.whole.write(frame, x, page, &self.whole);
        let end = style.fraction.write(frame, fraction, page, &self.fraction);
        if self.struck {
            let StrikeOut {
                whole,
                fraction: small,
                rise,
                dots,
            } = style.strike;
            fade(whole, frame, x..fraction, page, style.whole.pages);
            fade(small, frame, fraction..end, page, style.fraction.pages);
            strike(frame, x..fraction, page, style.whole.pages, rise, dots);
        }
        PlacedText { fraction, end }
    }
}

/// Removes dots from digits, so that they look faint.
fn fade(fade: DigitFade, frame: &mut Frame, columns: Range<usize>, page: usize, pages: usize) {
    for row in page..page + pages {
        let bytes = &mut frame.as_bytes_mut()[row * WIDTH..][columns.clone()];
        for (step, byte) in bytes.iter_mut().enumerate() {
            let even = step % 2 == 0;
            *byte = match fade {
                DigitFade::Grey if even => *byte & 0xAA,
                DigitFade::Grey => *byte & 0x55,
                // A dot without a neighbour above or below belongs to a horizontal stroke, so it
                // stays.
                DigitFade::Thin if even => *byte & !(*byte << 1) & !(*byte >> 1),
                DigitFade::Thin | DigitFade::None => *byte,
            };
        }
    }
}

/// Draws a rising line through digits. A horizontal line would fill the gaps that distinguish 0, 3,
/// 6, 8 and 9. The line is bright and the digits are faint, so that both are readable.
fn strike(
    frame: &mut Frame,
    columns: Range<usize>,
    page: usize,
    pages: usize,
    (top, bottom): (u32, u32),
    dots: u32,
) {
    let last = columns.len().saturating_sub(1).max(1) as u32;
    for (step, x) in (0..).zip(columns) {
        let line = dots << (bottom - ((bottom - top) * step + last / 2) / last);
        for below in 0..pages {
            frame.as_bytes_mut()[(page + below) * WIDTH + x] |= (line >> (8 * below)) as u8;
        }
    }
}
