//! Setting up the services of this machine for the pool: netbe's TFTP server, dnsmasq and systemd (`init --services`).
//!
//! Promises that no file is overwritten that netbe did not write, that dnsmasq keeps running with its old
//! configuration if it would not start with the new one, and that the same command again changes nothing. Not for
//! the work of the services: `publish` and `reconcile`.

pub(super) mod installed_units;
pub mod missing;
mod units;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Mode;
use crate::failure::Failure;
use crate::fs::{server_packages, systemd};
use crate::pool::{Pool, PoolLock};
use crate::publish::dnsmasq::inclusion::{self, Installed};
use crate::publish::dnsmasq::{self, daemon, surroundings};
use crate::publish::run::Publishing;
use crate::publish::{self, server};
use units::{TFTP, TIMER};

/// The steps of installing them, with notes and warnings.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) steps: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Refuses if files that are not this pool's are in the way.
pub(super) fn refuse(dir: &Path, states: &Path, pool: Option<&Pool>) -> Result<()> {
    let inclusion = inclusion::find(pool.map_or(dir, Pool::state));
    match inclusion.installed {
        Installed::No | Installed::Ours => {}
        Installed::Foreign => return Err(not_ours(&inclusion.file).into()),
    }
    installed_units::refuse(dir, states)
}

fn not_ours(path: &Path) -> Failure {
    Failure::refused(format!(
        "{} exists, and was not written by netbe",
        path.display()
    ))
    .hint(format!("cat {}", path.display()))
}

/// Installs the services of the pool at `dir`; in a dry run the pool need not be there yet.
pub(super) fn install(dir: &Path, states: &Path, pool: Option<&Pool>, mode: Mode) -> Result<Done> {
    let mut done = Done::default();
    let lock = match pool {
        Some(pool) if !mode.dry_run => Some(pool.lock(mode.wait)?),
        _ => None,
    };
    let write = lock.is_some();
    match pool {
        Some(pool) => publish_to_include(pool, lock.as_ref(), &mut done)?,
        None => done
            .steps
            .push("write dnsmasq.conf in its state directory".to_string()),
    }
    let answered = daemon::running().is_some();
    let wrote_line = include(dir, pool, write, &mut done)?;
    if wrote_line && answered && pool.is_some_and(|pool| dnsmasq::ends_dns(pool.state())) {
        done.notes.push(format!(
            "dnsmasq has no configuration but netbe's, so its DNS is now disabled; if machines use it for DNS: echo \
             domain-needed >{}/dns.conf, then netbe publish",
            inclusion::DIRECTORY
        ));
    }
    let renewed = installed_units::install(dir, states, write, &mut done)?;
    if systemd::is_running() {
        start(states, wrote_line, renewed, write, &mut done)?;
    } else {
        let program = units::program(states)?;
        done.notes.push(format!(
            "systemd does not run here: when this machine boots, run first {program} reconcile --all-pools, then dnsmasq and \
             {program} serve --all-pools; and as root's crontab(5): \
             * * * * * {program} reconcile --all-pools; sleep 30; {program} reconcile --all-pools"
        ));
        if wrote_line {
            done.notes.push(
                "dnsmasq has not read the pool's configuration yet: start it, or restart it"
                    .to_string(),
            );
        }
    }
    look_around(&mut done);
    Ok(done)
}

/// Writes the configuration that dnsmasq is about to include.
fn publish_to_include(pool: &Pool, lock: Option<&PoolLock>, done: &mut Done) -> Result<()> {
    // Without an address there is no configuration to include.
    server::address(None, pool.record())?;
    let mut published = publish::everything(pool, lock)?;
    if lock.is_some() || !published.steps.iter().any(|s| s.contains("dnsmasq")) {
        let mut more = Publishing::begin(pool, lock)?;
        dnsmasq::bring_up_to_date(&mut more, &pool.nodes()?, true)?;
        published.steps.extend(more.done.steps);
        for warning in more.done.warnings {
            if !published.warnings.contains(&warning) {
                published.warnings.push(warning);
            }
        }
    }
    done.steps.extend(published.steps);
    done.warnings.extend(published.warnings);
    Ok(())
}

/// Has dnsmasq include the pool's configuration, if it would start with it; returns whether the inclusion is new.
fn include(dir: &Path, pool: Option<&Pool>, write: bool, done: &mut Done) -> Result<bool> {
    if daemon::program().is_none() {
        done.warnings.push(format!(
            "dnsmasq is not installed, so nothing answers DHCP: {}, then netbe init {} --services",
            server_packages::install("dnsmasq"),
            dir.display()
        ));
        return Ok(false);
    }
    let inclusion = inclusion::find(pool.map_or(dir, Pool::state));
    if pool.is_some_and(dnsmasq::is_read) {
        return Ok(false);
    }
    let path = inclusion.file.as_path();
    done.steps.push(format!("write {}", path.display()));
    let Some(pool) = pool.filter(|_| write) else {
        return Ok(true);
    };
    inclusion::include(path, pool.state())?;
    if let Err(e) = daemon::test() {
        // Otherwise it would keep dnsmasq from starting at the next boot.
        fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
        return Err(Failure::failed(format!(
            "dnsmasq would not start with the pool's configuration: {e:#}; {} was removed again; {}",
            path.display(),
            remedy(pool.states())
        ))
        .into());
    }
    Ok(true)
}

/// Returns the remedy if dnsmasq would not start.
fn remedy(states: &Path) -> String {
    if surroundings::is_confined() {
        return format!(
            "AppArmor confines dnsmasq: add `{}` to /etc/apparmor.d/local/usr.sbin.dnsmasq, then apparmor_parser -r /etc/apparmor.d/usr.sbin.dnsmasq",
            surroundings::profile_rules(states)
        );
    }
    "fix dnsmasq's other configuration: dnsmasq --test".to_string()
}

/// Starts the services, and restarts dnsmasq if its configuration is new.
fn start(
    states: &Path,
    wrote_line: bool,
    renewed: bool,
    write: bool,
    done: &mut Done,
) -> Result<()> {
    let mut calls: Vec<Vec<&str>> = Vec::new();
    if !systemd::unit_is("is-active", TIMER) {
        calls.push(vec!["start", TIMER]);
    }
    if daemon::program().is_some() {
        match systemd::systemctl(&["cat", daemon::UNIT]) {
            Err(_) => done.warnings.push(format!(
                "there is no {}, so dnsmasq is not started: {}",
                daemon::UNIT,
                server_packages::install("dnsmasq")
            )),
            Ok(()) => {
                if !systemd::unit_is("is-enabled", daemon::UNIT) {
                    calls.push(vec!["enable", daemon::UNIT]);
                }
                match systemd::unit_is("is-active", daemon::UNIT) {
                    true if wrote_line => calls.push(vec!["restart", daemon::UNIT]),
                    true => {}
                    false => calls.push(vec!["start", daemon::UNIT]),
                }
            }
        }
    }
    // After dnsmasq: an older configuration of it may have had the port.
    match systemd::unit_is("is-active", TFTP) {
        true if renewed => calls.push(vec!["restart", TFTP]),
        true => {}
        false => calls.push(vec!["start", TFTP]),
    }
    for call in calls {
        done.steps.push(format!("run systemctl {}", call.join(" ")));
        if !write {
            continue;
        }
        let called = match call.as_slice() {
            ["restart", daemon::UNIT] => daemon::restart(),
            call => systemd::systemctl(call),
        };
        if let Err(e) = called {
            let unit = call.last().copied().unwrap_or_default();
            let mut warning = format!("{e:#}; see journalctl -u {unit}");
            if unit == daemon::UNIT && surroundings::is_confined() {
                warning = format!("{warning}; {}", remedy(states));
            }
            done.warnings.push(warning);
        }
    }
    Ok(())
}

/// Warns of missing conditions that netbe does not change itself.
fn look_around(done: &mut Done) {
    if daemon::program().is_some() && !daemon::reads_directory() {
        done.warnings.push(format!(
            "dnsmasq does not seem to read {0}: add conf-dir={0} to /etc/dnsmasq.conf",
            inclusion::DIRECTORY
        ));
    }
    if !publish::nfs::is_installed() {
        done.warnings.push(format!(
            "this machine has no NFS server, so nodes cannot mount their roots: {}",
            server_packages::install("exportfs")
        ));
    } else if systemd::is_running() {
        let is = |state| systemd::unit_is(state, publish::nfs::UNIT);
        // Writing the exports may have warned of that already.
        let is_warned = done
            .warnings
            .iter()
            .any(|w| w.starts_with("the NFS server does not run"));
        let runs = is("is-enabled") && is("is-active");
        if !is_warned && !runs {
            done.warnings.push(format!(
                "the NFS server does not run, or is not enabled: systemctl enable --now {}",
                publish::nfs::UNIT
            ));
        }
    }
}
