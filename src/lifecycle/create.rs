//! Making an environment from a source: `create` and `clone`.
//!
//! Promises that the new environment is complete or absent, and that its boot files and fstab name itself; of another
//! node's system it has its own node's identity. A new node is published with its first environment, by one rename. Not for imports.

use std::time::Duration;

use anyhow::{Context, Result};

use super::plan::Plan;
use super::staged::{Content, Identity, Made, StagedEnvironment, Target, free_name};
use super::{Mode, Outcome, activate_new, data, network_names, properties};
use crate::failure::{self, Failure, Kind, hinted};
use crate::fs::rooted::Tree;
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool};

/// The request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment to make; without a name, the name is the current time.
    pub target: Operand,
    /// The source; else the node's active environment, else the only template's.
    pub from: Option<Operand>,
    /// Properties of a node that does not exist yet, as `(name, value)`.
    pub properties: Vec<(String, String)>,
    /// The description.
    pub description: String,
    /// Whether to activate it.
    pub activate: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The environment.
    pub id: EnvId,
    /// Its origin.
    pub origin: EnvId,
    /// Whether its node is new.
    pub new_node: bool,
    /// Whether it is active.
    pub active: bool,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Makes an environment.
pub fn create(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Created>> {
    let source = Chosen::new(pool, request)?.source;
    pool.refuse_work(&source.node, &source.name, mode.patience())?;
    let node = &request.target.node;
    let locks = mode.unless_dry(|| pool.lock_both(node, &source.node, mode.wait))?;
    // Again, now that nobody else changes what it rests on.
    let chosen = Chosen::new(pool, request)?;
    if chosen.source.node != source.node {
        return Err(Failure::refused("the source changed meanwhile")
            .hint("try again")
            .into());
    }
    let making = |locks| Making {
        locks,
        identity: Identity::Same,
        staged: None,
        made: None,
        done: Created {
            id: chosen.id(),
            origin: chosen.source.id(),
            new_node: chosen.existing.is_none(),
            active: chosen.activate,
            notes: Vec::new(),
            warnings: Vec::new(),
        },
    };
    let mut done = chosen.plan(pool, mode).carry_out(locks.map(making))?;
    if let Outcome::Done(making) = &mut done {
        let node = pool.node(node)?;
        if !node.is_offered() && !node.is_template() {
            making.done.warnings.push(not_asked_for(&node.name));
        }
        making
            .done
            .notes
            .extend(data::without(pool, &node).filter(|_| making.done.new_node));
    }
    Ok(done.map(|making| making.done))
}

/// What the steps work with.
struct Making {
    identity: Identity,
    staged: Option<StagedEnvironment>,
    made: Option<Made>,
    done: Created,
    /// That of the node, and that of another one it is made from.
    locks: (NodeLock, Option<NodeLock>),
}

/// What is to be made, of what.
struct Chosen {
    node: NodeName,
    env: EnvName,
    existing: Option<Node>,
    /// The environment of the node that says who it is, where it exists.
    own: Option<Environment>,
    record: NodeRecord,
    source: Environment,
    origin: EnvRecord,
    description: String,
    activate: bool,
}

impl Chosen {
    fn new(pool: &Pool, request: &Request) -> Result<Self> {
        let existing = match pool.node(&request.target.node) {
            Ok(node) => Some(node),
            Err(e) if failure::is(&e, Kind::NotFound) => None,
            Err(e) => return Err(e),
        };
        let mut record = match &existing {
            Some(node) => {
                node.refuse_lost()?;
                if let Some((key, value)) = request.properties.first() {
                    return Err(Failure::usage(format!(
                        "{} already exists; {key} is for a new node",
                        node.name
                    ))
                    .hint(format!("netbe set {key}={value} {}", node.name))
                    .into());
                }
                node.record.clone()
            }
            None => properties::new_node_record(pool, &request.properties)?,
        };
        let source = match (&request.from, &existing) {
            (Some(from), _) => pool.resolve(from)?,
            (None, Some(node)) => node.active_environment()?,
            (None, None) => only_template(pool, &request.target)?,
        };
        // A snapshot while a program works in it would be inconsistent.
        pool.refuse_work(&source.node, &source.name, Duration::ZERO)?;
        source.require_sound()?;
        if existing.is_none() {
            pool.refuse_work_in(&request.target.node, Duration::ZERO)?;
            let value = data::inherited(pool, &source);
            record
                .properties
                .extend(value.map(|v| ("data".to_string(), v)));
            record.data = data::of_new_node(pool, &record, &source)?;
        }
        let env = free_name(pool, existing.as_ref(), &request.target).map_err(|e| match request
            .activate
        {
            true => activate_new::to_activate(e, existing.as_ref(), &request.target),
            false => e,
        })?;
        let origin = source.record_for_change()?;
        let own = existing.as_ref().and_then(own_identity);
        Ok(Self {
            node: request.target.node.clone(),
            env,
            activate: request.activate || existing.is_none(),
            existing,
            own,
            record,
            source,
            origin,
            description: request.description.clone(),
        })
    }

    fn id(&self) -> EnvId {
        EnvId::new(&self.node, &self.env)
    }

    fn target<'a>(&'a self, pool: &'a Pool) -> Target<'a> {
        Target {
            pool,
            node: &self.node,
            record: &self.record,
            env: &self.env,
            boots_next: self.activate,
        }
    }

    fn plan<'a>(&'a self, pool: &'a Pool, mode: Mode) -> Plan<'a, Making> {
        let (name, target) = (self.id(), self.target(pool));
        let mut plan = Plan::new();
        if self.existing.is_none() {
            plan.step(
                format!("make node {}", self.node),
                move |making: &mut Making| {
                    making.staged = Some(StagedEnvironment::with_node(target)?);
                    Ok(())
                },
            );
        }
        let halves = format!("snapshot both halves of {} as {name}", self.source);
        plan.step(halves, move |making| {
            if let Some(node) = &self.existing {
                making.staged = Some(StagedEnvironment::in_node(target, node)?);
            }
            let staged = making.staged.as_ref().context("it was not begun")?;
            making.done.notes.extend(staged.snapshot(&self.source)?);
            Ok(())
        });
        if self.existing.is_none() && !self.record.data.is_empty() {
            let sentence = data::sentence(&self.record.data, &self.source, &self.node);
            plan.step(sentence, |making| {
                let staged = making.staged.as_ref().context("it was not begun")?;
                making.done.notes.extend(staged.fill_data()?);
                Ok(())
            });
        }
        if let Some((sentence, identity)) = self.identity() {
            plan.step(sentence, move |making| {
                making.identity = identity;
                Ok(())
            });
        }
        plan.step(
            format!("write the boot files and fstab of {name}"),
            move |making| self.complete(pool, making, mode),
        );
        plan.foresee(move || self.explained(target.foresee(&self.source, &self.origin)));
        if self.activate {
            plan.step(format!("activate {name}"), move |making| {
                let (lock, made) = (&making.locks.0, making.made.as_ref());
                let made = made.context("it was not made")?;
                let activated =
                    activate_new::activate(pool, lock, &self.node, &self.env, made, mode)?;
                making.done.warnings.extend(activated);
                Ok(())
            });
        }
        plan
    }

    /// Returns whose the copy is to be, and the sentence that says so; `None` for a copy of the node's own.
    fn identity(&self) -> Option<(String, Identity)> {
        if self.source.node == self.node {
            return None;
        }
        let name = self.id();
        Some(match &self.own {
            Some(own) => (
                format!("give {name} the identity of {}, from {own}", self.node),
                Identity::Kept(Box::new(own.clone())),
            ),
            None => (
                format!("give {name} an identity of its own"),
                Identity::Other,
            ),
        })
    }

    /// Makes the halves what they are to be, and gives them their name.
    fn complete(&self, pool: &Pool, making: &mut Making, mode: Mode) -> Result<()> {
        let staged = making.staged.take().context("it was not snapshotted")?;
        let (node, name) = (&self.source.node, &self.source.name);
        let mut record = self.origin.derived(staged.uuid()?, node, name);
        record.description.clone_from(&self.description);
        // Another node's system, for a node that has one; any other is a copy.
        record.proposed = self.existing.is_some() && *node != self.node;
        let complete = self.explained(staged.complete(Content {
            record,
            before: self.origin.clone(),
            identity: std::mem::replace(&mut making.identity, Identity::Same),
        }))?;
        // Until it is there, nobody sees that a new node's names are taken.
        let shared = self.existing.is_none().then(|| pool.lock(mode.wait));
        let _shared = shared.transpose()?;
        if self.existing.is_none() {
            network_names::refuse_shared_names(pool, None, &self.record)?;
        }
        let mut made = staged.publish(&making.locks.0, complete)?;
        if let (Some(node), None) = (&self.existing, &self.own)
            && node.name != self.source.node
        {
            made.warnings.push(format!(
                "no active environment of {0} can be read, so it has a new identity: clients of {0} do not know its host keys",
                node.name
            ));
        }
        making.done.notes.append(&mut made.notes);
        making.done.warnings.append(&mut made.warnings);
        making.made = Some(made);
        Ok(())
    }

    fn explained<T>(&self, result: Result<T>) -> Result<T> {
        let hint = || format!("nothing was made; fix {} or its origin", self.source);
        result.map_err(|e| hinted(e, hint))
    }
}

/// Returns the environment that says who a node is: its active one, where both halves can be read.
fn own_identity(node: &Node) -> Option<Environment> {
    let env = node.active_environment().ok()?;
    let is_whole = [env.root(), env.boot()]
        .iter()
        .all(|half| Tree::open(half).is_ok());
    is_whole.then_some(env)
}

/// Returns the only template's active environment.
///
/// # Errors
/// A refusal that lists the templates, or has the hint to import one.
fn only_template(pool: &Pool, target: &Operand) -> Result<Environment> {
    let templates: Vec<Node> = pool
        .nodes()?
        .into_iter()
        .filter(Node::is_template)
        .collect();
    match templates.as_slice() {
        [one] => one.active_environment(),
        [] => Err(Failure::refused("the pool has no template")
            .hint("netbe import TEMPLATE SOURCE, or: netbe create NODE --from NODE")
            .into()),
        several => {
            let names: Vec<&str> = several.iter().map(|n| n.name.as_str()).collect();
            Err(Failure::refused(format!(
                "the pool has several templates: {}",
                names.join(", ")
            ))
            .hint(format!("netbe create {target} --from {}", names[0]))
            .into())
        }
    }
}

/// Returns the note about a node without MAC address and serial.
pub fn not_asked_for(node: &NodeName) -> String {
    format!(
        "no machine can ask for {node} yet: netbe set mac=MAC {node}, or serial=SERIAL for a Raspberry Pi"
    )
}
