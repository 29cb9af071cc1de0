//! Publishing to systemd-boot of this machine: kernels and entries of environments on the EFI system partition, and the
//! default entry.
//!
//! systemd-boot reads only FAT. So kernels are copied there, named by their content, once for all environments with the same
//! kernel; then entries that name them are written; then one line in the loader's configuration. The files of the default
//! entry are complete at every moment. The active, the pending and the running environment are always there; others while
//! there is space, the most recently active first. Not for the order of an activation.

mod files;
mod offered;

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use self::files::{Digests, copy, replace};
use self::offered::{Offered, There, offer};
use super::Published;
use super::own_partition::OwnPartition;
use crate::boot::loader_spec::{self as spec, ENTRIES, LOADER_CONF};
use crate::evidence::this_machine::Root;
use crate::fs::efi_variable;
use crate::fs::mounts::Access;
use crate::fs::rooted::Tree;
use crate::pool::pending::Pending;
use crate::pool::record::{Esp, Local};
use crate::pool::{EnvName, Environment, Pool};

/// The directory of kernels on the partition.
const FILES: &str = "netbe";

/// The request, beside the state of the pool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// An environment that must be offered, since it is about to become active.
    pub(super) next: Option<&'a EnvName>,
    /// Environments that are about to be deleted.
    pub(super) except: &'a [&'a Environment],
    /// Whether to add entries if the loader has none of netbe's yet.
    pub(super) begins: bool,
}

/// Returns the warning that the loader's own configuration does not include netbe's menu.
pub(super) fn missing_entry_warning(local: &Local) -> String {
    format!(
        "the loader's menu has no entry of {}, and this machine boots the installed system; netbe adopt",
        local.node
    )
}

/// Brings the partition up to date; without `writes`, the steps are those that would be done.
///
/// # Errors
/// A refusal if there is no space for the required environments.
pub(super) fn bring_up_to_date(
    pool: &Pool,
    (local, esp): (&Local, &Esp),
    asked: Asked<'_>,
    writes: bool,
    done: &mut Published,
) -> Result<()> {
    let access = match writes {
        true => Access::ReadWrite,
        false => Access::ReadOnly,
    };
    let partition = OwnPartition::open(&esp.filesystem, &esp.kind, access)?;
    let tree = open_partition(&partition)?;
    let there = There::look(&tree)?;
    if !there.has_our_default() && !asked.begins {
        done.warnings.push(missing_entry_warning(local));
        return Ok(());
    }
    if efi_variable::read("LoaderEntryDefault")
        .context("reading LoaderEntryDefault")?
        .is_some_and(|id| !id.is_empty())
    {
        done.warnings.push(
            "the firmware variable LoaderEntryDefault overrides the active environment: bootctl set-default \"\"".to_string(),
        );
    }
    let node = local.node.parse().context("the node of the pool")?;
    let (envs, active) = match pool.node(&node) {
        Ok(node) => (ordered(&node, asked)?, node.active.clone()),
        // The machine is being adopted: the node does not exist yet.
        Err(_) => return Ok(()),
    };
    let mut digests = Digests::default();
    let mut offered = Vec::new();
    for (env, is_needed) in envs {
        match offer(local, &env, is_needed, &mut digests) {
            Ok(Some(one)) => offered.push(one),
            Ok(None) => {}
            Err(e) if is_needed => return Err(e),
            Err(e) => done
                .warnings
                .push(format!("{env} is not in the loader's menu: {e:#}")),
        }
    }
    let chosen = there.fitting(offered)?;
    let mut work = Work {
        partition: &partition,
        tree: &tree,
        writes,
        done,
    };
    work.remove_others(&there, &chosen)?;
    for one in &chosen {
        for file in one.files.iter().filter(|file| !there.has(file)) {
            work.step(
                format!("copy {} to the EFI system partition", file.name),
                |w| copy(w.tree, file, FILES),
            )?;
        }
    }
    for one in &chosen {
        if there.entries.get(&one.id) != Some(&one.entry) {
            work.step(format!("write the loader's entry {}", one.id), |w| {
                replace(w.tree, &format!("{ENTRIES}/{}", one.id), &one.entry)
            })?;
        }
    }
    let Some(active) = active else {
        return Ok(());
    };
    let id = spec::id(&local.node, active.as_str());
    let conf = there.conf.as_deref().unwrap_or_default();
    if !chosen.iter().any(|one| one.id == id) {
        work.done.warnings.push(format!(
            "systemd-boot keeps booting its previous entry: {}/{active} has no kernel that systemd-boot can start",
            local.node
        ));
    } else if spec::own_default(conf) != Some(id.as_str()) {
        work.step(format!("have systemd-boot boot {id}"), |w| {
            set_default(w, conf, &id)
        })?;
        if writes {
            // The former default entry need not stay.
            work.remove_others(&There::look(&tree)?, &chosen)?;
        }
    }
    Ok(())
}

/// Returns the partition as a tree, with a readable name for messages.
fn open_partition(partition: &OwnPartition) -> Result<Tree> {
    let tree = Tree::open_descriptor(partition.top())?;
    Ok(tree.shown_as(Path::new("the EFI system partition:")))
}

/// Returns whether the loader's default entry is netbe's.
pub(super) fn is_in_menu(esp: &Esp) -> Result<bool> {
    let partition = OwnPartition::open(&esp.filesystem, &esp.kind, Access::ReadOnly)?;
    Ok(There::look(&open_partition(&partition)?)?.has_our_default())
}

/// Removes all of netbe's files from the partition, the default entry first.
pub(super) fn remove(esp: &Esp) -> Result<()> {
    let partition = OwnPartition::open(&esp.filesystem, &esp.kind, Access::ReadWrite)?;
    let tree = open_partition(&partition)?;
    let mut there = There::look(&tree)?;
    if let Some(conf) = there.conf.as_deref().and_then(spec::without_default) {
        replace(&tree, LOADER_CONF, &conf)?;
        partition.sync()?;
        // No entry of netbe's is the default any more.
        there = There::look(&tree)?;
    }
    let mut work = Work {
        partition: &partition,
        tree: &tree,
        writes: true,
        done: &mut Published::default(),
    };
    work.remove_others(&there, &[])?;
    if tree.metadata(FILES)?.is_some() {
        tree.remove_dir(FILES)?;
    }
    partition.sync()
}

/// Returns the environments: the required ones first, then the most recently active, then the newest.
fn ordered(node: &crate::pool::Node, asked: Asked<'_>) -> Result<Vec<(Environment, bool)>> {
    let pending = Pending::read(&node.state);
    let root = Root::look();
    let mut envs = node.environments()?;
    envs.retain(|env| {
        let goes = asked.except.iter().any(|other| other.dir == env.dir);
        // Also environments whose trial failed: the user may choose them.
        !goes && env.whole
    });
    // Active or running, pending, and all others.
    let rank = |env: &Environment| match () {
        () if env.active || root.is(env) == Some(true) => 2,
        () if asked.next == Some(&env.name) => 1,
        () if pending.waiting().is_some_and(|boot| boot.env == env.name) => 1,
        () => 0,
    };
    let entered = |env: &Environment| env.record.as_ref().and_then(|record| record.entered);
    envs.sort_by_key(|env| std::cmp::Reverse((rank(env), entered(env), env.order())));
    Ok(envs
        .into_iter()
        .map(|env| {
            let needed = rank(&env) > 0;
            (env, needed)
        })
        .collect())
}

/// Changes of the partition, each durable before the next.
struct Work<'a> {
    partition: &'a OwnPartition,
    tree: &'a Tree,
    writes: bool,
    done: &'a mut Published,
}

impl Work<'_> {
    fn step(&mut self, what: String, make: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if self.writes {
            make(self).with_context(|| what.clone())?;
            self.partition.sync()?;
        }
        self.done.steps.push(what);
        Ok(())
    }

    /// Removes entries, and then the files that no other entry names.
    fn remove_others(&mut self, there: &There, chosen: &[Offered]) -> Result<()> {
        let default = there.conf.as_deref().and_then(spec::own_default);
        for id in there.entries.keys() {
            let stays = chosen.iter().any(|one| one.id == *id);
            // The default entry is removed only after another one is the default.
            if !stays && default != Some(id.as_str()) {
                self.step(format!("remove the loader's entry {id}"), |w| {
                    Ok(w.tree.remove_file(&format!("{ENTRIES}/{id}"))?)
                })?;
            }
        }
        let of_default = default.and_then(|id| there.entries.get(id));
        for name in there.files.keys() {
            let is_used = chosen
                .iter()
                .flat_map(|one| &one.files)
                .any(|file| file.name == *name);
            let is_booted = of_default.is_some_and(|text| text.contains(name.as_str()));
            if !is_used && !is_booted {
                self.step(
                    format!("remove {name} from the EFI system partition"),
                    |w| Ok(w.tree.remove_file(&format!("{FILES}/{name}"))?),
                )?;
            }
        }
        Ok(())
    }
}

/// Makes another entry the default, by writing one sector if the configuration has netbe's line already.
fn set_default(work: &Work<'_>, conf: &str, id: &str) -> Result<()> {
    let edited = spec::with_default(conf, id);
    let Some((at, line)) = edited.in_place else {
        return replace(work.tree, LOADER_CONF, &edited.text);
    };
    let file = work
        .tree
        .open_at(LOADER_CONF, OFlag::O_WRONLY, Mode::empty())?;
    let mut file = std::fs::File::from(file);
    file.seek(SeekFrom::Start(at as u64))?;
    file.write_all(line.as_bytes())?;
    Ok(file.sync_all()?)
}
