//! The supported boards: for each board, the I2C bus of the panel, its clock rate, and the
//! configuration that enables the bus. This module also detects the board of this machine. All
//! facts about a board are in its file in `boards/`, never in this module.

use std::fmt;
use std::path::Path;

/// The files in which the kernel reports the model of the machine. The first path is the documented
/// one. The second path has the same content and stays readable in a service that has only
/// processes in /proc (systemd's `ProcSubset=pid`).
pub const MODEL: [&str; 2] = [
    "/proc/device-tree/model",
    "/sys/firmware/devicetree/base/model",
];

/// The file with the settings of a Raspberry Pi for its next start.
pub const CONFIG_TXT: &str = "/boot/firmware/config.txt";

/// A board, as its file in `boards/` describes it.
#[derive(PartialEq, Eq, Debug)]
pub struct Board {
    /// The name of the board: the name of its file without the extension.
    pub name: &'static str,
    /// The prefix of the machine's model string. An empty prefix matches every machine.
    pub model: &'static str,
    /// The usual I2C bus for a panel, such as `/dev/i2c-1`.
    pub bus: &'static str,
    /// The pins of this bus and of the supply, in words.
    pub pins: &'static str,
    /// The default clock rate of the I2C bus, in Hz.
    pub speed: u32,
    /// The recommended clock rate of the I2C bus, in Hz.
    pub wanted_speed: u32,
    /// The file with the settings of the board for its next start, such as [`CONFIG_TXT`].
    pub boot_file: &'static str,
    /// The lines of this file that enable the I2C bus at the recommended clock rate.
    pub i2c: &'static [&'static str],
    /// The lines of this file that enable the SPI bus on the header.
    pub spi: &'static [&'static str],
    /// Examples of lines of this file for two buttons and a knob at GPIOs.
    pub buttons: &'static [&'static str],
    /// The Rust target triple to build for.
    pub target: &'static str,
}

/// The boards of all files in `boards/`, sorted by name. The build script generates the list.
static ALL: &[Board] = &include!(concat!(env!("OUT_DIR"), "/boards.rs"));

impl Board {
    /// All supported boards, sorted by name.
    pub fn all() -> &'static [Board] {
        ALL
    }

    /// Returns the board for a model string, such as `Raspberry Pi 4 Model B Rev 1.4`. If several
    /// boards match, the board with the longest prefix wins.
    pub fn for_model(model: &str) -> &'static Board {
        let fits = |board: &&Board| model.starts_with(board.model);
        let known = ALL.iter().filter(fits);
        // The fallback is never used: `linux.toml` has an empty prefix, so it matches every model.
        // A test checks that this file exists.
        known
            .max_by_key(|board| board.model.len())
            .unwrap_or(&ALL[0])
    }

    /// Returns how to enable a bus of this board that does not exist: SPI, or else I2C. Further lines
    /// have settings and commands.
    pub fn bus_remedy(&self, spi: bool) -> String {
        let (lines, parameter, example) = match spi {
            true => (self.spi, "do_spi", "/dev/spidev0.0"),
            false => (self.i2c, "do_i2c", "/dev/i2c-N"),
        };
        if !lines.is_empty() {
            let raspberry = match self.boot_file == CONFIG_TXT {
                true => {
                    format!("\nor, on Raspberry Pi OS:\n  sudo raspi-config nonint {parameter} 0")
                }
                false => String::new(),
            };
            let (file, lines) = (self.boot_file, lines.join("\n  "));
            return format!("Add to {file}, and reboot:\n  {lines}{raspberry}");
        }
        let enable = match self.model == NO_MODEL && !spi {
            true => {
                "Connect a bridge from USB to I2C that has a driver in the kernel (MCP2221, CP2112, \
                 i2c-tiny-usb). The package's udev rule names its bus /dev/i2c-usb; or set"
            }
            false => "Enable the bus of the board, or set",
        };
        format!("{enable} another bus in the configuration:\n  [panel]\n  bus = \"{example}\"")
    }

    /// Returns the board that this program runs on, from the first of these files that is readable
    /// (see [`MODEL`]). If no file is readable, the result is the board `pc`.
    pub fn for_machine<P: AsRef<Path>>(files: &[P]) -> &'static Board {
        Self::for_model(&model(files).unwrap_or(NO_MODEL.to_owned()))
    }
}

/// The model of a machine without a device tree, such as a PC.
pub const NO_MODEL: &str = "no device tree";

/// Returns the model name that the firmware reports, from the first of these files that is
/// readable. Returns `None` if no file is readable.
pub fn model<P: AsRef<Path>>(files: &[P]) -> Option<String> {
    let model = files.iter().find_map(|file| std::fs::read(file).ok())?;
    let model = String::from_utf8_lossy(&model);
    Some(model.trim_end_matches(['\0', '\n']).to_owned())
}

impl Default for &Board {
    /// The generic Linux board.
    fn default() -> Self {
        Board::for_model("")
    }
}

/// Writes the properties of the board, one per line.
impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match self.model {
            "" => "any other",
            model => model,
        };
        let [speed, wanted] = [self.speed, self.wanted_speed].map(|hertz| hertz / 1000);
        writeln!(f, "  model   {model}")?;
        writeln!(f, "  bus     {}, {speed} kHz", self.bus)?;
        writeln!(f, "  pins    {}", self.pins)?;
        writeln!(f, "  target  {}", self.target)?;
        let all = [
            (format!("I2C at {wanted} kHz"), self.i2c),
            ("SPI".to_owned(), self.spi),
            ("two buttons and a knob".to_owned(), self.buttons),
        ];
        for (what, lines) in all.iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, "  for {what} in {}:", self.boot_file)?;
            for line in *lines {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// Returns a text that lists all boards with their properties. The entry of `machine` is marked.
pub fn list(machine: &Board) -> String {
    let entry = |board: &Board| {
        let mark = if board == machine {
            " (this machine)"
        } else {
            ""
        };
        format!("{}{mark}\n{board}", board.name)
    };
    ALL.iter().map(entry).collect::<Vec<_>>().join("\n")
}
