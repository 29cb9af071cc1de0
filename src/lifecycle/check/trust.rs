//! Checks of what protects the server from the pool: its filesystem, mount options, directory modes, and the copies of
//! records for a takeover.
//!
//! Reads only. Not for what is published.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use super::{Finding, Repair};
use crate::fs::dir_names::names_in;
use crate::lifecycle::init::filesystem;
use crate::pool::record::{self, NodeRecord, PoolRecord};
use crate::pool::{Node, NodeName, Pool, layout, lock};
use crate::publish;

/// Finds problems around the pool.
pub(super) fn of_pool(pool: &Pool, nodes: &[Node]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    found.extend(shared(pool)?);
    found.extend(options(pool)?);
    found.extend(open(pool));
    found.extend(states_without_nodes(pool)?);
    // Read again: the record and its copy may have been written since the pool was opened.
    let record = pool.again()?.record().without_secrets();
    let copy = layout::pool_record(pool.root());
    if !says(&copy, PoolRecord::parse, &record) {
        found.push(old(&copy, None));
    }
    for node in nodes
        .iter()
        .filter(|n| !n.lost && !lock::is_held(pool.state(), &n.name))
    {
        let copy = node.dir.join(layout::NODE_RECORD);
        if !says(&copy, NodeRecord::parse, &node.record.without_secrets()) {
            found.push(old(&copy, Some(node.name.clone())));
        }
    }
    Ok(found)
}

/// Returns the note about nodes that can write each other's files; `None` if there are none.
pub fn one_domain(pool: &Pool) -> Result<Option<String>> {
    let mut apart = pool.nodes()?;
    apart.retain(|n| {
        n.is_offered()
            && publish::has_nfs_root(pool, n)
            && !publish::exports::checks_subtrees(pool, n)
    });
    let beside = filesystem::pools_beside(pool.root(), pool.states())?;
    if let (Some(node), Some(other)) = (apart.first(), beside.first()) {
        return Ok(Some(format!(
            "the root user of {} can read and write the files of every node of this pool and of {}, on the same \
             filesystem: the kernel's NFS server does not authenticate file handles. For nodes that do not trust \
             one another: netbe set nfs.subtree-check=on (see netbe-set(8) for its price), or a pool on a separate \
             filesystem for each (netbe init DIR --file 64G)",
            node.name,
            other.display()
        )));
    }
    let [first, second, others @ ..] = apart.as_slice() else {
        return Ok(None);
    };
    let more = match others.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Ok(Some(format!(
        "the root user of {}, {}{more} can read and write the files of every node of this pool: the kernel's NFS \
         server does not authenticate file handles. For nodes that do not trust one another: netbe set \
         nfs.subtree-check=on (see netbe-set(8) for its price), or a pool on a separate filesystem for each (netbe \
         init DIR --file 64G)",
        first.name, second.name
    )))
}

fn shared(pool: &Pool) -> Result<Vec<Finding>> {
    if pool.local().is_some() {
        // The pool of this machine itself is not exported.
        return Ok(Vec::new());
    }
    let shared = filesystem::shared_with(pool.root(), pool.states())?;
    let finding = |path: &std::path::PathBuf| {
        Finding::new(
            pool.root().display(),
            format!(
                "it is on the filesystem of {}: over NFS a node can address every file of that, and write it as root; make a \
                 pool on a separate filesystem, and move the environments by netbe export and netbe import",
                path.display()
            ),
            "netbe init /srv/netbe-pool --file 64G",
        )
    };
    Ok(shared.iter().map(finding).collect())
}

fn options(pool: &Pool) -> Result<Option<Finding>> {
    let missing = filesystem::missing_options(pool.root())?;
    Ok((!missing.is_empty()).then(|| {
        Finding::new(
            pool.root().display(),
            format!(
                "it is not mounted {}: a user of this server could run a node's set-user-ID program, or open its devices",
                missing.join(",")
            ),
            format!("netbe init {}", pool.root().display()),
        )
    }))
}

fn open(pool: &Pool) -> Vec<Finding> {
    let is_open = |dir: &Path| {
        dir.metadata()
            .is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
    };
    let mut found = Vec::new();
    let nodes = layout::nodes(pool.root());
    if filesystem::is_open(&nodes) {
        found.push(Finding::new(
            nodes.display(),
            "every user of this server can reach the nodes' files through it",
            format!("netbe init {}", pool.root().display()),
        ));
    }
    if is_open(pool.state()) {
        found.push(Finding::new(
            pool.state().display(),
            "users other than root can read netbe's records in it",
            format!("chmod 700 {}", pool.state().display()),
        ));
    }
    found
}

/// Finds the state of nodes that do not exist.
fn states_without_nodes(pool: &Pool) -> Result<Vec<Finding>> {
    let dir = layout::node_states(pool.state());
    let mut found = Vec::new();
    for name in names_in(&dir)? {
        let path = dir.join(&name);
        let Ok(node) = name.parse::<NodeName>() else {
            continue;
        };
        let is_there = layout::node(pool.root(), &node).symlink_metadata().is_ok();
        if !is_there && !lock::is_held(pool.state(), &node) {
            found.push(Finding::repairable(
                path.display(),
                "an interrupted command left it: there is no node of that name",
                Repair::Forget(node),
            ));
        }
    }
    Ok(found)
}

/// Returns whether a copy is equal to its record.
fn says<T: serde::Serialize>(copy: &Path, parse: impl Fn(&str) -> Result<T>, own: &T) -> bool {
    let read = record::read(copy)
        .ok()
        .flatten()
        .and_then(|text| parse(&text).ok());
    let value = |record: &T| serde_json::to_value(record).ok();
    read.is_some_and(|read| value(&read) == value(own))
}

fn old(copy: &Path, node: Option<NodeName>) -> Finding {
    Finding::repairable(
        copy.display(),
        "it differs from the record, and another server could take it over",
        Repair::Copy(node),
    )
}
