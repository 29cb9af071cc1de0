//! Boots for once, and boots on trial: `activate --once`, `--try`, `--cancel`, `confirm`.
//!
//! The firmware of many machines cannot forget, so the server does: the node's names lead to the
//! environment until it has been fetched, and then back to the active one, before it is known whether it
//! came up. `active` never moves for it; it moves when the trial is passed. Each step is on disk before
//! the next, so that a server that is restarted goes on where it was. What is to be done when is
//! [`judgement`]; doing it is [`super::reconcile`].

pub mod judgement;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use super::plan::Plan;
use super::staged::boot_config::{self, Wanted};
use super::staged::{Verified, report_unit};
use super::{Held, Mode, Outcome, activate, pending};
use crate::btrfs::subvolume;
use crate::evidence::{self, Evidence, first_fetches, reports};
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::pool::pending::{Kind, Pending, PendingBoot};
use crate::pool::{EnvId, Environment, Node, NodeLock, NodeName, Operand, Pool};
use crate::publish::{Published, firmware_address, tftp};

/// How long after a kernel panic a tried environment starts again, in seconds: long enough that the
/// server has seen the end of the fetching, and leads the machine back.
const PANIC: &str = "10";

/// How an environment is to be booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For the next boot only.
    Once,
    /// For the next boot, and for good when it reports within this time.
    Try(SignedDuration),
}

impl How {
    /// Returns how it is to be booted, from the two ways to ask for it.
    pub fn asked(once: bool, within: Option<SignedDuration>) -> Option<Self> {
        match (once, within) {
            (true, _) => Some(Self::Once),
            (false, within) => within.map(Self::Try),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Once => Kind::Once,
            Self::Try(_) => Kind::Try,
        }
    }
}

/// What was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The environment.
    pub id: EnvId,
    /// What the node boots after that.
    pub back_to: EnvId,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// Lets a node boot an environment next: the one named, a node's newest, or the only candidate there is.
pub fn begin(
    pool: &Pool,
    operand: Option<&Operand>,
    how: How,
    force: bool,
    mode: Mode,
) -> Result<Outcome<Begun>> {
    let chosen = activate::choose(pool, operand)?;
    let lock = mode.lock_idle(pool, &chosen.node, &chosen.name)?;
    let node = pool.node(&chosen.node)?;
    node.refuse_lost()?;
    let mut env = node.environment(&chosen.name)?;
    let back_to = refuse_pointless(&node, &env)?;
    forgive(&mut env);
    let verified = Verified::new(pool, &node, &env, force)?;
    let mut plan = Plan::new();
    activate::plan_export(&mut plan, pool, &node, &env);
    plan.step(
        format!(
            "lead {} to {env} for its next boot, then to {back_to}",
            node.name
        ),
        |held| start(held, &node, &verified, how),
    );
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| Begun {
        id: env.id(),
        back_to: back_to.id(),
        warnings: held.warnings,
    }))
}

/// Refuses where no boot for once or on trial can be, before anything is made for one.
pub fn refuse_nobody(node: &Node) -> Result<()> {
    if node.is_template() || !node.is_offered() {
        return Err(
            Failure::refused(format!("no machine can ask for {}", node.name))
                .hint(format!("netbe set mac=MAC {}", node.name))
                .into(),
        );
    }
    Ok(())
}

/// Refuses where no machine would come, or none could go back; returns what it would go back to.
fn refuse_pointless(node: &Node, env: &Environment) -> Result<Environment> {
    refuse_nobody(node)?;
    if env.active {
        return Err(
            Failure::refused(format!("{env} is what {} boots next already", node.name))
                .hint(format!("netbe list {}", node.name))
                .into(),
        );
    }
    node.active_environment()
        .context("after that boot there would be nothing to go back to")
}

/// Lets what did not pass a trial be tried again.
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
    // Once it is marked as served it may have been booted, for all that is known.
    let idle = Evidence::now(node).booted(env) == Some(false);
    reports::keep_reports(node);
    activate::mark_served(lock, node, env, verified.reasons(), None)?;
    let env = node.environment(&env.name)?;
    if let Some(before) = Pending::read(&node.state).boot()
        && before.env != env.name
    {
        pending::mark_withdrawn(lock, node, before)?;
    }
    if let How::Try(_) = how {
        warnings.extend(prepare_for_trial(pool, lock, node, &env, idle)?);
        warnings.extend(power_stays(pool, node));
    }
    subvolume::sync(&env.root()).context("making the environment durable")?;
    let boot = PendingBoot {
        env: env.name.clone(),
        kind: how.kind(),
        since: Some(Timestamp::now()),
        within: match how {
            How::Try(within) => u64::try_from(within.as_secs()).ok(),
            How::Once => None,
        },
        told_before: reports::reported(&env).map(|(_, report)| report.boot_id),
        told: reports::told(node),
        used_before: evidence::is_in_use(node, &env.name)
            .context("asking what the NFS server has in use")?,
        fetched: None,
        its: false,
        withdrawn: None,
        elsewhere: false,
    };
    first_fetches::clear(&node.state);
    crate::pool::pending::write(&node.state, shared, &boot)?;
    let mut done = Published::default();
    tftp::bring_node_up_to_date(pool, Some(shared), node, &mut done)?;
    warnings.extend(done.warnings);
    Ok(())
}

/// Makes a tried environment start again after a kernel panic, and says what stands against its report.
///
/// One that is not `idle` may be running, and is not touched.
fn prepare_for_trial(
    pool: &Pool,
    lock: &NodeLock,
    node: &Node,
    env: &Environment,
    idle: bool,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let (root, boot) = (env.root(), env.boot());
    if idle {
        let mut record = env.record_for_change()?;
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?
            .with_argument("panic", PANIC, &boot, &root)?
            .in_place();
        boot_config::write(&wanted, &root, &boot, &mut record)
            .context("nothing was changed: letting it start again after a panic")?;
        env.store(lock, &record, Durable::WithNextSync)?;
    } else {
        warnings.push(format!(
            "{env} may be running, so its boot files stay as they are: without panic= on its command line it \
             does not start again after a kernel panic by itself"
        ));
    }
    if !report_unit::reports(&Tree::open(&root)?) {
        warnings.push(format!(
            "nothing in {env} reports that it came up: when it has, netbe confirm {}",
            node.name
        ));
    }
    Ok(warnings)
}

/// Returns the warning that a node's power may not be cut after a trial, where it is not known who fetches.
fn power_stays(pool: &Pool, node: &Node) -> Option<String> {
    node.property(pool, "power.cycle")?;
    let known = firmware_address::firmware_address(pool, node).is_some();
    (!known).then(|| {
        format!(
            "the address of {0} is not known, so anybody could fetch the trial in its name: power.cycle is called only once \
             the NFS server has seen nothing else of {0} in use for some minutes; netbe set ip=dhcp,ADDR {0}",
            node.name
        )
    })
}

/// Takes back what a node has before it for once or on trial; returns what that was, `NODE/ENV`.
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

/// Makes what a node boots once or on trial the active one.
pub fn confirm(pool: &Pool, node: &NodeName, mode: Mode) -> Result<Outcome<activate::Activated>> {
    let lock = mode.lock(pool, node)?;
    let node = pool.node(node)?;
    let why = match Pending::read(&node.state) {
        Pending::Boot(boot) => return confirmed(pool, &node, &boot, lock.as_ref(), mode),
        Pending::None => "has nothing before it for once or on trial".to_string(),
        Pending::Unknown(why) => format!("may have an environment before it: {why}"),
    };
    Err(Failure::refused(format!("{} {why}", node.name))
        .hint(format!("netbe list {0}; netbe activate {0}/ENV", node.name))
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
    // A person says that it came up, whatever speaks against it.
    let verified = Verified::new(pool, node, &env, true)?;
    let before = node.active.as_ref().map(|a| EnvId::new(&node.name, a));
    let mut plan = Plan::new();
    plan.step(format!("let {} boot {env} for good", node.name), |held| {
        activate::for_good(held, node, &verified)
    });
    let done = plan.carry_out(Held::beside(pool, lock, mode)?)?;
    Ok(done.map(|held| activate::Activated {
        id: env.id(),
        before,
        warnings: held.warnings,
    }))
}
