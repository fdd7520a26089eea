//! The rules for files of this program: how a file is replaced as a whole, how a change of a file
//! is detected, and the warning for a readable file of a secret. This module knows no file format.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The metadata of a file, which changes when the file changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStamp {
    inode: u64,
    size: u64,
    /// The time of the last status change, in seconds and nanoseconds. This time changes with the
    /// content of the file and with its mode: an unreadable file may be readable now.
    changed: (i64, i64),
}

impl FileStamp {
    /// Returns the metadata of a file; `None` if the file does not exist or cannot be accessed.
    pub fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self {
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// Returns the kind of a file that is not a regular file, such as `a device`. `None` for a regular
/// file, for a symbolic link to a regular file, and for a path without a file.
pub(crate) fn other_kind(path: &Path) -> Option<&'static str> {
    match fs::metadata(path).ok()?.file_type() {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Checks a path before the program reads or replaces its own file there. A read of a FIFO would
/// never end, and a regular file in place of a device would damage the machine.
///
/// # Errors
/// The file at the path is not a regular file.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match other_kind(path) {
        Some(kind) => Err(io::Error::other(format!(
            "this is {kind}; expected a regular file or a new one"
        ))),
        None => Ok(()),
    }
}

/// Replaces a file as a whole: a reader sees the whole old content or the whole new content. The
/// new file has exactly this mode. With `durable`, the file also survives a power failure. Returns
/// the new file, which stays open.
///
/// # Errors
/// The path is no regular file, or the folder is missing, full, or not writable. The old file stays
/// unchanged.
pub(crate) fn replace_file(
    path: &Path,
    content: &[u8],
    mode: u32,
    durable: bool,
) -> io::Result<File> {
    check_regular(path)?;
    // The temporary file is in the same folder, because a rename cannot cross file systems.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(&temporary).and_then(|file| {
        // A temporary file that is left from an earlier process may have another mode, and the
        // umask may have removed permissions.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all_at(content, 0)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        Ok(file)
    });
    if written.is_err() {
        // An error here is ignored: the temporary file may not exist, and the write error is
        // returned.
        let _ = fs::remove_file(&temporary);
    } else if durable {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    written
}

/// Logs a warning if users other than the owner and the group have access to a file with a secret.
pub(crate) fn warn_if_readable_by_all(path: &Path) {
    let open = |data: Metadata| data.permissions().mode() & 0o007 != 0;
    if fs::metadata(path).is_ok_and(open) {
        log::warn!(
            "every user of this machine can read the file {}: set its mode with chmod 600",
            path.display()
        );
    }
}

#[cfg(test)]
impl FileStamp {
    /// The metadata of a file with this size, for tests.
    pub(crate) fn with_size(size: u64) -> Self {
        Self {
            inode: 1,
            size,
            changed: (0, 0),
        }
    }
}
