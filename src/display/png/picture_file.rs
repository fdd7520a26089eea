//! A file that is replaced as a whole, or overwritten with a notice. This module owns the path and
//! the last written file; it never interprets the content.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::files::{self, replace_file};

/// The file mode: every user may read the file, for any umask of the program.
const MODE: u32 = 0o644;
/// The signature of a PNG file (PNG specification, section 5.2). Without the signature, no program
/// accepts the file as a picture.
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// A picture file that is replaced as a whole, or overwritten with a notice.
#[derive(Debug)]
pub(crate) struct PictureFile {
    pub(crate) path: PathBuf,
    /// The last written file. The file stays open, so that the program can overwrite the file even
    /// after its directory has been moved.
    written: Option<File>,
}

impl PictureFile {
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
        }
    }

    /// Replaces the file with a picture. A reader sees the whole old picture or the whole new
    /// picture.
    ///
    /// # Errors
    /// Returns an error if the directory is missing, full, or not writable. The old file stays
    /// unchanged.
    pub(crate) fn replace(&mut self, picture: &[u8]) -> io::Result<()> {
        self.check()?;
        self.written = Some(replace_file(&target(&self.path), picture, MODE, false)?);
        Ok(())
    }

    /// Checks that a picture may replace the file.
    ///
    /// # Errors
    /// The file exists and is no picture.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.other_kind(&target(&self.path)) {
            Some(kind) => Err(io::Error::other(format!(
                "this is {kind}; a picture replaces only a picture"
            ))),
            None => Ok(()),
        }
    }

    /// Overwrites the file with another picture, for the case that the file cannot be replaced. If
    /// the overwrite also fails, the file is removed.
    ///
    /// # Errors
    /// Returns an error if both fail. The old file stays unchanged.
    pub(crate) fn take_back(&self, instead: &[u8]) -> io::Result<()> {
        let target = target(&self.path);
        if self.other_kind(&target).is_some() {
            // The program has never written a picture to this path.
            return Ok(());
        }
        let last = self.written.as_ref().and_then(|file| {
            overwrite(file, instead).ok()?;
            identity(file)
        });
        match self.open() {
            Ok(file) if last.is_some() && identity(&file) == last => return Ok(()),
            // This file was written by another process before.
            Ok(file) if overwrite(&file, instead).is_ok() => return Ok(()),
            Ok(_) | Err(_) => {}
        }
        match fs::remove_file(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the kind of a file that this program must not replace. The content is not read again
    /// after the first written picture.
    fn other_kind(&self, target: &Path) -> Option<&'static str> {
        let is_new = self.written.is_none();
        other_kind(target).filter(|kind| is_new || *kind != NO_PICTURE)
    }

    /// Opens the file to write it in place. The function rejects everything that is not a regular
    /// file.
    fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = (OpenOptions::new().write(true))
            .custom_flags(flags)
            .open(target(&self.path))?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// Returns the file at the end of symbolic links. The user has created the links, so the picture
/// must not replace them.
pub(crate) fn target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    // The kernel also follows at most 40 links.
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&target) else {
            break;
        };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    target
}

/// The kind of a regular file with other content.
const NO_PICTURE: &str = "a file that is no picture";

/// Returns the kind of a file that a picture must not replace, such as `a device`. `None` for a
/// picture, for an empty file, and for a path without a file.
pub(crate) fn other_kind(path: &Path) -> Option<&'static str> {
    let other = || (path.is_file() && !may_be_picture(path)).then_some(NO_PICTURE);
    files::other_kind(path).or_else(other)
}

/// Returns true if the file begins like a picture. The program clears the signature while it
/// overwrites a picture. A file that this user may not read is no picture.
fn may_be_picture(path: &Path) -> bool {
    let mut start = [0; SIGNATURE.len()];
    let read = File::open(path).and_then(|file| file.read_at(&mut start, 0));
    read.is_ok_and(|count| count == 0 || start == SIGNATURE || start == [0; SIGNATURE.len()])
}

/// Returns the device and inode numbers, which identify an open file.
fn identity(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Overwrites the existing blocks of the file, so that the write works on a full disk. The
/// signature is cleared first and written last, so a reader never sees an old or a partial picture.
fn overwrite(file: &File, picture: &[u8]) -> io::Result<()> {
    let (signature, rest) = picture.split_at(SIGNATURE.len().min(picture.len()));
    let written = file
        .write_all_at(&[0; SIGNATURE.len()], 0)
        .and_then(|()| file.write_all_at(rest, signature.len() as u64))
        .and_then(|()| file.set_len(picture.len() as u64))
        .and_then(|()| file.write_all_at(signature, 0));
    if written.is_err() {
        // An empty file needs no disk space.
        let _ = file.set_len(0);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("deskticker-file-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    const PRICE: &[u8] = b"\x89PNG\r\n\x1a\na picture of a price, which is longer";
    const NOTICE: &[u8] = b"\x89PNG\r\n\x1a\nwords in its place";

    #[test]
    fn a_file_is_overwritten_even_if_its_directory_was_renamed() {
        let folder = folder("moved");
        let (here, there) = (folder.join("here"), folder.join("there"));
        fs::create_dir(&here).unwrap();
        let mut file = PictureFile::at(here.join("screen.png"));
        file.replace(PRICE).unwrap();
        fs::rename(&here, &there).unwrap();
        file.replace(PRICE).unwrap_err();
        file.take_back(NOTICE).unwrap();
        assert_eq!(fs::read(there.join("screen.png")).unwrap(), NOTICE);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_of_another_process_is_overwritten_in_place() {
        let folder = folder("left");
        let path = folder.join("screen.png");
        fs::write(&path, PRICE).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        PictureFile::at(path.clone()).take_back(NOTICE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), NOTICE);
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "in place");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_has_the_picture() {
        let folder = folder("link");
        let (path, other) = (folder.join("screen.png"), folder.join("other"));
        // The second link has a relative target that does not exist yet.
        std::os::unix::fs::symlink(folder.join("second"), &path).unwrap();
        std::os::unix::fs::symlink("other", folder.join("second")).unwrap();
        let mut file = PictureFile::at(path.clone());
        file.replace(PRICE).unwrap();
        assert_eq!(fs::read(&other).unwrap(), PRICE);
        file.take_back(NOTICE).unwrap();
        assert_eq!(fs::read(&other).unwrap(), NOTICE);
        assert!(path.symlink_metadata().unwrap().is_symlink());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_no_picture_stays_and_an_empty_file_or_a_picture_is_replaced() {
        let folder = folder("content");
        let path = folder.join("ticker.toml");
        for text in ["watchlist = [\"SPX\"]", "x"] {
            fs::write(&path, text).unwrap();
            let mut file = PictureFile::at(path.clone());
            let error = file.replace(PRICE).unwrap_err().to_string();
            assert!(error.contains(NO_PICTURE), "{error}");
            file.take_back(NOTICE).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        for content in [&b""[..], NOTICE, &[0; 20]] {
            fs::write(&path, content).unwrap();
            PictureFile::at(path.clone()).replace(PRICE).unwrap();
            assert_eq!(fs::read(&path).unwrap(), PRICE);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_device_a_pipe_or_a_folder_is_refused_and_stays() {
        let folder = folder("kinds");
        let (pipe, link) = (folder.join("pipe"), folder.join("link"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let inner = folder.join("inner");
        fs::create_dir(&inner).unwrap();
        for (path, kind) in [(&pipe, "a FIFO"), (&link, "a device"), (&inner, "a folder")] {
            let mut file = PictureFile::at(path.clone());
            let error = file.replace(PRICE).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
            file.take_back(NOTICE).unwrap();
            assert_eq!(other_kind(path), Some(kind), "it is still there");
        }
        assert!(link.symlink_metadata().unwrap().is_symlink());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_user_can_read_the_file_and_no_temporary_file_remains() {
        let folder = folder("mode");
        let path = folder.join("screen.png");
        let mut file = PictureFile::at(path.clone());
        // An earlier run of the program can leave this file.
        let temporary = folder.join(format!("screen.png.{}.tmp", std::process::id()));
        fs::write(&temporary, "").unwrap();
        fs::set_permissions(&temporary, Permissions::from_mode(0o600)).unwrap();
        file.replace(PRICE).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
