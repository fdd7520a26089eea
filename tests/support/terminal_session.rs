//! A program of this project with a terminal of its own (a pseudo terminal), and the answers of a
//! person at this terminal.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

const LIMIT: Duration = Duration::from_secs(40);

pub struct Session {
    child: Child,
    terminal: File,
    /// The other side stays open, so that the terminal lives as long as this value.
    _slave: File,
    pieces: Receiver<Vec<u8>>,
    /// All output, with the echo of the answers.
    pub output: String,
    /// The part of the output that the test has already seen.
    seen: usize,
}

impl Session {
    /// Starts a command in a session of its own, whose terminal is a new pseudo terminal. A command
    /// with `piped` has this text as its standard input.
    pub fn start(command: &Command, piped: Option<&str>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let mut session = Command::new("setsid");
        session.args(["--wait", "--ctty"]);
        if let Some(text) = piped {
            // The shell has the terminal, and the program has a pipe.
            session.args(["sh", "-c", "printf '%s\\n' \"$0\" | \"$@\"", text]);
        }
        session.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = session
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn();
        let terminal = File::from(master);
        let mut reader = terminal.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(size @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..size].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child: child.unwrap(),
            terminal,
            _slave: slave,
            pieces,
            output: String::new(),
            seen: 0,
        }
    }

    /// Waits for this text behind the text of the last wait. Returns the output between the two.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.output[self.seen..].find(text) {
                let between = self.output[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return between;
            }
            let rest = end.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(rest) {
                Ok(piece) => self.output.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("it never says {text:?}, only:\n{}", self.output),
            }
        }
    }

    pub fn answer(&mut self, line: &str) {
        self.terminal
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    pub fn press(&mut self, key: u8) {
        self.terminal.write_all(&[key]).unwrap();
    }

    /// Returns true if the terminal shows the text that a person types, and Ctrl-C is a signal.
    pub fn is_usual(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end of the program, and returns its exit code.
    #[track_caller]
    pub fn end(&mut self) -> i32 {
        let end = Instant::now() + LIMIT;
        loop {
            while let Ok(piece) = self.pieces.recv_timeout(Duration::from_millis(20)) {
                self.output.push_str(&String::from_utf8_lossy(&piece));
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.output);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The program has usually ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
