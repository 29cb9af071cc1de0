//! Power-cycling a node that may hang in a failed trial: property `power.cycle`.
//!
//! Promises that the command is not run where another environment of the node may be in use. The rule is
//! [`judgement::may_cut_power`]. Not for when a trial has failed.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::evidence::{Evidence, boots, nfsd};
use crate::lifecycle::trial::judgement::{self, PowerFacts};
use crate::pool::pending::PendingBoot;
use crate::pool::{Environment, Node, Pool};
use crate::publish::has_nfs_root;

/// The time limit of `power.cycle`.
const POWER: Duration = Duration::from_secs(60);

/// Returns whether the command is to be run for a failed trial; `None` if the node has none.
pub(super) fn is_due(
    pool: &Pool,
    node: &Node,
    env: &Environment,
    boot: &PendingBoot,
) -> Option<bool> {
    node.property(pool, "power.cycle")?;
    Some(judgement::may_cut_power(PowerFacts {
        boot,
        others_in_use: Evidence::now(node).others_in_use(env).ok(),
        watched: nfsd::is_there() && has_nfs_root(pool, node),
        now: Timestamp::now(),
    }))
}

/// Returns the warning that the command was not run.
pub(super) fn left_out(node: &Node) -> String {
    format!(
        "power.cycle was not run for {0}: {0} may be running another environment",
        node.name
    )
}

/// Runs the command if it still is to be run; returns a warning if it was not run, or failed.
pub(super) fn run(
    pool: &Pool,
    node: &Node,
    env: &Environment,
    boot: &PendingBoot,
) -> Option<String> {
    // Again: the node may have come back since the steps were planned.
    if is_due(pool, node, env, boot) != Some(true) {
        return Some(left_out(node));
    }
    let failed = run_command(pool, node).err()?;
    Some(format!("{}: {failed:#}", node.name))
}

/// Runs the property `power.cycle` of a node, if it is set.
fn run_command(pool: &Pool, node: &Node) -> Result<()> {
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

/// Returns the address in the property `ip`, static or reserved.
fn address_in(ip: &str) -> Option<String> {
    ip.split([',', '/'])
        .find(|part| part.parse::<std::net::Ipv4Addr>().is_ok())
        .map(str::to_string)
}
