//! Removing everything in a directory, however deep, wide or stubborn it is.
//!
//! Goes by descriptors, one open at a time, so no path is too long and no depth too deep; names are read some at a
//! time, so none are too many. What cannot be removed is passed over, and told at the end: the rest goes all the same.
//! A subvolume goes at once, with those in it. Links are not followed, mounts not entered. When netbe is asked to stop,
//! it goes on for a moment, because a stage that removes itself on the way out is mostly quick, and stops then.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, io};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::subvolume;
use crate::fs::shown_path::shortened;
use crate::fs::{interrupt, opener};

/// How many names of one directory are held in memory, and of all that it is on its way through.
const NAMES: usize = 1024;
const ALL_NAMES: usize = 1 << 17;
/// How many that cannot be removed are remembered in one directory; behind as many it is given up.
const STUBBORN: usize = 1 << 14;
/// How many of what stayed are told by name.
const TOLD: usize = 5;
/// How often it begins again where somebody moves what is being removed.
const RESTARTS: u32 = 100;
/// How long it goes on after netbe was asked to stop.
const GRACE: Duration = Duration::from_millis(700);

/// What could not be removed.
#[derive(Debug, Default)]
pub struct Stayed {
    count: u64,
    told: Vec<String>,
    kind: Option<io::ErrorKind>,
}

impl Stayed {
    /// Notes one that stays.
    pub fn note(&mut self, path: &Path, why: &io::Error) {
        self.count += 1;
        self.kind.get_or_insert(why.kind());
        if self.told.len() < TOLD {
            self.told.push(match path.as_os_str().is_empty() {
                true => why.to_string(),
                false => format!("{}: {why}", shortened(path)),
            });
        }
    }

    /// Returns whether nothing stayed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends in an error where anything stayed.
    pub fn end(self) -> io::Result<()> {
        match self.kind {
            None => Ok(()),
            Some(kind) => Err(io::Error::new(kind, self)),
        }
    }
}

impl fmt::Display for Stayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        match self.count - self.told.len() as u64 {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Stayed {}

/// Removes everything in an open directory, which itself stays.
///
/// # Errors
/// Names what stayed, after everything else has gone.
pub fn empty(top: &impl AsFd) -> io::Result<()> {
    let mut walk = Walk {
        here: opener::directory_at(top, ".")?,
        levels: Vec::new(),
        held: 0,
        stayed: Stayed::default(),
        until: None,
        restarts: 0,
    };
    walk.levels.push(Level::new(&walk.here, OsString::new())?);
    walk.run(top)?;
    walk.stayed.end()
}

/// A directory on the way from the top to where it is.
struct Level {
    identity: (u64, u64),
    name: OsString,
    /// Names that are still to be looked at.
    waiting: Vec<OsString>,
    /// What stays in it.
    stubborn: HashSet<OsString>,
}

impl Level {
    fn new(directory: &OwnedFd, name: OsString) -> nix::Result<Self> {
        let found = fstat(directory)?;
        Ok(Self {
            identity: (found.st_dev, found.st_ino),
            name,
            waiting: Vec::new(),
            stubborn: HashSet::new(),
        })
    }
}

struct Walk {
    here: OwnedFd,
    levels: Vec<Level>,
    /// How many names are waiting at all levels.
    held: usize,
    stayed: Stayed,
    /// When it stops, once netbe was asked to.
    until: Option<Instant>,
    /// How often it has begun again at the top.
    restarts: u32,
}

impl Walk {
    fn run(&mut self, top: &impl AsFd) -> io::Result<()> {
        loop {
            self.stop_if_asked()?;
            if let Some(name) = self.next_name()? {
                if let Err(e) = self.remove(&name) {
                    self.note(&name, &e.into());
                }
            } else if self.levels.len() < 2 {
                return Ok(());
            } else if !self.leave()? {
                self.restart(top)?;
            }
        }
    }

    /// Begins again at the top: where it was is elsewhere now.
    fn restart(&mut self, top: &impl AsFd) -> io::Result<()> {
        self.restarts += 1;
        if self.restarts > RESTARTS {
            return Err(io::Error::other("it is changed again and again"));
        }
        self.here = opener::directory_at(top, ".")?;
        self.levels.truncate(1);
        self.held = self.levels[0].waiting.len();
        Ok(())
    }

    fn stop_if_asked(&mut self) -> io::Result<()> {
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

    /// Returns a name in the directory at hand; `None` where nothing is left that can be removed.
    fn next_name(&mut self) -> io::Result<Option<OsString>> {
        if self.level().waiting.is_empty() {
            if self.level().stubborn.len() >= STUBBORN {
                return Ok(None);
            }
            let most = if self.held < ALL_NAMES { NAMES } else { 1 };
            // Anew each time, from the start: what was removed is not there any more.
            let mut stream = Dir::from_fd(opener::directory_at(&self.here, ".")?)?;
            let mut names = Vec::new();
            for entry in stream.iter() {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name != "." && name != ".." && !self.level().stubborn.contains(name) {
                    names.push(name.to_os_string());
                }
                if names.len() >= most {
                    break;
                }
            }
            self.held += names.len();
            self.level().waiting = names;
        }
        let name = self.level().waiting.pop();
        self.held -= usize::from(name.is_some());
        Ok(name)
    }

    /// Removes what a name is of, or goes into it.
    fn remove(&mut self, name: &OsStr) -> nix::Result<()> {
        let mut removed = unlinkat(&self.here, name, UnlinkatFlags::NoRemoveDir);
        if removed == Err(Errno::EPERM) && subvolume::make_changeable(&self.here, name) {
            removed = unlinkat(&self.here, name, UnlinkatFlags::NoRemoveDir);
        }
        match removed {
            Err(Errno::EISDIR) => {}
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(e) => return Err(e),
        }
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
        let below = match openat2(&self.here, name, how) {
            Err(Errno::ENOENT) => return Ok(()),
            // The kernel's own word for it is less clear.
            Err(Errno::EXDEV) => return Err(Errno::EBUSY),
            opened => opened?,
        };
        if subvolume::is_top(&below)? {
            if let Err(e) = subvolume::delete_open(&below) {
                self.note(name, &e);
            }
            return Ok(());
        }
        let level = Level::new(&below, name.to_os_string())?;
        self.levels.push(level);
        self.here = below;
        Ok(())
    }

    /// Goes up from a directory that is done, and removes it; false where it is not where it was.
    fn leave(&mut self) -> io::Result<bool> {
        let Some(done) = self.levels.pop() else {
            return Ok(false);
        };
        self.held -= done.waiting.len();
        let above = opener::directory_at(&self.here, "..")?;
        let found = fstat(&above)?;
        // What was moved elsewhere meanwhile would lead elsewhere.
        if (found.st_dev, found.st_ino) != self.level().identity {
            return Ok(false);
        }
        self.here = above;
        match unlinkat(&self.here, done.name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            // What stayed in it was told.
            Err(Errno::ENOTEMPTY) if !done.stubborn.is_empty() => {
                self.level().stubborn.insert(done.name);
            }
            // Somebody has put something into it since: it is looked at again.
            Err(Errno::ENOTEMPTY) => {}
            Err(e) => self.note(&done.name, &e.into()),
        }
        Ok(true)
    }

    fn note(&mut self, name: &OsStr, why: &io::Error) {
        let path = match self.stayed.told.len() < TOLD {
            true => self.path(name),
            false => PathBuf::from(name),
        };
        self.stayed.note(&path, why);
        self.level().stubborn.insert(name.to_os_string());
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
    fn everything_goes_and_links_lead_nowhere() {
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
    fn a_tree_deeper_than_any_path_goes() {
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
