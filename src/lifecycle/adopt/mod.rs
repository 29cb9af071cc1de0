//! Making this machine a node of a pool on its own disk: `adopt`.
//!
//! The pool is a subvolume at the top level of the root's filesystem. The running root becomes its first environment, by a
//! snapshot: the installed system itself is not changed, and stays in the loader's menu. Complete or not at all. The
//! loader is configured last: until then, and where the pool is not found, it boots the installed system. Not for what
//! happens to environments afterwards.

mod block;
mod first;
mod installed_loader;
mod loader;
mod machine;
mod mounted;
mod own_pool;
mod package_hooks;
mod probe;
mod records;

use std::time::Duration;

use anyhow::{Context, Result};

use self::installed_loader::InstalledLoader;
use self::machine::Machine;
use self::own_pool::Found;
use super::init::backing::Undo;
use super::plan::Plan;
use super::{Mode, Outcome, local as this};
use crate::boot::grub;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::pool::{EnvId, NodeName, Pool};
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
    /// Whether its loader was configured; else only its pool was mounted.
    pub loader_was_configured: bool,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Makes this machine a node, by this name or else by its host name; continues an interrupted adoption.
pub fn adopt(name: Option<&NodeName>, mode: Mode) -> Result<Outcome<Adopted>> {
    if let Some(pool) = &there()?
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
    let found = Found::find(&machine)?;
    let node = match (found.node(), name) {
        (Some(node), name) => same_node(node, name)?,
        (None, Some(name)) => name.clone(),
        (None, None) => own_name()?,
    };
    let has_node = found.has_node();
    if has_node && found.is_mounted() && found.is_loader_configured(&machine.loader)? {
        return Err(
            Failure::refused(format!("this machine is a node already: {node}"))
                .hint("netbe list")
                .into(),
        );
    }
    let id = EnvId::new(&node, &FIRST.parse().context("the first name")?);
    let is_new = found.is_nothing();
    let mut sentences = found.sentences(&machine);
    // GRUB's own files are in the installed system, unless GRUB was installed again since.
    let runs_environment = machine.runs_environment();
    if !has_node {
        if machine.has_records {
            sentences.push(format!(
                "make {} a subvolume, which all environments share: a rollback would take back the records of this server's pools",
                records::DIR
            ));
        }
        sentences.extend(first::sentences(&machine, &id));
    }
    if !runs_environment {
        sentences.push(match &machine.loader {
            InstalledLoader::Grub(grub) => format!(
                "have GRUB boot what is active of {node}, with a menu of all its environments: {}, {grub}",
                grub::SCRIPT
            ),
            InstalledLoader::SystemdBoot { place, .. } => format!(
                "have systemd-boot boot what is active of {node}, by entries and copies of kernels in {place}, as many as have room"
            ),
        });
    }
    if !runs_environment {
        sentences.extend(loader::sentence()?);
    }
    if let Some(block) = machine.block.as_ref().filter(|_| is_new) {
        sentences.push(format!("have GRUB keep what it boots for once in {block}"));
    }
    if let Some(why) = machine.no_block.as_ref().filter(|_| is_new) {
        sentences.push(format!(
            "leave activate --once and --try out, which need a place that GRUB can write to: {why}"
        ));
    }
    let mut plan = Plan::new();
    plan.steps(sentences, |done: &mut Adopted| {
        let mut undo = Undo::default();
        let pool = found.pool(&machine, &node, &mut undo)?;
        if runs_environment {
            undo.keep();
            return Ok(());
        }
        done.loader_was_configured = true;
        let record = pool.local().context("the pool is for other machines")?;
        loader::remove_later(&mut undo);
        if is_new {
            let (pool, record) = (pool.clone(), record.clone());
            undo.by(move || {
                let shared = pool.lock(Duration::ZERO);
                drop(shared.and_then(|lock| publish::local::remove(&pool, &lock, &record)));
            });
        }
        loader::write(record)?;
        if !has_node {
            records::take_out(mode)?;
            machine.look_again()?;
            let (notes, warnings) = first::make(&pool, &machine, &id, mode)?;
            done.notes.extend(notes);
            done.warnings.extend(warnings);
            done.made = Some(id.clone());
        }
        let shared = pool.lock(mode.wait)?;
        publish::local::begin(&pool, &shared, record)?;
        // A loader does not replay the filesystem's log tree.
        subvolume::sync(pool.root()).context("making the pool durable")?;
        // grub-mkconfig runs scripts of other packages for long, and reads nothing that the lock protects.
        drop(shared);
        loader::configure(&machine.loader)?;
        undo.keep();
        Ok(())
    });
    let done = mode.unless_dry(|| {
        Ok(Adopted {
            node: node.clone(),
            made: None,
            loader_was_configured: false,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    })?;
    plan.carry_out(done)
}

/// Removes netbe's menu from the loader, and leaves the pool with its environments.
pub fn undo(mode: Mode) -> Result<Outcome<NodeName>> {
    let Some(pool) = there()? else {
        return Err(Failure::not_found("this machine is no node: it was not adopted").into());
    };
    let node = this::node_of(&pool).context("the pool is for other machines")?;
    if let Some(env) = this::running(&pool)? {
        return Err(Failure::refused(format!(
            "this machine runs {env}, and without the menu it would boot the installed system: boot that first, by its \
             entry in the loader's menu"
        ))
        .hint("netbe status")
        .into());
    }
    let machine = Machine::observe()?;
    loader::refuse_others()?;
    let files = loader::there();
    let record = pool.local().context("the pool is for other machines")?;
    let mut plan = Plan::new();
    // After an interrupted undo, the files are gone, but the loader's configuration still has the menu.
    let has_menu = match &machine.loader {
        InstalledLoader::Grub(_) => loader::is_configured(&machine.loader)?,
        InstalledLoader::SystemdBoot { .. } => publish::local::is_in_menu(record)?,
    };
    if !files.is_empty() || has_menu {
        let what = match &machine.loader {
            InstalledLoader::Grub(grub) => {
                format!("have {grub} write GRUB's configuration without netbe's menu")
            }
            InstalledLoader::SystemdBoot { place, .. } => format!(
                "remove netbe's entries and kernels from {place}, and have systemd-boot boot its previous entry"
            ),
        };
        let files = match files.is_empty() {
            true => String::new(),
            false => {
                let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
                format!("remove {}, and ", files.join(", "))
            }
        };
        plan.step(format!("{files}{what}"), |_: &mut NodeName| {
            // The scripts first: they would add the menu to the generated configuration.
            loader::remove()?;
            loader::configure(&machine.loader)?;
            publish::local::remove(&pool, &pool.lock(mode.wait)?, record)
        });
    }
    plan.carry_out(mode.unless_dry(|| Ok(node))?)
}

/// Returns the pool on the disk that this machine boots from, if there is one.
fn there() -> Result<Option<Pool>> {
    Pool::of_this_machine().map(|(_, pool)| pool).transpose()
}

/// Returns the node of the pool; a refusal if another name was given.
fn same_node(node: NodeName, name: Option<&NodeName>) -> Result<NodeName> {
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
