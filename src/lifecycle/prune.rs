//! Destroying old environments: `prune`.
//!
//! The oldest environments of each node are destroyed until `keep` are left; protected ones count as kept. Protected
//! are those that `destroy` refuses, and the one that `rollback` or `activate` would choose. A failure does not stop
//! the others. Not for destroying itself: `destroy`.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use super::destroy;
use super::protection::{Known, Scope};
use super::{Mode, Outcome, activate, kept_bases, plan};
use crate::failure::{Failure, Kind};
use crate::fs::interrupt;
use crate::pool::properties::{self, Keep};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeName, Pool};

/// The request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// How many to keep of each node, instead of its property.
    pub keep: Option<Keep>,
    /// The minimum age.
    pub older_than: Option<SignedDuration>,
    /// Whether each node counts as having one more environment, the newest: one that a dry run does not make.
    pub with_new: bool,
}

/// The result.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The steps of a dry run, one line each.
    pub planned: Vec<String>,
    /// The environments to destroy, the oldest of a node first.
    pub chosen: Vec<EnvId>,
    /// The chosen environments that were destroyed.
    pub gone: Vec<String>,
    /// The environments beyond `keep` that stay, with the reason, a part of a sentence each.
    pub stays: Vec<String>,
    /// The part of `stays` that waits for machines of a node with several.
    pub waits: Vec<String>,
    /// The failures.
    pub failures: Vec<anyhow::Error>,
}

/// Prunes these nodes; without any, all except templates.
///
/// # Errors
/// When the pool cannot be read. Failures of single nodes are in the result.
pub fn prune(pool: &Pool, names: &[NodeName], request: Request, mode: Mode) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for name in nodes(pool, names, &mut pruned.failures)? {
        if let Err(e) = interrupt::check() {
            // The result lists what was done until then.
            pruned.failures.push(e);
            break;
        }
        if let Err(e) = prune_node(pool, &name, request, mode, &mut pruned) {
            pruned.failures.push(e);
        }
    }
    Ok(pruned)
}

/// Returns the nodes, sorted; failures are those that do not exist.
fn nodes(
    pool: &Pool,
    names: &[NodeName],
    failures: &mut Vec<anyhow::Error>,
) -> Result<Vec<NodeName>> {
    if names.is_empty() {
        // The environments of a template were imported one by one, and are not leftovers of upgrades: it has to be
        // named.
        let nodes = pool.nodes()?.into_iter().filter(|n| !n.is_template());
        return Ok(nodes.map(|n| n.name).collect());
    }
    let mut wanted = names.to_vec();
    wanted.sort();
    wanted.dedup();
    wanted.retain(|name| pool.node(name).map_err(|e| failures.push(e)).is_ok());
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
    pruned.chosen.extend(going.iter().map(Environment::id));
    let steps = || going.iter().map(|env| format!("destroy {env}")).collect();
    let outcome = plan::one_step(lock, steps, |lock| {
        destroy::withdraw(pool, &going, mode)
            .with_context(|| format!("nothing of {name} was destroyed"))?;
        let needed = kept_bases::Needed::new(pool, &going)?;
        for env in &going {
            interrupt::check()?;
            match needed
                .discard(pool, &lock, env)
                .with_context(|| format!("destroying {env}"))
            {
                Ok(()) => pruned.gone.push(env.to_string()),
                Err(e) => pruned.failures.push(e),
            }
        }
        kept_bases::forget_unneeded(pool, mode)
    })?;
    if let Outcome::Planned(steps) = outcome {
        pruned.planned.extend(steps);
    }
    Ok(())
}

/// Returns the environments of a node to destroy, the oldest first, and adds those beyond its `keep` that stay.
fn choose(
    pool: &Pool,
    node: &Node,
    request: Request,
    pruned: &mut Pruned,
) -> Result<Vec<Environment>> {
    // Without its record, its `keep` and pending boot are not known.
    node.refuse_lost()?;
    let Keep::Newest(keep) = request.keep.unwrap_or_else(|| properties::keep(node, pool)) else {
        return Ok(Vec::new());
    };
    let mut envs = node.environments()?;
    let number = envs.len() + usize::from(request.with_new);
    let mut beyond = number.saturating_sub(keep);
    if beyond == 0 {
        return Ok(Vec::new());
    }
    // An age that reaches before the first timestamp protects every environment.
    let moment = |age| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
    let youngest = request.older_than.map(moment);
    let known = Known::new(pool, node)?;
    known.refuse_unknown(node)?;
    envs.sort_by(|a, b| (a.order(), &a.name).cmp(&(b.order(), &b.name)));
    // From the same read of the node: an environment that cannot be read must not expose others.
    let needed = Needed::new(&envs, request.with_new);
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
        // The clock was wrong when one of the two was made: this one was made after the other, so it is no older.
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
            Ok(Some(why)) => {
                let why = staying(&env, &why);
                if !needed.has(&env) && known.waits_for_machines(&env) {
                    pruned.waits.push(why.clone());
                }
                pruned.stays.push(why);
            }
            Err(e) => pruned.failures.push(failed(&env, e)),
        }
    }
    Ok(going)
}

/// Returns the reason for which an environment stays, with its name once where the reason begins with it.
fn staying(env: &Environment, why: &str) -> String {
    let is = format!("{env} is ");
    match why.strip_prefix(&is) {
        Some(rest) => format!("{env} stays: it is {rest}"),
        None => format!("{env} stays: {why}"),
    }
}

/// Returns the failure for an environment that stays, with its hint.
fn failed(env: &Environment, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(mut failure) => {
            failure.message = staying(env, &failure.to_string());
            failure.into()
        }
        Err(error) => error.context(format!("{env} stays")),
    }
}

/// The environments that `rollback` and `activate` would choose, and the newest one, which may be a backup.
struct Needed {
    rollback: Option<EnvName>,
    proposed: Option<EnvName>,
    newest: Option<EnvName>,
}

impl Needed {
    fn has(&self, env: &Environment) -> bool {
        let all = [&self.rollback, &self.proposed, &self.newest];
        all.iter().any(|name| name.as_ref() == Some(&env.name))
    }

    /// Finds them; with `with_new`, the newest one is not there yet.
    fn new(envs: &[Environment], with_new: bool) -> Self {
        Self {
            rollback: activate::previous_of(envs).map(|e| e.name.clone()),
            proposed: activate::proposed_of(envs).map(|e| e.name.clone()),
            newest: envs
                .iter()
                .filter(|e| !with_new && e.problems.is_empty())
                .max_by_key(|e| e.order())
                .map(|e| e.name.clone()),
        }
    }
}

/// Returns why an environment is protected; `None` if it may be destroyed.
fn reason_to_stay(
    node: &Node,
    env: &Environment,
    needed: &Needed,
    known: &Known,
) -> Result<Option<String>> {
    refuse_unclear(env)?;
    let is = |other: &Option<EnvName>| other.as_ref() == Some(&env.name);
    if is(&needed.rollback) {
        return Ok(Some(format!(
            "netbe rollback {} would activate it",
            node.name
        )));
    }
    if is(&needed.proposed) {
        return Ok(Some(format!(
            "netbe activate {} would activate it",
            node.name
        )));
    }
    if is(&needed.newest) {
        return Ok(Some("it is the newest".to_string()));
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

/// Refuses an environment with a lost record: its age and pin are unknown. This is reported as a failure.
fn refuse_unclear(env: &Environment) -> Result<()> {
    let Some(record) = &env.record else {
        return Err(Failure::failed(format!(
            "its age is not known, nor whether it is pinned: {}",
            env.problems.join("; ")
        ))
        .hint("netbe check --repair")
        .into());
    };
    // A failed upgrade or trial in its record is no damage.
    let results: Vec<&String> = record.failed.iter().chain(&record.unproven).collect();
    let damage: Vec<&str> = env
        .problems
        .iter()
        .filter(|p| !results.contains(p))
        .map(String::as_str)
        .collect();
    if damage.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(damage.join("; "))
        .hint(format!("netbe destroy {env}, if its content is not needed"))
        .into())
}
