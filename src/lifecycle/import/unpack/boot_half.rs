//! The boot half: finding it in a system, and moving it to its subvolume.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Progress, Target, counting, directory};
use crate::boot::fstab::boot_mount;
use crate::btrfs::removal;
use crate::fs::copy::attributes::Attributes;
use crate::fs::copy::{self, Rules};
use crate::fs::opener;
use crate::fs::rooted::Tree;

const FSTAB: &str = "etc/fstab";
const FIRMWARE: &str = "/boot/firmware";
const BOOT: &str = "/boot";
/// Files that only the firmware's boot directory has.
const FIRMWARE_FILES: [&str; 2] = ["config.txt", "cmdline.txt"];

/// Returns a system's fstab; empty where there is none.
///
/// Invalid UTF-8 is replaced: it occurs only in comments.
pub(super) fn fstab(root: &Tree) -> Result<String> {
    let bytes = root.read(FSTAB).context("reading the system's fstab")?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

/// Returns the mount point of the boot half for a system without a line in fstab.
pub(super) fn usual_mount(root: &Tree) -> Result<&'static str> {
    let firmware = root.metadata(FIRMWARE)?.is_some_and(|m| m.is_dir());
    Ok(if firmware { FIRMWARE } else { BOOT })
}

/// Returns whether a name in a boot half is a file of the Raspberry Pi firmware.
pub(super) fn is_firmware_file(name: &str) -> bool {
    FIRMWARE_FILES.contains(&name)
}

/// Copies the boot half from a directory of this machine, and returns where it is mounted.
pub(super) fn from_directory(
    dir: &Path,
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<String> {
    let boot_mount = match boot_mount(&fstab(&target.root_tree)?) {
        Some(place) => place,
        None => usual_mount(&target.root_tree)?.to_string(),
    };
    let from = opener::directory(dir).with_context(|| format!("opening '{}'", dir.display()))?;
    progress.phase("copying the boot half");
    let rules = Rules::default();
    let report = copy::tree(&from, &target.boot, &rules, &mut counting(progress, None))
        .with_context(|| format!("importing '{}'", dir.display()))?;
    directory::note(&report, notes);
    let place = directory_for(&target.root_tree, &boot_mount)?;
    if !is_empty(&target.root_tree, &boot_mount)? {
        notes.push(format!(
            "the system's own {boot_mount} is replaced by '{}'",
            dir.display()
        ));
        empty(&place, &boot_mount)?;
    }
    Ok(boot_mount)
}

/// Empties the mount point of the boot half; its timestamps stay.
pub(super) fn empty(place: &File, boot_mount: &str) -> Result<()> {
    let what = || format!("emptying {boot_mount} of the root half");
    let stat = nix::sys::stat::fstat(place).with_context(what)?;
    removal::empty(place).with_context(what)?;
    Attributes::from_stat(&stat).apply(place).with_context(what)
}

/// Moves the boot half out of the root half, and returns where it is mounted.
pub(super) fn from_root(target: &Target, progress: &mut dyn Progress) -> Result<String> {
    let root = &target.root_tree;
    let boot_mount = match boot_mount(&fstab(root)?) {
        Some(place) => place,
        None if root.names(FIRMWARE)?.iter().any(|n| is_firmware_file(n)) => FIRMWARE.to_string(),
        None => BOOT.to_string(),
    };
    let place = directory_for(root, &boot_mount)?;
    progress.phase("moving the boot half out of the root half");
    // rename(2) does not work between subvolumes; the extents are shared, not copied.
    copy::tree(
        &place,
        &target.boot,
        &Rules::default(),
        &mut counting(progress, None),
    )
    .with_context(|| format!("moving the boot half, {boot_mount}, out of the root half"))?;
    empty(&place, &boot_mount)?;
    Ok(boot_mount)
}

/// Opens a mount point, making the directory if it does not exist.
///
/// A link is an error: the node would mount over another directory than netbe expects.
pub(super) fn directory_for(root: &Tree, place: &str) -> Result<File> {
    root.make_dirs(place)?;
    let relative = place.trim_start_matches('/');
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    match root.open_path(Path::new(relative), flags, Mode::empty()) {
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            anyhow::bail!("{place} of the system is a link, not a directory")
        }
        other => {
            Ok(File::from(other.with_context(|| {
                format!("opening {place} of the system")
            })?))
        }
    }
}

fn is_empty(root: &Tree, place: &str) -> Result<bool> {
    Ok(root.names(place)?.is_empty())
}
