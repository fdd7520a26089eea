//! Buttons, knobs and remotes: the input devices of Linux (`/dev/input/eventN`). This module owns the
//! open devices and the meaning of their keys; it never decides what a button changes.
//!
//! An input device is a file of records with a fixed form (`struct input_event`; kernel documentation,
//! input/input), and its name is a file in `/sys`. Therefore no ioctl and no crate is needed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

/// The action of a button.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Button {
    /// Show the next page.
    Next,
    /// Show the previous page.
    Previous,
    /// Keep the current page, or let the pages change again.
    Pin,
    /// End the alert on the display.
    Acknowledge,
    /// Make the panel brighter.
    Brighter,
    /// Make the panel darker.
    Darker,
    /// Show the page of the connection.
    Link,
}

/// The name in the configuration for all buttons and knobs at the GPIOs of the board.
pub const GPIO: &str = "gpio";
/// The interval between two searches for new devices.
const SEARCH: Duration = Duration::from_secs(5);
/// The bus type of buttons and knobs at the GPIOs of the board: `BUS_HOST` (linux/input.h).
const BUS_HOST: &str = "0019";
/// The length of a record: two words with the time, then the type and the code in 16 bits each, and
/// the value in 32 bits.
const RECORD: usize = TIME + 8;
const TIME: usize = 2 * size_of::<usize>();
/// The types of records (linux/input-event-codes.h).
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;

/// Starts a thread that reads the devices with these names, and returns the pressed buttons. A name is
/// [`GPIO`], the name of a device in the system, or its path. A device may appear later. Nothing starts
/// without a name; the thread ends after the drop of the receiver.
pub fn watch(names: Vec<String>, root: &Path) -> mpsc::Receiver<Button> {
    let (sender, receiver) = mpsc::channel(8);
    let root = root.to_owned();
    if !names.is_empty() {
        let thread = thread::Builder::new().name("buttons".into());
        if let Err(error) = thread.spawn(move || run(&names, &root, &sender)) {
            log::warn!("buttons: cannot start their thread: {error}");
        }
    }
    receiver
}

/// An open input device.
struct Device {
    path: PathBuf,
    file: File,
}

fn run(names: &[String], root: &Path, sender: &mpsc::Sender<Button>) {
    let mut devices = Vec::new();
    // The devices that cannot be opened; each is logged once.
    let mut refused = Vec::new();
    if let Some(text) = missing(names, root) {
        log::warn!("buttons: {text}; the program uses a device as soon as it appears");
    }
    while !sender.is_closed() {
        for path in find(names, root) {
            let is_open = devices.iter().any(|device: &Device| device.path == path);
            match File::open(&path) {
                _ if is_open => {}
                Ok(file) => {
                    log::info!("buttons: {} is in use", path.display());
                    refused.retain(|other| *other != path);
                    devices.push(Device { path, file });
                }
                Err(error) if !refused.contains(&path) => {
                    log::warn!(
                        "buttons: {} cannot be opened: {error} (for a service, the group of this file \
                         must be gpio)",
                        path.display()
                    );
                    refused.push(path);
                }
                Err(_) => {}
            }
        }
        if devices.is_empty() {
            thread::sleep(SEARCH);
            continue;
        }
        let interest = |device| PollFd::new(device, PollFlags::IN);
        let mut ready: Vec<_> = devices
            .iter()
            .map(|device| interest(&device.file))
            .collect();
        let time = Timespec::try_from(SEARCH).ok();
        if poll(&mut ready, time.as_ref()).is_err() {
            continue;
        }
        let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        devices.retain_mut(|device| {
            let is_ready = ready.next().unwrap_or_default();
            let goes_on = !is_ready || read(&mut device.file, sender);
            if !goes_on {
                log::info!("buttons: {} is gone", device.path.display());
            }
            goes_on
        });
    }
}

/// Reads the records that wait. Returns false if the device is gone.
fn read(file: &mut File, sender: &mpsc::Sender<Button>) -> bool {
    let mut records = [0; 16 * RECORD];
    let Ok(length @ 1..) = file.read(&mut records) else {
        return false;
    };
    for record in records[..length].chunks_exact(RECORD) {
        if let Some(button) = button(record) {
            // A press during a hang of the program is dropped, so that it has no effect much later.
            sender.try_send(button).ok();
        }
    }
    true
}

/// Returns the button of a record; `None` if the record is not a press of a known key or a turn.
fn button(record: &[u8]) -> Option<Button> {
    let (kind, rest) = record.get(TIME..)?.split_first_chunk()?;
    let (code, rest) = rest.split_first_chunk()?;
    let value = i32::from_ne_bytes(rest.try_into().ok()?);
    match (u16::from_ne_bytes(*kind), value) {
        (EV_KEY, 1) => key(u16::from_ne_bytes(*code)),
        // A key that is held down repeats.
        (EV_KEY, 2) => key(u16::from_ne_bytes(*code))
            .filter(|button| matches!(button, Button::Brighter | Button::Darker)),
        (EV_REL, 1..) => Some(Button::Next),
        (EV_REL, ..=-1) => Some(Button::Previous),
        _ => None,
    }
}

/// Returns the button of a key (linux/input-event-codes.h).
fn key(code: u16) -> Option<Button> {
    Some(match code {
        // KEY_RIGHT, KEY_PAGEDOWN, KEY_NEXTSONG, KEY_NEXT
        106 | 109 | 163 | 407 => Button::Next,
        // KEY_LEFT, KEY_PAGEUP, KEY_PREVIOUSSONG, KEY_PREVIOUS
        105 | 104 | 165 | 412 => Button::Previous,
        // KEY_ENTER, KEY_PLAYPAUSE, KEY_OK, KEY_SELECT
        28 | 164 | 352 | 353 => Button::Pin,
        // KEY_ESC, KEY_SPACE, KEY_BACK
        1 | 57 | 158 => Button::Acknowledge,
        // KEY_UP, KEY_VOLUMEUP, KEY_BRIGHTNESSUP
        103 | 115 | 225 => Button::Brighter,
        // KEY_DOWN, KEY_VOLUMEDOWN, KEY_BRIGHTNESSDOWN
        108 | 114 | 224 => Button::Darker,
        // KEY_I, KEY_HOME, KEY_HOMEPAGE, KEY_INFO
        23 | 102 | 172 | 358 => Button::Link,
        _ => return None,
    })
}

/// An input device of the system.
struct Listed {
    /// The name of its file, such as `event3`.
    event: OsString,
    name: String,
    at_gpio: bool,
}

impl Listed {
    /// Returns true if a name of the configuration means this device.
    fn is(&self, wanted: &str) -> bool {
        match wanted {
            GPIO => self.at_gpio,
            wanted => {
                wanted == self.name
                    || Path::new(wanted) == Path::new("/dev/input").join(&self.event)
            }
        }
    }
}

fn devices(root: &Path) -> Vec<Listed> {
    let folder = root.join("sys/class/input");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let events = entries.map(|entry| entry.file_name());
    let events = events.filter(|event| event.as_encoded_bytes().starts_with(b"event"));
    let listed = events.map(|event| {
        let device = folder.join(&event).join("device");
        let text = |file: &str| fs::read_to_string(device.join(file)).unwrap_or_default();
        Listed {
            name: text("name").trim().to_owned(),
            at_gpio: text("id/bustype").trim() == BUS_HOST,
            event,
        }
    });
    listed.collect()
}

/// Returns the paths of the devices with these names.
fn find(names: &[String], root: &Path) -> Vec<PathBuf> {
    let devices = devices(root).into_iter();
    let meant = devices.filter(|device| names.iter().any(|name| device.is(name)));
    let paths = meant.map(|device| root.join("dev/input").join(device.event));
    paths.collect()
}

/// Returns a sentence about the names without a device, with the names that exist; `None` if there
/// is no such name. Most boards have no buttons at their GPIOs, so [`GPIO`] needs no device.
pub fn missing(names: &[String], root: &Path) -> Option<String> {
    let devices = devices(root);
    let quoted = |name: &String| format!("{name:?}");
    let absent = names.iter().filter(|name| {
        let exists = devices.iter().any(|device| device.is(name));
        name.as_str() != GPIO && !exists
    });
    let absent: Vec<String> = absent.map(quoted).collect();
    let known: Vec<String> = devices.iter().map(|device| quoted(&device.name)).collect();
    let known = match known.as_slice() {
        [] => "has no input device".to_owned(),
        known => format!("has {}", known.join(", ")),
    };
    let names = absent.join(" or ");
    let text = format!("there is no input device {names}; this machine {known}");
    Some(text).filter(|_| !absent.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use super::*;

    /// A record as the kernel writes it.
    fn record(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut record = vec![0xA5; TIME];
        record.extend(kind.to_ne_bytes());
        record.extend(code.to_ne_bytes());
        record.extend(value.to_ne_bytes());
        record
    }

    #[test]
    fn each_press_and_each_turn_is_one_button() {
        for ((kind, code, value), expected) in [
            ((EV_KEY, 106, 1), Some(Button::Next)),
            ((EV_KEY, 106, 0), None),
            ((EV_KEY, 106, 2), None),
            ((EV_KEY, 103, 1), Some(Button::Brighter)),
            ((EV_KEY, 103, 2), Some(Button::Brighter)),
            ((EV_KEY, 352, 1), Some(Button::Pin)),
            ((EV_KEY, 116, 1), None),
            ((EV_REL, 0, 1), Some(Button::Next)),
            ((EV_REL, 0, -1), Some(Button::Previous)),
            ((0, 0, 0), None),
        ] {
            let record = record(kind, code, value);
            assert_eq!(button(&record), expected, "{kind} {code} {value}");
        }
        assert_eq!(button(&[0; 3]), None);
    }

    /// A system with input devices that are pipes.
    struct System(PathBuf);

    impl System {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            let root = std::env::temp_dir().join(format!("deskticker-buttons-{name}-{id}"));
            fs::remove_dir_all(&root).ok();
            fs::create_dir_all(root.join("dev/input")).unwrap();
            Self(root)
        }

        fn add(&self, event: &str, name: &str, bus: &str) {
            let device = self.0.join("sys/class/input").join(event).join("device");
            fs::create_dir_all(device.join("id")).unwrap();
            fs::write(device.join("name"), format!("{name}\n")).unwrap();
            fs::write(device.join("id/bustype"), format!("{bus}\n")).unwrap();
            let pipe = self.0.join("dev/input").join(event);
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }

        fn press(&self, event: &str) -> File {
            // The open waits for the reader.
            let pipe = self.0.join("dev/input").join(event);
            File::options().write(true).open(pipe).unwrap()
        }
    }

    impl Drop for System {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn only_the_named_devices_are_found() {
        let system = System::new("found");
        system.add("event0", "button@5", "0019");
        system.add("event1", "AT Keyboard", "0011");
        system.add("event2", "AB Shutter3", "0005");
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut found = find(&names, &system.0);
            found.sort();
            let name = |path: PathBuf| path.file_name().unwrap().to_owned();
            found.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(found(&[GPIO]), ["event0"]);
        assert_eq!(found(&[GPIO, "AB Shutter3"]), ["event0", "event2"]);
        assert_eq!(found(&["/dev/input/event1"]), ["event1"]);
        assert!(found(&["keyboard"]).is_empty());
        let told = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            missing(&names, &system.0)
        };
        assert_eq!(told(&[GPIO, "AB Shutter3", "/dev/input/event1"]), None);
        let text = told(&["AB Shuter3"]).unwrap();
        assert!(
            text.starts_with("there is no input device \"AB Shuter3\"; "),
            "{text}"
        );
        assert!(text.contains("\"AB Shutter3\""), "{text}");
    }

    #[test]
    fn a_press_on_any_device_is_received_and_a_lost_device_ends_nothing() {
        let system = System::new("read");
        system.add("event0", "button@5", "0019");
        system.add("event1", "rotary@11", "0019");
        // The reader opens the first pipe and waits for its writer, and so on.
        let mut buttons = watch(vec![GPIO.to_owned()], &system.0);
        let [mut key, mut knob] = thread::scope(|scope| {
            ["event0", "event1"]
                .map(|event| scope.spawn(|| system.press(event)))
                .map(|writer| writer.join().unwrap())
        });
        let press = [record(EV_KEY, 106, 1), record(0, 0, 0)].concat();
        key.write_all(&press).unwrap();
        assert_eq!(buttons.blocking_recv(), Some(Button::Next));
        // An unplugged device has no entry any more. The open of a pipe without a writer would wait.
        fs::remove_dir_all(system.0.join("sys/class/input/event0")).unwrap();
        drop(key);
        knob.write_all(&record(EV_REL, 0, -1)).unwrap();
        assert_eq!(buttons.blocking_recv(), Some(Button::Previous));
    }
}
