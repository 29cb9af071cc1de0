//! Whether the content of an initramfs can mount an NFS root.
//!
//! Reasons come only from the content, read from beginning to end: if it cannot be read, or the tool that made
//! it is unknown, there is none. Not for the kernel arguments.

use super::{Way, remedy};
use crate::boot::files::{BootFiles, is_there, text};
use crate::boot::initramfs::{Mounter, Mounting};
use crate::boot::kernel::{self, Contents};
use crate::boot::spec::Want;

/// The mounter of the root, by the content of the initramfs, and why it could not mount it.
pub(super) struct Seen {
    pub(super) how: Mounting,
    pub(super) reasons: Vec<String>,
}

/// Returns the mounter of the root, by the content of the initramfs, and why it could not mount it.
///
/// `how` is the mounter by the root half; `found` is the content, if it can be read to the end.
pub(super) fn check(
    root: &dyn BootFiles,
    way: &Way,
    want: &Want<'_>,
    mut how: Mounting,
    found: Option<&Contents>,
) -> Seen {
    let mut reasons = Vec::new();
    let Some(found) = found.filter(|found| found.init && !found.squashed) else {
        return Seen { how, reasons };
    };
    how.mounter = match () {
        () if found.dracut => Mounter::Dracut,
        () if found.initramfs_tools => Mounter::InitramfsTools,
        () if found.mkinitcpio => Mounter::Mkinitcpio,
        () if found.mkinitfs => Mounter::Unknown,
        () => how.mounter,
    };
    how.has_mount_nfs |= found.is_mount_nfs;
    let names = way.initramfs.join(",");
    let which = format!("the initramfs {names}{}", way.model);
    if let Some(why) = missing(root, found, how) {
        reasons.push(format!(
            "{which} {why}{}",
            remedy::mounting(root, want, how)
        ));
    } else if how.mounter != Mounter::Unknown
        && !found.modules
        && (has_nfs_as_module(root) || has_network_as_modules(root))
    {
        reasons.push(format!(
            "{which} has no kernel modules, and its kernel has NFS or all drivers of wired networks as modules: it was made while \
             they were not in the root{}",
            remedy::initramfs(want, how)
        ));
    } else if how.mounter != Mounter::Unknown && !found.nfs_module && has_nfs_as_module(root) {
        reasons.push(format!(
            "{which} has no module for NFS (nfs.ko), and its kernel has NFS as a module{}",
            remedy::nfs_module(want, how)
        ));
    } else if how.mounter != Mounter::Unknown && !found.net_module && has_network_as_modules(root) {
        reasons.push(format!(
            "{which} has no driver of a wired network, and its kernel has them all as modules: it was made for a machine \
             without, or for this server{}",
            remedy::any_machine(want, how)
        ));
    } else if how.mounter != Mounter::Unknown
        && found.nfs_module
        && let Some(module) = lacks_version(root, found, way)
    {
        reasons.push(format!(
            "{which} has no module for the NFS version of the root ({module}.ko), and its kernel has that as a module{}",
            remedy::nfs_module(want, how)
        ));
    } else if by_mount_nfs(found, how)
        && mounts_version_3(way)
        && let Some(file) = lacks_names(root, found)
    {
        reasons.push(format!(
            "{which} has no {file}, without which its mount.nfs mounts no NFS version 3: netbe set nfs.version=4.2 {} --existing",
            want.hostname
        ));
    }
    Seen { how, reasons }
}

/// Returns what the initramfs lacks to mount an NFS root.
fn missing(root: &dyn BootFiles, found: &Contents, how: Mounting) -> Option<&'static str> {
    match how.mounter {
        Mounter::Dracut if !found.dracut_nfs && (found.dracut || !found.mounts_nfs()) => {
            Some("was made without dracut's module nfs")
        }
        Mounter::InitramfsTools if found.initramfs_tools && !found.nfs_script => {
            Some("was made without initramfs-tools' script for an NFS root")
        }
        Mounter::InitramfsTools if !found.mounts_nfs() => {
            Some("has no nfsmount, by which initramfs-tools mounts an NFS root")
        }
        Mounter::Mkinitcpio if found.mkinitcpio && !found.net_hook => {
            Some("was made without mkinitcpio's hook net")
        }
        Mounter::Mkinitcpio if !found.mounts_nfs() => {
            Some("has no nfsmount, by which mkinitcpio's hook net mounts an NFS root")
        }
        Mounter::Unknown if !found.mounts_nfs() && (found.mkinitfs || has_mkinitfs(root)) => {
            Some("was made by mkinitfs, which mounts no NFS root")
        }
        _ => None,
    }
}

fn has_mkinitfs(root: &dyn BootFiles) -> bool {
    ["sbin/mkinitfs", "usr/sbin/mkinitfs"]
        .iter()
        .any(|path| is_there(root, path))
}

/// Returns whether mount.nfs mounts the root, which looks up protocols by their names.
fn by_mount_nfs(found: &Contents, how: Mounting) -> bool {
    match how.mounter {
        Mounter::Dracut => found.mount_nfs,
        Mounter::InitramfsTools => found.is_mount_nfs,
        _ => false,
    }
}

/// Returns the missing file, of those in which mount.nfs looks up protocols.
fn lacks_names(root: &dyn BootFiles, found: &Contents) -> Option<&'static str> {
    if !found.protocols {
        return Some("/etc/protocols");
    }
    // libtirpc's file; a mount.nfs without libtirpc does not need it.
    (!found.netconfig && is_there(root, "etc/netconfig")).then_some("/etc/netconfig")
}

/// Returns the module for the root's version of NFS, if the initramfs lacks it.
fn lacks_version(root: &dyn BootFiles, found: &Contents, way: &Way) -> Option<&'static str> {
    let line = way.line.as_deref().unwrap_or_default();
    let module = match () {
        () if mounts_version_3(way) && !found.nfsv3_module => "nfsv3",
        () if line.contains("vers=4") && !found.nfsv4_module => "nfsv4",
        () => return None,
    };
    has_as_module(root, module).then_some(module)
}

/// Returns whether NFS is a module of every kernel in the root.
fn has_nfs_as_module(root: &dyn BootFiles) -> bool {
    has_as_module(root, "nfs")
}

fn has_as_module(root: &dyn BootFiles, module: &str) -> bool {
    let start = format!("{module}.ko");
    of_every_kernel(root, &|dir| {
        let names = root.names(&format!("{dir}/kernel/fs/nfs"));
        names.is_ok_and(|names| names.iter().any(|name| name.starts_with(&start)))
    })
}

/// Returns whether every kernel in the root has drivers of wired networks, and none built in.
fn has_network_as_modules(root: &dyn BootFiles) -> bool {
    of_every_kernel(root, &|dir| {
        let builtin = text(root, &format!("{dir}/modules.builtin"));
        let drivers = root.names(&format!("{dir}/kernel/drivers/net/ethernet"));
        let is_built_in = |text: &str| {
            ["/net/ethernet/", "/net/usb/", "/net/virtio_net"]
                .iter()
                .any(|driver| text.contains(driver))
        };
        // Without that list it is not known what is built in.
        matches!(builtin, Ok(Some(text)) if !is_built_in(&text))
            && drivers.is_ok_and(|names| !names.is_empty())
    })
}

/// Returns whether a condition holds for the module directory of every kernel in the root; `false` without any.
fn of_every_kernel(root: &dyn BootFiles, is_so: &dyn Fn(&str) -> bool) -> bool {
    let versions = kernel::module_versions(root);
    let holds = |version: &String| {
        let mut dirs = ["usr/lib/modules", "lib/modules"].iter();
        dirs.any(|dir| is_so(&format!("{dir}/{version}")))
    };
    !versions.is_empty() && versions.iter().all(holds)
}

fn mounts_version_3(way: &Way) -> bool {
    let line = way.line.as_deref().unwrap_or_default();
    ["vers=3", "nfsvers=3", "root=nfs:"]
        .iter()
        .any(|word| line.contains(word))
}
