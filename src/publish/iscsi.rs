//! Installing the targets into this machine's iSCSI server, and reading back its targets: tgt, else LIO.
//!
//! Each has a file that it reads when it starts. Only changed targets are applied at once, so a change for one machine does
//! not interrupt another's disk. Not for the content of the file.

mod lio;
mod saved;
mod tgt;

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, bail};

use super::iscsi_targets::{self as targets, Admission, Target};
use super::run::Publishing;
use crate::fs::{server_packages, systemd};
use crate::pool::Pool;

/// The programs that offer disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// A daemon, set up by tgt-admin(8).
    Tgt,
    /// The kernel's target, set up by rtslib.
    Lio,
}

impl Server {
    /// Returns the installed server: tgt if both are.
    fn found() -> Option<Self> {
        let has = |program| server_packages::require(program).is_ok();
        if has(tgt::PROGRAM) {
            return Some(Self::Tgt);
        }
        has(lio::PROGRAM).then_some(Self::Lio)
    }

    fn read(self, pool: &Pool) -> Result<String> {
        match self {
            Self::Tgt => tgt::read(pool),
            Self::Lio => lio::read(pool),
        }
    }

    /// Returns the pool's targets that it offers now, and whether each has its disk; `None` if it does not run.
    fn known(self, pool: &Pool) -> Result<Option<BTreeMap<String, bool>>> {
        match self {
            Self::Tgt => tgt::known(pool),
            Self::Lio => lio::known(pool),
        }
    }

    fn units(self) -> [&'static str; 2] {
        match self {
            Self::Tgt => tgt::UNITS,
            Self::Lio => lio::UNITS,
        }
    }
}

/// Returns how the installed server distinguishes machines, besides by a secret.
pub fn admission() -> Admission {
    match Server::found() {
        Some(Server::Lio) => Admission::Name,
        _ => Admission::Address,
    }
}

/// Returns the pool's file of targets; empty if there is none.
pub fn read(pool: &Pool) -> Result<String> {
    Server::found().map_or_else(|| tgt::read(pool), |server| server.read(pool))
}

/// Updates the pool's targets, and the server that offers them, to `text`.
pub fn bring_up_to_date(run: &mut Publishing<'_>, text: &str) -> Result<()> {
    let old = read(run.pool).unwrap_or_default();
    if old.is_empty() && text.is_empty() {
        return Ok(());
    }
    let wanted = targets::stanzas(text);
    let Some(server) = Server::found() else {
        if !wanted.is_empty() {
            run.warn(format!(
                "this machine offers no disks by iSCSI (no {}): nodes cannot reach their roots; {}, then netbe publish",
                tgt::PROGRAM,
                server_packages::install(tgt::PROGRAM)
            ));
        }
        return Ok(());
    };
    match server {
        Server::Tgt => tgt::save(run, &old, text)?,
        Server::Lio => lio::save(run, text)?,
    }
    let known = server.known(run.pool)?;
    if !wanted.is_empty() && systemd::is_running() {
        run.done.warnings.extend(stands(server, known.is_some()));
    }
    let Some(known) = known else {
        return Ok(());
    };
    let before: HashSet<_> = targets::stanzas(&old).into_iter().collect();
    let names: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let gone = known.keys().filter(|name| !names.contains(name.as_str()));
    let gone: Vec<&str> = gone.map(String::as_str).collect();
    let is_offered = |stanza: &&(String, String)| {
        known.get(&stanza.0) == Some(&true) && before.contains(*stanza)
    };
    let offer: Vec<_> = wanted.iter().filter(|s| !is_offered(s)).collect();
    let withdrawn = gone.iter().map(|name| format!("withdraw {name}"));
    let offered = offer.iter().map(|(name, _)| format!("offer {name}"));
    run.done.steps.extend(withdrawn.chain(offered));
    if !run.writes || gone.is_empty() && offer.is_empty() {
        return Ok(());
    }
    let result = match server {
        Server::Tgt => tgt::apply(&known, &gone, &offer),
        Server::Lio => lio::apply(&gone, &offer),
    };
    if let Err(e) = result {
        let what = "this machine's iSCSI server offers other disks than it should";
        run.warn(format!("{what}: {e:#}; netbe publish tries again"));
    }
    Ok(())
}

/// Fails if the iSCSI server, which runs, does not offer a target.
pub fn ensure_known(pool: &Pool, target: &Target) -> Result<()> {
    let known = Server::found()
        .map(|server| server.known(pool))
        .transpose()?;
    match known.flatten() {
        Some(known) if known.get(&target.name) != Some(&true) => {
            bail!("the iSCSI server does not offer {}", target.name)
        }
        _ => Ok(()),
    }
}

/// Returns why nodes cannot reach their disks, now or after the next start of this server, with the remedy.
fn stands(server: Server, runs: bool) -> Option<String> {
    let units = server.units();
    let enabled = units
        .into_iter()
        .find(|unit| systemd::unit_is("is-enabled", unit));
    let what = match (server, runs, enabled) {
        (_, false, _) => "the iSCSI server does not run, and nodes cannot reach their disks",
        // LIO has no daemon: its unit loads the targets into the kernel once.
        (Server::Lio, true, None) => "LIO offers no disks any more once this server is restarted",
        _ => return None,
    };
    let unit = enabled.unwrap_or(units[0]);
    Some(format!("{what}: systemctl enable --now {unit}"))
}
