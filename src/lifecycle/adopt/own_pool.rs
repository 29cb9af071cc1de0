//! The pool at the top level of this machine's disk: finding it, making it, and mounting it now and after each reboot.
//!
//! A killed `adopt` may have left a subvolume that is no pool yet, which is made anew, or a pool that nothing mounts. Not for
//! what is in a pool.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};

use super::installed_loader::InstalledLoader;
use super::machine::Machine;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::opener::descriptor_path;
use crate::fs::path_error::if_exists;
use crate::fs::{atomic, systemd};
use crate::lifecycle::init::backing::{self, Undo};
use crate::lifecycle::init::new_pool;
use crate::lifecycle::local as this;
use crate::pool::record::{Local, PoolRecord};
use crate::pool::{NodeName, Pool, layout, local, stage};
use crate::publish;

/// The directories that a pool has before it is marked as one.
const PARTS: [&str; 3] = ["nodes", "tftp", "state"];

/// The state in which the pool is found.
pub(super) enum Found {
    /// The pool is mounted.
    Mounted(Box<Pool>),
    /// The pool exists, and is not mounted.
    OnDisk {
        /// Its node.
        node: NodeName,
        /// Whether that node exists.
        has_node: bool,
    },
    /// There is no pool.
    Nothing,
}

impl Found {
    /// Looks for the pool.
    ///
    /// # Errors
    /// A refusal if something else is in its place.
    pub(super) fn find(machine: &Machine) -> Result<Self> {
        if let Some((_, pool)) = Pool::of_this_machine() {
            return Ok(Self::Mounted(Box::new(pool?)));
        }
        let top = top(machine, safe() | Forbids::MOUNT_ATTR_RDONLY)?;
        let place = place(&top);
        if if_exists(place.symlink_metadata())?.is_none() || is_unfinished(&place)? {
            return Ok(Self::Nothing);
        }
        let text = if_exists(fs::read_to_string(layout::pool_record(&place)))
            .with_context(|| format!("reading the record of the pool in {}", local::SUBVOLUME))?;
        let record = text.and_then(|text| PoolRecord::parse(&text).ok()?.local);
        let is_own =
            |of: &Local| of.filesystem == machine.filesystem && of.path == local::SUBVOLUME;
        let node = record.filter(is_own).and_then(|of| of.node.parse().ok());
        let Some(node) = node else {
            return Err(Failure::refused(format!(
                "the filesystem {} has {} at its top level, which is no pool of this machine: rename it",
                machine.filesystem,
                local::SUBVOLUME
            ))
            .hint(format!("mount -o subvolid=5 {} /mnt", machine.device.display()))
            .into());
        };
        let has_node = layout::node(&place, &node).is_dir();
        Ok(Self::OnDisk { node, has_node })
    }

    /// Returns its node.
    pub(super) fn node(&self) -> Option<NodeName> {
        match self {
            Self::Mounted(pool) => this::node_of(pool),
            Self::OnDisk { node, .. } => Some(node.clone()),
            Self::Nothing => None,
        }
    }

    /// Returns whether its node exists.
    pub(super) fn has_node(&self) -> bool {
        match self {
            Self::Mounted(pool) => this::node_of(pool).is_some_and(|node| pool.node(&node).is_ok()),
            Self::OnDisk { has_node, .. } => *has_node,
            Self::Nothing => false,
        }
    }

    /// Returns whether the pool is mounted, now and after a reboot.
    pub(super) fn is_mounted(&self) -> bool {
        matches!(self, Self::Mounted(_)) && missing_unit().is_empty()
    }

    /// Returns whether this machine's loader boots the pool's active environment.
    pub(super) fn is_loader_configured(&self, loader: &InstalledLoader) -> Result<bool> {
        let Self::Mounted(pool) = self else {
            return Ok(false);
        };
        let is_in_menu = pool.local().map_or(Ok(false), publish::local::is_in_menu)?;
        Ok(is_in_menu && super::loader::is_configured(loader)?)
    }

    /// Returns whether the pool is to be made.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Returns the steps of [`Self::pool`].
    pub(super) fn sentences(&self, machine: &Machine) -> Vec<String> {
        let (subvolume, dir) = (local::SUBVOLUME, local::DIR);
        let filesystem = &machine.filesystem;
        let sentence = match self {
            Self::Mounted(_) if missing_unit().is_empty() => return Vec::new(),
            Self::Mounted(_) => format!("have the pool mounted at {dir} after each reboot"),
            Self::OnDisk { .. } => format!(
                "mount the pool in the subvolume {subvolume} of the filesystem {filesystem} at {dir}"
            ),
            Self::Nothing => format!(
                "make the subvolume {subvolume} at the top level of the filesystem {filesystem}, mounted at {dir}, a pool"
            ),
        };
        vec![sentence]
    }

    /// Returns the pool, made if it does not exist, and mounted now and after each reboot.
    pub(super) fn pool(self, machine: &Machine, node: &NodeName, undo: &mut Undo) -> Result<Pool> {
        let making = || format!("making the pool in the filesystem {}", machine.filesystem);
        let pool = match self {
            Self::Mounted(pool) => *pool,
            Self::OnDisk { .. } => {
                mount(machine, undo)?;
                open()?
            }
            Self::Nothing => {
                make(machine, node, undo).with_context(making)?;
                open()?
            }
        };
        let files = missing_unit();
        undo.by(move || files.iter().for_each(|file| drop(fs::remove_file(file))));
        backing::write_local_unit(&machine.filesystem).with_context(making)?;
        if systemd::is_running() {
            // Best effort: it is mounted, and the unit is read at the next boot.
            let _ = systemd::systemctl(&["daemon-reload"]);
        }
        Ok(pool)
    }
}

fn open() -> Result<Pool> {
    Pool::open(Path::new(local::DIR), &local::states())
}

/// Returns the missing ones of the files by which the pool is mounted after a reboot.
fn missing_unit() -> Vec<PathBuf> {
    let mut files = backing::local_unit().to_vec();
    files.retain(|file| file.symlink_metadata().is_err());
    files
}

/// Returns the top level of the filesystem, mounted without a place in any mount namespace.
fn top(machine: &Machine, forbids: Forbids) -> Result<OwnedFd> {
    let top = Detached::of_device(
        "btrfs",
        &machine.device,
        &[("subvolid", "5")],
        Access::ReadWrite,
        forbids,
    );
    let mounting = || format!("mounting the top level of {}", machine.device.display());
    Ok(top.with_context(mounting)?.into_top())
}

fn safe() -> Forbids {
    Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV
}

fn place(top: &OwnedFd) -> PathBuf {
    descriptor_path(top).join(local::SUBVOLUME)
}

/// Returns whether a killed `adopt` left an unfinished pool: it has no mark yet, and no nodes.
fn is_unfinished(place: &Path) -> Result<bool> {
    if !place.symlink_metadata()?.is_dir() || !subvolume::is_subvolume(place)? {
        return Ok(false);
    }
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !PARTS.contains(&&*name) && !atomic::is_leftover(&name) {
            return Ok(false);
        }
    }
    let nodes = if_exists(fs::read_dir(layout::nodes(place)))?;
    Ok(nodes.is_none_or(|mut nodes| nodes.next().is_none()))
}

/// Makes the pool: its subvolume, its mount and its records.
fn make(machine: &Machine, node: &NodeName, undo: &mut Undo) -> Result<()> {
    let top = top(machine, safe())?;
    let place = place(&top);
    if place.symlink_metadata().is_ok() {
        // A killed `adopt` may have left it mounted; otherwise this does nothing.
        let _ = umount2(Path::new(local::DIR), MntFlags::MNT_DETACH);
        stage::remove(&place)?;
    }
    let made = place.clone();
    undo.by(move || {
        // The descriptor keeps the top level mounted.
        let _top = top;
        let _ = stage::remove(&made);
    });
    subvolume::create(&place)?;
    mount(machine, undo)?;
    let record = Local {
        filesystem: machine.filesystem.clone(),
        path: local::SUBVOLUME.to_string(),
        node: node.to_string(),
        block: machine.block.clone(),
        esp: match &machine.loader {
            InstalledLoader::SystemdBoot { esp, .. } => Some(esp.clone()),
            InstalledLoader::Grub(_) => None,
        },
    };
    crate::pool::state::private_directory(&local::states())?;
    new_pool::lay_out(
        Path::new(local::DIR),
        &local::states(),
        None,
        Some(record),
        undo,
    )
}

/// Mounts the pool, as its unit does.
fn mount(machine: &Machine, undo: &mut Undo) -> Result<()> {
    atomic::directories(Path::new(local::DIR))?;
    undo.by(|| {
        let _ = umount2(Path::new(local::DIR), MntFlags::MNT_DETACH);
    });
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "btrfs", "-o", local::OPTIONS])
        .args([&machine.device, Path::new(local::DIR)]);
    systemd::run(&mut mount).with_context(|| format!("mounting {}", machine.device.display()))
}
