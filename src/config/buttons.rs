//! The names of the input devices in the configuration: the list `buttons`.

use toml::Spanned;

use super::{ConfigReader, Mistake};
use crate::display::buttons::GPIO;

impl ConfigReader<'_> {
    /// Reads the names of the input devices that turn the pages.
    pub(super) fn buttons(&self, names: &[Spanned<String>]) -> Vec<String> {
        let read = names.iter().map(|name| {
            let device = self.item("buttons", name, device)?;
            if device.contains([',', ';']) {
                let text = format!(
                    "buttons: {device:?} is taken as the name of one device; write each name in \
                     quotes of its own"
                );
                self.warn(&name.span(), text);
            }
            Some(device)
        });
        read.flatten().collect()
    }
}

/// Reads the name of a device, or the path of its file.
fn device(text: &str) -> Result<String, Mistake> {
    let text = text.trim();
    let is_gpio = |text: &str| text.trim().eq_ignore_ascii_case(GPIO);
    if is_gpio(text) {
        return Ok(GPIO.to_owned());
    }
    let number = text.strip_prefix("/dev/input/event");
    let is_event =
        |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_other_path = text.starts_with('/') && !number.is_some_and(is_event);
    let is_list = text.split([',', ';']).any(is_gpio);
    if text.is_empty() || text.contains('*') || is_other_path || is_list {
        let reason = format!(
            "{text:?}, expected \"gpio\", or the name of a device in /proc/bus/input/devices"
        );
        return Err(reason.into());
    }
    Ok(text.to_owned())
}
