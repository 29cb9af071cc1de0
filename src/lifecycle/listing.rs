//! What `list` shows: every environment with what is known of it.
//!
//! Takes no lock, changes nothing, and shows what is damaged as such. Not for how it looks.

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;

use crate::pool::pending::{Kind, Pending};
use crate::pool::{Environment, Node, Operand, Origin, Pool};
use crate::publish::evidence::Evidence;

/// One environment, as listed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its node.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Its identity, where it is known.
    pub uuid: Option<String>,
    /// What is wrong with it, a sentence each.
    pub problems: Vec<String>,
    /// Whether the node boots it next.
    pub active: bool,
    /// Whether the node runs it; `None` where it cannot be told.
    pub booted: Option<bool>,
    /// Whether it is to be booted once, or on trial.
    pub pending: Option<Kind>,
    /// Whether it is kept from being destroyed.
    pub pinned: bool,
    /// When it was made, UTC.
    pub created: Timestamp,
    /// What a person said of it.
    pub description: String,
    /// The processor it is for.
    pub arch: Option<String>,
    /// The kernel it boots.
    pub kernel: Option<String>,
    /// What it was made from.
    pub origin: Option<Origin>,
    /// Its root half.
    pub root: PathBuf,
    /// Its boot half.
    pub boot: PathBuf,
}

impl Listed {
    /// Returns the flags of the contract: `N` or `?`, `R`, `T`, `P`, `!`.
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        match self.booted {
            Some(true) => flags.push('N'),
            None => flags.push('?'),
            Some(false) => {}
        }
        for (holds, flag) in [
            (self.active, 'R'),
            (self.pending.is_some(), 'T'),
            (self.pinned, 'P'),
            (!self.problems.is_empty(), '!'),
        ] {
            if holds {
                flags.push(flag);
            }
        }
        flags
    }
}

/// Returns what `operands` name: nodes with all they have, environments; everything without one.
///
/// # Errors
/// `NotFound` for an operand that names nothing.
pub fn list(pool: &Pool, operands: &[Operand]) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    if operands.is_empty() {
        for node in pool.nodes()? {
            found.extend(of_node(&node)?);
        }
        return Ok(found);
    }
    for operand in operands {
        let node = pool.node(&operand.node)?;
        match &operand.env {
            None => found.extend(of_node(&node)?),
            Some(env) => found.push(View::of(&node).show(node.environment(env)?)),
        }
    }
    Ok(found)
}

fn of_node(node: &Node) -> Result<Vec<Listed>> {
    let view = View::of(node);
    Ok(node
        .environments()?
        .into_iter()
        .map(|e| view.show(e))
        .collect())
}

/// What holds for all environments of one node.
struct View {
    evidence: Evidence,
    pending: Pending,
}

impl View {
    fn of(node: &Node) -> Self {
        Self {
            evidence: Evidence::of(node),
            pending: Pending::of(&node.dir),
        }
    }

    fn show(&self, env: Environment) -> Listed {
        let kernel = env.kernel();
        let booted = self.evidence.booted(&env);
        let (root, boot, created) = (env.root(), env.boot(), env.created());
        let pending = self.pending.kind_for(&env.name);
        let (arch, description, pinned, uuid, origin) = match env.record {
            Some(r) => (r.arch, r.description, r.pinned, Some(r.uuid), r.origin),
            None => (None, String::new(), false, None, None),
        };
        Listed {
            node: env.node.to_string(),
            name: env.name.to_string(),
            uuid,
            problems: env.problems,
            active: env.active,
            booted,
            pending,
            pinned,
            created,
            description,
            arch,
            kernel,
            origin,
            root,
            boot,
        }
    }
}
