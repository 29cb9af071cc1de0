//! Decides which side a path is taken from.
//!
//! A path that only one side changed is taken from that side. If both changed it, TO's version stays, and that is a conflict,
//! unless programs generate the file. Files of packages are taken from TO, whose package database stays. Paths are relative
//! to their half.

use std::path::Path;

use crate::packages::left_out::is_beneath;
use crate::packages::owned::Owned;

/// Which side conflicts are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflicts {
    /// TO's version stays, and FROM's is put beside it.
    #[default]
    Beside,
    /// TO's version, without FROM's beside it.
    Ours,
    /// FROM's version.
    Theirs,
}

/// A path that FROM changed, and that differs in TO.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// The path, relative to its half.
    pub path: &'a Path,
    /// Whether it is in the boot half.
    pub in_boot: bool,
    /// Whether TO changed it, too.
    pub in_both: bool,
    /// Whether it is the identity of the machine or of the environment.
    pub is_identity: bool,
    /// Whether it is a cache, a log, or a file that every boot writes.
    pub is_passing: bool,
    /// Its owner, if a package of either side has it.
    pub owned: Option<Owned>,
}

/// The side that a path is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// FROM's version.
    From,
    /// TO's version, without a message.
    To,
    /// TO's version, since a package has it or programs of TO generate it.
    Packages,
    /// TO's version, and it is a conflict.
    Conflict,
}

/// The package databases, and files of their tools: TO's describe the packages in TO.
const DATABASES: &[&str] = &[
    "etc/apk/world",
    "lib/apk",
    "usr/lib/apk",
    "usr/lib/sysimage",
    "var/lib/apt/extended_states",
    "var/lib/dnf",
    "var/lib/dpkg",
    "var/lib/pacman",
    "var/lib/rpm",
    "var/lib/ucf",
];

/// Files that tools generate from other files, in directories that also have users' files: TO's version is the right one.
const MADE: &[&str] = &[
    "etc/*-",
    "etc/alternatives",
    "etc/ld.so.cache",
    "etc/mailcap",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/shells",
    "etc/ssl/certs",
    "etc/udev/hwdb.bin",
    "bin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "sbin",
    "usr",
    "var/lib/apt",
    "var/lib/binfmts",
    "var/lib/grub",
    "var/lib/initramfs-tools",
    "var/lib/pam",
    "var/lib/python",
    "var/lib/shells.state",
    "var/lib/systemd/catalog",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/lib/systemd/deb-systemd-helper-masked",
    "var/lib/systemd/deb-systemd-user-helper-enabled",
    "var/lib/xml-core",
];

/// The directory below `usr` that belongs to the machine, not to packages.
const OWN: &str = "usr/local";

/// Generated files in the boot half.
const MADE_IN_BOOT: &[&str] = &[
    "grub",
    "initramfs*",
    "initrd*",
    "kernel*.img",
    "System.map*",
    "vmlinuz*",
];

/// Returns the side of a path.
pub fn side(changed: Changed<'_>, conflicts: Conflicts) -> Side {
    let Changed { path, in_boot, .. } = changed;
    let is_of = |patterns: &[&str]| patterns.iter().any(|pattern| is_beneath(path, pattern));
    let is_made = match in_boot {
        true => is_of(MADE_IN_BOOT),
        false => is_of(MADE) && !is_beneath(path, OWN),
    };
    if changed.is_identity {
        Side::To
    } else if changed.owned == Some(Owned::File) || (!in_boot && is_of(DATABASES)) {
        Side::Packages
    } else if !changed.in_both {
        Side::From
    } else if changed.is_passing {
        Side::To
    } else if is_made {
        Side::Packages
    } else {
        match conflicts {
            Conflicts::Theirs => Side::From,
            Conflicts::Beside | Conflicts::Ours => Side::Conflict,
        }
    }
}

/// Returns whether a path is one of the requested ones, or below one; without requested paths, all are.
pub fn is_asked_for(path: &Path, asked: &[impl AsRef<Path>]) -> bool {
    asked.is_empty() || asked.iter().any(|one| path.starts_with(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str) -> Changed<'_> {
        Changed {
            path: Path::new(path),
            in_boot: false,
            in_both: false,
            is_identity: false,
            is_passing: false,
            owned: None,
        }
    }

    #[test]
    fn a_change_of_one_side_is_taken_and_of_both_is_a_conflict() {
        for (path, of_one, of_both) in [
            ("etc/hosts", Side::From, Side::Conflict),
            ("home/pi/a", Side::From, Side::Conflict),
            ("etc/ld.so.cache", Side::From, Side::Packages),
            ("etc/passwd-", Side::From, Side::Packages),
            ("usr/local/bin/own", Side::From, Side::Conflict),
            ("usr/lib/firmware/by-hand.bin", Side::From, Side::Packages),
            ("var/lib/dpkg/status", Side::Packages, Side::Packages),
            ("var/lib/app/db", Side::From, Side::Conflict),
        ] {
            let one = changed(path);
            let both = Changed {
                in_both: true,
                ..one
            };
            assert_eq!(side(one, Conflicts::Beside), of_one, "{path}");
            assert_eq!(side(both, Conflicts::Beside), of_both, "{path}");
            let theirs = side(both, Conflicts::Theirs);
            let want = if of_both == Side::Conflict {
                Side::From
            } else {
                of_both
            };
            assert_eq!(theirs, want, "{path}");
        }
        let initrd = Changed {
            in_boot: true,
            in_both: true,
            ..changed("initrd.img-6.1")
        };
        assert_eq!(side(initrd, Conflicts::Beside), Side::Packages);
    }

    #[test]
    fn identity_is_never_taken_and_files_of_packages_are_tos() {
        let identity = Changed {
            is_identity: true,
            ..changed("etc/machine-id")
        };
        assert_eq!(side(identity, Conflicts::Theirs), Side::To);
        let of_package = |owned| Changed {
            owned: Some(owned),
            ..changed("etc/a")
        };
        assert_eq!(
            side(of_package(Owned::File), Conflicts::Theirs),
            Side::Packages
        );
        assert_eq!(
            side(of_package(Owned::Configuration), Conflicts::Beside),
            Side::From
        );
        let log = Changed {
            is_passing: true,
            in_both: true,
            ..changed("var/log/syslog")
        };
        assert_eq!(side(log, Conflicts::Beside), Side::To);
    }

    #[test]
    fn paths_asked_for_are_with_all_that_is_beneath_them() {
        let asked = [Path::new("/etc"), Path::new("/home/pi")];
        assert!(is_asked_for(Path::new("/etc/a/b"), &asked));
        assert!(is_asked_for(Path::new("/home/pi"), &asked));
        assert!(!is_asked_for(Path::new("/home/pipe"), &asked));
        assert!(is_asked_for(Path::new("/x"), &[] as &[&Path]));
    }
}
