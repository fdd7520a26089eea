//! The built program as a child process. A test reads its output line by line and measures the time
//! to its end.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "basics.rs"]
mod basics;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use basics::TIME_LIMIT;
pub use basics::directory;

/// Writes a configuration for a hub at this address and returns its path. The token of the proxy
/// double is in a separate file, the picture is `screen.png` in the same directory, and `panel`
/// contains the other lines of the panel section.
pub fn configured(name: &str, hub: &dyn std::fmt::Display, panel: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory(name);
    let token = directory.join("token");
    std::fs::write(&token, basics::PROXY_TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = directory.join("desk.toml");
    let (token, file) = (token.display(), directory.join("screen.png"));
    let text = format!(
        "[hub]\nurl = \"ws://{hub}\"\ntoken_file = \"{token}\"\n[panel]\nfile = {file:?}\n{panel}\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn command(arguments: &[&str]) -> Command {
    let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker"));
    command.args(arguments);
    command
}

/// A program of this project, without the variables of this machine that change its behaviour.
pub fn clean_command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in [
        "RUST_LOG",
        "JOURNAL_STREAM",
        "CREDENTIALS_DIRECTORY",
        "MASSIVE_PROXY_TOKEN",
        "MASSIVE_API_KEY",
        "DESKTICKER_FAULT_FILE",
        "DESKTICKER_PHONE_FILE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end. Returns the exit code, the standard output and the standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("ended by itself");
    (code, text(output.stdout), text(output.stderr))
}

/// A running program. The drop of this value kills the program.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// The output until now.
    received: String,
}

impl Program {
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        command.envs(environment.iter().copied());
        Self::spawn(&mut command)
    }

    pub fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        follow(child.stdout.take().unwrap(), sender.clone());
        follow(child.stderr.take().unwrap(), sender);
        Self {
            child,
            lines,
            received: String::new(),
        }
    }

    /// Waits for a line with this text, on standard output or standard error.
    #[track_caller]
    pub fn wait_for_line(&mut self, word: &str) -> String {
        let end = Instant::now() + TIME_LIMIT;
        loop {
            match self.next(end) {
                Ok(line) if line.contains(word) => return line,
                Ok(_) => {}
                Err(_) => panic!("it never says {word:?}, only:\n{}", self.received),
            }
        }
    }

    /// Waits until `end`, and fails if the output contains this text.
    #[track_caller]
    pub fn assert_silent_until(&mut self, end: Instant, word: &str) {
        while let Ok(line) = self.next(end) {
            assert!(!line.contains(word), "{}", self.received);
        }
    }

    fn next(&mut self, end: Instant) -> Result<String, RecvTimeoutError> {
        let rest = end.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(rest)?;
        self.received.push_str(&line);
        Ok(line)
    }

    /// The output until now. The output is complete after the end of the program.
    pub fn output(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.received.push_str(&line);
        }
        self.received.clone()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends the signal. Returns the exit code and the time to the end of the program.
    pub fn end(&mut self, signal: Signal) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal(signal);
        (self.wait(), start.elapsed())
    }

    /// Waits until the program closes its outputs, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + TIME_LIMIT;
        while self.next(end).is_ok() {}
        assert!(Instant::now() < end, "it does not end:\n{}", self.received);
        self.child.wait().unwrap().code()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command line, as each user of the machine can read it.
    pub fn command_line(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8(bytes).unwrap().replace('\0', " ")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program has usually ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends each piece of output to the test at once, split at line ends. A picture in a terminal has
/// no line end, so the thread does not wait for one. The program writes a log line in one piece.
fn follow(mut output: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(size @ 1..) = output.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..size]).into_owned();
            for line in text.split_inclusive('\n') {
                if lines.send(line.to_owned()).is_err() {
                    return;
                }
            }
        }
    });
}
