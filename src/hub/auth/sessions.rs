//! The number of open sessions of each device, over all clusters. Never closes a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Device;

/// The open sessions. All clones share the same counts.
#[derive(Clone, Debug, Default)]
pub struct DeviceSessions(Arc<Mutex<HashMap<Device, u64>>>);

impl DeviceSessions {
    /// Locks the counts. A poisoned lock is safe to use, because each change is one statement.
    fn lock(&self) -> MutexGuard<'_, HashMap<Device, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of open sessions of a device.
    pub fn count(&self, device: &str) -> u64 {
        self.lock().get(device).copied().unwrap_or_default()
    }

    /// Opens a session, or returns `None` if the device has `most` or more open sessions.
    pub fn open(&self, device: &Device, most: u64) -> Option<DeviceSession> {
        let mut counts = self.lock();
        if counts.get(device).is_some_and(|count| *count >= most) {
            return None;
        }
        *counts.entry(device.clone()).or_default() += 1;
        Some(DeviceSession {
            device: device.clone(),
            sessions: self.clone(),
        })
    }
}

/// One open session. The drop of this value ends the session.
#[derive(Debug)]
pub struct DeviceSession {
    device: Device,
    sessions: DeviceSessions,
}

impl DeviceSession {
    /// Returns the device of the session.
    pub const fn device(&self) -> &Device {
        &self.device
    }
}

impl Drop for DeviceSession {
    fn drop(&mut self) {
        let mut counts = self.sessions.lock();
        if let Some(count) = counts.get_mut(&self.device) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.device);
            }
        }
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
}
