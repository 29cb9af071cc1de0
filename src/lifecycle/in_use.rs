//! The use of an environment on this machine: mounts, processes, swap files.
//!
//! The kernel deletes a subvolume that is mounted or is a working directory, so commands check before. Not for use by
//! other machines: see `evidence`.

mod processes;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::fs::octal;
use crate::fs::path_error::if_exists;
use crate::pool::Environment;
use processes::Process;

/// The mounts in this mount namespace; proc_pid_mountinfo(5).
const MOUNTS: &str = "/proc/self/mountinfo";

/// The swap files and partitions in use; proc(5).
const SWAPS: &str = "/proc/swaps";

/// The process that has offered disk images open: like an export, the offer is withdrawn with the image.
const OFFERS: &str = "tgtd";

/// A mount of a directory or file of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount point.
    pub at: PathBuf,
    /// What is mounted there, as a path in the pool.
    pub what: PathBuf,
}

/// Returns the mounts of `dir` and of what is below it, in this mount namespace, in mount order. That of the pool is not
/// included.
pub fn mounts_of(dir: &Path) -> Result<Vec<Mount>> {
    let table = std::fs::read_to_string(MOUNTS).context(MOUNTS)?;
    Ok(mounts_in(&table, place_of(&table, dir).as_ref(), dir))
}

/// What uses an environment on this machine.
struct Users {
    /// Each use, a clause.
    how: Vec<String>,
    /// Whether it is mounted here.
    is_mounted: bool,
    /// The processes among them.
    processes: Vec<String>,
}

/// What is used of a pool on this machine, read once: mounts in any mount namespace, and what processes have open.
#[derive(Debug)]
pub struct InUse {
    /// The mounts in this mount namespace.
    table: String,
    processes: Vec<Process>,
}

impl InUse {
    /// Looks at what is used below a directory.
    pub fn look(dir: &Path) -> Result<Self> {
        Ok(Self {
            table: std::fs::read_to_string(MOUNTS).context(MOUNTS)?,
            processes: processes::processes_using(dir)?,
        })
    }

    /// Refuses an environment that is in use, as of that look.
    pub fn refuse(&self, env: &Environment) -> Result<()> {
        if let Some(file) = swap_file_in(&env.dir)? {
            let why = format!("{env} holds a swap file that is in use: {}", file.display());
            let hint = format!("swapoff {}", file.display());
            return Err(Failure::refused(why).hint(hint).into());
        }
        let users = self.users_of(&env.dir);
        if users.how.is_empty() {
            return Ok(());
        }
        let hint = match users.processes.as_slice() {
            pids @ [_, ..] if !users.is_mounted => {
                format!("ps -o pid,user,args -p {}", pids.join(","))
            }
            _ => format!("netbe umount {env}"),
        };
        Err(
            Failure::refused(format!("{env} is in use: {}", users.how.join("; ")))
                .hint(hint)
                .into(),
        )
    }

    /// Returns the uses of an environment, a clause each: mounts in any mount namespace, and processes with their working
    /// directory, root or executable in it, or with open files of its halves.
    fn users_of(&self, dir: &Path) -> Users {
        let place = place_of(&self.table, dir);
        let mut found: Vec<String> = mounts_in(&self.table, place.as_ref(), dir)
            .iter()
            .map(|m| format!("it is mounted at {}", m.at.display()))
            .collect();
        found.extend(
            places_in(&self.table, dir)
                .map(|at| format!("something is mounted at {}", at.display())),
        );
        let is_mounted = !found.is_empty();
        let mut processes = Vec::new();
        for process in &self.processes {
            let pid = process.pid;
            if let Some(table) = &process.mounts
                && let Some(mount) = mounts_in(table, place.as_ref(), dir).first()
            {
                found.push(format!(
                    "process {pid} has it mounted at {}",
                    mount.at.display()
                ));
                processes.push(pid.to_string());
            }
            if process.is_user(dir) {
                let command = process.command();
                if command != OFFERS {
                    found.push(format!("process {pid} ({command}) is using it"));
                    processes.push(pid.to_string());
                }
            }
        }
        Users {
            how: found,
            is_mounted,
            processes,
        }
    }
}

/// Returns a swap file in `dir` that is in use: the kernel deletes no subvolume that has one.
fn swap_file_in(dir: &Path) -> Result<Option<PathBuf>> {
    // A kernel without swap has no table.
    let table = if_exists(std::fs::read_to_string(SWAPS)).context(SWAPS)?;
    let table = table.unwrap_or_default();
    let files = table
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(files.map(octal::path).find(|file| file.starts_with(dir)))
}

/// Returns the mount points in `dir`; deleting the subvolume would unmount them.
fn places_in(table: &str, dir: &Path) -> impl Iterator<Item = PathBuf> {
    table
        .lines()
        .filter_map(parse)
        .map(|line| line.at)
        .filter(move |at| at.starts_with(dir))
}

/// The location of a directory, independent of mounts: the device of its filesystem, and its path from the top of that.
struct Place {
    device: String,
    path: PathBuf,
}

/// Returns the location of a directory, by the mounts of this process: another namespace may have another directory there.
///
/// An entry has a device and a path from the top of its filesystem; the entry of the mount that contains `dir` gives the
/// path of `dir` on that filesystem. Format: proc(5).
fn place_of(table: &str, dir: &Path) -> Option<Place> {
    // The last mount over a path is the visible one.
    let lines = table.lines().filter_map(parse);
    let home = lines
        .filter(|l| dir.starts_with(&l.at))
        .max_by_key(|l| l.at.components().count())?;
    let below = dir.strip_prefix(&home.at).ok()?;
    Some(Place {
        path: home.root.join(below),
        device: home.device,
    })
}

/// Returns the mounts of a directory with this location, and of what is below it, from the text of a mountinfo file.
fn mounts_in(table: &str, place: Option<&Place>, dir: &Path) -> Vec<Mount> {
    let Some(place) = place else {
        return Vec::new();
    };
    table
        .lines()
        .filter_map(parse)
        .filter(|l| l.device == place.device)
        .filter_map(|l| {
            let rest = l.root.strip_prefix(&place.path).ok()?;
            Some(Mount {
                what: dir.join(rest),
                at: l.at,
            })
        })
        .collect()
}

/// Returns the mount points in the text of a mountinfo file.
pub fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(parse).map(|line| line.at)
}

struct Line {
    device: String,
    root: PathBuf,
    at: PathBuf,
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split(' ').skip(2);
    Some(Line {
        device: fields.next()?.to_string(),
        root: octal::path(fields.next()?),
        at: octal::path(fields.next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 0:20 / / rw - ext4 /dev/vda rw
30 21 0:40 /pool /srv/netbe rw - btrfs /dev/sda rw
31 21 0:40 /pool/nodes/nog/envs/a/root /mnt/a\\040b rw - btrfs /dev/sda rw
32 31 0:40 /pool/nodes/nog/envs/a/boot /mnt/a\\040b/boot rw - btrfs /dev/sda rw
33 21 0:40 /pool/nodes/nog/envs/ab/root /mnt/ab rw - btrfs /dev/sda rw
34 21 0:41 /pool/nodes/nog/envs/a/root /mnt/other rw - btrfs /dev/sdb rw
garbage
";

    #[test]
    fn mounts_are_found_by_the_mounted_directory() {
        let found = |dir: &str, table: &str| {
            let dir = Path::new(dir);
            mounts_in(table, place_of(TABLE, dir).as_ref(), dir)
        };
        let a = found("/srv/netbe/nodes/nog/envs/a", TABLE);
        let at: Vec<_> = a.iter().map(|m| m.at.to_str().unwrap()).collect();
        assert_eq!(at, ["/mnt/a b", "/mnt/a b/boot"]);
        assert_eq!(a[1].what, Path::new("/srv/netbe/nodes/nog/envs/a/boot"));
        assert!(found("/srv/netbe/nodes/nog/envs/b", TABLE).is_empty());
        // Another namespace has another pool at that path, or this one elsewhere.
        let other = "30 21 0:50 /pool /srv/netbe rw - btrfs /dev/sdc rw\n\
                     31 21 0:50 /pool/nodes/nog/envs/a/root / rw - btrfs /dev/sdc rw\n";
        assert!(found("/srv/netbe/nodes/nog/envs/a", other).is_empty());
        let root = "31 21 0:40 /pool/nodes/nog/envs/a/root / rw - btrfs /dev/sda rw\n";
        assert_eq!(found("/srv/netbe/nodes/nog/envs/a", root).len(), 1);
    }
}
