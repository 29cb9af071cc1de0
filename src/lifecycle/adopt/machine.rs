//! How this machine boots: its root, its boot files and its loader, and why it cannot be made a node.
//!
//! Reads only.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::block;
use super::installed_loader::InstalledLoader;
use super::mounted::{Mounted, mounted_at};
use super::{probe, records};
use crate::boot::fstab;
use crate::btrfs::subvolume::{self, Nested, identity};
use crate::failure::Failure;
use crate::fs::path_error::if_exists;
use crate::pool::local;
use crate::pool::record::Block;

/// The mounts; proc_pid_mountinfo(5).
const MOUNTS: &str = "/proc/self/mountinfo";
/// The most subvolumes in the root that get a line in fstab.
const NESTED: usize = 32;

/// How this machine boots.
#[derive(Debug)]
pub(super) struct Machine {
    /// The UUID of the filesystem of its root.
    pub filesystem: String,
    /// The device of that filesystem.
    pub device: PathBuf,
    /// The subvolume that is its root, as a path from the top level; empty for the top level itself.
    pub root: String,
    /// Whether its boot files are on a filesystem or in a subvolume of their own.
    pub has_boot_mount: bool,
    /// The kernel command line that it was started with.
    pub cmdline: String,
    /// What stays shared because fstab mounts it: mount points.
    pub shared: Vec<String>,
    /// What becomes shared, since a snapshot of the root does not contain it: subvolumes in the root that are not empty.
    pub nested: Vec<Nested>,
    /// Whether the records of pools for other machines are in the root, and have to become such a subvolume.
    pub has_records: bool,
    /// Other subvolumes in the root, which are empty.
    pub empty: Vec<Nested>,
    /// Its loader.
    pub loader: InstalledLoader,
    /// The place that GRUB can write to, if GRUB is the loader and there is one.
    pub block: Option<Block>,
    /// Why there is none.
    pub no_block: Option<String>,
}

impl Machine {
    /// Returns whether it runs an environment of a pool on its disk.
    pub(super) fn runs_environment(&self) -> bool {
        Path::new(&self.root).starts_with(local::SUBVOLUME)
    }

    /// Looks for subvolumes in the root again.
    pub(super) fn look_again(&mut self) -> Result<()> {
        (self.nested, self.empty) = subvolumes_in_root(&self.shared)?;
        Ok(())
    }

    /// Observes this machine.
    ///
    /// # Errors
    /// A refusal that says why it cannot be made a node.
    pub(super) fn observe() -> Result<Self> {
        let table = std::fs::read_to_string(MOUNTS).context(MOUNTS)?;
        let root = mounted_at(&table, "/").context("nothing is mounted at /")?;
        refuse_root(&root)?;
        let boot = mounted_at(&table, "/boot");
        let loader = InstalledLoader::find(|place| mounted_at(&table, place))?;
        let has_boot_mount = boot.is_some();
        refuse_unreadable(has_boot_mount)?;
        let text = if_exists(std::fs::read("/etc/fstab"))
            .context("reading /etc/fstab")?
            .unwrap_or_default();
        let entries = fstab::entries(&String::from_utf8_lossy(&text));
        let files = entries.iter().filter(|e| e.fstype != "swap");
        let shared: Vec<String> = files
            .map(|e| e.file.clone())
            .filter(|file| file.starts_with('/') && file != "/" && file != "/boot")
            .collect();
        let (nested, empty) = subvolumes_in_root(&shared)?;
        let (block, no_block) = match &loader {
            InstalledLoader::Grub(grub) => {
                match block::find(|place| mounted_at(&table, place), grub)? {
                    Ok(block) => (Some(block), None),
                    Err(why) => (None, Some(why)),
                }
            }
            InstalledLoader::SystemdBoot { .. } => (None, None),
        };
        Ok(Self {
            filesystem: identity::mounted_filesystem(Path::new("/"))
                .context("finding the filesystem of /")?
                .to_string(),
            device: root.device,
            root: root.root,
            has_boot_mount,
            cmdline: std::fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?,
            shared,
            nested,
            has_records: records::are_in_root()?,
            empty,
            block,
            no_block,
            loader,
        })
    }
}

/// Refuses a root that is no subvolume of a btrfs filesystem.
fn refuse_root(root: &Mounted) -> Result<()> {
    let why = match root.kind.as_str() {
        "btrfs" if subvolume::is_subvolume(Path::new("/")).context("looking at /")? => return Ok(()),
        "btrfs" => "the root of this machine is a directory of a btrfs filesystem, and no subvolume".to_string(),
        "overlay" | "aufs" => {
            "the root of this machine is an overlay, as that of a live system or of a container: what is written there does not \
             stay"
                .to_string()
        }
        kind => format!(
            "the root of this machine is on {kind}, and environments are subvolumes of btrfs"
        ),
    };
    Err(Failure::refused(why).hint("findmnt /").into())
}

/// Refuses a filesystem that GRUB cannot read without a passphrase: an encrypted one whose boot files are elsewhere.
fn refuse_unreadable(has_boot_mount: bool) -> Result<()> {
    let between = probe::abstraction("/")?.unwrap_or_default();
    let is_encrypted = between.contains("luks") || between.contains("cryptodisk");
    if is_encrypted && has_boot_mount {
        return Err(Failure::refused(
            "the root of this machine is encrypted, and its boot files are not on it: GRUB reads the kernels of environments, which \
             are, only if it opens the disk (GRUB_ENABLE_CRYPTODISK) and has its own files there",
        )
        .hint("lsblk -f")
        .into());
    }
    Ok(())
}

/// Returns the subvolumes in the root that are not mounted by fstab: those with content, and the empty ones.
fn subvolumes_in_root(shared: &[String]) -> Result<(Vec<Nested>, Vec<Nested>)> {
    let root = Path::new("/");
    let root_id = subvolume::info(root)
        .context("finding the subvolume of /")?
        .id;
    let all = subvolume::nested(root).context("looking for subvolumes in /")?;
    let is_other = |inner: &Nested| {
        let path = format!("/{}", inner.path.display());
        inner.path != Path::new(local::SUBVOLUME)
            && inner.parent == root_id
            && !shared.contains(&path)
    };
    let is_empty = |inner: &Nested| {
        let found = std::fs::read_dir(root.join(&inner.path));
        found.is_ok_and(|mut names| names.next().is_none())
    };
    let (empty, full): (Vec<Nested>, Vec<Nested>) =
        all.into_iter().filter(is_other).partition(is_empty);
    if full.len() > NESTED {
        let first = full[0].path.display();
        return Err(Failure::refused(format!(
            "the root has {} subvolumes in it, /{first} among them, and environments do not contain those: make the directory \
             that they are in a subvolume of its own, with a line in fstab",
            full.len()
        ))
        .hint("findmnt -t btrfs")
        .into());
    }
    Ok((full, empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_roots_are_refused() {
        for (kind, word) in [
            ("overlay", "live system"),
            ("ext4", "is on ext4"),
            ("nfs4", "is on nfs4"),
        ] {
            let root = Mounted {
                at: "/".into(),
                root: String::new(),
                kind: kind.to_string(),
                device: "/dev/vda2".into(),
            };
            let refused = refuse_root(&root).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
