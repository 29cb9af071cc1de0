//! The kernel that was last seen in an environment, and what tells whether it is still that.

use std::path::Path;

use nix::sys::stat::FileStat;

use crate::boot::{self, Loader};
use crate::pool::record::KernelSeen;

/// Returns the kernel's version with the stamp of what it was read from; `None` where it has none.
pub fn kernel_seen(boot_half: &Path, summary: &boot::Summary) -> Option<KernelSeen> {
    let file = summary.kernel_file.clone()?;
    let named_by = match summary.loader? {
        Loader::Rpi => "config.txt",
        Loader::Pxelinux => "pxelinux.cfg/default",
    };
    let stat = |path: &str| nix::sys::stat::lstat(&boot_half.join(path)).ok();
    Some(KernelSeen {
        stamp: stamp(&stat(named_by)?, &stat(&file)?),
        named_by: named_by.to_string(),
        version: summary.kernel_version.clone()?,
        file,
    })
}

/// Returns what changes when the kernel an environment boots changes: sizes and times of the file that
/// names it and of itself.
pub(super) fn stamp(named_by: &FileStat, kernel: &FileStat) -> String {
    let one = |s: &FileStat| format!("{}:{}.{:09}", s.st_size, s.st_mtime, s.st_mtime_nsec);
    format!("{};{}", one(named_by), one(kernel))
}
