//! The environments of `list`.
//!
//! Takes no lock, changes nothing, and includes damaged environments. Not for the output format.

mod listed;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;

pub use listed::Listed;

use crate::btrfs::subvolume::known::Known;
use crate::evidence::Evidence;
use crate::fs::{interrupt, mounts, opener, parallel};
use crate::pool::environment::{self, Envs};
use crate::pool::node;
use crate::pool::pending::Pending;
use crate::pool::{EnvName, Environment, Node, NodeName, Operand, Pool};
use crate::staged;

/// A node that cannot be read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// The node's name.
    pub node: String,
    /// The reason, a part of a sentence.
    pub why: String,
}

impl Unread {
    fn new(node: &NodeName, why: String) -> Self {
        Self {
            node: node.to_string(),
            why,
        }
    }
}

/// How many environments a thread reads at a time: enough to make the overhead small, few enough to balance the
/// threads.
const LOT: usize = 64;

/// How many items make starting a second thread worthwhile.
const ENOUGH: usize = 32;

/// How many subvolumes are looked at for each environment: its halves, and as many of no environment. Where more are
/// found than that, opening the halves is faster.
const SUBVOLUMES: usize = 4;

/// What one look at the filesystem gives for the list of many environments.
#[derive(Debug, Default)]
struct Filesystem {
    known: Known,
    /// The pool by a mount on which no device can be opened; needs the privilege to mount.
    pool: Option<OwnedFd>,
}

impl Filesystem {
    /// Looks, for a list of so many environments of a pool.
    fn of(pool: &Pool, environments: usize) -> Self {
        let Ok(top) = opener::directory(pool.root()) else {
            return Self::default();
        };
        Self {
            known: Known::search(&top, environments * SUBVOLUMES),
            pool: mounts::without_devices(&top).ok(),
        }
    }
}

/// A node with its environments, as listed.
type Rows = (Node, Vec<Listed>);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The environments.
    pub listed: Vec<Listed>,
    /// If all are listed, the nodes that cannot be read.
    pub unread: Vec<Unread>,
    /// The operands that failed: `NotFound` for what does not exist.
    pub failures: Vec<anyhow::Error>,
}

/// Returns the environments of `operands`: nodes with all of theirs, environments; all without operands.
///
/// # Errors
/// When netbe was interrupted.
pub fn list(pool: &Pool, operands: &[Operand]) -> Result<Found> {
    let (mut unread, mut failures) = (Vec::new(), Vec::new());
    let nodes = match operands.is_empty() {
        true => {
            let (nodes, not_read) = all(pool)?;
            unread = not_read;
            nodes
        }
        false => {
            let named = operands.iter().map(|operand| named(pool, operand));
            named
                .filter_map(|one| one.map_err(|e| failures.push(e)).ok())
                .collect()
        }
    };
    // After an interrupt the list is incomplete.
    interrupt::check()?;
    let listed = nodes.into_iter().flat_map(|(_, rows)| rows).collect();
    let mut listed = environment::without_replaced(listed, Listed::claim);
    name_origins(pool, &mut listed, operands.is_empty());
    Ok(Found {
        listed,
        unread,
        failures,
    })
}

/// Gives origins the names they have now: a record has the name of when it was written.
fn name_origins(pool: &Pool, listed: &mut [Listed], has_all: bool) {
    let names: HashMap<String, (NodeName, EnvName)> = listed
        .iter()
        .filter_map(|env| Some((env.uuid.clone()?, (env.node.clone(), env.name.clone()))))
        .collect();
    for origin in listed.iter_mut().filter_map(|env| env.origin.as_mut()) {
        let now = match names.get(&origin.uuid) {
            Some((node, name)) => Some((node.to_string(), name.to_string())),
            // An origin that cannot be searched for keeps its recorded name, like one that is gone.
            None if !has_all => super::diff::origin_of(pool, origin)
                .ok()
                .flatten()
                .map(|env| (env.node.to_string(), env.name.to_string())),
            None => None,
        };
        if let Some((node, name)) = now {
            (origin.node, origin.name) = (node, name);
        }
    }
}

/// Returns every node, and those whose environments cannot be read.
fn all(pool: &Pool) -> Result<(Vec<Rows>, Vec<Unread>)> {
    let (mut nodes, mut unread) = (Vec::new(), Vec::new());
    for one in pool.of_each_node(|names| of_nodes(pool, names))? {
        match one {
            Ok(rows) => nodes.push(rows),
            Err(why) => unread.push(why),
        }
    }
    Ok((node::without_replaced(nodes, |(node, _)| node), unread))
}

/// Returns the nodes of these names; `None` for one that was removed meanwhile.
fn of_nodes(pool: &Pool, names: &[NodeName]) -> Vec<Option<Result<Rows, Unread>>> {
    let views = parallel::all(names, names.len() > ENOUGH, |name| {
        let Some(node) = Node::observe(pool, name) else {
            return node::not_a_directory(pool, name).map(|why| Err(Unread::new(name, why)));
        };
        Some(match node.environment_names() {
            Ok(names) => Ok(View::new(pool, node, names)),
            Err(e) => Err(Unread::new(name, format!("{e:#}"))),
        })
    });
    let readable: Vec<&View<'_>> = views.iter().flatten().flatten().collect();
    let number: usize = readable.iter().map(|view| view.names.len()).sum();
    let filesystem = match number > ENOUGH {
        true => Filesystem::of(pool, number),
        false => Filesystem::default(),
    };
    let mut rows = rows_of(&readable, &filesystem).into_iter();
    let settle = |view: Option<Result<View<'_>, Unread>>| match view? {
        Ok(view) => view.settle(rows.next()?),
        Err(why) => Some(Err(why)),
    };
    views.into_iter().map(settle).collect()
}

fn named(pool: &Pool, operand: &Operand) -> Result<Rows> {
    let node = pool.node(&operand.node)?;
    if let Some(env) = &operand.env {
        let found = node.environment(env)?;
        let view = View::new(pool, node, Vec::new());
        let row = view
            .row(found)
            .ok_or_else(|| view.node.no_environment(env))?;
        return Ok((view.node, vec![row]));
    }
    let names = node.environment_names()?;
    let view = View::new(pool, node, names);
    let rows = rows_of(&[&view], &Filesystem::default())
        .into_iter()
        .flatten()
        .collect();
    match view.settle(rows) {
        Some(Ok(rows)) => Ok(rows),
        Some(Err(unread)) => anyhow::bail!(unread.why),
        None => Err(pool.no_node(&operand.node)),
    }
}

/// Returns the environments of each view, in batches on all processors.
fn rows_of(views: &[&View<'_>], filesystem: &Filesystem) -> Vec<Vec<Listed>> {
    let lots: Vec<(usize, &[EnvName])> = views
        .iter()
        .enumerate()
        .flat_map(|(i, view)| view.names.chunks(LOT).map(move |lot| (i, lot)))
        .collect();
    let enough = views.iter().map(|v| v.names.len()).sum::<usize>() > ENOUGH;
    let found = parallel::all(&lots, enough, |(i, lot)| views[*i].rows(lot, filesystem));
    let mut rows: Vec<Vec<Listed>> = views.iter().map(|_| Vec::new()).collect();
    for ((i, _), found) in lots.iter().zip(found) {
        rows[*i].extend(found);
    }
    rows
}

/// A node with the state that all its environments share.
struct View<'a> {
    pool: &'a Pool,
    node: Node,
    names: Vec<EnvName>,
    evidence: Evidence,
    pending: Pending,
}

impl<'a> View<'a> {
    fn new(pool: &'a Pool, node: Node, names: Vec<EnvName>) -> Self {
        Self {
            pool,
            evidence: Evidence::recent(&node),
            pending: Pending::read(&node.state),
            node,
            names,
        }
    }

    /// Returns the node with its environments; reads them again if they changed meanwhile; `None` if the node does not
    /// exist any more.
    fn settle(self, found: Vec<Listed>) -> Option<Result<Rows, Unread>> {
        let names = found.iter().map(|env| env.name.as_str());
        if !self.node.has_moved(self.names.len(), names) {
            return Some(Ok((self.node, found)));
        }
        let (node, envs) = self.node.look()?;
        let view = Self::new(self.pool, node, Vec::new());
        Some(match envs {
            Ok(envs) => {
                let rows = envs.into_iter().filter_map(|env| view.row(env)).collect();
                Ok((view.node, rows))
            }
            Err(e) => Err(Unread::new(&view.node.name, format!("{e:#}"))),
        })
    }

    fn rows(&self, names: &[EnvName], filesystem: &Filesystem) -> Vec<Listed> {
        let envs = match &filesystem.pool {
            Some(pool) => Envs::open_below(pool, &self.node),
            None => Envs::open(&self.node),
        };
        let envs = envs.map(|envs| envs.map(|envs| envs.knowing(&filesystem.known)));
        let envs = envs.map_err(|e| format!("{e:#}"));
        let observe = |name| match &envs {
            Ok(envs) => Environment::observe_in(envs.as_ref()?, &self.node, name),
            Err(why) => Some(Environment::unread(&self.node, name, why)),
        };
        let rows = names.iter().filter_map(observe);
        rows.filter_map(|env| self.row(env)).collect()
    }

    /// Returns an environment as listed; `None` if it was deleted meanwhile.
    fn row(&self, env: Environment) -> Option<Listed> {
        let booted = self.evidence.booted(&env);
        let (root, boot) = (env.root(), env.boot());
        let (created, order) = (env.created(), env.order());
        let pending = self.pending.kind_for(&env.name);
        let kernel = env.kernel();
        if kernel.is_none() && env.whole && env.is_gone() {
            return None;
        }
        let killed = env.left_by_a_killed_command().filter(|_| {
            // Replaced files are no problem while a command works in the environment.
            let (node, name) = (&self.node.name, &env.name);
            self.pool.refuse_work(node, name, Duration::ZERO).is_ok()
        });
        let read_only = staged::read_only_halves(self.pool, &self.node, &env).into_iter();
        let record = env.record;
        let complete = env.problems.is_empty();
        let mut problems = env.problems;
        let unbootable = record.iter().flat_map(|r| &r.would_not_boot);
        problems.extend(unbootable.map(|reason| format!("it would not boot: {reason}")));
        problems.extend(killed);
        problems.extend(read_only.map(|(problem, _)| problem));
        let undecided = record.as_ref().is_some_and(|r| r.undecided);
        let fields = record.map(|r| {
            (
                (r.arch, r.description, r.pinned),
                (Some(r.uuid), r.origin, r.lineage, r.replaces),
            )
        });
        let ((arch, description, pinned), (uuid, origin, lineage, replaces)) =
            fields.unwrap_or_default();
        Some(Listed {
            node: env.node,
            name: env.name,
            uuid,
            complete,
            problems,
            active: env.active,
            booted,
            pending,
            pinned,
            created,
            order,
            description,
            arch,
            kernel,
            origin,
            lineage,
            undecided,
            root,
            boot,
            space: None,
            replaces,
        })
    }
}
