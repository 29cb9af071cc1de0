//! The kernel recorded for an environment, and whether it is still the same.

use std::path::Path;

use nix::sys::stat::FileStat;

use crate::boot::{self, Loader};
use crate::pool::record::KernelSeen;

/// Returns the kernel's version with the stamp of the files it was read from; `None` without a kernel.
pub fn kernel_seen(boot_half: &Path, summary: &boot::Summary) -> Option<KernelSeen> {
    let file = summary.kernel_file.clone()?;
    let named_by = match summary.loader? {
        Loader::Rpi => "config.txt",
        Loader::Pxelinux | Loader::GrubEfi | Loader::Grub => "pxelinux.cfg/default",
    };
    let stat = |path: &str| nix::sys::stat::lstat(&boot_half.join(path)).ok();
    Some(KernelSeen {
        stamp: stamp(&stat(named_by)?, &stat(&file)?),
        named_by: named_by.to_string(),
        version: summary.kernel_version.clone()?,
        file,
    })
}

/// Returns the stamp of an environment's kernel: sizes and times of the file that names it and of the kernel file.
pub(super) fn stamp(named_by: &FileStat, kernel: &FileStat) -> String {
    let one = |s: &FileStat| format!("{}:{}.{:09}", s.st_size, s.st_mtime, s.st_mtime_nsec);
    format!("{};{}", one(named_by), one(kernel))
}
