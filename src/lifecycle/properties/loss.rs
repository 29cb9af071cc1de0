//! Changes of properties by which a machine that may be running loses its root or its boot files.
//!
//! Reads only. Not for new environments.

use anyhow::Result;

use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::pool::{Node, Pool};
use crate::publish::{self, exports};

/// A node as it is, or as a change makes it, and the pool it is in.
pub(super) type State<'a> = (&'a Pool, &'a Node);

/// What a machine would lose.
struct Loss {
    what: String,
    /// Whether a machine that may be running is enough for a refusal; else there has to be evidence that it runs.
    may_run: bool,
}

/// Refuses a change that takes its root or boot files from a machine that may be running.
///
/// A new node counts as perhaps running. Its address can still be set: only a report, or the NFS server's table, is a
/// reason to refuse that. `anyway` is the command with `--force`.
///
/// # Errors
/// A refusal that names the node and its loss.
pub(super) fn refuse(before: State<'_>, after: State<'_>, anyway: &str) -> Result<()> {
    let Some(loss) = loss(before, after) else {
        return Ok(());
    };
    let (_, node) = before;
    let evidence = Evidence::now(node);
    let envs = node.environments()?;
    let runs = envs
        .iter()
        .find(|env| evidence.booted(env) == Some(true) || evidence.is_used(env));
    let may_run = || {
        let mut envs = envs.iter().filter(|_| loss.may_run);
        envs.find(|env| evidence.booted(env) != Some(false))
    };
    let (how, env) = match (runs, may_run()) {
        (Some(env), _) => ("runs", env),
        (None, Some(env)) => ("may be running", env),
        (None, None) => return Ok(()),
    };
    let (how, unread) = match evidence.unread() {
        Some(why) if evidence.booted(env) != Some(true) => (
            "may be running",
            format!(" (the NFS server's tables cannot be read: {why})"),
        ),
        _ => (how, String::new()),
    };
    Err(Failure::refused(format!(
        "{} {how} {env}{unread}, and would lose {}",
        node.name, loss.what
    ))
    .hint_to("shut it down first, or do it all the same", anyway)
    .into())
}

/// Returns the warning that a machine loses its root.
pub(super) fn warning(before: State<'_>, after: State<'_>) -> Option<String> {
    let name = &before.1.name;
    let loss = loss(before, after)?;
    Some(format!("if {name} is running, it loses {}", loss.what))
}

fn loss(before: State<'_>, after: State<'_>) -> Option<Loss> {
    let is_exported = |(pool, node): State<'_>| publish::has_nfs_root(pool, node);
    if !before.1.is_offered() {
        return None;
    }
    if !after.1.is_offered() {
        return Some(Loss {
            what: "its root and boot files (neither mac nor serial is set)".into(),
            may_run: false,
        });
    }
    if !is_exported(before) {
        return None;
    }
    if !is_exported(after) {
        return Some(Loss {
            what: "its root: what a node boots from a disk of its own is not exported".into(),
            may_run: true,
        });
    }
    let clients = |(pool, node): State<'_>| exports::allowed(pool, node).ok();
    let (old, new) = (clients(before)?, clients(after)?);
    old.iter().any(|c| !new.contains(c)).then(|| Loss {
        what: format!("its root, which {} alone may mount", new.join(", ")),
        may_run: false,
    })
}
