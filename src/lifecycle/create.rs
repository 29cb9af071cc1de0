//! Making an environment from a source: `create` and `clone`.
//!
//! Promises that the new environment is complete or absent, and that its boot files and fstab name itself; made from
//! another node's system, it has its own node's identity. A new node is published with its first environment, by one
//! rename. Not for imports.

mod chosen;
mod merged;

use anyhow::{Context, Result};

use self::chosen::Chosen;
use self::merged::Changed;
use super::merge::Merged;
use super::plan::Plan;
use super::trial::{self, Begun, How};
use super::{Mode, Outcome, activate_new, data, network_names};
use crate::failure::Failure;
use crate::pool::{EnvId, NodeLock, NodeName, Operand, Pool};
use crate::staged::{Complete, Content, Identity, Made, StagedEnvironment, Target, origin_texts};

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
    /// Whether the node is to boot it once, or on trial.
    pub how: Option<How>,
    /// Whether what the node has changed in its active environment is merged.
    pub merge: bool,
    /// Whether the packages that the node added and removed are merged too.
    pub packages: bool,
}

/// The result.
#[derive(Debug)]
pub struct Created {
    /// The environment.
    pub id: EnvId,
    /// Its origin.
    pub origin: EnvId,
    /// Whether its node is new.
    pub new_node: bool,
    /// Whether it is active.
    pub active: bool,
    /// Whether it passed verification, or is a template's.
    pub would_boot: bool,
    /// Its pending boot, if it is to be booted once or on trial.
    pub begun: Option<Begun>,
    /// What was merged, if it was to be.
    pub merged: Option<Merged>,
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
    let locks = mode.locks(pool, || pool.lock_both(node, &source.node, mode.wait))?;
    // Again, now that the locks keep other commands from changing the source.
    let chosen = Chosen::new(pool, request)?;
    if chosen.source.node != source.node {
        return Err(Failure::refused("the source changed meanwhile; try again").into());
    }
    let changed = request.merge.then(|| chosen.changed(pool));
    let changed = changed.transpose()?;
    let making = |locks| Making {
        locks: Some(locks),
        identity: Identity::Same,
        staged: None,
        made: None,
        held: None,
        done: Created {
            id: chosen.id(),
            origin: chosen.source.id(),
            new_node: chosen.existing.is_none(),
            active: chosen.activate && !chosen.merge,
            would_boot: true,
            begun: None,
            merged: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        },
    };
    let plan = chosen.plan(pool, changed.as_ref(), mode);
    let mut done = plan.carry_out(locks.map(making))?;
    if let Outcome::Done(making) = &mut done {
        let node = pool.node(node)?;
        let is_asked_for = node.is_offered() || node.is_this_machine;
        if !is_asked_for && !node.is_template() {
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
    /// The staged environment, complete but not published yet.
    held: Option<(StagedEnvironment, Complete)>,
    done: Created,
    /// The lock of the node, and that of the source's node if it is another; until the environment is made.
    locks: Option<(NodeLock, Option<NodeLock>)>,
}

impl Making {
    fn lock(&self) -> Result<&NodeLock> {
        let (lock, _) = self.locks.as_ref().context("the lock was given back")?;
        Ok(lock)
    }
}

impl Chosen {
    fn id(&self) -> EnvId {
        EnvId::new(&self.node, &self.env)
    }

    fn target<'a>(&'a self, pool: &'a Pool) -> Target<'a> {
        Target {
            pool,
            node: &self.node,
            record: &self.record,
            env: &self.env,
            // What is merged may be what it lacks to boot.
            boots_next: self.boots_next() && !self.merge,
        }
    }

    fn boots_next(&self) -> bool {
        self.activate || self.trial.is_some()
    }

    /// Returns the steps; with `changed`, those that merge that.
    fn plan<'a>(
        &'a self,
        pool: &'a Pool,
        changed: Option<&'a Changed>,
        mode: Mode,
    ) -> Plan<'a, Making> {
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
            if self.origin.image.is_none() {
                origin_texts::keep(staged)?;
            }
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
        if self.source.node != self.node {
            let (sentence, identity) = Identity::of_node(&name, self.own.as_ref());
            plan.step(sentence, move |making| {
                making.identity = identity;
                Ok(())
            });
        }
        plan.step(
            format!("write the boot files and fstab of {name}"),
            move |making| self.complete(pool, making, mode),
        );
        plan.foresee(move || self.explained(target.foresee(&self.source, &self.origin.off_disk())));
        if let Some(changed) = changed {
            self.merge_steps(&mut plan, pool, changed, mode);
            return plan;
        }
        if self.activate {
            plan.step(format!("activate {name}"), move |making| {
                let made = making.made.as_ref().context("it was not made")?;
                let (lock, node, env) = (making.lock()?, &self.node, &self.env);
                let activated = activate_new::activate(pool, lock, node, env, made, mode)?;
                making.done.warnings.extend(activated);
                Ok(())
            });
        }
        if let Some((how, back_to)) = &self.trial {
            let node = &self.node;
            plan.step(
                format!("lead {node} to {name} for its next boot, then to {back_to}"),
                move |making| {
                    // A pending boot takes the locks itself.
                    making.locks = None;
                    making.done.begun = self.lead(pool, *how, mode)?;
                    Ok(())
                },
            );
        }
        plan
    }

    /// Completes the halves, and publishes the environment under its name.
    fn complete(&self, pool: &Pool, making: &mut Making, mode: Mode) -> Result<()> {
        let mut staged = making.staged.take().context("it was not snapshotted")?;
        // No lock of a node is held while programs make a disk image: the name is, until the environment is published.
        let mut name_stays = None;
        if staged.runs_programs(&self.origin)? {
            name_stays = Some(pool.lock_env(making.lock()?, &self.env)?);
            making.locks = None;
        }
        let (node, name) = (&self.source.node, &self.source.name);
        let mut record = self.origin.derived(staged.uuid()?, node, name);
        record.description.clone_from(&self.description);
        // Another node's system, for a node that has one; any other is a copy.
        record.proposed = self.existing.is_some() && *node != self.node;
        let mut complete = self.explained(staged.complete(Content {
            record,
            before: self.origin.clone(),
            identity: std::mem::replace(&mut making.identity, Identity::Same),
        }))?;
        if name_stays.is_some() {
            let locked = self.explained(mode.lock_completed(pool, &mut staged, complete))?;
            making.locks = Some((locked.0, None));
            complete = locked.1;
        }
        // Until the new node is published, no other command sees that its names are taken.
        let shared = self.existing.is_none().then(|| pool.lock(mode.wait));
        let _shared = shared.transpose()?;
        if self.existing.is_none() {
            network_names::refuse_shared_names(pool, None, &self.record)?;
        }
        making.done.would_boot = complete.record.would_not_boot.is_empty();
        if self.merge {
            making.held = Some((staged, complete));
            return Ok(());
        }
        let mut made = staged.publish(making.lock()?, complete)?;
        if let (Some(node), Some(why)) = (&self.existing, &self.has_no_own)
            && node.name != self.source.node
        {
            made.warnings.push(format!(
                "no active environment of {0} can be read, so it has a new identity: clients of {0} do not know its host keys \
                 ({why})",
                node.name
            ));
        }
        making.done.notes.append(&mut made.notes);
        making.done.warnings.append(&mut made.warnings);
        making.made = Some(made);
        Ok(())
    }

    /// Has the node boot it next, once or on trial.
    fn lead(&self, pool: &Pool, how: How, mode: Mode) -> Result<Option<Begun>> {
        let name = self.id();
        let led = trial::begin(pool, Some(&name.clone().into()), how, false, mode)
            .map_err(|e| activate_new::only_made(&name, &how.option(), &e))?;
        Ok(match led {
            Outcome::Done(begun) => Some(begun),
            Outcome::Planned(_) => None,
        })
    }

    fn explained<T>(&self, result: Result<T>) -> Result<T> {
        let for_source = |mut failure: Failure| {
            // The environment was not made: the mending command is run in its source instead.
            let (made, source) = (self.id(), &self.source);
            failure.message = failure.message.replace(
                &format!("netbe run {made} "),
                &format!("netbe run {source} "),
            );
            let does = format!("nothing was made; fix {} or its origin", self.source);
            failure.hint_to(does, format!("netbe check {}", self.source.node))
        };
        result.map_err(|e| match e.downcast::<Failure>() {
            Ok(failure) if failure.hint.is_none() => for_source(failure).into(),
            Ok(failure) => failure.into(),
            Err(error) => error,
        })
    }
}

/// Returns the note about a node without MAC address and serial.
pub fn not_asked_for(node: &NodeName) -> String {
    format!(
        "no machine can ask for {node} yet: netbe set mac=MAC {node}, or serial=SERIAL for a Raspberry Pi"
    )
}
