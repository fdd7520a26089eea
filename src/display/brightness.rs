//! How the glass glows, apart from what it shows: whether it is on, how brightly, and by how many
//! rows the picture is shifted, so that no dot burns in. Owns where a row is seen; never decides
//! when that changes, and touches no bus.

use crate::render::{Frame, WIDTH};

/// The most rows a picture is shifted by, either way.
const FARTHEST: i8 = 2;
/// The chips count rows modulo this, whatever the size of the glass.
const ROWS: usize = 64;

/// How the glass glows; goes with each picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PanelLight {
    /// Whether it is on at all. Off is dark whatever is drawn, the notice that the program stands
    /// still included.
    pub on: bool,
    /// From 0, the dimmest that can be read, to 255.
    pub brightness: u8,
    /// Rows by which the picture is shifted, -2..=2, positive down; what lies beyond counts as
    /// the farthest.
    pub shift: i8,
}

impl Default for PanelLight {
    /// On, of medium brightness, and where it belongs.
    fn default() -> Self {
        Self {
            on: true,
            brightness: 0x7f,
            shift: 0,
        }
    }
}

impl PanelLight {
    /// The row of the chip's memory that comes out at the first row of the glass: the value of
    /// register D3.
    ///
    /// It moves the picture towards COM0 when rows are scanned upwards (C0), and away from it when
    /// they are reversed (C8); seen on the glass, which is mounted to match, that is up both
    /// times, and down is 64 less (SSD1306 data sheet, 10.1.15, tables 10-1 and 10-2; SSD1315,
    /// tables 1-4 and 1-5).
    pub(super) const fn first_row(self) -> u8 {
        let shift = match self.shift {
            FARTHEST.. => FARTHEST,
            ..=-3 => -FARTHEST,
            shift => shift,
        };
        (ROWS as i8 - shift) as u8 % ROWS as u8
    }

    /// What one sees of a picture: of 64 rows, those shifted out at one edge come in at the
    /// other; of 32, dark ones do.
    pub fn on_glass(self, frame: &Frame) -> Frame {
        let mut seen = Frame::new(frame.size());
        if !self.on {
            return seen;
        }
        if self.first_row() == 0 {
            seen.clone_from(frame);
            return seen;
        }
        for y in 0..frame.size().height() {
            let row = (y + usize::from(self.first_row())) % ROWS;
            for x in 0..WIDTH {
                // Rows below the picture are dark.
                seen.set(x, y, frame.lit(x, row));
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Size;

    fn rows(size: Size, lit: &[usize]) -> Frame {
        let mut frame = Frame::new(size);
        for y in lit {
            frame.set(5, *y, true);
        }
        frame
    }

    fn shifted(shift: i8, frame: &Frame) -> Frame {
        let light = PanelLight {
            shift,
            ..PanelLight::default()
        };
        light.on_glass(frame)
    }

    #[test]
    fn a_shifted_picture_of_64_rows_comes_in_at_the_other_edge() {
        let frame = rows(Size::Tall, &[0, 10, 63]);
        assert_eq!(shifted(0, &frame), frame);
        assert_eq!(shifted(1, &frame), rows(Size::Tall, &[1, 11, 0]));
        assert_eq!(shifted(-2, &frame), rows(Size::Tall, &[62, 8, 61]));
    }

    #[test]
    fn a_shifted_picture_of_32_rows_leaves_the_glass_and_nothing_comes_in() {
        let frame = rows(Size::Short, &[0, 10, 31]);
        assert_eq!(shifted(2, &frame), rows(Size::Short, &[2, 12]));
        assert_eq!(shifted(-1, &frame), rows(Size::Short, &[9, 30]));
    }

    #[test]
    fn no_shift_is_farther_than_two_rows() {
        let frame = rows(Size::Tall, &[20]);
        assert_eq!(shifted(i8::MAX, &frame), shifted(2, &frame));
        assert_eq!(shifted(i8::MIN, &frame), shifted(-2, &frame));
    }

    #[test]
    fn off_is_dark() {
        let light = PanelLight {
            on: false,
            ..PanelLight::default()
        };
        assert_eq!(
            light.on_glass(&rows(Size::Tall, &[3])),
            Frame::new(Size::Tall)
        );
    }
}
