//! What goes wrong, when, and for how long afterwards it may still be seen.

use super::hours::{MINUTE, Ms, SECOND};
use super::scenario::{Kind, Scenario};
use super::tape::{COUNT, NAMES, SPY};

/// A kind of fault. What it is about is in [`Fault::place`] and [`Fault::size`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// All connections are reset; new ones are taken at once.
    Reset,
    /// Nothing passes any more, and nobody is told; old connections never come back.
    HalfOpen,
    /// The server is away, and knows nothing when it comes back.
    Down,
    /// The server has lost its own source.
    UpstreamLost,
    /// Another connection has taken the place of ours.
    Evicted,
    /// 403 at each upgrade.
    Forbidden,
    SilenceOne,
    SilenceAll,
    /// What is sent waits somewhere on the way.
    Stall,
    /// The display's process is stopped.
    Stopped,
    /// The main thread is held still; the panel's runs on.
    Held,
    /// Every value is 29 s late.
    Late,
    /// A value of half a minute ago is sent again, with its stamp.
    Replay,
    /// One value is stamped 50 s ahead.
    Ahead,
    /// Values without a stamp.
    NoStamp,
    /// Stamps in seconds.
    Seconds,
    /// A bar is sent again, corrected.
    Correction,
    /// One print outside the known hours.
    Stray,
    /// A value each second outside the known hours.
    Outside,
    /// The last trade that REST tells may not set the price.
    Ineligible,
    /// The display's own clock is not set.
    ClockUnset,
    /// It is off by [`Fault::size`].
    ClockOff,
    /// The server's `Date` is off by so much.
    DateOff,
    /// The vendor's stamps are.
    StampsOff,
    RestFails,
    /// The hub repeats an answer of long ago, and says so.
    RestStale,
    /// REST still tells yesterday's row.
    RestYesterday,
    /// Messages on the bus are not acknowledged to their end.
    Naks,
    /// One channel is not in the plan.
    NotAuthorized,
    /// What was simulated until then is real from then on.
    Replaced,
}

impl What {
    pub(crate) const ALL: [Self; 30] = [
        Self::Reset,
        Self::HalfOpen,
        Self::Down,
        Self::UpstreamLost,
        Self::Evicted,
        Self::Forbidden,
        Self::SilenceOne,
        Self::SilenceAll,
        Self::Stall,
        Self::Stopped,
        Self::Held,
        Self::Late,
        Self::Replay,
        Self::Ahead,
        Self::NoStamp,
        Self::Seconds,
        Self::Correction,
        Self::Stray,
        Self::Outside,
        Self::Ineligible,
        Self::ClockUnset,
        Self::ClockOff,
        Self::DateOff,
        Self::StampsOff,
        Self::RestFails,
        Self::RestStale,
        Self::RestYesterday,
        Self::Naks,
        Self::NotAuthorized,
        Self::Replaced,
    ];

    /// Whether a server of this kind can do that.
    pub(crate) const fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Evicted => kind.is_vendor(),
            Self::Down | Self::Forbidden | Self::UpstreamLost => !kind.is_vendor(),
            Self::RestStale => matches!(kind, Kind::Hub | Kind::LateHub),
            Self::Ineligible | Self::RestYesterday | Self::NotAuthorized => {
                !matches!(kind, Kind::Proxy)
            }
            // Drawn apart.
            Self::Replaced | Self::ClockUnset => false,
            _ => true,
        }
    }

    /// Whether it is about one instrument.
    pub(crate) const fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::SilenceOne
                | Self::Replay
                | Self::Ahead
                | Self::Correction
                | Self::Stray
                | Self::Outside
                | Self::Ineligible
                | Self::NotAuthorized
        )
    }

    /// Whether it makes one of the witnesses of the time wrong, and nothing else.
    pub(crate) const fn is_of_time(self) -> bool {
        matches!(
            self,
            Self::ClockUnset | Self::ClockOff | Self::DateOff | Self::StampsOff
        )
    }

    /// Whether it is the source's: what leaves that late shows it as much later.
    pub(crate) const fn is_of_source(self) -> bool {
        matches!(
            self,
            Self::StampsOff
                | Self::NoStamp
                | Self::Seconds
                | Self::Ahead
                | Self::Late
                | Self::SilenceAll
                | Self::SilenceOne
                | Self::NotAuthorized
        )
    }

    /// Whether it keeps words from the display.
    pub(crate) const fn blocks_input(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::HalfOpen
                | Self::Down
                | Self::UpstreamLost
                | Self::Evicted
                | Self::Forbidden
                | Self::SilenceOne
                | Self::SilenceAll
                | Self::Stall
                | Self::Stopped
                | Self::Held
                | Self::Late
                | Self::RestFails
                | Self::RestStale
                | Self::RestYesterday
        )
    }

    /// How long it lasts: at least and at most.
    pub(crate) const fn lasts(self) -> (Ms, Ms) {
        match self {
            Self::Reset | Self::Evicted => (10, 11),
            Self::Replay | Self::Ahead | Self::Correction | Self::Stray => (10, 11),
            Self::HalfOpen => (5 * SECOND, 200 * SECOND),
            Self::Stall => (3 * SECOND, 29 * SECOND),
            Self::Stopped | Self::Held => (5 * SECOND, 27 * SECOND),
            Self::NoStamp | Self::Seconds => (20 * SECOND, 120 * SECOND),
            Self::Late | Self::Outside => (60 * SECOND, 300 * SECOND),
            Self::RestFails | Self::RestStale | Self::NotAuthorized | Self::Ineligible => {
                (2 * MINUTE, 30 * MINUTE)
            }
            Self::RestYesterday => (10 * SECOND, 60 * SECOND),
            Self::ClockOff | Self::DateOff | Self::StampsOff => (20 * SECOND, 40 * MINUTE),
            _ => (2 * SECOND, 10 * MINUTE),
        }
    }
}

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// Of which instrument, where it is of one.
    pub(crate) place: usize,
    pub(crate) from: Ms,
    pub(crate) until: Ms,
    /// In milliseconds: how far off, or how old.
    pub(crate) size: Ms,
}

impl Fault {
    /// Whether it may be seen on this instrument.
    pub(crate) fn touches(&self, place: usize, scenario: &Scenario) -> bool {
        match self.what {
            what if what.is_of_one() => self.place == place,
            // Only where nothing streams.
            What::RestFails | What::RestStale | What::RestYesterday => {
                let streamed = scenario.shares && scenario.kind != Kind::Proxy;
                place == SPY && !streamed || !scenario.sockets
            }
            _ => true,
        }
    }

    /// From when on nothing of it may be seen any more, by the figures of the issue. Of a vendor,
    /// a refusal and an eviction the pace of the retries is their own.
    pub(crate) fn over(&self, scenario: &Scenario) -> Ms {
        let length = self.until - self.from;
        let vendor = scenario.kind.is_vendor();
        // The waits of the link to a vendor double up to 60 s, and half of that again.
        let back = match length {
            _ if vendor && length > 2 * SECOND => 100 * SECOND,
            ..60_000 => 5 * SECOND,
            _ => 10 * SECOND,
        };
        let after = match self.what {
            What::Evicted | What::Forbidden => 100 * SECOND,
            // A connection that has died is known to be dead after 30 s; pings go out after 20.
            What::HalfOpen => return self.until.max(self.from + 32 * SECOND) + back,
            // The proxy's clients stay open and silent; a display looks for itself after some
            // 110 s, and each of these connections is as good as the first.
            What::UpstreamLost if scenario.kind == Kind::Proxy => 140 * SECOND,
            What::SilenceAll | What::SilenceOne if vendor => 100 * SECOND,
            What::SilenceAll | What::SilenceOne | What::Stopped | What::Held | What::Stall => {
                10 * SECOND
            }
            // What was late is still on its way.
            What::Late => 35 * SECOND,
            What::Naks => 9 * SECOND,
            What::RestFails | What::RestStale | What::RestYesterday => 75 * SECOND,
            What::Ineligible => 20 * SECOND,
            // A channel that was refused is asked for again with the next connection.
            What::NotAuthorized => return Ms::MAX,
            What::Stray | What::Correction | What::Replay => 0,
            // The last of them may stand for its limit.
            What::NoStamp | What::Seconds => 65 * SECOND,
            What::Ahead => 3 * SECOND,
            What::Outside => 16 * MINUTE,
            what if what.is_of_time() => 3 * SECOND,
            _ => back,
        };
        self.until + after
    }

    /// For a story.
    pub(crate) fn told(&self) -> String {
        let name = if self.what.is_of_one() {
            NAMES[self.place % COUNT]
        } else {
            ""
        };
        let size = match self.size {
            0 => String::new(),
            size => format!(" by {:.1} s", size as f64 / 1000.0),
        };
        let length = (self.until - self.from) as f64 / 1000.0;
        format!("{:?} {name}{size} for {length:.1} s", self.what)
    }
}
