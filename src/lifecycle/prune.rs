//! Taking away what has grown old: `prune`.
//!
//! Of each node the oldest environments go until as many are left as its `keep` says; what stays whatever
//! its age counts among those. Nothing goes that `destroy` refuses, nor what `rollback` or `activate` of the
//! node would take next. One that cannot go ends nothing but itself. Not for how one is destroyed: that is
//! `destruction`.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use super::destroy::{self, Known, Scope};
use super::{Mode, activate};
use crate::failure::{Failure, Kind};
use crate::fs::interrupt;
use crate::pool::properties::{self, Keep};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeName, Pool};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// How many to leave of each node, in place of its property.
    pub keep: Option<Keep>,
    /// The least age of what may go.
    pub older_than: Option<SignedDuration>,
}

/// What came of it, or would.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What was destroyed, or would be, the oldest of a node first.
    pub gone: Vec<String>,
    /// What is beyond what is kept and stays all the same, with the reason, a sentence part each.
    pub stays: Vec<String>,
    /// What failed.
    pub failures: Vec<anyhow::Error>,
}

/// Prunes these nodes; all but templates without one.
///
/// # Errors
/// `NotFound`, before anything is begun, for a node that does not exist. What fails later is in the result.
pub fn prune(pool: &Pool, names: &[NodeName], request: Request, mode: Mode) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for name in nodes(pool, names)? {
        if let Err(e) = interrupt::check() {
            // What has been done is told all the same.
            pruned.failures.push(e);
            break;
        }
        if let Err(e) = prune_node(pool, &name, request, mode, &mut pruned) {
            pruned.failures.push(e);
        }
    }
    Ok(pruned)
}

/// Returns the nodes that are meant, sorted.
fn nodes(pool: &Pool, names: &[NodeName]) -> Result<Vec<NodeName>> {
    if names.is_empty() {
        // A template's were brought in one by one, and are not what upgrades leave: those are for somebody to name.
        let nodes = pool.nodes()?.into_iter().filter(|n| !n.is_template());
        return Ok(nodes.map(|n| n.name).collect());
    }
    let mut wanted = names
        .iter()
        .map(|name| Ok(pool.node(name)?.name))
        .collect::<Result<Vec<_>>>()?;
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

fn prune_node(
    pool: &Pool,
    name: &NodeName,
    request: Request,
    mode: Mode,
    pruned: &mut Pruned,
) -> Result<()> {
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    let going = choose(pool, &node, request, pruned)?;
    if going.is_empty() {
        return Ok(());
    }
    let Some(_lock) = lock else {
        pruned.gone.extend(going.iter().map(ToString::to_string));
        return Ok(());
    };
    destroy::withdraw(pool, &going, mode)
        .with_context(|| format!("nothing of {name} was destroyed"))?;
    for env in &going {
        interrupt::check()?;
        match destroy::discard(env).with_context(|| format!("destroying {env}")) {
            Ok(()) => pruned.gone.push(env.to_string()),
            Err(e) => pruned.failures.push(e),
        }
    }
    Ok(())
}

/// Returns what is to go of a node, the oldest first, and notes what stays of what is beyond its `keep`.
fn choose(
    pool: &Pool,
    node: &Node,
    request: Request,
    pruned: &mut Pruned,
) -> Result<Vec<Environment>> {
    // How many to leave, and what is pending, is not known of such a one.
    node.refuse_lost()?;
    let Keep::Newest(keep) = request.keep.unwrap_or_else(|| properties::keep(node, pool)) else {
        return Ok(Vec::new());
    };
    let mut envs = node.environments()?;
    let mut beyond = envs.len().saturating_sub(keep);
    if beyond == 0 {
        return Ok(Vec::new());
    }
    // Before all time there was nothing.
    let moment = |age| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
    let youngest = request.older_than.map(moment);
    let known = Known::new(pool, node);
    known.refuse_unknown(node)?;
    envs.sort_by(|a, b| (a.order(), &a.name).cmp(&(b.order(), &b.name)));
    // Of the same look at them: what cannot be read at one moment must not free what it hides.
    let needed = Needed::new(&envs);
    let mut going = Vec::new();
    let mut latest: Option<(Timestamp, EnvId)> = None;
    for env in envs {
        if latest.as_ref().is_none_or(|(at, _)| *at <= env.created()) {
            latest = Some((env.created(), env.id()));
        }
        if beyond == 0 {
            break;
        }
        if youngest.is_some_and(|youngest| env.record.is_some() && env.created() > youngest) {
            pruned
                .stays
                .push(format!("{env} stays: it is not old enough"));
            continue;
        }
        // The clock was wrong when one of the two was made: this one is no older than the other.
        if let (Some(youngest), Some((at, before))) = (youngest, &latest)
            && *at > youngest
        {
            pruned.stays.push(format!(
                "{env} stays: its age is not known, as it was made after {before}, which is of a later date"
            ));
            continue;
        }
        match reason_to_stay(node, &env, &needed, &known) {
            Ok(None) => {
                beyond -= 1;
                going.push(env);
            }
            Ok(Some(why)) => pruned.stays.push(format!("{env} stays: {why}")),
            Err(e) => pruned.failures.push(staying(&env, e)),
        }
    }
    Ok(going)
}

/// Returns why one stays that could go, its remedy kept.
fn staying(env: &Environment, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(mut failure) => {
            failure.message = format!("{env} stays: {failure}");
            failure.into()
        }
        Err(error) => error.context(format!("{env} stays")),
    }
}

/// What the commands that choose by themselves would take next.
struct Needed {
    rollback: Option<EnvName>,
    newest: Option<EnvName>,
}

impl Needed {
    fn new(envs: &[Environment]) -> Self {
        Self {
            rollback: activate::previous_of(envs).map(|e| e.name.clone()),
            newest: activate::newer_of(envs).map(|e| e.name.clone()),
        }
    }
}

/// Returns why one stays, whatever its age; nothing where it may go.
fn reason_to_stay(
    node: &Node,
    env: &Environment,
    needed: &Needed,
    known: &Known,
) -> Result<Option<String>> {
    refuse_unclear(env)?;
    let is = |other: &Option<EnvName>| other.as_ref() == Some(&env.name);
    if is(&needed.rollback) {
        return Ok(Some(format!("netbe rollback {} leads to it", node.name)));
    }
    if is(&needed.newest) {
        return Ok(Some(format!("netbe activate {} leads to it", node.name)));
    }
    match known.refuse(node, env, Scope::Environment) {
        Ok(()) => Ok(None),
        Err(e) => match e.downcast::<Failure>() {
            Ok(refusal) if [Kind::Refused, Kind::Locked].contains(&refusal.kind) => {
                Ok(Some(refusal.message))
            }
            Ok(failure) => Err(failure.into()),
            Err(e) => Err(e),
        },
    }
}

/// Refuses one of which too little can be seen to take it away unasked. No rule protects it, so it is told of.
fn refuse_unclear(env: &Environment) -> Result<()> {
    let Some(record) = &env.record else {
        return Err(Failure::failed(format!(
            "its age is not known, nor whether it is pinned: {}",
            env.problems.join("; ")
        ))
        .hint("netbe check --repair")
        .into());
    };
    // What is said in its record is no damage: an upgrade that failed, a trial that was not passed.
    let said: Vec<&String> = record.failed.iter().chain(&record.unproven).collect();
    let damage: Vec<&str> = env
        .problems
        .iter()
        .filter(|p| !said.contains(p))
        .map(String::as_str)
        .collect();
    if damage.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(damage.join("; "))
        .hint(format!("netbe destroy {env}, when nothing in it is needed"))
        .into())
}
