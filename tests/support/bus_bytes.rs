//! The cost of the large events of the display on the I2C bus, measured with the program's own driver
//! on a simulated bus.

use deskticker::display::{Chip, DisplayDevice, PanelLight};
use deskticker::render::{AlertView, PageView, Size, Threshold, View};
use deskticker::time::Moment;

use super::i2c_display::bus::{Rig, panel_settings};
use super::views::{day, drawn, line, lines, ordinary, price, stale, view, walk};

/// An event: its name, the limit of its bytes, and its bytes. An address byte counts as a byte.
pub(crate) type Event = (&'static str, usize, usize);

/// Returns the bytes of the messages that change the panel from one picture to the other.
fn bytes(before: &View<'_>, after: &View<'_>) -> usize {
    let rig = Rig::new();
    let mut oled = rig.oled(panel_settings(Chip::Ssd1306, Size::Tall));
    // Both pictures come in the same second, so that no piece of a repair counts.
    for view in [before, after] {
        rig.messages();
        let picture = drawn(view, Size::Tall);
        oled.show(&picture, PanelLight::default(), Moment::from_secs(1));
        rig.assert_shows(&picture);
    }
    rig.messages().iter().sum()
}

/// Returns the large events of a 128×64 panel.
pub(crate) fn events() -> Vec<Event> {
    let history = walk(100, 5912.41);
    let live = ordinary(&history);
    let with_stale = |places: std::ops::Range<usize>| {
        let mut view = live;
        for line in &mut lines(&mut view)[places] {
            line.freshness = stale(12);
        }
        view
    };
    let alert = |lit| View {
        alert: Some(AlertView {
            label: "SPX",
            threshold: Threshold::Above(price(6000.0)),
            decimals: 2,
            lit,
        }),
        ..live
    };
    let pair = |history| {
        view(PageView::Pair(
            line("SPY", 650.12, 647.3, history),
            Some(line("NVDA", 187.9, 190.02, &[])),
        ))
    };
    let other: Vec<_> = history.iter().rev().copied().collect();
    let spx = *lines(&mut { live })[0];
    let big = view(PageView::Big(spx, day()));
    vec![
        (
            "the first value goes stale",
            470,
            bytes(&live, &with_stale(0..1)),
        ),
        (
            "the second value goes stale",
            470,
            bytes(&live, &with_stale(1..2)),
        ),
        ("both values go stale", 800, bytes(&live, &with_stale(0..2))),
        ("an alert appears", 520, bytes(&live, &alert(true))),
        (
            "a flash of the alert",
            132,
            bytes(&alert(true), &alert(false)),
        ),
        (
            "to another pair with the same curve",
            600,
            bytes(&live, &pair(&history)),
        ),
        (
            "to another pair with another curve",
            680,
            bytes(&live, &pair(&other)),
        ),
        ("from a pair to the first alone", 430, bytes(&live, &big)),
    ]
}
