//! What all layouts of the big screen use: texts that fit, badges, and prices with their state. A
//! price here has the same marks as on the panel: struck out if it is stale, faint if it is a close,
//! a badge for every state that is not live.

use super::face::Widths;
use super::scene::{Align, Ink, Rect, Scene, Shape, Text};
use crate::market::{Freshness, NumberFormat};
use crate::render::InstrumentView;
use crate::render::parts::badge::{DELAY, StatusBadge};

/// The place where layouts put their items.
pub(crate) struct Canvas<'a> {
    pub(crate) scene: &'a mut Scene,
    pub(crate) widths: &'a Widths,
    pub(crate) numbers: NumberFormat,
    /// The margin of the picture in pixels.
    pub(crate) margin: i32,
}

/// The background and the foreground of an item.
pub(crate) type Inks = (Ink, Ink);

/// A text of the screen.
pub(crate) type Label = heapless::String<64>;

impl<'a> Canvas<'a> {
    pub(crate) fn new(
        scene: &'a mut Scene,
        widths: &'a Widths,
        numbers: NumberFormat,
        margin: i32,
    ) -> Self {
        Self {
            scene,
            widths,
            numbers,
            margin,
        }
    }

    /// Adds a text. It is at most as high as `most`, and smaller if it does not fit otherwise.
    pub(crate) fn text(&mut self, rect: Rect, inks: Inks, text: &str, most: i32, align: Align) {
        let most = most.min(rect.h * 3 / 4);
        let size = self.widths.fit(text, 0, rect.w, most);
        self.sized(rect, inks, text, size, align);
    }

    /// Adds a text of this size.
    pub(crate) fn sized(&mut self, rect: Rect, inks: Inks, text: &str, size: u16, align: Align) {
        let text = Text {
            text: cut(text),
            size,
            small: 0,
            align,
            struck: false,
        };
        self.scene.push(rect, inks.0, inks.1, Shape::Text(text));
    }

    /// Adds a filled badge over the whole rectangle.
    pub(crate) fn badge(&mut self, rect: Rect, text: &str, ink: Ink) {
        let room = (rect.w - rect.h / 3).max(1);
        let size = self.widths.fit(text, 0, room, rect.h * 3 / 5);
        self.sized(rect, (ink, Ink::OnBadge), text, size, Align::Centre);
    }

    /// Returns the width of a badge whose text has three fifths of its height.
    pub(crate) fn badge_width(&self, text: &str, height: i32) -> i32 {
        self.widths.of(text, (height * 3 / 5).max(1) as u16, 0) + height / 2
    }

    /// Returns the figures of the price of a line, and the number of its small characters.
    fn figures(&self, line: &InstrumentView<'_>) -> (Label, u8) {
        let mut text = Label::new();
        let mut small = 0;
        match line.shown_price() {
            Some(price) => {
                let (whole, fraction) = price.parts(line.decimals, self.numbers);
                small = fraction.len() as u8;
                // The parts have at most 24 characters each.
                text.push_str(&whole).ok();
                text.push_str(&fraction).ok();
            }
            None => text = cut("-----"),
        }
        (text, small)
    }

    /// Returns the size at which the price of a line fits.
    pub(crate) fn price_size(&self, rect: Rect, line: &InstrumentView<'_>) -> u16 {
        let (text, small) = self.figures(line);
        // The comma and the line through a stale price need some space below the digits.
        self.widths.fit(&text, small, rect.w, rect.h * 4 / 5)
    }

    /// Adds the price of a line in this size.
    pub(crate) fn price(&mut self, rect: Rect, back: Ink, line: &InstrumentView<'_>, size: u16) {
        let (text, small) = self.figures(line);
        let faint = line.is_struck() || line.freshness == Freshness::Closed;
        let ink = match line.shown_price() {
            Some(_) if !faint => Ink::Text,
            _ => Ink::Muted,
        };
        let text = Text {
            size,
            text,
            small,
            align: Align::Left,
            struck: line.is_struck() && line.shown_price().is_some(),
        };
        self.scene.push(rect, back, ink, Shape::Text(text));
    }

    /// Adds an arrow and the figures of a change. Figures that are zero have no arrow.
    pub(crate) fn change(&mut self, rect: Rect, back: Ink, figures: &str, most: i32, align: Align) {
        let most = most.min(rect.h * 3 / 4);
        let up = match figures.as_bytes().first() {
            Some(b'+') => true,
            Some(b'-') => false,
            _ => return self.text(rect, (back, Ink::Text), figures, most, align),
        };
        let ink = if up { Ink::Up } else { Ink::Down };
        let gap = (most / 3).max(1);
        let arrow = most.min(rect.w / 4);
        let size = self.widths.fit(figures, 0, rect.w - arrow - gap, most);
        let width = self.widths.of(figures, size, 0) + arrow + gap;
        let mut row = rect;
        match align {
            Align::Left => {}
            Align::Centre => drop(row.cut_left((rect.w - width) / 2)),
            Align::Right => drop(row.cut_left(rect.w - width)),
        }
        let mut triangle = row.cut_left(arrow);
        triangle = triangle.inside(0, (triangle.h - i32::from(size)) / 2);
        self.scene.push(triangle, back, ink, Shape::Arrow { up });
        row.cut_left(gap);
        self.sized(row, (back, ink), figures, size, Align::Left);
    }
}

/// Returns as much of a text as an item can hold.
pub(crate) fn cut(text: &str) -> Label {
    let mut label = Label::new();
    for one in text.chars() {
        if label.push(one).is_err() {
            break;
        }
    }
    label
}

/// Returns the badge of a line and its colour; `None` for a live price in the regular hours.
pub(crate) fn state(line: &InstrumentView<'_>) -> Option<(Label, Ink)> {
    let written = |text: core::fmt::Arguments<'_>| heapless::format!("{text}").unwrap_or_default();
    Some(match StatusBadge::of(line) {
        Some(StatusBadge::Age(age)) => (written(format_args!("STALE {age}")), Ink::Stale),
        Some(StatusBadge::Delayed) => (written(format_args!("DELAYED {DELAY}")), Ink::Delayed),
        Some(StatusBadge::Word("CLOSED")) => (cut("CLOSED"), Ink::Closed),
        Some(StatusBadge::Word(word) | StatusBadge::Denied(word, _)) => (cut(word), Ink::Stale),
        None => (cut(line.shown_part()?), Ink::Muted),
    })
}
