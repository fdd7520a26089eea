//! The activity of each device: its open sessions over all clusters, the time of its last data and
//! its report about itself. Never closes a session, and never knows a token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Device;
use crate::massive::display_report::DisplayReport;
use crate::time::Moment;

/// The activity of all devices since the start of the hub. All clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct DeviceSessions(Arc<Mutex<HashMap<Device, Arc<Activity>>>>);

/// The activity of one device.
#[derive(Debug, Default)]
struct Activity {
    sessions: AtomicU64,
    /// The monotonic time of the last data or request, in milliseconds.
    seen: AtomicU64,
    details: Mutex<Details>,
}

#[derive(Clone, Debug, Default)]
struct Details {
    address: Option<IpAddr>,
    report: Option<DisplayReport>,
}

impl Activity {
    fn see(&self, now: Moment) {
        self.seen.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        lock(&self.details)
    }
}

/// A copy of the activity of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceStatus {
    /// The name of the device.
    pub device: Device,
    /// The number of open sessions.
    pub sessions: u64,
    /// The time of the last data or request; `None` if the device has not connected since the start
    /// of the hub.
    pub seen: Option<Moment>,
    /// The address of the last session or request.
    pub address: Option<IpAddr>,
    /// The last report of a display with this device's token. `None` without an open session, because
    /// the report is then no longer true.
    pub report: Option<DisplayReport>,
}

impl DeviceStatus {
    /// Returns `connected`, `disconnected` or `not seen`.
    pub const fn state(&self) -> &'static str {
        match (self.sessions, self.seen) {
            (0, None) => "not seen",
            (0, Some(_)) => "disconnected",
            _ => "connected",
        }
    }
}

/// Locks a mutex. A poisoned lock is safe to use, because each change is one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeviceSessions {
    /// Returns the number of open sessions of a device.
    pub fn count(&self, device: &str) -> u64 {
        let activities = lock(&self.0);
        let activity = activities.get(device);
        activity.map_or(0, |activity| activity.sessions.load(Ordering::Relaxed))
    }

    /// Opens a session, or returns `None` if the device has `most` or more open sessions.
    pub fn open(&self, device: &Device, most: u64) -> Option<DeviceSession> {
        let mut activities = lock(&self.0);
        let activity = activities.entry(device.clone()).or_default();
        if activity.sessions.load(Ordering::Relaxed) >= most {
            return None;
        }
        activity.sessions.fetch_add(1, Ordering::Relaxed);
        Some(DeviceSession {
            device: device.clone(),
            activity: activity.clone(),
        })
    }

    /// Notes a request of a device from this address.
    pub(crate) fn note_request(&self, device: &Device, address: Option<IpAddr>, now: Moment) {
        let activity = lock(&self.0).entry(device.clone()).or_default().clone();
        activity.see(now);
        activity.details().address = address;
    }

    /// Returns the status of these devices, in the order of their names. Forgets the activity of all
    /// other devices without an open session.
    pub fn statuses<'a>(&self, devices: impl IntoIterator<Item = &'a Device>) -> Vec<DeviceStatus> {
        let mut devices: Vec<Device> = devices.into_iter().cloned().collect();
        devices.sort_unstable();
        let mut activities = lock(&self.0);
        activities.retain(|device, activity| {
            activity.sessions.load(Ordering::Relaxed) > 0 || devices.binary_search(device).is_ok()
        });
        let status = |device: Device| {
            let activity = activities.get(&device);
            let details = activity.map(|activity| activity.details().clone());
            let details = details.unwrap_or_default();
            let sessions = activity.map_or(0, |activity| activity.sessions.load(Ordering::Relaxed));
            DeviceStatus {
                device,
                sessions,
                seen: activity
                    .map(|activity| Moment::from_millis(activity.seen.load(Ordering::Relaxed))),
                address: details.address,
                report: details.report.filter(|_| sessions > 0),
            }
        };
        devices.into_iter().map(status).collect()
    }
}

/// One open session. The drop of this value ends the session.
#[derive(Debug)]
pub struct DeviceSession {
    device: Device,
    activity: Arc<Activity>,
}

impl DeviceSession {
    /// Returns the device of the session.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Notes the time of the last data from the device.
    pub(crate) fn see(&self, heard: Moment) {
        self.activity.see(heard);
    }

    /// Notes the address of the device.
    pub(crate) fn set_address(&self, address: IpAddr) {
        self.activity.details().address = Some(address);
    }

    /// Notes the report of the device.
    pub(crate) fn set_report(&self, report: DisplayReport) {
        self.activity.details().report = Some(report);
    }
}

impl Drop for DeviceSession {
    fn drop(&mut self) {
        self.activity.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_maximum_of_open_sessions() {
        let sessions = DeviceSessions::default();
        let (kitchen, hallway) = ("kitchen".into(), "hallway".into());
        let held = [sessions.open(&kitchen, 2), sessions.open(&kitchen, 2)];
        assert!(held.iter().all(Option::is_some) && sessions.open(&kitchen, 2).is_none());
        assert!(sessions.open(&hallway, 2).is_some());
        assert_eq!(
            (sessions.count("kitchen"), sessions.count("hallway")),
            (2, 0)
        );
        drop(held);
        assert!(sessions.open(&kitchen, 1).is_some());
    }

    #[test]
    fn a_device_that_left_keeps_its_last_sign_of_life_and_loses_its_report() {
        let sessions = DeviceSessions::default();
        let (kitchen, attic): (Device, Device) = ("kitchen".into(), "attic".into());
        let session = sessions.open(&kitchen, 9).unwrap();
        let address = "192.0.2.1".parse().unwrap();
        session.set_address(address);
        session.see(Moment::from_secs(7));
        session.set_report(DisplayReport::default());
        let status = || sessions.statuses([&kitchen, &attic]);
        let report = Some(DisplayReport::default());
        assert_eq!((status()[1].sessions, &status()[1].report), (1, &report));
        drop(session);
        let unseen = DeviceStatus {
            device: attic.clone(),
            sessions: 0,
            seen: None,
            address: None,
            report: None,
        };
        let left = DeviceStatus {
            device: kitchen.clone(),
            seen: Some(Moment::from_secs(7)),
            address: Some(address),
            ..unseen.clone()
        };
        assert_eq!(status(), [unseen, left]);
        // A device that is no longer registered needs no memory.
        sessions.statuses([&attic]);
        assert_eq!(lock(&sessions.0).len(), 0);
    }
}
