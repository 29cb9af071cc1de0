//! Pending boots, for once and on trial: `activate --once`, `--try`, `--cancel`, `confirm`.
//!
//! Many machines' firmware has no boot-once setting, so the server implements it: the node's names lead to the
//! environment until it is fetched, and then back to the active one, before the outcome of the boot is known. `active`
//! changes only when a trial passes. Each step is durable before the next, so a restarted server continues. On a machine
//! that is its own node, the loader forgets the environment before it boots it, if the loader can write.
//! [`judgement`] decides what to do; [`super::reconcile`] does it.

pub mod judgement;
mod prepare;
pub(super) mod recorded_fetches;
pub(super) mod this_machine;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};

use super::activate::Choice;
use super::data::snapshots;
use super::plan::Plan;
use super::{Held, Mode, Outcome, activate, left_behind, on_card, pending};
use crate::btrfs::subvolume;
use crate::evidence::{self, Evidence, first_fetches, reports};
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::pool::pending::{Kind, Pending, PendingBoot};
use crate::pool::{EnvId, Environment, Node, NodeLock, NodeName, Operand, Pool};
use crate::publish::{self, firmware_address, local};
use crate::staged::Verified;

/// The kind of a pending boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For the next boot only.
    Once,
    /// For the next boot, and active if it reports within this time.
    Try(SignedDuration),
}

impl How {
    /// Returns the kind, by the two options.
    pub fn asked(once: bool, within: Option<SignedDuration>) -> Option<Self> {
        match (once, within) {
            (true, _) => Some(Self::Once),
            (false, within) => within.map(Self::Try),
        }
    }

    /// Returns the option of `activate` for it, with a space after it.
    pub(super) fn option(self) -> String {
        match self {
            Self::Once => "--once ".to_string(),
            Self::Try(within) if within.as_secs() % 60 == 0 => {
                format!("--try={}m ", within.as_secs() / 60)
            }
            Self::Try(within) => format!("--try={}s ", within.as_secs()),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Once => Kind::Once,
            Self::Try(_) => Kind::Try,
        }
    }
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The environment.
    pub id: EnvId,
    /// The active environment, which the node boots after that.
    pub back_to: EnvId,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Sets a pending boot: of the named environment, else of the newest proposed one of the named node, else of the only one.
pub fn begin(
    pool: &Pool,
    operand: Option<&Operand>,
    how: How,
    force: bool,
    mode: Mode,
) -> Result<Outcome<Begun>> {
    let options = how.option() + activate::forcing(force);
    let Choice { env: chosen, notes } = activate::choose(pool, operand, &options)?;
    let lock = mode.lock_idle(pool, &chosen.node, &chosen.name)?;
    let node = pool.node(&chosen.node)?;
    node.refuse_lost()?;
    let mut env = node.environment(&chosen.name)?;
    let back_to = refuse_pointless(pool, &node, &env)?;
    forgive(&mut env);
    let verified = Verified::new(pool, &node, &env, force)?;
    let mut plan = Plan::new();
    activate::plan_export(&mut plan, pool, &node, &env);
    left_behind::plan(&mut plan, pool, &node, &env);
    let lead = format!(
        "lead {} to {env} for its next boot, then to {back_to}",
        node.name
    );
    let keep =
        snapshots::left_by(pool, &node, &env.name).map(|left| snapshots::sentence(&node, left));
    plan.steps(keep.into_iter().chain([lead]).collect(), |held| {
        held.warnings
            .extend(snapshots::keep(pool, held.lock, &node, &env.name));
        start(held, &node, &verified, how)
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| Begun {
        id: env.id(),
        back_to: back_to.id(),
        notes,
        warnings: held.warnings,
    }))
}

/// Refuses a node that no machine boots, before anything is made.
fn refuse_without_machine(node: &Node) -> Result<()> {
    if node.is_template() || !node.is_offered() {
        return Err(Failure::refused(format!(
            "no machine can ask for {}: {}",
            node.name,
            match node.is_template() {
                true => "it is a template",
                false => "it has no MAC address (netbe set mac=) and no serial",
            }
        ))
        .hint(format!("netbe get mac {}", node.name))
        .into());
    }
    Ok(())
}

/// Refuses a node that no machine boots, or without another active environment; returns the active one.
fn refuse_pointless(pool: &Pool, node: &Node, env: &Environment) -> Result<Environment> {
    let back_to = back_to(pool, node)?;
    if env.active {
        return Err(Failure::refused(format!(
            "{env} is already the active environment of {}",
            node.name
        ))
        .hint(format!("netbe list {}", node.name))
        .into());
    }
    Ok(back_to)
}

/// Returns what a node boots after a pending boot: its active environment.
///
/// # Errors
/// A refusal of every pending boot of the node, before anything is made for one: if no machine boots it, if several do, if its
/// machine boots from a card, or if no environment is active.
pub(super) fn back_to(pool: &Pool, node: &Node) -> Result<Environment> {
    on_card::refuse_pending_boot(node)?;
    match pool.local() {
        Some(local) => local::refuse_once(local)?,
        None => refuse_without_machine(node)?,
    }
    if node.has_several_machines(pool) {
        return Err(Failure::refused(format!(
            "several machines boot {0}, each at its own time: a boot for once or on trial is for one machine; give one of them \
             a node of its own for that, with --from {0}",
            node.name
        ))
        .hint("netbe activate --help")
        .into());
    }
    node.active_environment()
        .context("no environment is active to boot after that")
}

/// Removes the result of a former failed trial from the environment's problems.
fn forgive(env: &mut Environment) {
    if let Some(record) = &env.record {
        env.problems.retain(|p| Some(p) != record.unproven.as_ref());
    }
}

fn start(held: &mut Held, node: &Node, verified: &Verified<'_>, how: How) -> Result<()> {
    let (pool, lock, shared) = (held.pool, held.lock, &held.shared);
    let warnings = &mut held.warnings;
    let env = verified.env();
    warnings.extend(verified.warnings());
    if !node.is_this_machine {
        warnings.extend(recorded_fetches::warning(node, how));
    }
    // Read before it is marked as served: from then on it counts as perhaps booted.
    let evidence = Evidence::now(node);
    let idle = evidence.booted(env) == Some(false);
    if let (How::Try(_), false, Some(why)) = (how, idle, evidence.unread()) {
        // It would go on trial without panic=, as one that runs.
        bail!("whether {env} runs is not known: the NFS server's tables cannot be read: {why}");
    }
    let is_first = !env.record.as_ref().is_some_and(|record| record.served);
    reports::keep_reports(node);
    if let How::Try(_) = how {
        // Before it is marked, too: interrupted, it is idle still, and the next attempt writes all of the boot files.
        warnings.extend(prepare::prepare(pool, lock, node, env, idle)?);
        warnings.extend(power_stays(pool, node));
    }
    let env = node.environment(&env.name)?;
    activate::mark_served(lock, node, &env, verified.reasons(), None)?;
    let env = node.environment(&env.name)?;
    if let Some(before) = Pending::read(&node.state).boot()
        && before.env != env.name
    {
        pending::mark_withdrawn(lock, node, before)?;
    }
    subvolume::sync(&env.root()).context("making the environment durable")?;
    if is_first {
        // Read again: the argument just added is not a change by the node.
        let env = node.environment(&env.name)?;
        let mut record = env.record_for_change()?;
        record.first_led = activate::last_transaction(&env);
        env.store(lock, &record, Durable::WithNextSync)?;
    }
    let boot = PendingBoot {
        env: env.name.clone(),
        kind: how.kind(),
        since: Some(Timestamp::now()),
        within: match how {
            How::Try(within) => u64::try_from(within.as_secs()).ok(),
            How::Once => None,
        },
        set_in: node
            .is_this_machine
            .then(evidence::this_machine::boot_id)
            .flatten(),
        boot_id_before: reports::reported(&env).map(|(_, report)| report.boot_id),
        known_boot_ids: reports::boot_ids(node),
        used_before: evidence::is_in_use(node, &env.name)
            .context("reading the NFS server's tables")?,
        fetched: None,
        its: false,
        withdrawn: None,
        elsewhere: false,
    };
    if let Some(own) = pool.local() {
        local::prepare(pool, shared, own, &env)?;
    }
    first_fetches::clear(&node.state);
    pending::begin(shared, node, verified, &boot)?;
    warnings.extend(publish::lead_node(pool, Some(shared), node)?.warnings);
    Ok(())
}

/// Returns the warning that `power.cycle` is restricted, if the node's address is not known.
fn power_stays(pool: &Pool, node: &Node) -> Option<String> {
    node.property(pool, "power.cycle")?;
    let known = firmware_address::firmware_address(pool, node).is_some();
    (!known).then(|| {
        format!(
            "the address of {0} is not known, so any host could fetch the trial in its name: power.cycle is run \
             only after the NFS server has had no other environment of {0} in use for some minutes; netbe set \
             ip=dhcp,ADDR {0}",
            node.name
        )
    })
}

/// Cancels a node's pending boot; returns its `NODE/ENV`.
pub fn cancel(pool: &Pool, node: &NodeName, mode: Mode) -> Result<Outcome<Option<String>>> {
    let lock = mode.lock(pool, node)?;
    let node = pool.node(node)?;
    let what = match Pending::read(&node.state) {
        Pending::None => None,
        Pending::Boot(boot) => Some(format!("{}/{}", node.name, boot.env)),
        Pending::Unknown(_) => Some(format!("{}/?", node.name)),
    };
    let instead = what.iter().map(|w| format!(", not {w}"));
    let mut plan = Plan::new();
    plan.step(
        format!(
            "lead {} to its active environment{}",
            node.name,
            instead.collect::<String>()
        ),
        |held| pending::end(held, &node),
    );
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|_held| what))
}

/// Returns the nodes that have a pending boot, or may have one.
pub fn pending(pool: &Pool) -> Result<Vec<NodeName>> {
    let mut nodes = pool.nodes()?;
    nodes.retain(|node| Pending::read(&node.state) != Pending::None);
    Ok(nodes.into_iter().map(|node| node.name).collect())
}

/// Makes the environment of a pending boot or trial the active one.
pub fn confirm(pool: &Pool, node: &NodeName, mode: Mode) -> Result<Outcome<activate::Activated>> {
    let lock = mode.lock(pool, node)?;
    let node = pool.node(node)?;
    let why = match Pending::read(&node.state) {
        Pending::Boot(boot) => return confirmed(pool, &node, &boot, lock.as_ref(), mode),
        Pending::None => "has no pending boot".to_string(),
        Pending::Unknown(why) => format!("may have a pending boot: {why}"),
    };
    Err(Failure::refused(format!("{} {why}", node.name))
        .hint(format!("netbe list {}", node.name))
        .into())
}

fn confirmed(
    pool: &Pool,
    node: &Node,
    boot: &PendingBoot,
    lock: Option<&NodeLock>,
    mode: Mode,
) -> Result<Outcome<activate::Activated>> {
    let mut env = node.environment(&boot.env)?;
    forgive(&mut env);
    // Forced: the user confirms the boot.
    let verified = Verified::new(pool, node, &env, true)?;
    let before = node.active.as_ref().map(|a| EnvId::new(&node.name, a));
    let mut plan = Plan::new();
    plan.step(format!("let {} boot {env} for good", node.name), |held| {
        activate::after_its_boot(held, node, &verified)
    });
    let done = plan.carry_out(Held::beside(pool, lock, mode)?)?;
    Ok(done.map(|held| activate::Activated {
        id: env.id(),
        before,
        ended: None,
        notes: Vec::new(),
        warnings: held.warnings,
    }))
}
