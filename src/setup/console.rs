//! The questions of a set-up at the terminal of the user, and its output. This module owns the
//! modes of the terminal while it reads a line, and knows no setting.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// The character of Ctrl-C.
const CTRL_C: u8 = 3;

/// A question, and its answer without a terminal.
pub(super) struct Question<'a> {
    text: &'a str,
    /// The answer if the user presses only Enter, or if there is no terminal.
    default: &'a str,
    /// True for a secret, which the terminal must not show.
    hidden: bool,
    /// The option that gives the same answer, for the errors without a terminal.
    option: &'a str,
}

impl<'a> Question<'a> {
    pub(super) const fn new(text: &'a str, default: &'a str, option: &'a str) -> Self {
        let hidden = false;
        Self {
            text,
            default,
            hidden,
            option,
        }
    }

    /// A question for a secret.
    pub(super) const fn hidden(text: &'a str, option: &'a str) -> Self {
        let (default, hidden) = ("", true);
        Self {
            text,
            default,
            hidden,
            option,
        }
    }
}

/// The terminal of the user.
pub(super) struct Console {
    /// The terminal; `None` if no user can answer a question.
    terminal: Option<File>,
}

impl Console {
    /// Opens the terminal of this process, even if the standard input is a pipe. Without a
    /// terminal, or without `ask`, each question has its default answer.
    pub(super) fn open(ask: bool) -> Self {
        let terminal = || {
            let file = File::options().read(true).write(true).open("/dev/tty");
            file.ok()
        };
        Self {
            terminal: ask.then(terminal).flatten(),
        }
    }

    /// Returns true if a user can answer a question.
    pub(super) fn asks(&self) -> bool {
        self.terminal.is_some()
    }

    /// Prints a line on standard output.
    pub(super) fn say(&self, text: &str) {
        // An error is ignored: if nobody reads the output, the exit code still reports the result.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Asks a question once.
    ///
    /// # Errors
    /// The user has pressed Ctrl-C or Ctrl-D, or the terminal is gone.
    pub(super) fn ask(&self, question: &Question<'_>) -> Result<String, String> {
        let Some(terminal) = &self.terminal else {
            return Ok(question.default.to_owned());
        };
        let default = match question.default {
            "" => String::new(),
            default => format!(" [{default}]"),
        };
        let prompt = format!("{}{default}: ", question.text);
        let answer = read_line(terminal, &prompt, question.hidden);
        let answer = answer.map_err(|error| format!("the terminal cannot be read: {error}"))?;
        let answer = answer.ok_or("stopped before the end")?;
        let answer = answer.trim();
        Ok(match answer.is_empty() {
            true => question.default.to_owned(),
            false => answer.to_owned(),
        })
    }

    /// Asks for a permission. Without a terminal, the options of the command are the permission.
    ///
    /// # Errors
    /// See [`Console::ask`].
    pub(super) fn agrees(&self, text: &str) -> Result<bool, String> {
        let answer = self.ask(&Question::new(text, "yes", ""))?;
        Ok(answer.to_ascii_lowercase().starts_with('y'))
    }

    /// Asks a question until the answer is right; `given` is an answer from the options.
    ///
    /// # Errors
    /// The answer is wrong and no user can correct it; also see [`Console::ask`].
    pub(super) async fn until<T>(
        &self,
        question: Question<'_>,
        mut given: Option<String>,
        mut check: impl AsyncFnMut(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        loop {
            let option = given.is_some();
            let answer = match given.take() {
                Some(given) => given,
                None => self.ask(&question)?,
            };
            match check(&answer).await {
                Ok(value) => return Ok(value),
                Err(reason) if self.asks() => self.say(&format!("  {reason}")),
                Err(reason) if option => return Err(format!("{}: {reason}", question.option)),
                Err(reason) => {
                    let option = question.option;
                    return Err(format!("{reason}; the option of this setting is {option}"));
                }
            }
        }
    }
}

/// Writes the prompt and reads a line. Returns `None` after Ctrl-C and Ctrl-D.
fn read_line(mut terminal: &File, prompt: &str, hidden: bool) -> io::Result<Option<String>> {
    let before = tcgetattr(terminal)?;
    let mut during: Termios = before.clone();
    // Ctrl-C ends the line and not the process: the process must restore the terminal and restart a
    // service first.
    during.local_modes.remove(LocalModes::ISIG);
    during.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    if hidden {
        during.local_modes.remove(LocalModes::ECHO);
    }
    // The modes come first: after the prompt, the user may already type a secret.
    tcsetattr(terminal, OptionalActions::Now, &during)?;
    terminal.write_all(prompt.as_bytes())?;
    let (mut line, mut buffer) = (Vec::new(), [0; 512]);
    let read = loop {
        match terminal.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(size) => line.extend(&buffer[..size]),
            Err(error) => break Err(error),
        }
        if matches!(line.last(), Some(&(b'\n' | CTRL_C))) {
            break Ok(());
        }
    };
    tcsetattr(terminal, OptionalActions::Now, &before)?;
    read?;
    let ended = line.last() == Some(&b'\n');
    if hidden || !ended {
        terminal.write_all(b"\n")?;
    }
    Ok(ended.then(|| String::from_utf8_lossy(&line).into_owned()))
}
