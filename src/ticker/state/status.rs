//! The status of the display for the web page: the link, and each instrument as the glass would show
//! it now. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::TickerState;
use crate::market::{Denial, Freshness, SessionPart};
use crate::render::{self, LinkHop, LinkIcon, LinkReport, PriceSummary};
use crate::ticker::view_builder::ViewBuilder;
use crate::time::{Now, Utc, millis};
use crate::web::status::{LinkStatus, Status, ValueStatus};

/// The longest validity of an entry. A closing price has no end that is known, but the market may
/// open, and a person may change the watchlist.
const LONGEST: Duration = Duration::from_secs(60);

impl TickerState {
    /// Returns the status of the display. The argument `own` is the time by the clocks of this
    /// machine.
    pub fn display_status(&mut self, own: Now) -> Status {
        let (mut glass, mut values, mut prices) = (Vec::new(), Vec::new(), PriceSummary::None);
        self.with_view(own, |view, reader, _, _| {
            glass = render::words(view);
            prices = reader.prices();
            let instruments = reader.watchlist.instruments().len();
            values.extend((0..instruments).filter_map(|index| value(reader, index)));
        });
        let now = self.time.at(own.monotonic);
        // On the glass, DEMO stands for all prices while a connection is simulated.
        let demo = self.link_monitor.simulated();
        for value in &mut values {
            value.simulated |= demo;
        }
        let clock = self.time.fault(now.monotonic);
        let hours = self.lit_minutes.hours();
        let report = self.link_monitor.report(now, prices, clock, hours);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: now.monotonic.as_millis(),
            time: now.utc.and_then(written),
            glass,
            simulated: demo || values.iter().any(|value| value.simulated),
            problem: (self.problem()).map(|problem| format!("{}: {}", problem.title, problem.text)),
            link: Some(link(&report, self.link_monitor.icon())),
            values,
        }
    }
}

/// Returns a time in RFC 3339; `None` outside the calendar.
fn written(utc: Utc) -> Option<String> {
    let time = Timestamp::from_millisecond(utc.0).ok()?;
    Some(format!("{time:.3}"))
}

/// Returns the entry of an instrument; `None` if the index is out of range.
fn value(reader: ViewBuilder<'_>, index: usize) -> Option<ValueStatus> {
    let now = reader.now;
    let (line, instrument) = reader.line(index)?;
    let shown = reader.watchlist.shown(index, now, reader.calendar)?;
    let price = line.shown_price();
    let quote = shown.quote.filter(|_| price.is_some());
    let age = match line.freshness {
        Freshness::Stale(age) => Some(age),
        _ => quote.and_then(|quote| quote.age(now)),
    };
    let as_of = age.zip(now.utc).and_then(|(age, utc)| written(utc - age));
    let change = line.shown_change();
    Some(ValueStatus {
        symbol: line.label.to_owned(),
        price: price.map(|price| price.as_f64()),
        decimals: line.decimals,
        change: change.map(|change| change.absolute().as_f64()),
        change_percent: change.and_then(|change| Some(change.basis_points()? as f64 / 100.0)),
        freshness: match line.freshness {
            _ if price.is_none() => "none",
            _ if line.is_struck() => "stale",
            Freshness::Live => "live",
            Freshness::Delayed => "delayed",
            Freshness::Closed => "closed",
            Freshness::Stale(_) => "stale",
            Freshness::None => "none",
        },
        as_of,
        age_ms: age.map(millis),
        valid_ms: millis(shown.until.since(now.monotonic).min(LONGEST)),
        session: line.part.map(|part| match part {
            SessionPart::Pre => "pre",
            SessionPart::Regular => "regular",
            SessionPart::Post => "post",
            SessionPart::Outside => "outside",
        }),
        simulated: instrument.simulated(),
        denied: line.denial.map(|denial| match denial {
            Denial::NotEntitled => "no access",
            Denial::NotFound => "not found",
        }),
    })
}

fn link(report: &LinkReport, icon: LinkIcon) -> LinkStatus {
    LinkStatus {
        state: match icon {
            LinkIcon::Live => "live",
            LinkIcon::Joining => "joining",
            LinkIcon::Silent => "silent",
            LinkIcon::Down => "down",
            LinkIcon::Refused => "refused",
        },
        failing: match report.hop {
            LinkHop::Address => Some("network address"),
            LinkHop::Dns => Some("DNS"),
            LinkHop::Clock => Some("clock"),
            LinkHop::Tls => Some("TLS"),
            LinkHop::Portal => Some("captive portal"),
            LinkHop::Hub => Some("hub"),
            LinkHop::Vendor => Some("vendor"),
            LinkHop::Token => Some("token"),
            LinkHop::Key => Some("key"),
            LinkHop::Plan => Some("plan"),
            LinkHop::Upstream => Some("upstream of the hub"),
            LinkHop::None => None,
        },
        since_ms: millis(report.since),
        messages: report.messages,
        latency_ms: report.latency,
        reconnects: report.reconnects,
        last_message_ms: report.last.map(millis),
        lit_hours: report.lit_hours,
    }
}
