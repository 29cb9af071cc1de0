//! What a killed command left in the halves of an environment: replacements of files that did not take their place.
//!
//! Not for the halves of a stage, which is deleted as a whole, nor for what is in a disk image.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;

use crate::boot::read_only;
use crate::btrfs::removal;
use crate::fs::rooted::Tree;
use crate::pool::Environment;

/// The directories of a root half below which files of an environment are replaced.
const IN_ROOT: [&str; 2] = ["etc", read_only::DIRECTORY];
/// How many levels of directories are looked at. The deepest files are drop-ins of units and the entries of boot loaders.
const DEPTH: usize = 4;

/// Returns the paths of replacements, on this machine. They may be those of a command that runs.
///
/// # Errors
/// If a directory cannot be read, or holds more than netbe looks at.
pub fn half_replaced(env: &Environment) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (tree, paths) in in_halves(env)? {
        found.extend(paths.iter().map(|path| tree.path().join(path)));
    }
    Ok(found)
}

/// Removes them. The caller holds the lock of the node, and no command works in the environment.
///
/// # Errors
/// Names the path that could not be removed.
pub fn remove_half_replaced(env: &Environment) -> Result<()> {
    for (tree, paths) in in_halves(env)? {
        for path in paths {
            remove(&tree, &path).with_context(|| format!("removing {path} in {env}"))?;
        }
    }
    Ok(())
}

/// Removes what is there: a file, a link, or a directory with all that is in it.
pub(super) fn remove(tree: &Tree, path: &str) -> Result<()> {
    if !tree.symlink_metadata(path)?.is_some_and(|m| m.is_dir()) {
        return Ok(tree.remove_file(path)?);
    }
    let top = tree.open_without_links(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    removal::empty(&top)?;
    Ok(tree.remove_dir(path)?)
}

fn in_halves(env: &Environment) -> Result<[(Tree, Vec<String>); 2]> {
    let looking = || format!("looking for what a killed command left in {env}");
    let (root, boot) = (Tree::open(&env.root())?, Tree::open(&env.boot())?);
    let mut in_root = Vec::new();
    for directory in IN_ROOT {
        in_root.extend(root.half_replaced(directory, DEPTH).with_context(looking)?);
    }
    let in_boot = boot.half_replaced("", DEPTH).with_context(looking)?;
    Ok([(root, in_root), (boot, in_boot)])
}
