//! Whether an imported tree is an operating system, and has a kernel.
//!
//! By file names only: the contents are verified before activation.

use anyhow::{Context, Result};

use super::Source;
use crate::failure::Failure;
use crate::fs::path_error::is_system_error;
use crate::fs::rooted::Tree;
use crate::packages::{Distribution, Family};

const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
const PROGRAMS: [&str; 3] = ["bin/sh", "usr/bin/sh", "sbin/init"];
const INITS: [&str; 4] = [
    "sbin/init",
    "usr/sbin/init",
    "lib/systemd/systemd",
    "bin/init",
];
/// The directory with one subdirectory for each kernel.
const MODULES: &str = "usr/lib/modules";
/// How deep kernels are looked for: boot loader entries lie at `MACHINE-ID/VERSION/linux`.
const KERNEL_DEPTH: usize = 3;

/// Trees that are no installed system, by a path in them: the kind of the tree, and the command that makes a system of it.
const OTHERS: [(&str, &str, Option<&str>); 7] = [
    (
        "ostree/repo",
        "it is an OSTree system, whose roots are beneath ostree/deploy and are put together at boot",
        None,
    ),
    (
        "casper/filesystem.squashfs",
        "it is a live medium",
        Some("unsquashfs -d root casper/filesystem.squashfs; netbe import NODE root --boot casper"),
    ),
    (
        "live/filesystem.squashfs",
        "it is a live medium",
        Some("unsquashfs -d root live/filesystem.squashfs; netbe import NODE root"),
    ),
    ("LiveOS/squashfs.img", "it is a live medium", None),
    (
        "apks",
        "it is Alpine's medium for a system in memory: install it on a disk (setup-alpine -m sys), and import that",
        None,
    ),
    ("oci-layout", "it is a container image", Some(CONTAINER)),
    ("manifest.json", "it is a container image", Some(CONTAINER)),
];
const CONTAINER: &str = "docker export $(docker create IMAGE) | netbe import NODE -";

/// Returns the kind of a tree that is no installed system, and the command that makes a system of it.
pub(super) fn other_kind(
    is_there: &dyn Fn(&str) -> Result<bool>,
) -> Option<(&'static str, Option<&'static str>)> {
    let mut others = OTHERS.iter();
    let found = others.find(|(name, _, _)| is_there(name).unwrap_or(false));
    found.map(|(_, what, hint)| (*what, *hint))
}

/// How much a tree looks like a system, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SystemMatch {
    /// It has a shell or an init.
    Programs,
    /// It has an os-release.
    Named,
    /// It has both.
    Complete,
}

/// Returns how much the tree at a path (`""` is the top) looks like a system.
///
/// `is_there` returns whether a path exists, also as a dangling link: its target may be on another filesystem of a
/// running system.
pub(super) fn system_match(
    is_there: &dyn Fn(&str) -> Result<bool>,
    at: &str,
) -> Result<Option<SystemMatch>> {
    let has = |names: &[&str]| {
        for name in names {
            if is_there(&format!("{at}/{name}"))? {
                return Ok(true);
            }
        }
        Ok::<_, anyhow::Error>(false)
    };
    Ok(match (has(&OS_RELEASE)?, has(&INITS)?) {
        (true, true) => Some(SystemMatch::Complete),
        (true, false) => Some(SystemMatch::Named),
        _ if has(&PROGRAMS)? => Some(SystemMatch::Programs),
        _ => None,
    })
}

/// Returns whether a path exists in a tree, for [`system_match`].
pub(super) fn is_there(tree: &Tree, path: &str) -> bool {
    matches!(tree.symlink_metadata(path), Ok(Some(_)))
}

/// Fails unless a tree is an operating system's root.
pub(super) fn require_system(root: &Tree, source: &Source) -> Result<()> {
    let is_there = |path: &str| Ok(is_there(root, path));
    if system_match(&is_there, "")?.is_some() {
        return Ok(());
    }
    let shown = shown(source);
    let not = |why: &str| {
        Failure::failed(format!(
            "{shown} is not an operating system netbe can read: {why}"
        ))
    };
    if let Some((what, hint)) = other_kind(&is_there) {
        let failure = not(what);
        return Err(match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
        .into());
    }
    let failure = not("it has neither os-release nor a shell");
    let is_named = |name: &String| {
        system_match(&is_there, name).is_ok_and(|found| found > Some(SystemMatch::Programs))
    };
    let inner = root.names("")?.into_iter().find(is_named);
    Err(match (inner, source) {
        (Some(inner), Source::Directory(path)) => not(&format!("its directory {inner} is one"))
            .hint(format!("netbe import NODE {}", path.join(inner).display())),
        (Some(inner), _) => not(&format!(
            "its directory '{inner}' is one, which has to be unpacked and imported by itself"
        )),
        (None, _) => failure,
    }
    .into())
}

/// Fails unless a boot half holds something like a kernel.
pub(super) fn require_kernel(root: &Tree, boot: &Tree, boot_mount: &str) -> Result<()> {
    if has_kernel(boot, "", KERNEL_DEPTH)? {
        return Ok(());
    }
    let missing = format!("the system has no kernel in {boot_mount}");
    // Container images, and Fedora's OSTree images, have the kernel only where its package put it.
    for version in root.names(MODULES)? {
        let kernel = format!("{MODULES}/{version}/vmlinuz");
        if root.metadata(&kernel)?.is_some_and(|m| m.is_file()) {
            return Err(Failure::failed(format!(
                "{missing}; there is one at /{kernel}, for which nothing was put into {boot_mount}: kernel-install add {version} \
                 /{kernel} in the system does, or copy it to {boot_mount}/vmlinuz-{version} and make an initramfs for it"
            ))
            .into());
        }
    }
    Err(Failure::failed(format!(
        "{missing}: install one in it ({}), or name the directory that has it with --boot",
        kernel_package(root)
    ))
    .into())
}

/// Returns the package that has a system's kernel, as its distribution calls it.
fn kernel_package(root: &Tree) -> &'static str {
    match Distribution::read(root).map_or(Family::Unknown, |found| found.family) {
        Family::Debian => "apt-get install linux-image-amd64 or linux-image-arm64",
        Family::Arch => "pacman -S linux",
        Family::Alpine => "apk add linux-lts",
        Family::Fedora => "dnf install kernel",
        Family::Suse => "zypper install kernel-default",
        Family::Unknown => "its package of the kernel",
    }
}

fn has_kernel(boot: &Tree, at: &str, depth: usize) -> Result<bool> {
    for name in boot.names(at)? {
        let path = format!("{at}/{name}");
        let found = match boot.metadata(&path) {
            Ok(Some(found)) => found,
            Err(e) if is_system_error(&e) => return Err(e).context(path),
            _ => continue,
        };
        if found.is_file() && found.len() > 0 && is_kernel(at, &name) {
            return Ok(true);
        }
        if found.is_dir() && depth > 1 && has_kernel(boot, &path, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_kernel(directory: &str, name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let begins = ["vmlinu", "image", "bzimage", "zimage", "uimage"]
        .iter()
        .any(|start| lower.starts_with(start));
    begins
        || (lower.starts_with("kernel") && lower.ends_with(".img"))
        || lower == "linux"
        // Other .efi files are boot loaders.
        || (lower.ends_with(".efi") && directory.to_ascii_lowercase().ends_with("/efi/linux"))
}

/// Returns the name of a source in messages.
pub(super) fn shown(source: &Source) -> String {
    match source {
        Source::Directory(path) | Source::File(path) => format!("'{}'", path.display()),
        Source::Stdin => "the data on standard input".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_known_by_name() {
        for (directory, name) in [
            ("", "vmlinuz-6.1.0-18-amd64"),
            ("", "vmlinux-6.1"),
            ("", "kernel8.img"),
            ("", "kernel_2712.img"),
            ("", "Image.gz"),
            ("", "bzImage"),
            ("/EFI/Linux", "debian-6.1.efi"),
            ("/0123456789abcdef/6.1", "linux"),
        ] {
            assert!(is_kernel(directory, name), "{directory}/{name}");
        }
        for (directory, name) in [
            ("", "config-6.1"),
            ("", "initrd.img-6.1"),
            ("", "start4.elf"),
            ("/EFI/BOOT", "BOOTX64.EFI"),
            ("", "kernel8.txt"),
        ] {
            assert!(!is_kernel(directory, name), "{directory}/{name}");
        }
    }

    #[test]
    fn other_kinds_of_trees_are_recognised_by_their_top_directory() {
        for (there, what) in [
            ("ostree/repo", "OSTree"),
            ("casper/filesystem.squashfs", "live medium"),
            ("oci-layout", "container image"),
        ] {
            let found = other_kind(&|path| Ok(path == there)).unwrap();
            assert!(found.0.contains(what), "{found:?}");
        }
        assert_eq!(other_kind(&|_| Ok(false)), None);
    }
}
