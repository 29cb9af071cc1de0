//! Places that cannot be a pool.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Ground, backing, filesystem};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::dir_names::names_in;
use crate::pool::layout;

/// Refuses a path that would need quotes in the files that contain it.
pub(super) fn refuse_path(dir: &Path) -> Result<()> {
    if layout::is_plain(dir) && dir != Path::new("/") {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} cannot be a pool: its path is written on kernel command lines, so it may have only letters, digits and \
         /._+-",
        dir.display()
    ))
    .into())
}

pub(super) fn refuse_ground(dir: &Path, ground: &Ground, states: &Path) -> Result<()> {
    let empty = || names_in(dir).is_ok_and(|n| n.is_empty());
    match ground {
        Ground::Directory => {
            let there = dir.ancestors().find(|a| a.exists()).unwrap_or(dir);
            let is_btrfs = subvolume::is_on_btrfs(there)
                .with_context(|| format!("finding the filesystem of {}", there.display()))?;
            if !is_btrfs {
                return Err(
                    Failure::refused(format!("{} is not on btrfs", dir.display()))
                        .hint_to(
                            "make a btrfs in a file (or with --device on a disk)",
                            in_a_file(dir),
                        )
                        .into(),
                );
            }
            refuse_shared(dir, states)?;
            let names = names_in(dir)?;
            if let Some(name) = names
                .iter()
                .find(|n| ["nodes", "tftp", "publish"].contains(&n.as_str()))
            {
                return Err(Failure::refused(format!(
                    "{} has {name} but no pool.json: it is part of a pool, or something else; restore pool.json, or choose \
                     another directory",
                    dir.display()
                ))
                .into());
            }
        }
        _ if !empty() => {
            return Err(Failure::refused(format!("{} is not empty", dir.display())).into());
        }
        Ground::File(_) => {
            backing::require_programs()?;
            let image = layout::image(dir);
            if image.symlink_metadata().is_ok() {
                return Err(
                    Failure::refused(format!("{} already exists", image.display()))
                        .hint(format!(
                            "mount -o loop {} {}",
                            image.display(),
                            dir.display()
                        ))
                        .into(),
                );
            }
        }
        Ground::Device(device, yes) => {
            backing::require_programs()?;
            backing::refuse_device(device, *yes)?;
        }
    }
    Ok(())
}

/// Refuses a filesystem that also holds the server's own directories: over NFS a node could name every file of it.
pub(super) fn refuse_shared(dir: &Path, states: &Path) -> Result<()> {
    let shared = filesystem::shared_with(dir, states)?;
    let Some(first) = shared.first() else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{} is on the filesystem of {}: a node can address every file of the filesystem that its root is exported \
         from",
        dir.display(),
        first.display()
    ))
    .hint_to("make a filesystem of its own, in a file", in_a_file(dir))
    .into())
}

/// Returns the command that makes a pool in a file.
fn in_a_file(dir: &Path) -> String {
    format!("netbe init {} --file 64G", dir.display())
}
