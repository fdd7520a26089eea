//! The effect of a button on the ticker state. This module reads no device: the button is an argument.

use super::TickerState;
use crate::display::buttons::Button;
use crate::time::Moment;

impl TickerState {
    /// Carries out the action of a button. While an alert is on the display, each button ends the
    /// alert and does nothing else, because the pages are not visible.
    pub fn press(&mut self, button: Button, now: Moment) {
        if self.alerts.acknowledge(now) {
            return;
        }
        let troubled = self.link_monitor.troubled(now);
        match button {
            Button::Next => self.pages.turn(true, now, troubled),
            Button::Previous => self.pages.turn(false, now, troubled),
            Button::Pin => self.pages.toggle_pin(now),
            Button::Link => self.pages.show_link(now, troubled),
            Button::Brighter => self.chosen_level.step(true, self.light),
            Button::Darker => self.chosen_level.step(false, self.light),
            Button::Acknowledge => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{PageSpec, TickerSettings};
    use crate::market::Calendar;
    use crate::render::Size;
    use crate::time::{Now, Utc};

    #[test]
    fn a_button_changes_the_page_and_the_light_of_the_next_picture() {
        let names = ["SPX", "VIX", "DJI", "NDX"];
        let settings = TickerSettings::of(names.map(|name| name.parse().unwrap()).to_vec());
        let now = Now::new(Moment::from_secs(1), Utc(1_795_444_200_000));
        let mut state = TickerState::new(settings, Calendar::us(), Size::Tall, now).unwrap();
        state.draw(now);
        let mut after = |button| {
            state.press(button, now.monotonic);
            state.draw(now);
            (state.page_spec.unwrap(), state.light().brightness)
        };
        let (first, second) = (PageSpec::Pair(0, Some(1)), PageSpec::Pair(2, Some(3)));
        assert_eq!(
            after(Button::Acknowledge),
            (first, 127),
            "no alert, no effect"
        );
        assert_eq!(after(Button::Previous), (second, 127));
        assert_eq!(after(Button::Next), (first, 127));
        assert_eq!(after(Button::Link), (PageSpec::Link, 127));
        assert_eq!(after(Button::Brighter), (PageSpec::Link, 255));
        assert_eq!(after(Button::Darker), (PageSpec::Link, 127));
    }
}
