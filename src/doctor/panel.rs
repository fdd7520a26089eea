//! Checks if the panel answers on the I2C bus. The probes change nothing: the configured address
//! receives a command without effect, and any other address receives no data byte.

use std::path::Path;

use embedded_hal::i2c::I2c;
use rustix::io::Errno;

use super::Finding;
use super::machine::below;
use crate::board::Board;
use crate::display::{
    Bus, BusFault, Chip, GpioLine, LinuxBus, PanelSettings, PanelState, place, user_of_line,
};

/// The usual I2C addresses of a panel.
pub(crate) const USUAL: [u8; 2] = [0x3c, 0x3d];
/// A command message with the command NOP (SSD1306 data sheet, table 9-1). NOP changes neither the
/// picture nor the address window of a running ticker.
const NOP: [u8; 2] = [0x00, 0xe3];

/// Returns the advice for a panel that does not answer.
pub(crate) fn wiring(board: &Board) -> String {
    format!(
        "Check the wires: {}. Many panels have a solder bridge on the back that changes the address \
         from 0x3c to 0x3d. A RES pin must be connected too: to a GPIO, with its number as `reset` in \
         [panel], or to 3V3.",
        board.pins
    )
}

/// The advice for a panel that may need a reset line.
const RESET_PIN: &str = "an SSD1309 usually needs its RES pin: connect it to a GPIO, and set its \
                         number as `reset` in [panel]";

/// The file with the panel state of a running ticker. systemd removes the file when the service
/// ends.
const STATE: &str = "run/deskticker/state";

/// The message that a probe sends to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusProbe {
    /// Sends a command without effect. Only the configured panel address receives this probe.
    Nop,
    /// Sends the address without data. This probe is safe for an unknown device.
    Empty,
}

/// A function that tests if a device answers at an address of an I2C bus. The result is a
/// [`BusFault`] if no device answers or the bus does not work.
pub type ProbeFn<'a> = dyn FnMut(&Path, u8, BusProbe) -> Result<(), BusFault> + 'a;

/// Tests if a device answers at an address of a Linux I2C bus.
///
/// # Errors
/// Returns a [`BusFault`] if no device answers or the bus does not work.
pub fn touch(bus: &Path, address: u8, touch: BusProbe) -> Result<(), BusFault> {
    let path = bus.to_owned();
    let mut bus = LinuxBus {
        path,
        address,
        dc: None,
        // The panel of a running ticker must not be reset.
        reset: None,
    };
    let mut i2c = bus.open()?;
    match touch {
        BusProbe::Nop => i2c.write(address, &NOP),
        BusProbe::Empty => match i2c.write(address, &[]) {
            // The I2C controller of the Raspberry Pi 5 cannot send an empty message. A read of one
            // byte works with any device.
            Err(BusFault::Errno(errno)) if errno == Errno::OPNOTSUPP.raw_os_error() => {
                i2c.read(address, &mut [0])
            }
            outcome => outcome,
        },
    }
}

/// Returns a failed finding if a running ticker reports a stuck write to its panel. In this state,
/// the panel check cannot use the panel either.
pub(super) fn stuck(root: &Path) -> Option<Finding> {
    let Some(PanelState::Stuck(since)) = PanelState::read(&root.join(STATE)) else {
        return None;
    };
    let since = since.map_or(String::new(), |since| format!(" since {since}"));
    Some(Finding::failed(
        "panel",
        format!(
            "deskticker is stuck in a write to its panel{since}; the values on the panel are not \
             live"
        ),
        "Check the connection of the panel: the wires of the bus, or the disk or network drive of \
         the picture file. If the write does not end, restart the service:\n  sudo systemctl \
         restart deskticker",
    ))
}

/// Checks the GPIO line at a pin of the panel. The line keeps its level. `pin` is the name of the
/// setting and of the check.
pub(super) fn line(root: &Path, pin: &'static str, line: GpioLine) -> Finding {
    let fault = match user_of_line(line, &below(root, &line.path())) {
        Ok(None) => return Finding::ok(pin, format!("{line} is free")),
        Ok(Some(user)) if user == GpioLine::USER => {
            return Finding::ok(pin, format!("a running deskticker uses {line}"));
        }
        Ok(Some(user)) => {
            let user = match user.as_str() {
                "" => "another program or a driver",
                user => user,
            };
            let remedy = format!(
                "Stop this program, or remove the dtoverlay of this driver from config.txt; or use \
                 another GPIO:\n  [panel]\n  {pin} = N"
            );
            return Finding::failed(pin, format!("{user} uses {line}"), remedy);
        }
        Err(fault) => fault,
    };
    let advice = fault.advice(Path::new(""), 0);
    let (found, remedy) = advice
        .split_once(": ")
        .unwrap_or((&advice, "`gpioinfo` lists the lines."));
    Finding::failed(pin, found, remedy)
}

pub(super) fn look(oled: &PanelSettings, board: &Board, touch: &mut ProbeFn<'_>) -> Finding {
    let (bus, address) = (oled.bus.as_path(), oled.address);
    let needs_reset = oled.chip == Chip::Ssd1309 && oled.reset.is_none();
    let fault = match touch(bus, address, BusProbe::Nop) {
        Ok(()) => {
            let mut found = format!("{address:#04x} answers on {}", bus.display());
            if needs_reset {
                found += &format!("; if the panel stays dark: {RESET_PIN}");
            }
            return Finding::ok("panel", found);
        }
        Err(fault) => fault,
    };
    let wiring = wiring(board);
    if fault != BusFault::NoAnswer {
        let advice = fault.advice(bus, address);
        // The advice has the form "problem: remedy", unless the whole advice describes the problem.
        let (found, remedy) = match (fault, advice.split_once(": ")) {
            (BusFault::Errno(_), _) | (_, None) => (advice.as_str(), wiring.as_str()),
            (_, Some(halves)) => halves,
        };
        return Finding::failed("panel", found, remedy);
    }
    let found = format!("nothing answers at {}", place(bus, address));
    let mut others = USUAL.into_iter().filter(|other| *other != address);
    let other = others.find(|other| touch(bus, *other, BusProbe::Empty).is_ok());
    match other {
        Some(other) => Finding::failed(
            "panel",
            format!("{found}, but {other:#04x} does"),
            format!("Set this address in the configuration:\n  [panel]\n  address = {other:#04x}"),
        ),
        None if needs_reset => {
            Finding::failed("panel", found, format!("{wiring}\nAnd {RESET_PIN}."))
        }
        None => Finding::failed("panel", found, wiring),
    }
}
