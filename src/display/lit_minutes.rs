//! Counts the time for which each dot of the panel has been lit, to estimate its wear. The counters
//! are in memory only, and a restart clears them; this module never reads a clock and never
//! accesses the panel.

use super::PanelLight;
use crate::render::{Frame, Size, WIDTH};
use crate::time::Moment;

/// The counters of one panel. The panel is sampled once a minute: a dot that is lit in the
/// sample counts as lit for the whole minute.
#[derive(Clone, Debug)]
pub(crate) struct LitMinutes {
    /// The number of minutes for which each dot has been lit, row by row.
    dots: Box<[u32]>,
    most: u32,
    /// The minute of the last sample, counted from the start of the monotonic clock.
    minute: u64,
}

impl LitMinutes {
    pub(crate) fn new(size: Size) -> Self {
        Self {
            dots: vec![0; WIDTH * size.height()].into(),
            most: 0,
            minute: 0,
        }
    }

    /// Adds one minute for each lit dot of the picture on the panel, if a new minute has begun
    /// since the last call.
    pub(crate) fn count_minute(&mut self, now: Moment, frame: &Frame, light: PanelLight) {
        let minute = now.as_millis() / 60_000;
        if minute == std::mem::replace(&mut self.minute, minute) || !light.on {
            return;
        }
        let seen = light.on_glass(frame);
        for (page, bytes) in seen.as_bytes().chunks(WIDTH).enumerate() {
            for (x, byte) in bytes.iter().enumerate() {
                for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                    // The frame has the size of the panel.
                    if let Some(dot) = self.dots.get_mut((page * 8 + bit) * WIDTH + x) {
                        *dot = dot.saturating_add(1);
                        self.most = self.most.max(*dot);
                    }
                }
            }
        }
    }

    /// Returns the number of hours for which the most used dot has been lit.
    pub(crate) const fn hours(&self) -> u32 {
        self.most / 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifting_picture_halves_the_lit_time_of_the_most_used_dot() {
        let mut frame = Frame::new(Size::Tall);
        frame.set(7, 20, true);
        let shifted = PanelLight {
            shift: 1,
            ..PanelLight::default()
        };
        let off = PanelLight {
            on: false,
            ..PanelLight::default()
        };
        let (mut still, mut shifting) = (LitMinutes::new(Size::Tall), LitMinutes::new(Size::Tall));
        for minute in 1..=240 {
            let now = Moment::from_secs(60 * minute);
            still.count_minute(now, &frame, PanelLight::default());
            let light = [PanelLight::default(), shifted][minute as usize % 2];
            shifting.count_minute(now, &frame, light);
            // A second call in the same minute, and a panel that is off, count nothing.
            shifting.count_minute(now, &frame, PanelLight::default());
        }
        shifting.count_minute(Moment::from_secs(60 * 241), &frame, off);
        assert_eq!(still.hours(), 4);
        assert_eq!(shifting.hours(), 2);
    }
}
