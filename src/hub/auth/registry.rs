//! The file of the device registry: one line for each device, with its name and the SHA-256 of its
//! token. Owns the reads and the changes of this file. The registry never stores a token, and never
//! decides which clients are allowed to connect.
//!
//! ```text
//! # a comment of the owner
//! kitchen  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! hallway  revoked
//! ```

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};

use crate::files::{FileStamp, check_regular, warn_if_readable_by_all};
use crate::secret::Secret;

/// The name of a device, as its owner chose it.
pub type Device = Arc<str>;

/// The default path of the file, in the state directory that systemd creates for the hub.
pub const DEFAULT_PATH: &str = "/var/lib/deskticker-hub/devices";
/// The device name of the static token. No line of the file may use this name.
pub const STATIC: &str = "static";

/// The maximum size of the file, in bytes: enough for ten thousand devices. A larger file is not a
/// device registry.
const SIZE_LIMIT: u64 = 1 << 20;
/// The prefix of the hash of a token.
const PREFIX: &str = "sha256:";
/// The word that replaces the hash of a revoked token. A revoked device keeps its line, so that the
/// revocation is effective even if another line of the file is invalid.
const REVOKED: &str = "revoked";

/// The SHA-256 of a token. A token has 256 random bits, so a fast hash is as secure as a slow hash.
pub type Digest = [u8; 32];

/// Returns the SHA-256 of a token.
pub fn digest_of(token: &str) -> Digest {
    let digest = digest(&SHA256, token.as_bytes());
    Digest::try_from(digest.as_ref()).unwrap_or_default()
}

/// Returns a new token: 256 random bits, in characters that need no escape in a URL.
///
/// # Errors
/// The machine has no randomness.
pub fn fresh_token() -> Result<String, &'static str> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the operating system provides no random numbers")?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// The minimum length of the static token, and the length below which the hub warns.
const STATIC_TOKEN: (usize, usize) = (8, 16);

/// Checks the length of the static token, because a short token can be guessed.
pub(crate) fn check_static_token(token: &Secret) -> Result<(), String> {
    const BETTER: &str = "create a token for each display with `deskticker-hub token add NAME`, or \
                          a static one with `openssl rand -base64 24`";
    let (refused, warned) = STATIC_TOKEN;
    match token.reveal().chars().count() {
        length if length < refused => Err(format!(
            "the static token (token_file, credential or MASSIVE_PROXY_TOKEN) has {length} \
             characters and can be guessed; at least {refused} are necessary: {BETTER}"
        )),
        length if length < warned => {
            log::warn!("the static token has only {length} characters: {BETTER}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An error in the registry file or in a change of the file, with its line.
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
    /// Returns the error for a file that existed before and is now missing.
    pub(crate) fn gone(file: &RegistryFile) -> Self {
        file.error(None, "no longer exists")
    }
}

/// The content of the registry file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRegistry {
    /// The devices and the hashes of their tokens.
    pub devices: Vec<(Device, Digest)>,
    /// The devices whose token is revoked.
    pub revoked: HashSet<Device>,
    /// The first invalid line. With an error, `devices` may be incomplete, but `revoked` is
    /// reliable.
    pub error: Option<RegistryError>,
}

/// The file of the device registry.
#[derive(Clone, Debug)]
pub struct RegistryFile {
    path: PathBuf,
}

impl RegistryFile {
    /// Creates a registry for the file at this path. The file may be missing. A relative path is
    /// relative to the working directory; messages contain the absolute path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            path: std::path::absolute(&path).unwrap_or(path),
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the current version of the file; `None` if the file is missing or not accessible.
    pub fn fingerprint(&self) -> Option<FileStamp> {
        FileStamp::of(&self.path)
    }

    /// Reads the file. A missing file has no devices.
    ///
    /// # Errors
    /// The file cannot be read. An invalid line is not an error here; [`DeviceRegistry::error`]
    /// contains it.
    pub fn read(&self) -> Result<DeviceRegistry, RegistryError> {
        Ok(self.parse(&self.text()?))
    }

    /// Adds a device and returns its new token. The file stores only the hash, so the token cannot
    /// be shown again.
    ///
    /// # Errors
    /// The name is invalid or already in use, the file is invalid, or the file cannot be written.
    pub fn add(&self, name: &str) -> Result<String, RegistryError> {
        check_name(name).map_err(|reason| self.error(None, reason))?;
        if self.path == Path::new(DEFAULT_PATH)
            && let Some(folder) = self.path.parent()
        {
            // The first device can be added before the first start of the service.
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(|error| self.error(None, format!("cannot be written: {error}")))?;
        }
        let token = fresh_token().map_err(|reason| self.error(None, reason))?;
        let line = format!("{name} {PREFIX}{}", HEXLOWER.encode(&digest_of(&token)));
        self.edit(|text| {
            let registry = self.parse(text);
            if let Some(error) = registry.error {
                return Err(error);
            }
            if registry.devices.iter().any(|(device, _)| **device == *name) {
                let message = format!(
                    "the device {name:?} already exists; revoke its token first, then add the \
                     device again"
                );
                return Err(self.error(None, message));
            }
            // The line with an older, revoked token of this name is not necessary any more.
            let mut lines: Vec<&str> = text.lines().filter(|line| !names(line, name)).collect();
            lines.push(&line);
            Ok(joined(&lines))
        })?;
        Ok(token)
    }

    /// Returns the names of the devices with a valid token.
    ///
    /// # Errors
    /// The file is missing or invalid, or cannot be read.
    pub fn list(&self) -> Result<Vec<Device>, RegistryError> {
        self.check_exists()?;
        let registry = self.read()?;
        let names = registry.devices.into_iter().map(|(name, _)| name).collect();
        registry.error.map_or(Ok(names), Err)
    }

    /// Revokes the token of a device, even if other lines of the file are invalid. The revocation
    /// does not need space on the disk: the word `revoked` is first written over the hash, so that
    /// a running hub refuses the token at once, and then the file is replaced without the rest of
    /// the hash. Returns the reason if only the second step failed.
    ///
    /// # Errors
    /// The name is invalid, the device does not exist, or the file cannot be read or written.
    pub fn revoke(&self, name: &str) -> Result<Option<RegistryError>, RegistryError> {
        check_name(name).map_err(|reason| self.error(None, reason))?;
        let replacement = format!("{name} {REVOKED}");
        self.check_exists()?;
        let overwritten = self.overwrite(name, &replacement);
        let replaced = self.edit(|text| {
            let mut lines: Vec<&str> = text.lines().collect();
            let Some(place) = lines.iter().position(|line| names(line, name)) else {
                return Err(self.error(None, format!("there is no device {name:?}")));
            };
            lines.retain(|line| !names(line, name));
            lines.insert(place, &replacement);
            Ok(joined(&lines))
        });
        match (replaced, overwritten) {
            (Ok(()), _) => Ok(None),
            (Err(error), Ok(true)) => Ok(Some(error)),
            (Err(error), _) => Err(error),
        }
    }

    /// Writes the replacement and spaces over each line of a device, without a change of the size
    /// of the file. Returns false if the file has no line of the device.
    fn overwrite(&self, name: &str, replacement: &str) -> std::io::Result<bool> {
        check_regular(&self.path)?;
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let mut text = String::new();
        (&mut file).take(SIZE_LIMIT).read_to_string(&mut text)?;
        let (mut at, mut found) = (0, false);
        for line in text.split_inclusive('\n') {
            let length = line.trim_end_matches('\n').len();
            if names(line, name) && length >= replacement.len() {
                let padded = format!("{replacement:length$}");
                file.write_all_at(padded.as_bytes(), at)?;
                found = true;
            }
            at += line.len() as u64;
        }
        file.sync_all()?;
        Ok(found)
    }

    /// Returns an error if the file is missing. The most likely cause is a path that the hub does
    /// not use.
    fn check_exists(&self) -> Result<(), RegistryError> {
        match self.path.exists() {
            true => Ok(()),
            false => Err(self.error(
                None,
                "does not exist: name the file of the hub with --file or --config, or create a \
                 first token with token add NAME",
            )),
        }
    }

    fn error(&self, line: Option<usize>, message: impl Into<String>) -> RegistryError {
        RegistryError {
            file: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    /// Returns the text of the file. The text of a missing file is empty.
    fn text(&self) -> Result<String, RegistryError> {
        let to_error = |error: std::io::Error| self.error(None, format!("cannot be read: {error}"));
        check_regular(&self.path).map_err(to_error)?;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(to_error(error)),
        };
        let data = file.metadata().map_err(to_error)?;
        warn_if_readable_by_all(&self.path);
        if data.len() > SIZE_LIMIT {
            return Err(self.error(
                None,
                "is larger than 1 MiB, so the file is not a device registry",
            ));
        }
        let mut text = String::new();
        file.take(SIZE_LIMIT)
            .read_to_string(&mut text)
            .map_err(to_error)?;
        Ok(text)
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
        // A revoked line has priority over a hash of the same device, in any order of the lines,
        // because an editor may have kept both.
        let revoked = &registry.revoked;
        registry.devices.retain(|(name, _)| !revoked.contains(name));
        registry
    }

    /// Replaces the content of the file with the result of `change`. The replacement is atomic.
    fn edit(
        &self,
        change: impl FnOnce(&str) -> Result<String, RegistryError>,
    ) -> Result<(), RegistryError> {
        let to_error =
            |error: std::io::Error| self.error(None, format!("cannot be written: {error}"));
        // If the path is a symbolic link, the link stays and its target is replaced.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // A lock on the folder leaves no lock file, and the system releases the lock when the
        // process ends.
        let lock = File::open(folder).map_err(to_error)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| to_error(error.into()))?;
        let text = change(&self.text()?)?;
        replace(&path, &text, &lock).map_err(to_error)
    }
}

/// Replaces a file with a new file that contains `text`. `lock` is the folder of the file, locked.
fn replace(path: &Path, text: &str, lock: &File) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = match options.open(&temporary) {
        // Under the lock, an existing temporary file was left by a process that has ended.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(&temporary)?;
            options.open(&temporary)?
        }
        opened => opened?,
    };
    // Root adds devices, but the hub runs as another user and must be able to read the new file.
    let owner = std::fs::metadata(path).or_else(|_| lock.metadata());
    if let Ok(owner) = owner
        && rustix::process::geteuid().is_root()
    {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    lock.sync_all()
}

impl DeviceRegistry {
    fn line(&mut self, line: &str) -> Result<(), String> {
        const FORM: &str = "expected a name and sha256:…, as `deskticker-hub token add` writes it";
        let mut words = content(line).split_whitespace();
        let Some(name) = words.next() else {
            return Ok(());
        };
        // The error message does not repeat the text, because a token may stand in the place of the
        // name or the hash.
        check_name(name).map_err(|_| format!("this is not the name of a device; {FORM}"))?;
        let (Some(value), None) = (words.next(), words.next()) else {
            return Err(FORM.into());
        };
        if value == REVOKED {
            self.revoked.insert(name.into());
            return Ok(());
        }
        let digest = value
            .strip_prefix(PREFIX)
            .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok())
            .and_then(|bytes| Digest::try_from(bytes).ok())
            .ok_or(FORM)?;
        if self.devices.iter().any(|(device, _)| **device == *name) {
            return Err(format!("the device {name:?} is in the file twice"));
        }
        self.devices.push((name.into(), digest));
        Ok(())
    }
}

/// Returns the line without its comment.
fn content(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

/// Returns true if the line belongs to this device.
fn names(line: &str, name: &str) -> bool {
    content(line).split_whitespace().next() == Some(name)
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// Checks the name of a device.
///
/// # Errors
/// The expected form of a name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name == STATIC {
        return Err(format!(
            "the name {STATIC:?} is reserved for MASSIVE_PROXY_TOKEN; choose another name"
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
