//! Decides when the configuration files are read again. This module is pure: the caller passes the
//! file stamps and the time.

use std::time::Duration;

use crate::files::FileStamp;
use crate::time::Moment;

/// The time after which a missing configuration file counts as deleted. An editor that replaces the
/// file removes it only for a short time.
const GONE: Duration = Duration::from_secs(10);

/// The metadata of all files at one check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileStamps {
    /// The configuration file; `None` if the file is missing.
    pub config: Option<FileStamp>,
    /// The files that the configuration names.
    pub others: Vec<Option<FileStamp>>,
}

/// The last known metadata of the configuration files.
#[derive(Clone, Debug, Default)]
pub struct FileWatch {
    judged: FileStamps,
    last: FileStamps,
    gone: Option<Moment>,
}

impl FileWatch {
    /// Takes the result of a check. Returns true if the files must be read now: they have changed,
    /// and they were the same at two checks in a row. The second check avoids errors from a file
    /// that is only partly written.
    pub fn look(&mut self, seen: FileStamps, now: Moment) -> bool {
        let settled = seen == self.last;
        self.last = seen;
        if self.last.config.is_some() {
            self.gone = None;
        } else if now.since(*self.gone.get_or_insert(now)) < GONE {
            return false;
        }
        settled && self.last != self.judged
    }

    /// Stores the metadata of the files that have just been read.
    pub fn judged(&mut self, seen: FileStamps) {
        self.last.clone_from(&seen);
        self.judged = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_stamps(version: u64) -> FileStamps {
        FileStamps {
            config: Some(FileStamp::with_size(version)),
            others: vec![None],
        }
    }

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn new_watch() -> FileWatch {
        let mut watch = FileWatch::default();
        watch.judged(file_stamps(1));
        watch
    }

    #[test]
    fn a_changed_file_is_read_when_two_checks_see_the_same_version() {
        let mut watch = new_watch();
        let looks = [(1, 0), (2, 2), (3, 4), (4, 6), (4, 8)];
        let read = looks.map(|(version, secs)| watch.look(file_stamps(version), at(secs)));
        assert_eq!(read, [false, false, false, false, true]);
        watch.judged(file_stamps(4));
        assert!(!watch.look(file_stamps(4), at(10)));
    }

    #[test]
    fn a_file_that_returns_to_its_old_version_is_not_read_again() {
        let mut watch = new_watch();
        assert!(!watch.look(file_stamps(2), at(2)));
        assert!(!watch.look(file_stamps(1), at(4)));
        assert!(!watch.look(file_stamps(1), at(6)));
    }

    #[test]
    fn a_missing_file_counts_as_unchanged_for_ten_seconds() {
        let mut watch = new_watch();
        let looks = [2, 4, 10, 11, 12].map(|secs| watch.look(FileStamps::default(), at(secs)));
        assert_eq!(looks, [false, false, false, false, true]);
        watch.judged(FileStamps::default());
        assert!(!watch.look(FileStamps::default(), at(14)), "once is enough");
        assert!(!watch.look(file_stamps(1), at(16)));
        assert!(watch.look(file_stamps(1), at(18)), "it is back");
    }

    #[test]
    fn short_absences_of_a_file_are_not_added_together() {
        let mut watch = new_watch();
        assert!(!watch.look(FileStamps::default(), at(2)));
        assert!(!watch.look(file_stamps(1), at(4)));
        for secs in [6, 8, 14] {
            assert!(!watch.look(FileStamps::default(), at(secs)), "{secs}");
        }
        assert!(watch.look(FileStamps::default(), at(16)));
    }

    #[test]
    fn a_change_of_a_referenced_file_counts_as_a_change_of_the_configuration() {
        let mut watch = new_watch();
        let mut token = file_stamps(1);
        token.others = vec![token.config];
        assert!(!watch.look(token.clone(), at(2)));
        assert!(watch.look(token, at(4)));
    }
}
