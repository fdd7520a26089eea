//! The light of the panel: the on/off state, the brightness, and the number of rows by which the
//! picture is shifted so that no dot burns in. This module calculates the visible rows; it never
//! decides when the light changes, and it never accesses a bus.

use crate::render::{Frame, Size, WIDTH};

/// The largest shift of a picture in rows, up or down.
const FARTHEST: i8 = 2;
/// The chips of 128×64 and 128×32 count rows modulo 64.
const ROWS: usize = 64;

/// The light of the panel. The event loop sends a light with each picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PanelLight {
    /// True if the panel is on. A panel that is off stays dark, even for the HALTED notice of the
    /// stall watch.
    pub on: bool,
    /// The brightness from 0 (the lowest readable level) to 255.
    pub brightness: u8,
    /// The number of rows by which the picture is shifted, in the range -2..=2; positive values
    /// move the picture down. A value outside the range counts as the nearest limit. A panel of
    /// 128×128 shifts its picture by columns, and positive values move the picture to the right.
    pub shift: i8,
}

impl Default for PanelLight {
    /// The default light: on, with medium brightness and without a shift.
    fn default() -> Self {
        Self {
            on: true,
            brightness: 0x7f,
            shift: 0,
        }
    }
}

impl PanelLight {
    /// Returns the value of register D3: the row of the chip's memory that appears at the first row
    /// of the panel.
    ///
    /// A positive value moves the picture up on the panel in both scan directions: towards COM0 in
    /// the normal direction (command C0), and away from COM0 in the reversed direction (command
    /// C8), because the panel is mounted to match. To move the picture down by n rows, the value is
    /// 64 - n (SSD1306 data sheet, 10.1.15, tables 10-1 and 10-2; SSD1315 data sheet, tables 1-4
    /// and 1-5).
    pub(super) fn first_row(self) -> u8 {
        let shift = self.shift.clamp(-FARTHEST, FARTHEST);
        (ROWS as i8 - shift) as u8 % ROWS as u8
    }

    /// Returns the memory column that appears at the first column of a panel of 128×128. Such a
    /// panel scans columns and not rows: its COM lines are the columns of the memory (SH1107 data
    /// sheet, command 17).
    pub(super) fn first_column(self) -> u8 {
        let shift = self.shift.clamp(-FARTHEST, FARTHEST);
        (WIDTH as i16 - i16::from(shift)) as u8 % WIDTH as u8
    }

    /// Returns the picture that the user sees on the panel. With 64 rows, the rows that leave at
    /// one edge appear at the other edge, and so do the columns of a panel of 128×128; with 32 rows,
    /// dark rows appear instead. A panel that is off shows a dark picture.
    pub fn on_glass(self, frame: &Frame) -> Frame {
        let mut seen = Frame::new(frame.size());
        if !self.on {
            return seen;
        }
        for y in 0..frame.size().height() {
            for x in 0..WIDTH {
                let (column, row) = match frame.size() {
                    Size::Square => ((x + usize::from(self.first_column())) % WIDTH, y),
                    // The rows below a picture of 32 rows are dark.
                    _ => (x, (y + usize::from(self.first_row())) % ROWS),
                };
                seen.set(x, y, frame.lit(column, row));
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_shifted_picture_of_64_rows_wraps_to_the_other_edge() {
        let frame = rows(Size::Tall, &[0, 10, 63]);
        assert_eq!(shifted(0, &frame), frame);
        assert_eq!(shifted(1, &frame), rows(Size::Tall, &[1, 11, 0]));
        assert_eq!(shifted(-2, &frame), rows(Size::Tall, &[62, 8, 61]));
    }

    #[test]
    fn a_shifted_picture_of_32_rows_does_not_wrap() {
        let frame = rows(Size::Short, &[0, 10, 31]);
        assert_eq!(shifted(2, &frame), rows(Size::Short, &[2, 12]));
        assert_eq!(shifted(-1, &frame), rows(Size::Short, &[9, 30]));
    }

    #[test]
    fn a_shifted_picture_of_128_rows_wraps_by_columns() {
        let dots = |dots: &[(usize, usize)]| {
            let mut frame = Frame::new(Size::Square);
            for (x, y) in dots {
                frame.set(*x, *y, true);
            }
            frame
        };
        let frame = dots(&[(0, 7), (50, 100), (127, 127)]);
        assert_eq!(shifted(0, &frame), frame);
        let right = dots(&[(2, 7), (52, 100), (1, 127)]);
        assert_eq!(shifted(2, &frame), right);
        let left = dots(&[(127, 7), (49, 100), (126, 127)]);
        assert_eq!(shifted(-1, &frame), left);
    }

    #[test]
    fn a_shift_is_at_most_two_rows() {
        let frame = rows(Size::Tall, &[20]);
        assert_eq!(shifted(i8::MAX, &frame), shifted(2, &frame));
        assert_eq!(shifted(i8::MIN, &frame), shifted(-2, &frame));
    }

    #[test]
    fn a_panel_that_is_off_shows_an_empty_picture() {
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
