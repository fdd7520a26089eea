//! Measures the fan-out under load. Compares the hub with a simple fan-out in Node and with the
//! floor, the kernel's cost for the same number of writes. Prints each value with its limit; a
//! missed limit is a failure.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "fanout/load.rs"]
mod load;
#[path = "fanout/process.rs"]
mod process;
#[path = "fanout/servers.rs"]
mod servers;
mod usage;

use process::{Load, Measured, Server};

/// The maximum number of measurements of a row. A row that misses a limit is measured again,
/// because other work on this machine may have disturbed the row.
const ROUNDS: usize = 3;

/// The load of one measurement: the published events and the clients.
#[derive(Clone, Copy)]
struct Work {
    clients: usize,
    channels: usize,
    /// The time between two events, in microseconds.
    period: u64,
    seconds: u64,
    /// The number of clients that never read.
    ignoring_input: usize,
}

struct Table {
    missed: bool,
}

impl Table {
    /// Prints a value without a limit.
    fn note(&self, what: &str, measured: &str) {
        println!("  {what:<58} {measured:>14}");
    }

    /// Prints a value with its limit. Returns true if the value does not exceed the limit.
    fn row(&mut self, what: &str, measured: f64, limit: f64, unit: &str) -> bool {
        let ok = measured <= limit;
        let verdict = if ok { "ok" } else { "MISSED" };
        println!("  {what:<58} {measured:>9.2} {unit:<4} limit {limit:>9.2}  {verdict}");
        ok
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve-hub", ..] => return servers::hub(),
        ["serve-floor", ..] => return servers::floor(),
        ["load", numbers @ ..] => {
            let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().unwrap()).collect();
            return load::run(numbers[0] as u16, numbers[1], numbers[2], numbers[3]);
        }
        _ => {}
    }
    process::raise_file_limit();
    let plain = process::install_plain();
    if plain.is_none() {
        println!("node or npm is missing: the plain fan-out is skipped");
    }
    let mut table = Table { missed: false };
    for row in [few_events, many_events, flood, idle, slow] {
        let ok = (0..ROUNDS).any(|round| {
            if round > 0 {
                println!("  again: a figure was missed, and other work may be why");
            }
            row(&mut table, plain.as_deref())
        });
        table.missed |= !ok;
    }
    if table.missed {
        std::process::exit(1);
    }
}

fn measure(server: Server, work: Work) -> Measured {
    let load = Load::new(&server, work);
    server.measure(load, work)
}

fn told(table: &Table, who: &str, measured: &Measured) {
    table.note(
        &format!("{who}: CPU s per million frames, p50, p99"),
        &format!(
            "{:.2}, {:.2} ms, {:.2} ms",
            measured.cpu_per_million_frames(),
            measured.p50,
            measured.p99
        ),
    );
}

fn few_events(table: &mut Table, plain: Option<&std::path::Path>) -> bool {
    println!("1,000 clients x 2 channels x 20 events/s");
    let work = Work {
        clients: 1000,
        channels: 2,
        period: 25_000,
        seconds: 7,
        ignoring_input: 0,
    };
    let floor = measure(Server::floor(), work);
    let hub = measure(Server::hub(), work);
    told(table, "floor", &floor);
    told(table, "hub", &hub);
    let mut ok = table.row(
        "clients without the newest of a channel",
        hub.missing as f64,
        0.0,
        "",
    );
    let (cpu, least) = (hub.cpu_per_million_frames(), floor.cpu_per_million_frames());
    ok &= table.row("hub / floor, CPU per frame", cpu / least, 1.3, "x");
    if let Some(plain) = plain {
        let plain = measure(Server::plain(plain), work);
        told(table, "node", &plain);
        ok &= table.row(
            "hub / node, CPU per frame",
            cpu / plain.cpu_per_million_frames(),
            1.0,
            "x",
        );
        ok &= table.row("hub, p99 (the limit is node's)", hub.p99, plain.p99, "ms");
    }
    ok
}

fn many_events(table: &mut Table, plain: Option<&std::path::Path>) -> bool {
    println!("1,000 clients, 100,000 events/s offered (10 channels x 10 events/s each)");
    let work = Work {
        clients: 1000,
        channels: 10,
        period: 10_000,
        seconds: 6,
        ignoring_input: 0,
    };
    let floor = measure(Server::floor(), work);
    let hub = measure(Server::hub(), work);
    told(table, "floor", &floor);
    told(table, "hub", &hub);
    if let Some(plain) = plain {
        let plain = measure(Server::plain(plain), work);
        told(table, "node", &plain);
        table.note(
            "node: clients without the newest",
            &plain.missing.to_string(),
        );
    }
    let offered = (work.clients as u64 * hub.published) as f64;
    table.note(
        "hub: events delivered",
        &format!("{:.1} %", 100.0 * hub.events as f64 / offered),
    );
    table.note(
        "hub: events per frame",
        &format!("{:.2}", hub.events as f64 / hub.frames as f64),
    );
    let mut ok = table.row(
        "clients without the newest of a channel",
        hub.missing as f64,
        0.0,
        "",
    );
    ok &= table.row("hub, median delay", hub.p50, 20.0, "ms");
    let (cpu, write) = (hub.cpu / offered * 1e6, floor.cpu_per_million_frames());
    ok &= table.row(
        "hub, CPU s per million events (limit: one write each)",
        cpu,
        write,
        "s",
    );
    ok
}

fn flood(table: &mut Table, _: Option<&std::path::Path>) -> bool {
    println!("1,000 clients x 10 channels, 100,000 events/s into the hub");
    let work = Work {
        clients: 1000,
        channels: 10,
        period: 10,
        seconds: 5,
        ignoring_input: 0,
    };
    let hub = measure(Server::hub(), work);
    told(table, "hub", &hub);
    table.note(
        "hub: of one core",
        &format!("{:.0} %", 100.0 * hub.cpu / hub.seconds),
    );
    let mut ok = table.row(
        "clients without the newest of a channel",
        hub.missing as f64,
        0.0,
        "",
    );
    ok &= table.row(
        "hub, median delay of what is delivered",
        hub.p50,
        20.0,
        "ms",
    );
    ok
}

fn idle(table: &mut Table, plain: Option<&std::path::Path>) -> bool {
    println!("9,000 idle clients with 2 channels each");
    let memory = |server: Server| {
        let before = server.resident_kib();
        let work = Work {
            clients: 9000,
            channels: 2,
            period: 1,
            seconds: 0,
            ignoring_input: 0,
        };
        let _load = Load::new(&server, work);
        (server.resident_kib() - before) / 9000.0
    };
    if let Some(plain) = plain {
        table.note(
            "node: resident memory each",
            &format!("{:.2} KiB", memory(Server::plain(plain))),
        );
    }
    table.row(
        "hub, resident memory each",
        memory(Server::hub()),
        4.0,
        "KiB",
    )
}

fn slow(table: &mut Table, _: Option<&std::path::Path>) -> bool {
    println!("500 clients, 50 of which never read");
    let work = Work {
        clients: 500,
        channels: 10,
        period: 4_000,
        seconds: 10,
        ignoring_input: 0,
    };
    let alone = measure(
        Server::hub(),
        Work {
            clients: 450,
            ..work
        },
    );
    let minute = Work {
        ignoring_input: 50,
        seconds: 60,
        ..work
    };
    let hub = measure(Server::hub(), minute);
    told(table, "without them", &alone);
    told(table, "with them", &hub);
    table.note(
        "times that a full socket was found",
        &hub.blocked.to_string(),
    );
    let mut ok = table.row(
        "clients without the newest of a channel",
        hub.missing as f64,
        0.0,
        "",
    );
    ok &= table.row(
        "the others' p99 (the limit is 1.2 x without + 1)",
        hub.p99,
        alone.p99 * 1.2 + 1.0,
        "ms",
    );
    ok &= table.row(
        "growth of memory from the third second on",
        hub.growth_kib,
        256.0,
        "KiB",
    );
    ok &= table.row(
        "sockets that were never full",
        f64::from(u8::from(hub.blocked < 50)),
        0.0,
        "",
    );
    ok
}
