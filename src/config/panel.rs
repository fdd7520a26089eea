//! The panel of the configuration: the table `[panel]` and its default values.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::DEFAULT_PATH;
use super::reader::number;
use super::settings::TickerSettings;
use super::{ConfigReader, ConfigTable, Mistake, nearest};
use crate::board::Board;
use crate::display::png::picture_file;
use crate::display::screen::ScreenSettings;
use crate::display::{self, Chip};
use crate::render::{Colours, Size};
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
    /// The big screen beside the panel, or in place of it.
    pub screen: Option<ScreenSettings>,
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
    /// No small panel: only the big screen.
    Screen,
}

impl std::str::FromStr for PanelKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oled" => Ok(Self::Oled),
            "terminal" => Ok(Self::Terminal),
            "png" => Ok(Self::Png),
            "screen" => Ok(Self::Screen),
            _ => Err(format!(
                "unknown panel {text:?}, expected oled, screen, terminal or png"
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
            dc: None,
            reset: None,
        };
        Self {
            kind: PanelKind::Oled,
            file: PathBuf::from("deskticker.png"),
            oled,
            screen: None,
            assumed: false,
        }
    }
}

impl ConfigReader<'_> {
    /// Reads the panel and the big screen. The brightness and the shift of the panel go into
    /// `settings`. With `[screen]` and without `[panel]`, there is only the big screen.
    pub(super) fn panel(
        &self,
        table: Option<ConfigTable<'_, '_>>,
        screen: Option<ConfigTable<'_, '_>>,
        environment: &Environment,
        settings: &mut TickerSettings,
    ) -> PanelConfig {
        let mut panel = PanelConfig::of(environment.board);
        let folder = self.picture_folder(environment);
        panel.file = folder.map_or_else(|| self.in_folder(&panel.file), |it| it.join(&panel.file));
        panel.screen = screen.map(|table| self.screen(table));
        let Some(mut table) = table else {
            if panel.screen.is_some() {
                panel.kind = PanelKind::Screen;
            }
            return panel;
        };
        let kind = table.text("kind");
        self.set(&mut panel.kind, "kind", &kind, |text: &str| {
            chosen(text, &["oled", "screen", "terminal", "png"])
        });
        if panel.kind == PanelKind::Screen {
            panel.screen.get_or_insert_default();
        }
        if let Some(file) = table.text("file") {
            self.picture(&file, &mut panel, environment);
        }
        let is_oled = panel.kind == PanelKind::Oled;
        if !is_oled {
            self.unused(&table);
        }
        let oled = &mut panel.oled;
        let chip = table.text("chip");
        self.set(&mut oled.chip, "chip", &chip, |text: &str| {
            chosen(text, &["ssd1306", "ssd1315", "ssd1309", "sh1106", "sh1107"])
        });
        if let Some(offset) = table.whole("column_offset") {
            self.column_offset(&offset, &mut oled.chip);
        }
        let size = table.text("size");
        oled.size = oled.chip.size_near(oled.size);
        self.set(&mut oled.size, "size", &size, |text: &str| {
            chosen(text, &["128x64", "128x32", "128x128"])
        });
        if let Some(size) = size
            .as_ref()
            .filter(|_| is_oled && !oled.chip.has(oled.size))
        {
            let reason = match oled.size {
                Size::Square => {
                    "only the chip sh1107 has 128x128; write chip = \"sh1107\", or another size"
                }
                _ => "an sh1107 has 128x128; remove this line, or write another chip",
            };
            self.mistake("size", size.span(), reason);
        }
        let small = oled.size == Size::Short && matches!(oled.chip, Chip::Sh1106 { .. });
        if let Some(size) = size.filter(|_| small) {
            let text = "size: nearly every sh1106 has 128x64; a module of 128x32 is an ssd1306";
            self.warn(&size.span(), text);
        }
        if let Some(colours) = table.text("colours") {
            self.colours(&colours, oled.size, settings);
        }
        self.wiring(&mut table, oled, is_oled, environment.board);
        if let Some(chip) = chip.filter(|_| is_oled && oled.chip == Chip::Ssd1309)
            && oled.reset.is_none()
        {
            let text = "chip: most panels with an ssd1309 stay dark without a reset; connect the pin RES \
                        to a GPIO, and add a line, for example: reset = 17";
            self.warn(&chip.span(), text);
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
        let shift = table.span_of("shift");
        settings.shift = match (table.flag("shift"), shift) {
            (Some(true), Some(span)) if settings.colours == Colours::YellowBlue => {
                let text = "shift: a picture of two colours does not move, because its digits would \
                            cross the colours; remove this line";
                self.warn(&span, text);
                true
            }
            (flag, _) => flag.unwrap_or(settings.shift),
        };
        table.finish();
        panel
    }
}

impl ConfigReader<'_> {
    /// Warns about the settings that only an OLED has.
    fn unused(&self, table: &ConfigTable<'_, '_>) {
        for key in ["column_offset", "bus", "address", "dc", "reset", "rotation"] {
            if let Some(span) = table.span_of(key) {
                let text = format!(
                    "{key}: the panel is no oled, so this setting has no effect; remove this line, \
                     or write: kind = \"oled\""
                );
                self.warn(&span, text);
            }
        }
    }

    /// Reads the column offset of a chip that has one.
    fn column_offset(&self, offset: &Spanned<i64>, chip: &mut Chip) {
        let (column, most, usual) = match chip {
            Chip::Sh1106 { column } => (column, Chip::SPARE, "0 to 4, usually 2"),
            Chip::Sh1107 { column } => (column, Chip::LAST, "0 to 127, usually 0"),
            _ => {
                let reason = "only the chips sh1106 and sh1107 have this setting; remove this line, or \
                              write chip = \"sh1106\"";
                return self.mistake("column_offset", offset.span(), reason);
            }
        };
        let offset = self.read("column_offset", offset, |value: &i64| {
            number(*value, 0..=most, usual)
        });
        *column = offset.unwrap_or(*column);
    }

    /// Reads the colours of the panel.
    fn colours(&self, text: &Spanned<String>, size: Size, settings: &mut TickerSettings) {
        let reason = match (text.get_ref().parse(), size) {
            (Ok(Colours::YellowBlue), Size::Tall) => {
                return settings.colours = Colours::YellowBlue;
            }
            (Ok(Colours::YellowBlue), size) => {
                format!(
                    "a panel of {size} has one colour; remove this line, or write size = \"128x64\""
                )
            }
            _ => format!(
                "{:?}, expected \"yellow-blue\", for a panel whose top quarter is yellow; a panel of \
                 one colour needs no such line",
                text.get_ref()
            ),
        };
        self.mistake("colours", text.span(), reason);
    }

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

/// Parses one of these names, in upper or lower case.
pub(super) fn chosen<T: std::str::FromStr>(text: &str, names: &[&str]) -> Result<T, Mistake> {
    let plain = text
        .trim()
        .to_lowercase()
        .replace(['×', '*'], "x")
        .replace([' ', '-'], "");
    // A name of the same length with other characters can be something else: an ssd1305 is no
    // ssd1306.
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
