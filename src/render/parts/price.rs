//! A price on the glass: large digits with a raised fraction, dashes where there is none, and the
//! line through what is no longer true.

use core::ops::Range;

use crate::market::{NumberFormat, Price, ShortText};
use crate::render::font::{DigitFade, NumberStyle, StrikeOut};
use crate::render::{Frame, InstrumentView, WIDTH};

/// A price as text, ready to be set in any style.
#[derive(Clone)]
pub(crate) struct PriceText {
    whole: ShortText,
    fraction: ShortText,
    struck: bool,
}

/// Where a number ended up.
pub(crate) struct PlacedText {
    /// The column after the whole part, where the fraction starts.
    pub(crate) fraction: usize,
    /// The column after all of it.
    pub(crate) end: usize,
}

impl PriceText {
    /// The value of a line; `dashes` if there is none.
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

    /// A price that is struck out.
    pub(crate) fn struck(price: Price, numbers: NumberFormat) -> Self {
        let (whole, fraction) = price.parts(numbers);
        Self {
            whole,
            fraction,
            struck: true,
        }
    }

    /// A text that is struck out.
    pub(crate) const fn crossed(text: ShortText) -> Self {
        Self {
            whole: text,
            fraction: ShortText::new(),
            struck: true,
        }
    }

    /// Dots for a number that does not fit, as the smallest it gets: cut figures would be another
    /// number.
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

    /// What is left of the decimals.
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    /// How many columns it takes.
    pub(crate) fn width(&self, style: &NumberStyle) -> usize {
        style.whole.width(&self.whole) + style.fraction.width(&self.fraction)
    }

    /// The first of the styles in which it is at most `room` columns wide, or else the last.
    pub(crate) fn fit<'a, const N: usize>(
        &self,
        styles: [&'a NumberStyle; N],
        room: usize,
    ) -> &'a NumberStyle {
        let fits = |style: &&&NumberStyle| {
            // No character is wider than the place it is kept in, so a short number needs no
            // measuring.
            let most = self.whole.len() * style.whole.stride;
            most + self.fraction.len() * style.fraction.stride <= room || self.width(style) <= room
        };
        let fitting = styles.iter().find(fits);
        fitting.unwrap_or(&styles[N - 1])
    }

    /// Draws it, its top on `page`.
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

/// Takes dots away from digits.
fn fade(fade: DigitFade, frame: &mut Frame, columns: Range<usize>, page: usize, pages: usize) {
    for row in page..page + pages {
        let bytes = &mut frame.as_bytes_mut()[row * WIDTH..][columns.clone()];
        for (step, byte) in bytes.iter_mut().enumerate() {
            let even = step % 2 == 0;
            *byte = match fade {
                DigitFade::Grey if even => *byte & 0xAA,
                DigitFade::Grey => *byte & 0x55,
                // What has no neighbour above or below is a level stroke.
                DigitFade::Thin if even => *byte & !(*byte << 1) & !(*byte >> 1),
                DigitFade::Thin | DigitFade::None => *byte,
            };
        }
    }
}

/// Draws a rising line through digits. It rises because a level one fills in what tells 0, 3, 6,
/// 8 and 9 apart; it is bright and the digits are faint, so that both can be read.
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
