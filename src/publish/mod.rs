//! Publishing to the network: TFTP names, exports, DHCP.
//!
//! Promises an order that never breaks a machine: an environment is exported before a name leads to it, and a name is
//! removed before its target. All of it can be regenerated from the pool. Not for deciding what becomes active.

pub mod dnsmasq;
pub mod exports;
pub mod firmware_address;
pub mod iscsi;
pub mod iscsi_names;
pub mod iscsi_targets;
pub mod local;
pub mod nfs;
mod once;
mod own_partition;
pub mod port_holder;
mod reports;
pub mod reserved_block;
pub mod run;
pub mod server;
pub mod server_versions;
mod systemd_boot;
pub mod tftp;
pub mod tftp_transfer;

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;

use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::pool::pending::Pending;
use crate::pool::{Environment, Node, NodeName, Pool, PoolLock, data_store};
use run::Publishing;

/// The result of publishing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Published {
    /// The steps that were done, or would be, one line each.
    pub steps: Vec<String>,
    /// The warnings, a sentence each.
    pub warnings: Vec<String>,
    /// The nodes that stay published as they were, since the system failed to read them, or a name that may be theirs, each
    /// with the warning.
    pub left: Vec<(NodeName, String)>,
}

/// Returns the environments of a node to export: the next boot, and those that may be running.
///
/// A template, a node without MAC address and serial, and a node with its root on its own disk have none.
///
/// Those already `exported` stay as long as they exist.
fn offered(pool: &Pool, node: &Node, exported: &HashSet<String>) -> Result<Vec<Environment>> {
    if !is_exported(pool, node) {
        return Ok(Vec::new());
    }
    let evidence = Evidence::recent(node);
    let pending = Pending::read(&node.state);
    Ok(node
        .environments()?
        .into_iter()
        .filter(|e| {
            let known = exported.contains(e.root().to_string_lossy().as_ref());
            let wanted = e.active || known || pending.protects(&e.name);
            e.whole && (wanted || evidence.booted(e) != Some(false))
        })
        .collect())
}

/// Returns whether a machine can ask for a node, and mounts its root from this server.
fn is_exported(pool: &Pool, node: &Node) -> bool {
    node.is_offered() && has_nfs_root(pool, node)
}

/// Returns whether a node mounts its root from this server.
pub fn has_nfs_root(pool: &Pool, node: &Node) -> bool {
    node.property(pool, "root")
        .is_none_or(|v| v == "nfs" || v == "iscsi")
}

/// Publishes everything.
///
/// Without `lock` nothing is written: the steps are those that would be done.
pub fn everything(pool: &Pool, lock: Option<&PoolLock>) -> Result<Published> {
    all(pool, lock, &HashSet::new())
}

/// Points a node to the environment that it boots next: by its TFTP names, or in this machine's own loader.
///
/// Without `lock` nothing is written: the steps are those that would be done.
pub fn lead_node(pool: &Pool, lock: Option<&PoolLock>, node: &Node) -> Result<Published> {
    let mut run = Publishing::begin(pool, lock)?;
    match pool.local() {
        Some(machine) => local::bring_up_to_date(&mut run, machine)?,
        None => tftp::bring_node_up_to_date(&mut run, node)?,
    }
    Ok(run.done)
}

/// Returns what is out of date, as the steps that would fix it.
///
/// An export that no machine uses any more is not out of date: machines reboot without any command.
pub fn out_of_date(pool: &Pool) -> Result<Published> {
    let exported = nfs::read(pool).map_or_else(|_| Vec::new(), |text| exports::paths(&text));
    let offered =
        iscsi::read(pool).map_or_else(|_| Vec::new(), |text| iscsi_targets::halves(&text));
    let exported = exported.into_iter().chain(offered).collect();
    all(pool, None, &exported)
}

fn all(pool: &Pool, lock: Option<&PoolLock>, exported: &HashSet<String>) -> Result<Published> {
    let mut run = Publishing::begin(pool, lock)?;
    if let Some(machine) = pool.local() {
        local::bring_up_to_date(&mut run, machine)?;
        return Ok(run.done);
    }
    let nodes = pool.nodes()?;
    let (text, disks) = exports_of_all(&mut run, &nodes, exported)?;
    iscsi::bring_up_to_date(&mut run, &disks)?;
    nfs::bring_up_to_date(&mut run, &text)?;
    tftp::bring_up_to_date(&mut run, &nodes)?;
    // After the names: a machine that dnsmasq answers must find its files.
    dnsmasq::bring_up_to_date(&mut run, &nodes, false)?;
    Ok(run.done)
}

/// Returns the exports file, and the file of iSCSI targets, as generated from the pool.
fn exports_of_all(
    run: &mut Publishing<'_>,
    nodes: &[Node],
    exported: &HashSet<String>,
) -> Result<(String, String)> {
    let pool = run.pool;
    let mut lines = Vec::new();
    let (mut disks, mut kept_disks) = (Vec::new(), Vec::new());
    let (old_disks, admission) = (iscsi::read(pool)?, iscsi::admission());
    let mut kept = Vec::new();
    let old = match nfs::read(pool) {
        Ok(old) => old,
        // If a node's record is lost, the published state is the only copy of its settings: it stays.
        Err(e) if e.downcast_ref::<Failure>().is_none() && nodes.iter().any(|n| n.lost) => {
            return Err(e);
        }
        Err(e) => {
            run.warn(format!("{e:#}; it is rewritten"));
            String::new()
        }
    };
    for node in nodes {
        if node.lost {
            // The node's MAC addresses are not known: its published state stays.
            kept.extend(nfs::lines_to_keep(pool, &old, &node.dir));
            kept_disks.extend(iscsi_targets::below(&old_disks, &node.dir));
            run.leave(node, &node.problems.join("; "));
        }
        let offered = match offered(pool, node, exported) {
            Ok(offered) => offered,
            Err(e) => {
                // One node that cannot be read must not remove the exports of all others.
                kept.extend(nfs::lines_to_keep(pool, &old, &node.dir));
                kept_disks.extend(iscsi_targets::below(&old_disks, &node.dir));
                run.leave(node, &format!("{e:#}"));
                continue;
            }
        };
        reports::make(run, node, &offered)?;
        for env in offered {
            lines.extend(exports::lines_for(pool, node, &env)?);
            match iscsi_targets::target(pool, node, &env, admission) {
                Ok(disk) => disks.extend(disk),
                Err(e) => run.warn(format!("{e:#}")),
            }
        }
        match exports::lines_of_data(pool, node) {
            Ok(of_data) if is_exported(pool, node) => lines.extend(of_data),
            Ok(_) => {}
            Err(e) => {
                kept.extend(exports::below(&old, &data_store::directory(node)));
                let stays = format!("{e:#}; the exports of its data are unchanged");
                run.warn(stays);
            }
        }
    }
    let uuid = &pool.record().uuid;
    Ok((
        exports::print(uuid, &lines, kept),
        iscsi_targets::print(uuid, &disks, kept_disks),
    ))
}

/// Returns the exports file as last published; if that is damaged, as generated from the pool: running machines must
/// not lose their exports because of a malformed line.
fn exports_now(run: &mut Publishing<'_>) -> Result<String> {
    match nfs::read(run.pool) {
        Ok(text) if exports::is_whole(&text) => Ok(text),
        _ => {
            let mut dry = Publishing::begin(run.pool, None)?;
            let text = exports_of_all(&mut dry, &run.pool.nodes()?, &HashSet::new())?.0;
            run.done.steps.extend(dry.done.steps);
            run.done.warnings.extend(dry.done.warnings);
            run.done.left.extend(dry.done.left);
            Ok(text)
        }
    }
}

/// Exports an environment, before a name leads to it.
///
/// Returns warnings, such as a missing NFS server.
///
/// # Errors
/// When the server does not export it.
pub fn export(pool: &Pool, lock: &PoolLock, node: &Node, env: &Environment) -> Result<Vec<String>> {
    if !is_exported(pool, node) {
        return Ok(Vec::new());
    }
    let mut run = Publishing::begin(pool, Some(lock))?;
    reports::make(&mut run, node, std::slice::from_ref(env))?;
    let mut lines = exports::lines_for(pool, node, env)?;
    lines.extend(exports::lines_of_data(pool, node)?);
    let old = exports_now(&mut run)?;
    let text = exports::with(&old, &pool.record().uuid, &lines);
    nfs::bring_up_to_date(&mut run, &text)?;
    nfs::ensure_known(&lines, &run.done)?;
    if let Some(target) = iscsi_targets::target(pool, node, env, iscsi::admission())? {
        let text = iscsi_targets::with(&iscsi::read(pool)?, &pool.record().uuid, &target);
        iscsi::bring_up_to_date(&mut run, &text)?;
        iscsi::ensure_known(pool, &target)?;
    }
    Ok(run.done.warnings)
}

/// Removes environments from the exports; they need not be exported.
pub fn withdraw(pool: &Pool, lock: &PoolLock, envs: &[&Environment]) -> Result<Vec<String>> {
    if let Some(machine) = pool.local() {
        return local::withdraw(pool, lock, machine, envs).map(|()| Vec::new());
    }
    let dirs: Vec<&Path> = envs.iter().map(|e| e.dir.as_path()).collect();
    withdraw_below(pool, lock, &dirs)
}

/// Removes the exports below these directories: of environments, or of whole nodes.
pub fn withdraw_below(pool: &Pool, lock: &PoolLock, dirs: &[&Path]) -> Result<Vec<String>> {
    if pool.local().is_some() {
        // The pool of this machine itself exports nothing.
        return Ok(Vec::new());
    }
    let mut run = Publishing::begin(pool, Some(lock))?;
    let old = exports_now(&mut run)?;
    if let Some(text) = exports::without(&old, dirs) {
        nfs::bring_up_to_date(&mut run, &text)?;
    }
    let disks = iscsi::read(pool)?;
    if let Some(text) = iscsi_targets::without(&disks, &pool.record().uuid, dirs) {
        iscsi::bring_up_to_date(&mut run, &text)?;
    }
    Ok(run.done.warnings)
}
