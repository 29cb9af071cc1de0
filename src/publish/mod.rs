//! What the network is offered: TFTP names, exports, DHCP; and the evidence of what machines run.
//!
//! Promises the order that keeps machines alive: an environment is exported before a name leads to it,
//! and a name is taken away before what it leads to. Everything here can be written again from what the
//! pool holds. Not for deciding what becomes active.

pub mod dnsmasq;
pub mod exports;
pub mod firmware_address;
pub mod nfs;
pub mod server;
pub mod tftp;
pub mod tftp_port;
pub mod tftp_transfer;

use std::collections::HashSet;

use anyhow::Result;

use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::pool::pending::Pending;
use crate::pool::{Environment, Node, Pool, PoolLock};

/// What a full publication changed and found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Published {
    /// What was, or would be, done, one line a step.
    pub steps: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// Returns the environments of a node that a machine may mount: what it boots next, and what it may be
/// running.
///
/// None of a template, of a node nobody can ask for, or of one whose root is on its own disk.
///
/// Those `exported` already are among them while they are there.
fn offered(pool: &Pool, node: &Node, exported: &HashSet<String>) -> Result<Vec<Environment>> {
    if !node.is_offered() || !has_nfs_root(pool, node) {
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

/// Returns whether a node mounts its root from this server.
pub fn has_nfs_root(pool: &Pool, node: &Node) -> bool {
    node.property(pool, "root").is_none_or(|v| v == "nfs")
}

/// Writes again everything the network is offered.
///
/// With `lock` absent nothing is written: the steps say what would be.
pub fn everything(pool: &Pool, lock: Option<&PoolLock>) -> Result<Published> {
    all(pool, lock, &HashSet::new())
}

/// Returns what is wrong with what the network is offered, as the steps that would mend it.
///
/// That something is exported which no machine runs any more is not wrong: machines come to run something
/// else without any command.
pub fn out_of_date(pool: &Pool) -> Result<Published> {
    let exported = nfs::read(pool).map_or_else(|_| Vec::new(), |text| exports::paths(&text));
    let exported = exported.into_iter().collect();
    all(pool, None, &exported)
}

fn all(pool: &Pool, lock: Option<&PoolLock>, exported: &HashSet<String>) -> Result<Published> {
    let mut done = Published::default();
    let nodes = pool.nodes()?;
    let text = exports_of_all(pool, &nodes, exported, &mut done)?;
    nfs::bring_up_to_date(pool, lock, &text, &mut done)?;
    tftp::bring_up_to_date(pool, lock, &nodes, &mut done)?;
    // After the names: a machine that dnsmasq knows finds its files.
    dnsmasq::bring_up_to_date(pool, lock, &nodes, &mut done)?;
    Ok(done)
}

/// Returns the exports file as the pool says it should be.
fn exports_of_all(
    pool: &Pool,
    nodes: &[Node],
    exported: &HashSet<String>,
    done: &mut Published,
) -> Result<String> {
    let mut lines = Vec::new();
    let mut kept = Vec::new();
    let old = match nfs::read(pool) {
        Ok(old) => old,
        // What a node whose record is lost is offered stands nowhere else: not while the disk may give it yet.
        Err(e) if e.downcast_ref::<Failure>().is_none() && nodes.iter().any(|n| n.lost) => {
            return Err(e);
        }
        Err(e) => {
            done.warnings.push(format!("{e:#}; it is written anew"));
            String::new()
        }
    };
    for node in nodes {
        if node.lost {
            // Who asks for it is not known: what it is offered stays as it is.
            kept.extend(exports::below(&old, &node.dir));
            done.warnings
                .push(tftp::stays(node, &node.problems.join("; ")));
        }
        let offered = match offered(pool, node, exported) {
            Ok(offered) => offered,
            Err(e) => {
                // One node that cannot be looked into must not take their roots from all others.
                kept.extend(exports::below(&old, &node.dir));
                done.warnings.push(format!(
                    "{}: {e:#}; what the network is offered of it stays as it was",
                    node.name
                ));
                continue;
            }
        };
        for env in offered {
            lines.extend(exports::lines_for(pool, node, &env)?);
        }
    }
    Ok(exports::print(&pool.record().uuid, &lines, kept))
}

/// Returns the exports file as last published; where that is damaged, as the pool says it should be: what
/// machines run from must not go because a line cannot be read.
fn exports_now(pool: &Pool, done: &mut Published) -> Result<String> {
    match nfs::read(pool) {
        Ok(text) if exports::is_whole(&text) => Ok(text),
        _ => exports_of_all(pool, &pool.nodes()?, &HashSet::new(), done),
    }
}

/// Makes sure an environment is exported, before anything leads a machine to it.
///
/// Returns warnings, such as that this machine has no NFS server.
///
/// # Errors
/// When the server did not take it over.
pub fn export(pool: &Pool, lock: &PoolLock, node: &Node, env: &Environment) -> Result<Vec<String>> {
    if !node.is_offered() || !has_nfs_root(pool, node) {
        return Ok(Vec::new());
    }
    let lines = exports::lines_for(pool, node, env)?;
    let mut done = Published::default();
    let old = exports_now(pool, &mut done)?;
    let text = exports::with(&old, &pool.record().uuid, &lines);
    nfs::bring_up_to_date(pool, Some(lock), &text, &mut done)?;
    nfs::ensure_known(&lines, &done)?;
    Ok(done.warnings)
}

/// Takes environments out of the exports; those that are not in it are no error.
pub fn withdraw(pool: &Pool, lock: &PoolLock, envs: &[&Environment]) -> Result<Vec<String>> {
    let mut done = Published::default();
    let old = exports_now(pool, &mut done)?;
    let dirs: Vec<&std::path::Path> = envs.iter().map(|e| e.dir.as_path()).collect();
    if let Some(text) = exports::without(&old, &dirs) {
        nfs::bring_up_to_date(pool, Some(lock), &text, &mut done)?;
    }
    Ok(done.warnings)
}
