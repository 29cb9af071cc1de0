//! A lock by `flock(2)` on a file, with a mark that readers can query.
//!
//! The mark is an open file description lock (fcntl(2)) on the same file, so a query takes no lock. Not for what a lock
//! protects.

use std::fs::{File, Metadata, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

use super::Share;
use crate::failure::Failure;
use crate::fs::{atomic, interrupt, opener};
use crate::pool::layout;

/// The interval between attempts to take a lock.
const RETRY: Duration = Duration::from_millis(20);

/// Returns whether a lock is held exclusively; false if that cannot be determined.
pub(super) fn is_marked(path: &Path) -> bool {
    matches!(opener::file(path), Ok(Some(file)) if has_mark(&file))
}

/// Returns whether an open file is marked; false if that cannot be determined.
pub(in crate::pool) fn has_mark(file: &File) -> bool {
    let mut asked = whole(nix::libc::F_WRLCK);
    let answered = fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).is_ok();
    answered && i32::from(asked.l_type) != nix::libc::F_UNLCK
}

/// Marks an open, locked file for queries; a directory can only have a shared mark.
pub(in crate::pool) fn mark(file: &File, share: Share) {
    let kind = match share {
        Share::Alone => nix::libc::F_WRLCK,
        Share::Together => nix::libc::F_RDLCK,
    };
    // Only the lock's holder marks it.
    let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&whole(kind)));
}

/// Returns a lock of the whole file.
fn whole(kind: i32) -> nix::libc::flock {
    // The order of its fields depends on the architecture.
    let mut mark = nix::libc::flock {
        l_type: 0,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    mark.l_type = i16::try_from(kind).unwrap_or_default();
    mark
}

/// Takes the lock with this file name, waiting up to `wait`; `what` names the protected object in messages.
pub(super) fn acquire(
    state: &Path,
    name: &str,
    what: &str,
    share: Share,
    wait: Duration,
) -> Result<File> {
    let path = layout::locks(state).join(name);
    let until = Instant::now() + wait;
    loop {
        let file = acquire_file(&path, what, share, until, wait)?;
        // The previous holder may have deleted the file; then this lock protects nothing.
        let (own, now) = (file.metadata(), path.symlink_metadata());
        let same =
            |own: &Metadata, now: &Metadata| (own.dev(), own.ino()) == (now.dev(), now.ino());
        if own.is_ok_and(|own| now.is_ok_and(|now| same(&own, &now))) {
            return Ok(file);
        }
        interrupt::check()?;
    }
}

fn acquire_file(
    path: &Path,
    what: &str,
    share: Share,
    until: Instant,
    wait: Duration,
) -> Result<File> {
    let mut file = open(path)?;
    loop {
        let tried = match share {
            Share::Alone => file.try_lock(),
            Share::Together => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                interrupt::check()?;
                std::thread::sleep(RETRY);
            }
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, what, wait).into()),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Interrupted => {
                interrupt::check()?;
            }
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
    if share == Share::Alone {
        mark(&file, share);
    }
    // Only for the messages of other processes, so a full disk must not make it fail: `destroy` must be able to free space.
    let note = format!("{}\n{}\n", std::process::id(), command_line());
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(note.as_bytes()));
    Ok(file)
}

fn open(path: &Path) -> Result<File> {
    // The file may have been made by hand: a pipe must not block, nor a link lead out of the pool.
    let open = || opener::file_or_new(path, OFlag::O_RDWR, Mode::from_bits_truncate(0o644));
    match open() {
        Ok(file) => Ok(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // A pool made by hand, or restored from a backup without the hidden directory.
            if let Some(dir) = path.parent() {
                atomic::directories(dir)?;
            }
            open().with_context(|| format!("opening {}", path.display()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            let failure = Failure::failed(format!("opening the lock {}: {e}", path.display()));
            let undo = format!("chattr -i {}", path.display());
            Err(failure.hint_to("if it is immutable (lsattr)", undo).into())
        }
        Err(e) => Err(e).with_context(|| format!("opening {}", path.display())),
    }
}

/// Fails if a lock is still held exclusively after `wait`.
///
/// # Errors
/// `Locked`, naming the holder.
pub(super) fn refuse_marked(path: &Path, what: &str, wait: Duration) -> Result<()> {
    let until = Instant::now() + wait;
    while is_marked(path) {
        if Instant::now() >= until {
            return match opener::file(path) {
                Ok(Some(mut file)) => Err(held(&mut file, what, wait).into()),
                _ => continue,
            };
        }
        interrupt::check()?;
        std::thread::sleep(RETRY);
    }
    Ok(())
}

/// Returns a description of a lock's holder.
pub(super) fn held(file: &mut File, what: &str, wait: Duration) -> Failure {
    let mut note = String::new();
    // Best effort: without it the message names no holder.
    let _ = file
        .rewind()
        .and_then(|()| file.take(4096).read_to_string(&mut note));
    let mut lines = note.lines();
    let holder = match (lines.next(), lines.next()) {
        (Some(pid), Some(command)) => format!("pid {pid}, {command}"),
        _ => "another netbe".to_string(),
    };
    Failure::locked(format!(
        "{what} is being changed by another netbe ({holder}); waited {} s; --wait SECONDS waits longer",
        wait.as_secs()
    ))
}

/// Returns this process' command line in one line of at most 200 characters, for messages.
fn command_line() -> String {
    let mut words: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().replace(|c: char| c.is_control(), " "))
        .collect();
    if let Some(first) = words.first_mut()
        && let Some((_, base)) = first.rsplit_once('/')
    {
        *first = base.to_string();
    }
    words.join(" ").chars().take(200).collect()
}
