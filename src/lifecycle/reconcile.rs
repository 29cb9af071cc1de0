//! Finishing pending boots and trials: `reconcile`.
//!
//! Run by a timer, after the last transfer of a boot, and at the server's start; safe at any time. Each step is durable
//! before the next, so an interrupted one is repeated.

mod power_cycle;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::data::snapshots::{keep_beside_tried, of_failed_trial};
use super::plan::Plan;
use super::properties::kept_clients;
use super::trial::judgement::{self, Facts, Fetching, Verdict};
use super::trial::recorded_fetches::fetches_are_recorded;
use super::trial::this_machine;
use crate::boot;
use crate::evidence::{self, Evidence};
use crate::evidence::{client, first_fetches, nfs_use, nfsd, reports};
use crate::failure::{self, Kind};
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::lifecycle::{Held, Mode, Outcome, activate, pending};
use crate::pool::pending::{Kind as BootKind, Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool, PoolLock};
use crate::publish::tftp;
use crate::staged::Verified;

/// The result.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// What was done, a sentence each.
    pub done: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Reconciles one node, or all.
///
/// A node that is locked is left for the next run.
pub fn reconcile(pool: &Pool, only: Option<&NodeName>, mode: Mode) -> Result<Outcome<Reconciled>> {
    let nodes = match only {
        Some(name) => vec![pool.node(name)?],
        None => pool.nodes()?,
    };
    let astray = tftp::astray(pool)?;
    let mut result = Reconciled::default();
    let mut planned = Vec::new();
    for node in nodes {
        if !mode.dry_run {
            // Without it there is less evidence, which is safe.
            let _ = nfs_use::note(pool, &node);
        }
        if kept_clients::is_over(&node) {
            match kept_clients::end(pool, &node, mode) {
                Ok(Outcome::Planned(steps)) => planned.extend(steps),
                Ok(Outcome::Done(done)) => result.done.push(done),
                Err(e) if failure::is(&e, Kind::Locked) => {}
                Err(e) => result.warnings.push(format!("{}: {e:#}", node.name)),
            }
        }
        if Pending::read(&node.state) == Pending::None && !astray.contains(&node.name) {
            continue;
        }
        // Of each node it would be a warning.
        pool.refuse_read_only()?;
        match of_node(pool, &node.name, mode, &mut result) {
            Ok(steps) => planned.extend(steps),
            Err(e) if mode.dry_run => return Err(e),
            // The next run handles this node.
            Err(e) if failure::is(&e, Kind::Locked) => {}
            Err(e) => result.warnings.push(format!("{}: {e:#}", node.name)),
        }
    }
    Ok(match mode.dry_run {
        true => Outcome::Planned(planned),
        false => Outcome::Done(result),
    })
}

/// Reconciles a node; returns the steps.
fn of_node(
    pool: &Pool,
    name: &NodeName,
    mode: Mode,
    result: &mut Reconciled,
) -> Result<Vec<String>> {
    let (mut steps, to_do) = restore_active(pool, name, mode, result)?;
    if !to_do {
        return Ok(steps);
    }
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    let Pending::Boot(boot) = Pending::read(&node.state) else {
        return Ok(steps);
    };
    let (node, boot) = (&node, &boot);
    let end = |(lock, result): &mut Judging, done: Option<String>| {
        let mut held = Held::take(pool, locked(lock)?, mode)?;
        pending::end(&mut held, node)?;
        result.warnings.extend(held.warnings);
        result.done.extend(done);
        Ok(())
    };
    let judged = judge(pool, node, boot)?;
    let mut plan = Plan::new();
    match &judged {
        None => {
            let gone = format!(
                "{name}/{}, the pending boot, does not exist any more",
                boot.env
            );
            let done = format!("{gone}: {name} boots its active environment.");
            plan.step(format!("forget {gone}"), move |it| end(it, Some(done)));
        }
        Some((_, Verdict::Wait | Verdict::LeadBack(_))) => {}
        Some((env, Verdict::Passed)) => plan.step(
            format!("make {env}, which came up, what {name} boots"),
            move |(lock, result)| {
                let mut held = Held::take(pool, locked(lock)?, mode)?;
                activate::after_its_boot(
                    &mut held,
                    node,
                    &Verified::by_its_boot(node, env, boot)?,
                )?;
                result.warnings.extend(held.warnings);
                result
                    .done
                    .push(format!("{env} completed its boot: it is active."));
                Ok(())
            },
        ),
        Some((env, Verdict::Over)) => {
            let sentence = format!("forget that {env} was to be booted");
            plan.step(sentence, move |it| end(it, None));
        }
        Some((env, Verdict::LeftUnsaid)) => {
            plan.steps(ending(pool, node, env), move |it| {
                let why = "booted another environment before it reported";
                fail(pool, it, node, env, &format!("on trial, {name} {why}"))?;
                let done = format!("The trial of {env} is over: {name} {why}.");
                end(it, Some(done))
            });
        }
        Some((env, Verdict::NotRecorded)) => {
            plan.step(format!("end the pending boot of {env}"), move |it| {
                let why = "did not report a completed boot in time";
                if boot.kind == BootKind::Try {
                    fail(pool, it, node, env, &format!("on trial it {why}"))?;
                }
                let done = format!(
                    "The pending boot of {env} is over: it {why}, and no TFTP server tells netbe what {name} fetches."
                );
                end(it, Some(done))
            });
        }
        Some((env, Verdict::NotInTime)) => {
            let why = "did not report a completed boot in time";
            let keep = of_failed_trial(pool, node, &env.name);
            plan.steps(keep.into_iter().collect(), move |it| {
                fail(pool, it, node, env, &format!("on trial it {why}"))
            });
            match power_cycle::is_due(pool, node, env, boot) {
                None => {}
                Some(false) => plan.steps(Vec::new(), move |(_, result)| {
                    result.warnings.push(power_cycle::left_out(node));
                    Ok(())
                }),
                Some(true) => plan.step(
                    format!("run power.cycle of {name}, which may hang in {env}"),
                    move |(lock, result)| {
                        // Without the node's lock: others need not wait until the machine's power is back. Once only:
                        // another reconciliation finds the environment's lock taken.
                        let _env_stays = pool.lock_env(locked(lock)?, &env.name)?;
                        *lock = None;
                        result
                            .warnings
                            .extend(power_cycle::run(pool, node, env, boot));
                        *lock = Some(mode.lock_again(pool, name)?);
                        Ok(())
                    },
                ),
            }
            plan.step(format!("end the trial of {env}"), move |it| {
                // The trial may have been cancelled while power.cycle ran, or a new one begun.
                let now = Pending::read(&node.state);
                if now.boot().is_none_or(|now| now.since != boot.since) {
                    return Ok(());
                }
                end(it, Some(format!("The trial of {env} is over: it {why}.")))
            });
        }
    }
    let with = lock.map(|lock| (Some(lock), result));
    if let Outcome::Planned(planned) = plan.carry_out(with)? {
        steps.extend(planned);
    }
    Ok(steps)
}

/// The context of the steps: the lock of the node, absent during the power cycle, and the result.
type Judging<'a> = (Option<NodeLock>, &'a mut Reconciled);

fn locked(lock: &Option<NodeLock>) -> Result<&NodeLock> {
    lock.as_ref().context("the node is not locked")
}

/// Corrects a node's names, and points them back to the active environment once the pending one has been fetched; returns
/// the steps, and whether anything else is to be done.
///
/// With the pool's lock only: during an upgrade of the node, it must not boot a hanging environment a second time.
fn restore_active(
    pool: &Pool,
    name: &NodeName,
    mode: Mode,
    result: &mut Reconciled,
) -> Result<(Vec<String>, bool)> {
    let shared = mode.locks(pool, || pool.lock(mode.wait))?;
    let node = pool.node(name)?;
    let mut to_do = false;
    let mut plan = Plan::new();
    match Pending::read(&node.state) {
        Pending::None => {}
        Pending::Unknown(_) => result.warnings.push(format!(
            "{name}: pending.json cannot be read, so its environments cannot be destroyed; netbe activate {name} \
             --cancel"
        )),
        Pending::Boot(mut boot) => {
            let judged = judge(pool, &node, &boot)?;
            if let Some((env, Verdict::LeadBack(fetching))) = &judged {
                let done = format!(
                    "{env} was fetched: the next boot of {name} is its active environment again."
                );
                let (node, fetching) = (&node, *fetching);
                plan.step(
                    format!("lead {name} to its active environment again"),
                    move |(shared, result): &mut (&PoolLock, &mut Reconciled)| {
                        withdraw(pool, node, &mut boot, fetching);
                        // The record first, then the names that machines ask for.
                        crate::pool::pending::update(&node.state, shared, &boot)?;
                        result.done.push(done);
                        Ok(())
                    },
                );
            } else {
                to_do = !matches!(judged, Some((_, Verdict::Wait)));
                if let Some((env, _)) = &judged
                    && is_elsewhere(&node, env, &boot)
                {
                    boot.elsewhere = true;
                    let node = &node;
                    plan.step(
                        format!("note that {name} does not run {env}, which is on trial"),
                        move |(shared, _)| {
                            crate::pool::pending::update(&node.state, shared, &boot)
                        },
                    );
                }
            }
        }
    }
    let mut steps = Vec::new();
    let with = shared.as_ref().map(|shared| (shared, &mut *result));
    if let Outcome::Planned(planned) = plan.carry_out(with)? {
        steps = planned;
    }
    let restored = pending::restore_active(pool, shared.as_ref(), name)?;
    steps.extend(restored.steps);
    result.warnings.extend(restored.warnings);
    Ok((steps, to_do))
}

/// Records that a boot was fetched, with the evidence at that time.
fn withdraw(pool: &Pool, node: &Node, boot: &mut PendingBoot, fetching: Fetching) {
    boot.fetched = Some(fetching.time);
    boot.its = fetching.its;
    boot.known_boot_ids = reports::boot_ids(node);
    boot.withdrawn = Some(Timestamp::now());
    if boot.kind == BootKind::Try && node.property(pool, "power.cycle").is_some() {
        // Exports in use after this are in current use. If the server does not drop its entries, all count as in use,
        // and the power is not cut.
        let _ = nfsd::forget();
    }
}

/// Returns whether the NFS server has an environment other than the trial in use, for the first time.
fn is_elsewhere(node: &Node, env: &Environment, boot: &PendingBoot) -> bool {
    let is_tried = boot.kind == BootKind::Try && !boot.is_waiting() && !boot.elsewhere;
    is_tried && Evidence::now(node).others_in_use(env).unwrap_or(false)
}

/// Returns the verdict on a boot, with its environment; `None` if the environment is gone.
fn judge(pool: &Pool, node: &Node, boot: &PendingBoot) -> Result<Option<(Environment, Verdict)>> {
    let Some(env) = Environment::observe(node, &boot.env)? else {
        return Ok(None);
    };
    if node.is_this_machine {
        let verdict = this_machine::verdict(pool, &env, boot);
        return Ok(Some((env, verdict)));
    }
    let reported = reports::reported(&env);
    let left = |fetched| Evidence::recent(node).was_elsewhere(&env, fetched, &boot.known_boot_ids);
    let verdict = judgement::judge(Facts {
        boot,
        fetched: &first_fetches::read(&node.state, boot),
        ways: &Tree::open(&env.boot()).map_or(Vec::new(), |tree| boot::fetched(&tree)),
        reported: reported
            .as_ref()
            .map(|(time, r)| (*time, r.boot_id.as_str())),
        mounted: evidence::is_in_use(node, &env.name).context("reading the NFS server's tables")?,
        sole_client: client::sole_client(pool, node).is_some(),
        active: env.active,
        left: boot.fetched.is_some_and(left),
        fetches_are_recorded: fetches_are_recorded(node),
        now: Timestamp::now(),
    });
    Ok(Some((env, verdict)))
}

/// Returns the sentences of the step that ends a failed trial.
fn ending(pool: &Pool, node: &Node, env: &Environment) -> Vec<String> {
    let keep = of_failed_trial(pool, node, &env.name);
    keep.into_iter()
        .chain([format!("end the trial of {env}")])
        .collect()
}

/// Records why a trial failed, in the environment that its node leaves, and keeps the node's data beside it.
fn fail(
    pool: &Pool,
    (lock, result): &mut Judging,
    node: &Node,
    env: &Environment,
    why: &str,
) -> Result<()> {
    let warning = keep_beside_tried(pool, locked(lock)?, node, &env.name);
    result.warnings.extend(warning);
    let mut record = env.record_for_change()?;
    record.unproven = Some(why.to_string());
    env.store(locked(lock)?, &record, Durable::AtOnce)
}
