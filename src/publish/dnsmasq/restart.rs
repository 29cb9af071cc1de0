//! When the running dnsmasq is restarted, and the warning if it cannot be.
//!
//! Not for finding it, nor for its configuration.

use anyhow::{Context, Result};

use super::{Published, config_file, daemon, hosts_dir, inclusion};
use crate::fs::systemd;
use crate::pool::{Pool, PoolLock};

/// Restarts the running dnsmasq if its configuration is older than the files; a failure is a warning, since the files
/// are right.
pub(super) fn restart_if_changed(
    pool: &Pool,
    lock: Option<&PoolLock>,
    news: bool,
    done: &mut Published,
) {
    let running = daemon::running();
    let read = [
        config_file(pool.state()),
        hosts_dir(pool.state()),
        inclusion::find(pool.state()).file,
    ];
    let old = running.is_some_and(|r| read.iter().any(|file| r.is_older_than(file)));
    if (news || old)
        && let Err(e) = restart(lock, running.is_some(), done)
    {
        done.warnings.push(format!(
            "{e:#}; until this is fixed, dnsmasq keeps its old configuration"
        ));
    }
}

fn restart(lock: Option<&PoolLock>, runs: bool, done: &mut Published) -> Result<()> {
    if !systemd::is_running() {
        if lock.is_some() && daemon::program().is_some() {
            daemon::test().context("dnsmasq would not start with its new configuration")?;
        }
        if runs {
            done.warnings.push(
                "dnsmasq runs with an older configuration: restart it (a SIGHUP is not enough)"
                    .to_string(),
            );
        }
        return Ok(());
    }
    if !systemd::unit_is("is-active", daemon::UNIT) {
        done.warnings.push(format!(
            "dnsmasq does not run: systemctl enable --now {}",
            daemon::UNIT
        ));
        return Ok(());
    }
    done.steps
        .push(format!("run systemctl restart {}", daemon::UNIT));
    if lock.is_none() {
        return Ok(());
    }
    daemon::test().context("dnsmasq would not start with its new configuration")?;
    daemon::restart().context("restarting dnsmasq")
}
