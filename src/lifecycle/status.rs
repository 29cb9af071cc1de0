//! The state of nodes for `status`: active environment, running environment with the evidence, pending boot, problems.
//!
//! Reads only. Not for verifying environments, which `check` does.

mod machines;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::activate;
use super::behind_template::{Behind, Line, Templates};
use super::data::old_place::{self, OldPlace};
use super::left_behind::{self, AsOf, LeftBehind};
use super::on_card::{self, CardState};
use super::on_disk::{self, DiskState};
use super::parting::Known;
use crate::evidence::Evidence;
use crate::evidence::boots::How;
use crate::evidence::this_machine;
use crate::fs::interrupt;
use crate::pool::pending::{Kind, Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeName, Pool, data_store, node};
use crate::publish::tftp;
use crate::staged::machine;
pub use machines::MachineState;
use machines::machines;

/// One node, as `status` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// Its name.
    pub node: String,
    /// Whether no machine boots it.
    pub template: bool,
    /// The active environment.
    pub active: Option<String>,
    /// The environments it runs or may be running.
    pub booted: Booted,
    /// Its machines, where several boot the same read-only root.
    pub machines: Vec<MachineState>,
    /// The kind of a pending boot, as in `list`.
    pub pending: Option<Kind>,
    /// The pending boot or trial.
    pub pending_boot: Option<PendingState>,
    /// Whether a reboot would change what it runs; `None` if unknown.
    pub reboot_changes: Option<bool>,
    /// The files that it wrote in one environment and that the environment it boots next, or runs now, does not have; as of
    /// the filesystem's last commit.
    pub left_behind: Vec<LeftBehind>,
    /// The newer environment of its template, if it has one.
    pub behind_template: Option<Behind>,
    /// The paths that belong to it and not to its environments.
    pub data: Vec<String>,
    /// The files that it wrote in an environment at a place of its data, before it mounted that.
    pub old_places: Vec<OldPlace>,
    /// The environments whose roots are on its own disk, each with the disk: `first on PARTUUID=…`.
    pub on_disk: Vec<String>,
    /// Whether that disk has the active environment.
    pub disk: Option<DiskState>,
    /// The environment that its own card boots.
    pub card: Option<CardState>,
    /// Whether it is this machine itself, which boots from its own disk.
    pub is_this_machine: bool,
    /// Its TFTP names.
    pub names: Vec<String>,
    /// Its address: `dhcp` or a static one.
    pub ip: String,
    /// Its problems, a sentence each.
    pub problems: Vec<String>,
    /// The machine model, as in the property `model`, if known.
    pub model: Option<&'static str>,
    /// The machine model in words, and its source.
    #[serde(skip)]
    pub machine: Option<String>,
}

/// What a node runs, with the evidence.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Booted {
    /// The environment it runs, if known.
    pub known: Option<String>,
    /// The environments it may be running, if not.
    pub possible: Vec<String>,
    /// The latest possible start, UTC; if unknown, the last transfer.
    pub since: Option<Timestamp>,
    /// The evidence; `tftp` if it is only a transfer.
    pub how: Option<How>,
    /// The environment of the last transfer that may have been the node's.
    pub fetched: Option<String>,
    /// The running kernel, if the node reported it.
    pub kernel: Option<String>,
    /// The boot ID, if the node reported it.
    pub boot_id: Option<String>,
}

/// A pending boot or trial.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct PendingState {
    /// The environment.
    pub environment: String,
    /// Once, or on trial.
    pub kind: Kind,
    /// Whether it has not been fetched yet: the node's names lead to it.
    pub waiting: bool,
    /// Until when it must have reported, UTC; `None` before it was fetched.
    pub until: Option<Timestamp>,
}

/// Returns the state of these nodes; without any, of all. Then the failures: `NotFound` for a node that does not exist.
///
/// # Errors
/// When the pool cannot be read, or netbe was interrupted.
pub fn status(pool: &Pool, names: &[NodeName]) -> Result<(Vec<State>, Vec<anyhow::Error>)> {
    let templates = Templates::of(pool)?;
    if names.is_empty() {
        return Ok((all(pool, &templates)?, Vec::new()));
    }
    let state = |name| match state(pool, &templates, pool.node(name)?) {
        Some((_, state)) => Ok(state),
        None => Err(pool.no_node(name)),
    };
    let mut failures = Vec::new();
    let states = names.iter().map(state);
    let states = states.filter_map(|one| one.map_err(|e| failures.push(e)).ok());
    Ok((states.collect(), failures))
}

fn all(pool: &Pool, templates: &Templates) -> Result<Vec<State>> {
    let look = |name: &NodeName| match Node::observe(pool, name) {
        Some(node) => state(pool, templates, node).map(Ok),
        None => node::not_a_directory(pool, name).map(|why| Err((name.clone(), why))),
    };
    let (mut ours, mut states) = (Vec::new(), Vec::new());
    for one in pool.of_each_node(|names| names.iter().map(look).collect())? {
        match one {
            Ok(of_node) => ours.push(of_node),
            Err((name, why)) => states.push(state_of_non_node(&name, why)),
        }
    }
    interrupt::check()?;
    let ours = node::without_replaced(ours, |(node, _)| node);
    states.extend(ours.into_iter().map(|(_, state)| state));
    states.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(states)
}

/// Returns the state of a file or directory in a node's place that is no node: only problems.
fn state_of_non_node(name: &NodeName, why: String) -> State {
    State {
        node: name.to_string(),
        template: false,
        active: None,
        booted: Booted::default(),
        machines: Vec::new(),
        pending: None,
        pending_boot: None,
        reboot_changes: None,
        left_behind: Vec::new(),
        behind_template: None,
        data: Vec::new(),
        old_places: Vec::new(),
        on_disk: Vec::new(),
        disk: None,
        card: None,
        is_this_machine: false,
        names: Vec::new(),
        ip: "-".to_string(),
        problems: vec![why],
        model: None,
        machine: None,
    }
}

/// Returns the state of a node; `None` if it was removed meanwhile.
fn state(pool: &Pool, templates: &Templates, node: Node) -> Option<(Node, State)> {
    let (node, envs) = node.look()?;
    let mut problems = node.problems.clone();
    let envs = envs.unwrap_or_else(|e| {
        problems.push(format!("{e:#}"));
        Vec::new()
    });
    problems.extend(wrong_with(&node, &envs));
    let evidence = Evidence::recent(&node);
    let booted = booted(&evidence, &envs);
    let pending = Pending::read(&node.state);
    if let Pending::Unknown(_) = pending {
        problems.push(format!(
            "pending.json cannot be read, so its environments cannot be destroyed; netbe activate {} --cancel",
            node.name
        ));
    }
    let active = node.active.as_ref().map(ToString::to_string);
    let next = pending.waiting().map(|b| b.env.to_string());
    let next = next.or_else(|| active.clone());
    let boot = pending.boot();
    let left_behind = left_behind(pool, &node, &envs, next.as_deref()).unwrap_or_else(|e| {
        problems.push(format!("what is left behind is not known: {e:#}"));
        Vec::new()
    });
    let lines: Vec<Line<'_>> = envs.iter().map(Line::of).collect();
    let its_next = envs
        .iter()
        .find(|env| Some(env.name.as_str()) == next.as_deref());
    let behind_template = its_next.and_then(|env| templates.behind(Line::of(env), &lines));
    let old_places = old_place::of_node(&node, &envs).unwrap_or_else(|e| {
        problems.push(format!("what is not in its data is not known: {e:#}"));
        Vec::new()
    });
    for data in node.record.data.paths.iter().filter(|data| !data.off) {
        if !data_store::is_there(&node, &data.path).unwrap_or(true) {
            problems.push(format!("its data of {} is missing", data.path));
        }
    }
    let machine = machine(pool, &node.name, &node.record);
    let data = node.record.data.mounted();
    let state = State {
        node: node.name.to_string(),
        template: node.is_template(),
        machines: match node.has_several_machines(pool) {
            true => machines(&evidence, &envs, next.as_deref()),
            false => Vec::new(),
        },
        reboot_changes: booted
            .known
            .as_ref()
            .map(|known| Some(known) != next.as_ref()),
        left_behind,
        behind_template,
        data: data.map(ToString::to_string).collect(),
        old_places,
        on_disk: envs.iter().filter_map(on_disk::of).collect(),
        disk: on_disk::state(&node, &envs),
        card: on_card::state(&node, &envs),
        booted,
        pending: boot.map(|b| b.kind),
        pending_boot: boot.map(PendingState::new),
        active,
        is_this_machine: node.is_this_machine,
        names: match node.is_template() {
            true => Vec::new(),
            false => tftp::names(&node),
        },
        ip: match node.property(pool, "ip") {
            // What is set on it is not known.
            _ if node.is_this_machine || node.lost => "-".to_string(),
            ip => ip.unwrap_or_else(|| "dhcp".to_string()),
        },
        problems,
        model: machine.map(|machine| machine.model.name()),
        machine: machine.map(|machine| format!("{}, {}", machine.model, machine.by.words())),
    };
    Some((node, state))
}

/// Returns what a node would leave behind by its next boot; if it runs the environment that it boots next, what it has left
/// behind in the previous one.
fn left_behind(
    pool: &Pool,
    node: &Node,
    envs: &[Environment],
    next: Option<&str>,
) -> Result<Vec<LeftBehind>> {
    let Some(next) = envs.iter().find(|e| Some(e.name.as_str()) == next) else {
        return Ok(Vec::new());
    };
    let as_of = AsOf::LastCommit;
    let found = left_behind::by_booting(pool, node, next, as_of)?;
    match activate::previous_of(envs) {
        Some(before) if found.iter().all(|one| one.wrote_in != before.id()) => {
            let more = left_behind::between(&mut Known::new(pool), node, [before, next], as_of)?;
            Ok(found.into_iter().chain(more).collect())
        }
        _ => Ok(found),
    }
}

fn booted(evidence: &Evidence, envs: &[Environment]) -> Booted {
    let named = |want: Option<bool>| -> Vec<String> {
        envs.iter()
            .filter(|e| evidence.booted(e) == want)
            .map(|e| e.name.to_string())
            .collect()
    };
    let known = named(Some(true));
    if known.len() > 1 {
        // Several machines, which do not run the same environment.
        return Booted {
            possible: known,
            ..Booted::default()
        };
    }
    let known = known.into_iter().next();
    match (known, evidence.running()) {
        (Some(known), Some(running)) => Booted {
            known: Some(known),
            since: Some(running.seen.time),
            how: Some(running.seen.how),
            kernel: match running.seen.how {
                How::Root => this_machine::kernel(),
                _ => running.report.as_ref().and_then(|r| r.kernel.clone()),
            },
            boot_id: running.report.as_ref().map(|r| r.boot_id.clone()),
            fetched: evidence.fetched().map(|seen| seen.env.clone()),
            ..Booted::default()
        },
        _ => Booted {
            possible: named(None),
            since: evidence.fetched().map(|seen| seen.time),
            how: evidence.fetched().map(|seen| seen.how),
            fetched: evidence.fetched().map(|seen| seen.env.clone()),
            ..Booted::default()
        },
    }
}

impl PendingState {
    fn new(boot: &PendingBoot) -> Self {
        let within = boot.within.and_then(|s| i64::try_from(s).ok());
        let until = boot.fetched.zip(within).and_then(|(fetched, seconds)| {
            fetched.checked_add(SignedDuration::from_secs(seconds)).ok()
        });
        Self {
            environment: boot.env.to_string(),
            kind: boot.kind,
            waiting: boot.is_waiting(),
            until,
        }
    }
}

fn wrong_with(node: &Node, envs: &[Environment]) -> Vec<String> {
    let mut problems = Vec::new();
    for env in envs {
        problems.extend(env.problems.iter().map(|p| format!("{env}: {p}")));
    }
    match &node.active {
        None => problems.push("it has no active environment".to_string()),
        Some(name) if !envs.iter().any(|e| e.name == *name) => {
            problems.push(format!("its active environment {name} does not exist"));
        }
        Some(_) => {}
    }
    if !node.is_template() && !node.is_offered() && !node.is_this_machine && !node.lost {
        problems.push(
            "no machine can ask for it: it has neither a MAC address nor a serial".to_string(),
        );
    }
    problems
}
