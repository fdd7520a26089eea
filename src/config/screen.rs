//! The big screen of the configuration: the table `[screen]` and its default values.

use toml::Spanned;

use super::panel::chosen;
use super::{ConfigReader, ConfigTable};
use crate::display::screen::{PixelFormat, ScreenRotation, ScreenSettings};

impl ConfigReader<'_> {
    /// Reads the big screen.
    pub(super) fn screen(&self, mut table: ConfigTable<'_, '_>) -> ScreenSettings {
        let mut screen = ScreenSettings::default();
        if let Some(device) = table.text("device") {
            let path = self.resolve("device", &device);
            screen.device = path.unwrap_or(screen.device);
            screen.sysfs = ScreenSettings::sysfs_of(&screen.device);
        }
        if let Some(sysfs) = table.text("sysfs") {
            let path = self.resolve("sysfs", &sysfs);
            screen.sysfs = path.unwrap_or(screen.sysfs);
        }
        if let Some(format) = table.text("format") {
            let names = PixelFormat::ALL.map(|(name, _)| name);
            let read = self.read("format", &format, |text: &str| chosen(text, &names));
            screen.format = read;
        }
        let theme = table.text("theme");
        self.set(&mut screen.theme, "theme", &theme, |text: &str| {
            chosen(text, &["dark", "light"])
        });
        let rotation: Option<Spanned<i64>> = table.whole("rotation");
        self.set(
            &mut screen.rotation,
            "rotation",
            &rotation,
            |value: &i64| {
                Ok(match value {
                    0 => ScreenRotation::Upright,
                    90 => ScreenRotation::Clockwise,
                    180 => ScreenRotation::UpsideDown,
                    270 => ScreenRotation::CounterClockwise,
                    other => return Err(format!("{other}, expected 0, 90, 180 or 270")),
                })
            },
        );
        table.finish();
        screen
    }
}
