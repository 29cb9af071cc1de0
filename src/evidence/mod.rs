//! The evidence of what a node runs.
//!
//! An environment runs, does not run, or may be running, which counts as running wherever something could be lost. That
//! it does not run needs proof: see [`judgement`]. An environment that the NFS server has in use always may be running.
//! Reads only.

pub mod boots;
pub mod client;
pub mod first_fetches;
mod gather;
pub mod judgement;
pub mod machine_fetches;
pub mod machines;
pub mod nfs_use;
pub mod nfsd;
mod of_several;
mod report_file;
pub mod reports;
pub mod this_machine;
mod transfers_recorded;

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::boot::report::Report;
use crate::pool::pending::PendingBoot;
use crate::pool::{EnvName, Environment, Node, layout};
use boots::{How, Seen};
use client::Whose;
use judgement::{Facts, Until};
use nfsd::Look;
pub use of_several::Machine;
pub use transfers_recorded::transfers_recorded;

/// The evidence of one node.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    offered: bool,
    /// The environment that the node last ran, with proof.
    runs: Option<Running>,
    /// The recorded events, oldest first.
    seen: Vec<Seen>,
    proofs: Vec<Seen>,
    /// The environments the NFS server has in use.
    in_use: Vec<EnvName>,
    /// Those of them that the node has not provably left.
    not_left: Vec<EnvName>,
    /// Why the table could not be read, if so.
    unread: Option<String>,
    /// The node's pending boot.
    pending: Option<PendingBoot>,
    /// Whether its root is on its own disk, so that it has no exports.
    own_disk: bool,
    /// The machines of a node with several, which boot an environment with a read-only root at once.
    machines: Vec<Machine>,
    /// Whether machines that no property names boot it.
    for_any: bool,
    /// Whether the machines with recorded fetches cannot be listed.
    unlisted: bool,
    /// The root of this machine, if it is the node.
    this_machine: Option<this_machine::Root>,
}

/// The environment that a node runs, and the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The environment, the latest possible start, and the evidence.
    pub seen: Seen,
    /// The node's report.
    pub report: Option<Report>,
}

impl Evidence {
    /// Returns the evidence of a node, with the NFS server's tables of at most half a second ago.
    pub fn recent(node: &Node) -> Self {
        Self::with(node, Look::Recent)
    }

    /// Returns the evidence of a node as of now, for a change of an environment that it may run.
    pub fn now(node: &Node) -> Self {
        Self::with(node, Look::Now)
    }

    /// Returns the environment that the node runs, if known.
    pub fn running(&self) -> Option<&Running> {
        self.runs.as_ref()
    }

    /// Returns the last transfer that may have come from the node, which proves nothing.
    pub fn fetched(&self) -> Option<&Seen> {
        let mut transfers = self.seen.iter().filter(|s| s.how == How::Tftp);
        transfers.rfind(|s| s.may_be_its())
    }

    /// Returns whether the node runs an environment; `None` if it may be running it.
    pub fn booted(&self, env: &Environment) -> Option<bool> {
        if let Some(root) = &self.this_machine {
            return root.is(env);
        }
        if !self.is_used(env) && self.has_left(env) {
            return Some(false);
        }
        self.is_known_to_run(env).then_some(true)
    }

    /// Returns whether the NFS server has an environment in use, or its tables cannot be read.
    pub fn is_used(&self, env: &Environment) -> bool {
        self.in_use.contains(&env.name) || (self.unread.is_some() && self.offered)
    }

    /// Returns why the NFS server's tables could not be read, if so.
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// Returns whether the node is known not to run an environment, apart from NFS use.
    ///
    /// The names never led to it; or its node has no names and no exports; or the node has provably left it.
    pub fn has_left(&self, env: &Environment) -> bool {
        if let Some(root) = &self.this_machine {
            return root.is(env) == Some(false);
        }
        if !self.offered {
            return true;
        }
        if self.is_of_several(env) {
            return self.all_have_left(env);
        }
        let its = |seen: &&Seen| is_of(seen, env) && seen.may_be_its();
        let seen = self.seen.iter().filter(its).map(|s| s.time).max();
        let (own, elsewhere): (Vec<&Seen>, Vec<&Seen>) =
            self.proofs.iter().partition(|proof| is_of(proof, env));
        let facts = Facts {
            until: self.until(env),
            seen: seen.max(own.iter().map(|proof| proof.time).max()),
            known_boot_ids: self.known_boot_ids(env),
            watched: self.is_watched(),
        };
        // After fetching its kernel, such a node uses nothing from this server.
        let fetches = matches!(facts.until, Until::Now(_) | Until::Unknown);
        (self.own_disk && !fetches) || !judgement::may_run(facts, elsewhere)
    }

    /// Returns the boot IDs that do not prove that an environment was left.
    fn known_boot_ids<'a>(&'a self, env: &'a Environment) -> &'a [String] {
        let pending = self.pending.as_ref().filter(|b| b.env == env.name);
        match (pending.filter(|b| !b.is_waiting()), &env.record) {
            (Some(boot), _) => &boot.known_boot_ids,
            (None, Some(record)) => &record.known_boot_ids,
            (None, None) => &[],
        }
    }

    fn until(&self, env: &Environment) -> Until {
        let Some(record) = &env.record else {
            return Until::Unknown;
        };
        let pending = self.pending.as_ref().filter(|b| b.env == env.name);
        let past = record.left.max(record.withdrawn);
        match pending {
            _ if env.active => Until::Now(past),
            Some(boot) if boot.is_waiting() => Until::Now(past),
            Some(boot) => boot.withdrawn.map_or(Until::Unknown, |time| {
                Until::Past(past.max(Some(time)).unwrap_or(time))
            }),
            // It may have been active while the node had no names.
            None if !record.served => Until::Never,
            None => past.map_or(Until::Unknown, Until::Past),
        }
    }

    /// Returns whether there is proof that the node ran another environment after a time, by a boot ID not in `known_boot_ids`.
    pub fn was_elsewhere(
        &self,
        env: &Environment,
        since: Timestamp,
        known_boot_ids: &[String],
    ) -> bool {
        let news = |p: &Seen| {
            p.boot_id
                .as_ref()
                .is_some_and(|id| !known_boot_ids.contains(id))
        };
        self.proofs
            .iter()
            .any(|p| !is_of(p, env) && p.time > since && news(p))
    }

    /// Returns whether the NFS server has another environment in use.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn others_in_use(&self, env: &Environment) -> io::Result<bool> {
        match &self.unread {
            Some(why) => Err(io::Error::other(format!(
                "the NFS server's tables cannot be read: {why}"
            ))),
            None => Ok(self.in_use.iter().any(|name| *name != env.name)),
        }
    }

    /// Returns whether the node's fetches are observed: only if one from its own address was. Transfers of others do
    /// not prove that the node fetches from this server.
    fn is_watched(&self) -> bool {
        self.seen
            .iter()
            .any(|s| s.how == How::Tftp && s.whose == Some(Whose::Its))
    }

    /// Returns whether an environment runs: there is proof, and no later event of another.
    fn is_known_to_run(&self, env: &Environment) -> bool {
        if self.is_of_several(env) {
            let reports = self
                .machines
                .iter()
                .filter_map(|machine| machine.report.as_ref());
            let mut its = reports.filter(|its| its.env == env.name.as_str());
            return its.any(|its| reports::is_of_a_boot(env, its.time, &its.report));
        }
        let Some(runs) = &self.runs else {
            return false;
        };
        if !is_of(&runs.seen, env) {
            return false;
        }
        match self.not_left.as_slice() {
            [] => {
                let later = |s: &Seen| s.time > runs.seen.time && s.may_be_its() && !is_of(s, env);
                !self.seen.iter().any(later)
            }
            [one] => *one == env.name,
            _ => false,
        }
    }
}

/// Returns whether the NFS server has an environment in use now.
///
/// # Errors
/// When the tables cannot be read.
pub fn is_in_use(node: &Node, env: &EnvName) -> io::Result<bool> {
    Ok(in_use(node, Look::Now)?.contains(env))
}

/// Returns whether the NFS server still has something below a directory with exports in use, which the node has provably
/// left, after dropping old entries. Takes seconds if it had an entry.
///
/// # Errors
/// When the tables cannot be read.
pub fn is_used_still(dir: &Path) -> io::Result<bool> {
    Ok(!nfsd::in_use_below(dir, Look::Now)?.is_empty() && nfsd::comes_back(dir)?)
}

/// Returns the environments of a node of which the NFS server has a half in use.
///
/// # Errors
/// When the tables cannot be read.
pub fn in_use(node: &Node, look: Look) -> io::Result<Vec<EnvName>> {
    let envs = node.dir.join(layout::ENVS);
    let mut names: Vec<EnvName> = nfsd::in_use_below(&envs, look)?
        .iter()
        .filter_map(|path| path.strip_prefix(&envs).ok()?.iter().next()?.to_str())
        .filter_map(|name| name.parse().ok())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Returns whether an event is of an environment.
pub fn is_of(seen: &Seen, env: &Environment) -> bool {
    seen.env == env.name.as_str()
        && match (seen.uuid.as_deref(), env.uuid()) {
            (Some(seen), Some(env)) => seen == env,
            _ => true,
        }
}
