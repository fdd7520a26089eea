//! Short worlds, one for each case of issue 10 that the program's core can show. The script
//! `mutants` restores each old rule and checks that a case detects it.

use super::display::Layout;
use super::faults::{Fault, What};
use super::hours::{HOUR, MINUTE, Ms, SECOND, Sort, number, utc};
use super::plan::Habits;
use super::scenario::{Kind, Scenario};
use super::tape::{NVDA, SPX, SPXW, SPY, VIX};

/// A world on an ordinary Monday: SPX and VIX are on the first page, and all clocks are right.
fn world(kind: Kind, from: Ms, minutes: i64) -> Scenario {
    let day = number(2026, 11, 23);
    let start = utc(day, from);
    Scenario {
        seed: 7,
        sort: Sort::Ordinary,
        day,
        start,
        end: start + minutes * MINUTE,
        kind,
        simulated: false,
        sockets: true,
        shares: true,
        layout: Layout::Pinned(0),
        habits: Habits {
            expiry: day + 23,
            closure: None,
            thin: false,
            extended: false,
        },
        worthless: false,
        faults: Vec::new(),
    }
}

impl Scenario {
    /// Adds a fault. `after` is the seconds from the start of the world, `lasts` the duration in
    /// seconds (0 becomes 10 ms), `size` is in milliseconds.
    fn with(mut self, what: What, place: usize, after: i64, lasts: i64, size: Ms) -> Self {
        let from = self.start + after * SECOND;
        self.faults.push(Fault {
            what,
            place,
            from,
            until: from + (lasts * SECOND).max(10),
            size,
        });
        self.faults.sort_by_key(|fault| fault.from);
        self
    }

    fn on(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    fn day(mut self, day: i64, from: Ms, minutes: i64) -> Self {
        self.day = day;
        self.start = utc(day, from);
        self.end = self.start + minutes * MINUTE;
        self
    }
}

/// All cases with their names.
pub(crate) fn cases() -> Vec<(&'static str, Scenario)> {
    const TEN: Ms = 10 * HOUR;
    const BELL: Ms = 16 * HOUR;
    let hub = || world(Kind::Hub, TEN, 6);
    let silent = |world: Scenario, after, lasts| world.with(What::SilenceOne, SPX, after, lasts, 0);
    let saturday = number(2026, 11, 21);
    vec![
        (
            "an ordinary morning",
            world(Kind::Hub, 9 * HOUR + 29 * MINUTE, 6),
        ),
        (
            "an ordinary evening, to the close and behind it",
            world(Kind::Hub, BELL - 3 * MINUTE, 25).on(Layout::Turning(3)),
        ),
        (
            "the evening of a half day",
            world(Kind::Vendor, BELL, 1)
                .day(number(2026, 11, 27), 13 * HOUR - 3 * MINUTE, 15)
                .on(Layout::Turning(3)),
        ),
        (
            "a hub repeats a value that is 29 s old",
            silent(hub(), 60, 45).with(What::Reset, 0, 89, 0, 0),
        ),
        (
            "a hub repeats an old value, and nobody knows what time it is",
            silent(hub(), 60, 45)
                .with(What::Reset, 0, 89, 0, 0)
                .with(What::ClockUnset, 0, 0, 360, 0)
                .with(What::DateOff, 0, 0, 360, HOUR),
        ),
        (
            "a hub repeats a value that came while the way was dead, and nobody knows what time it is",
            silent(hub(), 75, 60)
                .with(What::HalfOpen, 0, 60, 40, 0)
                .with(What::ClockUnset, 0, 0, 360, 0)
                .with(What::DateOff, 0, 0, 360, HOUR),
        ),
        (
            "one value is stamped ahead, and nobody knows what time it is",
            hub()
                .with(What::ClockUnset, 0, 0, 360, 0)
                .with(What::DateOff, 0, 0, 360, HOUR)
                .with(What::Ahead, SPX, 100, 0, 0),
        ),
        (
            "every value is 29 s late",
            hub().with(What::Late, 0, 60, 120, 0),
        ),
        (
            "every value is 29 s late, stamped in seconds",
            hub()
                .with(What::Late, 0, 60, 120, 0)
                .with(What::Seconds, 0, 60, 160, 0),
        ),
        (
            "the way is held up for 26 s",
            hub().with(What::Stall, 0, 60, 26, 0),
        ),
        (
            "the display is stopped for 26 s",
            hub().with(What::Stopped, 0, 60, 26, 0),
        ),
        (
            "the main thread is held still",
            hub().with(What::Held, 0, 60, 26, 0),
        ),
        (
            "SPX is silent before the bell, and nobody tells the close",
            silent(world(Kind::Hub, BELL - 4 * MINUTE, 8), 100, 600).with(
                What::RestFails,
                0,
                90,
                600,
                0,
            ),
        ),
        (
            "a contract ticks in the night, and stops",
            world(Kind::Hub, 3 * HOUR, 20).on(Layout::Pinned(3)).with(
                What::Outside,
                NVDA,
                120,
                60,
                0,
            ),
        ),
        (
            "one stray print on a Saturday",
            world(Kind::Hub, TEN, 1)
                .day(saturday, TEN, 12)
                .with(What::Stray, SPX, 300, 0, 0)
                .with(What::Stray, VIX, 320, 0, 0),
        ),
        (
            "a simulated hub is replaced by a real one",
            Scenario {
                simulated: true,
                ..hub()
            }
            .with(What::Replaced, 0, 120, 5, 0),
        ),
        (
            "a simulated hub is replaced by a real one in the night",
            Scenario {
                simulated: true,
                ..world(Kind::Hub, 2 * HOUR, 6)
            }
            .with(What::Replaced, 0, 120, 5, 0),
        ),
        (
            "simulated prices by REST alone",
            Scenario {
                simulated: true,
                sockets: false,
                shares: false,
                ..hub()
            }
            .on(Layout::Turning(3))
            .with(What::Replaced, 0, 200, 5, 0),
        ),
        (
            "values stamped 50 s ahead",
            hub()
                .with(What::Ahead, SPX, 60, 0, 0)
                .with(What::Ahead, VIX, 120, 0, 0),
        ),
        (
            "the stamps and the display's clock go back an hour together",
            hub()
                .with(What::StampsOff, 0, 60, 400, -HOUR)
                .with(What::ClockOff, 0, 60, 400, -HOUR),
        ),
        (
            "an old value comes again while its own are silent",
            silent(world(Kind::Vendor, TEN, 6), 60, 60).with(What::Replay, SPX, 80, 0, 60 * SECOND),
        ),
        (
            "an old value without a stamp is the first of a connection",
            silent(world(Kind::Vendor, TEN, 6), 60, 90)
                .with(What::NoStamp, 0, 98, 30, 0)
                .with(What::Reset, 0, 100, 0, 0)
                .with(What::Replay, SPX, 110, 0, 60 * SECOND),
        ),
        (
            "bars come again, corrected",
            hub().with(What::Correction, SPX, 100, 0, MINUTE).with(
                What::Correction,
                SPX,
                200,
                0,
                2 * MINUTE,
            ),
        ),
        (
            "a contract becomes worthless on its last day",
            Scenario {
                worthless: true,
                habits: Habits {
                    expiry: number(2026, 11, 23),
                    ..hub().habits
                },
                ..world(Kind::Hub, 15 * HOUR + 5 * MINUTE, 6)
            }
            .on(Layout::Pinned(2)),
        ),
        (
            "books that make no price",
            world(Kind::Hub, TEN, 20).on(Layout::Pinned(2)),
        ),
        (
            "an index of breadth below zero",
            world(Kind::Vendor, TEN, 6).on(Layout::Pinned(1)),
        ),
        (
            "the last trade by REST makes no price",
            Scenario {
                shares: false,
                ..world(Kind::Vendor, TEN, 6)
            }
            .on(Layout::Pinned(1))
            .with(What::Ineligible, SPY, 60, 120, 0),
        ),
        (
            "messages on the bus are cut",
            hub().with(What::Naks, 0, 60, 60, 0),
        ),
        (
            "a message on the bus is cut now and then",
            hub().with(What::Naks, 0, 60, 290, 0),
        ),
        (
            "all clocks but one are right, in turn",
            hub()
                .with(What::ClockOff, 0, 60, 60, 15 * MINUTE)
                .with(What::DateOff, 0, 140, 60, HOUR)
                .with(What::StampsOff, 0, 220, 60, -45 * SECOND),
        ),
        (
            "the clock is not set",
            hub().with(What::ClockUnset, 0, 0, 360, 0),
        ),
        (
            "a source that is 15 minutes late",
            world(Kind::LateHub, TEN, 6).on(Layout::Turning(3)),
        ),
        (
            "the vendor's late endpoint",
            world(Kind::LateVendor, TEN, 6).on(Layout::Turning(3)),
        ),
        (
            "a channel that the plan does not have",
            world(Kind::Vendor, TEN, 6).on(Layout::Pinned(2)).with(
                What::NotAuthorized,
                SPXW,
                60,
                400,
                0,
            ),
        ),
        (
            "the proxy loses its source",
            world(Kind::Proxy, TEN, 8).with(What::UpstreamLost, 0, 60, 60, 0),
        ),
        (
            "the hub is away for half a minute",
            hub().with(What::Down, 0, 60, 30, 0),
        ),
        (
            "a late vendor tells yesterday's row at the open",
            world(Kind::LateVendor, 9 * HOUR + 5 * MINUTE, 30).with(
                What::RestYesterday,
                0,
                25 * 60 + 20,
                20,
                0,
            ),
        ),
        (
            "nothing passes, and nobody is told",
            world(Kind::Hub, TEN, 8).with(What::HalfOpen, 0, 60, 90, 0),
        ),
    ]
}
