//! Draws the time of day. This module never reads a clock: the view contains the time.

use crate::market::ShortText;
use crate::render::font::CachedTime;
use crate::render::{FontSet, Frame, View, WIDTH};

/// Draws the time in the small font, directly before the column `end`. Returns the first column of
/// the time.
pub(crate) fn draw(
    view: &View<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
    page: usize,
    end: usize,
) -> usize {
    let of = (view.time, view.format.twelve_hours);
    let known = font_set.time.get().filter(|set| set.of == of);
    let set = known.unwrap_or_else(|| {
        // The minute has changed, so the time is drawn again.
        let text = text(view);
        let font = &font_set.small.whole;
        let mut alone = Frame::new(frame.size());
        let width = font.write(&mut alone, 0, 0, &text);
        let mut dots = [0; CachedTime::ROOM];
        dots.copy_from_slice(&alone.page(0)[..CachedTime::ROOM]);
        let set = CachedTime { of, dots, width };
        font_set.time.set(Some(set));
        set
    });
    let start = end.saturating_sub(set.width);
    let row = &mut frame.as_bytes_mut()[page * WIDTH..][start..WIDTH];
    match row.first_chunk_mut() {
        Some(row) => add::<{ CachedTime::ROOM }>(row, &set.dots),
        None => row
            .iter_mut()
            .zip(set.dots)
            .for_each(|(row, dots)| *row |= dots),
    }
    start
}

/// Lights the given dots and keeps the dots that are already lit.
fn add<const N: usize>(row: &mut [u8; N], dots: &[u8; N]) {
    let words = row.as_chunks_mut::<8>().0.iter_mut();
    for (row, dots) in words.zip(dots.as_chunks::<8>().0) {
        *row = (u64::from_ne_bytes(*row) | u64::from_ne_bytes(*dots)).to_ne_bytes();
    }
}

/// Returns the time as `14:32` or `2:32p`; dashes while the clock is not set.
pub(crate) fn text(view: &View<'_>) -> ShortText {
    let digit = |number: u8| char::from(b'0' + number % 10);
    let mut text = ShortText::new();
    // The push cannot fail: the longest time has six characters.
    let mut add = |letter| {
        let _ = text.push(letter);
    };
    let Some((hours, minutes)) = view.time else {
        "--:--".chars().for_each(add);
        return text;
    };
    let shown = match (view.format.twelve_hours, hours % 12) {
        (false, _) => hours,
        (true, 0) => 12,
        (true, hour) => hour,
    };
    if shown > 9 || !view.format.twelve_hours {
        add(digit(shown / 10));
    }
    [digit(shown), ':', digit(minutes / 10), digit(minutes)]
        .into_iter()
        .for_each(&mut add);
    if view.format.twelve_hours {
        add(if hours < 12 { 'a' } else { 'p' });
    }
    text
}
