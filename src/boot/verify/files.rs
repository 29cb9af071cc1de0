//! Verifies that kernel, initramfs and modules exist and match.

use std::io;

use super::{Way, starts};
use crate::boot::files::{BootFiles, Presence, presence};
use crate::boot::kernel;

/// Returns the faults of the files that a loader would load, a sentence each.
pub(super) fn check(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    way: &Way,
    is_nfs: bool,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let initramfs = way.initramfs.iter();
    let loadable: Vec<&String> = initramfs
        .filter(|path| is_loadable(boot, way, "initramfs", path, &mut reasons))
        .collect();
    let Some(kernel) = &way.kernel else {
        return reasons;
    };
    if !is_loadable(boot, way, "kernel", kernel, &mut reasons) {
        return reasons;
    }
    reasons.extend(starts::check(boot, root, way, kernel));
    let version = match kernel::version_of(boot, kernel) {
        Ok(version) => version.or_else(|| kernel::version_in_name(kernel).map(str::to_string)),
        Err(e) => {
            reasons.push(format!(
                "the kernel {kernel}{} cannot be read: {e}",
                way.model
            ));
            return reasons;
        }
    };
    // An image without a readable version may be valid.
    let Some(version) = version else {
        return reasons;
    };
    if !kernel::has_modules(root, &version) {
        reasons.push(format!(
            "the kernel {kernel}{} is version {version}, and the root has no modules for it in lib/modules",
            way.model
        ));
    }
    for path in loadable {
        match other_version(boot, path, &version) {
            Ok(None) => {}
            Ok(Some(other)) => reasons.push(format!(
                "the initramfs {path}{} is for version {other}, and the kernel {kernel} is version {version}",
                way.model
            )),
            Err(e) => reasons.push(format!("the initramfs {path}{} cannot be read: {e}", way.model)),
        }
    }
    if way.initramfs.is_empty()
        && is_nfs
        && kernel::is_built_in(boot, root, &version, "CONFIG_ROOT_NFS") == Some(false)
    {
        reasons.push(format!(
            "the kernel {kernel}{} cannot mount an NFS root by itself (its configuration has no \
             CONFIG_ROOT_NFS=y), and no initramfs is loaded",
            way.model
        ));
    }
    reasons
}

/// Returns the version of an initramfs, if it differs.
fn other_version(boot: &dyn BootFiles, path: &str, version: &str) -> io::Result<Option<String>> {
    match kernel::version_in_initramfs_name(path) {
        Some(named) => Ok((named != version).then(|| named.to_string())),
        None => kernel::foreign_modules(boot, path, version),
    }
}

fn is_loadable(
    boot: &dyn BootFiles,
    way: &Way,
    what: &str,
    path: &str,
    reasons: &mut Vec<String>,
) -> bool {
    // An absolute path in PXELINUX's files starts at the TFTP root, where it may be another node's.
    if path.starts_with('/') || path.contains("::") || path.contains("://") {
        reasons.push(format!(
            "{} loads the {what} {path}, which is not in this boot folder",
            way.file
        ));
        return false;
    }
    let fault = match presence(boot, path) {
        Presence::There => return true,
        Presence::Missing => "is missing".to_string(),
        Presence::Empty => "is empty".to_string(),
        Presence::Unreadable(why) => format!("cannot be read: {why}"),
    };
    reasons.push(format!("the {what} {path}{} {fault}", way.model));
    false
}
