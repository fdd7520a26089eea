//! The wiring of an OLED panel in the configuration: its bus, its address, and its GPIO lines.

use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::reader::Correction;
use super::{ConfigError, ConfigReader, ConfigTable, Mistake};
use crate::board::{Board, CONFIG_TXT};
use crate::display::{GpioLine, PanelSettings, is_spi};

/// Reads the bus in an option of the command line, in each form that the configuration accepts.
///
/// # Errors
/// The text is no path and no short name of a bus.
pub fn bus_path(text: &str) -> Result<PathBuf, String> {
    bus(text).map_err(|mistake| mistake.reason().to_owned())
}

/// Returns the conflict between the bus and the GPIO lines of a panel, if there is one, in the words
/// of the command line: each setting with the name of its option.
pub fn wiring_conflict(oled: &PanelSettings) -> Option<&'static str> {
    match (is_spi(&oled.bus), oled.dc) {
        (false, Some(_)) => Some(
            "--dc: only a panel on SPI has this pin; add --bus /dev/spidev0.0, or leave --dc out",
        ),
        (true, None) => {
            Some("--bus with an SPI bus needs --dc N, the GPIO at the pin DC of the panel")
        }
        (true, dc) if dc == oled.reset => {
            Some("--dc and --reset have the same GPIO; each of the two pins needs its own")
        }
        _ => None,
    }
}

impl ConfigReader<'_> {
    /// Reads the wiring from the table `[panel]`. A panel of another kind than `oled` has none.
    pub(super) fn wiring(
        &self,
        table: &mut ConfigTable<'_, '_>,
        oled: &mut PanelSettings,
        is_oled: bool,
        board: &Board,
    ) {
        let named = table.text("bus");
        let is_wrong = (named.as_ref()).is_some_and(|named| bus(named.get_ref()).is_err());
        self.set(&mut oled.bus, "bus", &named, bus);
        if let Some(named) = named.as_ref().filter(|_| is_other_file(&oled.bus)) {
            let (path, kind) = (
                oled.bus.display(),
                match is_spi(&oled.bus) {
                    true => "no SPI bus, like /dev/spidev0.0",
                    false => "no I2C bus, like /dev/i2c-1",
                },
            );
            self.warn(&named.span(), format!("bus: {path} is {kind}"));
        }
        let spi = named.filter(|_| is_spi(&oled.bus));
        let has_dc = table.has("dc");
        let [dc, reset] = ["dc", "reset"].map(|key| {
            let text = table.text(key)?;
            let line = self.read(key, &text, |text: &str| {
                let gpio = GpioLine::of_pin(text);
                text.parse::<GpioLine>().map_err(|reason| match gpio {
                    Some(gpio) => Mistake::with(reason, gpio.to_string()),
                    None => reason.into(),
                })
            })?;
            Some((line, text.span()))
        });
        (oled.dc, oled.reset) = (
            dc.as_ref().map(|(line, _)| *line),
            reset.as_ref().map(|(line, _)| *line),
        );
        if is_oled {
            match (&dc, &spi) {
                // A wrong bus can mean SPI.
                (Some((_, span)), None) if !is_wrong => {
                    let reason = "only a panel on SPI has this setting; remove this line, or write \
                                  bus = \"/dev/spidev0.0\"";
                    self.mistake("dc", span.clone(), reason);
                }
                (None, Some(named)) if !has_dc => {
                    let reason = "bus: a panel on SPI also needs the GPIO at its pin DC";
                    let correction = Correction::words("add a line, for example: dc = 24");
                    self.note(ConfigError {
                        correction: Some(correction),
                        ..self.error(Some(named.span()), reason)
                    });
                }
                _ => {}
            }
            self.lines(&dc, &reset, &oled.bus, board);
        }
        match table.text("address") {
            Some(address) if spi.is_some() => {
                let text = "address: a panel on SPI has no address, so this setting has no effect";
                self.warn(&address.span(), text);
            }
            Some(address) => self.address(&address, oled),
            None => {}
        }
    }

    /// Checks that each pin has a GPIO of its own.
    fn lines(
        &self,
        dc: &Option<(GpioLine, Range<usize>)>,
        reset: &Option<(GpioLine, Range<usize>)>,
        bus: &Path,
        board: &Board,
    ) {
        if let (Some((dc, _)), Some((reset, span))) = (dc, reset)
            && dc == reset
        {
            let reason =
                format!("{reset} is also the one of dc; each of the two pins needs its own");
            self.mistake("reset", span.clone(), reason);
        }
        let own = own_gpios(bus, board);
        for (key, pin) in [("dc", dc), ("reset", reset)] {
            if let Some((GpioLine { chip: 0, line }, span)) = pin
                && own.contains(line)
            {
                let text = format!(
                    "{key}: GPIO {line} belongs to the bus {}; connect the pin to another GPIO",
                    bus.display()
                );
                self.warn(span, text);
            }
        }
    }

    fn address(&self, address: &Spanned<String>, oled: &mut PanelSettings) {
        let read = self.read("address", address, panel_address);
        oled.address = read.unwrap_or(oled.address);
        if let Some(printed) = read.and_then(printed_address)
            && address.get_ref().to_ascii_lowercase().ends_with(&printed)
        {
            let read = oled.address;
            let text = format!(
                "address: 0x{printed}, as printed on the module, is {read:#04x} here; write: \
                 address = {read:#04x}"
            );
            self.warn(&address.span(), text);
        } else if let Some(read @ ..0x3c | read @ 0x3e..) = read {
            let text = format!("address: {read:#04x}, but these panels have 0x3c or 0x3d");
            self.warn(&address.span(), text);
        }
    }
}

/// Returns the GPIOs of the bus itself, on the header of a Raspberry Pi.
fn own_gpios(bus: &Path, board: &Board) -> RangeInclusive<u16> {
    let is_raspberry = board.boot_file == CONFIG_TXT;
    match bus.to_str() {
        Some("/dev/spidev0.0" | "/dev/spidev0.1") if is_raspberry => 7..=11,
        Some("/dev/i2c-1") if is_raspberry => 2..=3,
        _ => RangeInclusive::new(1, 0),
    }
}

/// Returns true if the path exists and is no bus: in Linux, I2C buses have the major number 89, and
/// SPI buses 153.
fn is_other_file(path: &Path) -> bool {
    let wanted = if is_spi(path) { 153 } else { 89 };
    let data = std::fs::metadata(path);
    data.is_ok_and(|data| rustix::fs::major(data.rdev()) != wanted)
}

/// Reads the path of a bus; `1`, `i2c-1` and `/dev/i2c-1` mean the same bus, and so do `spi0.0`,
/// `spidev0.0` and `/dev/spidev0.0`.
fn bus(text: &str) -> Result<PathBuf, Mistake> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let name = lower.trim_start_matches("/dev/");
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let select = name.strip_prefix("spi");
    let select = select.map(|rest| rest.trim_start_matches("dev"));
    if let Some(select) = select.filter(|select| digits(&select.replace('.', ""))) {
        let numbers = select.split_once('.').unwrap_or((select, ""));
        return match (numbers.0.parse::<u8>(), numbers.1.parse::<u8>()) {
            (Ok(bus), Ok(pin)) => Ok(PathBuf::from(format!("/dev/spidev{bus}.{pin}"))),
            (bus, _) => {
                let path = format!("\"/dev/spidev{}.0\"", bus.unwrap_or(0));
                let reason = format!(
                    "{text:?}, expected the path of an SPI bus with the number of its pin CE, like \
                     {path}"
                );
                Err(Mistake::with(reason, path))
            }
        };
    }
    let number = name.trim_start_matches("i2c").trim_start_matches('-');
    if !number.is_empty() && digits(number) {
        return Ok(PathBuf::from(format!("/dev/i2c-{number}")));
    }
    match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => {
            let expected = "expected the path of a bus, like \"/dev/i2c-1\" or \"/dev/spidev0.0\"";
            Err(format!("{text:?}, {expected}").into())
        }
    }
}

/// Returns the hexadecimal digits that many modules have printed on them for an address.
fn printed_address(address: u8) -> Option<String> {
    matches!(address, 0x3c | 0x3d).then(|| format!("{:x}", address << 1))
}

/// Reads the I2C address of a panel: `0x3c`, `3c`, `60`; also `0x78` and `0x7a`, which are printed
/// on many modules.
///
/// # Errors
/// The text is no address, or it can mean two addresses.
fn panel_address(text: &str) -> Result<u8, Mistake> {
    const EXPECTED: &str = "expected a 7-bit address, usually 0x3c or 0x3d";
    let lower = text.trim().to_ascii_lowercase();
    let reason = || format!("{text}, {EXPECTED}");
    let hex = |digits: &str| u8::from_str_radix(digits, 16).ok();
    let decimal = lower.bytes().all(|byte| byte.is_ascii_digit());
    let number = match lower.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None if decimal => lower.parse().ok(),
        None => hex(lower.trim_end_matches('h')),
    };
    match number {
        // Without 0x, this is most likely the number on the module.
        Some(78) if decimal => Err(Mistake::with(
            "78 is the decimal form of 0x4e; if the text on the module is 0x78, its address is 0x3c",
            "0x3c",
        )),
        Some(0x78) => Ok(0x3c),
        Some(0x7a) => Ok(0x3d),
        Some(0x79) => Err(Mistake::with(reason(), "0x3c")),
        Some(0x7b) => Err(Mistake::with(reason(), "0x3d")),
        Some(number @ 0x08..=0x77) => Ok(number),
        _ => Err(reason().into()),
    }
}
