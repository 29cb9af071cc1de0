//! Doing what is to be done about boots for once and on trial: `reconcile`.
//!
//! Run by a timer, by a transfer that ends a fetching, and when the server starts; harmless at any time.
//! Each step is on disk before the next, so that one that was interrupted is taken again.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::trial::judgement::{self, Facts, Fetching, PowerFacts, Verdict};
use crate::boot;
use crate::evidence::{self, Evidence};
use crate::evidence::{boots, client, first_fetches, nfs_use, nfsd, reports};
use crate::failure::{Failure, Kind};
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::lifecycle::staged::Verified;
use crate::lifecycle::{Mode, Outcome, activate, pending};
use crate::pool::pending::{Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool};
use crate::publish::{has_nfs_root, tftp};

/// How long a command that power-cycles a node may take.
const POWER: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// A sentence each.
    pub done: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// Does what is to be done, for one node or for all.
///
/// A node that somebody else is changing is left for the next time.
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
            // Without it less is known, and that is safe.
            let _ = nfs_use::note(pool, &node);
        }
        if Pending::read(&node.state) == Pending::None && !astray.contains(&node.name) {
            continue;
        }
        if mode.dry_run {
            planned.extend(plan(pool, &node)?);
            continue;
        }
        match of_node(pool, &node.name, mode, &mut result) {
            // It comes by again.
            Err(e) if is_locked(&e) => {}
            Err(e) => result.warnings.push(format!("{}: {e:#}", node.name)),
            Ok(()) => {}
        }
    }
    Ok(match mode.dry_run {
        true => Outcome::Planned(planned),
        false => Outcome::Done(result),
    })
}

fn is_locked(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|f| f.kind == Kind::Locked)
}

fn plan(pool: &Pool, node: &Node) -> Result<Option<String>> {
    let Pending::Boot(boot) = Pending::read(&node.state) else {
        return Ok(None);
    };
    let name = &node.name;
    let env = node.environment(&boot.env)?;
    Ok(match verdict(pool, node, &env, &boot)? {
        Verdict::Wait => None,
        Verdict::LeadBack(_) => Some(format!("lead {name} to its active environment again")),
        Verdict::Passed => Some(format!("make {env}, which came up, what {name} boots")),
        Verdict::NotInTime | Verdict::LeftUnsaid => Some(format!("end the trial of {env}")),
        Verdict::Over => Some(format!("forget that {env} was to be booted")),
    })
}

fn of_node(pool: &Pool, name: &NodeName, mode: Mode, result: &mut Reconciled) -> Result<()> {
    if restore_active(pool, name, mode, result)? {
        return Ok(());
    }
    let lock = mode.lock_to_change(pool, name)?;
    let node = pool.node(name)?;
    let Pending::Boot(boot) = Pending::read(&node.state) else {
        return Ok(());
    };
    let take_pool = || pool.lock(mode.wait);
    let Some(env) = Environment::observe(&node, &boot.env)? else {
        pending::end(pool, &lock, &take_pool()?, &node)?;
        result.done.push(format!(
            "{name}/{} was to be booted and is gone: {name} boots its active environment.",
            boot.env
        ));
        return Ok(());
    };
    match verdict(pool, &node, &env, &boot)? {
        Verdict::Wait | Verdict::LeadBack(_) => {}
        Verdict::Passed => {
            let booted = Verified::by_its_boot(&env);
            let warnings = activate::for_good(pool, &lock, &take_pool()?, &node, &booted)?;
            result.warnings.extend(warnings);
            result.done.push(format!("{env} came up: it is active."));
        }
        Verdict::Over => {
            let warnings = pending::end(pool, &lock, &take_pool()?, &node)?;
            result.warnings.extend(warnings);
        }
        Verdict::LeftUnsaid => {
            let why = "came up in something else before it reported that it came up";
            flag(&lock, &env, &format!("on trial, {name} {why}"))?;
            pending::end(pool, &lock, &take_pool()?, &node)?;
            result
                .done
                .push(format!("The trial of {env} is over: {name} {why}."));
        }
        Verdict::NotInTime => {
            let why = "did not report that it came up in its time";
            flag(&lock, &env, &format!("on trial it {why}"))?;
            let (lock, node) = match node.property(pool, "power.cycle") {
                None => (lock, node),
                // Without the node's lock: others need not wait until the machine's power is back. Once only: another
                // reconciliation finds the environment's lock taken.
                Some(_) => {
                    let _env_stays = pool.lock_env(&lock, &env.name)?;
                    drop(lock);
                    result.warnings.extend(power(pool, &node, &env, &boot));
                    (mode.lock_again(pool, name)?, pool.node(name)?)
                }
            };
            // It may have been taken back meanwhile, or have begun anew.
            if Pending::read(&node.state)
                .boot()
                .is_none_or(|now| now.since != boot.since)
            {
                return Ok(());
            }
            pending::end(pool, &lock, &take_pool()?, &node)?;
            result
                .done
                .push(format!("The trial of {env} is over: it {why}."));
        }
    }
    Ok(())
}

/// Leads a node's names where they belong, and back where what they lead to has been fetched; returns
/// whether nothing else is to be done.
///
/// With the pool's lock alone: a node that is being upgraded, which takes minutes, must not boot what
/// hangs a second time meanwhile.
fn restore_active(
    pool: &Pool,
    name: &NodeName,
    mode: Mode,
    result: &mut Reconciled,
) -> Result<bool> {
    let shared = pool.lock(mode.wait)?;
    let node = pool.node(name)?;
    let mut to_do = false;
    match Pending::read(&node.state) {
        Pending::None => {}
        Pending::Unknown(_) => result.warnings.push(format!(
            "{name}: pending.json cannot be read, so nothing of it can be destroyed; netbe activate {name} --cancel"
        )),
        Pending::Boot(mut boot) => {
            let env = Environment::observe(&node, &boot.env)?;
            let verdict = match &env {
                Some(env) => Some(verdict(pool, &node, env, &boot)?),
                None => None,
            };
            if let (Some(Verdict::LeadBack(fetching)), Some(env)) = (verdict, &env) {
                withdraw(pool, &node, &mut boot, fetching);
                // First on disk, then for the machines that ask.
                crate::pool::pending::write(&node.state, &shared, &boot)?;
                result.done.push(format!(
                    "{env} was fetched: the next boot of {name} is its active environment again."
                ));
            } else {
                to_do = verdict != Some(Verdict::Wait);
                if let Some(env) = &env
                    && is_elsewhere(&node, env, &boot)
                {
                    boot.elsewhere = true;
                    crate::pool::pending::write(&node.state, &shared, &boot)?;
                }
            }
        }
    }
    result
        .warnings
        .extend(pending::restore_active(pool, &shared, name)?);
    Ok(!to_do)
}

/// Notes that a boot has been fetched, and what is known from then on.
fn withdraw(pool: &Pool, node: &Node, boot: &mut PendingBoot, fetching: Fetching) {
    boot.fetched = Some(fetching.time);
    boot.its = fetching.its;
    boot.told = reports::told(node);
    boot.withdrawn = Some(Timestamp::now());
    if boot.kind == crate::pool::pending::Kind::Try && node.property(pool, "power.cycle").is_some()
    {
        // What is in use after that runs. Where the server does not forget, what was in use counts as that: no power is
        // cut then.
        let _ = nfsd::forget();
    }
}

/// Returns whether the NFS server sees, for the first time, that a node runs something else than what it was to try.
fn is_elsewhere(node: &Node, env: &Environment, boot: &PendingBoot) -> bool {
    let is_tried =
        boot.kind == crate::pool::pending::Kind::Try && !boot.is_waiting() && !boot.elsewhere;
    is_tried && Evidence::now(node).others_in_use(env).unwrap_or(false)
}

fn verdict(pool: &Pool, node: &Node, env: &Environment, boot: &PendingBoot) -> Result<Verdict> {
    let reported = reports::reported(env);
    let left = |fetched| Evidence::recent(node).was_elsewhere(env, fetched, &boot.told);
    Ok(judgement::judge(Facts {
        boot,
        fetched: &first_fetches::read(&node.state, boot),
        ways: &Tree::open(&env.boot()).map_or(Vec::new(), |tree| boot::fetched(&tree)),
        reported: reported
            .as_ref()
            .map(|(time, r)| (*time, r.boot_id.as_str())),
        mounted: evidence::is_in_use(node, &env.name)
            .context("asking what the NFS server has in use")?,
        sole_client: client::sole_client(pool, node).is_some(),
        active: env.active,
        left: boot.fetched.is_some_and(left),
        now: Timestamp::now(),
    }))
}

/// Cuts a node off from its power and back, where it may have come to a stop in what it tried; returns what is not as it
/// should be.
fn power(pool: &Pool, node: &Node, env: &Environment, boot: &PendingBoot) -> Option<String> {
    node.property(pool, "power.cycle")?;
    let evidence = Evidence::now(node);
    let may = judgement::may_cut_power(PowerFacts {
        boot,
        others_in_use: evidence.others_in_use(env).ok(),
        watched: nfsd::is_there() && has_nfs_root(pool, node),
        now: Timestamp::now(),
    });
    if !may {
        return Some(format!(
            "power.cycle was not called for {0}: {0} may be running another environment",
            node.name
        ));
    }
    let failed = power_cycle(pool, node).err()?;
    Some(format!("{}: {failed:#}", node.name))
}

fn flag(lock: &NodeLock, env: &Environment, why: &str) -> Result<()> {
    let mut record = env.record_for_change()?;
    record.unproven = Some(why.to_string());
    env.store(lock, &record, Durable::AtOnce)
}

/// Calls the property `power.cycle` of a node; nothing where it has none.
fn power_cycle(pool: &Pool, node: &Node) -> Result<()> {
    let Some(command) = node.property(pool, "power.cycle") else {
        return Ok(());
    };
    let property = |key: &str| node.property(pool, key).unwrap_or_default();
    let mac = property("mac");
    let seen = boots::read(&node.state);
    let address = address_in(&property("ip"))
        .or_else(|| seen.iter().rev().find_map(|s| s.client.clone()))
        .unwrap_or_default();
    let mut child = Command::new("/bin/sh")
        .args(["-c", &command])
        .env("NETBE_NODE", node.name.as_str())
        .env("NETBE_MAC", mac.split(',').next().unwrap_or_default())
        .env("NETBE_IP", address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("power.cycle cannot be run")?;
    let until = Instant::now() + POWER;
    loop {
        if let Some(status) = child.try_wait().context("waiting for power.cycle")? {
            anyhow::ensure!(status.success(), "power.cycle failed: {status}");
            return Ok(());
        }
        if Instant::now() >= until {
            let group = i32::try_from(child.id()).context("the number of a process")?;
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            let _ = child.wait();
            anyhow::bail!(
                "power.cycle had not ended after {} s and was killed",
                POWER.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the address in a value of the property `ip`, static or reserved.
fn address_in(ip: &str) -> Option<String> {
    ip.split([',', '/'])
        .find(|part| part.parse::<std::net::Ipv4Addr>().is_ok())
        .map(str::to_string)
}
