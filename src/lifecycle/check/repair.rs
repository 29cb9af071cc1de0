//! Repairing. Each repair reads again under the lock before it changes anything.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Finding, Repair, check};
use crate::boot::{self, fstab};
use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::lifecycle::staged::Verified;
use crate::lifecycle::{Held, Mode, activate, lent, rename};
use crate::pool::foreign;
use crate::pool::record::EnvRecord;
use crate::pool::state;
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool, environment, layout, stage};
use crate::publish;

/// How often the check is repeated after repairs, at most: a repair can make more readable.
const MAX_READS: usize = 3;

/// The result.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The repairs that were done, or in a dry run would be, a part of a sentence each.
    pub done: Vec<String>,
    /// The findings that are left.
    pub findings: Vec<Finding>,
    /// The failures.
    pub failures: Vec<anyhow::Error>,
}

/// Repairs one node or the whole pool, until no repairable finding is left.
///
/// A failed repair does not stop the others.
///
/// # Errors
/// When checking fails, and when netbe was interrupted.
pub fn repair(pool: &Pool, only: Option<&NodeName>, mode: Mode) -> Result<Repaired> {
    let mut repaired = Repaired {
        findings: check(pool, only)?,
        ..Repaired::default()
    };
    for _ in 0..MAX_READS {
        let (done, failures) = mend_all(pool, &repaired.findings, mode)?;
        // Those of the last round: each round tries failed repairs again.
        repaired.failures = failures;
        let is_over = done.is_empty() || mode.dry_run;
        for one in done {
            if !repaired.done.contains(&one) {
                repaired.done.push(one);
            }
        }
        if is_over {
            break;
        }
        repaired.findings = check(&pool.again()?, only)?;
    }
    Ok(repaired)
}

/// Returns what was done, and the failures.
fn mend_all(
    pool: &Pool,
    findings: &[Finding],
    mode: Mode,
) -> Result<(Vec<String>, Vec<anyhow::Error>)> {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    let mut repairs: Vec<&Repair> = findings.iter().filter_map(|f| f.repair.as_ref()).collect();
    // Publishing last, since the others change what is published.
    repairs.sort_by_key(|r| matches!(r, Repair::Publish));
    repairs.dedup();
    for one in repairs {
        let what = sentence(one);
        if !mode.dry_run
            && let Err(e) = mend(pool, one, mode).with_context(|| format!("to {what}"))
        {
            interrupt::check()?;
            failures.push(e);
            continue;
        }
        done.push(what);
    }
    Ok((done, failures))
}

fn sentence(repair: &Repair) -> String {
    match repair {
        Repair::Remove(path, _) | Repair::FinishRename(path, _) => {
            format!("remove {}", path.display())
        }
        Repair::Describe(node, env) => format!("write the env.json of {node}/{env}"),
        Repair::GiveBack(node, env) => format!("put back the own files of {node}/{env}"),
        Repair::Activate(node, env) => format!("activate {node}/{env}"),
        Repair::Forget(node) => format!("forget {node}, which is not there"),
        Repair::Copy(Some(node)) => format!("write the copy of the record of {node}"),
        Repair::Copy(None) => "write the copy of the pool's record".to_string(),
        Repair::Publish => "publish".to_string(),
    }
}

fn mend(pool: &Pool, repair: &Repair, mode: Mode) -> Result<()> {
    match repair {
        Repair::Remove(path, node) => {
            let _lock = node
                .as_ref()
                .map(|n| mode.lock_to_change(pool, n))
                .transpose()?;
            remove(path)
        }
        Repair::FinishRename(path, node) => finish_rename(pool, path, node, mode),
        Repair::Describe(node, env) => {
            let lock = mode.lock_to_change(pool, node)?;
            let node = pool.node(node)?;
            describe(&lock, &node, &node.environment(env)?)
        }
        Repair::GiveBack(name, env) => {
            let Some(lock) = mode.lock_idle(pool, name, env)? else {
                return Ok(());
            };
            let node = pool.node(name)?;
            lent::give_back(&lock, &node, node.environment(env)?).map(drop)
        }
        Repair::Activate(name, env) => {
            let lock = mode.lock_to_change(pool, name)?;
            let node = pool.node(name)?;
            let env = node.environment(env)?;
            // Something leads to one again, or may.
            if node.active_if_any()?.is_some() {
                return Ok(());
            }
            let mut held = Held::take(pool, &lock, mode)?;
            let verified = Verified::new(pool, &node, &env, false)?;
            activate::switch(&mut held, &node, &verified)
        }
        Repair::Forget(node) => {
            let _lock = mode.lock_to_change(pool, node)?;
            match layout::node(pool.root(), node).symlink_metadata() {
                Ok(_) => Ok(()),
                Err(_) => state::forget_node(&layout::node_state(pool.state(), node)),
            }
        }
        Repair::Copy(Some(name)) => {
            let lock = mode.lock_to_change(pool, name)?;
            let node = pool.node(name)?;
            node.refuse_lost()?;
            node.store(&lock, &node.record)
        }
        Repair::Copy(None) => {
            let shared = pool.lock(mode.wait)?;
            let pool = pool.again()?;
            pool.store(&shared, pool.record())
        }
        Repair::Publish => {
            let shared = pool.lock(mode.wait)?;
            publish::everything(pool, Some(&shared)).map(drop)
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        // It is in use since.
        Ok(_) if stage::is_guarded(path) => {}
        Ok(m) if m.is_dir() => stage::remove(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

/// Removes the name of two that is not shown, and the mark in the other's record.
fn finish_rename(pool: &Pool, path: &Path, node: &NodeName, mode: Mode) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    if parent == layout::nodes(pool.root()) {
        let locks = lock_names(pool, node, mode)?;
        let shared = pool.lock(mode.wait)?;
        if pool.nodes()?.iter().any(|n| n.dir == path) {
            return Ok(());
        }
        // What leads to the old name leads to the new before the old goes.
        publish::everything(pool, Some(&shared))?;
        let mut new = pool.nodes()?;
        new.retain(|n| n.record.replaces.as_deref() == Some(node.as_str()));
        for new in &new {
            // Where that cannot be told, its names still lead to the old.
            new.active_if_any()?;
        }
        foreign::refuse(node, &foreign::in_whole_node(path)?)?;
        stage::discard(path, parent)?;
        state::forget_node(&layout::node_state(pool.state(), node))?;
        for new in new {
            let mut record = new.record.clone();
            record.replaces = None;
            // A new one is for the next round.
            if let Some(lock) = locks.iter().find(|l| *l.node() == new.name) {
                new.store(lock, &record)?;
            }
        }
        return Ok(());
    }
    let _lock = mode.lock_to_change(pool, node)?;
    let node = pool.node(node)?;
    let envs = node.environments()?;
    // Which of the two is removed depends on which is active, and on both records.
    node.active_if_any()?;
    for env in &envs {
        refuse_unread(env)?;
    }
    if envs.iter().any(|e| e.dir == path) {
        return Ok(());
    }
    foreign::refuse(&path.display(), &foreign::in_env(path)?)?;
    stage::discard(path, &node.dir)?;
    for env in pool.node(&node.name)?.environments()? {
        if env.record.as_ref().is_some_and(|r| r.replaces.is_some()) {
            rename::settle(pool, &env.dir)?;
        }
    }
    Ok(())
}

/// Takes the locks of a node's old name, and of the nodes renamed from it, in order.
fn lock_names(pool: &Pool, old: &NodeName, mode: Mode) -> Result<Vec<NodeLock>> {
    let all = pool.nodes()?.into_iter();
    let takes_its_place = |n: &Node| n.record.replaces.as_deref() == Some(old.as_str());
    let mut names: Vec<NodeName> = all.filter(takes_its_place).map(|n| n.name).collect();
    names.push(old.clone());
    names.sort();
    names
        .iter()
        .map(|name| mode.lock_to_change(pool, name))
        .collect()
}

fn refuse_unread(env: &Environment) -> Result<()> {
    let why = env.problems.join("; ");
    ensure!(!env.unread, "{env} cannot be read: {why}");
    Ok(())
}

/// Regenerates a lost record from the disk. Unknown fields get the safe value: a machine may have booted it.
fn describe(lock: &NodeLock, node: &Node, env: &Environment) -> Result<()> {
    if env.record.is_some() {
        return Ok(());
    }
    // An existing record, if it can be read, has more information and must stay.
    refuse_unread(env)?;
    let info = subvolume::info(&env.root())?;
    let (root, boot) = (Tree::open(&env.root())?, Tree::open(&env.boot())?);
    let summary = boot::summary(&boot, &root);
    let fstab = root.read_text("etc/fstab")?.unwrap_or_default();
    let boot_mount = fstab::boot_mount(&fstab).unwrap_or_else(|| "/boot".to_string());
    let record = EnvRecord {
        number: Some(info.id),
        arch: summary.arch.map(|a| a.name().to_string()),
        kernel: environment::kernel_seen(&env.boot(), &summary),
        served: node.is_offered() || node.lost,
        ..EnvRecord::new(info.uuid.to_string(), info.created, boot_mount)
    };
    env.store(lock, &record, Durable::AtOnce)
}
