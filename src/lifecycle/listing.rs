//! What `list` shows: every environment with what is known of it.
//!
//! Takes no lock, changes nothing, and shows what is damaged as such. Not for how it looks.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use jiff::Timestamp;

use crate::pool::environment::{self, Envs};
use crate::pool::pending::{Kind, Pending};
use crate::pool::{EnvName, Environment, Node, Operand, Origin, Pool};
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

/// How many environments are looked at in one go: enough that handing out work costs nothing.
const LOT: usize = 128;

/// Returns what `operands` name: nodes with all they have, environments; everything without one.
///
/// With them, sentences about nodes that cannot be read: they are left out where all are listed.
///
/// # Errors
/// `NotFound` for an operand that names nothing.
pub fn list(pool: &Pool, operands: &[Operand]) -> Result<(Vec<Listed>, Vec<String>)> {
    let mut nodes = Vec::new();
    let mut unread = Vec::new();
    if operands.is_empty() {
        for node in pool.nodes()? {
            match node.environment_names() {
                Ok(names) => nodes.push((node, names)),
                Err(e) => unread.push(format!("{}: {e:#}", node.name)),
            }
        }
    }
    for operand in operands {
        let node = pool.node(&operand.node)?;
        let names = match &operand.env {
            None => node.environment_names()?,
            Some(env) => vec![node.environment(env)?.name],
        };
        nodes.push((node, names));
    }
    let kernels = look_at(&nodes);
    let mut listed = Vec::new();
    for ((node, _), found) in nodes.iter().zip(kernels) {
        let view = View::of(node);
        let (envs, kernels): (Vec<Environment>, Vec<_>) = found.into_iter().unzip();
        let kernels: HashMap<EnvName, Option<String>> =
            envs.iter().map(|e| e.name.clone()).zip(kernels).collect();
        for env in environment::without_replaced(envs) {
            let kernel = kernels.get(&env.name).cloned().flatten();
            listed.push(view.show(env, kernel));
        }
    }
    Ok((listed, unread))
}

type Found = Vec<(Environment, Option<String>)>;

/// Looks at every environment of these nodes, on as many processors as there are.
fn look_at(nodes: &[(Node, Vec<EnvName>)]) -> Vec<Found> {
    let lots: Vec<(usize, &[EnvName])> = nodes
        .iter()
        .enumerate()
        .flat_map(|(i, (_, names))| names.chunks(LOT).map(move |lot| (i, lot)))
        .collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Found)> {
        let mut done = Vec::new();
        while let Some((i, lot)) = lots.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*i, look_at_lot(&nodes[*i].0, lot)));
        }
        done
    };
    let enough: usize = lots.iter().map(|(_, lot)| lot.len()).sum();
    let done = match enough > LOT && workers > 1 {
        false => work(),
        true => std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for other in others {
                done.extend(other.join().unwrap_or_default());
            }
            done
        }),
    };
    let mut found: Vec<Found> = nodes.iter().map(|_| Vec::new()).collect();
    for (i, lot) in done {
        found[i].extend(lot);
    }
    for of_node in &mut found {
        of_node.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    }
    found
}

fn look_at_lot(node: &Node, names: &[EnvName]) -> Found {
    let Some(envs) = Envs::open(&node.dir) else {
        return Vec::new();
    };
    names
        .iter()
        .filter_map(|name| Environment::observe_in(&envs, node, name))
        .map(|env| {
            let kernel = env.kernel();
            (env, kernel)
        })
        .collect()
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

    fn show(&self, env: Environment, kernel: Option<String>) -> Listed {
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
