//! Who is let in. Owns the devices' hashed tokens as they are now, and what is signed for them;
//! it never holds a device's token, and never changes the file they come from.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use super::registry;
use super::registry::{DeviceRegistry, Digest, FileVersion, RegistryError, RegistryFile};
use crate::config::Secret;
use crate::time::{Clock, Moment, Now};

/// The name of a device, as its owner gave it.
pub type Device = Arc<str>;

/// How long an ephemeral token is good.
pub const EPHEMERAL: Duration = Duration::from_secs(5 * 60);
/// How often the file is looked at. A revoked device is out within this.
pub const POLL: Duration = Duration::from_secs(2);

/// Nothing that is longer than this is a token.
const LENGTH_LIMIT: usize = 512;
/// Used ephemeral tokens that are remembered: more than every display of a full hub needs in five
/// minutes. While it is full, no further one is good.
const USED_LIMIT: usize = 1 << 16;

const NO_RANDOMNESS: &str = "the machine gives no random numbers";

/// What makes an ephemeral token like no other.
type Nonce = [u8; 16];

/// Decides who is let in.
pub struct Authenticator {
    file: Option<RegistryFile>,
    static_token: Option<Digest>,
    known_devices: Mutex<KnownDevices>,
    registry: watch::Sender<Arc<HashSet<Device>>>,
    /// Random at each start: what an earlier process signed is good for nothing.
    /// `None` on a machine without randomness, which then signs nothing.
    key: Option<hmac::Key>,
    /// The ephemeral tokens that have been used, and when they would have expired.
    used: Mutex<HashMap<Nonce, Moment>>,
    random: SystemRandom,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What the file said when it was last read.
#[derive(Default)]
struct KnownDevices {
    devices: Vec<(Device, Digest)>,
    seen: Option<FileVersion>,
    /// The last complaint, so that it is made once.
    reported_error: Option<String>,
}

/// What an ephemeral token says, once its signature has been found good.
struct EphemeralToken {
    device: Device,
    expires: Moment,
    nonce: Nonce,
}

/// A lock that was poisoned by a panic guards nothing that a panic could have left half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is signed of an ephemeral token: what it says, and the hash of the token it was given for,
/// which it does not say (who holds it could try words against that).
fn signed(payload: &str, known: &Digest) -> Vec<u8> {
    [payload.as_bytes(), known].concat()
}

impl Authenticator {
    /// A gate for the devices of a file, and for whoever holds the one static token.
    ///
    /// # Errors
    /// The file is there and cannot be read or is wrong, or the machine has no randomness.
    pub fn new(file: Option<PathBuf>, static_token: Option<&Secret>) -> Result<Self, String> {
        let authenticator = Self::unread(file, static_token)?;
        authenticator.reload().map_err(|error| error.to_string())?;
        Ok(authenticator)
    }

    /// The same for a file that nobody has asked for and a static token: what is wrong with the file
    /// is said, and keeps nobody out who has that token. It is looked at again and again.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn with_optional_file(file: PathBuf, static_token: &Secret) -> Result<Self, String> {
        let authenticator = Self::unread(Some(file), Some(static_token))?;
        authenticator.check_file();
        Ok(authenticator)
    }

    fn unread(file: Option<PathBuf>, static_token: Option<&Secret>) -> Result<Self, String> {
        let authenticator = Self::with(
            file.map(RegistryFile::new),
            static_token.map(|token| registry::digest_of(token.reveal())),
            Vec::new(),
        );
        if authenticator.key.is_none() {
            return Err(NO_RANDOMNESS.into());
        }
        Ok(authenticator)
    }

    /// A gate for one device of this name and with this token: for tests and benchmarks.
    pub fn single(device: Device, token: &str) -> Self {
        let devices = vec![(device, registry::digest_of(token.trim()))];
        let authenticator = Self::with(None, None, devices);
        authenticator.publish(&lock(&authenticator.known_devices).devices);
        authenticator
    }

    fn with(
        file: Option<RegistryFile>,
        static_token: Option<Digest>,
        devices: Vec<(Device, Digest)>,
    ) -> Self {
        let random = SystemRandom::new();
        Self {
            file,
            static_token,
            known_devices: Mutex::new(KnownDevices {
                devices,
                ..KnownDevices::default()
            }),
            registry: watch::Sender::new(Arc::default()),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok(),
            used: Mutex::default(),
            random,
        }
    }

    /// Forgets every named device; those of a file come back when it is read again.
    pub fn revoke(&self) {
        let mut known_devices = lock(&self.known_devices);
        known_devices.devices.clear();
        self.publish(&known_devices.devices);
    }

    /// The device that a token belongs to; `None` if it is nobody's. Takes as long for a wrong
    /// token as for a right one.
    pub fn check(&self, presented: &str) -> Option<Device> {
        let presented = presented.trim();
        if presented.is_empty() || presented.len() > LENGTH_LIMIT {
            return None;
        }
        let digest = registry::digest_of(presented);
        let known_devices = lock(&self.known_devices);
        let mut found = u32::MAX;
        for (index, (_, known)) in (0u32..).zip(&known_devices.devices) {
            found.conditional_assign(&index, known.as_slice().ct_eq(&digest));
        }
        let device = usize::try_from(found)
            .ok()
            .and_then(|found| known_devices.devices.get(found))
            .map(|(device, _)| device.clone());
        let static_token = self
            .static_token
            .is_some_and(|known| bool::from(known.as_slice().ct_eq(&digest)));
        device.or_else(|| static_token.then(|| registry::STATIC.into()))
    }

    /// The device that a device's token or an ephemeral one belongs to, for an upgrade: an
    /// ephemeral token is used up by this.
    pub fn authenticate_upgrade(&self, presented: &str, now: Now) -> Option<Device> {
        self.check(presented).or_else(|| {
            let ticket = self.verify(presented.trim(), now)?;
            self.use_up(&ticket, now).then_some(ticket.device)
        })
    }

    /// The same for a request: an ephemeral token is good for these until it expires, and is not
    /// used up, for the clients of the existing proxy ask for quotes with the token they join with.
    pub fn authenticate_request(&self, presented: &str, now: Now) -> Option<Device> {
        self.check(presented)
            .or_else(|| Some(self.verify(presented.trim(), now)?.device))
    }

    /// An ephemeral token for a device, and when it expires in milliseconds since the Unix epoch
    /// (long ago, if this machine does not know what time it is).
    ///
    /// # Errors
    /// The machine has no randomness to give.
    pub fn issue(&self, device: &Device, now: Now) -> Result<(String, i64), &'static str> {
        let mut nonce = Nonce::default();
        let key = self.key.as_ref().ok_or(NO_RANDOMNESS)?;
        self.random.fill(&mut nonce).map_err(|_| NO_RANDOMNESS)?;
        let expires = now.monotonic + EPHEMERAL;
        // Monotonic, for the wall clock may be set meanwhile; it is this process that will read it.
        let payload = BASE64.encode(
            format!(
                "{} {} {device}",
                expires.as_millis(),
                HEXLOWER.encode(&nonce)
            )
            .as_bytes(),
        );
        let known = self.known(device).ok_or("the device is no longer let in")?;
        let signature = hmac::sign(key, &signed(&payload, &known));
        let token = format!("{payload}.{}", HEXLOWER.encode(signature.as_ref()));
        let lifetime = i64::try_from(EPHEMERAL.as_millis()).unwrap_or(i64::MAX);
        let utc = now.utc.map_or(0, |utc| utc.0);
        Ok((token, utc.saturating_add(lifetime)))
    }

    /// What is kept of the token that a device of this name has now.
    fn known(&self, name: &str) -> Option<Digest> {
        let known_devices = lock(&self.known_devices);
        let mut devices = known_devices.devices.iter();
        let device = devices.find(|(device, _)| **device == *name);
        let static_token = self.static_token.filter(|_| name == registry::STATIC);
        device.map(|(_, digest)| *digest).or(static_token)
    }

    fn verify(&self, token: &str, now: Now) -> Option<EphemeralToken> {
        if token.len() > LENGTH_LIMIT {
            return None;
        }
        let (payload, signature) = token.split_once('.')?;
        let signature = HEXLOWER.decode(signature.as_bytes()).ok()?;
        let text = String::from_utf8(BASE64.decode(payload.as_bytes()).ok()?).ok()?;
        let mut words = text.splitn(3, ' ');
        let expires = Moment::from_millis(words.next()?.parse().ok()?);
        let nonce = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
        let nonce = Nonce::try_from(nonce).ok()?;
        let name = words.next()?;
        // A token outlives neither its time nor its device, nor the token it was given for: who is
        // revoked and added again under the same name is somebody else. Whether there is such a
        // device is not to be told by how long this takes.
        let known = self.known(name);
        let input = signed(payload, &known.unwrap_or_default());
        hmac::verify(self.key.as_ref()?, &input, &signature).ok()?;
        known?;
        let device = Device::from(name);
        (now.monotonic < expires).then_some(EphemeralToken {
            device,
            expires,
            nonce,
        })
    }

    fn use_up(&self, ticket: &EphemeralToken, now: Now) -> bool {
        let mut used = lock(&self.used);
        if used.len() >= USED_LIMIT {
            used.retain(|_, expires| now.monotonic < *expires);
        }
        if used.len() >= USED_LIMIT {
            log::warn!("too many ephemeral tokens within five minutes; refusing another");
            return false;
        }
        used.insert(ticket.nonce, ticket.expires).is_none()
    }

    /// Who is let in now, and from now on.
    pub fn registry(&self) -> watch::Receiver<Arc<HashSet<Device>>> {
        self.registry.subscribe()
    }

    /// Reads the file again. If it cannot be read or is wrong, everybody stays who was there, but
    /// for those it says are revoked.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn reload(&self) -> Result<(), RegistryError> {
        let mut known_devices = lock(&self.known_devices);
        let Some(file) = &self.file else {
            self.publish(&known_devices.devices);
            return Ok(());
        };
        // Taken before it is read: what changes in between is read the next time.
        known_devices.seen = file.fingerprint();
        let covered_the_close = known_devices.seen.is_some() || known_devices.devices.is_empty();
        let error = match file.read() {
            // A file that was there and is gone is one that cannot be read.
            Ok(registry) if covered_the_close => known_devices.take(registry),
            Ok(_) => Some(RegistryError::gone(file)),
            Err(error) => Some(error),
        };
        self.publish(&known_devices.devices);
        match error {
            Some(error) => Err(error),
            None => {
                known_devices.reported_error = None;
                Ok(())
            }
        }
    }

    fn publish(&self, devices: &[(Device, Digest)]) {
        let mut names: HashSet<Device> = devices.iter().map(|(name, _)| name.clone()).collect();
        if self.static_token.is_some() {
            names.insert(registry::STATIC.into());
        }
        self.registry.send_if_modified(|registry| {
            let left: Vec<&str> = registry
                .iter()
                .filter(|name| !names.contains(*name))
                .map(|name| &**name)
                .collect();
            if !left.is_empty() {
                log::info!("no longer let in: {}", left.join(", "));
            }
            let changed = **registry != names;
            *registry = Arc::new(names);
            changed
        });
    }

    /// Reads the file again if it is another than the last time; says once what is wrong with it.
    pub fn check_file(&self) {
        let Some(file) = &self.file else { return };
        let seen = lock(&self.known_devices).seen;
        if seen.is_some() && seen == file.fingerprint() {
            return;
        }
        if let Err(error) = self.reload() {
            let error = error.to_string();
            let mut known_devices = lock(&self.known_devices);
            if known_devices.reported_error.as_ref() != Some(&error) {
                log::error!("the devices stay as they were: {error}");
                known_devices.reported_error = Some(error);
            }
        }
    }

    /// Looks at the file again and again, until told to stop.
    pub async fn watch(&self, clock: Clock, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = clock.sleep_until(clock.now().monotonic + POLL) => self.check_file(),
                () = crate::hub::stopped(&mut stop) => return,
            }
        }
    }
}

impl KnownDevices {
    /// Takes over what a file says, as far as it can be relied upon.
    fn take(&mut self, mut registry: DeviceRegistry) -> Option<RegistryError> {
        let revoked = registry.revoked;
        if let Some(error) = registry.error {
            self.devices.retain(|(name, _)| !revoked.contains(name));
            return Some(error);
        }
        // Who came in by a token that is another now is disconnected by being nobody for a while.
        let mut changed = false;
        registry.devices.retain(|(name, digest)| {
            let old = self.devices.iter().find(|(known, _)| known == name);
            let same = old.is_none_or(|(_, known)| known == digest);
            changed |= !same;
            same
        });
        if changed {
            self.seen = None;
        }
        self.devices = registry.devices;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Utc;

    #[test]
    fn what_is_remembered_of_used_tokens_is_bounded_and_forgotten_in_time() {
        let authenticator = Authenticator::new(None, Some(&Secret::new("t").unwrap())).unwrap();
        let device = authenticator.check("t").unwrap();
        let start = Now::new(Moment::ZERO, Utc::PLAUSIBLE);
        let expires = Moment::ZERO + EPHEMERAL;
        for number in 0..USED_LIMIT {
            let nonce = (number as u128).to_be_bytes();
            lock(&authenticator.used).insert(nonce, expires);
        }
        let (token, _) = authenticator.issue(&device, start).unwrap();
        // Rather none than one that could be used twice.
        assert_eq!(authenticator.authenticate_upgrade(&token, start), None);
        let later = Now::new(expires, Utc::PLAUSIBLE);
        let (token, _) = authenticator.issue(&device, later).unwrap();
        assert_eq!(
            authenticator.authenticate_upgrade(&token, later),
            Some(device)
        );
        assert_eq!(lock(&authenticator.used).len(), 1);
    }
}
