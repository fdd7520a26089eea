//! The boards that are known: which bus a panel is on, how fast it is, and what switches it on.
//! Owns how the machine is recognised; knows of each board only what its file in `boards/` says.

use std::fmt;
use std::path::Path;

/// Where the kernel tells the machine's model. The first is where programs are to look; a service
/// that sees only processes in /proc (`ProcSubset=pid`) finds the same in the second.
pub const MODEL: [&str; 2] = [
    "/proc/device-tree/model",
    "/sys/firmware/devicetree/base/model",
];

/// A board, as its file in `boards/` describes it.
#[derive(PartialEq, Eq, Debug)]
pub struct Board {
    /// That of its file.
    pub name: &'static str,
    /// What its model begins with; empty if any does.
    pub model: &'static str,
    /// The I2C bus on its pins, such as `/dev/i2c-1`.
    pub bus: &'static str,
    /// The clock of that bus as it comes, in Hz.
    pub speed: u32,
    /// The clock it is to have, in Hz.
    pub wanted_speed: u32,
    /// The lines for `/boot/firmware/config.txt` that switch the bus on, at that clock.
    pub config_txt: &'static [&'static str],
    /// What to build for.
    pub target: &'static str,
}

/// One for each file, by name.
static ALL: &[Board] = &include!(concat!(env!("OUT_DIR"), "/boards.rs"));

impl Board {
    /// All boards that are known, by name.
    pub fn all() -> &'static [Board] {
        ALL
    }

    /// The board of a model, such as `Raspberry Pi 4 Model B Rev 1.4`: the one that says most of
    /// it.
    pub fn for_model(model: &str) -> &'static Board {
        let fits = |board: &&Board| model.starts_with(board.model);
        let known = ALL.iter().filter(fits);
        // The file of every other machine is there, for the tests want it.
        known
            .max_by_key(|board| board.model.len())
            .unwrap_or(&ALL[0])
    }

    /// The board that this program runs on, by the first of these files that can be read
    /// (see [`MODEL`]); a machine without any is some Linux.
    pub fn for_machine<P: AsRef<Path>>(files: &[P]) -> &'static Board {
        Self::for_model(&model(files).unwrap_or_default())
    }
}

/// A machine's model as its firmware names it, by the first of these files that can be read.
pub fn model<P: AsRef<Path>>(files: &[P]) -> Option<String> {
    let model = files.iter().find_map(|file| std::fs::read(file).ok())?;
    let model = String::from_utf8_lossy(&model);
    Some(model.trim_end_matches(['\0', '\n']).to_owned())
}

impl Default for &Board {
    /// Some Linux.
    fn default() -> Self {
        Board::for_model("")
    }
}

/// What there is to know of it, a line each.
impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match self.model {
            "" => "any other",
            model => model,
        };
        let [speed, wanted] = [self.speed, self.wanted_speed].map(|hertz| hertz / 1000);
        writeln!(f, "  model   {model}")?;
        writeln!(f, "  bus     {}, {speed} kHz", self.bus)?;
        writeln!(f, "  target  {}", self.target)?;
        if self.config_txt.is_empty() {
            return Ok(());
        }
        writeln!(f, "  for {wanted} kHz in /boot/firmware/config.txt:")?;
        self.config_txt
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// All boards with what there is to know of them; `machine`, which they are shown on, is marked.
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
