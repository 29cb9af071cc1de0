//! Who mounts the root: the kernel, or which kind of initramfs.
//!
//! With an initramfs the kernel leaves the root to it, and each kind reads the command line its own way.
//! Told from what is installed in the root half, which made the initramfs. Not for looking into one.

use super::files::{BootFiles, is_there, text};

/// Where initramfs-tools finds the scripts that put files into an initramfs.
const HOOKS: [&str; 2] = [
    "etc/initramfs-tools/hooks",
    "usr/share/initramfs-tools/hooks",
];

/// Who mounts the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mounter {
    /// Debian's initramfs-tools, with klibc's `nfsmount`: NFS 3, and options it knows only.
    InitramfsTools,
    /// dracut, with a real `mount.nfs`.
    Dracut,
    /// mkinitcpio, with the `net` hook and a `nfsmount` that came from klibc's.
    Mkinitcpio,
    /// The kernel itself: there is no initramfs.
    Kernel,
    /// An initramfs made by nothing known.
    Unknown,
}

/// Who mounts the root, and whether it brings more than it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mounting {
    /// Who mounts.
    pub mounter: Mounter,
    /// Whether a hook puts `mount.nfs` into the initramfs, which can do what klibc's `nfsmount` cannot.
    pub has_mount_nfs: bool,
}

impl Mounting {
    /// Returns whether klibc's `nfsmount`, or its offspring, does the mounting.
    pub(super) fn is_klibc(self) -> bool {
        !self.has_mount_nfs && matches!(self.mounter, Mounter::InitramfsTools | Mounter::Mkinitcpio)
    }
}

/// Returns who mounts the root of an environment whose loader is or is not told to load an initramfs.
pub(super) fn mounting(root: &dyn BootFiles, has_initramfs: bool) -> Mounting {
    let mounter = if has_initramfs {
        maker(root)
    } else {
        Mounter::Kernel
    };
    Mounting {
        mounter,
        has_mount_nfs: mounter == Mounter::InitramfsTools && has_mount_hook(root),
    }
}

/// Returns the tool that makes the initramfs in a root half.
///
/// Debian's `dracut-core` can stand beside initramfs-tools without being used, so initramfs-tools goes
/// first where its program is there too; mkinitcpio is known by the presets its kernels bring.
fn maker(root: &dyn BootFiles) -> Mounter {
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

/// Returns whether a hook of initramfs-tools speaks of `mount.nfs`: what is in the initramfs cannot be
/// seen cheaply, what put it there can.
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
    fn the_maker_is_recognised() {
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
