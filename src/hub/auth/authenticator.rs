//! Decides which clients are allowed to connect. Owns the current hashes of the device tokens and
//! the key that signs short-lived tokens. The authenticator never stores a device token, and never
//! changes the file of the device registry.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use super::registry::{self, Device, DeviceRegistry, Digest, RegistryError, RegistryFile};
use super::sessions::{DeviceSessions, DeviceStatus};
use crate::files::FileStamp;
use crate::net::discovery::proof;
use crate::secret::Secret;
use crate::time::{Clock, Moment, Now};

/// The lifetime of a short-lived token.
pub const EPHEMERAL: Duration = Duration::from_secs(5 * 60);
/// The interval between checks of the registry file. The hub disconnects a revoked device within
/// this time.
pub const POLL: Duration = Duration::from_secs(2);

/// The maximum length of a token, in bytes.
const LENGTH_LIMIT: usize = 512;
/// The maximum number of used short-lived tokens in memory: more than all displays of a full hub
/// use in five minutes. While the memory is full, every short-lived token is refused for an
/// upgrade.
const USED_LIMIT: usize = 1 << 16;

const NO_RANDOMNESS: &str = "the machine gives no random numbers";

/// The random value that makes a short-lived token unique.
type Nonce = [u8; 16];

/// Checks the tokens of clients and issues short-lived tokens.
pub struct Authenticator {
    file: Option<RegistryFile>,
    static_token: Option<Digest>,
    known_devices: Mutex<KnownDevices>,
    registry: watch::Sender<Arc<HashSet<Device>>>,
    sessions: DeviceSessions,
    /// The signing key. The key is random at each start, so the tokens of an earlier process are
    /// invalid.
    key: hmac::Key,
    /// The short-lived tokens that have been used, and their expiry times.
    used: Mutex<HashMap<Nonce, Moment>>,
    random: SystemRandom,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The content of the registry file at the last read.
#[derive(Default)]
struct KnownDevices {
    devices: Vec<(Device, Digest)>,
    seen: Option<FileStamp>,
    /// The last reported error, so that the log contains the same error only once.
    reported_error: Option<String>,
}

/// The content of a short-lived token with a valid signature.
struct EphemeralToken {
    device: Device,
    expires: Moment,
    nonce: Nonce,
}

/// Locks a mutex. A poisoned lock is safe to use, because a panic cannot leave this data
/// half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the input of the signature of a short-lived token: its payload and the hash of the
/// device token. The payload does not contain the hash, because a holder of the short-lived token
/// could use the hash to guess the device token.
fn signed(payload: &str, known: &Digest) -> Vec<u8> {
    [payload.as_bytes(), known].concat()
}

impl Authenticator {
    /// Creates an authenticator for the devices of a file and for the optional static token.
    ///
    /// # Errors
    /// The file exists and cannot be read or is invalid, or the machine has no randomness.
    pub fn new(file: Option<PathBuf>, static_token: Option<&Secret>) -> Result<Self, String> {
        let authenticator = Self::with(file, static_token, Vec::new())?;
        authenticator.reload().map_err(|error| error.to_string())?;
        Ok(authenticator)
    }

    /// Creates an authenticator for a static token and for a file that the user did not name. An
    /// error in the file is logged, but a client with the static token can still connect.
    /// [`Authenticator::watch`] checks the file again later.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn with_optional_file(file: PathBuf, static_token: &Secret) -> Result<Self, String> {
        let authenticator = Self::with(Some(file), Some(static_token), Vec::new())?;
        authenticator.check_file();
        Ok(authenticator)
    }

    /// Creates an authenticator for one device with this name and this token, for tests and
    /// benchmarks.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn single(device: Device, token: &str) -> Result<Self, String> {
        let devices = vec![(device, registry::digest_of(token.trim()))];
        let authenticator = Self::with(None, None, devices)?;
        authenticator.publish(&lock(&authenticator.known_devices).devices);
        Ok(authenticator)
    }

    fn with(
        file: Option<PathBuf>,
        static_token: Option<&Secret>,
        devices: Vec<(Device, Digest)>,
    ) -> Result<Self, String> {
        let random = SystemRandom::new();
        Ok(Self {
            file: file.map(RegistryFile::new),
            static_token: static_token.map(|token| registry::digest_of(token.reveal())),
            known_devices: Mutex::new(KnownDevices {
                devices,
                ..KnownDevices::default()
            }),
            registry: watch::Sender::new(Arc::default()),
            sessions: DeviceSessions::default(),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| NO_RANDOMNESS)?,
            used: Mutex::default(),
            random,
        })
    }

    /// Returns the open sessions of all devices.
    pub const fn sessions(&self) -> &DeviceSessions {
        &self.sessions
    }

    /// Returns the status of all registered devices, and of the static token, by name.
    pub fn statuses(&self) -> Vec<DeviceStatus> {
        let registry = self.registry.borrow().clone();
        self.sessions.statuses(registry.iter())
    }

    /// Returns the path of the registry file.
    pub fn registry_path(&self) -> Option<&Path> {
        self.file.as_ref().map(RegistryFile::path)
    }

    /// Returns true if the hub has more than one device. Only in this case, each device is limited
    /// to its share.
    pub fn has_other_devices(&self) -> bool {
        self.registry.borrow().len() > 1
    }

    /// Removes every named device. The next read of the registry file restores its devices.
    pub fn revoke(&self) {
        let mut known_devices = lock(&self.known_devices);
        known_devices.devices.clear();
        self.publish(&known_devices.devices);
    }

    /// Returns the device of a device token or of the static token; `None` if the token is unknown.
    /// A wrong token takes as long as a right token, so that the response time reveals nothing.
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
        let is_static = |known: Digest| bool::from(known.as_slice().ct_eq(&digest));
        let static_token = self.static_token.is_some_and(is_static);
        device.or_else(|| static_token.then(|| registry::STATIC.into()))
    }

    /// Returns the device of a device token or of a short-lived token, for an upgrade. The upgrade
    /// consumes a short-lived token, so the same token cannot open a second connection.
    pub fn authenticate_upgrade(&self, presented: &str, now: Now) -> Option<Device> {
        self.check(presented).or_else(|| {
            let ticket = self.verify(presented.trim(), now)?;
            self.use_up(&ticket, now).then_some(ticket.device)
        })
    }

    /// Returns the device of a device token or of a short-lived token, for a REST request. The
    /// request does not consume a short-lived token, because the clients of the existing proxy use
    /// the same token for the quotes and for the connection.
    pub fn authenticate_request(&self, presented: &str, now: Now) -> Option<Device> {
        self.check(presented)
            .or_else(|| Some(self.verify(presented.trim(), now)?.device))
    }

    /// Returns the challenge of the hub and the proof that the hub knows the token of the display
    /// that sent this request; `None` if no registered device has this token.
    pub(crate) fn prove(&self, request: &proof::Request) -> Option<(String, String)> {
        let known_devices = lock(&self.known_devices);
        let devices = known_devices.devices.iter().map(|(_, digest)| digest);
        let mut known = devices.chain(&self.static_token);
        request.answer(known.find(|digest| request.is_from(digest))?)
    }

    /// Issues a short-lived token for a device. Also returns the expiry time in milliseconds since
    /// the Unix epoch (a time in 1970 if the wall clock is unknown).
    ///
    /// # Errors
    /// The machine has no randomness, or the device is not registered any more.
    pub fn issue(&self, device: &Device, now: Now) -> Result<(String, i64), &'static str> {
        let mut nonce = Nonce::default();
        self.random.fill(&mut nonce).map_err(|_| NO_RANDOMNESS)?;
        let expires = now.monotonic + EPHEMERAL;
        // The expiry time is monotonic, because the wall clock may change. Only this process reads
        // the token, so a monotonic time is sufficient.
        let (millis, nonce) = (expires.as_millis(), HEXLOWER.encode(&nonce));
        let payload = BASE64.encode(format!("{millis} {nonce} {device}").as_bytes());
        let known = self.known(device).ok_or("the device is no longer let in")?;
        let signature = hmac::sign(&self.key, &signed(&payload, &known));
        let token = format!("{payload}.{}", HEXLOWER.encode(signature.as_ref()));
        let lifetime = i64::try_from(EPHEMERAL.as_millis()).unwrap_or(i64::MAX);
        let utc = now.utc.map_or(0, |utc| utc.0);
        Ok((token, utc.saturating_add(lifetime)))
    }

    /// Returns the hash of the current token of a device.
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
        // A short-lived token becomes invalid when it expires, when the device is removed, or when
        // the device token changes: a device that is revoked and added again under the same name is
        // a new device. The signature of an unknown device is checked too, so that the response
        // time does not reveal if the device exists.
        let known = self.known(name);
        let input = signed(payload, &known.unwrap_or_default());
        hmac::verify(&self.key, &input, &signature).ok()?;
        known?;
        (now.monotonic < expires).then(|| EphemeralToken {
            device: name.into(),
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
            log::warn!(
                "too many short-lived tokens were used within five minutes; the hub refuses the \
                 next token"
            );
            return false;
        }
        used.insert(ticket.nonce, ticket.expires).is_none()
    }

    /// Returns the names of the devices that are allowed to connect, with their updates.
    pub fn registry(&self) -> watch::Receiver<Arc<HashSet<Device>>> {
        self.registry.subscribe()
    }

    /// Reads the registry file again. If the file cannot be read or is invalid, all devices stay
    /// registered except the devices that the file revokes.
    ///
    /// # Errors
    /// The file cannot be read, is missing after an earlier read, or is invalid.
    pub fn reload(&self) -> Result<(), RegistryError> {
        let mut known_devices = lock(&self.known_devices);
        let Some(file) = &self.file else {
            self.publish(&known_devices.devices);
            return Ok(());
        };
        // The version is taken before the read, so that a change in between causes another read.
        known_devices.seen = file.fingerprint();
        let acceptable = known_devices.seen.is_some() || known_devices.devices.is_empty();
        let error = match file.read() {
            // A file that existed before and is now missing counts as a file that cannot be read.
            Ok(registry) if acceptable => known_devices.take(registry),
            Ok(_) => Some(RegistryError::gone(file)),
            Err(error) => Some(error),
        };
        self.publish(&known_devices.devices);
        if error.is_none() {
            known_devices.reported_error = None;
        }
        error.map_or(Ok(()), Err)
    }

    fn publish(&self, devices: &[(Device, Digest)]) {
        let mut names: HashSet<Device> = devices.iter().map(|(name, _)| name.clone()).collect();
        if self.static_token.is_some() {
            names.insert(registry::STATIC.into());
        }
        self.registry.send_if_modified(|registry| {
            let left: Vec<&str> = registry.difference(&names).map(|name| &**name).collect();
            if !left.is_empty() {
                log::info!("devices removed from the registry: {}", left.join(", "));
            }
            let changed = **registry != names;
            *registry = Arc::new(names);
            changed
        });
    }

    /// Reads the registry file again if its version has changed. The log contains the same error
    /// only once.
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
                log::error!("the hub keeps its previous device registry: {error}");
                known_devices.reported_error = Some(error);
            }
        }
    }

    /// Checks the registry file at each [`POLL`] interval, until `stop` becomes true.
    pub async fn watch(self: Arc<Self>, clock: Clock, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = clock.sleep_until(clock.now().monotonic + POLL) => self.check_file(),
                () = crate::hub::stopped(&mut stop) => return,
            }
        }
    }
}

impl KnownDevices {
    /// Applies the content of the registry file. If the file has an error, applies only its
    /// revocations and returns the error.
    fn take(&mut self, mut registry: DeviceRegistry) -> Option<RegistryError> {
        let revoked = registry.revoked;
        if let Some(error) = registry.error {
            self.devices.retain(|(name, _)| !revoked.contains(name));
            return Some(error);
        }
        // A device with a changed token is absent until the next read, so that the hub closes the
        // connections that used the old token.
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
    fn the_memory_of_used_tokens_is_bounded_and_expired_tokens_are_removed() {
        let authenticator = Authenticator::new(None, Some(&Secret::new("t").unwrap())).unwrap();
        let device = authenticator.check("t").unwrap();
        let start = Now::new(Moment::ZERO, Utc::PLAUSIBLE);
        let expires = Moment::ZERO + EPHEMERAL;
        for number in 0..USED_LIMIT {
            let nonce = (number as u128).to_be_bytes();
            lock(&authenticator.used).insert(nonce, expires);
        }
        let (token, _) = authenticator.issue(&device, start).unwrap();
        // The token is refused, because a full memory cannot detect the second use of a token.
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
