//! Test pictures of digits and of noise, and random changes of them.

use deskticker::display::PanelLight;
use deskticker::render::{Frame, Size, WIDTH};
use proptest::prelude::*;

pub(crate) const DAY: PanelLight = PanelLight {
    on: true,
    brightness: 128,
    shift: 0,
};
pub(crate) const NIGHT: PanelLight = PanelLight { on: false, ..DAY };

/// A picture with the digits at the places of layout A and in its fonts.
pub(crate) fn digits(price: &str, percent: &str) -> Frame {
    let mut frame = Frame::new(Size::Tall);
    write(
        &mut frame,
        (spleen_font::FONT_5X8, 32, 5, 8),
        percent,
        40,
        0,
    );
    let (points, cents) = price.split_once('.').unwrap();
    write(
        &mut frame,
        (spleen_font::FONT_16X32, 32, 16, 32),
        points,
        8,
        1,
    );
    // The crate cannot read the header of this PSF1 file.
    write(&mut frame, (spleen_font::FONT_8X16, 4, 8, 16), cents, 96, 1);
    frame
}

/// The font file, the length of its header, and the width and height of a glyph. The glyphs start
/// after the header.
type Font = (&'static [u8], usize, usize, usize);

fn write(
    frame: &mut Frame,
    (font, header, width, height): Font,
    text: &str,
    left: usize,
    page: usize,
) {
    let stride = width.div_ceil(8);
    for (i, letter) in text.bytes().enumerate() {
        let glyph = &font[header + usize::from(letter) * stride * height..];
        for y in 0..height {
            for x in 0..width {
                let lit = glyph[y * stride + x / 8] >> (7 - x % 8) & 1 == 1;
                frame.set(left + i * width + x, page * 8 + y, lit);
            }
        }
    }
}

pub(crate) fn random_frame(size: Size, seed: u64) -> Frame {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frame = Frame::new(size);
    random.fill(frame.as_bytes_mut());
    frame
}

/// A change of the picture: single bytes, a block, or all bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Bytes(Vec<(usize, u8)>),
    Block {
        left: usize,
        width: usize,
        top: usize,
        height: usize,
        seed: u64,
    },
    All(u64),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        prop::collection::vec((0usize..2048, any::<u8>()), 0..30).prop_map(Change::Bytes),
        (0usize..128, 1usize..40, 0usize..16, 1usize..5, any::<u64>()).prop_map(
            |(left, width, top, height, seed)| Change::Block {
                left,
                width,
                top,
                height,
                seed
            }
        ),
        any::<u64>().prop_map(Change::All),
    ]
}

pub(crate) fn light() -> impl Strategy<Value = PanelLight> {
    prop_oneof![
        4 => Just(DAY),
        1 => (any::<bool>(), any::<u8>(), -2i8..=2).prop_map(|(on, brightness, shift)| PanelLight {
            on,
            brightness,
            shift,
        }),
    ]
}

pub(crate) fn apply(frame: &mut Frame, change: &Change) {
    let length = frame.as_bytes().len();
    let pages = frame.size().pages();
    let bytes = frame.as_bytes_mut();
    match change {
        Change::Bytes(changes) => {
            for (at, byte) in changes {
                bytes[at % length] = *byte;
            }
        }
        Change::Block {
            left,
            width,
            top,
            height,
            seed,
        } => {
            let mut random = fastrand::Rng::with_seed(*seed);
            for page in top % pages..(top % pages + height).min(pages) {
                let right = (left + width).min(WIDTH);
                random.fill(&mut bytes[page * WIDTH + left..page * WIDTH + right]);
            }
        }
        Change::All(seed) => fastrand::Rng::with_seed(*seed).fill(bytes),
    }
}
