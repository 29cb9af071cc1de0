//! The commands that mend the findings of a verification, by distribution.
//!
//! Each is `: netbe run NODE/ENV -- COMMAND`, to be appended to a sentence; empty if no command is known to help.

use crate::boot::files::{BootFiles, is_there, text};
use crate::boot::initramfs::{Mounter, Mounting};
use crate::boot::spec::Want;

/// Returns the command that makes an initramfs again.
pub(super) fn initramfs(want: &Want<'_>, how: Mounting) -> String {
    let command = match how.mounter {
        Mounter::InitramfsTools => "update-initramfs -u -k all",
        Mounter::Mkinitcpio => "mkinitcpio -P",
        Mounter::Dracut => "dracut --force --regenerate-all",
        Mounter::Kernel | Mounter::Unknown => {
            return ": make it again, or import the system again".to_string();
        }
    };
    format!(": netbe run {} -- {command}", want.name)
}

/// Returns the command that installs a kernel again.
pub(super) fn kernel(root: &dyn BootFiles, want: &Want<'_>, version: Option<&str>) -> String {
    let command = version.and_then(|version| reinstall(root, version));
    command.map_or_else(
        || ": put the whole one in its place".to_string(),
        |command| format!(": netbe run {} -- {command}", want.name),
    )
}

fn reinstall(root: &dyn BootFiles, version: &str) -> Option<String> {
    let dpkg = [
        format!("linux-image-{version}"),
        "raspberrypi-kernel".to_string(),
    ];
    let of_dpkg = |name: &&String| is_there(root, &format!("var/lib/dpkg/info/{name}.list"));
    if let Some(package) = dpkg.iter().find(of_dpkg) {
        return Some(format!("apt-get install -y --reinstall {package}"));
    }
    let pkgbase = text(root, &format!("usr/lib/modules/{version}/pkgbase"))
        .ok()
        .flatten();
    if let Some(package) = pkgbase
        .as_deref()
        .map(str::trim)
        .filter(|name| is_package(name))
    {
        return Some(format!("pacman -S --noconfirm {package}"));
    }
    let ids = ids(root);
    let is = |names: &[&str]| names.iter().any(|name| ids.iter().any(|id| id == name));
    let flavour = version.rsplit('-').next().unwrap_or_default();
    match () {
        () if is(&["fedora", "rhel"]) => Some(format!("dnf reinstall -y kernel-core-{version}")),
        () if is(&["suse", "opensuse"]) => Some(format!("zypper -n install -f kernel-{flavour}")),
        () if is(&["alpine"]) => Some(format!("apk fix --reinstall linux-{flavour}")),
        () => None,
    }
}

/// Returns whether a text that a node wrote is a package's name, safe in a command.
fn is_package(name: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    !name.is_empty() && name.bytes().all(is_valid) && !name.starts_with('-')
}

/// Returns the command that puts modules of a disk and its filesystem into an initramfs.
pub(super) fn disk_modules(want: &Want<'_>, how: Mounting, names: &[String]) -> String {
    let names = names.join(" ");
    let command = match how.mounter {
        Mounter::InitramfsTools => {
            format!(
                "printf \"%s\\n\" {names} >>/etc/initramfs-tools/modules && update-initramfs -u -k all"
            )
        }
        Mounter::Dracut => {
            format!(
                "echo add_drivers+=\\\" {names} \\\" >/etc/dracut.conf.d/zz-disk.conf && dracut --force --regenerate-all"
            )
        }
        Mounter::Mkinitcpio => {
            format!("sed -i \"/^MODULES=/s/)/ {names})/\" /etc/mkinitcpio.conf && mkinitcpio -P")
        }
        Mounter::Kernel | Mounter::Unknown => return initramfs(want, how),
    };
    format!(": netbe run {} -- sh -c '{command}'", want.name)
}

/// Returns the command that adds iSCSI to an initramfs.
pub(super) fn iscsi(want: &Want<'_>, how: Mounting) -> String {
    let command = match how.mounter {
        Mounter::InitramfsTools => {
            "apt-get install -y open-iscsi && echo sd_mod >>/etc/initramfs-tools/modules && update-initramfs -u -k all"
        }
        Mounter::Dracut => {
            "echo \"add_dracutmodules+=\\\" iscsi \\\"; hostonly=no\" > /etc/dracut.conf.d/iscsi.conf && dracut --force \
             --regenerate-all"
        }
        _ => return String::new(),
    };
    format!(": netbe run {} -- sh -c '{command}'", want.name)
}

/// Returns the command that makes an initramfs for any machine.
pub(super) fn any_machine(want: &Want<'_>, how: Mounting) -> String {
    let command = match how.mounter {
        Mounter::InitramfsTools => {
            "echo MODULES=most > /etc/initramfs-tools/conf.d/zz-most && update-initramfs -u -k all"
        }
        Mounter::Mkinitcpio => {
            "sed -i \"/^HOOKS=/s/ autodetect//\" /etc/mkinitcpio.conf && mkinitcpio -P"
        }
        Mounter::Dracut => {
            "echo hostonly=no > /etc/dracut.conf.d/zz-any.conf && dracut --force --regenerate-all"
        }
        Mounter::Kernel | Mounter::Unknown => return initramfs(want, how),
    };
    format!(": netbe run {} -- sh -c '{command}'", want.name)
}

/// Returns the command that makes an initramfs which mounts NFS, by distribution.
pub(super) fn mounting(root: &dyn BootFiles, want: &Want<'_>, how: Mounting) -> String {
    let ids = ids(root);
    let is = |names: &[&str]| names.iter().any(|name| ids.iter().any(|id| id == name));
    let command = match how.mounter {
        Mounter::InitramfsTools => {
            "apt-get install -y initramfs-tools klibc-utils && update-initramfs -u -k all".to_string()
        }
        Mounter::Mkinitcpio => "pacman -S --needed --noconfirm mkinitcpio-nfs-utils && mkdir -p /etc/mkinitcpio.conf.d && echo \
             \"HOOKS=(base udev modconf keyboard net block filesystems)\" > /etc/mkinitcpio.conf.d/nfs.conf && mkinitcpio -P"
            .to_string(),
        Mounter::Dracut => {
            let install = match () {
                () if is(&["debian", "ubuntu"]) => "apt-get install -y dracut-network nfs-common",
                () if is(&["fedora", "rhel"]) => "dnf install -y dracut-network nfs-utils",
                () if is(&["suse", "opensuse"]) => "zypper -n install nfs-client",
                () if is(&["arch"]) => "pacman -S --needed --noconfirm nfs-utils",
                () if is(&["void"]) => "xbps-install -y dracut-network nfs-utils",
                () => "true",
            };
            format!(
                "{install} && echo \"add_dracutmodules+=\\\" nfs \\\"; hostonly=no\" > /etc/dracut.conf.d/nfs.conf && dracut \
                 --force --regenerate-all"
            )
        }
        _ => {
            return ": a kernel with CONFIG_ROOT_NFS=y needs none, and dracut makes one that does".to_string();
        }
    };
    format!(": netbe run {} -- sh -c '{command}'", want.name)
}

/// Returns the command that makes an initramfs with the module of NFS.
pub(super) fn nfs_module(want: &Want<'_>, how: Mounting) -> String {
    let command = match how.mounter {
        Mounter::InitramfsTools => {
            "printf \"nfs\\nnfsv3\\nnfsv4\\n\" >> /etc/initramfs-tools/modules && update-initramfs -u -k all"
        }
        Mounter::Mkinitcpio => {
            "mkdir -p /etc/mkinitcpio.conf.d && echo \"MODULES+=(nfs nfsv3 nfsv4)\" > /etc/mkinitcpio.conf.d/nfs-module.conf && mkinitcpio -P"
        }
        _ => {
            "echo \"add_drivers+=\\\" nfs nfsv3 nfsv4 \\\"; hostonly=no\" > /etc/dracut.conf.d/nfs-module.conf && dracut --force \
             --regenerate-all"
        }
    };
    format!(": netbe run {} -- sh -c '{command}'", want.name)
}

/// Returns a system's ID and the IDs that it is like, from its os-release.
fn ids(root: &dyn BootFiles) -> Vec<String> {
    let places = ["etc/os-release", "usr/lib/os-release"];
    let release = places
        .iter()
        .find_map(|path| text(root, path).ok().flatten())
        .unwrap_or_default();
    let values = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    values
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .map(str::to_string)
        .collect()
}
