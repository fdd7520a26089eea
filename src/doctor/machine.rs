//! Checks the board, its kernel, the I2C bus and the system clock. Reads files below a root
//! directory and never writes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::process::Gid;

use super::Finding;
use crate::board::{self, Board, NO_MODEL};
use crate::display::{BusFault, is_spi};
use crate::time::{Now, Utc};

/// The error of the system clock, in seconds, from which the displayed ages are wrong.
const OFF: u64 = 5;
/// The error of the system clock, in seconds, from which the displayed minute is wrong and the
/// calendar phase may be wrong.
const WRONG: u64 = 60;

/// Maps an absolute path of the machine to a path below the root directory.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

pub(super) fn board(root: &Path) -> (Finding, &'static Board) {
    // A machine without a device tree has no model name.
    let model = board::model(&board::MODEL.map(|file| below(root, Path::new(file))));
    let board = Board::for_model(model.as_deref().unwrap_or(NO_MODEL));
    let none = || "not a single-board computer: no device tree".to_owned();
    (Finding::ok("board", model.unwrap_or_else(none)), board)
}

pub(super) fn kernel_release(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).ok()?;
    Some(text.trim().to_owned())
}

pub(super) fn kernel(release: Option<&str>) -> Finding {
    let release = release.unwrap_or("of unknown release");
    let found = format!("Linux {release}, {}", std::env::consts::ARCH);
    Finding::ok("kernel", found)
}

/// The device files from `/dev/i2c-0` to `/dev/i2c-255` that exist.
pub(crate) fn buses(root: &Path) -> Vec<String> {
    let names = (0..256).map(|number| format!("/dev/i2c-{number}"));
    let exists = |name: &String| below(root, Path::new(name)).exists();
    names.filter(exists).collect()
}

/// The device files of the first SPI buses that exist.
fn spi_buses(root: &Path) -> Vec<String> {
    let names = (0..8).flat_map(|bus| (0..4).map(move |chip| format!("/dev/spidev{bus}.{chip}")));
    let exists = |name: &String| below(root, Path::new(name)).exists();
    names.filter(exists).collect()
}

pub(super) fn bus(root: &Path, bus: &Path, board: &Board) -> Finding {
    let shown = bus.display();
    if below(root, bus).exists() {
        return Finding::ok("bus", format!("{shown} exists"));
    }
    let spi = is_spi(bus);
    let (others, all) = match spi {
        true => (spi_buses(root), "/dev/spidev*"),
        false => (buses(root), "/dev/i2c-*"),
    };
    let found = match others.is_empty() {
        true => format!("there is no {shown}, and no other {all}"),
        false => format!("there is no {shown}, only {}", others.join(", ")),
    };
    let name = bus.file_name().unwrap_or_default();
    let remedy = if !spi && root.join("sys/bus/i2c/devices").join(name).exists() {
        // The kernel knows the bus, but the module that creates the device file is not loaded.
        "Load the kernel module that creates the file, now and at each start:\n  sudo modprobe \
         i2c-dev\n  echo i2c-dev | sudo tee /etc/modules-load.d/i2c.conf"
            .to_owned()
    } else {
        board.bus_remedy(spi)
    };
    Finding::failed("bus", found, remedy)
}

pub(super) fn permission(root: &Path, bus: &Path) -> Finding {
    let path = below(root, bus);
    let opened = fs::File::options().read(true).write(true).open(&path);
    let device = fs::metadata(&path).map_or((0, 0), |data| (data.gid(), data.mode()));
    let groups = fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    let mut mine = rustix::process::getgroups().unwrap_or_default();
    mine.push(rustix::process::getegid());
    let mine: Vec<u32> = mine.into_iter().map(Gid::as_raw).collect();
    let user = std::env::var("USER").unwrap_or_default();
    let fault = opened.map(drop).map_err(|error| BusFault::from_io(&error));
    judge_permission(bus, fault, device, &groups, &mine, &user)
}

/// Judges the result of an attempt to open the bus. `device` contains the group id and the mode of
/// the bus, `groups` the text of `/etc/group`, and `mine` the group ids of this process.
fn judge_permission(
    bus: &Path,
    opened: Result<(), BusFault>,
    (gid, mode): (u32, u32),
    groups: &str,
    mine: &[u32],
    user: &str,
) -> Finding {
    let shown = bus.display();
    match opened {
        Ok(()) => return Finding::ok("permission", format!("{shown} can be opened")),
        Err(BusFault::Denied) => {}
        Err(fault) => {
            let advice = fault.advice(bus, 0);
            return Finding::failed("permission", format!("{shown} cannot be opened"), advice);
        }
    }
    let found = format!("this user has no permission to open {shown}");
    let group = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let members = fields.next()?;
        (gid != 0 && number.parse() == Ok(gid)).then_some((name, members))
    });
    let remedy = match group {
        Some((name, members)) if mode & 0o060 == 0o060 => {
            let member = !user.is_empty() && members.split(',').any(|member| member == user);
            if member && !mine.contains(&gid) {
                format!("Your user joined the group {name} after this login: log in again.")
            } else {
                format!(
                    "Add your user to the group of the bus, then log in again:\n  sudo usermod -aG \
                     {name} $USER"
                )
            }
        }
        _ => {
            let (group, subsystem) = match is_spi(bus) {
                true => ("spi", "spidev"),
                false => ("i2c", "i2c-dev"),
            };
            format!(
                "Create a group for the bus, and add your user to the group; then log in again:\n  \
                 sudo groupadd -f {group} && sudo usermod -aG {group} $USER\n  echo \
                 'SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\"' |\n    sudo tee \
                 /etc/udev/rules.d/60-{group}.rules\n  sudo udevadm control --reload && sudo udevadm \
                 trigger"
            )
        }
    };
    Finding::failed("permission", found, remedy)
}

pub(super) fn speed(root: &Path, bus: &Path, board: &Board, debian: bool) -> Finding {
    let device = root.join("sys/bus/i2c/devices");
    let device = device.join(bus.file_name().unwrap_or_default());
    let file = device.join("of_node/clock-frequency");
    // A cell of the device tree is a big-endian 32-bit integer.
    let cell = fs::read(file).ok().and_then(|bytes| bytes.try_into().ok());
    let Some(hertz) = cell.map(u32::from_be_bytes) else {
        return Finding::ok("speed", "the kernel does not report the speed of the bus");
    };
    let found = format!("{} kHz", hertz / 1000);
    if hertz >= board.wanted_speed {
        return Finding::ok("speed", found);
    }
    let millis = 9_400_000 / hertz.max(1);
    let found = format!("{found}: a whole picture takes {millis} ms");
    let remedy = if debian || board.i2c.is_empty() {
        // An experiment showed that Debian's kernel ignores dtparam. Debian needs an overlay with
        // the property.
        "At 400 kHz a whole picture takes 24 ms. Debian's own kernel needs a device tree overlay \
         for 400 kHz, with clock-frequency = <400000> in the node of the bus; Raspberry Pi OS \
         needs only a line in config.txt."
            .to_owned()
    } else {
        let (file, lines) = (board.boot_file, board.i2c.join("\n  "));
        format!("At 400 kHz a whole picture takes 24 ms. Add to {file}, and reboot:\n  {lines}")
    };
    Finding::warning("speed", found, remedy)
}

/// Compares the system clock with `theirs`, the time of the server's clock, which has a resolution
/// of one second.
pub(super) fn clock(root: &Path, now: Now, theirs: Option<Utc>) -> Finding {
    const WAIT: &str = "A Pi has no battery for its clock. Let the network set the clock, with the \
                        time service of this machine (systemd-timesyncd, chrony, ntpd):\n  \
                        timedatectl\n  sudo timedatectl set-ntp true\nUntil then, the ticker uses \
                        the server's clock and the timestamps of the values.";
    let Some(utc) = now.utc else {
        return Finding::failed("clock", "the clock is not set", WAIT);
    };
    let by = match root.join("run/systemd/timesync/synchronized").exists() {
        true => "set by the network (NTP)",
        false => "set, but not by systemd-timesyncd",
    };
    let Some(theirs) = theirs else {
        return Finding::ok("clock", by);
    };
    let off = utc.millis_since(theirs);
    let seconds = off.unsigned_abs() / 1000;
    if seconds < OFF {
        let found = format!("{by}; the server's clock shows the same time");
        return Finding::ok("clock", found);
    }
    let side = if off > 0 { "ahead of" } else { "behind" };
    let found = format!("{seconds} s {side} the server's clock ({by})");
    match seconds < WRONG {
        true => Finding::warning("clock", found, WAIT),
        false => Finding::failed("clock", found, WAIT),
    }
}

/// The system's text for a network error, without the error number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
#[path = "tests/machine.rs"]
mod tests;
