//! The remedies of findings: each a command that works when it is pasted.
//!
//! Not for running them; what has only one safe repair is `repair`.

use std::path::Path;

use super::REPAIR;
use crate::fs::shown_path::quoted;
use crate::lifecycle::activate;
use crate::pool::{Environment, Node, Pool, layout};

/// The remedy for what cannot be read: the kernel's messages about the disk.
pub(super) const UNREAD: &str = "dmesg";

/// Returns the remedy for what netbe did not make: it is moved out of the way, into a directory that netbe does not use.
pub(super) fn foreign(pool: &Pool, path: &Path) -> String {
    let away = quoted(&pool.root().join("foreign"));
    format!(
        "mkdir -p {away} && mv --backup=numbered {} {away}/",
        quoted(path)
    )
}

/// Returns the remedy for a record that is another environment's.
pub(super) fn copied(env: &Environment) -> String {
    let record = env.dir.join(layout::ENV_RECORD);
    format!("rm {} && {REPAIR}", quoted(&record))
}

/// Returns the remedy for a node that boots nothing: its newest environment, else a new one, else no node.
pub(super) fn nothing_active(pool: &Pool, node: &Node, envs: &[Environment]) -> String {
    if node.unread || envs.iter().any(|env| env.unread) {
        return UNREAD.to_string();
    }
    let complete = envs.iter().filter(|env| env.problems.is_empty());
    if let Some(newest) = complete.max_by_key(|env| env.order()) {
        return format!("netbe activate {newest}");
    }
    let nodes = pool.nodes().unwrap_or_default();
    let template = nodes
        .iter()
        .find(|other| other.is_template() && other.active_environment().is_ok());
    match template.filter(|_| !node.is_template()) {
        Some(template) => format!("netbe create {} --from {} -a", node.name, template.name),
        None => format!("netbe destroy -r {}", node.name),
    }
}

/// Returns the reasons as one, and the remedy for an environment that would not boot: a command that the reasons name, else
/// a shell in it; in a copy where it may not be changed, unless what was active before boots.
pub(super) fn would_not_boot(
    node: &Node,
    env: &Environment,
    is_sound: impl Fn(&Environment) -> bool,
    reasons: &[String],
) -> (String, String) {
    let problem = format!("it would not boot: {}", reasons.join("; "));
    let named = reasons.iter().find_map(|reason| {
        let command = &reason[reason.find(": netbe ")?..];
        Some(command.trim_start_matches(": "))
    });
    let command = named.map_or(format!("netbe shell {env}"), str::to_string);
    if !env.active || env.template || command.starts_with("netbe set ") {
        return (problem, command);
    }
    let envs = node.environments().unwrap_or_default();
    if named.is_none() && activate::previous_of(&envs).is_some_and(&is_sound) {
        return (problem, format!("netbe rollback {}", node.name));
    }
    let copy = format!("{env}-mended");
    let command = command.replace(&env.to_string(), &copy);
    (problem, format!("netbe clone {env} {copy} && {command}"))
}
