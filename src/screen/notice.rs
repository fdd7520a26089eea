//! A word in the place of prices, for when there is nobody left to judge them.

use super::glyphs::Font;
use super::{Frame, Glyphs, Size, WIDTH};

/// A picture without any price: a word, and below it in small letters what it means.
pub fn notice(size: Size, word: &str, meaning: &str) -> Frame {
    let glyphs = Glyphs::new();
    let mut frame = Frame::new(size);
    let (first, second) = match size {
        Size::Tall => (2, 5),
        Size::Short => (0, 3),
    };
    let mut centred = |font: &Font, page, text: &str| {
        let x = WIDTH.saturating_sub(font.width(text)) / 2;
        font.write(&mut frame, x, page, text);
    };
    centred(&glyphs.word, first, word);
    centred(&glyphs.small.whole, second, meaning);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_on_it_in_either_size_and_within_the_panel() {
        for (size, pages) in [(Size::Tall, [2, 3, 5]), (Size::Short, [0, 1, 3])] {
            let frame = notice(size, "HALTED", "no picture for 90 s");
            for page in 0..size.pages() {
                let lit = frame.page(page).iter().any(|byte| *byte != 0);
                assert_eq!(lit, pages.contains(&page), "{frame:?}");
            }
            for y in 0..size.height() {
                assert!(!frame.lit(0, y) && !frame.lit(WIDTH - 1, y), "{frame:?}");
            }
        }
    }
}
