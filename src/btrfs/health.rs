//! Problems of a filesystem: mounted read-only, a device that is missing or fails, no space.
//!
//! Reads statvfs(2) and `/sys/fs/btrfs` (sysfs-fs-btrfs of the kernel's ABI documentation), which has more files in newer
//! kernels: a missing file is no problem. Not for errors that scrubbing would find.

use std::io;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::subvolume::identity;

/// Space is short if less than this fraction of the filesystem is free, but not if more than [`ENOUGH`] bytes are.
const PART: u64 = 50;
const ENOUGH: u64 = 512 << 20;

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The filesystem is mounted read-only, or the kernel has made it read-only after an error.
    ReadOnly,
    /// A device is missing: its number.
    Missing(u64),
    /// A device has read or write errors, or has returned wrong data: its number, and the error counters.
    Fails(u64, String),
    /// It is full or nearly full: the free bytes; 0 if there is no space for metadata.
    Full(u64),
}

/// Returns the problems of the filesystem at a path.
pub fn problems(path: &Path) -> io::Result<Vec<Problem>> {
    let about = statvfs(path)?;
    let mut found = Vec::new();
    if about.flags().contains(FsFlags::ST_RDONLY) {
        found.push(Problem::ReadOnly);
    }
    let (free, total) = (
        about.blocks_available() * about.fragment_size(),
        about.blocks() * about.fragment_size(),
    );
    let uuid = identity::mounted_filesystem(path)?;
    found.extend(of_devices(
        &Path::new("/sys/fs/btrfs")
            .join(uuid.to_string())
            .join("devinfo"),
    ));
    if is_short(free, total) {
        found.push(Problem::Full(free));
    }
    Ok(found)
}

fn is_short(free: u64, total: u64) -> bool {
    free < (total / PART).min(ENOUGH)
}

/// Reads the kernel's information about each device, by its number.
fn of_devices(devices: &Path) -> Vec<Problem> {
    let mut numbers: Vec<u64> = devices
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let of_device = |number: u64| {
        let read = |file: &str| {
            std::fs::read_to_string(devices.join(number.to_string()).join(file)).unwrap_or_default()
        };
        if read("missing").trim() == "1" {
            return Some(Problem::Missing(number));
        }
        let errors = errors(&read("error_stats"));
        (!errors.is_empty()).then(|| Problem::Fails(number, errors.join(", ")))
    };
    numbers.into_iter().filter_map(of_device).collect()
}

/// Returns the counters of `error_stats` that are not zero, `write_errs 3`.
fn errors(text: &str) -> Vec<String> {
    let counters = text.lines().filter_map(|line| line.split_once(' '));
    counters
        .filter(|(_, count)| count.trim().parse::<u64>().is_ok_and(|count| count > 0))
        .map(|(name, count)| format!("{name} {}", count.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_failing_devices_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let zero =
            "write_errs 0\nread_errs 0\nflush_errs 0\ncorruption_errs 0\ngeneration_errs 0\n";
        for (number, missing, stats) in [
            ("1", "0\n", "(null)\n"),
            ("2", "1\n", zero),
            (
                "10",
                "0\n",
                "write_errs 3\nread_errs 0\ncorruption_errs 12\n",
            ),
            ("11", "0\n", zero),
        ] {
            std::fs::create_dir(dir.path().join(number)).unwrap();
            std::fs::write(dir.path().join(number).join("missing"), missing).unwrap();
            std::fs::write(dir.path().join(number).join("error_stats"), stats).unwrap();
        }
        assert_eq!(
            of_devices(dir.path()),
            [
                Problem::Missing(2),
                Problem::Fails(10, "write_errs 3, corruption_errs 12".into())
            ]
        );
        // An older kernel tells nothing.
        assert_eq!(of_devices(&dir.path().join("none")), []);
    }

    #[test]
    fn space_is_short_before_it_is_used_up() {
        let gib = 1 << 30;
        assert!(is_short(0, gib) && is_short(20 << 20, gib) && !is_short(21 << 20, gib));
        assert!(is_short(511 << 20, 4096 * gib) && !is_short(513 << 20, 4096 * gib));
    }
}
