//! What is wanted of the sessions and of REST.

use std::time::Duration;

use super::{Desk, Leaf};
use crate::clock::{Now, Utc};
use crate::feed::link::Phase;
use crate::feed::session::Orders;
use crate::feed::subscriptions;
use crate::market::{Class, Cluster, Freshness, Instrument, Part, Source, Symbol, limit};

/// Contracts may go unquoted for long; all of them for this long while they are traded, only if
/// nothing arrives any more.
const CONTRACTS: Duration = Duration::from_secs(300);
/// A share that streams is not asked for; it streams if something came within this.
const STREAMS: Duration = Duration::from_secs(10);

/// How often REST is asked for a share while it is traded,
pub(super) const SHARES: Duration = Duration::from_millis(2_500);
/// before and after the regular hours,
pub(super) const SHARES_EXTENDED: Duration = Duration::from_secs(5);
/// and for anything else of which nothing streams, and for what is computed of a contract. The
/// vendor's free plan allows five calls a minute.
const UNFED: Duration = Duration::from_secs(15);

impl Desk {
    /// How often a link has returned: then REST is asked what was missed.
    pub fn returns(&self) -> u64 {
        self.pulse.returns()
    }

    /// How often REST is to be asked for each instrument, in the order of the watchlist; `None`
    /// for now and then.
    pub fn paces(&self, now: Now) -> impl Iterator<Item = Option<Duration>> + '_ {
        let places = 0..self.watchlist.instruments().len();
        places.map(move |place| self.pace(place, now))
    }

    fn pace(&self, place: usize, now: Now) -> Option<Duration> {
        let instrument = self.watchlist.instruments().get(place)?;
        let symbol = instrument.symbol();
        if instrument.denial().is_some() || self.expired(symbol, now) {
            return None;
        }
        let freshness = self.watchlist.freshness(place, now, &self.calendar);
        let part = instrument.part(now, &self.calendar);
        if symbol.class() == Class::Equity {
            let streams = instrument.quote().is_some_and(|quote| {
                quote.source != Source::Rest && now.monotonic.since(quote.received) <= STREAMS
            });
            return match part {
                _ if streams => None,
                Some(Part::Pre | Part::Post | Part::Outside) => Some(SHARES_EXTENDED),
                Some(Part::Regular) => Some(SHARES),
                // Without a clock nobody knows whether it is traded.
                None if freshness != Freshness::Closed => Some(UNFED),
                None => None,
            };
        }
        let live = self.pulse.link(symbol.cluster()).phase == Phase::Live;
        let unfed = !live && freshness != Freshness::Closed;
        let shown = self.leaf == Some(Leaf::Contract(place))
            && (part.is_some() || instrument.analysis(now.monotonic, Duration::MAX).is_none());
        (unfed || shown).then_some(UNFED)
    }

    /// Since when the minutes of each instrument's trading day are wanted.
    pub fn days(&self) -> impl Iterator<Item = (&Symbol, Utc)> {
        let instruments = self.watchlist.instruments().iter();
        instruments.filter_map(|instrument| {
            let day = instrument.minutes().day()?;
            Some((instrument.symbol(), day.start))
        })
    }

    fn expired(&self, symbol: &Symbol, now: Now) -> bool {
        let days = |contract| self.calendar.days_left(&contract, now.utc?);
        symbol
            .contract()
            .and_then(days)
            .is_some_and(|days| days < 0)
    }

    /// What a cluster's session is to do.
    pub fn orders(&self, cluster: Cluster, now: Now) -> Orders {
        let symbols = || {
            let symbols = self.watchlist.instruments().iter().map(Instrument::symbol);
            symbols.filter(|symbol| !self.expired(symbol, now))
        };
        let patience = symbols()
            .filter(|symbol| symbol.cluster() == cluster)
            .filter(|symbol| {
                now.utc.is_some_and(|utc| {
                    // Before and after the regular hours there may be no trade for hours.
                    let phase = self.calendar.phase(symbol, utc);
                    phase.part() == Some(Part::Regular)
                })
            })
            .map(|symbol| match symbol.class() {
                // Index values come by a timetable.
                Class::Index => 2 * limit(symbol, Source::Tick),
                Class::Option | Class::Equity => CONTRACTS,
            })
            .min();
        Orders {
            channels: subscriptions::route(symbols(), cluster),
            patience,
            stop: false,
        }
    }
}
