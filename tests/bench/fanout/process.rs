//! Starts the processes of the benchmark and reads their resource usage from the kernel.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Work, usage};

/// A child process that reads and writes lines. The child ends when this value is dropped.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Starts this program again with other arguments, which select its role.
    fn again(words: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(words);
        Self::new(command)
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        assert!(
            self.output.read_line(&mut line).unwrap() > 0,
            "a process of the bench has ended"
        );
        line.trim().to_owned()
    }

    fn cpu(&self) -> f64 {
        usage::cpu(self.child.id())
    }

    fn resident_kib(&self) -> f64 {
        usage::memory(self.child.id(), "VmRSS").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server under measurement, in a process of its own.
pub(crate) struct Server {
    process: Process,
    port: String,
}

/// The results of one measurement. CPU time is in seconds; `p50` and `p99` are delays in
/// milliseconds.
pub(crate) struct Measured {
    pub(crate) cpu: f64,
    pub(crate) seconds: f64,
    pub(crate) published: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) missing: u64,
    pub(crate) blocked: u64,
    pub(crate) growth_kib: f64,
}

impl Measured {
    pub(crate) fn cpu_per_million_frames(&self) -> f64 {
        self.cpu / self.frames as f64 * 1e6
    }
}

impl Server {
    fn new(mut process: Process) -> Self {
        let port = process.hear().replace("port ", "");
        Self { process, port }
    }

    pub(crate) fn hub() -> Self {
        Self::new(Process::again(&["serve-hub"]))
    }

    pub(crate) fn floor() -> Self {
        Self::new(Process::again(&["serve-floor"]))
    }

    pub(crate) fn plain(script: &Path) -> Self {
        let mut command = Command::new("node");
        command.arg(script);
        Self::new(Process::new(command))
    }

    pub(crate) fn resident_kib(&self) -> f64 {
        self.process.resident_kib()
    }

    /// Lets the server publish events to the load. Returns the results.
    pub(crate) fn measure(mut self, mut load: Load, work: Work) -> Measured {
        let published = work.seconds * 1_000_000 / work.period;
        let (before, start) = (self.process.cpu(), Instant::now());
        self.process.say(&format!(
            "start {} {} {published}",
            work.channels, work.period
        ));
        std::thread::sleep(Duration::from_secs(work.seconds.min(3)));
        let memory = self.process.resident_kib();
        let done = self.process.hear();
        let blocked = done.split_once("blocked=").map_or("0", |(_, count)| count);
        load.0.say(&format!("end {published}"));
        let line = load.0.hear();
        let cpu = self.process.cpu() - before;
        let words: Vec<&str> = line.split_whitespace().collect();
        Measured {
            cpu,
            seconds: start.elapsed().as_secs_f64(),
            published,
            frames: words[0].parse().unwrap(),
            events: words[1].parse().unwrap(),
            p50: words[2].parse().unwrap(),
            p99: words[3].parse().unwrap(),
            missing: words[4].parse().unwrap(),
            blocked: blocked.parse().unwrap(),
            growth_kib: self.process.resident_kib() - memory,
        }
    }
}

/// The process of the clients, which are connected and have their subscriptions.
pub(crate) struct Load(Process);

impl Load {
    pub(crate) fn new(server: &Server, work: Work) -> Self {
        let numbers =
            [work.clients, work.channels, work.ignoring_input].map(|number| number.to_string());
        let mut process =
            Process::again(&["load", &server.port, &numbers[0], &numbers[1], &numbers[2]]);
        assert_eq!(process.hear(), "ready");
        Self(process)
    }
}

/// Raises the limit of open files, because one process opens nine thousand sockets.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Installs the Node fan-out and returns the path of its script. `None` if Node or the package `ws`
/// is not available.
pub(crate) fn install_plain() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plain-fanout");
    std::fs::create_dir_all(&folder).unwrap();
    let script = folder.join("plain.mjs");
    std::fs::write(&script, include_str!("plain.mjs")).unwrap();
    if !folder.join("node_modules/ws").exists() {
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "ws@8",
        ]);
        let done = npm
            .current_dir(&folder)
            .stdout(Stdio::null())
            .status()
            .ok()?;
        done.success().then_some(())?;
    }
    let node = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .ok()?;
    node.success().then_some(script)
}
