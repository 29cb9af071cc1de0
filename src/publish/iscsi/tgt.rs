//! tgt, a daemon: its file under `/etc/tgt/conf.d`, which it reads when it starts, and tgt-admin(8).
//!
//! Machines are distinguished by their addresses and a secret (CHAP). No initiator name is configured: tgt would then admit a
//! machine that has either the address or the name, and a name can be forged (tried, 1.0.85).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::iscsi_names;
use super::super::run::Publishing;
use crate::fs::path_error::if_exists;
use crate::fs::systemd;
use crate::pool::Pool;

/// The program that configures it.
pub(super) const PROGRAM: &str = "tgt-admin";
/// The unit, on Debian and on Fedora.
pub(super) const UNITS: [&str; 2] = ["tgt.service", "tgtd.service"];
/// The directory whose `*.conf` files tgt-admin(8) reads.
const CONF_D: &str = "/etc/tgt/conf.d";

/// Returns the pool's file of targets; empty if there is none.
pub(super) fn read(pool: &Pool) -> Result<String> {
    let path = installed(pool);
    let text = if_exists(std::fs::read_to_string(&path))
        .with_context(|| format!("reading the iSCSI targets in {}", path.display()))?;
    Ok(text.unwrap_or_default())
}

/// Writes the pool's file of targets, if it differs from `old`.
pub(super) fn save(run: &mut Publishing<'_>, old: &str, text: &str) -> Result<()> {
    if old == text {
        return Ok(());
    }
    run.write_private(&installed(run.pool), text)
}

/// Returns the pool's targets that tgt offers, and whether each has its disk; `None` if it does not run.
pub(super) fn known(pool: &Pool) -> Result<Option<BTreeMap<String, bool>>> {
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

/// Withdraws targets, and loads others from the file; tgt has `known` now.
///
/// # Errors
/// The first failure: the other calls were made all the same.
pub(super) fn apply(
    known: &BTreeMap<String, bool>,
    gone: &[&str],
    offer: &[&(String, String)],
) -> Result<()> {
    let mut result = Ok(());
    let mut keep_first = |next: Result<()>| {
        if result.is_ok() {
            result = next;
        }
    };
    for name in gone {
        keep_first(tgt_admin(&["--delete", name]));
    }
    for (name, _) in offer {
        // A target without a disk: tgt was started before the pool was mounted.
        if known.get(name) == Some(&false) {
            keep_first(tgt_admin(&["--delete", name]));
        }
        keep_first(tgt_admin(&["--update", name]));
    }
    result
}

/// Returns the targets in the output of tgtadm(8), and whether each has a disk.
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

fn tgt_admin(arguments: &[&str]) -> Result<()> {
    systemd::run(Command::new(PROGRAM).args(arguments))
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
