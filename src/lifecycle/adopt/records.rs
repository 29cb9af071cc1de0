//! Moving the records of this server's pools for other machines out of the root: a rollback would revert them.
//!
//! Their directory becomes a subvolume, by one exchange of two directories. Waits for commands that hold a lock of one of
//! the pools.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::btrfs::subvolume;
use crate::fs::path_error::if_exists;
use crate::fs::systemd;
use crate::lifecycle::Mode;
use crate::pool::lock::Share;
use crate::pool::{Pool, stage, state};

/// Where the records are.
pub(super) const DIR: &str = state::DEFAULT;
/// The temporary path of the subvolume.
const NEW: &str = "/var/lib/.netbe-records";

/// Returns whether records of pools are in the root.
pub(super) fn are_in_root() -> Result<bool> {
    let look = || -> std::io::Result<bool> {
        let Some(found) = if_exists(Path::new(DIR).metadata())? else {
            return Ok(false);
        };
        let is_in_root = found.dev() == Path::new("/").metadata()?.dev();
        Ok(is_in_root && !state::all(Path::new(DIR))?.is_empty())
    };
    look().context(DIR)
}

/// Makes their directory a subvolume, if they are in the root; removes the leftovers of a killed run.
///
/// # Errors
/// `Locked`, if another command holds a lock of one of the pools for too long; then nothing was changed.
pub(super) fn take_out(mode: Mode) -> Result<()> {
    let what = || format!("making {DIR} a subvolume");
    let (dir, new) = (Path::new(DIR), Path::new(NEW));
    if new.symlink_metadata().is_ok() {
        // Part of a copy, or the replaced directory: the environment would contain it, with its keys.
        stage::remove(new).with_context(what)?;
    }
    if !are_in_root()? {
        return Ok(());
    }
    let (mut of_nodes, mut of_pools) = (Vec::new(), Vec::new());
    for (_, pool) in Pool::all(Path::new(DIR))? {
        // No command works on a pool that cannot be opened.
        let Ok(pool) = pool else { continue };
        for node in pool.node_names()? {
            of_nodes.push(pool.lock_node(&node, Share::Alone, mode.wait)?);
        }
        // The pool's lock last, the order of every command.
        of_pools.push(pool.lock(mode.wait)?);
    }
    // These locks are for cp(1): whatever writes a record meanwhile would write it into the directory that is replaced. It
    // is this server's own program, on its own small files.
    let made = (|| -> Result<()> {
        subvolume::create(new)?;
        fs::set_permissions(new, dir.metadata()?.permissions())?;
        systemd::run(
            Command::new("cp")
                .args(["-a", "--reflink=auto", "--"])
                .arg(dir.join("."))
                .arg(new),
        )?;
        subvolume::sync(new)?;
        Ok(renameat2(
            AT_FDCWD,
            dir,
            AT_FDCWD,
            new,
            RenameFlags::RENAME_EXCHANGE,
        )?)
    })();
    if let Err(e) = made {
        let _: Result<()> = stage::remove(new);
        return Err(e).with_context(what);
    }
    subvolume::sync(dir).with_context(what)?;
    // The directory holds only copies now.
    stage::remove(new).with_context(what)
}
