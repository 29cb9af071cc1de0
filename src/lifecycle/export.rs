//! Exporting an environment: `export`.
//!
//! Both halves are snapshotted in a stage under the node's lock; so the environment may be active and running, and
//! changes during the export have no effect. The snapshots become the environment's base after a complete stream. Not
//! for the format of the stream, nor for reading one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::import::unpack::Progress;
use super::plan::Plan;
use super::{Mode, Outcome, data};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::pool::base::{self, Base};
use crate::pool::data::DataPath;
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, Environment, NodeLock, Operand, Origin, Pool, data_store, layout};
use crate::staged::snapshot;
use crate::stream::header::Header;

mod ready;
mod target;

use ready::{DATA, Ready, SENT, SINCE, not_carried};
pub use target::Target;

/// The request.
#[derive(Debug)]
pub struct Request {
    /// The environment.
    pub what: Operand,
    /// The environment whose base the receiver has, for an incremental stream.
    pub since: Option<Operand>,
    /// Whether the data of its node goes along.
    pub data: bool,
    /// The target.
    pub to: Target,
    /// Whether to keep a base.
    pub keep: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The environment.
    pub id: EnvId,
    /// The base of an incremental stream.
    pub since: Option<EnvId>,
    /// The length of the stream, in bytes.
    pub bytes: u64,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Exports an environment.
pub fn export(
    pool: &Pool,
    request: &Request,
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<Outcome<Exported>> {
    let chosen = Chosen::new(pool, request)?;
    request.to.require_ready(&chosen.env)?;
    let (node, name) = (&chosen.env.node, &chosen.env.name);
    pool.refuse_work(node, name, mode.patience())?;
    let locks = mode.locks(pool, || {
        progress.phase("Taking snapshots");
        chosen.lock(pool, mode)
    })?;
    pool.refuse_work(node, name, Duration::ZERO)?;
    // Again, now that the locks keep other commands from changing the environment.
    let chosen = Chosen::new(pool, request)?;
    let with = locks.map(|locks| Exporting {
        progress,
        locks: Some(locks),
        ready: None,
        done: Exported {
            id: chosen.env.id(),
            since: chosen.since.as_ref().map(|(env, _)| env.id()),
            bytes: 0,
            notes: Vec::new(),
            warnings: Vec::new(),
        },
    });
    let mut done = chosen.plan(pool, request, mode).carry_out(with)?;
    if let Outcome::Done(exporting) = &mut done {
        drop(exporting.ready.take());
        subvolume::sync(&layout::nodes(pool.root()))
            .context("making the end of its stage durable")?;
    }
    Ok(done.map(|exporting| exporting.done))
}

/// What the steps work with.
struct Exporting<'p> {
    progress: &'p mut dyn Progress,
    /// Until the snapshots are there.
    locks: Option<(NodeLock, Option<NodeLock>)>,
    ready: Option<Ready>,
    done: Exported,
}

struct Chosen {
    env: Environment,
    record: EnvRecord,
    since: Option<(Environment, Base)>,
    /// The data that goes along.
    data: Vec<DataPath>,
    /// The data that does not go along.
    left: Vec<DataPath>,
}

impl Chosen {
    fn new(pool: &Pool, request: &Request) -> Result<Self> {
        let env = pool.resolve(&request.what)?;
        if env.require_own_files().is_err() {
            pool.refuse_work(&env.node, &env.name, Duration::ZERO)?;
        }
        env.require_sound()?;
        let since = match &request.since {
            Some(operand) => {
                let env = pool.resolve(operand)?;
                let base = usable(&env, &request.what)?;
                Some((env, base))
            }
            None => None,
        };
        let node = pool.node(&env.node)?;
        let mounted: Vec<DataPath> = node.record.data.mounted().cloned().collect();
        if request.data && mounted.is_empty() {
            return Err(Failure::refused(format!(
                "{} has no data of its own; without --data the environment alone is exported",
                env.node
            ))
            .hint(format!("netbe set data=default {}", env.node))
            .into());
        }
        let (data, left) = match request.data {
            true => (mounted, Vec::new()),
            false => (Vec::new(), mounted),
        };
        Ok(Self {
            record: env.record_for_change()?,
            env,
            since,
            data,
            left,
        })
    }

    fn plan<'a>(
        &'a self,
        pool: &'a Pool,
        request: &'a Request,
        mode: Mode,
    ) -> Plan<'a, Exporting<'a>> {
        const NOT_READY: &str = "nothing was snapshotted";
        let (env, to) = (&self.env, &request.to);
        let mut plan = Plan::new();
        let and_data = match self.data.as_slice() {
            [] => String::new(),
            _ => format!(", and the data of {}", env.node),
        };
        plan.step(
            format!("snapshot both halves of {env}{and_data}"),
            |it: &mut Exporting| {
                let mut ready = self.snapshot(pool)?;
                it.done.notes.append(&mut ready.notes);
                it.ready = Some(ready);
                it.locks = None;
                Ok(())
            },
        );
        let what = match &self.since {
            Some((since, _)) => {
                format!("send what changed in {env} since {since} was sent or received to {to}")
            }
            None => format!("send all of {env} to {to}"),
        };
        let mut what = vec![what];
        if !self.data.is_empty() {
            let (node, paths) = (&env.node, data::list(&self.data));
            what.push(format!("send all of the data of {node} to {to}: {paths}"));
        }
        plan.steps(what, move |it| {
            it.progress.phase("Sending");
            let ready = it.ready.as_ref().context(NOT_READY)?;
            it.done.bytes = ready
                .send(to, it.progress)
                .with_context(|| format!("sending {env}"))?;
            Ok(())
        });
        if request.keep {
            let what = format!("keep the snapshots as the base of {env}, for a later --since");
            plan.step(what, move |it| {
                let ready = it.ready.as_ref().context(NOT_READY)?;
                if let Err(e) = keep(pool, env, ready, mode) {
                    it.done.warnings.push(format!(
                        "the stream is complete, but no base of {env} was kept for a later --since: {e:#}"
                    ));
                }
                Ok(())
            });
        }
        plan
    }

    fn lock(&self, pool: &Pool, mode: Mode) -> Result<(NodeLock, Option<NodeLock>)> {
        let node = &self.env.node;
        let other = self.since.as_ref().map_or(node, |(env, _)| &env.node);
        pool.lock_both(node, other, mode.wait)
    }

    /// Snapshots the halves and the base into a stage, where no other process changes them.
    fn snapshot(&self, pool: &Pool) -> Result<Ready> {
        // In the directory of nodes, since its node may be destroyed meanwhile.
        let stage = Staged::new(&layout::nodes(pool.root()), self.env.node.as_str())?;
        let (sent, since) = (stage.path().join(SENT), stage.path().join(SINCE));
        if let Some((env, base)) = &self.since {
            base.copy(&since)
                .with_context(|| format!("copying the base of {env}"))?;
        }
        let mut notes = Vec::new();
        // An unchanged environment is exported with the identity of its existing base.
        let unchanged = match Base::read(&self.env) {
            Ok(Some(base)) if base.is_current(&self.env)? => Some(base),
            _ => None,
        };
        let id = match &unchanged {
            Some(base) => {
                base.copy(&sent)
                    .with_context(|| format!("copying {}", self.env))?;
                base.id.clone()
            }
            None => {
                Base::make_directory(&sent)
                    .with_context(|| format!("making {}", sent.display()))?;
                notes = snapshot::snapshot(&self.env, &sent)?;
                for half in [layout::ROOT, layout::BOOT] {
                    subvolume::make_read_only(&sent.join(half))?;
                }
                Base::new_id()?
            }
        };
        for half in [layout::ROOT, layout::BOOT] {
            notes.extend(not_carried(&sent.join(half))?);
        }
        self.snapshot_data(pool, &stage.path().join(DATA), &mut notes)?;
        let origin = self.since.as_ref().map(|(env, base)| Origin {
            node: env.node.to_string(),
            name: env.name.to_string(),
            uuid: base.id.clone(),
        });
        Ok(Ready {
            header: Header::new(&self.env, &self.record, &id, origin, self.data.clone()),
            fresh: unchanged.is_none(),
            stage,
            notes,
        })
    }

    /// Snapshots the data that goes along, and notes what does not.
    fn snapshot_data(&self, pool: &Pool, to: &Path, notes: &mut Vec<String>) -> Result<()> {
        let node = pool.node(&self.env.node)?;
        if !self.data.is_empty() {
            Base::make_directory(to).with_context(|| format!("making {}", to.display()))?;
        }
        for path in &self.data {
            let snapshot = to.join(path.directory());
            subvolume::snapshot_read_only(&data_store::subvolume_of(&node, path), &snapshot)
                .with_context(|| format!("copying the data of {path} of {}", node.name))?;
            notes.extend(not_carried(&snapshot)?);
        }
        if !self.left.is_empty() {
            notes.push(format!(
                "the data of {} does not go along without --data: {}",
                node.name,
                data::list(&self.left)
            ));
        }
        Ok(())
    }
}

/// Returns the base of an incremental stream.
fn usable(env: &Environment, what: &Operand) -> Result<Base> {
    let why = match Base::read(env) {
        Ok(Some(base)) => return Ok(base),
        Ok(None) => format!("{env} was neither exported nor imported, so it has no base"),
        Err(e) => format!("the base of {env} cannot be used: {e:#}"),
    };
    Err(Failure::refused(why)
        .hint_to("to export it in full", format!("netbe export {what}"))
        .into())
}

/// Makes the sent snapshots the base of their environment, if that still exists.
fn keep(pool: &Pool, sent: &Environment, ready: &Ready, mode: Mode) -> Result<()> {
    if !ready.fresh {
        return Ok(());
    }
    let lock = mode.lock_to_change(pool, &sent.node)?;
    let env = pool.environment(&sent.node, &sent.name)?;
    if env.uuid() != sent.uuid() {
        anyhow::bail!("{env} was replaced meanwhile");
    }
    let sent = ready.stage.path().join(SENT);
    Base::record(&sent, &ready.header.id)?;
    base::keep(&lock, &sent, &env)
}
