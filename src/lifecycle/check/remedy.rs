//! The remedies of findings: each a command that works when it is pasted.
//!
//! Not for running them; problems with only one safe repair are in `repair`.

use std::path::Path;

use super::REPAIR;
use crate::failure::Failure;
use crate::fs::shown_path::quoted;
use crate::lifecycle::{activate, protection, run};
use crate::pool::{EnvName, Environment, Node, Pool, layout};

/// The remedy for an unreadable object: the kernel's messages about the disk.
pub(super) const UNREAD: &str = "dmesg";

/// Between a command that installs something on this server, and the one that brings it into boot halves.
const THEN_SET: &str = " && netbe set ";

/// Returns the remedy for a file that netbe did not make: moving it into a directory that netbe does not use.
pub(super) fn foreign(pool: &Pool, path: &Path) -> String {
    let away = quoted(&pool.root().join("foreign"));
    format!(
        "mkdir -p {away} && mv --backup=numbered {} {away}/",
        quoted(path)
    )
}

/// Returns the remedy for a record that was copied from another environment.
pub(super) fn copied(env: &Environment) -> String {
    let record = env.dir.join(layout::ENV_RECORD);
    format!("rm {} && {REPAIR}", quoted(&record))
}

/// Returns the remedy for a damaged environment: destroying it, or the step that has to come first.
///
/// If it is active, another one has to be activated first; else the hint of the refusal is the first step.
pub(super) fn damaged(pool: &Pool, node: &Node, env: &Environment) -> String {
    let Some(refusal) = protection::refusal(pool, node, env) else {
        return format!("netbe destroy {env}");
    };
    if env.active && !node.lost {
        let envs = node.environments().unwrap_or_default();
        return nothing_active(pool, node, &envs);
    }
    let hint = refusal.downcast::<Failure>().ok();
    let hint = hint.and_then(|failure| failure.hint);
    hint.unwrap_or_else(|| format!("netbe status {}", node.name))
}

/// Returns a free name for a copy of an environment.
pub(super) fn copy_of(env: &Environment, envs: &[Environment], suffix: &str) -> String {
    let taken = |name: &EnvName| envs.iter().any(|env| env.name == *name);
    let numbered = (2..).map(|number| format!("{suffix}{number}"));
    let suffixes = std::iter::once(suffix.to_string()).chain(numbered);
    // A name that would be too long is replaced by the suffix alone.
    let name = |suffix: String| {
        let long = format!("{}-{suffix}", env.name).parse();
        long.or_else(|_| suffix.parse()).ok()
    };
    let mut names = suffixes.filter_map(name);
    let free = names.find(|name| !taken(name));
    // There are infinitely many numbers, but finitely many environments.
    let free = free.expect("there are more names than environments");
    format!("{}/{free}", env.node)
}

/// Returns the remedy for a node that boots nothing: activate its newest environment, else create one, else destroy the node.
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
        // Its machine may be running one of its environments.
        None if node.is_offered() && !envs.is_empty() => format!("netbe status {}", node.name),
        None => format!("netbe destroy -r {}", node.name),
    }
}

/// Returns the command that a reason names, behind a colon: one of netbe's, or what is to be installed on this server first.
fn command_in(reason: &str) -> Option<&str> {
    let after_install = || reason[..reason.find(THEN_SET)?].rfind(": ");
    let at = reason.find(": netbe ").or_else(after_install)?;
    Some(reason[at..].trim_start_matches(": "))
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
    let named = reasons.iter().find_map(|reason| command_in(reason));
    let command = named.map_or(format!("netbe shell {env}"), str::to_string);
    // That writes boot files alone, which is allowed while the environment runs.
    let sets = command.starts_with("netbe set ") || command.contains(THEN_SET);
    if sets || run::refuse_in_use(node, env).is_ok() {
        return (problem, command);
    }
    let envs = node.environments().unwrap_or_default();
    if env.active && named.is_none() && activate::previous_of(&envs).is_some_and(&is_sound) {
        return (problem, format!("netbe rollback {}", node.name));
    }
    let copy = copy_of(env, &envs, "mended");
    let command = command.replace(&env.to_string(), &copy);
    (problem, format!("netbe clone {env} {copy} && {command}"))
}
