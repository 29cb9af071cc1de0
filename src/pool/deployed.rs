//! What was sent to the disk of a node: read-only snapshots of roots, to send only what changes since.
//!
//! In `deployed/` of the node, each under its name on the disk. Kept as long as its environment exists; the names of those that went
//! are remembered, since their roots are on the disk still. Not for the disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::record::EnvRecord;
use super::{EnvName, Environment, Node, Pool, layout, stage};
use crate::btrfs::subvolume;
use crate::fs::atomic::{self, Durable};
use crate::fs::dir_names::names_in;
use crate::fs::path_error::if_exists;

/// The file in a node's state that has the names of those that went, a line each.
const FORMER: &str = "former-roots";
/// How many of these names are remembered: the newest.
const FORMERS: usize = 1024;

/// Returns the part of an environment's UUID that its name on the disk ends with.
pub fn id(uuid: &str) -> String {
    uuid.chars().filter(|c| *c != '-').take(8).collect()
}

/// Returns the disks that have the root of an environment, as boot files name them.
///
/// # Errors
/// If the environments of a node cannot be read.
pub fn disks(pool: &Pool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for node in pool.nodes()? {
        for env in node.environments()? {
            let disk = env.record.and_then(|record| record.disk);
            found.extend(disk.map(|disk| disk.device));
        }
    }
    Ok(found)
}

/// Returns the path of one.
pub fn path(node: &Node, name: &str) -> PathBuf {
    node.dir.join(layout::DEPLOYED).join(name)
}

/// Returns which of those that are on the disk is nearest to an environment: one that it comes from.
pub fn parent(node: &Node, record: &EnvRecord, on_disk: &[String]) -> Option<String> {
    let mut line = record.origin.iter().chain(&record.lineage);
    line.find_map(|origin| {
        let id = id(&origin.uuid);
        let its = |name: &&String| name.rsplit_once('-').is_some_and(|(_, of)| of == id);
        let name = on_disk.iter().find(its)?;
        subvolume::is_subvolume(&path(node, name))
            .unwrap_or(false)
            .then(|| name.clone())
    })
}

/// Makes what is to be sent under a name of a subvolume, in place of an earlier one; durable when it returns.
pub fn make(node: &Node, name: &str, of: &Path) -> Result<PathBuf> {
    let to = path(node, name);
    atomic::directories(&node.dir.join(layout::DEPLOYED))?;
    if to.symlink_metadata().is_ok() {
        discard(node, &to)?;
    }
    subvolume::sync(of).context("making the copy durable")?;
    subvolume::snapshot_read_only(of, &to)?;
    Ok(to)
}

/// Returns the disk of a node that has the roots of others of its environments, and not of this one; `None` otherwise.
///
/// # Errors
/// If its environments cannot be read.
pub fn is_beside(node: &Node, env: &Environment) -> Result<Option<String>> {
    let disk_of = |env: &Environment| Some(env.record.as_ref()?.disk.as_ref()?.device.clone());
    match disk_of(env) {
        Some(_) => Ok(None),
        None => Ok(node.environments()?.iter().find_map(disk_of)),
    }
}

fn discard(node: &Node, path: &Path) -> Result<()> {
    // A read-only subvolume does not move to another directory.
    subvolume::make_writable(path)?;
    stage::discard(path, &node.dir)
}

/// Returns where on a node's disk its active environment is; `None` if it is on the server, or is this one.
///
/// # Errors
/// If it cannot be read.
pub fn left_on_disk(node: &Node, next: &Environment) -> Result<Option<(EnvName, String)>> {
    let Some(active) = node.active.as_ref().filter(|name| **name != next.name) else {
        return Ok(None);
    };
    // Where the link leads to nothing, nothing is left.
    let Some(env) = Environment::observe(node, active)? else {
        return Ok(None);
    };
    let disk = env.disk();
    let place = disk.map(|disk| disk.subvolume.clone().unwrap_or(disk.device.clone()));
    Ok(place.map(|place| (env.name, place)))
}

/// Returns the names of those that no environment of a node needs and no command is sending.
pub fn unneeded(node: &Node) -> Result<Vec<String>> {
    let mut names = names_in(&node.dir.join(layout::DEPLOYED))?;
    if names.is_empty() {
        return Ok(names);
    }
    let envs = node.environments()?;
    let name_of = |env: &Environment| env.disk()?.name().map(str::to_string);
    let needed: Vec<String> = envs.iter().filter_map(name_of).collect();
    let stages = names_in(&node.dir)?;
    let is_being_sent = |name: &String| is_in_a_stage(node, &stages, name);
    // The record of one that cannot be read may need any of them.
    if envs.iter().any(|env| env.record.is_none()) {
        return Ok(Vec::new());
    }
    names.retain(|name| !needed.contains(name) && !is_being_sent(name));
    Ok(names)
}

/// Returns whether a command is sending something under this name.
///
/// # Errors
/// If the node's directory cannot be read.
pub fn is_being_sent(node: &Node, name: &str) -> Result<bool> {
    Ok(is_in_a_stage(node, &names_in(&node.dir)?, name))
}

fn is_in_a_stage(node: &Node, stages: &[String], name: &str) -> bool {
    let mut stages = stages.iter().filter(|s| layout::hidden_work(s).is_some());
    stages.any(|stage| {
        let stage = node.dir.join(stage);
        stage.join(name).symlink_metadata().is_ok() && stage::is_guarded(&stage)
    })
}

/// Returns the names on disks of environments that are no more, in the order in which they went.
///
/// # Errors
/// If they cannot be read.
pub fn former(node: &Node) -> Result<Vec<String>> {
    let path = node.state.join(FORMER);
    let text = if_exists(std::fs::read_to_string(&path))
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(text
        .iter()
        .flat_map(|text| text.lines())
        .map(str::to_string)
        .collect())
}

fn remember(node: &Node, names: &[String]) -> Result<()> {
    let mut all = former(node)?;
    all.retain(|name| !names.contains(name));
    all.extend_from_slice(names);
    let old = all.len().saturating_sub(FORMERS);
    let text: String = all[old..].iter().map(|name| format!("{name}\n")).collect();
    let path = node.state.join(FORMER);
    atomic::private(&path, text.as_bytes(), Durable::AtOnce)
        .with_context(|| format!("writing {}", path.display()))
}

/// Deletes those that are needed no more, and remembers their names; its node is locked.
pub fn forget_unneeded(node: &Node) -> Result<()> {
    let names = unneeded(node)?;
    if !names.is_empty() {
        remember(node, &names)?;
    }
    for name in names {
        discard(node, &path(node, &name))?;
    }
    Ok(())
}
