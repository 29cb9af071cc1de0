//! Removes everything in a directory, however deep and large it is.
//!
//! By descriptors, one open at a time, so neither path length nor depth is limited; names are read in batches.
//! Files that cannot be removed are skipped and reported at the end. A subvolume is deleted as a whole, with those in
//! it. Symbolic links are not followed, mount points not entered. After a stop request it continues for a short
//! time, because a stage's own removal is mostly quick.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, io};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::Dir;

use super::subvolume;
use crate::fs::shown_path::shortened;
use crate::fs::{interrupt, opener};

/// Names held in memory of one directory, and of all directories on the current path.
const NAMES: usize = 1024;
const ALL_NAMES: usize = 1 << 17;
/// Failed names remembered in one directory; with more, the directory is given up.
const FAILED_MAX: usize = 1 << 14;
/// How many failures are listed by name.
const SHOWN_MAX: usize = 5;
/// How many times it starts again because a directory was moved meanwhile.
const RESTARTS: u32 = 100;
/// Time limit after a stop request.
const GRACE: Duration = Duration::from_millis(700);

/// Files that could not be removed.
#[derive(Debug, Default)]
pub struct NotRemoved {
    count: u64,
    shown: Vec<String>,
    kind: Option<io::ErrorKind>,
}

impl NotRemoved {
    /// Adds a file.
    pub fn add(&mut self, path: &Path, why: &io::Error) {
        self.count += 1;
        self.kind.get_or_insert(why.kind());
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(match path.as_os_str().is_empty() {
                true => why.to_string(),
                false => format!("{}: {why}", shortened(path)),
            });
        }
    }

    /// Returns whether everything was removed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns an error if anything was not removed.
    pub fn into_result(self) -> io::Result<()> {
        match self.kind {
            None => Ok(()),
            Some(kind) => Err(io::Error::new(kind, self)),
        }
    }
}

impl fmt::Display for NotRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join("; "))?;
        match self.count - self.shown.len() as u64 {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for NotRemoved {}

/// Removes everything in an open directory, but not the directory itself.
///
/// # Errors
/// Names what could not be removed; everything else is.
pub fn empty(top: &impl AsFd) -> io::Result<()> {
    let mut walk = Walk {
        current: opener::directory_at(top, ".")?,
        levels: Vec::new(),
        pending_count: 0,
        not_removed: NotRemoved::default(),
        until: None,
        restarts: 0,
    };
    walk.levels
        .push(Level::new(&walk.current, OsString::new())?);
    walk.run(top)?;
    walk.not_removed.into_result()
}

/// A directory on the current path.
struct Level {
    identity: (u64, u64),
    name: OsString,
    /// Names not processed yet.
    pending: Vec<OsString>,
    /// Names that could not be removed.
    failed: HashSet<OsString>,
}

impl Level {
    fn new(directory: &OwnedFd, name: OsString) -> nix::Result<Self> {
        let found = fstat(directory)?;
        Ok(Self {
            identity: (found.st_dev, found.st_ino),
            name,
            pending: Vec::new(),
            failed: HashSet::new(),
        })
    }
}

struct Walk {
    current: OwnedFd,
    levels: Vec<Level>,
    /// Number of pending names in all directories.
    pending_count: usize,
    not_removed: NotRemoved,
    /// The end of the time limit after a stop request.
    until: Option<Instant>,
    /// How many times it started again.
    restarts: u32,
}

impl Walk {
    fn run(&mut self, top: &impl AsFd) -> io::Result<()> {
        loop {
            self.check_interrupt()?;
            if let Some(name) = self.next_name()? {
                if let Err(e) = self.remove(&name) {
                    self.add(&name, &e.into());
                }
            } else if self.levels.len() < 2 {
                return Ok(());
            } else if !self.go_up()? {
                self.restart(top)?;
            }
        }
    }

    /// Starts again at the top: the current directory was moved.
    fn restart(&mut self, top: &impl AsFd) -> io::Result<()> {
        self.restarts += 1;
        if self.restarts > RESTARTS {
            return Err(io::Error::other("directories were moved again and again"));
        }
        self.current = opener::directory_at(top, ".")?;
        self.levels.truncate(1);
        self.pending_count = self.levels[0].pending.len();
        Ok(())
    }

    fn check_interrupt(&mut self) -> io::Result<()> {
        if interrupt::requested().is_none() {
            return Ok(());
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + GRACE);
        match Instant::now() < until {
            true => Ok(()),
            false => interrupt::check_io(),
        }
    }

    fn level(&mut self) -> &mut Level {
        self.levels
            .last_mut()
            .expect("the top is left last, and ends the walk")
    }

    /// Returns a name in the current directory; `None` if no removable one is left.
    fn next_name(&mut self) -> io::Result<Option<OsString>> {
        if self.level().pending.is_empty() {
            if self.level().failed.len() >= FAILED_MAX {
                return Ok(None);
            }
            let limit = if self.pending_count < ALL_NAMES {
                NAMES
            } else {
                1
            };
            // From the start each time: removed names are gone from the listing.
            let stream = Dir::new(opener::directory_at(&self.current, ".")?)?;
            let mut names = Vec::new();
            for entry in stream {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name != "." && name != ".." && !self.level().failed.contains(name) {
                    names.push(name.to_os_string());
                }
                if names.len() >= limit {
                    break;
                }
            }
            self.pending_count += names.len();
            self.level().pending = names;
        }
        let name = self.level().pending.pop();
        self.pending_count -= usize::from(name.is_some());
        Ok(name)
    }

    /// Removes a file, or enters a directory.
    fn remove(&mut self, name: &OsStr) -> nix::Result<()> {
        let mut removed = unlinkat(&self.current, name, UnlinkatFlags::NoRemoveDir);
        if removed == Err(Errno::EPERM) && subvolume::make_changeable(&self.current, name) {
            removed = unlinkat(&self.current, name, UnlinkatFlags::NoRemoveDir);
        }
        match removed {
            Err(Errno::EISDIR) => {}
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(e) => return Err(e),
        }
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
        let below = match openat2(&self.current, name, how) {
            Err(Errno::ENOENT) => return Ok(()),
            // EXDEV would be shown as "cross-device link".
            Err(Errno::EXDEV) => return Err(Errno::EBUSY),
            opened => opened?,
        };
        if subvolume::is_top(&below)? {
            if let Err(e) = subvolume::delete_open(&below) {
                self.add(name, &e);
            }
            return Ok(());
        }
        let level = Level::new(&below, name.to_os_string())?;
        self.levels.push(level);
        self.current = below;
        Ok(())
    }

    /// Returns to the parent of an emptied directory and removes that; false if it was moved.
    fn go_up(&mut self) -> io::Result<bool> {
        let Some(done) = self.levels.pop() else {
            return Ok(false);
        };
        self.pending_count -= done.pending.len();
        let above = opener::directory_at(&self.current, "..")?;
        let found = fstat(&above)?;
        // A moved directory's `..` is another directory.
        if (found.st_dev, found.st_ino) != self.level().identity {
            return Ok(false);
        }
        self.current = above;
        match unlinkat(
            &self.current,
            done.name.as_os_str(),
            UnlinkatFlags::RemoveDir,
        ) {
            Ok(()) | Err(Errno::ENOENT) => {}
            // Its content was reported.
            Err(Errno::ENOTEMPTY) if !done.failed.is_empty() => {
                self.level().failed.insert(done.name);
            }
            // New files were created in it: it will be entered again.
            Err(Errno::ENOTEMPTY) => {}
            Err(e) => self.add(&done.name, &e.into()),
        }
        Ok(true)
    }

    fn add(&mut self, name: &OsStr, why: &io::Error) {
        let path = match self.not_removed.shown.len() < SHOWN_MAX {
            true => self.path(name),
            false => PathBuf::from(name),
        };
        self.not_removed.add(&path, why);
        self.level().failed.insert(name.to_os_string());
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        let above = self.levels.iter().skip(1).map(|level| &level.name);
        above.map(OsString::as_os_str).chain([name]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::{Mode, mkdirat};

    use super::*;

    #[test]
    fn everything_is_removed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("a/b/c")).unwrap();
        std::fs::write(dir.path().join("kept"), "").unwrap();
        symlink(dir.path(), top.join("a/link")).unwrap();
        nix::unistd::mkfifo(&top.join("a/b/pipe"), Mode::S_IRWXU).unwrap();
        for i in 0..3000 {
            std::fs::write(top.join(format!("a/b/{i}")), "").unwrap();
        }
        empty(&opener::directory(&top).unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(&top).unwrap().count(), 0);
        assert!(dir.path().join("kept").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = opener::directory(dir.path()).unwrap();
        let name = "d".repeat(250);
        let mut at = opener::directory_at(&top, ".").unwrap();
        for _ in 0..2000 {
            mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
            at = opener::directory_at(&at, name.as_str()).unwrap();
        }
        empty(&top).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
