//! A machine that is made up of files, the doctor's visit to it, and servers for it to meet.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskticker::display::BusFault;
use deskticker::doctor::{
    self, BusProbe, CheckContext, CheckState, Finding, FindingSink, Redactor,
};
use deskticker::hub::{self, Hub};
use deskticker::market::Calendar;
use deskticker::secret::{Environment, Secret};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::time::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::running_ticker::Background;

pub const TOKEN: &str = "s3cr3t/t0ken+of==a-display";

/// All checks, in their order.
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

/// Who answers on the bus: asked with the address and the way of asking.
pub type Answers = fn(u8, BusProbe) -> Result<(), BusFault>;

/// A machine, and what the visit depends on.
pub struct Machine {
    pub root: PathBuf,
    pub environment: Environment,
    pub clock: Clock,
    pub calendar: Calendar,
    pub time_limit: Duration,
    pub answers: Answers,
    /// What has been asked on the bus.
    pub asked: Vec<(PathBuf, u8, BusProbe)>,
}

/// What a visit has found.
pub struct DoctorRun {
    pub findings: Vec<Finding>,
    pub hidden: Redactor,
    pub code: u8,
}

impl Machine {
    /// One without anything, but for a token in its environment.
    pub fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{name}"));
        std::fs::remove_dir_all(&root).ok();
        std::fs::create_dir_all(&root).unwrap();
        Self {
            root,
            environment: Environment {
                token: Some(TOKEN.to_owned()),
                ..Environment::default()
            },
            clock: Clock::system(),
            calendar: Calendar::always_open(),
            // Long: what is due ends the waiting.
            time_limit: Duration::from_secs(15),
            answers: |_, _| Ok(()),
            asked: Vec::new(),
        }
    }

    /// A Pi with all that it needs.
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

    /// With this file.
    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// With this configuration.
    pub fn told(self, text: &str) -> Self {
        self.with("desk.toml", text)
    }

    /// Showing the prices of a hub at this address, on an OLED.
    pub fn of(self, hub: impl std::fmt::Display) -> Self {
        self.told(&format!("[hub]\nurl = \"{hub}\"\n"))
    }

    pub fn file(&self) -> PathBuf {
        self.root.join("desk.toml")
    }

    pub fn examined(&mut self) -> DoctorRun {
        let file = self.file();
        let (answers, asked) = (self.answers, &mut self.asked);
        let mut touch = |bus: &Path, address, touch| {
            asked.push((bus.to_owned(), address, touch));
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
        let mut told = Vec::new();
        let mut note = |finding: &Finding| told.push(finding.clone());
        let mut tell = FindingSink(&mut note);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let examination = runtime.block_on(doctor::run_checks(patient, &mut tell));
        let (code, hidden) = (examination.code(), examination.hidden.clone());
        let findings = examination.findings;
        // Each is told as soon as it is known, and once.
        assert_eq!(told, findings);
        DoctorRun {
            findings,
            hidden,
            code,
        }
    }
}

impl DoctorRun {
    #[track_caller]
    pub fn of(&self, check: &str) -> &Finding {
        let mut findings = self.findings.iter();
        findings.find(|finding| finding.check == check).unwrap()
    }

    /// That the check has ended so, with these words in what was found and what mends it.
    #[track_caller]
    pub fn says(&self, check: &str, state: CheckState, words: &str, remedy: &str) {
        let finding = self.of(check);
        let advice = finding.remedy.as_deref().unwrap_or_default();
        let good =
            finding.state == state && finding.found.contains(words) && advice.contains(remedy);
        assert!(good, "{finding:#?}\nin\n{}", self.text());
    }

    #[track_caller]
    pub fn skipped(&self, checks: &[&str]) {
        for check in checks {
            assert_eq!(self.of(check).state, CheckState::Skipped, "{}", self.text());
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

/// A hub of simulated prices; its address.
pub fn simulated() -> Background<(SocketAddr, Hub, Simulator)> {
    Background::start(|| async {
        let settings = SimulatorSettings {
            speed: 20.0,
            values: true,
            ..SimulatorSettings::default()
        };
        let token = Secret::new(TOKEN).unwrap();
        let setup = hub::simulated::setup(settings, &token, Clock::system()).await;
        let (setup, simulator) = setup.unwrap();
        let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        (hub.address(), hub, simulator)
    })
}

/// All that a server was sent.
pub type Heard = Arc<Mutex<Vec<u8>>>;

/// A server that answers every request with the same words, whatever it is.
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
                            // It was only a call.
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
