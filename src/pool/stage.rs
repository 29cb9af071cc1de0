//! Things being made, and things being deleted.
//!
//! A [`Staged`] is a hidden directory that removes itself, subvolumes and all, unless it is published by
//! one rename. Deleting goes the other way: one rename out of sight, then the work. What a killed
//! process leaves of either is found again by its name. Not for what goes into a stage.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::UnlinkatFlags;

use super::layout;
use super::lock::{self, Share};
use crate::btrfs::removal;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::{atomic, interrupt, opener};
use crate::terminal;

/// A directory being made under a hidden name.
#[derive(Debug)]
pub struct Staged {
    dir: Option<PathBuf>,
    /// What tells that it is being used, for as long as this value lives.
    _guard: Guard,
}

impl Staged {
    /// Makes an empty stage in `parent`, for the thing that is to be called `name`; it is left alone as long as this value
    /// lives, also without the lock it was made under.
    pub fn new(parent: &Path, name: &str) -> Result<Self> {
        let dir = parent.join(hidden(layout::STAGED, name));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        match Guard::of(&dir) {
            Ok(guard) => Ok(Self {
                dir: Some(dir),
                _guard: guard,
            }),
            Err(e) => {
                // Best effort: check finds it by its name.
                let _ = fs::remove_dir(&dir);
                Err(e).with_context(|| format!("guarding {}", dir.display()))
            }
        }
    }

    /// Returns where it stands while it is being made.
    pub fn path(&self) -> &Path {
        // Only publishing takes it away, and that consumes the value.
        self.dir.as_deref().unwrap_or(Path::new(""))
    }

    /// Makes everything in it durable, then gives it its name, in one step; replaces nothing.
    ///
    /// Durable when it returns.
    ///
    /// # Errors
    /// A refusal when the name is taken, and when netbe was asked to stop; the stage removes itself then.
    pub fn publish(mut self, to: &Path) -> Result<()> {
        interrupt::check()?;
        subvolume::sync(self.path()).context("making the new files durable")?;
        let renamed = renameat2(
            AT_FDCWD,
            self.path(),
            AT_FDCWD,
            to,
            RenameFlags::RENAME_NOREPLACE,
        );
        match renamed {
            Ok(()) => self.dir = None,
            Err(nix::Error::EEXIST) => {
                return Err(Failure::refused(format!("{} is there already", to.display())).into());
            }
            Err(e) => {
                return Err(io::Error::from(e))
                    .with_context(|| format!("publishing {}", to.display()));
            }
        }
        make_durable(to)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take()
            && let Err(e) = remove(&dir)
        {
            // Nobody above can be told from here, and check finds it by its name.
            terminal::say(
                "warning",
                &format!(
                    "{} was left behind: {e:#}; netbe check --repair removes it",
                    dir.display()
                ),
            );
        }
    }
}

/// A stage's own lock: it says that a process lives that made the stage to be left alone, with the lock of its node or
/// without.
#[derive(Debug)]
struct Guard {
    _dir: File,
}

impl Guard {
    /// Guards a directory that nobody else knows of yet.
    fn of(dir: &Path) -> io::Result<Self> {
        let dir = opener::directory(dir)?;
        loop {
            match dir.lock() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                locked => break locked?,
            }
        }
        // For those who only look.
        lock::mark(&dir, Share::Together);
        Ok(Self { _dir: dir })
    }
}

/// Returns whether a process lives that made a stage to be left alone; false where it cannot be told. It takes nothing.
pub fn is_guarded(dir: &Path) -> bool {
    // Only directories are marked so, and nothing else is opened.
    dir.symlink_metadata().is_ok_and(|m| m.is_dir())
        && opener::directory(dir).is_ok_and(|dir| lock::has_mark(&dir))
}

/// Takes something published out of sight, in one step, and deletes it; durable when it returns.
///
/// On a disk so full that no name can be changed, it is deleted where it stands: the kernel has space set aside for
/// deleting, none for renaming, and this is what frees space. Interrupted then, it is seen as damaged until it is
/// destroyed again.
pub fn discard(path: &Path, trash_in: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let trash = trash_in.join(hidden(layout::TRASH, &name));
    let removed = match fs::rename(path, &trash) {
        Ok(()) => remove(&trash),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => remove(path),
        Err(e) => return Err(e).with_context(|| format!("taking away {}", path.display())),
    };
    // Also of what stays some has gone.
    let durable = subvolume::sync(trash_in).context("making the deletion durable");
    removed.and(durable)
}

/// Deletes a stage or trash: whatever subvolumes, files and directories are in it.
///
/// Links are removed, never followed. A directory that something is mounted on is an error. All that can go has gone,
/// whatever stays.
pub fn remove(dir: &Path) -> Result<()> {
    let deleting = || format!("deleting {}", dir.display());
    let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
        anyhow::bail!("{} is no stage", dir.display());
    };
    let above = opener::directory(above).with_context(deleting)?;
    let top = opener::directory_at(&above, name).with_context(deleting)?;
    removal::empty(&top).with_context(deleting)?;
    nix::unistd::unlinkat(&above, name, UnlinkatFlags::RemoveDir).with_context(deleting)
}

fn make_durable(published: &Path) -> Result<()> {
    let parent = published.parent().unwrap_or(Path::new("/"));
    atomic::directory(parent).context("making the new name durable")
}

/// Returns a hidden name: what is being done, to what, by which process, so that two never collide.
fn hidden(prefix: &str, name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let moment = jiff::Timestamp::now().as_microsecond();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{name}-{moment:x}{:x}{count}", std::process::id())
}
