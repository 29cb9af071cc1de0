//! Filesystems in images, mounted where nobody else sees them.
//!
//! A thread enters a mount namespace of its own, mounts, opens the top, and lets go of the mount at once: from
//! then on it lives as long as the open descriptor does. Whatever ends the process, nothing is left to unmount.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::loop_device::{Writing, attach};
use super::{Filesystem, Partition, spool_range};
use crate::failure::Failure;
use crate::fs::{opener, threads};

/// A copy of a partition whose journal has to be played back.
const REPLAYED: &str = "replayed.img";

/// Whose file an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Somebody else's: not a byte of it changes.
    Foreign,
    /// Ours, to be thrown away: a journal may be played back in it.
    Own,
}

/// The top directory of a mounted filesystem; it is unmounted when this goes.
#[derive(Debug)]
pub struct Mounted {
    top: File,
}

impl Mounted {
    /// Mounts a partition's filesystem read-only.
    ///
    /// `scratch` is a directory that is mounted over, unseen, and that a copy is put into when an interrupted
    /// journal has to be played back first. `options` are the filesystem's own.
    pub fn open(
        disk: &File,
        access: Access,
        partition: &Partition,
        filesystem: Filesystem,
        options: &str,
        scratch: &Path,
    ) -> Result<Self> {
        let stretch = (partition.start, partition.size);
        let writing = match access {
            Access::Foreign => Writing::Refused,
            Access::Own => Writing::Allowed,
        };
        match mounted(disk, stretch, writing, filesystem, options, scratch) {
            Err(e) if needs_replay(&e) && access == Access::Foreign => {}
            other => return other,
        }
        let path = scratch.join(format!("{}-{REPLAYED}", partition.number));
        let copy = match File::options().read(true).write(true).open(&path) {
            Ok(copy) => copy,
            Err(_) => {
                let copy = File::options()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .context("making room for a copy of the partition")?;
                spool_range(disk, partition.start, partition.size, &copy)?;
                copy
            }
        };
        let whole = (0, partition.size);
        mounted(&copy, whole, Writing::Allowed, filesystem, options, scratch)
    }

    /// Returns its top directory, opened for reading.
    pub fn top(&self) -> &File {
        &self.top
    }
}

/// A journal that cannot be played back because the device is read-only is `EROFS` in every filesystem.
fn needs_replay(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<Errno>(),
        Some(Errno::EROFS | Errno::EACCES)
    )
}

fn mounted(
    disk: &File,
    stretch: (u64, u64),
    writing: Writing,
    filesystem: Filesystem,
    options: &str,
    scratch: &Path,
) -> Result<Mounted> {
    let top = std::thread::scope(|scope| {
        let work = || mount_unseen(disk, stretch, writing, filesystem, options, scratch);
        threads::start_in(scope, work)?
            .join()
            .map_err(|_| anyhow!("the thread that mounts ended early"))?
    })?;
    Ok(Mounted { top })
}

/// Adds what keeps an image from saying what the kernel is to do when it finds it damaged.
fn with_care(filesystem: Filesystem, options: &str) -> String {
    match filesystem {
        Filesystem::Ext if options.is_empty() => "errors=continue".to_string(),
        Filesystem::Ext => format!("{options},errors=continue"),
        _ => options.to_string(),
    }
}

/// Runs in a thread of its own, whose namespace ends with it.
fn mount_unseen(
    disk: &File,
    (start, size): (u64, u64),
    writing: Writing,
    filesystem: Filesystem,
    options: &str,
    scratch: &Path,
) -> Result<File> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("making a mount namespace private")?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("none"),
        scratch,
        Some("tmpfs"),
        quiet,
        Some("mode=0700"),
    )
    .context("mounting a place for device nodes")?;
    let device = attach(disk, start, size, writing, scratch)?;
    let options = with_care(filesystem, options);
    let place = scratch.join("top");
    std::fs::create_dir(&place)?;
    let flags = quiet | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    let mut result = Err(Errno::ENODEV);
    for kind in filesystem.mount_types() {
        result = mount(
            Some(&device.path),
            &place,
            Some(*kind),
            flags,
            Some(options.as_str()),
        );
        if result != Err(Errno::ENODEV) {
            break;
        }
    }
    let name = filesystem.mount_types().first().copied().unwrap_or("fat");
    match result {
        Ok(()) => {}
        Err(Errno::ENODEV) => {
            return Err(
                Failure::failed(format!("this machine's kernel cannot read {name}"))
                    .hint(format!("modprobe {name}"))
                    .into(),
            );
        }
        Err(Errno::EEXIST) if filesystem == Filesystem::Btrfs => {
            return Err(anyhow!(
                "a btrfs with the same UUID as the image's is mounted on this machine"
            ));
        }
        Err(e) => return Err(e).with_context(|| format!("mounting the image's {name}")),
    }
    let top = opener::directory(&place).context("opening the image's filesystem")?;
    // Detached, the mount lives as long as descriptors into it do.
    umount2(&place, MntFlags::MNT_DETACH).context("letting go of the image's filesystem")?;
    drop(device);
    umount2(scratch, MntFlags::MNT_DETACH).context("letting go of a place for device nodes")?;
    Ok(top)
}
