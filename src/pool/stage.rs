//! Directories that are being made or deleted.
//!
//! A [`Staged`] is a hidden directory that removes itself with its subvolumes unless it is published, by one rename.
//! Deleting first renames to a hidden name. `check` finds the leftovers of a killed process by their names. Not for the
//! content of a stage.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::UnlinkatFlags;

use super::layout;
use super::lock::{self, NodeLock, Share};
use crate::btrfs::removal;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::{atomic, interrupt, opener};
use crate::terminal;

/// A directory being made under a hidden name.
#[derive(Debug)]
pub struct Staged {
    dir: Option<PathBuf>,
    /// The lock that shows that it is in use.
    _guard: Guard,
}

impl Staged {
    /// Makes an empty stage in `parent` for `name`; as long as this value lives, `check --repair` does not remove it,
    /// also after the node's lock is released.
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

    /// Returns its hidden path.
    pub fn path(&self) -> &Path {
        // Only `publish` takes it, and consumes the value.
        self.dir.as_deref().unwrap_or(Path::new(""))
    }

    /// Makes its content durable, then renames it to its name, which must be free.
    ///
    /// # Errors
    /// A refusal if the name is taken, or netbe was interrupted; the stage removes itself then.
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
                return Err(Failure::refused(format!("{} already exists", to.display())).into());
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
            // Drop cannot return an error; `check` finds the leftover by its name.
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

/// A stage's lock: it shows that the process that made the stage still runs, also without the lock of its node.
#[derive(Debug)]
struct Guard {
    _dir: File,
}

impl Guard {
    /// Locks a directory that was just made.
    fn of(dir: &Path) -> io::Result<Self> {
        let dir = opener::directory(dir)?;
        loop {
            match dir.lock() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                locked => break locked?,
            }
        }
        // For readers, which take no lock.
        lock::mark(&dir, Share::Together);
        Ok(Self { _dir: dir })
    }
}

/// Returns whether the process that made a stage still runs; false if that cannot be determined. Takes no lock.
pub fn is_guarded(dir: &Path) -> bool {
    // A stage is a directory; anything else is not opened.
    dir.symlink_metadata().is_ok_and(|m| m.is_dir())
        && opener::directory(dir).is_ok_and(|dir| lock::has_mark(&dir))
}

/// Deletes what is in a node's directory, such as an environment; durable when it returns.
pub fn discard_env(lock: &NodeLock, env: &Path, node: &Path) -> Result<()> {
    lock.ensure_protects_dir(node)?;
    ensure!(
        env != node && env.starts_with(node),
        "{} is not in {}",
        env.display(),
        node.display()
    );
    discard(env, node)
}

/// Deletes a node with all that is in it, likewise.
pub fn discard_node(lock: &NodeLock, node: &Path) -> Result<()> {
    lock.ensure_protects_dir(node)?;
    let nodes = node.parent().context("it is in no directory")?;
    discard(node, nodes)
}

/// Renames something published to a hidden name and deletes it; durable when it returns.
///
/// On a disk too full for a rename, it is deleted in place: btrfs reserves space for deleting, not for renaming, and
/// deleting frees space. If that is interrupted, the environment is damaged until it is destroyed again.
pub(super) fn discard(path: &Path, trash_in: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let trash = trash_in.join(hidden(layout::TRASH, &name));
    let removed = match fs::rename(path, &trash) {
        Ok(()) => remove(&trash),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => remove(path),
        Err(e) => return Err(e).with_context(|| format!("removing {}", path.display())),
    };
    // Sync also after a failure: a part may be deleted.
    let durable = subvolume::sync(trash_in).context("making the deletion durable");
    removed.and(durable)
}

/// Deletes a stage or trash with all subvolumes, files and directories in it.
///
/// Links are removed, never followed. A mount point is an error, after everything else is deleted.
pub fn remove(dir: &Path) -> Result<()> {
    let deleting = || format!("deleting {}", dir.display());
    let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
        anyhow::bail!("{} is not a stage", dir.display());
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

/// Returns a hidden name: prefix, name, and a number of the moment and the process, so that two never collide.
///
/// [`layout::hidden_work`] knows it again: the moment alone could be taken for a date.
pub(super) fn hidden(prefix: &str, name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let moment = jiff::Timestamp::now().as_microsecond();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{prefix}{name}-{}",
        number(moment, std::process::id(), count)
    )
}

fn number(microseconds: i64, process: u32, count: u32) -> String {
    format!("{microseconds:x}{process:x}{count}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hidden_name_is_known_again(moment in "[67]([0-9]{12}|[0-9a-f]{12})", process in 1..u32::MAX, count in 0..u32::MAX) {
            let moment = i64::from_str_radix(&moment, 16).unwrap();
            let name = format!("{}+home-{}", layout::TRASH, number(moment, process, count));
            prop_assert_eq!(layout::hidden_work(&name), Some("+home"));
        }
    }

    #[test]
    fn one_without_a_letter_is_known_too() {
        let name = format!(".trash-+home-{}", number(0x6_6183_7433_2609, 9, 0));
        assert_eq!(layout::hidden_work(&name), Some("+home"));
    }
}
