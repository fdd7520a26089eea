//! The simulator by itself, for programs that speak to the vendor. On SIGUSR1 it drops its
//! connections once, without a close frame. The key is `simulated`.
#![allow(clippy::print_stdout)]

use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::Clock;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut drops = signal(SignalKind::user_defined1())?;
    let settings = SimulatorSettings {
        values: true,
        ..SimulatorSettings::default()
    };
    let simulator = Simulator::start(settings, Clock::system()).await?;
    println!("listening on {}", simulator.address());
    while drops.recv().await.is_some() {
        simulator.fault(InjectedFault::Abort);
        simulator.fault(InjectedFault::None);
    }
    Ok(())
}
