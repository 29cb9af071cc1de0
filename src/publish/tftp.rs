//! The names machines ask for: one link a MAC address or serial, to the node's active boot half.
//!
//! The link goes over `active`, so switching environments changes nothing here. Promises that a name of
//! an activated node never dangles: it is made when there is something behind it. Not for serving them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Published;
use crate::pool::{Node, NodeName, Pool, PoolLock, layout};
use crate::storage::replace;

/// Returns the names a node asks by: MAC addresses in lower case with dashes, as dnsmasq and Raspberry Pi
/// firmware spell them (`tftp-unique-root=mac`, `TFTP_PREFIX=2`), then the serial.
pub fn names(node: &Node) -> Vec<String> {
    let property = |key: &str| node.record.properties.get(key).filter(|v| !v.is_empty());
    let macs = property("mac").map(|m| m.replace(':', "-"));
    macs.iter()
        .flat_map(|m| m.split(','))
        .map(str::to_string)
        .chain(property("serial").cloned())
        .collect()
}

/// Makes the links of one node as its properties say, and takes its others away.
///
/// A node without an environment behind its active link gets none.
pub fn bring_node_up_to_date(
    pool: &Pool,
    lock: Option<&PoolLock>,
    node: &Node,
    done: &mut Published,
) -> Result<()> {
    bring_up_to_date(pool, lock, std::slice::from_ref(node), done)
}

/// Makes the links of these nodes, and takes away links to nodes of the pool that should not be there.
///
/// Links that lead elsewhere, and files, are somebody else's and stay.
pub fn bring_up_to_date(
    pool: &Pool,
    lock: Option<&PoolLock>,
    nodes: &[Node],
    done: &mut Published,
) -> Result<()> {
    let dir = layout::tftp(pool.root());
    let mut wanted: Vec<(String, PathBuf)> = Vec::new();
    let mut taken: HashMap<String, &NodeName> = HashMap::new();
    for node in nodes.iter().filter(|n| n.is_offered()) {
        let Ok(active) = node.active_environment() else {
            continue;
        };
        if !active.boot().is_dir() {
            continue;
        }
        for name in names(node) {
            // Two records edited by hand; the first has it, or the name would lead to each in turn.
            match taken.insert(name.clone(), &node.name) {
                None => wanted.push((name, target(node))),
                Some(first) => done.warnings.push(format!(
                    "{first} and {} have {name} both: a machine that asks by it boots one of the two",
                    node.name
                )),
            }
        }
    }
    for (name, target) in &wanted {
        let path = dir.join(name);
        if path.read_link().is_ok_and(|t| t == *target) {
            continue;
        }
        if path.symlink_metadata().is_ok_and(|m| !m.is_symlink()) {
            done.warnings.push(format!(
                "{} is not a link of netbe's: it is left, and machines asking for it get it",
                path.display()
            ));
            continue;
        }
        done.steps
            .push(format!("link {} -> {}", path.display(), target.display()));
        if lock.is_some() {
            replace::link(&path, target)?;
        }
    }
    let ours: Vec<&Path> = nodes
        .iter()
        .filter(|n| !n.lost)
        .map(|n| n.dir.as_path())
        .collect();
    for (path, target) in links(&dir)? {
        let of_these = node_dir(pool, &target).is_some_and(|d| {
            ours.contains(&d.as_path()) || !d.symlink_metadata().is_ok_and(|m| m.is_dir())
        });
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if of_these && !wanted.iter().any(|(n, t)| n == name && *t == target) {
            done.steps.push(format!("remove {}", path.display()));
            if lock.is_some() {
                std::fs::remove_file(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
            }
        }
    }
    if lock.is_some() && !done.steps.is_empty() {
        replace::directory(&dir)?;
    }
    Ok(())
}

/// Returns the links in the TFTP directory, with where they lead.
pub fn links(dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let names = layout::names_in(dir).with_context(|| format!("reading {}", dir.display()))?;
    Ok(names
        .iter()
        .map(|n| dir.join(n))
        .filter_map(|p| p.read_link().ok().map(|t| (p, t)))
        .collect())
}

/// Returns the text of a node's links.
fn target(node: &Node) -> PathBuf {
    Path::new("../nodes")
        .join(node.name.as_str())
        .join(layout::ACTIVE)
        .join(layout::BOOT)
}

/// Returns the directory of the node a link of ours leads to; `None` for somebody else's link.
fn node_dir(pool: &Pool, target: &Path) -> Option<PathBuf> {
    let mut parts = target.strip_prefix("../nodes").ok()?.components();
    let node = parts.next()?.as_os_str();
    let rest = parts.as_path();
    (rest == Path::new("active/boot")).then(|| layout::nodes(pool.root()).join(node))
}
