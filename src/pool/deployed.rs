//! The roots that were sent to the disk of a node: read-only snapshots, so that later only differences are sent.
//!
//! In `deployed/` of the node, each under its name on the disk. Each is kept as long as its environment exists; the names of
//! deleted ones are remembered, since their roots are still on the disk. While a command works on a root on a disk, which may
//! take hours and holds no lock, a stage of the node has an entry of the root's name. Not for the disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::record::EnvRecord;
use super::stage::Staged;
use super::{EnvName, Environment, Node, Pool, layout, stage};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::dir_names::names_in;
use crate::fs::interrupt;
use crate::fs::path_error::if_exists;

/// The file in a node's state with the names of deleted ones, a line each.
const FORMER: &str = "former-roots";
/// How many of these names are remembered: the newest.
const FORMERS: usize = 1024;
/// The file in a stage whose command formats a disk.
const FORMATS: &str = "formats";
/// The interval between two looks at whether a command still works on a root.
const RETRY: Duration = Duration::from_millis(50);

/// Returns the part of an environment's UUID that is the end of its name on the disk.
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

/// Returns the path of a snapshot.
pub fn path(node: &Node, name: &str) -> PathBuf {
    node.dir.join(layout::DEPLOYED).join(name)
}

/// Returns the root on a disk that is an environment's nearest ancestor; `device` names the disk as boot files do.
///
/// The snapshot of an environment is of the disk that it was deployed to last: on another disk its root is not the same one.
///
/// # Errors
/// If the environments of the node cannot be read.
pub fn parent(
    node: &Node,
    record: &EnvRecord,
    device: &str,
    on_disk: &[String],
) -> Result<Option<String>> {
    let envs = node.environments()?;
    let is_from_here = |name: &str| {
        let mut disks = envs.iter().filter_map(Environment::disk);
        disks.any(|disk| disk.name() == Some(name) && disk.device == device)
    };
    let mut line = record.origin.iter().chain(&record.lineage);
    Ok(line.find_map(|origin| {
        let id = id(&origin.uuid);
        let its = |name: &&String| name.rsplit_once('-').is_some_and(|(_, of)| of == id);
        let name = on_disk.iter().find(its)?;
        let is_there = subvolume::is_subvolume(&path(node, name)).unwrap_or(false);
        (is_there && is_from_here(name)).then(|| name.clone())
    }))
}

/// Snapshots a subvolume, to be sent under a name, in place of an earlier snapshot; durable when it returns.
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

/// Returns the disk of a node that has roots of its environments, but not that of this environment; `None` if there is none.
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

/// Returns the active environment of a node and its place on the node's disk; `None` if its root is on the server, or if
/// it is `next`.
///
/// # Errors
/// If it cannot be read.
pub fn left_on_disk(node: &Node, next: &Environment) -> Result<Option<(EnvName, String)>> {
    let Some(active) = node.active.as_ref().filter(|name| **name != next.name) else {
        return Ok(None);
    };
    // If the link is dangling, nothing is left on the disk.
    let Some(env) = Environment::observe(node, active)? else {
        return Ok(None);
    };
    let disk = env.disk();
    let place = disk.map(|disk| disk.subvolume.clone().unwrap_or(disk.device.clone()));
    Ok(place.map(|place| (env.name, place)))
}

/// Returns the names of snapshots that no environment of a node needs and no command is sending.
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
    // An environment whose record cannot be read may need any of them.
    if envs.iter().any(|env| env.record.is_none()) {
        return Ok(Vec::new());
    }
    names.retain(|name| !needed.contains(name) && !is_being_sent(name));
    Ok(names)
}

/// Returns whether a command is sending a root under this name.
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

/// Marks a root on a disk as being worked on, for as long as the value lives or its process runs.
pub fn mark(node: &Node, name: &str) -> Result<Staged> {
    let stage = Staged::new(&node.dir, name)?;
    atomic::directories(&stage.path().join(name))?;
    Ok(stage)
}

/// Marks the command of a stage as one that formats a disk, before it does.
///
/// # Errors
/// Names the path.
pub fn mark_formatting(stage: &Staged) -> std::io::Result<()> {
    atomic::file(&stage.path().join(FORMATS), b"", Durable::WithNextSync)
}

/// Refuses while another command works on a disk of a node, if one of the two formats a disk.
///
/// The lock of a disk is free between the steps of a deploy: what was sent could be formatted before boot files name it.
///
/// # Errors
/// `Locked`.
pub fn refuse_formatting(node: &Node, formats: bool) -> Result<()> {
    for stage in names_in(&node.dir)? {
        let path = node.dir.join(&stage);
        if layout::hidden_work(&stage).is_none() || !stage::is_guarded(&path) {
            continue;
        }
        let names = names_in(&path)?;
        let is_on_disk = names.iter().any(|name| is_sent_name(base_of(name)));
        if is_on_disk && (formats || names.iter().any(|name| name == FORMATS)) {
            return Err(Failure::locked(format!(
                "another netbe works on a disk of {}, and one of the two formats a disk: run the same command again when it \
                 has ended",
                node.name
            ))
            .into());
        }
    }
    Ok(())
}

/// Returns the name under which a root was sent, of a root that is kept as `NAME.2`.
pub fn base_of(name: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    match name.rsplit_once('.') {
        Some((base, number)) if is_number(number) && is_sent_name(base) => base,
        _ => name,
    }
}

/// Returns whether this is the name of a root on a disk: that of an environment, with the beginning of its UUID.
fn is_sent_name(name: &str) -> bool {
    let id = name.rsplit_once('-').map(|(_, id)| id);
    id.is_some_and(|id| id.len() == 8 && id.bytes().all(|c| c.is_ascii_hexdigit()))
}

/// Returns whether a root on a disk, by its name there, is an environment's.
pub fn is_of(name: &str, env: &Environment) -> bool {
    let record = env.record.as_ref();
    record.is_some_and(|record| base_of(name).ends_with(&format!("-{}", id(&record.uuid))))
}

/// Refuses while another command works on a root of an environment on a disk, after waiting up to `wait`.
///
/// # Errors
/// `Locked`.
pub fn refuse_work(env: &Environment, wait: Duration) -> Result<()> {
    let since = Instant::now();
    while is_worked_on(env)? {
        if since.elapsed() >= wait {
            return Err(Failure::locked(format!(
                "another netbe deploy writes the root of {env} to a disk, or removes one there; waited {} s; --wait SECONDS \
                 waits longer",
                wait.as_secs()
            ))
            .into());
        }
        interrupt::check()?;
        std::thread::sleep(RETRY);
    }
    Ok(())
}

fn is_worked_on(env: &Environment) -> Result<bool> {
    // NODE/envs/NAME.
    let Some(node) = env.dir.ancestors().nth(2) else {
        return Ok(false);
    };
    for stage in names_in(node)? {
        let path = node.join(&stage);
        if layout::hidden_work(&stage).is_some()
            && stage::is_guarded(&path)
            && names_in(&path)?.iter().any(|name| is_of(name, env))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the names on disks of destroyed environments, in the order in which they were destroyed.
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

/// Deletes unneeded snapshots, and remembers their names; the node is locked.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_was_sent_under_the_name_before_its_number() {
        for (name, base) in [
            ("a-1a2b3c4d.1", "a-1a2b3c4d"),
            ("a-1a2b3c4d.12", "a-1a2b3c4d"),
            ("a-1a2b3c4d", "a-1a2b3c4d"),
            ("6.1-1a2b3c4d", "6.1-1a2b3c4d"),
            ("a.1", "a.1"),
            ("a-1a2b3c4d.x", "a-1a2b3c4d.x"),
            ("a-1a2b3c4d.", "a-1a2b3c4d."),
            ("x-y.1", "x-y.1"),
        ] {
            assert_eq!(base_of(name), base);
        }
    }
}
