//! The file of devices: a line for each, its name and the SHA-256 of its token. Owns how that
//! file is read and changed; it never holds a token, and decides nothing about who comes in.
//!
//! ```text
//! # whatever the owner wants to remember
//! kitchen  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! hallway  revoked
//! ```

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};

use super::authenticator::Device;

/// Where the devices are unless told otherwise: systemd's state directory of the hub.
pub const DEFAULT_PATH: &str = "/var/lib/deskticker-hub/devices";
/// The device that the one static token stands for; no line of the file may take its name.
pub const STATIC: &str = "static";

/// A file larger than this holds something else, in bytes; it is room for ten thousand devices.
const SIZE_LIMIT: u64 = 1 << 20;
/// What stands before the hash of a token.
const PREFIX: &str = "sha256:";
/// What stands in its place when the token is no longer good. A word of its own, so that a
/// revocation holds even while another line of the file is wrong.
const REVOKED: &str = "revoked";

/// What is kept of a token. Tokens are 256 random bits, so a plain hash is as good as a slow one.
pub type Digest = [u8; 32];

/// The hash of a token.
pub fn digest_of(token: &str) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

/// A fresh token: 256 random bits in characters that need no escape in a URL.
///
/// # Errors
/// The machine has no randomness to give.
pub fn fresh_token() -> Result<String, &'static str> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the machine gives no random numbers")?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// What is wrong with the file of devices or with a change to it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    file: PathBuf,
    line: Option<usize>,
    message: String,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for RegistryError {}

impl RegistryError {
    /// A file that was there and no longer is.
    pub(crate) fn gone(file: &RegistryFile) -> Self {
        file.error(None, "is no longer there")
    }
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRegistry {
    /// Who has a token.
    pub devices: Vec<(Device, Digest)>,
    /// Whose token is no longer good.
    pub revoked: Vec<Device>,
    /// The first line that says nothing; the devices are then not to be relied upon, but what is
    /// revoked is.
    pub error: Option<RegistryError>,
}

/// What tells one version of a file from another: a rename changes the inode, a `chmod` that makes
/// it readable the time of the change (and not that of the content).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(u64, u64, i64, i64);

/// The file of devices.
#[derive(Clone, Debug)]
pub struct RegistryFile {
    path: PathBuf,
}

impl RegistryFile {
    /// The file at this path; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which version is there now; `None` if there is none, or none that can be seen.
    pub fn fingerprint(&self) -> Option<FileVersion> {
        let data = std::fs::metadata(&self.path).ok()?;
        Some(FileVersion(
            data.ino(),
            data.len(),
            data.ctime(),
            data.ctime_nsec(),
        ))
    }

    /// Reads it; one that does not exist yet has no devices.
    ///
    /// # Errors
    /// It cannot be read. A line that is wrong is part of the answer.
    pub fn read(&self) -> Result<DeviceRegistry, RegistryError> {
        match self.text()? {
            Some(text) => Ok(self.parse(&text)),
            None => Ok(DeviceRegistry::default()),
        }
    }

    /// Gives a new device a token, which is told here and never again.
    ///
    /// # Errors
    /// The name is taken or is none, or the file is wrong or cannot be written.
    pub fn add(&self, name: &str) -> Result<String, RegistryError> {
        check_name(name).map_err(|reason| self.error(None, reason))?;
        let token = fresh_token().map_err(|reason| self.error(None, reason))?;
        let line = format!("{name} {PREFIX}{}", HEXLOWER.encode(&digest_of(&token)));
        self.edit(|text| {
            let registry = self.parse(text);
            if let Some(error) = registry.error {
                return Err(error);
            }
            if registry.devices.iter().any(|(device, _)| **device == *name) {
                let message = format!(
                    "there is a device {name:?} already; revoke it first to give it a new token"
                );
                return Err(self.error(None, message));
            }
            // A line that says that an older token of this name is revoked has done its work.
            let mut lines: Vec<&str> = text.lines().filter(|line| !names(line, name)).collect();
            lines.push(&line);
            Ok(joined(&lines))
        })?;
        Ok(token)
    }

    /// Who has a token.
    ///
    /// # Errors
    /// The file is wrong or cannot be read.
    pub fn list(&self) -> Result<Vec<Device>, RegistryError> {
        let registry = self.read()?;
        match registry.error {
            Some(error) => Err(error),
            None => Ok(registry.devices.into_iter().map(|(name, _)| name).collect()),
        }
    }

    /// Takes a device's token away; works even if other lines are wrong.
    ///
    /// # Errors
    /// There is no such device, or the file cannot be read or written.
    pub fn revoke(&self, name: &str) -> Result<(), RegistryError> {
        check_name(name).map_err(|reason| self.error(None, reason))?;
        let replacement = format!("{name} {REVOKED}");
        self.edit(|text| {
            let mut lines = Vec::new();
            let mut found = false;
            for line in text.lines() {
                if !names(line, name) {
                    lines.push(line);
                    continue;
                }
                if !found {
                    lines.push(&replacement);
                }
                found = true;
            }
            if found {
                Ok(joined(&lines))
            } else {
                Err(self.error(None, format!("there is no device {name:?}")))
            }
        })
    }

    fn error(&self, line: Option<usize>, message: impl Into<String>) -> RegistryError {
        RegistryError {
            file: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    fn text(&self) -> Result<Option<String>, RegistryError> {
        let told = |error: std::io::Error| self.error(None, format!("cannot be read: {error}"));
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(error)),
        };
        let data = file.metadata().map_err(told)?;
        if data.permissions().mode() & 0o007 != 0 {
            log::warn!(
                "{} can be read by every user of this machine: chmod 600 it",
                self.path.display()
            );
        }
        if data.len() > SIZE_LIMIT {
            return Err(self.error(None, "is larger than 1 MiB: not a file of devices"));
        }
        let mut text = String::new();
        file.take(SIZE_LIMIT)
            .read_to_string(&mut text)
            .map_err(told)?;
        Ok(Some(text))
    }

    fn parse(&self, text: &str) -> DeviceRegistry {
        let mut registry = DeviceRegistry::default();
        for (index, line) in text.lines().enumerate() {
            if let Err(message) = registry.line(line) {
                registry
                    .error
                    .get_or_insert_with(|| self.error(Some(index + 1), message));
            }
        }
        // Whichever line comes first: a revocation that an editor has left beside the hash holds.
        let DeviceRegistry {
            devices, revoked, ..
        } = &mut registry;
        if !revoked.is_empty() {
            let revoked: HashSet<&Device> = revoked.iter().collect();
            devices.retain(|(name, _)| !revoked.contains(name));
        }
        registry
    }

    /// Replaces the file with what `change` makes of its text, whole or not at all.
    fn edit(
        &self,
        change: impl FnOnce(&str) -> Result<String, RegistryError>,
    ) -> Result<(), RegistryError> {
        let told = |error: std::io::Error| self.error(None, format!("cannot be written: {error}"));
        // A link to the file stays one.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Locking the folder leaves no lock file behind, and ends with the process.
        let lock = File::open(folder).map_err(told)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| told(error.into()))?;
        let text = change(&self.text()?.unwrap_or_default())?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        // Under the lock, one that is there was left by a process that has ended.
        if let Err(error) = std::fs::remove_file(&temporary)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(told(error));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(told)?;
        // Root adds devices; the hub, which runs as somebody else, must still be able to read.
        let owner = std::fs::metadata(&path).or_else(|_| lock.metadata());
        if let Ok(owner) = owner
            && rustix::process::geteuid().is_root()
        {
            fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(told)?;
        }
        file.write_all(text.as_bytes()).map_err(told)?;
        file.sync_all().map_err(told)?;
        std::fs::rename(&temporary, &path).map_err(told)?;
        lock.sync_all().map_err(told)
    }
}

impl DeviceRegistry {
    fn line(&mut self, line: &str) -> Result<(), String> {
        const FORM: &str = "expected a name and sha256:…, as `deskticker-hub token add` writes it";
        let mut words = content(line).split_whitespace();
        let Some(name) = words.next() else {
            return Ok(());
        };
        // What stands there in place of a name or a hash may be a token: it is not repeated.
        check_name(name).map_err(|_| format!("this is not the name of a device; {FORM}"))?;
        let (Some(value), None) = (words.next(), words.next()) else {
            return Err(FORM.into());
        };
        if value == REVOKED {
            self.revoked.push(name.into());
            return Ok(());
        }
        let digest = value
            .strip_prefix(PREFIX)
            .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok())
            .and_then(|bytes| Digest::try_from(bytes).ok())
            .ok_or(FORM)?;
        if self.devices.iter().any(|(device, _)| **device == *name) {
            return Err(format!("the device {name:?} is there twice"));
        }
        self.devices.push((name.into(), digest));
        Ok(())
    }
}

/// A line without its comment.
fn content(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

/// Whether a line is about this device.
fn names(line: &str, name: &str) -> bool {
    content(line).split_whitespace().next() == Some(name)
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name == STATIC {
        return Err(format!(
            "the name {STATIC:?} belongs to MASSIVE_PROXY_TOKEN; choose another"
        ));
    }
    if (1..=32).contains(&name.len())
        && name.bytes().all(plain)
        && name.as_bytes()[0].is_ascii_alphanumeric()
    {
        Ok(())
    } else {
        Err(
            "a device's name has 1 to 32 letters, digits, dots, dashes and underscores, \
             like \"kitchen\" or \"pi-3\""
                .into(),
        )
    }
}
