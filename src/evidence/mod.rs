//! What is known of what a node runs.
//!
//! Three answers: it runs this, it does not, it cannot be told; and the last counts as the first wherever
//! safety is at stake. That it does not is only said where there is proof: see [`judgement`]. What the NFS server has
//! in use is running, or may be, whatever else is known. Reads only.

pub mod boots;
pub mod client;
pub mod first_fetches;
mod gather;
pub mod judgement;
pub mod nfs_use;
pub mod nfsd;
pub mod reports;

use std::io;

use jiff::Timestamp;

use crate::boot::report::Report;
use crate::pool::pending::PendingBoot;
use crate::pool::{EnvName, Environment, Node, layout};
use boots::{How, Seen};
use client::Whose;
use judgement::{Facts, Proof, Until};
use nfsd::Look;

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct Evidence {
    offered: bool,
    /// What the node was seen to run last, with proof of it.
    runs: Option<Running>,
    /// What was seen of it, oldest first.
    seen: Vec<Seen>,
    proofs: Vec<Proof>,
    /// The environments the NFS server has in use.
    in_use: Vec<EnvName>,
    /// Those of them that the node has not left, as far as there is proof.
    not_left: Vec<EnvName>,
    /// Whether that could not be told.
    unread: bool,
    /// What is before the node for once or on trial.
    pending: Option<PendingBoot>,
    /// Whether its root is on its own disk, and nothing of it is exported.
    own_disk: bool,
}

/// What a node runs, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The environment, by name.
    pub env: String,
    /// Its identity, where that was written down.
    pub uuid: Option<String>,
    /// Since when at the latest, UTC.
    pub time: Timestamp,
    /// How it is known.
    pub how: How,
    /// What the node said of itself.
    pub report: Option<Report>,
}

impl Evidence {
    /// Returns what is known of a node; what the NFS server says of it as of half a second ago at most.
    pub fn recent(node: &Node) -> Self {
        Self::with(node, Look::Recent)
    }

    /// Returns what is known of a node this moment, for who is about to change or take away what it may run.
    pub fn now(node: &Node) -> Self {
        Self::with(node, Look::Now)
    }

    /// Returns what the node runs, where that is known.
    pub fn running(&self) -> Option<&Running> {
        self.runs.as_ref()
    }

    /// Returns the last transfer that may have been the node's: no proof of anything.
    pub fn fetched(&self) -> Option<&Seen> {
        let mut transfers = self.seen.iter().filter(|s| s.how == How::Tftp);
        transfers.rfind(|s| s.may_be_its())
    }

    /// Returns whether the node runs an environment; `None` where it cannot be told.
    pub fn booted(&self, env: &Environment) -> Option<bool> {
        if !self.is_used(env) && self.has_left(env) {
            return Some(false);
        }
        self.is_known_to_run(env).then_some(true)
    }

    /// Returns whether the NFS server has an environment in use, or it cannot be told that it has not.
    pub fn is_used(&self, env: &Environment) -> bool {
        self.in_use.contains(&env.name) || (self.unread && self.offered)
    }

    /// Returns whether the node is known not to run an environment, but for what the NFS server may have in use.
    ///
    /// One that no machine was ever led to; one of a node that nobody can ask for (it has no names and no exports);
    /// and one that the node has left, with proof of it.
    pub fn has_left(&self, env: &Environment) -> bool {
        if !self.offered {
            return true;
        }
        let its = |seen: &&Seen| is_of(seen, env) && seen.may_be_its();
        let seen = self.seen.iter().filter(its).map(|s| s.time).max();
        let (own, elsewhere): (Vec<&Proof>, Vec<&Proof>) =
            self.proofs.iter().partition(|proof| is_in(proof, env));
        let facts = Facts {
            until: self.until(env),
            seen: seen.max(own.iter().map(|proof| proof.time).max()),
            told: self.told(env),
            watched: self.is_watched(),
        };
        // Of such a node nothing runs from here, once it has fetched its kernel.
        let fetches = matches!(facts.until, Until::Now(_) | Until::Unknown);
        (self.own_disk && !fetches) || !judgement::may_run(facts, elsewhere)
    }

    /// Returns the boots that do not tell that an environment was left.
    fn told<'a>(&'a self, env: &'a Environment) -> &'a [String] {
        let pending = self.pending.as_ref().filter(|b| b.env == env.name);
        match (pending.filter(|b| !b.is_waiting()), &env.record) {
            (Some(boot), _) => &boot.told,
            (None, Some(record)) => &record.told,
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
            // It may have been active while nobody could ask for the node.
            None if !record.served => Until::Never,
            None => past.map_or(Until::Unknown, Until::Past),
        }
    }

    /// Returns whether there is proof that the node was in another environment than this after a time, by a boot that
    /// is none of those `told`.
    pub fn was_elsewhere(&self, env: &Environment, since: Timestamp, told: &[String]) -> bool {
        let news = |p: &Proof| p.boot_id.as_ref().is_some_and(|id| !told.contains(id));
        self.proofs
            .iter()
            .any(|p| !is_in(p, env) && p.time > since && news(p))
    }

    /// Returns whether the NFS server has an environment in use other than this.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn others_in_use(&self, env: &Environment) -> io::Result<bool> {
        match self.unread {
            true => Err(io::Error::other(
                "what the NFS server has in use cannot be read",
            )),
            false => Ok(self.in_use.iter().any(|name| *name != env.name)),
        }
    }

    /// Returns whether what the node fetches is seen: only where it was, from its own address. Somebody else's
    /// transfers do not tell that the node fetches here too.
    fn is_watched(&self) -> bool {
        self.seen
            .iter()
            .any(|s| s.how == How::Tftp && s.whose == Some(Whose::Its))
    }

    /// Returns whether an environment is what runs: it was with proof, and nothing seen since lets it be another.
    fn is_known_to_run(&self, env: &Environment) -> bool {
        let Some(runs) = &self.runs else {
            return false;
        };
        if !is_in_same(runs, env) {
            return false;
        }
        match self.not_left.as_slice() {
            [] => {
                let later = |s: &Seen| s.time > runs.time && s.may_be_its() && !is_of(s, env);
                !self.seen.iter().any(later)
            }
            [one] => *one == env.name,
            _ => false,
        }
    }
}

fn is_in_same(runs: &Running, env: &Environment) -> bool {
    runs.env == env.name.as_str() && same(runs.uuid.as_deref(), env.uuid())
}

/// Returns whether a proof is of an environment, and not of another that had its name.
fn is_in(proof: &Proof, env: &Environment) -> bool {
    proof.env == env.name.as_str() && same(proof.uuid.as_deref(), env.uuid())
}

/// Returns whether two identities are one, as far as both are known.
fn same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// Returns whether the NFS server has an environment in use, this moment.
///
/// # Errors
/// When that cannot be told.
pub fn is_in_use(node: &Node, env: &EnvName) -> io::Result<bool> {
    Ok(in_use(node, Look::Now)?.contains(env))
}

/// Returns whether the NFS server has an environment in use that the node has left, with proof of it: or only had, and
/// has yet to forget it. Takes seconds where it had.
///
/// # Errors
/// When that cannot be told.
pub fn is_used_still(env: &Environment) -> io::Result<bool> {
    Ok(!nfsd::in_use_below(&env.dir, Look::Now)?.is_empty() && nfsd::comes_back(&env.dir)?)
}

/// Returns the environments of a node of which the NFS server has a half in use.
///
/// # Errors
/// When that cannot be told.
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

/// Returns whether something that was seen is of an environment.
pub fn is_of(seen: &Seen, env: &Environment) -> bool {
    seen.env == env.name.as_str()
        && match (seen.uuid.as_deref(), env.uuid()) {
            (Some(seen), Some(env)) => seen == env,
            _ => true,
        }
}
