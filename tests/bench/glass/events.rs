//! Measures the bytes of the large events on the display: a stale value, an alert, a page turn, a
//! start. A decoder of the display chip verifies every picture.

use std::time::Duration;

use deskticker::config::settings::{AlertRule, PageSpec, TickerSettings};
use deskticker::display::Chip;
use deskticker::display::buttons::Button;
use deskticker::market::Price;
use deskticker::render::{Frame, Threshold};

use super::i2c_display::bus::Rig;
use super::i2c_display::chip;
use super::pipeline::{StraightLine, at, settings, value, walk};

/// The bytes of one event, and its floor: the bytes that differ between the two pictures, with the
/// address byte and the control byte of one message.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) bytes: usize,
    pub(crate) floor: usize,
}

/// The number of bytes that differ between two pictures, as a message without any command.
pub(crate) fn floor(before: &Frame, after: &Frame) -> usize {
    let bytes = before.as_bytes().iter().zip(after.as_bytes());
    2 + bytes.filter(|(before, after)| before != after).count()
}

/// The values of each second: SPX, VIX and two more indices.
const WATCHLIST: [&str; 4] = ["SPX", "VIX", "NDX", "RUT"];
const STARTS: [f64; 4] = [591_234.0, 1_725.0, 2_512_345.0, 241_234.0];
const CLOSES: [(&str, i64); 2] = [("I:SPX", 58_871_200), ("I:VIX", 168_100)];
/// The last second of the walk, in milliseconds.
const LAST: u64 = 300_000;

struct Stage {
    bus: Rig,
    line: StraightLine<Rig>,
}

impl Stage {
    /// A display after five minutes with one value of each instrument per second.
    fn new(chip: Chip, settings: TickerSettings) -> Self {
        let bus = match chip {
            Chip::Sh1106 { column } => Rig::with(chip::Chip::sh1106(column.into())),
            _ => Rig::new(),
        };
        let count = settings.watchlist.len();
        let mut line = StraightLine::of(bus.clone(), chip, settings);
        line.seed(CLOSES);
        let mut walks: Vec<_> = (0..count)
            .map(|i| walk(i as u64 + 1, STARTS[i], STARTS[i] / 15_000.0))
            .collect();
        for millis in (1_000..=LAST).step_by(1_000) {
            let now = at(millis);
            line.heal(now);
            for (name, walk) in WATCHLIST.iter().zip(&mut walks) {
                line.hear(&value(&format!("I:{name}"), walk.next().unwrap(), now), now);
            }
        }
        bus.messages();
        Self { bus, line }
    }

    fn two(chip: Chip) -> Self {
        Self::new(chip, settings(&WATCHLIST[..2]))
    }

    /// The cost of what happens in `event`.
    fn cost(&mut self, event: impl FnOnce(&mut StraightLine<Rig>)) -> Cost {
        let before = self.line.picture().clone();
        self.bus.messages();
        event(&mut self.line);
        self.bus.assert_shows(self.line.picture());
        Cost {
            bytes: self.bus.messages().iter().sum(),
            floor: floor(&before, self.line.picture()),
        }
    }

    /// Draws at a time without costs.
    fn until(&mut self, millis: u64) {
        self.line.show(at(millis));
    }
}

/// The costs at which one value becomes stale, and at which both do.
pub(crate) fn stale() -> [Cost; 2] {
    let mut one = Stage::two(Chip::Ssd1306);
    one.until(LAST + 9_900);
    let one = one.cost(|line| line.show(at(LAST + 10_100)));
    let mut both = Stage::two(Chip::Ssd1306);
    both.until(LAST + 9_900);
    // No picture is drawn until the longer limit, the one of VIX, has passed, too.
    let both = both.cost(|line| line.show(at(LAST + 45_100)));
    [one, both]
}

/// The costs at which an alert appears, and of each flash.
pub(crate) fn alert() -> [Cost; 2] {
    let rule = AlertRule {
        place: 0,
        threshold: Threshold::Above(Price::from_scaled(70_000_000)),
        shown: Duration::from_secs(20),
    };
    let mut stage = Stage::new(
        Chip::Ssd1306,
        TickerSettings {
            alerts: vec![rule],
            ..settings(&WATCHLIST[..2])
        },
    );
    let now = at(LAST + 1_000);
    let appears = stage.cost(|line| line.hear(&value("I:SPX", 700_123, now), now));
    // The first flash sets the window, and the second one finds the window set.
    let mut flash = appears;
    let mut drawn = now;
    for _ in 0..2 {
        drawn = at(stage.line.desk.deadline(drawn).as_millis());
        flash = stage.cost(|line| line.show(drawn));
    }
    [appears, flash]
}

fn pages(chip: Chip, pages: [PageSpec; 2]) -> Stage {
    Stage::new(
        chip,
        TickerSettings {
            pages: pages.to_vec(),
            interval: Duration::from_secs(1_000_000),
            ..settings(&WATCHLIST)
        },
    )
}

const PAIR: PageSpec = PageSpec::Pair(0, Some(1));
const OTHER: PageSpec = PageSpec::Pair(2, Some(3));

/// The cost of a page turn from a pair to these pages.
fn turn(chip: Chip, next: PageSpec) -> Cost {
    let mut stage = pages(chip, [PAIR, next]);
    stage.cost(|line| {
        line.desk.press(Button::Next, at(LAST).monotonic);
        line.show(at(LAST));
    })
}

/// The costs of a page turn from a pair to another pair, and from a pair to a big page.
pub(crate) fn turns() -> [Cost; 2] {
    [OTHER, PageSpec::Big(0)].map(|next| turn(Chip::Ssd1306, next))
}

const SH1106: Chip = Chip::Sh1106 {
    column: Chip::COLUMN,
};

/// The costs of an SH1106: its start, all pieces of the picture that are sent again, and the page
/// turn from a pair to another pair.
pub(crate) fn sh1106() -> [usize; 3] {
    let bus = Rig::with(chip::Chip::sh1106(Chip::COLUMN.into()));
    let mut line = StraightLine::of(bus.clone(), SH1106, settings(&WATCHLIST[..2]));
    line.show(at(0));
    let start = bus.messages().iter().sum();
    // The first series of all pieces begins after five seconds.
    line.heal(at(4_999));
    bus.messages();
    line.heal(at(5_000));
    let heal = bus.messages().iter().sum();
    [start, heal, turn(SH1106, OTHER).bytes]
}

/// The most bytes of one piece of the picture that is sent again, and the sum of all pieces.
pub(crate) fn heal() -> [usize; 2] {
    let mut stage = Stage::two(Chip::Ssd1306);
    let (mut most, mut sum) = (0, 0);
    for millis in (LAST..LAST + 9_900).step_by(100) {
        while stage.line.heal_once(at(millis)) {
            let bytes = stage.bus.messages().iter().sum();
            (most, sum) = (most.max(bytes), sum + bytes);
        }
    }
    [most, sum]
}
