//! Gathering a node's evidence: recorded events, reports, and the NFS server's tables.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

use super::boots::{self, How, Seen};
use super::machines::MachineReport;
use super::nfsd::Look;
use super::this_machine::{self, Root};
use super::{Evidence, Machine, Running, in_use, is_of, machine_fetches, machines, reports};
use crate::boot::report;
use crate::pool::pending::Pending;
use crate::pool::{EnvName, Environment, Node, properties};

impl Evidence {
    /// Returns the evidence of a node.
    pub(super) fn with(node: &Node, look: Look) -> Self {
        if node.is_this_machine {
            return Self::of_this_machine(node);
        }
        let (in_use, unread) = match in_use(node, look) {
            Ok(names) => (names, None),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        let mut evidence = Self {
            // If its record is lost, its MAC addresses are not known: machines may boot it.
            offered: node.is_offered() || node.lost,
            in_use,
            unread,
            own_disk: has_own_disk(node),
            for_any: node.is_for_any(),
            ..Self::default()
        };
        if !evidence.offered {
            return evidence;
        }
        evidence.seen = boots::read(&node.state);
        let pending = Pending::read(&node.state);
        evidence.pending = pending.boot().cloned();
        evidence.take_proofs_seen();
        let mut names: Vec<EnvName> = node.active.iter().cloned().collect();
        names.extend(pending.boot().map(|b| b.env.clone()));
        names.dedup();
        // Read once: a node can have thousands of machines.
        let of_machines = machines::reports(&node.dir);
        for name in names {
            evidence.take_report(node, &name, &of_machines);
        }
        evidence.not_left = evidence.in_use_and_not_left(node);
        evidence.take_sole_use(node);
        (evidence.machines, evidence.unlisted) = of_several(node, of_machines);
        evidence
    }

    /// Returns the evidence of the node that netbe runs on.
    fn of_this_machine(node: &Node) -> Self {
        let root = Root::look();
        let envs = node.environments().unwrap_or_default();
        let runs = envs.iter().find(|env| root.is(env) == Some(true));
        let since = this_machine::started().unwrap_or_default();
        let seen = runs.map(|env| Seen::of(env, How::Root, since));
        Self {
            runs: seen.map(|seen| Running { seen, report: None }),
            this_machine: Some(root),
            ..Self::default()
        }
    }

    /// Returns the environments in use, except those that the node has provably left: the NFS server keeps entries for
    /// half an hour after a reboot.
    fn in_use_and_not_left(&self, node: &Node) -> Vec<EnvName> {
        let stays = |name: &&EnvName| match Environment::observe(node, name) {
            Ok(Some(env)) => !self.has_left(&env),
            _ => true,
        };
        self.in_use.iter().filter(stays).cloned().collect()
    }

    /// Adds the recorded reports and long-term NFS uses.
    fn take_proofs_seen(&mut self) {
        for seen in self.seen.iter().filter(|seen| seen.how != How::Tftp) {
            self.proofs.push(seen.clone());
            if self.runs.as_ref().is_none_or(|r| r.seen.time <= seen.time) {
                self.runs = Some(Running {
                    seen: seen.clone(),
                    report: None,
                });
            }
        }
    }

    /// Adds an environment's current report.
    fn take_report(&mut self, node: &Node, name: &EnvName, of_machines: &[MachineReport]) {
        let Some((time, report)) = reports::last_of(&node.dir, name, of_machines) else {
            return;
        };
        let Ok(Some(env)) = Environment::observe(node, name) else {
            return;
        };
        if let Some(runs) = &mut self.runs
            && is_of(&runs.seen, &env)
            && self
                .proofs
                .iter()
                .any(|p| p.boot_id.as_ref() == Some(&report.boot_id))
        {
            // A report of an environment that the names do not lead to was recorded when they changed.
            runs.report = Some(report);
            return;
        }
        if !reports::is_of_a_boot(&env, time, &report) {
            return;
        }
        let seen = Seen {
            boot_id: Some(report.boot_id.clone()),
            ..Seen::of(&env, How::Report, time)
        };
        self.proofs.push(seen.clone());
        if self.runs.as_ref().is_none_or(|r| r.seen.time <= time) {
            self.runs = Some(Running {
                seen,
                report: Some(report),
            });
        }
    }

    /// Counts the only environment in use over NFS as running, unless there is proof that it was left.
    fn take_sole_use(&mut self, node: &Node) {
        let [name] = self.in_use.as_slice() else {
            return;
        };
        if self
            .runs
            .as_ref()
            .is_some_and(|r| r.seen.env == name.as_str())
        {
            return;
        }
        let Ok(Some(env)) = Environment::observe(node, name) else {
            return;
        };
        if !self.has_left(&env) {
            self.runs = Some(Running {
                seen: Seen::of(&env, How::Nfs, Timestamp::now()),
                report: None,
            });
        }
    }
}

/// Returns the machines of a node with several MAC addresses, or with `mac=any`, each with its last report; empty for a node
/// with a single address. Then whether some of them are unknown.
fn of_several(node: &Node, reports: Vec<MachineReport>) -> (Vec<Machine>, bool) {
    let named: Vec<String> = properties::addresses(&node.record)
        .map(|mac| mac.replace(':', "-"))
        .collect();
    if named.len() < 2 && !node.is_for_any() {
        return (Vec::new(), false);
    }
    let is_own_disk = |report: &MachineReport| report.machine == report::OWN_DISK;
    let mut reports: BTreeMap<String, MachineReport> = reports
        .into_iter()
        .filter(|report| !is_own_disk(report))
        .map(|report| (report.machine.clone(), report))
        .collect();
    let fetched = machine_fetches::read(&node.state);
    let unlisted = fetched.is_err();
    let mut fetched: BTreeMap<_, _> = fetched.unwrap_or_default().into_iter().collect();
    // A machine that no property names, or names no longer, may still be running.
    let others: BTreeSet<String> = reports.keys().chain(fetched.keys()).cloned().collect();
    let is_named: HashSet<String> = named.iter().cloned().collect();
    let others = others.into_iter().filter(|name| !is_named.contains(name));
    let mut machine = |name: String, named: bool| Machine {
        report: reports.remove(&name),
        fetched: fetched.remove(&name).unwrap_or(Some(Vec::new())),
        name,
        named,
    };
    let mut all: Vec<Machine> = Vec::new();
    all.extend(named.into_iter().map(|name| machine(name, true)));
    all.extend(others.map(|name| machine(name, false)));
    (all, unlisted)
}

/// Returns whether a node's root is on its own disk.
fn has_own_disk(node: &Node) -> bool {
    let root = node.record.properties.get("root");
    root.is_some_and(|root| !root.is_empty() && root != "nfs")
}
