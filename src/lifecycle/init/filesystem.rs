//! The filesystem and mount options of a pool's directory, which protect the server from the content of the pool.
//!
//! A pool holds whole systems, with set-user-ID programs and device nodes in them, and is written by machines over NFS,
//! which can name any file of its filesystem. So it is mounted `nosuid,nodev`, is never on the filesystem of the server's
//! own `/`, `/etc` or state, and stands behind a directory that is root's alone. Not for making filesystems.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::btrfs::subvolume::identity;
use crate::fs::path_error::at_path;
use crate::pool::state::{self, Place};

/// The server's directories that must never be on the filesystem of a pool, besides the state directory.
const OWN: [&str; 2] = ["/", "/etc"];

/// Returns which of the server's own directories lie on the filesystem of a directory.
pub fn shared_with(dir: &Path, states: &Path) -> Result<Vec<PathBuf>> {
    let on = filesystem(dir)?;
    let protected = OWN.iter().map(Path::new).chain([states]);
    let mut found = Vec::new();
    for path in protected {
        if filesystem(path)? == on {
            found.push(path.to_path_buf());
        }
    }
    Ok(found)
}

/// Returns the directories of the other pools on the same filesystem.
pub fn pools_beside(dir: &Path, states: &Path) -> Result<Vec<PathBuf>> {
    let place = Place::locate(dir)?;
    let known = state::all(states).with_context(|| format!("reading {}", states.display()))?;
    let others = known.into_iter().map(|(_, place)| place);
    Ok(others
        .filter(|of| of.filesystem == place.filesystem && !of.is_same(&place))
        .map(|of| of.dir)
        .collect())
}

/// Returns an identifier of the filesystem of a path, by the nearest existing directory.
fn filesystem(path: &Path) -> Result<String> {
    let there = path.ancestors().find(|a| a.exists()).unwrap_or(path);
    // Each subvolume of btrfs has a device number of its own.
    if let Ok(uuid) = identity::filesystem(there) {
        return Ok(uuid.to_string());
    }
    let found = there.metadata().map_err(|e| at_path(&e, there))?;
    Ok(found.dev().to_string())
}

/// Returns the mount options that a pool's directory lacks.
pub fn missing_options(dir: &Path) -> Result<Vec<&'static str>> {
    let flags = flags(dir)?;
    let wanted = [(FsFlags::ST_NOSUID, "nosuid"), (FsFlags::ST_NODEV, "nodev")];
    let missing = wanted.iter().filter(|(flag, _)| !flags.contains(*flag));
    Ok(missing.map(|(_, name)| *name).collect())
}

/// Mounts a directory `nosuid,nodev`: remounts it if it is a mount point, else adds a bind mount.
///
/// Returns whether that is a new mount, which does not last after a reboot by itself.
pub(super) fn confine(dir: &Path) -> Result<bool> {
    if missing_options(dir)?.is_empty() {
        return Ok(false);
    }
    let is_new = !is_mount_point(dir)?;
    let none = None::<&str>;
    let doing = || format!("mounting {} nosuid,nodev", dir.display());
    if is_new {
        mount(Some(dir), dir, none, MsFlags::MS_BIND, none).with_context(doing)?;
    }
    let mut now = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let flags = flags(dir)?;
    for (has, keep) in [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        // A remount removes the options that it does not name.
        now.set(keep, flags.contains(has));
    }
    mount(none, dir, none, now, none).with_context(doing)?;
    Ok(is_new)
}

/// Makes a directory accessible to root only. The permissions of ACL entries, for users of servers, stay effective.
pub(super) fn close(dir: &Path) -> Result<()> {
    let mode = dir
        .metadata()
        .map_err(|e| at_path(&e, dir))?
        .permissions()
        .mode()
        & 0o7777;
    // With ACL entries, the group's bits are the mask: the maximum that any of them grants.
    let closed = match xattr::get(dir, "system.posix_acl_access") {
        Ok(Some(_)) => 0o700 | mode & 0o010,
        _ => 0o700,
    };
    if mode != closed {
        fs::set_permissions(dir, Permissions::from_mode(closed)).map_err(|e| at_path(&e, dir))?;
    }
    Ok(())
}

/// Returns whether users other than root, without an ACL entry, can search a directory.
pub fn is_open(dir: &Path) -> bool {
    dir.metadata()
        .is_ok_and(|m| m.permissions().mode() & 0o007 != 0)
}

fn flags(dir: &Path) -> Result<FsFlags> {
    let found =
        statvfs(dir).with_context(|| format!("reading the mount options of {}", dir.display()))?;
    Ok(found.flags())
}

/// Returns whether something is mounted at a directory; a subvolume alone is none.
pub(super) fn is_mount_point(dir: &Path) -> Result<bool> {
    let table =
        fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let dir = dir.canonicalize().map_err(|e| at_path(&e, dir))?;
    Ok(crate::lifecycle::in_use::mount_points(&table).any(|at| at == dir))
}
