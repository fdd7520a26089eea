//! The keys that a person presses in the terminal of a demo. This module owns the mode of the
//! terminal's input, and restores the mode at the end of the program.

use std::io::{IsTerminal, Read, stdin};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::sync::mpsc;

/// The mode before the program has changed it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Returns the pressed keys, without a wait for the Enter key and without an echo. Returns `None`
/// if standard input is not the terminal of this process.
pub fn keys() -> Option<mpsc::Receiver<char>> {
    // A background process that reads the terminal or changes its mode would be stopped by the
    // system.
    let foreground = tcgetpgrp(stdin()).ok()? == rustix::process::getpgrp();
    if !stdin().is_terminal() || !foreground {
        return None;
    }
    let before = tcgetattr(stdin()).ok()?;
    let mut direct = before.clone();
    direct.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    tcsetattr(stdin(), OptionalActions::Now, &direct).ok()?;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    let (sender, keys) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = stdin().read(&mut byte) {
            // If the queue is full, the key is dropped.
            if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(byte[0].into()) {
                return;
            }
        }
    });
    Some(keys)
}

/// Restores the mode of the terminal's input.
pub fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // An error is ignored, because the program is about to end.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}
