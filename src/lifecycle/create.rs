//! Making an environment from another: `create` and `clone`.
//!
//! Promises that the new one is whole or not there, and names itself in everything firmware and kernel
//! read; for another node it has an identity of its own. A new node arrives with its first environment, by
//! one rename. Not for systems from outside.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::staged::{Complete, Content, Identity, Made, StagedEnvironment, Target};
use super::{Mode, Outcome, activate_new, network_names, properties};
use crate::failure::{Failure, hinted};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool, layout};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment to make; without a name it gets one made of the time.
    pub target: Operand,
    /// What to make it from; else the node's active one, else the only template's.
    pub from: Option<Operand>,
    /// Properties of a node that does not exist yet, as `(name, value)`.
    pub properties: Vec<(String, String)>,
    /// What to say of it.
    pub description: String,
    /// Whether to make it what the node boots next.
    pub activate: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Which it is.
    pub id: EnvId,
    /// What it was made from.
    pub origin: EnvId,
    /// Whether its node is new.
    pub new_node: bool,
    /// Whether the node boots it next.
    pub active: bool,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// Makes an environment.
pub fn create(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Created>> {
    let plan = Plan::new(pool, request)?;
    if mode.dry_run {
        plan.explained(plan.target(pool).foresee(&plan.source, &plan.origin))?;
        return Ok(Outcome::Planned(plan.steps()));
    }
    pool.refuse_work(&plan.source.node, &plan.source.name, mode.wait)?;
    let (lock, _source_stays) = pool.lock_both(&plan.node, &plan.source.node, mode.wait)?;
    // Again, now that nobody else changes what it rests on.
    let again = Plan::new(pool, request)?;
    if again.source.node != plan.source.node {
        return Err(
            Failure::refused("what it would be made from changed meanwhile")
                .hint("try again")
                .into(),
        );
    }
    again.apply(pool, &lock, mode).map(Outcome::Done)
}

struct Plan {
    node: NodeName,
    env: EnvName,
    existing: Option<Node>,
    record: NodeRecord,
    source: Environment,
    origin: EnvRecord,
    description: String,
    activate: bool,
}

impl Plan {
    fn new(pool: &Pool, request: &Request) -> Result<Self> {
        let existing = match pool.node(&request.target.node) {
            Ok(node) => Some(node),
            Err(e) if is_not_found(&e) => None,
            Err(e) => return Err(e),
        };
        let record = match &existing {
            Some(node) => {
                node.refuse_lost()?;
                if let Some((key, value)) = request.properties.first() {
                    return Err(Failure::usage(format!(
                        "{} is there already; {key} is for a new node",
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
        // Half of what a program does in it is no system.
        pool.refuse_work(&source.node, &source.name, Duration::ZERO)?;
        source.require_sound()?;
        if existing.is_none() {
            pool.refuse_work_in(&request.target.node, Duration::ZERO)?;
        }
        let env = free_name(pool, existing.as_ref(), &request.target).map_err(|e| match request
            .activate
        {
            true => activate_new::to_activate(e, existing.as_ref(), &request.target),
            false => e,
        })?;
        let origin = source.record_for_change()?;
        Ok(Self {
            node: request.target.node.clone(),
            env,
            activate: request.activate || existing.is_none(),
            existing,
            record,
            source,
            origin,
            description: request.description.clone(),
        })
    }

    fn other_node(&self) -> bool {
        self.source.node != self.node
    }

    fn steps(&self) -> Vec<String> {
        let name = EnvId::new(&self.node, &self.env);
        let mut steps = Vec::new();
        if self.existing.is_none() {
            steps.push(format!("make node {}", self.node));
        }
        steps.push(format!("snapshot both halves of {} as {name}", self.source));
        if self.other_node() {
            steps.push(format!("give {name} an identity of its own"));
        }
        steps.push(format!("write the boot files and fstab of {name}"));
        if self.activate {
            steps.push(format!("activate {name}"));
        }
        steps
    }

    fn apply(self, pool: &Pool, lock: &NodeLock, mode: Mode) -> Result<Created> {
        let name = EnvId::new(&self.node, &self.env);
        let made = match &self.existing {
            Some(node) => {
                let staged = StagedEnvironment::in_node(self.target(pool), node)?;
                let (complete, notes) = self.fill(&staged)?;
                (staged.publish(lock, complete)?, notes)
            }
            None => self.make_node(pool, lock, mode)?,
        };
        let (mut made, mut notes) = made;
        notes.append(&mut made.notes);
        let mut warnings = std::mem::take(&mut made.warnings);
        if self.activate {
            let activated = activate_new::activate(pool, lock, &self.node, &self.env, &made, mode)?;
            warnings.extend(activated);
        }
        let node = pool.node(&self.node)?;
        if !node.is_offered() && !node.is_template() {
            warnings.push(not_asked_for(&self.node));
        }
        Ok(Created {
            id: name,
            origin: self.source.id(),
            new_node: self.existing.is_none(),
            active: self.activate,
            notes,
            warnings,
        })
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

    fn make_node(&self, pool: &Pool, lock: &NodeLock, mode: Mode) -> Result<(Made, Vec<String>)> {
        let staged = StagedEnvironment::with_node(self.target(pool))?;
        let (complete, notes) = self.fill(&staged)?;
        // Until it is there, nobody sees that its names are taken.
        let _shared = pool.lock(mode.wait)?;
        network_names::refuse_shared_names(pool, None, &self.record)?;
        Ok((staged.publish(lock, complete)?, notes))
    }

    /// Makes the halves what they are to be; returns what is to be known of them besides.
    fn fill(&self, staged: &StagedEnvironment) -> Result<(Complete, Vec<String>)> {
        let notes = staged.snapshot(&self.source)?;
        let (node, name) = (&self.source.node, &self.source.name);
        let mut record = self.origin.derived(staged.uuid()?, node, name);
        record.description.clone_from(&self.description);
        let content = Content {
            record,
            before: self.origin.clone(),
            identity: match self.other_node() {
                true => Identity::Other,
                false => Identity::Same,
            },
        };
        Ok((self.explained(staged.complete(content))?, notes))
    }

    fn explained<T>(&self, result: Result<T>) -> Result<T> {
        let hint = || {
            format!(
                "nothing was made; mend {} or what it was made from",
                self.source
            )
        };
        result.map_err(|e| hinted(e, hint))
    }
}

/// Returns the only template's active environment.
///
/// # Errors
/// A refusal naming the templates there are, or how to get one.
fn only_template(pool: &Pool, target: &Operand) -> Result<Environment> {
    let templates: Vec<Node> = pool
        .nodes()?
        .into_iter()
        .filter(Node::is_template)
        .collect();
    match templates.as_slice() {
        [one] => one.active_environment(),
        [] => Err(Failure::refused("there is no template to make a node from")
            .hint("netbe import TEMPLATE SOURCE, or: netbe create NODE --from NODE")
            .into()),
        several => {
            let names: Vec<&str> = several.iter().map(|n| n.name.as_str()).collect();
            Err(
                Failure::refused(format!("there are several templates: {}", names.join(", ")))
                    .hint(format!("netbe create {target} --from {}", names[0]))
                    .into(),
            )
        }
    }
}

/// Returns the name the new environment gets.
///
/// # Errors
/// A refusal when something stands under it, be it an environment or not; `Locked` when one of that name is being made.
pub fn free_name(pool: &Pool, node: Option<&Node>, target: &Operand) -> Result<EnvName> {
    let is_being_made = |name: &EnvName| pool.refuse_work(&target.node, name, Duration::ZERO);
    let taken = |name: &EnvName| {
        node.is_some_and(|n| {
            n.dir
                .join(layout::ENVS)
                .join(name.as_str())
                .symlink_metadata()
                .is_ok()
        })
    };
    match &target.env {
        Some(name) if taken(name) => Err(Failure::refused(format!(
            "{}/{name} is there already",
            target.node
        ))
        .hint(format!("netbe list {}", target.node))
        .into()),
        Some(name) => {
            is_being_made(name)?;
            Ok(name.clone())
        }
        None => Ok(EnvName::made_at(Timestamp::now(), |name| {
            taken(name) || is_being_made(name).is_err()
        })),
    }
}

/// Returns what to tell of a node that has no name a machine asks by.
pub fn not_asked_for(node: &NodeName) -> String {
    format!(
        "no machine can ask for {node} yet: netbe set mac=MAC {node}, or serial=SERIAL for a Raspberry Pi"
    )
}

/// Returns whether an error says that something does not exist.
pub fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|f| f.kind == crate::failure::Kind::NotFound)
}
