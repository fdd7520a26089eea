//! The panel of the configuration: the table `[panel]` and its default values.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::toml_reader::number;
use super::{ConfigError, ConfigReader};
use crate::board::Board;
use crate::display::{self, Chip};
use crate::render::Size;

/// The configured panel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PanelConfig {
    /// The kind of the panel.
    pub kind: PanelKind,
    /// The file of a PNG panel.
    pub file: PathBuf,
    /// The wiring of an OLED panel. The size in it applies to every kind of panel.
    pub oled: display::PanelSettings,
}

/// The kinds of panels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
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
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [panel], and its settings below")]
pub(super) struct PanelTable {
    kind: Option<PanelKind>,
    file: Option<PathBuf>,
    chip: Option<Spanned<String>>,
    column_offset: Option<Spanned<i64>>,
    size: Option<Spanned<String>>,
    bus: Option<PathBuf>,
    address: Option<Spanned<i64>>,
    rotation: Option<Spanned<i64>>,
    /// The brightness outside the dimming periods.
    pub(super) brightness: Option<Spanned<i64>>,
    pub(super) shift: Option<bool>,
}

impl ConfigReader<'_> {
    pub(super) fn panel(
        &self,
        table: &PanelTable,
        board: &Board,
    ) -> Result<PanelConfig, ConfigError> {
        let defaults = PanelConfig::of(board);
        let mut oled = defaults.oled;
        self.set(&mut oled.chip, "chip", &table.chip, str::parse)?;
        if let Some(offset) = &table.column_offset {
            let Chip::Sh1106 { column } = &mut oled.chip else {
                let reason = "column_offset: only the chip sh1106 has this setting; expected chip \
                              = \"sh1106\"";
                return Err(self.error(Some(offset.span()), reason));
            };
            *column = self.read("column_offset", offset, |value: &i64| {
                number(*value, 0..=Chip::SPARE, "0 to 4, usually 2")
            })?;
        }
        self.set(&mut oled.size, "size", &table.size, str::parse)?;
        if let Some(bus) = &table.bus {
            oled.bus.clone_from(bus);
        }
        self.set(
            &mut oled.address,
            "address",
            &table.address,
            |value: &i64| {
                let expected = "a 7-bit address, usually 0x3c or 0x3d";
                number(*value, 0x08..=0x77, expected)
            },
        )?;
        let rotation = &mut oled.rotation;
        self.set(
            rotation,
            "rotation",
            &table.rotation,
            |value: &i64| match value {
                0 => Ok(display::Rotation::Upright),
                180 => Ok(display::Rotation::UpsideDown),
                other => Err(format!("{other}, expected 0 or 180")),
            },
        )?;
        Ok(PanelConfig {
            kind: table.kind.unwrap_or(defaults.kind),
            file: table.file.clone().unwrap_or(defaults.file),
            oled,
        })
    }
}
