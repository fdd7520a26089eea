//! The lock of a panel: two programs must not write one panel. The lock is the name of an abstract
//! Unix socket, so the lock needs no folder and no permission, works across users, and ends with
//! its process. The kernel reports the process with the lock to a second program (SO_PEERCRED,
//! unix(7)).

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

use rustix::net::sockopt::socket_peercred;

use super::png::picture_file;
use super::{DisplayDevice, PanelLight, place};
use crate::render::Frame;
use crate::time::{Moment, Now};

/// The lock of a panel. The drop of this value releases the lock.
#[derive(Debug)]
pub struct PanelLock {
    _listener: UnixListener,
}

impl PanelLock {
    /// Locks a panel on a bus. A bus that does not exist is not locked.
    ///
    /// # Errors
    /// Another process has the lock; the message names the process.
    pub fn of_bus(bus: &Path, address: u8) -> io::Result<Option<Self>> {
        let Ok(data) = fs::metadata(bus) else {
            return Ok(None);
        };
        let (device, inode) = (data.rdev(), if data.rdev() == 0 { data.ino() } else { 0 });
        let name = format!("deskticker/i2c/{device:x}.{inode:x}/{address:02x}");
        let panel = format!("the panel {}", place(bus, address));
        Self::take(&name, &panel)
    }

    /// Locks a picture file. A file in a folder that does not exist is not locked.
    ///
    /// # Errors
    /// Another process has the lock; the message names the process.
    pub fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let target = picture_file::target(path);
        let folder = target.parent().filter(|folder| *folder != Path::new(""));
        let Ok(data) = fs::metadata(folder.unwrap_or(Path::new("."))) else {
            return Ok(None);
        };
        let file = target.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("deskticker/png/{:x}.{:x}/{file}", data.dev(), data.ino());
        Self::take(&name, &format!("the file {}", path.display()))
    }

    /// Locks the device of a big screen, also while the device does not exist.
    ///
    /// # Errors
    /// Another process has the lock; the message names the process.
    pub fn of_screen(device: &Path) -> io::Result<Option<Self>> {
        let shown = device.display().to_string();
        Self::take(
            &format!("deskticker/screen/{shown}"),
            &format!("the screen {shown}"),
        )
    }

    fn take(name: &str, panel: &str) -> io::Result<Option<Self>> {
        // The name of a socket has at most 107 bytes. A file name can be longer.
        let name: Vec<u8> = match name.len() {
            0..=100 => name.bytes().collect(),
            _ => {
                let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
                let short = data_encoding::HEXLOWER.encode(digest.as_ref());
                format!("deskticker/png/{short}").into_bytes()
            }
        };
        let address = SocketAddr::from_abstract_name(&name)?;
        let error = match UnixListener::bind_addr(&address) {
            Ok(listener) => {
                return Ok(Some(Self {
                    _listener: listener,
                }));
            }
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::AddrInUse {
            log::debug!(
                "cannot lock {panel}: {error}; a second program on this panel is not detected"
            );
            return Ok(None);
        }
        let holder = UnixStream::connect_addr(&address).and_then(|stream| {
            let credentials = socket_peercred(&stream)?;
            Ok(credentials.pid.as_raw_nonzero())
        });
        let holder = match holder {
            Ok(pid) => format!(" with the process id {pid}"),
            Err(_) => String::new(),
        };
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "another deskticker{holder} uses {panel}: stop that program, or configure another \
                 panel"
            ),
        ))
    }
}

/// A device with its lock. The lock ends with the device, and so with the panel thread.
pub(crate) struct Locked<G> {
    pub(crate) device: G,
    pub(crate) _lock: Option<PanelLock>,
}

impl<G: DisplayDevice> DisplayDevice for Locked<G> {
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment) {
        self.device.show(frame, light, now);
    }

    fn good_until(&mut self, until: Moment, now: Now) {
        self.device.good_until(until, now);
    }

    fn tick(&mut self, now: Moment) {
        self.device.tick(now);
    }

    fn deadline(&self) -> Moment {
        self.device.deadline()
    }

    fn leave_display(&mut self, now: Now) {
        self.device.leave_display(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_file_has_one_writer_and_a_second_one_learns_its_process() {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("deskticker-lock-{id}"));
        fs::create_dir_all(&folder).unwrap();
        let (path, link) = (folder.join("screen.png"), folder.join("link.png"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let lock = PanelLock::of_file(&path).unwrap().unwrap();
        for path in [
            &path,
            &link,
            &folder
                .join("../")
                .join(folder.file_name().unwrap())
                .join("screen.png"),
        ] {
            let error = PanelLock::of_file(path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("with the process id {id}")),
                "{error}"
            );
            assert!(error.contains("uses the file "), "{error}");
        }
        let long = folder.join("x".repeat(200));
        let _other = PanelLock::of_file(&long).unwrap().unwrap();
        PanelLock::of_file(&long).unwrap_err();
        drop(lock);
        assert!(PanelLock::of_file(&link).unwrap().is_some());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_lock_of_a_bus_belongs_to_one_address() {
        let bus = Path::new("/dev/null");
        let _first = PanelLock::of_bus(bus, 0x3c).unwrap().unwrap();
        let error = PanelLock::of_bus(bus, 0x3c).unwrap_err().to_string();
        assert!(
            error.contains("uses the panel 0x3c on /dev/null"),
            "{error}"
        );
        assert!(PanelLock::of_bus(bus, 0x3d).unwrap().is_some());
        assert!(
            PanelLock::of_bus(Path::new("/dev/i2c-no-such"), 0x3c)
                .unwrap()
                .is_none()
        );
    }
}
