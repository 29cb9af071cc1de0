//! Running programs in an existing environment: `run` and `shell`.
//!
//! Only in an environment that is neither active nor booted, or is a template's. Afterwards boot files and fstab are fixed
//! if a program changed them. Not for making new environments.

use anyhow::{Context, Result};

use super::data::thrown_away::ThrownAway;
use super::upgrade::program::network;
use super::{Mode, Outcome, deploy, lent, plan, protection};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic;
use crate::fs::rooted::Tree;
use crate::images::{Access, Opened};
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, NodeLock, Operand, Pool};
use crate::publish;
use crate::sandbox::lent::Lent;
use crate::sandbox::{Durable, Ended, Io, Lending, Network, Program, Sandbox, emulation};
use crate::staged::boot_config::{self, Wanted};

/// The program to run.
#[derive(Debug, Clone)]
pub enum What {
    /// A command with its arguments.
    Command(Vec<String>),
    /// The environment's shell.
    Shell,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ran {
    /// Its end.
    pub ended: Ended,
    /// Notes on its changes, a sentence each.
    pub notes: Vec<String>,
}

/// Runs a command, with this process' standard input and outputs.
pub fn run(pool: &Pool, operand: &Operand, what: &What, mode: Mode) -> Result<Outcome<Ran>> {
    let env = pool.resolve(operand)?;
    let lock = mode.lock_idle(pool, &env.node, &env.name)?;
    let node = pool.node(&env.node)?;
    let env = node.environment(&env.name)?;
    node.refuse_lost()?;
    refuse_in_use(&node, &env)?;
    let env = lent::give_back(lock.as_ref(), &node, env)?;
    let record = env.record_for_change()?;
    // Checked before the command, since it would fail afterwards otherwise.
    Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
    let network = network(pool, &node)?;
    network.check()?;
    // A disk image is read without the lock of its node, so later.
    let argv = match env.is_image() && lock.is_some() {
        true => None,
        false => {
            let _files = env.show_files()?;
            Some(command(&env, what)?)
        }
    };
    let step = || {
        let words = argv.iter().map(|argv| argv.join(" "));
        words
            .map(|words| format!("run in {env}: {words}"))
            .collect()
    };
    plan::one_step(lock, step, |lock| {
        let argv = |env: &Environment| argv.clone().map_or_else(|| command(env, what), Ok);
        perform(pool, lock, &env, &network, argv, mode)
    })
}

/// Returns the program with its arguments, checked against the files of an environment.
fn command(env: &Environment, what: &What) -> Result<Vec<String>> {
    let root = Tree::open(&env.root())?;
    emulation::check(&root)?;
    match what {
        What::Command(argv) => Ok(argv.clone()),
        What::Shell => Ok(vec![shell(&root)?]),
    }
}

fn perform(
    pool: &Pool,
    lock: NodeLock,
    env: &Environment,
    network: &Network,
    argv: impl FnOnce(&Environment) -> Result<Vec<String>>,
    mode: Mode,
) -> Result<Ran> {
    let mut record = env.record_for_change()?;
    let (env_root, env_boot) = (env.root(), env.boot());
    let node = pool.node(&env.node)?;
    let (data, driver) = (ThrownAway::new(&node)?, node.image_driver(pool));
    // It runs in a copy of a disk image, which replaces the image at the end: tgt must not go on offering the old one.
    // However long it all takes, only the environment stays locked, not its node.
    let _env_stays = pool.lock_env(&lock, &env.name)?;
    let mut lock = Some(lock);
    let files = match record.image {
        Some(_) => {
            publish::withdraw(pool, &pool.lock(mode.wait)?, &[env])?;
            lock = None;
            Some(Opened::by(driver, &env_root, Access::Change)?)
        }
        None => None,
    };
    let argv = argv(env)?;
    let sandbox = Sandbox {
        root: &env_root,
        boot: &env_boot,
        boot_mount: &record.boot_mount.clone(),
        hostname: env.node.as_str(),
        // It changes an existing environment, so every sync counts.
        durable: Durable::Always,
        network,
        packages: None,
        data: data.bounds(),
    };
    let lending = sandbox.plan_to_lend()?;
    let lending = match lock.take() {
        Some(lock) => make_recorded(&lock, env, &mut record, lending)?,
        None => lending.made()?,
    };
    let program = Program {
        argv,
        env: Vec::new(),
        io: Io::Terminal,
    };
    let mut ended = sandbox.run_lending(program, lending);
    if let Some(files) = files {
        // Closing also shows the half itself again instead of the copy.
        let closed = files.close();
        ended = ended.and_then(|ended| closed.map(|()| ended));
    }
    let (ended, (lock, env, after)) = match record.image {
        Some(_) => {
            let ended = ended?;
            (ended, image_put_right(pool, env, mode)?)
        }
        None => {
            let lock = mode.lock_again(pool, &env.node)?;
            let pool = pool.again()?;
            let node = pool.node(&env.node)?;
            let env = lent::give_back(Some(&lock), &node, node.environment(&env.name)?)?;
            let ended = ended?;
            let after = put_right(&pool, &node, &env)?;
            (ended, (lock, env, after))
        }
    };
    // All its writes are durable, not only those it synced.
    subvolume::sync(&env.root()).context("making the changes durable")?;
    env.store(&lock, &after, atomic::Durable::AtOnce)?;
    Ok(Ran {
        ended,
        notes: data.note().into_iter().collect(),
    })
}

/// Makes the files that are lent to an environment. Its record lists them before they are made, and again before they replace
/// its own: if netbe is killed, only the record does.
fn make_recorded(
    lock: &NodeLock,
    env: &Environment,
    record: &mut EnvRecord,
    lending: Lending,
) -> Result<Lending> {
    if lending.files().is_empty() {
        return Ok(lending);
    }
    let mut list = |files: &[Lent]| {
        record.lent = files.to_vec();
        env.store(lock, record, atomic::Durable::AtOnce)
    };
    list(lending.files())?;
    match lending.made() {
        Ok(lending) => {
            list(lending.files())?;
            Ok(lending)
        }
        Err(e) => {
            // Nothing is in its place: what was made is removed again.
            list(&[])?;
            Err(e)
        }
    }
}

/// Writes the boot files and fstab that a program may have changed; returns the record that is right then.
fn put_right(pool: &Pool, node: &Node, env: &Environment) -> Result<EnvRecord> {
    let record = env.record_for_change()?;
    let mut after = record.clone();
    let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?.in_place();
    let files = env
        .is_image()
        .then(|| Opened::over(&env.root(), Access::Change));
    let files = files.transpose()?;
    boot_config::write(&wanted, &env.root(), &env.boot(), &mut after)?;
    after.would_not_boot = wanted.reasons_to_record(&env.root(), &env.boot())?;
    files.map(Opened::close).transpose()?;
    Ok(after)
}

/// Does so in a disk image, whose programs run without the lock of the node; again if a record was changed meanwhile.
fn image_put_right(
    pool: &Pool,
    env: &Environment,
    mode: Mode,
) -> Result<(NodeLock, Environment, EnvRecord)> {
    let look = || -> Result<_> {
        let pool = pool.again()?;
        let node = pool.node(&env.node)?;
        let env = node.environment(&env.name)?;
        let known = serde_json::to_string(&(pool.record(), &node.record, &env.record))?;
        Ok((pool, node, env, known))
    };
    loop {
        let (now, node, env, known) = look()?;
        let after = put_right(&now, &node, &env)?;
        let lock = mode.lock_again(pool, &env.node)?;
        if look()?.3 == known {
            return Ok((lock, env, after));
        }
    }
}

/// Refuses to run anything in an environment that its node boots next, or runs or may be running.
pub fn refuse_in_use(node: &Node, env: &Environment) -> Result<()> {
    let in_a_copy = |refusal: Failure| {
        refusal.hint_to("work in a copy", format!("netbe clone {env} {env}-copy"))
    };
    if let Err(error) = protection::refuse_booted(node, env) {
        return Err(match error.downcast::<Failure>() {
            Ok(refusal) => in_a_copy(refusal).into(),
            Err(error) => error,
        });
    }
    protection::refuse_pending(node, env)?;
    if env.active && !env.template {
        let refusal = Failure::refused(format!("{env} is the active environment of {}", env.node));
        return Err(in_a_copy(refusal).into());
    }
    deploy::refuse_on_disk(env, "in which a change here would not be")?;
    if let Some(problem) = env.problems.iter().find(|_| !env.root().is_dir()) {
        return Err(Failure::refused(format!("{env} is damaged: {problem}")).into());
    }
    Ok(())
}

fn shell(root: &Tree) -> Result<String> {
    for path in ["/bin/bash", "/bin/sh"] {
        if root.metadata(path)?.is_some() {
            return Ok(path.to_string());
        }
    }
    Err(Failure::failed("the environment has neither /bin/bash nor /bin/sh").into())
}
