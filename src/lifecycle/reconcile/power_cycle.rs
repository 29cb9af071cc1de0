//! Running the command that power-cycles a node: property `power.cycle`.
//!
//! Not for whether it may be run.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::evidence::boots;
use crate::pool::{Node, Pool};

/// The time limit of `power.cycle`.
const POWER: Duration = Duration::from_secs(60);

/// Runs the property `power.cycle` of a node, if it is set.
pub(super) fn run(pool: &Pool, node: &Node) -> Result<()> {
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
