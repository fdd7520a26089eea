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
    /// The server from which a whole hub gets its events.
    above: Option<Box<Server>>,
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
        Self {
            process,
            port,
            above: None,
        }
    }

    /// Starts a whole hub below a vendor, or below another hub if `hubs` is 2.
    pub(crate) fn tree(hubs: usize) -> Self {
        let mut server = Self::new(Process::again(&["serve-vendor"]));
        for above in ["vendor", "hub"].into_iter().take(hubs) {
            let hub = Process::again(&["serve-whole-hub", above, &server.port]);
            server = Self {
                above: Some(Box::new(server)),
                ..Self::new(hub)
            };
        }
        server
    }

    /// The process that publishes the events.
    fn publisher(&mut self) -> &mut Process {
        match &mut self.above {
            Some(above) => above.publisher(),
            None => &mut self.process,
        }
    }

    pub(crate) fn hub() -> Self {
        Self::new(Process::again(&["serve-hub"]))
    }

    pub(crate) fn floor() -> Self {
        Self::new(Process::again(&["serve-floor"]))
    }

    /// Starts the fan-out in Node.
    pub(crate) fn node(others: &Others) -> Option<Self> {
        others.start(&others.node, "plain.mjs")
    }

    /// Starts the fan-out with uWebSockets.
    pub(crate) fn uwebsockets(others: &Others) -> Option<Self> {
        others.start(&others.python, "uwebsockets.py")
    }

    pub(crate) fn resident_kib(&self) -> f64 {
        self.process.resident_kib()
    }

    /// Lets the server publish events to the load. Returns the results.
    pub(crate) fn measure(mut self, mut load: Load, work: Work) -> Measured {
        let published = work.seconds * 1_000_000 / work.period;
        let (before, start) = (self.process.cpu(), Instant::now());
        let start_line = format!("start {} {} {published}", work.channels, work.period);
        self.publisher().say(&start_line);
        std::thread::sleep(Duration::from_secs(work.seconds.min(3)));
        let memory = self.process.resident_kib();
        let done = self.publisher().hear();
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

/// The programs that start the servers of others. `None` for a server that cannot be installed here.
pub(crate) struct Others {
    node: Option<PathBuf>,
    /// The Python that has the package with uWebSockets.
    python: Option<PathBuf>,
    folder: PathBuf,
}

impl Others {
    /// Installs the packages in a folder of the build. The scripts of the servers are written there.
    pub(crate) fn install() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fanout");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("plain.mjs"), include_str!("plain.mjs")).unwrap();
        let script = include_str!("uwebsockets.py");
        std::fs::write(folder.join("uwebsockets.py"), script).unwrap();
        let run = |command: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-e", "-c", command]).current_dir(&folder);
            let done = shell.stdout(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let npm = "[ -e node_modules/ws ] || npm install --no-audit --no-fund --loglevel=error ws@8; node --version";
        // The package needs the library libuv, which its wheel does not contain.
        let pip = "[ -e venv ] || python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check socketify==0.0.31; venv/bin/python -c 'import socketify'";
        let node = run(npm).then(|| PathBuf::from("node"));
        if node.is_none() {
            println!("node or npm is missing: the server of Node is skipped");
        }
        let python = run(pip).then(|| folder.join("venv/bin/python"));
        if python.is_none() {
            println!("uWebSockets needs Debian's python3-venv and libuv1: it is skipped");
        }
        Self {
            node,
            python,
            folder,
        }
    }

    fn start(&self, program: &Option<PathBuf>, script: &str) -> Option<Server> {
        let mut command = Command::new(program.as_ref()?);
        command.arg(self.folder.join(script));
        Some(Server::new(Process::new(command)))
    }
}
