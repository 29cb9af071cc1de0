//! The leftovers of interrupted commands: hidden stages, trash, temporary files, the second name of a rename.
//!
//! None of these is shown as an environment. The stages of running commands are no leftovers: the node's lock is held,
//! or the stage itself is locked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::{Finding, Repair, remedy};
use crate::fs::atomic;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::{at_path, is_system_error};
use crate::pool::{self, Environment, Node, NodeName, Pool, deployed, layout, lock, stage};
use crate::publish;
use crate::staged;

/// Finds leftovers in the pool's directories.
pub(super) fn in_pool(pool: &Pool, nodes: &[Node]) -> Result<Vec<Finding>> {
    let root = pool.root();
    let mut found = Vec::new();
    for dir in [
        root.to_path_buf(),
        pool.state().to_path_buf(),
        layout::tftp(root),
        layout::publish(pool.state()),
        publish::dnsmasq::hosts_dir(pool.state()),
    ] {
        found.extend(half_replaced(&dir, None)?);
    }
    let dir = layout::nodes(root);
    for name in names_in(&dir)? {
        let path = dir.join(&name);
        if let Some(node) = layout::hidden_work(&name).and_then(|node| node.parse().ok()) {
            if !lock::is_held(pool.state(), &node) && !stage::is_guarded(&path) {
                found.push(hidden(&path, Some(node)));
            }
        } else if let Ok(node) = name.parse::<NodeName>()
            && is_directory(&path)?
        {
            if !nodes.iter().any(|n| n.name == node) && !lock::is_held(pool.state(), &node) {
                found.push(second_name(&path, node));
            }
        } else {
            found.push(foreign(pool, &path));
        }
    }
    Ok(found)
}

/// Finds leftovers in a node's directory and in those of its environments.
pub(super) fn in_node(pool: &Pool, node: &Node, envs: &[Environment]) -> Result<Vec<Finding>> {
    if lock::is_held(pool.state(), &node.name) {
        return Ok(Vec::new());
    }
    let owner = Some(node.name.clone());
    let mut found = half_replaced(&node.dir, owner.as_ref())?;
    found.extend(half_replaced(&node.state, owner.as_ref())?);
    for name in names_in(&node.dir)? {
        let path = node.dir.join(&name);
        if layout::hidden_work(&name).is_some() && !stage::is_guarded(&path) {
            found.push(hidden(&path, owner.clone()));
        }
    }
    if let [first, ..] = deployed::unneeded(node).unwrap_or_default().as_slice() {
        found.push(Finding::repairable(
            deployed::path(node, first).display(),
            "a deploy that was cut short left it, or its environment is gone",
            Repair::ForgetSent(node.name.clone()),
        ));
    }
    let others = pool::foreign::in_node(&node.dir)?;
    found.extend(others.iter().map(|path| foreign(pool, path)));
    let dir = node.dir.join(layout::ENVS);
    for name in names_in(&dir)? {
        let path = dir.join(&name);
        match envs.iter().find(|e| e.name.as_str() == name) {
            Some(env) => {
                found.extend(half_replaced(&path, owner.as_ref())?);
                found.extend(in_halves(pool, env));
                if is_directory(&path)? {
                    let others = pool::foreign::in_env(&path)?;
                    found.extend(others.iter().map(|path| foreign(pool, path)));
                }
            }
            None if name.parse::<crate::pool::EnvName>().is_ok() && is_directory(&path)? => {
                found.push(second_name(&path, node.name.clone()));
            }
            None => {}
        }
    }
    Ok(found)
}

/// Finds what a killed command was writing in an environment's halves.
fn in_halves(pool: &Pool, env: &Environment) -> Vec<Finding> {
    let (node, name) = (&env.node, &env.name);
    // A half that cannot be read is found by verification.
    let left = staged::half_replaced(env).unwrap_or_default();
    // What runs in it replaces files without the node's lock.
    if left.is_empty() || pool.refuse_work(node, name, Duration::ZERO).is_err() {
        return Vec::new();
    }
    let finding = |path: &PathBuf| {
        let repair = Repair::RemoveHalfReplaced(node.clone(), name.clone());
        Finding::repairable(path.display(), "an interrupted command left it", repair)
    };
    left.iter().map(finding).collect()
}

fn half_replaced(dir: &Path, node: Option<&NodeName>) -> Result<Vec<Finding>> {
    // The check of the object that belongs there reports a file in its place.
    if dir.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
        return Ok(Vec::new());
    }
    Ok(names_in(dir)?
        .iter()
        .filter(|n| atomic::is_leftover(n) && !atomic::is_being_made(n))
        .map(|n| hidden(&dir.join(n), node.cloned()))
        .collect())
}

/// Returns whether a path is a directory; an error if that cannot be told, since a user would be told to move it away.
fn is_directory(path: &Path) -> Result<bool> {
    match path.symlink_metadata() {
        Err(e) if is_system_error(&e) => Err(at_path(&e, path).into()),
        found => Ok(found.is_ok_and(|m| m.is_dir())),
    }
}

fn hidden(path: &Path, node: Option<NodeName>) -> Finding {
    Finding::repairable(
        path.display(),
        "an interrupted command left it",
        Repair::Remove(path.to_path_buf(), node),
    )
}

fn second_name(path: &Path, node: NodeName) -> Finding {
    Finding::repairable(
        path.display(),
        "an interrupted rename left it under its other name",
        Repair::FinishRename(PathBuf::from(path), node),
    )
}

fn foreign(pool: &Pool, path: &Path) -> Finding {
    let remedy = remedy::foreign(pool, path);
    Finding::new(path.display(), "it was not made by netbe", remedy)
}
