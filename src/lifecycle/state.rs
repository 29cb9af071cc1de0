//! What `status` shows: for each node what it boots, what it runs, what is wrong.
//!
//! Reads only. Not for looking into environments: that is `check`.

use anyhow::Result;
use serde::Serialize;

use crate::pool::pending::Pending;
use crate::pool::{Node, NodeName, Pool};
use crate::publish::evidence::Evidence;
use crate::publish::tftp;

/// One node, as `status` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// Its name.
    pub node: String,
    /// Whether no machine boots it.
    pub template: bool,
    /// The environment it boots next.
    pub active: Option<String>,
    /// The environments it runs or may be running.
    pub booted: Booted,
    /// The environment it is to boot once or on trial.
    pub pending: Option<String>,
    /// Whether a reboot would change what it runs; nothing where it cannot be told.
    pub reboot_changes: Option<bool>,
    /// The names machines ask for it by.
    pub names: Vec<String>,
    /// Its address: `dhcp` or a static one.
    pub ip: String,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// What is known of what a node runs.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Booted {
    /// What it runs, where that is known.
    pub known: Option<String>,
    /// What it may be running, where it is not.
    pub possible: Vec<String>,
}

/// Returns the state of these nodes; of all without one.
pub fn status(pool: &Pool, names: &[NodeName]) -> Result<Vec<State>> {
    let nodes = match names.is_empty() {
        true => pool.nodes()?,
        false => names.iter().map(|n| pool.node(n)).collect::<Result<_>>()?,
    };
    nodes.iter().map(|n| of(pool, n)).collect()
}

fn of(pool: &Pool, node: &Node) -> Result<State> {
    let evidence = Evidence::of(node);
    let (envs, unread) = match node.environments() {
        Ok(envs) => (envs, None),
        Err(e) => (Vec::new(), Some(format!("{e:#}"))),
    };
    let named = |want: Option<bool>| -> Vec<String> {
        envs.iter()
            .filter(|e| evidence.booted(e) == want)
            .map(|e| e.name.to_string())
            .collect()
    };
    let known = named(Some(true)).into_iter().next();
    let active = node.active.as_ref().map(ToString::to_string);
    let mut problems = node.problems.clone();
    problems.extend(unread);
    for env in &envs {
        problems.extend(env.problems.iter().map(|p| format!("{env}: {p}")));
    }
    match &node.active {
        None => problems.push("it has no active environment".to_string()),
        Some(name) if !envs.iter().any(|e| e.name == *name) => {
            problems.push(format!("its active environment {name} does not exist"));
        }
        Some(_) => {}
    }
    if !node.is_template() && !node.is_offered() && !node.lost {
        problems.push(
            "no machine can ask for it: it has neither a MAC address nor a serial".to_string(),
        );
    }
    Ok(State {
        node: node.name.to_string(),
        template: node.is_template(),
        pending: match Pending::of(&node.dir) {
            Pending::Env(name, _) => Some(name),
            _ => None,
        },
        reboot_changes: known.as_ref().map(|k| Some(k) != active.as_ref()),
        booted: Booted {
            possible: if known.is_some() {
                Vec::new()
            } else {
                named(None)
            },
            known,
        },
        active,
        names: if node.is_template() {
            Vec::new()
        } else {
            tftp::names(node)
        },
        ip: node
            .property(pool, "ip")
            .unwrap_or_else(|| "dhcp".to_string()),
        problems,
    })
}
