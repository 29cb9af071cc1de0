//! The mounter of the root: the kernel, or a type of initramfs.
//!
//! With an initramfs the kernel leaves the root to it, and each type interprets the command line differently. Detected
//! by the tools in the root half that build it; an initramfs is not opened here.

mod note;

use super::files::{BootFiles, is_there, text};
pub(super) use note::note;

/// Directories of the hooks that add files to an initramfs.
const HOOKS: [&str; 2] = [
    "etc/initramfs-tools/hooks",
    "usr/share/initramfs-tools/hooks",
];

/// What mounts the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mounter {
    /// Debian's initramfs-tools, with klibc's `nfsmount`: NFS 3 and a fixed set of options.
    InitramfsTools,
    /// dracut, with `mount.nfs`.
    Dracut,
    /// mkinitcpio, with the `net` hook and an `nfsmount` derived from klibc's.
    Mkinitcpio,
    /// The kernel, without an initramfs.
    Kernel,
    /// An initramfs of unknown type.
    Unknown,
}

/// What mounts the root, and whether the initramfs has `mount.nfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mounting {
    /// What mounts the root.
    pub mounter: Mounter,
    /// Whether a hook adds `mount.nfs` to the initramfs, which supports what klibc's `nfsmount` does not.
    pub has_mount_nfs: bool,
}

impl Mounting {
    /// Returns whether klibc's `nfsmount`, or one derived from it, mounts the root.
    pub(super) fn is_klibc(self) -> bool {
        !self.has_mount_nfs && matches!(self.mounter, Mounter::InitramfsTools | Mounter::Mkinitcpio)
    }
}

/// Returns what mounts the root of an environment with or without an initramfs.
pub(super) fn mounting(root: &dyn BootFiles, has_initramfs: bool) -> Mounting {
    let mounter = if has_initramfs {
        builder(root)
    } else {
        Mounter::Kernel
    };
    Mounting {
        mounter,
        has_mount_nfs: mounter == Mounter::InitramfsTools && has_mount_hook(root),
    }
}

/// Returns the tool that builds the initramfs of a root half.
///
/// Debian's `dracut-core` may be installed beside initramfs-tools without being used, so initramfs-tools comes first;
/// mkinitcpio is detected by the presets of its kernels.
fn builder(root: &dyn BootFiles) -> Mounter {
    let installed = |dirs: &[&str], name: &str| {
        let mut paths = dirs.iter().map(|dir| format!("{dir}/{name}"));
        paths.any(|path| is_there(root, &path))
    };
    let has_names = |dir: &str| root.names(dir).is_ok_and(|names| !names.is_empty());
    if installed(&["usr/sbin", "sbin"], "update-initramfs")
        && (has_names("usr/share/initramfs-tools") || has_names("etc/initramfs-tools"))
    {
        return Mounter::InitramfsTools;
    }
    let bins = ["usr/bin", "usr/sbin", "sbin", "bin"];
    let dracut = installed(&bins, "dracut");
    if installed(&bins, "mkinitcpio") && (!dracut || has_names("etc/mkinitcpio.d")) {
        return Mounter::Mkinitcpio;
    }
    if dracut {
        return Mounter::Dracut;
    }
    Mounter::Unknown
}

/// Returns whether a hook of initramfs-tools mentions `mount.nfs`: cheaper than reading the initramfs.
fn has_mount_hook(root: &dyn BootFiles) -> bool {
    HOOKS.iter().any(|dir| {
        let names = root.names(dir).unwrap_or_default();
        names.iter().any(|name| {
            text(root, &format!("{dir}/{name}"))
                .ok()
                .flatten()
                .is_some_and(|hook| copies_mount_nfs(&hook))
        })
    })
}

fn copies_mount_nfs(hook: &str) -> bool {
    let mut lines = hook.lines().map(str::trim_start);
    lines.any(|line| !line.starts_with('#') && line.contains("mount.nfs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn root(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let files = files.iter();
        files
            .map(|(path, text)| ((*path).to_string(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn the_builder_is_detected() {
        let tools = [
            ("usr/sbin/update-initramfs", "#!"),
            ("etc/initramfs-tools/modules", "#"),
        ];
        for (files, expected) in [
            (&tools[..], Mounter::InitramfsTools),
            (
                &[tools[0], tools[1], ("usr/bin/dracut", "#!")],
                Mounter::InitramfsTools,
            ),
            (&[("usr/bin/dracut", "#!")], Mounter::Dracut),
            (
                &[
                    ("usr/sbin/update-initramfs", "#!"),
                    ("usr/bin/dracut", "#!"),
                ],
                Mounter::Dracut,
            ),
            (&[("usr/bin/mkinitcpio", "#!")], Mounter::Mkinitcpio),
            (
                &[
                    ("usr/bin/mkinitcpio", "#!"),
                    ("usr/bin/dracut", "#!"),
                    ("etc/mkinitcpio.d/linux.preset", "x"),
                ],
                Mounter::Mkinitcpio,
            ),
            (
                &[("usr/bin/mkinitcpio", "#!"), ("usr/bin/dracut", "#!")],
                Mounter::Dracut,
            ),
            (&[("sbin/mkinitfs", "#!")], Mounter::Unknown),
        ] {
            assert_eq!(mounting(&root(files), true).mounter, expected, "{files:?}");
            assert_eq!(mounting(&root(files), false).mounter, Mounter::Kernel);
        }
    }

    #[test]
    fn a_hook_with_mount_nfs_counts_and_a_comment_does_not() {
        let with = |hook| {
            root(&[
                ("usr/sbin/update-initramfs", "#!"),
                ("etc/initramfs-tools/hooks/nfs4", hook),
            ])
        };
        let mounts = mounting(&with("copy_exec /sbin/mount.nfs /bin/nfsmount\n"), true);
        assert!(mounts.has_mount_nfs && !mounts.is_klibc());
        assert!(mounting(&with("  # mount.nfs would be nice\n"), true).is_klibc());
    }
}
