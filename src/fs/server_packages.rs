//! The packages of this server's distribution with programs that netbe calls, or files that it copies.
//!
//! Only for messages: nothing is installed. Not for the distributions of environments.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::failure::Failure;

/// The IDs of distributions, and their install commands; the columns of [`PACKAGES`].
const MANAGERS: [(&[&str], &str); 5] = [
    (&["debian", "ubuntu"], "apt-get install"),
    (&["arch"], "pacman -S"),
    (&["fedora", "rhel", "centos"], "dnf install"),
    (&["suse", "opensuse"], "zypper install"),
    (&["alpine"], "apk add"),
];

/// Programs with their packages.
const PACKAGES: [(&str, [&str; 5]); 17] = [
    (
        "mkfs.btrfs",
        [
            "btrfs-progs",
            "btrfs-progs",
            "btrfs-progs",
            "btrfsprogs",
            "btrfs-progs",
        ],
    ),
    ("wipefs", ["util-linux"; 5]),
    (
        "mount",
        [
            "mount",
            "util-linux",
            "util-linux",
            "util-linux",
            "util-linux",
        ],
    ),
    (
        "exportfs",
        [
            "nfs-kernel-server",
            "nfs-utils",
            "nfs-utils",
            "nfs-kernel-server",
            "nfs-utils",
        ],
    ),
    ("dnsmasq", ["dnsmasq"; 5]),
    (
        "pxelinux.0",
        [
            "pxelinux syslinux-common",
            "syslinux",
            "syslinux-nonlinux",
            "syslinux",
            "syslinux",
        ],
    ),
    (
        "shimx64.efi",
        [
            "shim-signed grub-efi-amd64-signed",
            "ipxe",
            "ipxe-bootimgs-x86",
            "ipxe-bootimgs",
            "ipxe",
        ],
    ),
    (
        "shimaa64.efi",
        [
            "shim-signed grub-efi-arm64-signed",
            "ipxe",
            "ipxe-bootimgs-aarch64",
            "ipxe-bootimgs",
            "ipxe",
        ],
    ),
    (
        "snponly.efi",
        ["ipxe", "ipxe", "ipxe-bootimgs-x86", "ipxe-bootimgs", "ipxe"],
    ),
    (
        "ssh-keygen",
        [
            "openssh-client",
            "openssh",
            "openssh",
            "openssh",
            "openssh-keygen",
        ],
    ),
    ("slirp4netns", ["slirp4netns"; 5]),
    ("mkfs.vfat", ["dosfstools"; 5]),
    ("mke2fs", ["e2fsprogs"; 5]),
    ("e2fsck", ["e2fsprogs"; 5]),
    (
        "fuse2fs",
        [
            "fuse2fs",
            "fuse2fs",
            "e2fsprogs",
            "fuse2fs",
            "e2fsprogs-extra",
        ],
    ),
    ("bwrap", ["bubblewrap"; 5]),
    (
        "tgt-admin",
        ["tgt", "tgt", "scsi-target-utils", "tgt", "tgt"],
    ),
];

/// Emulators of other processors' programs: for Debian up to 12 and Ubuntu up to 24, and after.
const EMULATORS: [[&str; 5]; 2] = [
    [
        "qemu-user-static binfmt-support",
        ARCH,
        "qemu-user-static",
        "qemu-linux-user",
        ALPINE,
    ],
    [
        "qemu-user-binfmt",
        ARCH,
        "qemu-user-static",
        "qemu-linux-user",
        ALPINE,
    ],
];
const ARCH: &str = "qemu-user-static qemu-user-static-binfmt";
const ALPINE: &str = "qemu-openrc qemu-aarch64 qemu-arm && rc-service qemu-binfmt start";

/// Returns the command that installs the package of a program.
pub fn install(program: &str) -> String {
    let row = PACKAGES.iter().find(|(name, _)| *name == program);
    match row {
        Some((_, packages)) => install_of(&os_release(), packages),
        None => format!("install what has {program}"),
    }
}

/// Returns the command that installs emulators of other processors' programs.
pub fn install_emulators() -> String {
    emulators(&os_release())
}

/// Refuses if a program is missing.
///
/// # Errors
/// The hint is the command that installs it.
pub fn require(program: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
        true => Ok(()),
        false => Err(missing(program).into()),
    }
}

/// Returns the failure of a program that is missing.
pub fn missing(program: &str) -> Failure {
    let name = Path::new(program).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    Failure::failed(format!("{name} is not installed")).hint(install(&name))
}

fn os_release() -> String {
    let places = ["/etc/os-release", "/usr/lib/os-release"];
    let read = places.iter().find_map(|path| fs::read_to_string(path).ok());
    read.unwrap_or_default()
}

fn field<'t>(release: &'t str, key: &str) -> &'t str {
    let mut lines = release.lines();
    lines
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map_or("", |value| value.trim_matches(['"', '\'']))
}

/// Returns the command for a server with this os-release; Debian's for an unknown distribution.
fn install_of(release: &str, packages: &[&str; 5]) -> String {
    let mut own = [field(release, "ID")]
        .into_iter()
        .chain(field(release, "ID_LIKE").split(' '));
    let column = own.find_map(|id| {
        let is = |(ids, _): &(&[&str], &str)| {
            ids.iter()
                .any(|known| id == *known || id.starts_with(&format!("{known}-")))
        };
        MANAGERS.iter().position(is)
    });
    let column = column.unwrap_or(0);
    format!("{} {}", MANAGERS[column].1, packages[column])
}

fn emulators(release: &str) -> String {
    let major = field(release, "VERSION_ID").split('.').next().unwrap_or("");
    let newest = match field(release, "ID") {
        "ubuntu" => 24,
        _ => 12,
    };
    let is_older = major.parse().is_ok_and(|major: u32| major <= newest);
    install_of(release, &EMULATORS[usize::from(!is_older)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_servers_distribution() {
        let (_, row) = PACKAGES[3];
        for (release, command) in [
            (
                "ID=debian\nVERSION_ID=\"12\"\n",
                "apt-get install nfs-kernel-server",
            ),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                "apt-get install nfs-kernel-server",
            ),
            ("ID=endeavouros\nID_LIKE=arch\n", "pacman -S nfs-utils"),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                "dnf install nfs-utils",
            ),
            (
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                "zypper install nfs-kernel-server",
            ),
            ("ID=alpine\n", "apk add nfs-utils"),
            ("", "apt-get install nfs-kernel-server"),
        ] {
            assert_eq!(install_of(release, &row), command, "{release}");
        }
    }

    #[test]
    fn emulators_are_named_as_the_release_calls_them() {
        for (release, command) in [
            (
                "ID=debian\nVERSION_ID=\"12\"\n",
                "apt-get install qemu-user-static binfmt-support",
            ),
            (
                "ID=debian\nVERSION_ID=\"13\"\n",
                "apt-get install qemu-user-binfmt",
            ),
            (
                "ID=ubuntu\nVERSION_ID=\"24.04\"\n",
                "apt-get install qemu-user-static binfmt-support",
            ),
            (
                "ID=ubuntu\nVERSION_ID=\"25.10\"\n",
                "apt-get install qemu-user-binfmt",
            ),
            (
                "ID=arch\n",
                "pacman -S qemu-user-static qemu-user-static-binfmt",
            ),
            ("", "apt-get install qemu-user-binfmt"),
        ] {
            assert_eq!(emulators(release), command, "{release}");
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(require("no such program").is_err());
        let failure = missing("/usr/sbin/exportfs");
        assert_eq!(failure.message, "exportfs is not installed");
        let hint = failure.hint.unwrap();
        assert!(
            PACKAGES[3].1.iter().any(|name| hint.ends_with(name)),
            "{hint}"
        );
    }
}
