//! Writing an environment's boot half to a card: `deploy --boot`.
//!
//! Promises that the environment is verified, exported and protected before the card boots it, and that the previous one
//! stays protected until the card boots it no more. While the card works, only the lock on cards is held: what is written
//! is a snapshot. Not for the order of the card's own files.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::card_record;
use super::card_refusals::{refuse_full, refuse_of_another, refuse_unfit};
use crate::boot::{self, BootFiles, CardKind, Loader, ON_CARD, Watched};
use crate::btrfs::subvolume;
use crate::card::{self, Found, Target, Wanted};
use crate::failure::Failure;
use crate::fs::mounts::Access;
use crate::fs::rooted::Tree;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome, on_card};
use crate::pool::lock::WorkLock;
use crate::pool::record::Card;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeName, Operand, Pool, deployed, layout};
use crate::publish;
use crate::staged::Verified;

/// How many characters of an environment's name are in the name of its directory: the firmware reads only short lines.
const NAME_IN_DIRECTORY: usize = 40;

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The environment.
    pub id: EnvId,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// What is written to a card, and where.
#[derive(Debug, Clone)]
pub struct CardRequest {
    /// The environment; of a node alone, the active one.
    pub operand: Operand,
    /// The directory where the card is mounted, or its device.
    pub target: PathBuf,
    /// Whether a device that holds something else is formatted.
    pub format: bool,
}

/// Writes the boot half of an environment to a card, from which its node then boots.
pub fn boot_half(pool: &Pool, request: &CardRequest, mode: Mode) -> Result<Outcome<Deployed>> {
    let EnvId { node, env } = pool.resolve(&request.operand)?.id();
    // Before any other lock: it is held while the card works.
    let only = mode.locks(pool, || WorkLock::to_write_cards(pool.state(), mode.wait))?;
    pool.refuse_work(&node, &env, mode.patience())?;
    let (chosen, _) = Chosen::look(pool, &node, &env)?;
    let (node, env) = (&chosen.node, &chosen.env);
    let boot = Tree::open(&env.boot())?;
    let wanted = wanted(chosen.kind, node, env, &boot)?;
    let access = match mode.dry_run {
        true => Access::ReadOnly,
        false => Access::ReadWrite,
    };
    let roots = deployed::disks(pool)?;
    let target = Target::find(&request.target, request.format, access, &roots)?;
    let found = match target.formats() {
        true => Found::nothing(chosen.kind),
        false => card::look(chosen.kind, target.tree()?, &boot)?,
    };
    refuse_of_another(pool, node, &target, &found)?;
    refuse_full(&target, &found, &wanted)?;

    let shown = target.path().display();
    let mut plan = Plan::new();
    plan.step(format!("export {env}"), |work: &mut Writing| {
        work.begin(&chosen, &target)
    });
    if target.formats() {
        plan.step(format!("format {shown}"), |_| {
            target.format().with_context(|| {
                format!(
                    "{shown} may boot nothing now, and is recorded as the card of {}",
                    node.name
                )
            })
        });
    }
    plan.steps(sentences(node, env, &target, &found, &wanted), |work| {
        let boot = Tree::open(&work.boot()?)?;
        for step in found.steps(&wanted) {
            card::take(target.tree()?, &boot, &step).with_context(|| {
                format!("the card at {shown} boots what it booted before, or {env}")
            })?;
        }
        work.finish(&target)
    });
    let writing = |_only| Writing {
        pool,
        mode,
        stage: None,
        begun: None,
        warnings: Vec::new(),
        _only,
    };
    let done = plan.carry_out(only.map(writing))?;
    Ok(done.map(|work| Deployed {
        id: env.id(),
        warnings: work.warnings.into_iter().chain(target.warnings()).collect(),
    }))
}

/// An environment whose boot half can be written to a card.
struct Chosen {
    node: Node,
    env: Environment,
    kind: CardKind,
    /// The digest of its boot files.
    boot_files: String,
}

impl Chosen {
    /// Reads it, and refuses one that a card cannot boot; returns the doubts that it boots, too.
    fn look(pool: &Pool, node: &NodeName, env: &EnvName) -> Result<(Self, Vec<String>)> {
        let node = pool.node(node)?;
        node.refuse_lost()?;
        let env = node.environment(env)?;
        pool.refuse_work(&node.name, &env.name, Duration::ZERO)?;
        refuse_unfit(pool, &node)?;
        let doubts = Verified::new(pool, &node, &env, false)?.warnings();
        let kind = kind(pool, &node, &env, &Tree::open(&env.boot())?)?;
        let boot_files = on_card::digest_of_boot_half(&env)?;
        let chosen = Self {
            node,
            env,
            kind,
            boot_files,
        };
        Ok((chosen, doubts))
    }

    /// Returns whether the card would get the same files.
    fn is_same(&self, now: &Self) -> bool {
        let of = |it: &Self| {
            let uuid = it.env.uuid().map(str::to_string);
            (uuid, it.kind, it.node.record.properties.get("mac").cloned())
        };
        of(self) == of(now) && self.boot_files == now.boot_files
    }
}

/// What the steps work with.
struct Writing<'a> {
    pool: &'a Pool,
    mode: Mode,
    /// The boot half as it was recorded, which the card gets without a lock of its node.
    stage: Option<Staged>,
    /// The record of the card.
    begun: Option<(NodeName, Card)>,
    warnings: Vec<String>,
    _only: WorkLock,
}

impl Writing<'_> {
    /// Refuses again, under the node's lock; exports, snapshots and records what the card is to boot.
    ///
    /// From the record on, the environment is protected, and the locks are free again.
    fn begin(&mut self, chosen: &Chosen, target: &Target) -> Result<()> {
        let pool = self.pool;
        let (node, env) = (&chosen.node.name, &chosen.env.name);
        let lock = self.mode.lock_to_change(pool, node)?;
        let (now, doubts) = Chosen::look(pool, node, env)?;
        if !chosen.is_same(&now) {
            return Err(Failure::refused(format!(
                "{} changed while the card was looked at: run the same command again",
                chosen.env
            ))
            .into());
        }
        let shared = pool.lock(self.mode.wait)?;
        let exported = publish::export(pool, &shared, &now.node, &now.env)
            .with_context(|| format!("nothing was changed: exporting {}", now.env))?;
        self.warnings.extend(exported.into_iter().chain(doubts));
        // Writes by run, by mount or by hand have to be durable too.
        subvolume::sync(&now.env.root()).context("making the environment durable")?;
        self.stage = Some(Staged::new(&now.node.dir, env.as_str())?);
        subvolume::snapshot(&now.env.boot(), &self.boot()?)?;
        let card = card_record::begin(&lock, &now.node, &now.env, target, now.boot_files)?;
        self.begun = Some((node.clone(), card));
        Ok(())
    }

    /// Returns the path of the boot half that the card gets.
    fn boot(&self) -> Result<PathBuf> {
        let stage = self.stage.as_ref().context("it was not snapshotted")?;
        Ok(stage.path().join(layout::BOOT))
    }

    /// Records that the card boots only the new environment.
    fn finish(&mut self, target: &Target) -> Result<()> {
        let (node, begun) = self.begun.as_ref().context("it was not recorded")?;
        let lock = self.mode.lock_again(self.pool, node)?;
        card_record::finish(self.pool, &lock, node, begun, target)
    }
}

fn sentences(
    node: &Node,
    env: &Environment,
    target: &Target,
    found: &Found,
    wanted: &Wanted,
) -> Vec<String> {
    let shown = target.path().display();
    let removed = found.unneeded().into_iter();
    let mut sentences: Vec<String> = removed.map(|dir| format!("remove {shown}/{dir}")).collect();
    sentences.push(format!(
        "write the boot files of {env} to {shown}/{}",
        wanted.directory
    ));
    sentences.push(format!(
        "have the card of {} boot {env}, by {shown}/{}",
        node.name,
        wanted.kind.switch()
    ));
    sentences
}

/// Returns the kind of card, by the loader that reads the boot half.
fn kind(pool: &Pool, node: &Node, env: &Environment, boot: &Tree) -> Result<CardKind> {
    let named = node.property(pool, "loader");
    let loader = named.and_then(|word| word.parse::<Loader>().ok());
    watching(boot, env, |boot| {
        let loader = loader.or_else(|| boot::recognise(boot));
        CardKind::of(boot, loader, &env.to_string())
    })
}

/// Reads the boot half of an environment; what the system failed to read is an error then, and not missing.
fn watching<T>(
    boot: &Tree,
    env: &Environment,
    read: impl FnOnce(&dyn BootFiles) -> Result<T>,
) -> Result<T> {
    let boot = Watched::new(boot);
    let found = read(&boot);
    let reading = || format!("reading the boot files of {env}");
    boot.ended().with_context(reading)?;
    found
}

fn wanted(kind: CardKind, node: &Node, env: &Environment, boot: &Tree) -> Result<Wanted> {
    let name: String = env.name.as_str().chars().take(NAME_IN_DIRECTORY).collect();
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let directory = format!("{ON_CARD}{name}-{:08x}", u32::from_le_bytes(bytes));
    let macs = node.record.properties.get("mac");
    let mac = macs.map(|mac| mac.replace(':', "-"));
    let files = watching(boot, env, |boot| {
        kind.files(boot, &directory, &env.to_string(), mac.as_deref())
            .with_context(|| format!("reading the boot files of {env}"))
    })?;
    let manifest = serde_json::json!({
        "version": 1,
        "node": node.name.to_string(),
        "environment": env.name.to_string(),
        "uuid": env.uuid(),
        "kernel": env.kernel(),
        "written": Timestamp::now().to_string(),
    });
    Ok(Wanted {
        directory,
        manifest: format!("{manifest:#}\n"),
        kind,
        switch: files.switch,
        readmes: files.readmes,
        files: card::boot_files(boot, "")?,
    })
}
