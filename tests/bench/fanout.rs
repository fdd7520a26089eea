//! Measures the fan-out under load. Compares the hub with uWebSockets, with a simple fan-out in Node,
//! and with the floor, the kernel's cost for the same number of writes. Prints each value with its limit; a
//! missed limit is a failure.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "fanout/load.rs"]
mod load;
#[path = "fanout/process.rs"]
mod process;
#[path = "fanout/servers.rs"]
mod servers;
#[path = "fanout/tree.rs"]
mod tree;
mod usage;

use process::{Load, Measured, Others, Server};

/// The maximum number of measurements of a row. A row that misses a limit is measured again,
/// because other work on this machine may have disturbed the row.
const ROUNDS: usize = 3;
/// The number of measurements of each server for one row of the comparison.
const TURNS: usize = 3;

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
        ["serve-vendor", ..] => return tree::vendor(),
        ["serve-whole-hub", above, port, ..] => return tree::hub(*above == "hub", port),
        ["load", numbers @ ..] => {
            let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().unwrap()).collect();
            return load::run(numbers[0] as u16, numbers[1], numbers[2], numbers[3]);
        }
        _ => {}
    }
    process::raise_file_limit();
    // With this argument, only the tree of hubs is measured, without the servers of others.
    if words.contains(&"tree") {
        let mut table = Table { missed: false };
        let ok = (0..ROUNDS).any(|_| tree_of_hubs(&mut table));
        std::process::exit(i32::from(!ok));
    }
    let others = Others::install();
    let mut table = Table { missed: false };
    for row in [
        single_events,
        some_events,
        few_events,
        many_events,
        flood,
        idle,
        slow,
        leaf,
    ] {
        let ok = (0..ROUNDS).any(|round| {
            if round > 0 {
                println!("  again: a figure was missed, and other work may be why");
            }
            row(&mut table, &others)
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

fn single_events(table: &mut Table, others: &Others) -> bool {
    events(table, others, 2, 1)
}

fn some_events(table: &mut Table, others: &Others) -> bool {
    events(table, others, 2, 10)
}

fn few_events(table: &mut Table, others: &Others) -> bool {
    events(table, others, 2, 40)
}

fn many_events(table: &mut Table, others: &Others) -> bool {
    events(table, others, 10, 100)
}

/// Measures all servers with this number of events a second for each of 1,000 clients. The servers
/// take turns, so that other work on the machine disturbs all of them, and the median of each
/// figure counts.
fn events(table: &mut Table, others: &Others, channels: usize, rate: u64) -> bool {
    println!("1,000 clients x {rate} events/s on {channels} channels");
    let work = Work {
        clients: 1000,
        channels,
        period: 1_000_000 / rate,
        seconds: 6,
        ignoring_input: 0,
    };
    let [mut floor, mut hub, mut uwebsockets, mut node] = [const { Vec::new() }; 4];
    for _ in 0..TURNS {
        floor.push(measure(Server::floor(), work));
        hub.push(measure(Server::hub(), work));
        uwebsockets.extend(Server::uwebsockets(others).map(|server| measure(server, work)));
        node.extend(Server::node(others).map(|server| measure(server, work)));
    }
    let missing = hub.iter().map(|hub| hub.missing).max().unwrap_or(0);
    let [floor, Some(hub), uwebsockets, node] = [floor, hub, uwebsockets, node].map(median) else {
        return false;
    };
    let servers = [("hub", Some(&hub)), ("floor", floor.as_ref())];
    let foreign = [
        ("uWebSockets", uwebsockets.as_ref()),
        ("node", node.as_ref()),
    ];
    for (who, measured) in servers.into_iter().chain(foreign) {
        if let Some(measured) = measured {
            told(table, who, measured);
        }
    }
    let offered = (work.clients as u64 * hub.published) as f64;
    table.note(
        "hub: events delivered, events per frame",
        &format!(
            "{:.1} %, {:.2}",
            100.0 * hub.events as f64 / offered,
            hub.events as f64 / hub.frames as f64
        ),
    );
    let mut ok = table.row(
        "clients without the newest of a channel",
        missing as f64,
        0.0,
        "",
    );
    if let Some(floor) = floor {
        let limit = 1.3 * floor.cpu_per_million_frames();
        ok &= table.row(
            "hub, CPU s per million events (limit: 1.3 writes each)",
            hub.cpu / offered * 1e6,
            limit,
            "s",
        );
    }
    if let Some(uwebsockets) = uwebsockets {
        let limit = uwebsockets.p50;
        ok &= table.row("hub, median (limit: uWebSockets)", hub.p50, limit, "ms");
    }
    if let Some(node) = node {
        ok &= table.row("hub, p99 (limit: node)", hub.p99, node.p99, "ms");
    }
    ok
}

/// Returns the median of each figure. `None` if a server was not measured.
fn median(all: Vec<Measured>) -> Option<Measured> {
    let middle = |figure: fn(&Measured) -> f64| {
        let mut figures: Vec<f64> = all.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(0.0)
    };
    Some(Measured {
        cpu: middle(|one| one.cpu),
        p50: middle(|one| one.p50),
        p99: middle(|one| one.p99),
        ..*all.first()?
    })
}

fn flood(table: &mut Table, _: &Others) -> bool {
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

fn leaf(table: &mut Table, _: &Others) -> bool {
    tree_of_hubs(table)
}

/// Measures a whole hub below the vendor, and a whole hub below another hub: the delay with few clients,
/// because the writes to many clients take longer than the way between two hubs, and the CPU time with
/// many clients.
fn tree_of_hubs(table: &mut Table) -> bool {
    let delay = |root: &Measured, leaf: &Measured| {
        let what = "delay that the leaf adds, median";
        (what, leaf.p50 - root.p50, 2.0, "ms")
    };
    let cpu = |root: &Measured, leaf: &Measured| {
        let what = "leaf, CPU s per million frames (limit: 1.1 x the root)";
        let cpu = Measured::cpu_per_million_frames;
        (what, cpu(leaf), 1.1 * cpu(root), "s")
    };
    hub_below_hub(table, 10, delay) && hub_below_hub(table, 1000, cpu)
}

/// A figure of a hub below another hub: its name, its value, its limit and its unit.
type Figure = (&'static str, f64, f64, &'static str);

/// Measures one figure with this number of clients. Both hubs take turns, and the median of each figure
/// counts.
fn hub_below_hub(
    table: &mut Table,
    clients: usize,
    figure: impl Fn(&Measured, &Measured) -> Figure,
) -> bool {
    println!("{clients} clients x 20 events/s on 2 channels, of one hub and of a hub below it");
    let work = Work {
        clients,
        channels: 2,
        period: 50_000,
        seconds: 6,
        ignoring_input: 0,
    };
    let [mut root, mut leaf] = [const { Vec::new() }; 2];
    for _ in 0..TURNS {
        root.push(measure(Server::tree(1), work));
        leaf.push(measure(Server::tree(2), work));
    }
    let missing = leaf.iter().map(|leaf| leaf.missing).max().unwrap_or(0);
    let [Some(root), Some(leaf)] = [root, leaf].map(median) else {
        return false;
    };
    told(table, "a hub below the vendor", &root);
    told(table, "a hub below a hub", &leaf);
    let complete = table.row(
        "clients without the newest of a channel",
        missing as f64,
        0.0,
        "",
    );
    let (what, measured, limit, unit) = figure(&root, &leaf);
    table.row(what, measured, limit, unit) && complete
}

fn idle(table: &mut Table, others: &Others) -> bool {
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
    for (who, server) in [
        ("node", Server::node(others)),
        ("uWebSockets", Server::uwebsockets(others)),
    ] {
        if let Some(server) = server {
            let each = format!("{:.2} KiB", memory(server));
            table.note(&format!("{who}: resident memory each"), &each);
        }
    }
    table.row(
        "hub, resident memory each",
        memory(Server::hub()),
        2.0,
        "KiB",
    )
}

fn slow(table: &mut Table, _: &Others) -> bool {
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
