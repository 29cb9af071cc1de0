//! Installing the targets into tgt, and reading back what it offers.
//!
//! Writes a file of its own under `/etc/tgt/conf.d`, which tgt reads when it starts, and has tgt-admin(8) take over each
//! target that changed: no machine loses its disk by another's. Not for the content of the file.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::iscsi_targets::{self as targets, Target};
use super::{Published, iscsi_names};
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::if_exists;
use crate::fs::{server_packages, systemd};
use crate::pool::{Pool, PoolLock};

/// The directory whose `*.conf` files tgt-admin(8) reads.
const CONF_D: &str = "/etc/tgt/conf.d";
/// The unit, on Debian and on Fedora.
const UNITS: [&str; 2] = ["tgt.service", "tgtd.service"];

/// Returns the pool's file of targets; empty if there is none.
pub fn read(pool: &Pool) -> Result<String> {
    let path = installed(pool);
    let text = if_exists(std::fs::read_to_string(&path)).context("reading the iSCSI targets")?;
    Ok(text.unwrap_or_default())
}

/// Updates the pool's file of targets, and tgt, to `text`.
pub fn bring_up_to_date(
    pool: &Pool,
    lock: Option<&PoolLock>,
    text: &str,
    done: &mut Published,
) -> Result<()> {
    pool.ensure_protected(lock)?;
    let old = read(pool).unwrap_or_default();
    if old.is_empty() && text.is_empty() {
        return Ok(());
    }
    let wanted = targets::stanzas(text);
    if server_packages::require("tgt-admin").is_err() {
        if !wanted.is_empty() {
            done.warnings.push(format!(
                "this machine offers no disks by iSCSI (no tgt-admin): nodes cannot reach their roots; {}, then netbe publish",
                server_packages::install("tgt-admin")
            ));
        }
        return Ok(());
    }
    if old != text {
        let path = installed(pool);
        done.steps.push(format!("write {}", path.display()));
        if lock.is_some() {
            atomic::directories(Path::new(CONF_D))?;
            atomic::file(&path, text.as_bytes(), Durable::AtOnce)?;
        }
    }
    let Some(known) = known(pool)? else {
        if !wanted.is_empty() && systemd::is_running() {
            done.warnings.push(stands());
        }
        return Ok(());
    };
    let before: HashSet<_> = targets::stanzas(&old).into_iter().collect();
    let names: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    for name in known.keys().filter(|name| !names.contains(name.as_str())) {
        done.steps.push(format!("withdraw {name}"));
        if lock.is_some()
            && let Err(e) = tgt_admin(&["--delete", name])
        {
            done.warnings
                .push(format!("{name} is offered still: {e:#}"));
        }
    }
    for stanza in &wanted {
        let has_disk = known.get(&stanza.0);
        if has_disk == Some(&true) && before.contains(stanza) {
            continue;
        }
        done.steps.push(format!("offer {}", stanza.0));
        if lock.is_some() {
            // tgt was started before the pool was mounted.
            if has_disk == Some(&false) {
                tgt_admin(&["--delete", &stanza.0])?;
            }
            tgt_admin(&["--update", &stanza.0])?;
        }
    }
    Ok(())
}

/// Fails if tgt, which runs, does not offer a target.
pub fn ensure_known(pool: &Pool, target: &Target) -> Result<()> {
    match known(pool)? {
        Some(known) if known.get(&target.name) != Some(&true) => {
            bail!("tgt does not offer {}", target.name)
        }
        _ => Ok(()),
    }
}

/// Returns the pool's targets that tgt offers, and whether each has its disk; `None` where it does not run.
fn known(pool: &Pool) -> Result<Option<BTreeMap<String, bool>>> {
    let output = Command::new("tgtadm")
        .args(["--lld", "iscsi", "--op", "show", "--mode", "target"])
        .output()
        .context("running tgtadm")?;
    if !output.status.success() {
        return Ok(None);
    }
    let start = iscsi_names::of_pool(&pool.record().uuid);
    let mut known = known_in(&String::from_utf8_lossy(&output.stdout));
    known.retain(|name, _| name.starts_with(&start));
    Ok(Some(known))
}

/// Returns the targets in what tgtadm(8) shows, and whether each has a disk.
fn known_in(text: &str) -> BTreeMap<String, bool> {
    let mut known = BTreeMap::new();
    let mut last = None;
    for line in text.lines() {
        if let Some((_, name)) = line
            .strip_prefix("Target ")
            .and_then(|rest| rest.split_once(": "))
        {
            known.insert(name.trim().to_string(), false);
            last = Some(name.trim().to_string());
        }
        let path = line.trim().strip_prefix("Backing store path: ");
        if let (Some(name), Some(true)) = (&last, path.map(|path| path.starts_with('/'))) {
            known.insert(name.clone(), true);
        }
    }
    known
}

fn stands() -> String {
    let unit = UNITS
        .into_iter()
        .find(|unit| systemd::unit_is("is-enabled", unit));
    let unit = unit.unwrap_or(UNITS[0]);
    format!("tgt does not run, and nodes cannot reach their disks: systemctl enable --now {unit}")
}

fn tgt_admin(arguments: &[&str]) -> Result<()> {
    systemd::run(Command::new("tgt-admin").args(arguments))
}

fn installed(pool: &Pool) -> PathBuf {
    let short = pool.record().uuid.get(..8).unwrap_or("other");
    Path::new(CONF_D).join(format!("netbe-{short}.conf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_was_made_without_the_pool_has_no_disk() {
        let shown = "Target 1: iqn.a\n    LUN information:\n        LUN: 0\n            Backing store path: None\n        LUN: 1\n            \
                     Backing store path: /srv/netbe/nodes/nog/envs/a/root/disk.img\nTarget 2: iqn.b\n        LUN: 0\n            \
                     Backing store path: None\n    ACL information:\n        ALL\n";
        let want = [("iqn.a".to_string(), true), ("iqn.b".to_string(), false)];
        assert_eq!(known_in(shown), want.into());
    }
}
