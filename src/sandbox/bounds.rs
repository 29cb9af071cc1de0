//! What a run may take of this machine before it is ended: room on the disk, time, words.
//!
//! Generous: no upgrade comes near. Memory and processes are bounded by the kernel, see `limit`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use nix::unistd::syncfs;

use super::quotas;
use crate::fs::opener;

/// How long a run may take whose output goes to a log: an emulated system of a thousand packages takes hours.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How much it may say, in bytes.
const MOST_WRITTEN: u64 = 1 << 30;
/// What stays free of the filesystem, for everybody else: one part of so many, and no more than this, in bytes.
const PART: u64 = 20;
const RESERVE: u64 = 1 << 30;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(250);

/// Looks after one run.
#[derive(Debug)]
pub(super) struct Bounds {
    root: PathBuf,
    begun: Instant,
    looked: Option<Instant>,
    /// Whether somebody at a terminal sees to the end of it.
    attended: bool,
}

impl Bounds {
    pub(super) fn new(root: &Path, attended: bool) -> Self {
        Self {
            root: root.to_path_buf(),
            begun: Instant::now(),
            looked: None,
            attended,
        }
    }

    /// Returns why the run has to end, in a sentence, if it has.
    pub(super) fn exceeded(&mut self, said: u64) -> Option<String> {
        if !self.attended && said > MOST_WRITTEN {
            return Some(format!("it has said more than {} MiB", MOST_WRITTEN >> 20));
        }
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return None;
        }
        self.looked = Some(Instant::now());
        if !self.attended && self.begun.elapsed() > LONGEST {
            return Some(format!("it has run for {} hours", LONGEST.as_secs() / 3600));
        }
        self.is_full().or_else(quotas::used_up)
    }

    /// Returns why what the run has come to cannot be kept, if so.
    pub(super) fn exceeded_at_last(&self) -> Option<String> {
        match self.attended {
            true => None,
            false => self.is_full(),
        }
    }

    fn is_full(&self) -> Option<String> {
        // What cannot be asked now cannot be judged either; the next look may.
        let (free, total) = space(&self.root)?;
        let reserve = (total / PART).min(RESERVE);
        if free.saturating_sub(unwritten()) >= reserve {
            return None;
        }
        // What waits in memory, of everybody, is not all this filesystem's: only what is on disk can be told.
        let _ = opener::directory(&self.root).map(|root| syncfs(&root));
        let (free, _) = space(&self.root)?;
        (free < reserve).then(|| {
            format!(
                "only {} MiB are free where {} lies, and {} MiB of that stay so",
                free >> 20,
                self.root.display(),
                reserve >> 20
            )
        })
    }
}

/// Returns what is free of a filesystem, and all there is, in bytes.
fn space(path: &Path) -> Option<(u64, u64)> {
    let about = statvfs(path).ok()?;
    let block = about.fragment_size();
    Some((about.blocks_available() * block, about.blocks() * block))
}

/// Returns what of all filesystems is still to be written, in bytes: a filesystem counts it when it is.
fn unwritten() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&text, "Dirty:") + kilobytes(&text, "Writeback:")
}

/// Returns a field of `/proc/meminfo`, in bytes.
pub(super) fn kilobytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_when_it_has_said_too_much_unless_somebody_watches() {
        let said = |attended, bytes| Bounds::new(Path::new("/"), attended).exceeded(bytes);
        assert!(said(false, MOST_WRITTEN + 1).is_some());
        assert!(said(true, MOST_WRITTEN + 1).is_none());
        assert!(said(false, 1).is_none());
    }

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "MemTotal:  2048 kB\nDirty:   12 kB\nWriteback:  x kB\n";
        assert_eq!(kilobytes(text, "MemTotal:"), 2 << 20);
        assert_eq!(kilobytes(text, "Writeback:"), 0);
        assert_eq!(kilobytes(text, "None:"), 0);
    }
}
