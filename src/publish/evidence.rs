//! What is known of what a node runs.
//!
//! Three answers: it runs this, it does not, it cannot be told; and the last counts as the first wherever
//! safety is at stake. Best evidence first: the node's own report in its root, the NFS server's tables,
//! the last kernel fetched over TFTP. Reads only.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::boots::{self, How, Seen};
use super::nfsd;
use super::reports;
use crate::boot::report::Report;
use crate::pool::pending::{Pending, PendingBoot};
use crate::pool::{EnvName, Environment, Node, layout};

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct Evidence {
    offered: bool,
    runs: Option<Running>,
    /// Environments it may have booted, where something was seen that does not tell which, and when.
    doubtful: Vec<(String, Timestamp)>,
    /// Since when what was not seen did not happen, UTC.
    last: Option<Timestamp>,
    /// Whether transfers are seen at all: then one that was not seen was none.
    watched: bool,
    /// The environments the NFS server has in use.
    mounted: Vec<EnvName>,
    /// Whether that could not be told.
    unread: bool,
    /// What is before the node for once or on trial.
    pending: Option<PendingBoot>,
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
    /// Reads what was recorded of a node.
    pub fn of(node: &Node) -> Self {
        // Who asks for it is not known where its record is lost: somebody may.
        let offered = node.is_offered() || node.lost;
        let mut evidence = Self {
            offered,
            runs: None,
            doubtful: Vec::new(),
            last: None,
            watched: false,
            mounted: Vec::new(),
            unread: false,
            pending: None,
        };
        if !offered {
            return evidence;
        }
        let seen = boots::read(&node.state);
        evidence.judge_transfers(&seen);
        let pending = Pending::of(&node.state);
        evidence.pending = pending.boot().cloned();
        let mut names: Vec<EnvName> = node.active.iter().cloned().collect();
        names.extend(pending.boot().map(|b| b.env.clone()));
        names.extend(evidence.runs.iter().filter_map(|r| r.env.parse().ok()));
        names.sort();
        names.dedup();
        for name in names {
            evidence.judge_report(node, &name);
        }
        match mounted(node) {
            Ok(mounted) => evidence.mounted = mounted,
            Err(_) => evidence.unread = true,
        }
        evidence.judge_mounts(node);
        evidence
    }

    /// Takes the last boot there was, and what is not certain about it.
    ///
    /// A transfer is told of at its end, and by then the names may lead elsewhere: to which environment a
    /// file belonged is certain only where the one before it was of the same.
    fn judge_transfers(&mut self, seen: &[Seen]) {
        self.watched = seen.iter().any(|s| s.how == How::Tftp);
        let Some(last) = seen.iter().rposition(Seen::is_boot) else {
            self.doubt(seen.iter().map(|s| (s.env.clone(), s.time)));
            return;
        };
        let boot = &seen[last];
        self.last = Some(boot.time);
        let before = last.checked_sub(1).map(|i| &seen[i]);
        let certain = boot.file.is_none() || before.is_some_and(|b| b.is_of_same(boot));
        if certain {
            self.runs = Some(Running {
                env: boot.env.clone(),
                uuid: boot.uuid.clone(),
                time: boot.time,
                how: boot.how,
                report: None,
            });
        } else {
            let either = before.into_iter().chain([boot]);
            self.doubt(either.map(|s| (s.env.clone(), boot.time)));
        }
        // It is on its way into something else, or was stopped there.
        let later = seen[last..].iter().filter(|s| !s.is_of_same(boot));
        self.doubt(later.map(|s| (s.env.clone(), s.time)));
    }

    /// Takes a report that is as new as what was seen, or newer.
    fn judge_report(&mut self, node: &Node, name: &EnvName) {
        let root = node.dir.join(layout::ENVS).join(name.as_str());
        let Some((time, report)) = reports::in_root(&root.join(layout::ROOT)) else {
            return;
        };
        if self.last.is_some_and(|last| time < last) {
            return;
        }
        self.doubtful.retain(|(_, seen)| *seen > time);
        self.last = Some(time);
        let env = Environment::observe(node, name).ok().flatten();
        self.runs = Some(Running {
            env: name.to_string(),
            uuid: env.and_then(|e| e.record).map(|r| r.uuid),
            time,
            how: How::Report,
            report: Some(report),
        });
    }

    /// Takes what is mounted for what runs, where nothing that was seen says otherwise.
    fn judge_mounts(&mut self, node: &Node) {
        let last = self.last;
        let runs = self.runs.as_ref().map(|r| r.env.clone());
        let others = self
            .mounted
            .iter()
            .filter(|name| runs.as_deref() != Some(name.as_str()));
        // What had been left before the last boot that was seen is only an entry that has yet to expire.
        let now = Timestamp::now();
        let (mut newer, mut unread) = (Vec::new(), Vec::new());
        for name in others {
            match Environment::observe(node, name) {
                Ok(env) => newer.extend(env.filter(|e| e.active || led_to_since(e, last))),
                Err(_) => unread.push((name.to_string(), now)),
            }
        }
        let seen_running = self.mounted.len() > newer.len() + unread.len()
            && self
                .mounted
                .iter()
                .any(|m| runs.as_deref() == Some(m.as_str()));
        self.doubt(unread);
        match (&mut self.runs, newer.as_slice()) {
            (Some(running), _) if seen_running => {
                if running.how == How::Tftp {
                    running.how = How::Nfs;
                }
                self.doubt(newer.iter().map(|e| (e.name.to_string(), now)));
            }
            (_, [env]) => {
                // It was booted unseen: what was seen last is not certain any more.
                self.doubt(runs.into_iter().map(|name| (name, now)));
                self.runs = Some(Running {
                    env: env.name.to_string(),
                    uuid: env.uuid().map(str::to_string),
                    time: now,
                    how: How::Nfs,
                    report: None,
                });
            }
            (_, several) => self.doubt(several.iter().map(|e| (e.name.to_string(), now))),
        }
    }

    fn doubt(&mut self, more: impl IntoIterator<Item = (String, Timestamp)>) {
        self.doubtful.extend(more);
    }

    /// Returns what the node runs, where that is known.
    pub fn running(&self) -> Option<&Running> {
        self.runs.as_ref()
    }

    /// Returns whether the node runs an environment; `None` where it cannot be told.
    ///
    /// Known not to: one that no machine was ever led to; one of a node that nobody can ask for (it has
    /// no names and no exports); one that machines were not led to any more when another was seen to boot;
    /// and the one they are led to now, where every transfer is seen and none of it was.
    pub fn booted(&self, env: &Environment) -> Option<bool> {
        let record = env.record.as_ref();
        let pending = self.pending.as_ref().filter(|b| b.env == env.name);
        let waiting = pending.is_some_and(PendingBoot::is_waiting);
        if !self.offered || record.is_some_and(|r| !r.served && !env.active && pending.is_none()) {
            return Some(false);
        }
        if let Some(runs) = &self.runs
            && runs.env == env.name.as_str()
            && same(runs.uuid.as_deref(), env.uuid())
        {
            return Some(true);
        }
        if self.unread || self.doubtful.iter().any(|(d, _)| d == env.name.as_str()) {
            return None;
        }
        self.last?;
        if env.active || waiting {
            // Without that it may have been booted since, unseen.
            return self.watched.then_some(false);
        }
        let withdrawn = pending.and_then(|b| b.withdrawn);
        let led = match (withdrawn, self.last) {
            (Some(until), Some(last)) => until >= last,
            _ => led_to_since(env, self.last),
        };
        (!led || self.is_elsewhere(env)).then_some(false)
    }

    /// Returns whether the NFS server knows the node to be in another environment than this.
    ///
    /// Entries expire, or are flushed, no later than younger ones: while that of what was seen running
    /// lives, one of an environment mounted after it would.
    fn is_elsewhere(&self, env: &Environment) -> bool {
        let mounted = |name: &str| self.mounted.iter().any(|m| m.as_str() == name);
        self.runs.as_ref().is_some_and(|r| mounted(&r.env)) && !mounted(env.name.as_str())
    }
}

/// Returns whether two identities are one, as far as both are known.
fn same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// Returns whether machines may have been led to an environment after a time; unknown is yes.
fn led_to_since(env: &Environment, time: Option<Timestamp>) -> bool {
    let Some(record) = &env.record else {
        return true;
    };
    match (time, record.left.max(record.withdrawn)) {
        (Some(time), Some(until)) => until >= time,
        _ => record.served,
    }
}

/// Returns whether the NFS server has an environment's root in use.
///
/// # Errors
/// When that cannot be told.
pub fn is_mounted(node: &Node, env: &EnvName) -> io::Result<bool> {
    Ok(mounted(node)?.contains(env))
}

/// Returns the environments of a node whose roots the NFS server has in use.
fn mounted(node: &Node) -> io::Result<Vec<EnvName>> {
    let envs = node.dir.join(layout::ENVS);
    let mut names: Vec<EnvName> = nfsd::in_use_below(&envs)?
        .iter()
        .filter_map(|path| name_of_root(path.strip_prefix(&envs).ok()?))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn name_of_root(path: &Path) -> Option<EnvName> {
    let half = path.file_name()?;
    let name = path.parent()?.to_str()?;
    (half == layout::ROOT).then(|| name.parse().ok())?
}
