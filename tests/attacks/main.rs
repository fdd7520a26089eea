//! Attacks on the built hub. Each attack runs while a vendor sends 200 values through the hub to an
//! honest display. The program prints a table with the values delivered, the worst delay and the
//! memory, and fails if an attack costs the display a value, more than 20 ms, or the hub its memory
//! in three runs. The program needs about a minute.
//!
//! `cargo test --test attacks`; with the variable `HUB`, another build of the hub is attacked, and
//! an argument selects the attacks with this word.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod attackers;
mod stand;

use std::time::Duration;

use attackers::{
    Attack, connect_from, deaf, exchange, flood, frame, hold, pipeline, rest, text, upgrade,
};
use stand::Stand;

/// The number of values during each attack.
const VALUES: u64 = 200;
/// The largest delay that an attack may add.
const ADDED: Duration = Duration::from_millis(20);
/// The memory that the unauthenticated connections may need together, in KiB.
const UNAUTHENTICATED: u64 = 8 << 10;
/// The memory that a busy hub may need in addition, in KiB: for its REST connections, for the
/// simulated vendor in the same process, and for the buffers of the allocator.
const SLACK: u64 = 3 << 10;

/// The results of one attack, beside its limits.
struct Row {
    attack: &'static str,
    delivered: usize,
    delay: Duration,
    memory: u64,
    most_memory: u64,
    healthy: bool,
    /// A further requirement, with its result.
    also: Option<(String, bool)>,
}

impl Row {
    fn is_good(&self, undisturbed: Duration) -> bool {
        self.delivered as u64 == VALUES
            && self.delay <= undisturbed + ADDED
            && self.memory <= self.most_memory
            && self.healthy
            && self.also.as_ref().is_none_or(|(_, good)| *good)
    }

    fn print(&self, undisturbed: Duration) {
        let verdict = if self.is_good(undisturbed) {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "{:<52} {:>3}/{VALUES} {:>9.1} ms {:>7} KiB {:>8} {verdict:>7}  {}",
            self.attack,
            self.delivered,
            self.delay.as_secs_f64() * 1000.0,
            self.memory,
            if self.healthy { "yes" } else { "NO" },
            self.also.as_ref().map_or("", |(what, _)| what)
        );
    }
}

/// Measures a hub during an attack. `also` runs during the attack too.
async fn measure(
    attack: &'static str,
    most_memory: u64,
    more: &str,
    start: impl FnOnce(&Stand) -> Option<Attack>,
    also: impl AsyncFnOnce(&Stand) -> Option<(String, bool)>,
) -> Row {
    let name: String = attack.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut stand = Stand::start(&name, more).await;
    let mut display = stand.display().await;
    // The first values warm the paths that the measurement uses.
    stand.measure(&mut display, 20).await;
    let before = stand.reset_memory();
    let running = start(&stand);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (delivered, delay) = stand.measure(&mut display, VALUES).await;
    let healthy = stand.is_healthy().await;
    let also = also(&stand).await;
    let memory = stand.peak_memory().saturating_sub(before);
    drop(running);
    Row {
        attack,
        delivered,
        delay,
        memory,
        most_memory,
        healthy,
        also,
    }
}

async fn nothing(_: &Stand) -> Option<(String, bool)> {
    None
}

/// An attack by four connections that send without a pause.
async fn flooded(attack: &'static str, is_device: bool, once: Vec<u8>, again: Vec<u8>) -> Row {
    let start = |stand: &Stand| {
        let token = is_device.then(|| stand.token(1));
        Some(flood(stand.address, 4, token, once, again))
    };
    measure(attack, SLACK, "", start, nothing).await
}

async fn honest_clients(stand: &Stand) -> Option<(String, bool)> {
    join(stand, 0, 200).await
}

/// Honest clients of a device, each from its own address, authenticate by message.
async fn join(stand: &Stand, device: usize, count: u8) -> Option<(String, bool)> {
    let auth = format!(r#"{{"action":"auth","params":"{}"}}"#, stand.token(device));
    let auth = text(&auth);
    let mut admitted = 0;
    let mut held = Vec::new();
    for number in 0..count {
        let joining = async {
            let mut stream = connect_from([127, 0, 9, number], stand.address).await?;
            let status = exchange(&mut stream, &upgrade("/ws/indices", None)).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, &auth)
                .await
                .ok()?;
            let mut seen = Vec::new();
            while !seen.windows(12).any(|window| window == b"auth_success") {
                let count = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut seen)
                    .await
                    .ok()?;
                (count > 0).then_some(())?;
            }
            (status == 101).then_some(stream)
        };
        let joined = tokio::time::timeout(Duration::from_secs(5), joining).await;
        if let Some(stream) = joined.ok().flatten() {
            admitted += 1;
            held.push(stream);
        }
    }
    let said = format!("{admitted} of {count} honest clients get in");
    Some((said, admitted == count))
}

/// A hundred connections subscribe to the values of ten thousand tickers and read nothing.
async fn deaf_clients(
    attack: &'static str,
    most_memory: u64,
    more: &str,
    also: impl AsyncFnOnce(&Stand) -> Option<(String, bool)>,
) -> Row {
    let mut stand = Stand::start(if more.is_empty() { "deaf" } else { "shed" }, more).await;
    let mut display = stand.display().await;
    // A client that reads makes the hub hold the values before the measurement.
    let reader = flood(
        stand.address,
        1,
        Some(stand.token(2)),
        text(r#"{"action":"subscribe","params":"V.*,A.*,AM.*"}"#),
        frame(0x8a, b""),
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..2 {
        stand.publish_all().await;
    }
    stand.measure(&mut display, 50).await;
    let before = stand.reset_memory();
    let running = deaf(stand.address, 100, stand.token(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.publish_all().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (delivered, delay) = stand.measure(&mut display, VALUES).await;
    let healthy = stand.is_healthy().await;
    let also = also(&stand).await;
    let memory = stand.peak_memory().saturating_sub(before);
    drop((running, reader));
    Row {
        attack,
        delivered,
        delay,
        memory,
        most_memory,
        healthy,
        also,
    }
}

async fn all(selected: &str) -> bool {
    let request = |action: &str, channels: std::ops::Range<u32>| {
        let names: Vec<String> = channels.map(|n| format!("V.I:X{n}")).collect();
        let names = names.join(",");
        text(&format!(r#"{{"action":"{action}","params":"{names}"}}"#))
    };
    let both = |channels: std::ops::Range<u32>| {
        let subscribe = request("subscribe", channels.clone());
        [subscribe, request("unsubscribe", channels)].concat()
    };
    let pongs = || frame(0x8a, b"");
    let (first, fragments) = (frame(0x01, b""), || frame(0x00, b""));
    let pings = text(r#"{"action":"ping"}"#);
    let many = request("subscribe", 0..999);
    let half = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-";
    let no_attack = |_: &Stand| None;
    println!(
        "{:<52} {:>7} {:>12} {:>11} {:>8} {:>7}",
        "attack", "values", "worst delay", "memory", "healthz", ""
    );
    let mut undisturbed = Duration::ZERO;
    let mut good = true;
    macro_rules! attack {
        ($name:literal, $row:expr) => {
            if $name.contains(selected) || $name == "none" {
                let mut row: Row = $row;
                // Another program may have delayed the hub, so a bad row gets further chances.
                for _ in 0..2 {
                    if undisturbed > Duration::ZERO && !row.is_good(undisturbed) {
                        row.print(undisturbed);
                        row = $row;
                    }
                }
                if $name == "none" {
                    undisturbed = row.delay;
                }
                row.print(undisturbed);
                good &= row.is_good(undisturbed);
            }
        };
    }
    attack!("none", measure("none", SLACK, "", no_attack, nothing).await);
    attack!(
        "pongs without a token",
        flooded("pongs without a token", false, Vec::new(), pongs()).await
    );
    attack!(
        "empty fragments without a token",
        flooded(
            "empty fragments without a token",
            false,
            first.clone(),
            fragments()
        )
        .await
    );
    attack!(
        "pongs of a device",
        flooded("pongs of a device", true, Vec::new(), pongs()).await
    );
    attack!(
        "empty fragments of a device",
        flooded(
            "empty fragments of a device",
            true,
            first.clone(),
            fragments()
        )
        .await
    );
    attack!(
        "pings of a device",
        flooded("pings of a device", true, Vec::new(), pings.clone()).await
    );
    attack!(
        "changes of 400 channels by a device",
        flooded(
            "changes of 400 channels by a device",
            true,
            Vec::new(),
            both(0..400)
        )
        .await
    );
    attack!(
        "changes of one of 1,000 channels by a device",
        flooded(
            "changes of one of 1,000 channels by a device",
            true,
            many.clone(),
            both(999..1000)
        )
        .await
    );
    attack!(
        "half-sent heads from 8 addresses",
        measure(
            "half-sent heads from 8 addresses",
            UNAUTHENTICATED,
            "",
            |stand| Some(hold(stand.address, 8, 80, half.to_owned())),
            honest_clients,
        )
        .await
    );
    attack!(
        "silent WebSockets from 8 addresses",
        measure(
            "silent WebSockets from 8 addresses",
            UNAUTHENTICATED,
            "",
            |stand| Some(hold(stand.address, 8, 80, upgrade("/ws/indices", None))),
            honest_clients,
        )
        .await
    );
    let shares = "[limits]\nconnections = 100\ndevice_connections = 25\n";
    let other_device = async |stand: &Stand| join(stand, 2, 20).await;
    attack!(
        "one device takes all connections",
        measure(
            "one device takes all connections",
            SLACK,
            shares,
            |stand| {
                let head = upgrade("/ws/indices", Some(stand.token(1)));
                Some(hold(stand.address, 1, 60, head))
            },
            other_device,
        )
        .await
    );
    attack!(
        "one device keeps all REST connections",
        measure(
            "one device keeps all REST connections",
            SLACK,
            shares,
            |stand| {
                let head = rest("POST /api/ws-token", stand.token(1));
                Some(hold(stand.address, 1, 150, head))
            },
            other_device,
        )
        .await
    );
    let tickers: Vec<String> = (0..250).map(|n| format!("A{n:03}")).collect();
    let quotes = format!("GET /api/quotes?tickers={}", tickers.join(","));
    attack!(
        "REST requests of a device for 250 tickers",
        measure(
            "REST requests of a device for 250 tickers",
            SLACK,
            "",
            |stand| {
                let head = rest(&quotes, stand.token(1));
                Some(pipeline(stand.address, 4, &head))
            },
            nothing,
        )
        .await
    );
    attack!(
        "REST requests of a device for tokens",
        measure(
            "REST requests of a device for tokens",
            SLACK,
            "",
            |stand| {
                let head = rest("POST /api/ws-token", stand.token(1));
                Some(pipeline(stand.address, 4, &head))
            },
            nothing,
        )
        .await
    );
    let held = async |stand: &Stand| {
        let waiting = stand.metric("bytes_waiting").await / 1024.0;
        Some((format!("{waiting:.0} KiB wait"), waiting > 1000.0))
    };
    attack!(
        "100 deaf clients of 30,000 channels",
        deaf_clients(
            "100 deaf clients of 30,000 channels",
            100 * 80 + SLACK,
            "",
            held
        )
        .await
    );
    let shed = async |stand: &Stand| {
        let waiting = stand.metric("bytes_waiting").await / 1024.0;
        let shed = stand.metric(r#"disconnected_total{reason="shed"}"#).await;
        let said = format!("{waiting:.0} KiB wait, {shed:.0} clients shed");
        // Each of the two clusters has a half.
        Some((said, waiting <= 512.0 && shed > 50.0))
    };
    let limit = "[limits]\nwaiting_bytes = 1_048_576\n";
    attack!(
        "100 deaf clients, 1 MiB for all",
        deaf_clients(
            "100 deaf clients, 1 MiB for all",
            1024 + 2 * SLACK,
            limit,
            shed
        )
        .await
    );
    good
}

fn main() {
    let selected = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let good = runtime.block_on(all(&selected.unwrap_or_default()));
    std::process::exit(i32::from(!good));
}
