//! Resource limits of a sandboxed run: free space, run time, output size.
//!
//! Far above what any upgrade needs. Memory and processes are limited by cgroups, see `cgroup`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::syncfs;

use super::quotas;
use crate::fs::free_space::Sizes;
use crate::fs::opener;

/// Maximum run time with output to a log: an emulated system of a thousand packages takes hours.
const RUN_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Maximum output to a log, in bytes.
const OUTPUT_MAX: u64 = 1 << 30;
/// Free space reserved for others: this fraction of the filesystem.
const RESERVE_FRACTION: u64 = 20;
/// Interval of the checks.
const INTERVAL: Duration = Duration::from_millis(250);

/// The limits of one run.
#[derive(Debug)]
pub(super) struct Bounds {
    root: PathBuf,
    begun: Instant,
    checked: Option<Instant>,
    /// Whether a user at a terminal can end it.
    attended: bool,
}

impl Bounds {
    pub(super) fn new(root: &Path, attended: bool) -> Self {
        Self {
            root: root.to_path_buf(),
            begun: Instant::now(),
            checked: None,
            attended,
        }
    }

    /// Returns the limit that the run has exceeded, as a sentence.
    pub(super) fn exceeded(&mut self, output: u64) -> Option<String> {
        if !self.attended && output > OUTPUT_MAX {
            return Some(format!(
                "its output is larger than {} MiB",
                OUTPUT_MAX >> 20
            ));
        }
        if self.checked.is_some_and(|at| at.elapsed() < INTERVAL) {
            return None;
        }
        self.checked = Some(Instant::now());
        if !self.attended && self.begun.elapsed() > RUN_TIME_MAX {
            return Some(format!(
                "it has run for {} hours",
                RUN_TIME_MAX.as_secs() / 3600
            ));
        }
        self.is_full().or_else(quotas::used_up)
    }

    /// Returns why the result of the run cannot be used, if so.
    pub(super) fn exceeded_at_last(&self) -> Option<String> {
        match self.attended {
            true => None,
            false => self.is_full(),
        }
    }

    fn is_full(&self) -> Option<String> {
        // Without an answer no limit applies until the next check.
        let sizes = Sizes::at(&self.root).ok()?;
        let reserve = sizes.reserve(RESERVE_FRACTION);
        if sizes.free.saturating_sub(unwritten()) >= reserve {
            return None;
        }
        // Unwritten data may be of other filesystems: only a sync tells what this one lacks.
        let _ = opener::directory(&self.root).map(|root| syncfs(&root));
        let sizes = Sizes::at(&self.root).ok()?;
        let filesystem = format!("the filesystem of {}", self.root.display());
        (sizes.free < reserve).then(|| sizes.only_reserve(reserve, &filesystem))
    }
}

/// Returns the size of unwritten data of all filesystems, in bytes.
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
    fn a_run_with_too_much_output_ends_unless_attended() {
        let output = |attended, bytes| Bounds::new(Path::new("/"), attended).exceeded(bytes);
        assert!(output(false, OUTPUT_MAX + 1).is_some());
        assert!(output(true, OUTPUT_MAX + 1).is_none());
        assert!(output(false, 1).is_none());
    }

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "MemTotal:  2048 kB\nDirty:   12 kB\nWriteback:  x kB\n";
        assert_eq!(kilobytes(text, "MemTotal:"), 2 << 20);
        assert_eq!(kilobytes(text, "Writeback:"), 0);
        assert_eq!(kilobytes(text, "None:"), 0);
    }
}
