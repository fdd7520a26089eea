//! A file that is replaced whole, or taken back. Owns the path and the file written last; knows
//! nothing of what is in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Anybody may look at it, whatever the umask of who writes it.
const MODE: u32 = 0o644;
/// The first bytes of a PNG: without them nothing takes a file for a picture.
const SIGNATURE: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct PictureFile {
    path: PathBuf,
    /// The file written last: it can be taken back wherever it has gone since, with its folder.
    written: Option<File>,
}

impl PictureFile {
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a picture in the place of the file: whoever reads that sees the old one or the new one,
    /// whole.
    ///
    /// # Errors
    /// The folder is missing, full, or may not be written. What was there is there still.
    pub(crate) fn replace(&mut self, picture: &[u8]) -> io::Result<()> {
        let mut temporary = self.path.as_os_str().to_owned();
        // In the same folder, for a rename does not cross file systems.
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = File::create(&temporary).and_then(|file| {
            file.set_permissions(Permissions::from_mode(MODE))?;
            file.write_all_at(picture, 0)?;
            fs::rename(&temporary, &self.path)?;
            Ok(file)
        });
        if written.is_err() {
            // Nothing to add to the error that is returned: it may not even exist.
            let _ = fs::remove_file(&temporary);
        }
        self.written = Some(written?);
        Ok(())
    }

    /// Writes another picture over the file, for when it cannot be replaced; where that fails too,
    /// there is no file any more.
    ///
    /// # Errors
    /// Neither can be done: what was there is there still.
    pub(crate) fn take_back(&self, instead: &[u8]) -> io::Result<()> {
        let last = self.written.as_ref().and_then(|file| {
            overwrite(file, instead).ok()?;
            identity(file)
        });
        match self.open() {
            Ok(file) if last.is_some() && identity(&file) == last => return Ok(()),
            // Of somebody who wrote it before.
            Ok(file) if overwrite(&file, instead).is_ok() => return Ok(()),
            Ok(_) | Err(_) => {}
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the file to be written in place. Not through a link, which may lead to a file of
    /// somebody else, and not what is no file.
    fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = (OpenOptions::new().write(true))
            .custom_flags(flags)
            .open(&self.path)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// By which two open files are known to be the same.
fn identity(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Writes over the blocks that the file has, so that a full disk has room for it. Until all is there
/// it is no picture: whoever reads meanwhile sees neither half of a price nor the old one.
fn overwrite(file: &File, picture: &[u8]) -> io::Result<()> {
    let (signature, rest) = picture.split_at(SIGNATURE.min(picture.len()));
    let written = file
        .write_all_at(&[0; SIGNATURE], 0)
        .and_then(|()| file.write_all_at(rest, signature.len() as u64))
        .and_then(|()| file.set_len(picture.len() as u64))
        .and_then(|()| file.write_all_at(signature, 0));
    if written.is_err() {
        // Nothing at all needs no room.
        let _ = file.set_len(0);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("deskticker-file-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    const PRICE: &[u8] = b"a picture of a price, which is longer";
    const WORDS: &[u8] = b"words in its place";

    #[test]
    fn a_file_is_taken_back_wherever_its_folder_has_gone() {
        let folder = folder("moved");
        let (here, there) = (folder.join("here"), folder.join("there"));
        fs::create_dir(&here).unwrap();
        let mut file = PictureFile::at(here.join("screen.png"));
        file.replace(PRICE).unwrap();
        fs::rename(&here, &there).unwrap();
        file.replace(PRICE).unwrap_err();
        file.take_back(WORDS).unwrap();
        assert_eq!(fs::read(there.join("screen.png")).unwrap(), WORDS);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_another_process_has_left_is_taken_back_too() {
        let folder = folder("left");
        let path = folder.join("screen.png");
        fs::write(&path, PRICE).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        PictureFile::at(path.clone()).take_back(WORDS).unwrap();
        assert_eq!(fs::read(&path).unwrap(), WORDS);
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "in place");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_over_is_removed_and_nothing_behind_a_link_is_touched() {
        let folder = folder("link");
        let (path, other) = (folder.join("screen.png"), folder.join("other"));
        fs::write(&other, PRICE).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        PictureFile::at(path.clone()).take_back(WORDS).unwrap();
        assert!(path.symlink_metadata().is_err());
        assert_eq!(fs::read(&other).unwrap(), PRICE);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn anybody_may_read_it_and_no_other_file_stays() {
        let folder = folder("mode");
        let path = folder.join("screen.png");
        let mut file = PictureFile::at(path.clone());
        // As a start before this one may have left it.
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
