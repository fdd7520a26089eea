//! The panel of the configuration: the table `[panel]` and its default values.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::DEFAULT_PATH;
use super::reader::number;
use super::settings::TickerSettings;
use super::{ConfigReader, ConfigTable, Mistake, nearest};
use crate::board::Board;
use crate::display::png::picture_file;
use crate::display::{self, Chip};
use crate::render::Size;
use crate::secret::Environment;
use crate::systemd::{self, RUNTIME_DIRECTORY};

/// The configured panel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PanelConfig {
    /// The kind of the panel.
    pub kind: PanelKind,
    /// The file of a PNG panel.
    pub file: PathBuf,
    /// The wiring of an OLED panel. The size in it applies to every kind of panel.
    pub oled: display::PanelSettings,
    /// True if no configuration without an error names this panel.
    pub assumed: bool,
}

/// The kinds of panels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PanelKind {
    /// An OLED display on an I2C bus.
    Oled,
    /// The terminal in which the program was started.
    Terminal,
    /// A PNG file, which the program updates.
    Png,
}

impl std::str::FromStr for PanelKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oled" => Ok(Self::Oled),
            "terminal" => Ok(Self::Terminal),
            "png" => Ok(Self::Png),
            _ => Err(format!(
                "unknown panel {text:?}, expected oled, terminal or png"
            )),
        }
    }
}

impl PanelConfig {
    /// Returns the most common panel, on the I2C bus of this board.
    pub fn of(board: &Board) -> Self {
        let oled = display::PanelSettings {
            chip: Chip::Ssd1306,
            size: Size::Tall,
            bus: PathBuf::from(board.bus),
            address: 0x3c,
            rotation: display::Rotation::Upright,
        };
        Self {
            kind: PanelKind::Oled,
            file: PathBuf::from("deskticker.png"),
            oled,
            assumed: false,
        }
    }
}

impl ConfigReader<'_> {
    /// Reads the panel. Its brightness and its shift go into `settings`.
    pub(super) fn panel(
        &self,
        table: Option<ConfigTable<'_, '_>>,
        environment: &Environment,
        settings: &mut TickerSettings,
    ) -> PanelConfig {
        let mut panel = PanelConfig::of(environment.board);
        let folder = self.picture_folder(environment);
        panel.file = folder.map_or_else(|| self.in_folder(&panel.file), |it| it.join(&panel.file));
        let Some(mut table) = table else {
            return panel;
        };
        let kind = table.text("kind");
        self.set(&mut panel.kind, "kind", &kind, |text: &str| {
            chosen(text, &["oled", "terminal", "png"])
        });
        if let Some(file) = table.text("file") {
            self.picture(&file, &mut panel, environment);
        }
        let oled = &mut panel.oled;
        let chip = table.text("chip");
        self.set(&mut oled.chip, "chip", &chip, |text: &str| {
            chosen(text, &["ssd1306", "ssd1315", "ssd1309", "sh1106"])
        });
        if let Some(offset) = table.whole("column_offset") {
            match &mut oled.chip {
                Chip::Sh1106 { column } => {
                    let offset = self.read("column_offset", &offset, |value: &i64| {
                        number(*value, 0..=Chip::SPARE, "0 to 4, usually 2")
                    });
                    *column = offset.unwrap_or(*column);
                }
                _ => {
                    let reason = "only the chip sh1106 has this setting; remove this line, or write \
                                  chip = \"sh1106\"";
                    self.mistake("column_offset", offset.span(), reason);
                }
            }
        }
        let size = table.text("size");
        self.set(&mut oled.size, "size", &size, |text: &str| {
            chosen(text, &["128x64", "128x32"])
        });
        let small = oled.size == Size::Short && matches!(oled.chip, Chip::Sh1106 { .. });
        if let Some(size) = size.filter(|_| small) {
            let text = "size: nearly every sh1106 has 128x64; a module of 128x32 is an ssd1306";
            self.warn(&size.span(), text);
        }
        let named = table.text("bus");
        self.set(&mut oled.bus, "bus", &named, bus);
        if let Some(named) = named.filter(|_| is_other_file(&oled.bus)) {
            let text = format!("bus: {} is no I2C bus, like /dev/i2c-1", oled.bus.display());
            self.warn(&named.span(), text);
        }
        if let Some(address) = table.text("address") {
            let read = self.read("address", &address, panel_address);
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
        let rotation = table.whole("rotation");
        self.set(
            &mut oled.rotation,
            "rotation",
            &rotation,
            |value: &i64| match value {
                0 => Ok(display::Rotation::Upright),
                180 => Ok(display::Rotation::UpsideDown),
                other => Err(format!("{other}, expected 0 or 180")),
            },
        );
        let level = table.whole("brightness");
        self.set(
            &mut settings.brightness,
            "brightness",
            &level,
            super::dimming::brightness,
        );
        settings.shift = table.flag("shift").unwrap_or(settings.shift);
        table.finish();
        panel
    }
}

impl ConfigReader<'_> {
    /// Returns the folder for a picture file with a relative path; `None` selects the folder of the
    /// configuration. The systemd service cannot write to the folder of the configuration, so it
    /// uses its own directory.
    fn picture_folder<'e>(&self, environment: &'e Environment) -> Option<&'e Path> {
        let usual = (self.path == Path::new(DEFAULT_PATH)).then_some(Path::new(RUNTIME_DIRECTORY));
        environment.runtime.as_deref().or(usual)
    }

    /// Reads the file of a picture, and warns about a file that cannot be written.
    fn picture(&self, file: &Spanned<String>, panel: &mut PanelConfig, environment: &Environment) {
        let Some(path) = self.resolve("file", file) else {
            return;
        };
        let folder = self.picture_folder(environment);
        let written = Path::new(file.get_ref());
        panel.file = match folder {
            Some(folder) if written.is_relative() => folder.join(written),
            _ => path,
        };
        if panel.kind != PanelKind::Png {
            let reason = "file: the panel is no png, so this setting has no effect; for a picture \
                          file write: kind = \"png\"";
            return self.warn(&file.span(), reason);
        }
        let target = picture_file::target(&panel.file);
        let shown = panel.file.display();
        if let Some(kind) = picture_file::other_kind(&target) {
            let reason =
                format!("{shown} is {kind}, expected the path of a picture or of a new file");
            return self.mistake("file", file.span(), reason);
        }
        let parent = target.parent().unwrap_or(Path::new("/"));
        let problem = match folder {
            Some(_) => systemd::write_problem(&target),
            None => None,
        };
        if let Some(problem) = problem {
            self.warn(&file.span(), format!("file: {shown}: {problem}"));
        } else if !parent.is_dir() && folder != Some(parent) {
            let text = format!(
                "file: the folder {} does not exist; create it, or name another folder",
                parent.display()
            );
            self.warn(&file.span(), text);
        }
    }
}

/// Returns true if the path exists and is no I2C bus: buses have the major number 89 in Linux.
fn is_other_file(path: &Path) -> bool {
    let data = std::fs::metadata(path);
    data.is_ok_and(|data| rustix::fs::major(data.rdev()) != 89)
}

/// Parses one of these names, in upper or lower case.
fn chosen<T: std::str::FromStr>(text: &str, names: &[&str]) -> Result<T, Mistake> {
    let plain = text
        .trim()
        .to_lowercase()
        .replace(['×', '*'], "x")
        .replace([' ', '-'], "");
    // A name of the same length with other characters can be something else: an sh1107 is no
    // sh1106.
    let sorted = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let misspelt = |meant: &&str| meant.len() != plain.len() || sorted(meant) == sorted(&plain);
    plain.parse().map_err(|_| {
        let reason = format!("{text:?}, expected {}", names.join(", "));
        match nearest(&plain, names.iter().copied()).filter(misspelt) {
            Some(meant) => Mistake::with(reason, format!("\"{meant}\"")),
            None => reason.into(),
        }
    })
}

/// Reads the path of a bus; `1`, `i2c-1` and `/dev/i2c-1` mean the same bus.
fn bus(text: &str) -> Result<PathBuf, Mistake> {
    let text = text.trim();
    let number = text.trim_start_matches("/dev/").trim_start_matches("i2c");
    let number = number.trim_start_matches('-');
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(PathBuf::from(format!("/dev/i2c-{number}")));
    }
    match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => {
            Err(format!("{text:?}, expected the path of an I2C bus, like \"/dev/i2c-1\"").into())
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
pub(crate) fn panel_address(text: &str) -> Result<u8, Mistake> {
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
