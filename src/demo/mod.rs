//! The data source of a demo: a simulated vendor with a hub in front of it. Owns both servers, and
//! needs no network beyond loopback, no key and no hardware. The module `show` runs a whole demo.

mod show;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tokio::sync::watch;

use crate::config::settings::{PageSpec, TickerSettings};
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::{Hub, HubSettings, HubSetup, UpstreamServer};
use crate::market::{Calendar, Cluster, Symbol, SymbolError};
use crate::net::connector::Connector;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::render::{Colours, Size};
use crate::secret::Secret;
use crate::simulator::{self, Simulator};
use crate::systemd::Supervisor;
use crate::ticker::event_loop::TickerSetup;
use crate::time::{Clock, Utc};
pub use show::{DemoClocks, DemoSettings, Viewer, show};

/// Starts a simulated vendor and a hub in front of the vendor. `speed` is the factor of the usual
/// rate of values. Returns a setup that shows the data of the hub, and the servers, which stop when
/// they are dropped.
///
/// # Errors
/// Returns a message if a server cannot start, for example without a free port on loopback.
pub async fn simulated(
    clock: Clock,
    speed: f64,
    size: Size,
) -> Result<(TickerSetup, (Hub, Simulator)), String> {
    let settings = simulator::SimulatorSettings {
        speed,
        values: true,
        ..simulator::SimulatorSettings::default()
    };
    // A fixed token is acceptable, because the hub serves only simulated prices on loopback.
    let token = Secret::new("demo").map_err(|error| error.to_string())?;
    let (setup, simulator) = simulated_hub(settings, &token, clock.clone()).await?;
    let hub = Hub::start(setup, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .map_err(|error| error.to_string())?;
    let source = hub_source(hub.address(), token)?;
    let settings = settings_of(usual_watchlist(&clock)?, Colours::One);
    let setup = TickerSetup {
        settings,
        source,
        connector: Connector::new(None)?,
        // Simulated prices have no trading hours.
        calendar: Calendar::always_open(),
        size,
        screen: None,
        clock,
        supervisor: Supervisor::default(),
    };
    Ok((setup, (hub, simulator)))
}

/// Returns the source of a display at a hub.
fn hub_source(hub: SocketAddr, token: Secret) -> Result<FeedSource, String> {
    let endpoint = Endpoint::parse(&format!("ws://{hub}"))?;
    Ok(FeedSource::new(FeedProvider::Hub, endpoint, Some(token)))
}

/// Returns the usual watchlist of a demo: two indices, two shares and a contract.
fn usual_watchlist(clock: &Clock) -> Result<Vec<Symbol>, String> {
    let contract = contract(clock);
    let watchlist = ["SPX", "VIX", "SPY", "QQQ", &contract].into_iter();
    let watchlist = watchlist
        .map(str::parse)
        .collect::<Result<_, SymbolError>>();
    watchlist.map_err(|error| error.to_string())
}

/// Returns settings with the usual pages of a watchlist, its first instrument in large digits, and
/// the page of the connection at the end.
fn settings_of(watchlist: Vec<Symbol>, colours: Colours) -> TickerSettings {
    let usual = TickerSettings::of(watchlist);
    let mut pages = usual.page_specs();
    pages.extend([PageSpec::Big(0), PageSpec::Link]);
    TickerSettings {
        pages,
        colours,
        ..usual
    }
}

/// Starts a simulator and returns the setup of a hub that serves its prices. The clients of the hub
/// need `token`. The simulator stops when it is dropped.
///
/// # Errors
/// The key is invalid, the simulator cannot listen on a port, or the connector or the authenticator
/// cannot be created.
pub async fn simulated_hub(
    vendor: simulator::SimulatorSettings,
    token: &Secret,
    clock: Clock,
) -> Result<(HubSetup, Simulator), String> {
    let key = Secret::new(&vendor.key)?;
    let simulator = Simulator::start(vendor, clock.clone())
        .await
        .map_err(|error| error.to_string())?;
    let setup = hub_before(&simulator, key, token, clock)?;
    Ok((setup, simulator))
}

/// Returns the setup of a hub whose vendor is this simulator.
fn hub_before(
    simulator: &Simulator,
    key: Secret,
    token: &Secret,
    clock: Clock,
) -> Result<HubSetup, String> {
    let source = FeedSource::new(
        FeedProvider::Vendor,
        Endpoint::parse(&format!("ws://{}", simulator.address()))?,
        Some(key),
    );
    let (_, settings) = watch::channel(HubSettings::default());
    Ok(HubSetup {
        upstream: watch::Sender::new(UpstreamServer {
            rest: source.clone(),
            source,
        })
        .subscribe(),
        connector: Connector::new(None)?,
        clusters: Cluster::ALL.to_vec(),
        simulated: true,
        authenticator: Arc::new(Authenticator::new(None, Some(token))?),
        settings,
        // Simulated prices arrive at every hour.
        calendar: Calendar::always_open(),
        clock,
        supervisor: Supervisor::default(),
    })
}

/// Starts a simulator, and gives a hub its prices in place of the vendor's. Later updates of the
/// replaced vendor have no effect. The simulator stops when it is dropped.
///
/// # Errors
/// See [`simulated_hub`].
pub async fn simulate_prices(setup: &mut HubSetup) -> Result<Simulator, String> {
    let vendor = simulator::SimulatorSettings {
        values: true,
        ..simulator::SimulatorSettings::default()
    };
    // The authenticator of the hub is not replaced, so no client can use this token.
    let token = Secret::new("unused")?;
    let (simulated, simulator) = simulated_hub(vendor, &token, setup.clock.clone()).await?;
    setup.upstream = simulated.upstream;
    setup.connector = simulated.connector;
    setup.clusters = simulated.clusters;
    setup.simulated = true;
    setup.calendar = simulated.calendar;
    Ok(simulator)
}

/// The ticker of a SPY call that expires in 12 to 48 days, on a third Friday like most contracts.
fn contract(clock: &Clock) -> String {
    let utc = clock.now().utc.unwrap_or(Utc::PLAUSIBLE);
    let expiry = Timestamp::from_millisecond(utc.0)
        .map(|now| TimeZone::UTC.to_datetime(now).date())
        .and_then(|today| today.checked_add(Span::new().days(28)))
        .and_then(|later| later.nth_weekday_of_month(3, Weekday::Friday))
        .unwrap_or(Date::MAX);
    let (year, month, day) = (expiry.year() % 100, expiry.month(), expiry.day());
    format!("O:SPY{year:02}{month:02}{day:02}C00650000")
}
