//! Writing an environment's boot half to a card: `deploy --boot`.
//!
//! Promises that the environment is verified, exported and protected before the card boots it, and that the previous one
//! stays protected until the card boots it no more. Not for the order of the card's own files.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::boot::{self, CardKind, Loader, ON_CARD};
use crate::btrfs::subvolume;
use crate::card::{self, Found, Target, Wanted};
use crate::evidence::reports;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::mounts::Access;
use crate::fs::rooted::Tree;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Held, Mode, Outcome, activate, on_card};
use crate::pool::pending::Pending;
use crate::pool::record::Card;
use crate::pool::{EnvId, Environment, Node, NodeLock, NodeName, Operand, Pool, deployed};
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
    let chosen = pool.resolve(&request.operand)?;
    let lock = mode.lock(pool, &chosen.node)?;
    let node = pool.node(&chosen.node)?;
    node.refuse_lost()?;
    let env = node.environment(&chosen.name)?;
    pool.refuse_work(&node.name, &env.name, Duration::ZERO)?;
    refuse_unfit(pool, &node)?;
    let verified = Verified::new(pool, &node, &env, false)?;
    let boot = Tree::open(&env.boot())?;
    let kind = kind(pool, &node, &env, &boot)?;
    let wanted = wanted(kind, &node, &env, &boot)?;
    let access = match mode.dry_run {
        true => Access::ReadOnly,
        false => Access::ReadWrite,
    };
    let roots = deployed::disks(pool)?;
    let target = Target::find(&request.target, request.format, access, &roots)?;
    let found = match target.formats() {
        true => Found::nothing(kind),
        false => card::look(kind, target.tree()?, &boot)?,
    };
    refuse_of_another(pool, &node, &target, &found)?;
    refuse_full(&target, &found, &wanted)?;

    let shown = target.path().display();
    let mut plan = Plan::new();
    activate::plan_export(&mut plan, pool, &node, &env);
    if target.formats() {
        plan.step(format!("format {shown}"), |_| target.format());
    }
    plan.steps(sentences(&node, &env, &target, &found, &wanted), |held| {
        held.warnings.extend(verified.warnings());
        // Writes by run, by mount or by hand have to be durable too.
        subvolume::sync(&env.root()).context("making the environment durable")?;
        begin(held.lock, &node, &env, &target)?;
        for step in found.steps(&wanted) {
            card::take(target.tree()?, &boot, &step).with_context(|| {
                format!("the card at {shown} boots what it booted before, or {env}")
            })?;
        }
        finish(held.pool, held.lock, &node.name)
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| Deployed {
        id: env.id(),
        warnings: held.warnings.into_iter().chain(target.warnings()).collect(),
    }))
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

/// Forgets the card of a node, whose machine has no card any more.
pub fn forget(pool: &Pool, name: &NodeName, mode: Mode) -> Result<Outcome<String>> {
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    node.refuse_lost()?;
    let Some(card) = node.record.card.clone() else {
        return Err(Failure::refused(format!("no card of {name} is known"))
            .hint(format!("netbe status {name}"))
            .into());
    };
    let mut plan = Plan::new();
    let sentence = format!(
        "forget the card of {name}, which boots {}",
        card.environment
    );
    plan.step(sentence, |lock: &mut NodeLock| {
        leave(lock, &node, &card.identities().cloned().collect::<Vec<_>>())?;
        let mut record = node.record.clone();
        record.card = None;
        node.store(lock, &record)
    });
    Ok(plan.carry_out(lock)?.map(|_lock| card.environment.clone()))
}

/// Refuses a node that a card cannot boot.
fn refuse_unfit(pool: &Pool, node: &Node) -> Result<()> {
    let name = &node.name;
    if node.is_template() || !node.is_offered() {
        return Err(Failure::refused(format!(
            "no machine is known to be {name}, so its root is exported to none: a card could not boot it"
        ))
        .hint(format!("netbe get mac {name}"))
        .into());
    }
    if !publish::has_nfs_root(pool, node) {
        return Err(Failure::refused(format!(
            "{name} does not mount its root over NFS, which a card with a boot half leads to"
        ))
        .hint(format!("netbe get root {name}"))
        .into());
    }
    if node.has_several_machines(pool) {
        return Err(Failure::refused(format!(
            "{name} is several machines, and netbe keeps account of one card of a node"
        ))
        .hint(format!("netbe get mac {name}"))
        .into());
    }
    if Pending::read(&node.state).boot().is_some() {
        return Err(Failure::refused(format!(
            "{name} has a pending boot, which it would not make from a card"
        ))
        .hint(format!("netbe activate --cancel {name}"))
        .into());
    }
    Ok(())
}

/// Returns the kind of card, by the loader that reads the boot half.
fn kind(pool: &Pool, node: &Node, env: &Environment, boot: &Tree) -> Result<CardKind> {
    let named = node.property(pool, "loader");
    let loader = named.and_then(|word| word.parse::<Loader>().ok());
    let loader = loader.or_else(|| boot::recognise(boot));
    CardKind::of(boot, loader, &env.to_string())
}

fn wanted(kind: CardKind, node: &Node, env: &Environment, boot: &Tree) -> Result<Wanted> {
    let name: String = env.name.as_str().chars().take(NAME_IN_DIRECTORY).collect();
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let directory = format!("{ON_CARD}{name}-{:08x}", u32::from_le_bytes(bytes));
    let macs = node.record.properties.get("mac");
    let mac = macs.map(|mac| mac.replace(':', "-"));
    let files = kind
        .files(boot, &directory, &env.to_string(), mac.as_deref())
        .with_context(|| format!("reading the boot files of {env}"))?;
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

/// Refuses a card from which another node boots.
fn refuse_of_another(pool: &Pool, node: &Node, target: &Target, found: &Found) -> Result<()> {
    let Some((name, uuid)) = &found.owner else {
        return Ok(());
    };
    let other = name.parse().ok().and_then(|name| pool.node(&name).ok());
    let boots_it = |other: &Node| {
        let card = other.record.card.as_ref();
        card.is_some_and(|card| card.identities().any(|on_card| on_card == uuid))
    };
    if *name == node.name.as_str() || !other.as_ref().is_some_and(boots_it) {
        return Ok(());
    }
    Err(
        Failure::refused(format!("{} is the card of {name}", target.path().display()))
            .hint_to(
                format!("to say that {name} has no card any more"),
                format!("netbe deploy {name} --boot none"),
            )
            .into(),
    )
}

fn refuse_full(target: &Target, found: &Found, wanted: &Wanted) -> Result<()> {
    let mut lengths: Vec<u64> = wanted.files.iter().map(|file| file.length).collect();
    let texts = [&wanted.switch, &wanted.manifest];
    lengths.extend(texts.map(|text| text.len() as u64));
    target.refuse_full(&lengths, &found.unneeded())
}

/// Records, before the card boots it, that a machine may run an environment; the previous one stays protected too.
fn begin(lock: &NodeLock, node: &Node, env: &Environment, target: &Target) -> Result<()> {
    let mut of_env = env.record_for_change()?;
    of_env.served = true;
    of_env.withdrawn = Some(Timestamp::now());
    of_env.known_boot_ids = reports::boot_ids(node);
    env.store(lock, &of_env, Durable::AtOnce)?;
    let before = node.record.card.as_ref();
    let mut record = node.record.clone();
    let uuid = env.uuid().unwrap_or_default().to_string();
    record.card = Some(Card {
        environment: env.name.to_string(),
        replaces: before
            .map(|card| {
                card.identities()
                    .filter(|before| **before != uuid)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default(),
        uuid,
        target: target.lasting_path().to_string_lossy().into_owned(),
        since: Timestamp::now(),
        kernel: env.kernel(),
        boot_files: on_card::digest_of_boot_half(env)?,
        unfinished: true,
    });
    node.store(lock, &record)
}

/// Records that the card boots only the new environment.
fn finish(pool: &Pool, lock: &NodeLock, name: &NodeName) -> Result<()> {
    let node = pool.node(name)?;
    let mut record = node.record.clone();
    if let Some(card) = &mut record.card {
        let before = std::mem::take(&mut card.replaces);
        card.unfinished = false;
        leave(lock, &node, &before)?;
    }
    node.store(lock, &record)
}

/// Records the time until which a card booted environments: the machine may run them until it reports another.
fn leave(lock: &NodeLock, node: &Node, uuids: &[String]) -> Result<()> {
    for env in node.environments()? {
        if uuids.iter().any(|uuid| Some(uuid.as_str()) == env.uuid())
            && let Some(mut record) = env.record.clone()
        {
            record.withdrawn = Some(Timestamp::now());
            record.known_boot_ids = reports::boot_ids(node);
            env.store(lock, &record, Durable::AtOnce)?;
        }
    }
    Ok(())
}
