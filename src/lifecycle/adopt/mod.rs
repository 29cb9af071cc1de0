//! Making this machine a node of a pool on its own disk: `adopt`.
//!
//! The pool is a subvolume at the top level of the root's filesystem. The running root becomes its first environment, by a
//! snapshot: what the machine was installed as is not changed, and stays in the loader's menu. Whole or not at all. The
//! loader is told last: until then, and where the pool is not found, it boots what it booted. Not for what happens to
//! environments afterwards.

mod block;
mod first;
mod installed_loader;
mod loader;
mod machine;
mod records;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};

use self::installed_loader::InstalledLoader;
use self::machine::Machine;
use super::init::backing::{self, Undo};
use super::init::new_pool;
use super::plan::Plan;
use super::{Mode, Outcome, local as this};
use crate::boot::grub;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::{atomic, systemd};
use crate::pool::record::Local;
use crate::pool::{EnvId, NodeName, Pool, local, stage};
use crate::publish;

/// The name of the first environment.
const FIRST: &str = "first";

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The node.
    pub node: NodeName,
    /// The environment that was made of the running system; `None` where the node was there already.
    pub made: Option<EnvId>,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Makes this machine a node, by this name or else by its host name.
pub fn adopt(name: Option<&NodeName>, mode: Mode) -> Result<Outcome<Adopted>> {
    let there = there()?;
    if let Some(pool) = &there
        && let Some(env) = this::running(pool)?
    {
        return Err(
            Failure::refused(format!("this machine is a node already, and runs {env}"))
                .hint("netbe list")
                .into(),
        );
    }
    let mut machine = Machine::observe()?;
    loader::refuse_others()?;
    let node = match (&there, name) {
        (Some(pool), name) => same_node(pool, name)?,
        (None, Some(name)) => name.clone(),
        (None, None) => own_name()?,
    };
    let has_node = there.as_ref().is_some_and(|pool| pool.node(&node).is_ok());
    let is_told = there
        .as_ref()
        .and_then(Pool::local)
        .map_or(Ok(false), publish::local::is_told)?;
    if has_node && is_told {
        return Err(
            Failure::refused(format!("this machine is a node already: {node}"))
                .hint("netbe list")
                .into(),
        );
    }
    let id = EnvId::new(&node, &FIRST.parse().context("the first name")?);
    let mut sentences = Vec::new();
    if there.is_none() {
        sentences.push(format!(
            "make the subvolume {} at the top level of the filesystem {}, mounted at {}, a pool",
            local::SUBVOLUME,
            machine.filesystem,
            local::DIR
        ));
    }
    if !has_node {
        if machine.has_records {
            sentences.push(format!(
                "make {} a subvolume, which all environments share: a rollback would take back the records of this server's pools",
                records::DIR
            ));
        }
        sentences.extend(first::sentences(&machine, &id));
    }
    sentences.push(match &machine.loader {
        InstalledLoader::Grub { configure } => format!(
            "have GRUB boot what is active of {node}, with a menu of all its environments: {}, {}",
            grub::SCRIPT,
            configure.join(" ")
        ),
        InstalledLoader::SystemdBoot { place, .. } => format!(
            "have systemd-boot boot what is active of {node}, by entries and copies of kernels in {place}, as many as have room"
        ),
    });
    let is_new = there.is_none();
    if let Some(block) = machine.block.as_ref().filter(|_| is_new) {
        sentences.push(format!("have GRUB keep what it boots for once in {block}"));
    }
    let mut plan = Plan::new();
    plan.steps(sentences, |done: &mut Adopted| {
        let mut undo = Undo::default();
        let pool = match there {
            Some(pool) => pool,
            None => make_pool(&machine, &node, &mut undo)?,
        };
        let record = pool.local().context("the pool is for other machines")?;
        undo.by(|| drop(loader::remove()));
        if is_new {
            let record = record.clone();
            undo.by(move || drop(publish::local::remove(&record)));
        }
        loader::write(record)?;
        if !has_node {
            if machine.has_records {
                records::take_out(mode)?;
                machine.look_again()?;
            }
            let (notes, warnings) = first::make(&pool, &machine, &id, mode)?;
            done.notes.extend(notes);
            done.warnings.extend(warnings);
            done.made = Some(id.clone());
        }
        let shared = pool.lock(mode.wait)?;
        publish::local::begin(&pool, &shared, record)?;
        // A loader does not read the log of the filesystem.
        subvolume::sync(pool.root()).context("making the pool durable")?;
        loader::configure(&machine.loader)?;
        undo.keep();
        Ok(())
    });
    let done = mode.unless_dry(|| {
        Ok(Adopted {
            node: node.clone(),
            made: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    })?;
    plan.carry_out(done)
}

/// Takes the machine's menu away again, and leaves the pool with its environments.
pub fn undo(mode: Mode) -> Result<Outcome<NodeName>> {
    let Some(pool) = there()? else {
        return Err(Failure::not_found("this machine is no node: it was not adopted").into());
    };
    let node = same_node(&pool, None)?;
    if let Some(env) = this::running(&pool)? {
        return Err(Failure::refused(format!(
            "this machine runs {env}, and without the menu it would boot what it was installed as: boot that first, by its \
             entry in GRUB's menu"
        ))
        .hint("netbe status")
        .into());
    }
    let machine = Machine::observe()?;
    loader::refuse_others()?;
    let files = loader::there();
    let record = pool.local().context("the pool is for other machines")?;
    let mut plan = Plan::new();
    if !files.is_empty() || publish::local::is_told(record)? {
        let what = match &machine.loader {
            InstalledLoader::Grub { configure } => format!(
                "have {} write GRUB's configuration without netbe's menu",
                configure.join(" ")
            ),
            InstalledLoader::SystemdBoot { place, .. } => format!(
                "remove netbe's entries and kernels from {place}, and have systemd-boot boot what it did before"
            ),
        };
        let files = match files.is_empty() {
            true => String::new(),
            false => format!("remove {}, and ", files.join(", ")),
        };
        plan.step(format!("{files}{what}"), |_: &mut NodeName| {
            // Before the configuration, which would name what is gone.
            loader::remove()?;
            loader::configure(&machine.loader)?;
            publish::local::remove(record)
        });
    }
    plan.carry_out(mode.unless_dry(|| Ok(node))?)
}

/// Returns the pool on the disk that this machine boots from, if there is one.
fn there() -> Result<Option<Pool>> {
    Pool::of_this_machine().map(|(_, pool)| pool).transpose()
}

/// Returns the node of the pool; a refusal if it was to be another one.
fn same_node(pool: &Pool, name: Option<&NodeName>) -> Result<NodeName> {
    let node = this::node_of(pool).context("the pool is for other machines")?;
    match name {
        Some(other) if *other != node => Err(Failure::refused(format!(
            "this machine is a node already, by the name {node}"
        ))
        .hint("netbe list")
        .into()),
        _ => Ok(node),
    }
}

/// Returns the host name as the name of a node.
fn own_name() -> Result<NodeName> {
    let host = nix::unistd::gethostname().context("reading the host name")?;
    let host = host.to_string_lossy().to_lowercase();
    let first = host.split('.').next().unwrap_or_default();
    first.parse().map_err(|_| {
        Failure::usage(format!(
            "the host name {host:?} cannot be the name of a node: name one"
        ))
        .hint("netbe adopt --help")
        .into()
    })
}

/// Makes the pool: its subvolume, its mount, now and after each reboot, and its records.
fn make_pool(machine: &Machine, node: &NodeName, undo: &mut Undo) -> Result<Pool> {
    let (dir, name) = (Path::new(local::DIR), local::SUBVOLUME);
    let making = || format!("making the pool in the filesystem {}", machine.filesystem);
    let top = Detached::of_device_with(
        "btrfs",
        &machine.device,
        &[("subvolid", "5")],
        Access::ReadWrite,
        Forbids::SETUID.and(Forbids::DEVICES),
    )
    .with_context(making)?
    .into_top();
    let place = PathBuf::from(format!(
        "/proc/self/fd/{}/{name}",
        std::os::fd::AsRawFd::as_raw_fd(&top)
    ));
    if place.symlink_metadata().is_ok() {
        return Err(Failure::refused(format!(
            "the filesystem {} has {name} at its top level already: mount it if it is this machine's pool, else rename it",
            machine.filesystem
        ))
        .hint(format!(
            "mount -o {} {} {}",
            local::OPTIONS,
            machine.device.display(),
            dir.display()
        ))
        .into());
    }
    subvolume::create(&place).with_context(making)?;
    undo.by(move || {
        // With the descriptor, which is what keeps the top level mounted.
        let _top = top;
        let _ = stage::remove(&place);
    });
    atomic::directories(dir)?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "btrfs", "-o", local::OPTIONS])
        .args([&machine.device, dir]);
    systemd::run(&mut mount).with_context(making)?;
    undo.by(|| {
        let _ = umount2(Path::new(local::DIR), MntFlags::MNT_DETACH);
    });
    let record = Local {
        filesystem: machine.filesystem.clone(),
        path: name.to_string(),
        node: node.to_string(),
        block: machine.block.clone(),
        esp: match &machine.loader {
            InstalledLoader::SystemdBoot { esp, .. } => Some(esp.clone()),
            InstalledLoader::Grub { .. } => None,
        },
    };
    crate::pool::state::private_directory(&local::states())?;
    new_pool::lay_out(dir, &local::states(), None, Some(record), undo).with_context(making)?;
    let units = backing::write_local_unit(&machine.filesystem).with_context(making)?;
    undo.by(move || {
        for file in units {
            let _ = std::fs::remove_file(file);
        }
    });
    if systemd::is_running() {
        // Best effort: it is mounted, and the unit is read at the next boot.
        let _ = systemd::systemctl(&["daemon-reload"]);
    }
    Pool::open(dir, &local::states())
}
