//! A machine that consists of files, a run of the doctor on this machine, and test servers for the
//! run.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "basics.rs"]
mod basics;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskticker::demo;
use deskticker::display::BusFault;
use deskticker::doctor::{self, BusProbe, CheckContext, CheckState, Finding, Redactor};
use deskticker::hub::Hub;
use deskticker::market::Calendar;
use deskticker::secret::{Environment, Secret};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::time::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::running_ticker::Background;

pub const TOKEN: &str = "s3cr3t/t0ken+of==a-display";

/// All checks in their order.
pub const CHECKS: [&str; 16] = [
    "board",
    "kernel",
    "bus",
    "permission",
    "panel",
    "speed",
    "configuration",
    "token",
    "dns",
    "tcp",
    "tls",
    "clock",
    "hub",
    "access",
    "upstream",
    "channels",
];

/// The response of the I2C bus to a probe of this address.
pub type Answers = fn(u8, BusProbe) -> Result<(), BusFault>;

/// A fake machine and the other inputs of a doctor run.
pub struct Machine {
    pub root: PathBuf,
    pub environment: Environment,
    pub clock: Clock,
    pub calendar: Calendar,
    pub time_limit: Duration,
    pub answers: Answers,
    /// The probes on the I2C bus.
    pub probes: Vec<(PathBuf, u8, BusProbe)>,
}

/// The result of a doctor run.
pub struct DoctorRun {
    pub findings: Vec<Finding>,
    pub hidden: Redactor,
    pub code: u8,
}

impl Machine {
    /// A machine without files, and with a token in its environment.
    pub fn new(name: &str) -> Self {
        Self {
            root: basics::directory(name),
            environment: Environment {
                token: Some(TOKEN.to_owned()),
                ..Environment::default()
            },
            clock: Clock::system(),
            calendar: Calendar::always_open(),
            // The limit is long, because each expected response ends the wait.
            time_limit: Duration::from_secs(15),
            answers: |_, _| Ok(()),
            probes: Vec::new(),
        }
    }

    /// A Raspberry Pi with all files that the doctor needs.
    pub fn pi(name: &str) -> Self {
        Self::new(name)
            .with("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0")
            .with("proc/sys/kernel/osrelease", "6.12.47+rpt-rpi-v8\n")
            .with("dev/i2c-1", "")
            .with(
                "sys/bus/i2c/devices/i2c-1/of_node/clock-frequency",
                [0, 6, 0x1a, 0x80],
            )
            .with("run/systemd/timesync/synchronized", "")
    }

    /// Adds this file.
    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Adds this configuration.
    pub fn with_config(self, text: &str) -> Self {
        self.with("desk.toml", text)
    }

    /// Adds a configuration for a hub at this address and the default OLED.
    pub fn with_hub(self, hub: impl std::fmt::Display) -> Self {
        self.with_config(&format!("[hub]\nurl = \"{hub}\"\n"))
    }

    pub fn file(&self) -> PathBuf {
        self.root.join("desk.toml")
    }

    pub fn run_doctor(&mut self) -> DoctorRun {
        let file = self.file();
        let (answers, probes) = (self.answers, &mut self.probes);
        let mut touch = |bus: &Path, address, touch| {
            probes.push((bus.to_owned(), address, touch));
            answers(address, touch)
        };
        let patient = CheckContext {
            root: &self.root,
            file: &file,
            environment: &self.environment,
            clock: self.clock.clone(),
            calendar: self.calendar,
            time_limit: self.time_limit,
            touch: &mut touch,
        };
        let mut reported = Vec::new();
        let mut note = |finding: &Finding| reported.push(finding.clone());
        let examination = basics::block_on(doctor::run_checks(patient, &mut note));
        let (code, hidden) = (examination.code(), examination.hidden.clone());
        let findings = examination.findings;
        // The doctor reports each finding once, as soon as it is known.
        assert_eq!(reported, findings);
        DoctorRun {
            findings,
            hidden,
            code,
        }
    }
}

impl DoctorRun {
    #[track_caller]
    pub fn finding(&self, check: &str) -> &Finding {
        let mut findings = self.findings.iter();
        findings.find(|finding| finding.check == check).unwrap()
    }

    /// Checks the state of a finding and that its text and its remedy contain these words.
    #[track_caller]
    pub fn assert_finding(&self, check: &str, state: CheckState, words: &str, remedy: &str) {
        let finding = self.finding(check);
        let advice = finding.remedy.as_deref().unwrap_or_default();
        let good =
            finding.state == state && finding.found.contains(words) && advice.contains(remedy);
        assert!(good, "{finding:#?}\nin\n{}", self.text());
    }

    #[track_caller]
    pub fn assert_skipped(&self, checks: &[&str]) {
        for check in checks {
            assert_eq!(
                self.finding(check).state,
                CheckState::Skipped,
                "{}",
                self.text()
            );
        }
    }

    pub fn text(&self) -> String {
        let mut text: String = (self.findings.iter())
            .map(|finding| doctor::text(finding, false))
            .collect();
        text.push_str(&doctor::summary(&self.findings));
        text
    }
}

/// A hub with simulated prices. The value contains its address.
pub fn simulated() -> Background<(SocketAddr, Hub, Simulator)> {
    Background::start(|| async {
        let settings = SimulatorSettings {
            speed: 20.0,
            values: true,
            ..SimulatorSettings::default()
        };
        let token = Secret::new(TOKEN).unwrap();
        let setup = demo::simulated_hub(settings, &token, Clock::system()).await;
        let (setup, simulator) = setup.unwrap();
        let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        (hub.address(), hub, simulator)
    })
}

/// All bytes that a server has received.
pub type Heard = Arc<Mutex<Vec<u8>>>;

/// A server that sends the same response to each request.
pub fn echo_server(answer: &'static str) -> Background<(SocketAddr, Heard)> {
    Background::start(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Heard::default();
        let all = heard.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let all = all.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    while !bytes.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => bytes.push(byte),
                            // The client only tested the connection.
                            Err(_) => break,
                        }
                    }
                    all.lock().unwrap().extend(&bytes);
                    stream.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        (address, heard)
    })
}
