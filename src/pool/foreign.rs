//! Snapshots and files in the pool's directories that netbe did not make.
//!
//! Commands that remove the directory of an environment or a node check it first, and refuse to delete them. The content
//! of the halves belongs to the environment and is not checked. Reads only.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::data::DataPath;
use super::{EnvName, layout};
use crate::failure::Failure;
use crate::fs::atomic;
use crate::fs::dir_names::all_names_in;

/// Returns the files in an environment's directory that are not netbe's; the path itself, if it is not a directory.
pub fn in_env(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if dir.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
        return Ok(vec![dir.to_path_buf()]);
    }
    others(dir, |name| {
        is_one_of(
            name,
            &[layout::ROOT, layout::BOOT, layout::BASE, layout::KEPT_DATA],
        ) || is_one_of(name, &[layout::ENV_RECORD, layout::UPGRADE_LOG])
            || is_one_of(name, &[layout::ORIGIN_TEXTS])
    })
}

/// Returns the files in a node's directory that are not netbe's, without those in its environments.
pub fn in_node(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = others(dir, |name| {
        is_one_of(name, &[layout::ENVS, layout::ACTIVE, layout::DATA])
            || is_one_of(name, &[layout::NODE_RECORD, layout::FAILED_UPGRADE_LOG])
            || is_one_of(name, &[layout::REPORTS, layout::DEPLOYED])
    })?;
    let envs = dir.join(layout::ENVS);
    found.extend(others(&envs, is_environment)?);
    found.extend(others(&dir.join(layout::DATA), |name| {
        let path = name.to_str().and_then(DataPath::of_directory);
        path.is_some()
    })?);
    Ok(found)
}

/// Returns the files in the directories of a node and of all its environments that are not netbe's.
pub fn in_whole_node(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = in_node(dir)?;
    let envs = dir.join(layout::ENVS);
    for env in all_names_in(&envs)? {
        if is_environment(&env) {
            found.extend(in_env(&envs.join(env))?);
        }
    }
    Ok(found)
}

/// Refuses to remove a directory with files that netbe did not make.
pub fn refuse(what: &dyn std::fmt::Display, found: &[PathBuf]) -> Result<(), Failure> {
    let Some(first) = found.first() else {
        return Ok(());
    };
    let names: Vec<String> = found.iter().map(|p| p.display().to_string()).collect();
    let beside = first.parent().unwrap_or(first);
    Err(Failure::refused(format!(
        "the directory of {what} has files that netbe did not make: {}",
        names.join(", ")
    ))
    .hint_to(
        "move them out of the pool, or delete them",
        format!("ls -lA {}", beside.display()),
    ))
}

fn is_one_of(name: &OsStr, these: &[&str]) -> bool {
    these.iter().any(|this| name == *this)
}

/// Returns whether it is the name of an environment, possibly of a damaged one.
fn is_environment(name: &OsStr) -> bool {
    name.to_str().is_some_and(|n| n.parse::<EnvName>().is_ok())
}

fn others(dir: &Path, is_netbes: impl Fn(&OsStr) -> bool) -> io::Result<Vec<PathBuf>> {
    let is_work = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        layout::hidden_work(name).is_some() || atomic::is_leftover(name)
    };
    let mut names = all_names_in(dir)?;
    names.retain(|name| !is_netbes(name) && !is_work(name));
    Ok(names.iter().map(|name| dir.join(name)).collect())
}
