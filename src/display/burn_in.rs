//! For how long each dot of the panel has been lit, in memory alone: an estimate of what will
//! burn in first. Pure.

use crate::display::PanelLight;
use crate::render::{Frame, WIDTH};
use crate::time::Moment;

const ROWS: usize = 64;

/// See the module. A minute is counted where its dot is lit when the minute is over.
#[derive(Clone)]
pub(crate) struct BurnIn {
    /// Minutes, by rows.
    dots: Box<[u32; WIDTH * ROWS]>,
    /// Minutes in which the panel was on.
    on: u32,
    most: u32,
    /// The last minute that was looked at.
    minute: u64,
}

impl core::fmt::Debug for BurnIn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { on, most, .. } = self;
        write!(f, "Wear {{ on: {on}, most: {most} }}")
    }
}

impl BurnIn {
    pub(crate) fn new() -> Self {
        Self {
            dots: Box::new([0; WIDTH * ROWS]),
            on: 0,
            most: 0,
            minute: 0,
        }
    }

    /// Counts a minute of the picture that is on the glass, if another has begun.
    pub(crate) fn count_minute(&mut self, now: Moment, frame: &Frame, light: PanelLight) {
        let minute = now.as_millis() / 60_000;
        if minute != self.minute {
            self.minute = minute;
            self.count(frame, light);
        }
    }

    fn count(&mut self, frame: &Frame, light: PanelLight) {
        if !light.on {
            return;
        }
        self.on = self.on.saturating_add(1);
        let seen = light.on_glass(frame);
        for (page, bytes) in seen.as_bytes().chunks(WIDTH).enumerate() {
            for (x, byte) in bytes.iter().enumerate() {
                for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                    let dot = &mut self.dots[(page * 8 + bit) * WIDTH + x];
                    *dot = dot.saturating_add(1);
                    self.most = self.most.max(*dot);
                }
            }
        }
    }

    /// The hours that the most used dot has been lit, and those that the panel was on.
    pub(crate) const fn hours(&self) -> (u32, u32) {
        (self.most / 60, self.on / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Size;

    #[test]
    fn the_most_used_dot_counts_and_a_wandering_picture_spares_it() {
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
        let (mut still, mut wandering) = (BurnIn::new(), BurnIn::new());
        for minute in 0..240 {
            still.count(&frame, PanelLight::default());
            let light = [PanelLight::default(), shifted][minute % 2];
            wandering.count(&frame, light);
            wandering.count(&frame, off);
        }
        assert_eq!(still.hours(), (4, 4));
        assert_eq!(wandering.hours(), (2, 4));
    }
}
