//! The note about an initramfs for which it is unknown whether it mounts an NFS root, and on which machines.
//!
//! Not for certain failures: `verify`.

use super::{Mounter, Mounting};
use crate::boot::files::BootFiles;
use crate::boot::kernel::{self, Initramfs};
use crate::boot::spec::Want;
use crate::boot::summary_for;

/// Returns a note if it is unknown which tool made the initramfs, whether it mounts an NFS root, or on which machines.
pub(in crate::boot) fn note(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    want: &Want<'_>,
    how: Mounting,
) -> Option<String> {
    let files = summary_for(boot, root, want.serial).initramfs;
    let is_large = |path: &&String| {
        let length = boot.length(path).ok().flatten().unwrap_or_default();
        length >= kernel::INITRAMFS_LIMIT as u64
    };
    if let Some(large) = files.iter().find(is_large) {
        return Some(format!(
            "the initramfs {large} is larger than {} MiB, and was not read to its end: whether it mounts an NFS root is unknown",
            kernel::INITRAMFS_LIMIT >> 20
        ));
    }
    if !matches!(how.mounter, Mounter::Unknown | Mounter::Dracut) {
        return None;
    }
    let found = kernel::contents(boot, &files)
        .ok()
        .and_then(Initramfs::contents);
    if found.as_ref().is_some_and(|found| found.squashed) {
        return Some(format!(
            "the initramfs {} has its content in a squashfs, which netbe does not open: whether it mounts an NFS root, and has \
             the node's network driver, is unknown",
            files.join(",")
        ));
    }
    if how.mounter == Mounter::Dracut {
        return found.filter(|found| found.host_only).map(|_| {
            format!(
                "the initramfs {} was made by dracut for one machine: another may miss its drivers; for any machine: netbe run {} \
                 -- sh -c 'echo hostonly=no > /etc/dracut.conf.d/zz-any.conf && dracut --force --regenerate-all'",
                files.join(","),
                want.name
            )
        });
    }
    let is_known =
        found.is_some_and(|found| found.mounts_nfs() || found.dracut_nfs || found.mkinitfs);
    (!is_known && !files.is_empty()).then(|| {
        format!(
            "an unknown tool made the initramfs {}: whether it mounts an NFS root is unknown",
            files.join(",")
        )
    })
}
