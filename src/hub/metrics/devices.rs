//! The metrics of the devices: their connections, the times of their last data and the reports of
//! the displays. Never contains a token or an address.

use super::{family, label_value, sample};
use crate::hub::auth::sessions::DeviceStatus;
use crate::time::Now;

/// The maximum number of devices with metrics of their own. A page with more devices would be too
/// large.
const DEVICES: usize = 1000;

/// Writes the metrics of these devices.
pub(in crate::hub) fn render(text: &mut String, devices: &[DeviceStatus], now: Now) {
    family(
        text,
        "devices",
        "gauge",
        "Registered devices, by their state since the start of the hub.",
    );
    for state in ["connected", "disconnected", "not seen"] {
        let count = devices.iter().filter(|device| device.state() == state);
        let labels = format!("state=\"{state}\"");
        sample(text, "devices", &labels, count.count());
    }
    if devices.len() > DEVICES {
        return;
    }
    family(
        text,
        "device_connections",
        "gauge",
        "Open WebSocket connections of a device.",
    );
    for device in devices {
        sample(text, "device_connections", &name(device), device.sessions);
    }
    family(
        text,
        "device_last_seen_timestamp_seconds",
        "gauge",
        "The time of the last data from a device.",
    );
    for device in devices {
        let seen = device.seen.and_then(|seen| now.utc_of(seen));
        if let Some(seen) = seen {
            let seconds = seen.0 as f64 / 1000.0;
            let metric = "device_last_seen_timestamp_seconds";
            sample(text, metric, &name(device), seconds);
        }
    }
    let reports = || {
        let reports = devices.iter();
        reports.filter_map(|device| Some((name(device), device.report.as_ref()?)))
    };
    family(
        text,
        "device_info",
        "gauge",
        "The version and the page of the display that last reported with the token of this device.",
    );
    for (name, report) in reports() {
        let (version, page) = (label_value(&report.version), label_value(&report.page));
        let labels = format!("{name},version=\"{version}\",page=\"{page}\"");
        sample(text, "device_info", &labels, 1);
    }
    family(
        text,
        "device_values",
        "gauge",
        "Instruments of this display, by the freshness that the display shows.",
    );
    for (name, report) in reports() {
        for (freshness, count) in report.freshness() {
            let labels = format!("{name},freshness=\"{freshness}\"");
            sample(text, "device_values", &labels, count);
        }
    }
}

fn name(device: &DeviceStatus) -> String {
    format!("device=\"{}\"", label_value(&device.device))
}
