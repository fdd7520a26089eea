//! The built program as a child process: what it says is read as it comes, and its end is timed.
#![allow(dead_code, unreachable_pub)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of one test's own, empty.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{name}"));
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A configuration for a hub at this address, with the double's token in a file, a picture in
/// `screen.png` beside it and these lines about the panel.
pub fn configured(name: &str, hub: &dyn std::fmt::Display, panel: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory(name);
    let token = directory.join("token");
    std::fs::write(&token, crate::proxy_server::TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = directory.join("desk.toml");
    let (token, file) = (token.display(), directory.join("screen.png"));
    let text = format!(
        "[hub]\nurl = \"ws://{hub}\"\ntoken_file = \"{token}\"\n[panel]\nfile = {file:?}\n{panel}\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

/// The program, without what this machine has in its environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskticker"));
    command.args(arguments);
    for name in [
        "RUST_LOG",
        "JOURNAL_STREAM",
        "CREDENTIALS_DIRECTORY",
        "MASSIVE_PROXY_TOKEN",
        "MASSIVE_API_KEY",
        "DESKTICKER_FAULT_FILE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end: exit code, standard output, standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("ended by itself");
    (code, text(output.stdout), text(output.stderr))
}

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    said: String,
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
            said: String::new(),
        }
    }

    /// Waits for a line, on whichever output, that holds this.
    #[track_caller]
    pub fn says(&mut self, word: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.next(end) {
                Ok(line) if line.contains(word) => return line,
                Ok(_) => {}
                Err(_) => panic!("it never says {word:?}, only:\n{}", self.said),
            }
        }
    }

    /// Waits, and fails if it says this meanwhile.
    #[track_caller]
    pub fn silent_until(&mut self, end: Instant, word: &str) {
        while let Ok(line) = self.next(end) {
            assert!(!line.contains(word), "{}", self.said);
        }
    }

    fn next(&mut self, end: Instant) -> Result<String, RecvTimeoutError> {
        let rest = end.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(rest)?;
        self.said.push_str(&line);
        Ok(line)
    }

    /// All that it has said; complete once it has ended.
    pub fn said(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.said.push_str(&line);
        }
        self.said.clone()
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends the signal; gives the exit code and how long the end took.
    pub fn end(&mut self, signal: Signal) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal(signal);
        (self.wait(), start.elapsed())
    }

    /// Waits for its end, which is when its outputs are closed.
    pub fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while self.next(end).is_ok() {}
        assert!(Instant::now() < end, "it does not end:\n{}", self.said);
        self.child.wait().unwrap().code()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As anybody can read it.
    pub fn command_line(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8(bytes).unwrap().replace('\0', " ")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has mostly ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Passes on what comes as it comes, line by line; a terminal's picture has no line's end to wait
/// for, and a line of the log is written in one piece.
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
