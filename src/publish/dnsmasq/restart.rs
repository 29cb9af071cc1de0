//! When the running dnsmasq is restarted, and the warning if it cannot be.
//!
//! Not for finding it, nor for its configuration.

use anyhow::{Context, Result};

use super::{Publishing, config_file, daemon, hosts_dir, inclusion};
use crate::fs::systemd;

/// Restarts the running dnsmasq if its configuration is older than the files; a failure is a warning, since the files
/// are right.
pub(super) fn restart_if_changed(run: &mut Publishing<'_>, news: bool) {
    let state = run.pool.state();
    let running = daemon::running();
    let read = [
        config_file(state),
        hosts_dir(state),
        inclusion::find(state).file,
    ];
    let old = running.is_some_and(|r| read.iter().any(|file| r.is_older_than(file)));
    if (news || old)
        && let Err(e) = restart(run, running.is_some())
    {
        run.warn(format!(
            "{e:#}; until this is fixed, dnsmasq keeps its old configuration"
        ));
    }
}

fn restart(run: &mut Publishing<'_>, runs: bool) -> Result<()> {
    if !systemd::is_running() {
        if run.writes && daemon::program().is_some() {
            daemon::test().context("dnsmasq would not start with its new configuration")?;
        }
        if runs {
            run.warn(
                "dnsmasq runs with an older configuration: restart it (a SIGHUP is not enough)"
                    .to_string(),
            );
        }
        return Ok(());
    }
    if !systemd::unit_is("is-active", daemon::UNIT) {
        run.warn(format!(
            "dnsmasq does not run: systemctl enable --now {}",
            daemon::UNIT
        ));
        return Ok(());
    }
    run.step(format!("run systemctl restart {}", daemon::UNIT), || {
        daemon::test().context("dnsmasq would not start with its new configuration")?;
        daemon::restart().context("restarting dnsmasq")
    })
}
