//! Rewriting existing environments by the properties that are set: `set --existing`.
//!
//! Boot files and fstab are written in place, each file in one step and only where it differs, so that a node which runs
//! the environment goes on, and needs no more than a reboot. A failure of one environment does not stop the others. Not
//! for the exports: those follow the properties by themselves.

use anyhow::{Context, Result};

use super::super::data::Change;
use super::super::plan::Plan;
use super::super::{Mode, Outcome};
use super::data_mounts;
use crate::btrfs::subvolume;
use crate::evidence::Evidence;
use crate::failure::{Failure, hinted};
use crate::fs::atomic::Durable;
use crate::fs::interrupt;
use crate::pool::pending::Pending;
use crate::pool::{EnvId, EnvName, EnvRecord, Environment, Node, NodeName, Pool, data_store};
use crate::publish;
use crate::staged;
use crate::staged::boot_config::{self, Wanted};

/// What is rewritten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Whether the data of each node is changed as its property says; if the node's own property was set, that is done already.
    pub data_of_nodes: bool,
    /// Whether boot files and the whole fstab are rewritten, or only the fstab's lines for the node's data.
    pub boot_files: bool,
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// The environments that were rewritten.
    pub done: Vec<EnvId>,
    /// The number of those whose fstab was changed for the data of their node alone.
    pub fstabs: usize,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
    /// The failures, one for each environment that was not rewritten.
    pub failures: Vec<anyhow::Error>,
}

/// Rewrites the boot files and fstab of every environment of these nodes by the present properties, except for the
/// environments in `left_out`, which a dry run found to fail, or to be as the properties say.
///
/// # Errors
/// When they cannot be listed, and when netbe is interrupted.
pub(super) fn bring_along(
    pool: &Pool,
    nodes: &[NodeName],
    reach: Reach,
    left_out: &[EnvId],
    mode: Mode,
) -> Result<Outcome<Brought>> {
    let mut plan = Plan::new();
    for name in nodes {
        let node = pool.node(name)?;
        if reach.data_of_nodes && !node.is_template() {
            follow(&mut plan, pool, &node, mode);
        }
        let is_reached = reach.boot_files || !node.is_template();
        for env in node.environments()?.into_iter().filter(|_| is_reached) {
            let (node, env) = (name.clone(), env.name);
            let id = EnvId::new(&node, &env);
            if left_out.contains(&id) {
                continue;
            }
            if !reach.boot_files {
                plan.step(data_mounts::mounting(&id), move |brought: &mut Brought| {
                    interrupt::check()?;
                    match data_mounts::write(pool, &node, &env, mode) {
                        Ok(Outcome::Done(changed)) => brought.fstabs += usize::from(changed),
                        Ok(Outcome::Planned(_)) => {}
                        Err(e) => brought.fail(e, &node, &data_mounts::mounts_none(&id))?,
                    }
                    Ok(())
                });
                continue;
            }
            plan.step(writing(&id), move |brought: &mut Brought| {
                interrupt::check()?;
                match write(pool, &node, &env, mode) {
                    Ok(Outcome::Done(written)) => {
                        brought.warnings.extend(written.warnings);
                        if !written.steps.is_empty() {
                            brought.done.push(id);
                        }
                    }
                    Ok(Outcome::Planned(_)) => {}
                    Err(e) => {
                        brought.fail(e, &node, &keeps(&id))?;
                    }
                }
                Ok(())
            });
        }
    }
    plan.carry_out(mode.locks(pool, || Ok(Brought::default()))?)
}

impl Brought {
    fn fail(&mut self, e: anyhow::Error, node: &NodeName, what: &str) -> Result<()> {
        interrupt::check()?;
        let e = hinted(e, || format!("netbe set --existing {node}"));
        self.failures.push(e.context(what.to_string()));
        Ok(())
    }
}

/// Adds the step that changes the data of a node as its present property says.
fn follow<'a>(plan: &mut Plan<'a, Brought>, pool: &'a Pool, node: &Node, mode: Mode) {
    let name = node.name.clone();
    let sentences = match Change::of(pool, node) {
        Ok(change) => change.sentences(node),
        // The step fails by that, which a dry run foresees.
        Err(_) => Vec::new(),
    };
    plan.steps(sentences, move |brought| {
        interrupt::check()?;
        let followed = || -> Result<Vec<String>> {
            let lock = mode.lock_to_change(pool, &name)?;
            let node = pool.node(&name)?;
            node.refuse_lost()?;
            let change = Change::of(pool, &node)?;
            let mut record = node.record.clone();
            record.data = change.apply(&lock, &node)?;
            if record.data != node.record.data {
                node.store(&lock, &record)?;
                data_store::take_into_use(&lock, &pool.node(&name)?)?;
                publish::everything(pool, Some(&pool.lock(mode.wait)?))?;
            }
            Ok(change.notes(&node))
        };
        match followed() {
            Ok(notes) => brought.notes.extend(notes),
            Err(e) => brought.fail(e, &name, &stays(&name))?,
        }
        Ok(())
    });
}

/// Returns the environments that would not be changed if the pool and its nodes were as given, and the failures of those
/// that could not be.
pub(super) fn foreseen(
    pool: &Pool,
    nodes: &[Node],
    reach: Reach,
) -> Result<(Vec<EnvId>, Vec<anyhow::Error>)> {
    let (mut left_out, mut brought) = (Vec::new(), Brought::default());
    for node in nodes {
        let mut node = node.clone();
        if reach.data_of_nodes {
            match Change::of(pool, &node) {
                Ok(change) => node.record.data = change.listed(&node),
                Err(e) => brought.fail(e, &node.name, &stays(&node.name))?,
            }
        }
        for env in node.environments()? {
            let (differs, what) = match reach.boot_files {
                true => (differs(pool, &node, &env), keeps(&env.id())),
                false if node.is_template() => continue,
                false => {
                    let differs = data_mounts::differs(pool, &node, &env);
                    (differs, data_mounts::mounts_none(&env.id()))
                }
            };
            match differs {
                Ok(true) => continue,
                Ok(false) => {}
                Err(e) => brought.fail(e, &node.name, &what)?,
            }
            left_out.push(env.id());
        }
    }
    Ok((left_out, brought.failures))
}

/// Returns whether [`write()`] would change an environment if the pool and its node were as given.
///
/// # Errors
/// Those of [`write()`].
fn differs(pool: &Pool, node: &Node, env: &Environment) -> Result<bool> {
    let record = env.record_for_change()?;
    let wanted = wanted(pool, node, env, &record)?;
    let changes = boot_config::changes(&wanted, &env.root(), &env.boot(), &record)?;
    Ok(changes.is_any())
}

/// Refuses an environment if a half to be written is read-only.
fn refuse_read_only(wanted: &Wanted, env: &Environment, record: &EnvRecord) -> Result<()> {
    let changes = boot_config::changes(wanted, &env.root(), &env.boot(), record)?;
    let halves = [
        ("root", env.root(), changes.root),
        ("boot", env.boot(), changes.boot),
    ];
    for (half, path, is_written) in halves {
        if is_written && subvolume::info(&path)?.read_only {
            return Err(Failure::failed(format!(
                "the {half} half of {env} is a read-only subvolume"
            ))
            .hint(format!("btrfs property set {} ro false", path.display()))
            .into());
        }
    }
    Ok(())
}

/// Refuses to export an environment read-only while a machine runs it: the machine could not write from then on.
fn refuse_while_written(node: &Node, env: &Environment) -> Result<()> {
    let evidence = Evidence::now(node);
    if evidence.booted(env) != Some(true) && !evidence.is_used(env) {
        return Ok(());
    }
    let name = &node.name;
    Err(Failure::refused(format!(
        "{name} runs {env}, and could not write any more before it has booted again"
    ))
    .hint_to(
        "shut it down first, or make it another one",
        format!("netbe create {name} -a"),
    )
    .into())
}

/// Returns the sentence of the step that [`write()`] takes.
pub(in crate::lifecycle) fn writing(env: &EnvId) -> String {
    format!("write the boot files and fstab of {env} as set")
}

fn keeps(env: &EnvId) -> String {
    format!("{env} keeps the boot files it had")
}

fn stays(node: &NodeName) -> String {
    format!("the data of {node} stays as it was")
}

/// Returns the wanted boot files and fstab of one environment.
///
/// # Errors
/// Also a refusal if it boots next and would not boot with them.
fn wanted(pool: &Pool, node: &Node, env: &Environment, record: &EnvRecord) -> Result<Wanted> {
    node.refuse_lost()?;
    env.require_own_files()?;
    env.refuse_image(
        "which is not edited in place",
        format!("netbe create {} -a", node.name),
    )?;
    let (root, boot) = (env.root(), env.boot());
    let mut wanted =
        Wanted::new(pool, &node.name, &node.record, &env.name, record)?.while_it_runs();
    let pending = Pending::read(&node.state);
    if pending.boot().is_some_and(|boot| boot.env == env.name) {
        // It is on trial, which added the argument.
        wanted = wanted.keeping("panic");
    }
    refuse_read_only(&wanted, env, record)?;
    if wanted.is_read_only() && !record.read_only {
        refuse_while_written(node, env)?;
    }
    // Never make the next boot fail; an environment that would not boot before either is not refused for that.
    let boots_next = env.active || pending.waiting().is_some_and(|boot| boot.env == env.name);
    if boots_next && !node.is_template() && record.would_not_boot.is_empty() {
        staged::refuse_unbootable(&env.id(), &wanted.reasons_once_written(&root, &boot)?)?;
    }
    Ok(wanted)
}

/// What [`write()`] did.
#[derive(Debug)]
pub(in crate::lifecycle) struct Written {
    /// The steps that changed something, a part of a sentence each.
    pub(in crate::lifecycle) steps: Vec<String>,
    /// Warnings, a sentence each.
    pub(in crate::lifecycle) warnings: Vec<String>,
}

/// Rewrites one environment where it differs.
pub(in crate::lifecycle) fn write(
    pool: &Pool,
    node: &NodeName,
    env: &EnvName,
    mode: Mode,
) -> Result<Outcome<Written>> {
    let lock = mode.lock_idle(pool, node, env)?;
    let node = pool.node(node)?;
    let env = node.environment(env)?;
    let mut record = env.record_for_change()?;
    let (root, boot) = (env.root(), env.boot());
    let wanted = wanted(pool, &node, &env, &record)?;
    let changes = boot_config::changes(&wanted, &root, &boot, &record)?;
    let steps = match changes.is_any() {
        true => vec![writing(&env.id())],
        false => Vec::new(),
    };
    let Some(lock) = lock else {
        return Ok(Outcome::Planned(steps));
    };
    let was_read_only = record.read_only;
    if node.is_this_machine {
        // A kernel package has just written the kernel that the loader's entry will name.
        subvolume::sync(&boot).context("making the kernel durable")?;
    }
    if let Some(announced) = wanted.announced(&record) {
        env.store(&lock, &announced, Durable::AtOnce)?;
    }
    let notes = boot_config::write(&wanted, &root, &boot, &mut record)?;
    let reasons = wanted.reasons_to_record(&root, &boot)?;
    let mut warnings: Vec<String> = notes.iter().map(|note| format!("{env}: {note}")).collect();
    if !node.is_template() {
        let warning = |reason| format!("{env} would not boot: {reason}");
        warnings.extend(reasons.iter().map(warning));
    }
    record.would_not_boot = reasons;
    env.store(&lock, &record, Durable::WithNextSync)?;
    subvolume::sync(&root).context("making it durable")?;
    if record.read_only != was_read_only {
        publish::everything(pool, Some(&pool.lock(mode.wait)?))
            .with_context(|| format!("{env} is written, but not exported so; netbe publish"))?;
    }
    Ok(Outcome::Done(Written { steps, warnings }))
}
