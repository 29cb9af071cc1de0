//! The environment that this machine itself runs, if it is the node: by the subvolume that is mounted as its root.
//!
//! Reads only. Not for other mounts of an environment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use crate::boot::{GRUB_PREFIX, report};
use crate::pool::Environment;

/// The root of this machine.
///
/// Each subvolume has a device number of its own, which is the same wherever it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    device: Option<u64>,
}

impl Root {
    /// Reads the root of this machine.
    pub fn look() -> Self {
        let device = Path::new("/").metadata().ok().map(|root| root.dev());
        Self { device }
    }

    /// Returns whether it is an environment's root half; `None` if that cannot be determined.
    pub fn is(self, env: &Environment) -> Option<bool> {
        let half = env.root().symlink_metadata();
        match half {
            Ok(half) => self.device.map(|device| device == half.dev()),
            Err(_) if env.is_gone() => Some(false),
            Err(_) => None,
        }
    }
}

/// Returns whether the loader that started this machine has its own files in a boot half, a path from the top level.
pub fn was_started_from(boot: &str) -> bool {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    is_started_from(&line, boot)
}

fn is_started_from(cmdline: &str, boot: &str) -> bool {
    let prefix = cmdline
        .split_whitespace()
        .find_map(|token| token.strip_prefix(GRUB_PREFIX)?.strip_prefix('='));
    let path = prefix.and_then(|prefix| prefix.split_once(')'));
    path.is_some_and(|(_, path)| {
        let rest = path.trim_start_matches('/').strip_prefix(boot);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Returns when this machine was started: proc_stat(5).
pub fn started() -> Option<Timestamp> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let time = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(time.trim().parse().ok()?).ok()
}

/// Returns the identifier of this boot of the machine: random(4), `boot_id`.
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_string())
}

/// Returns whether this boot was completed, by the unit of `boot::report`.
pub fn came_up() -> bool {
    Path::new(report::CAME_UP).exists()
}

/// Returns the running kernel.
pub fn kernel() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_argument_names_the_directory_that_grub_started_from() {
        let boot = "netbe/nodes/nog/envs/a/boot";
        for (line, expected) in [
            (
                "root=x netbe.grub=(hd0,gpt3)/netbe/nodes/nog/envs/a/boot/grub rw",
                true,
            ),
            (
                "netbe.grub=(hd0,gpt3)/netbe/nodes/nog/envs/ab/boot/grub",
                false,
            ),
            (
                "netbe.grub=(hd0,gpt3)/netbe/nodes/nog/envs/a/boots/grub",
                false,
            ),
            ("netbe.grub=(hd0,gpt3)/@/boot/grub", false),
            ("root=x rw", false),
        ] {
            assert_eq!(is_started_from(line, boot), expected, "{line}");
        }
    }
}
