//! Verifies that an fstab mounts the boot half, and no other root.

use crate::boot::files::{BootFiles, text};
use crate::boot::fstab;
use crate::boot::local_root::OwnRoot;
use crate::boot::spec::Want;

/// The node's fstab in the root half.
const FSTAB: &str = "etc/fstab";

/// Adds the reasons why the fstab of a root half does not have the wanted mounts.
pub(super) fn check(
    root: &dyn BootFiles,
    want: &Want<'_>,
    boot_mount: &str,
    boot_spec: &str,
    reasons: &mut Vec<String>,
) {
    if want.root.mounts_boot() {
        of_network(root, boot_mount, boot_spec, reasons);
    } else if let Some(own) = want.root.own() {
        of_own(root, own, boot_mount, reasons);
    }
}

fn of_own(root: &dyn BootFiles, own: &OwnRoot, boot_mount: &str, reasons: &mut Vec<String>) {
    match text(root, FSTAB) {
        Ok(content) => reasons.extend(fstab::reasons_against_own(
            FSTAB,
            &content.unwrap_or_default(),
            own,
            boot_mount,
        )),
        Err(e) => reasons.push(format!("{FSTAB} cannot be read: {e}")),
    }
}

fn of_network(root: &dyn BootFiles, boot_mount: &str, boot_spec: &str, reasons: &mut Vec<String>) {
    let content = match text(root, FSTAB) {
        Ok(content) => content.unwrap_or_default(),
        Err(e) => {
            reasons.push(format!("{FSTAB} cannot be read: {e}"));
            return;
        }
    };
    let entries = fstab::entries(&content);
    for entry in entries.iter().filter(|e| e.file == "/") {
        reasons.push(format!(
            "{FSTAB} mounts {} as /, which the kernel command line does already",
            entry.spec
        ));
    }
    let mounted: Vec<_> = entries.iter().filter(|e| e.file == boot_mount).collect();
    match mounted.as_slice() {
        [] => reasons.push(format!(
            "{FSTAB} does not mount {boot_spec} at {boot_mount}"
        )),
        [entry] if entry.is_nfs() && entry.spec == boot_spec => {}
        [entry] => reasons.push(format!(
            "{FSTAB} mounts {} at {boot_mount}, not {boot_spec}",
            entry.spec
        )),
        [_, ..] => reasons.push(format!("{FSTAB} mounts several things at {boot_mount}")),
    }
}
