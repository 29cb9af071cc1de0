//! Mounts filesystems of images, invisible to other processes.
//!
//! A thread enters a new mount namespace, mounts, opens the root directory, and detaches the mount: it exists as long
//! as the descriptor. Nothing is left to unmount after a crash.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::loop_device::{self, attach};
use super::{Filesystem, Partition, spool_range};
use crate::failure::Failure;
use crate::fs::{opener, threads};

/// A copy of a partition whose journal needs recovery.
const RECOVERED: &str = "replayed.img";

/// The owner of the image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Another program or the user: the file is not modified.
    Foreign,
    /// netbe: the file is a temporary copy, in which a journal may be recovered.
    Own,
}

/// The root directory of a mounted filesystem; unmounted when dropped.
#[derive(Debug)]
pub struct Mounted {
    top: File,
}

impl Mounted {
    /// Mounts a partition's filesystem read-only.
    ///
    /// `scratch` is a directory that is used as a mount point, and for a copy of the partition if its journal needs
    /// recovery. `options` are those of the filesystem.
    pub fn open(
        disk: &File,
        access: Access,
        partition: &Partition,
        filesystem: Filesystem,
        options: &str,
        scratch: &Path,
    ) -> Result<Self> {
        let range = (partition.start, partition.size);
        let device_access = match access {
            Access::Foreign => loop_device::Access::ReadOnly,
            Access::Own => loop_device::Access::ReadWrite,
        };
        match mount_in_thread(disk, range, device_access, filesystem, options, scratch) {
            Err(e) if needs_recovery(&e) && access == Access::Foreign => {}
            other => return other,
        }
        let path = scratch.join(format!("{}-{RECOVERED}", partition.number));
        let copy = match File::options().read(true).write(true).open(&path) {
            Ok(copy) => copy,
            Err(_) => {
                let copy = File::options()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .context("creating a copy of the partition")?;
                spool_range(disk, partition.start, partition.size, &copy)?;
                copy
            }
        };
        let whole = (0, partition.size);
        mount_in_thread(
            &copy,
            whole,
            loop_device::Access::ReadWrite,
            filesystem,
            options,
            scratch,
        )
    }

    /// Returns its top directory, opened for reading.
    pub fn top(&self) -> &File {
        &self.top
    }
}

/// If a journal cannot be recovered on a read-only device, every filesystem fails with `EROFS`.
fn needs_recovery(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<Errno>(),
        Some(Errno::EROFS | Errno::EACCES)
    )
}

fn mount_in_thread(
    disk: &File,
    range: (u64, u64),
    device_access: loop_device::Access,
    filesystem: Filesystem,
    options: &str,
    scratch: &Path,
) -> Result<Mounted> {
    let top = std::thread::scope(|scope| {
        let work = || mount_in_namespace(disk, range, device_access, filesystem, options, scratch);
        threads::start_in(scope, work)?
            .join()
            .map_err(|_| anyhow!("the thread that mounts ended early"))?
    })?;
    Ok(Mounted { top })
}

/// Overrides what the image tells the kernel to do on an error.
fn safe_options(filesystem: Filesystem, options: &str) -> String {
    match filesystem {
        Filesystem::Ext if options.is_empty() => "errors=continue".to_string(),
        Filesystem::Ext => format!("{options},errors=continue"),
        _ => options.to_string(),
    }
}

/// Runs in a thread of its own, with whose end the namespace ends.
fn mount_in_namespace(
    disk: &File,
    (start, size): (u64, u64),
    device_access: loop_device::Access,
    filesystem: Filesystem,
    options: &str,
    scratch: &Path,
) -> Result<File> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("making a mount namespace private")?;
    let restricted = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("none"),
        scratch,
        Some("tmpfs"),
        restricted,
        Some("mode=0700"),
    )
    .context("mounting a directory for device nodes")?;
    let device = attach(disk, start, size, device_access, scratch)?;
    let options = safe_options(filesystem, options);
    let place = scratch.join("top");
    std::fs::create_dir(&place)?;
    let flags = restricted | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
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
    // A detached mount exists as long as descriptors in it are open.
    umount2(&place, MntFlags::MNT_DETACH).context("detaching the image's filesystem")?;
    drop(device);
    umount2(scratch, MntFlags::MNT_DETACH).context("detaching the directory for device nodes")?;
    Ok(top)
}
