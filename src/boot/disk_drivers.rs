//! Whether an initramfs, or the kernel without one, has the modules that a root on the node's own disk needs.
//!
//! Pure. A module counts as missing only if that is certain: the kernel has it as a file in the root half, and the initramfs
//! was read to its end and does not have it. Not for the command line.

use super::cmdline_tokens::Line;
use super::files::BootFiles;
use super::kernel::{self, Contents, Modules};
use super::spec::RootPlace;

/// The drivers of disks: at least one of them drives the root's disk.
const OF_DISKS: [&str; 7] = [
    "nvme",
    "sd_mod",
    "virtio_blk",
    "mmc_block",
    "xen_blkfront",
    "dasd_mod",
    "ubi",
];

/// The modules that a root on a disk needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// Its filesystem, if known.
    filesystem: Option<String>,
    /// The drivers of its disk, if known.
    drivers: Vec<String>,
}

/// The missing modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// These modules.
    Modules(Vec<String>),
    /// Any driver of disks.
    AnyDriver,
}

impl Needs {
    /// Returns the needs of a root, by its place and the command line; `None` for a root that is on no disk of the node's.
    pub(super) fn of(root: &RootPlace, line: Option<&str>) -> Option<Self> {
        match root {
            RootPlace::Disk(disk) => Some(Self {
                filesystem: Some(disk.filesystem.clone()),
                drivers: disk.drivers.clone(),
            }),
            RootPlace::Own(_) => Some(Self {
                filesystem: Some("btrfs".to_string()),
                drivers: Vec::new(),
            }),
            RootPlace::Local(_) => {
                let line = line.and_then(|text| Line::parse(text).ok());
                let named = line.as_ref().and_then(|line| line.value("rootfstype"));
                Some(Self {
                    filesystem: named.filter(|name| is_name(name)).map(str::to_string),
                    drivers: Vec::new(),
                })
            }
            RootPlace::Nfs { .. } | RootPlace::Iscsi(_) => None,
        }
    }

    /// Returns the needs that neither an initramfs, `found`, nor the kernel has; `None` if none is missing, or if unknown.
    pub(super) fn lack(
        &self,
        root: &dyn BootFiles,
        version: &str,
        has_initramfs: bool,
        found: Option<&Contents>,
    ) -> Option<Lack> {
        let found = found.filter(|found| found.init && !found.squashed);
        if has_initramfs && found.is_none() {
            return None;
        }
        let modules = Modules::of(root, version);
        let is_brought = |name: &str| found.is_some_and(|found| found.has_module(name));
        let filesystem = self
            .filesystem
            .iter()
            .filter(|name| kernel::has_filesystem_as_module(root, version, name));
        let drivers = self
            .drivers
            .iter()
            .filter(|name| is_name(name) && modules.is_loadable(name));
        let needed = filesystem.chain(drivers);
        let missing: Vec<String> = needed.filter(|name| !is_brought(name)).cloned().collect();
        if !missing.is_empty() {
            return Some(Lack::Modules(missing));
        }
        // An added module may be the driver.
        let may_be_added = found.is_some_and(|found| found.added_module);
        let none_drives = OF_DISKS.iter().all(|name| !is_brought(name))
            && OF_DISKS.iter().all(|name| modules.is_not_built_in(name))
            && OF_DISKS.iter().any(|name| modules.is_loadable(name));
        (self.drivers.is_empty() && none_drives && !may_be_added).then_some(Lack::AnyDriver)
    }
}

impl Lack {
    /// Returns the lack as a sentence, to which a remedy can be appended.
    pub(super) fn sentence(&self, has_initramfs: bool) -> String {
        let files = |names: &[String]| {
            let files: Vec<String> = names.iter().map(|name| format!("{name}.ko")).collect();
            files.join(", ")
        };
        match (self, has_initramfs) {
            (Self::Modules(names), true) => format!(
                "the initramfs has no {}, without which the root on the node's disk is not found, and its kernel has that as a \
                 module",
                files(names)
            ),
            (Self::Modules(names), false) => format!(
                "the kernel needs {} for the root on the node's disk, and no initramfs brings it",
                files(names)
            ),
            (Self::AnyDriver, true) => {
                "the initramfs has no driver of any disk (nvme.ko, sd_mod.ko, virtio_blk.ko, mmc_block.ko), and its kernel has \
                 them all as modules"
                    .to_string()
            }
            (Self::AnyDriver, false) => {
                "the kernel has the drivers of all disks as modules, and no initramfs brings one".to_string()
            }
        }
    }
}

/// Returns whether a text that a node wrote is the name of a module, safe in a command.
pub fn is_name(name: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const DIR: &str = "lib/modules/6.1.0";

    /// A root half whose kernel has these as modules, and these built in.
    fn root(loadable: &[&str], built_in: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let index = |names: &[&str]| {
            let lines = names.iter().map(|name| format!("kernel/{name}.ko:\n"));
            lines.collect::<String>().into_bytes()
        };
        let mut root = BTreeMap::from([
            (format!("{DIR}/modules.dep"), index(loadable)),
            (format!("{DIR}/modules.builtin"), index(built_in)),
        ]);
        for path in loadable.iter().filter(|path| path.starts_with("fs/")) {
            root.insert(format!("{DIR}/kernel/{path}.ko"), b"x".to_vec());
        }
        root
    }

    fn with(names: &[&str]) -> Contents {
        let mut found = Contents::default();
        found.init = true;
        found.names.extend(names.iter().map(ToString::to_string));
        found
    }

    fn needs(filesystem: &str, drivers: &[&str]) -> Needs {
        Needs {
            filesystem: Some(filesystem.to_string()),
            drivers: drivers.iter().map(ToString::to_string).collect(),
        }
    }

    fn modules(names: &[&str]) -> Option<Lack> {
        Some(Lack::Modules(
            names.iter().map(ToString::to_string).collect(),
        ))
    }

    const ALL: [&str; 5] = [
        "fs/btrfs/btrfs",
        "d/nvme",
        "d/sd-mod",
        "d/ahci",
        "d/virtio_blk",
    ];

    #[test]
    fn a_known_disk_needs_its_drivers_and_its_filesystem() {
        // A node's name of a module could contain a command.
        let all = [&ALL[..], &["d/x;reboot"]].concat();
        let root = root(&all, &["fs/ext4/ext4"]);
        for (filesystem, drivers, has, lacks) in [
            ("btrfs", &["nvme"][..], &["btrfs", "nvme"][..], None),
            ("btrfs", &["nvme"], &["nvme"], modules(&["btrfs"])),
            ("btrfs", &["nvme"], &["btrfs", "sd_mod"], modules(&["nvme"])),
            (
                "btrfs",
                &["sd_mod", "ahci"],
                &[],
                modules(&["btrfs", "sd_mod", "ahci"]),
            ),
            ("ext4", &["sd_mod", "ahci"], &["sd_mod", "ahci"], None),
            // One that this kernel does not have may be a part of another module.
            ("ext4", &["sd_mod", "odd"], &["sd_mod"], None),
            ("ext4", &["x;reboot"], &["nvme"], None),
        ] {
            let needs = needs(filesystem, drivers);
            let found = with(has);
            let lack = needs.lack(&root, "6.1.0", true, Some(&found));
            assert_eq!(lack, lacks, "{filesystem} {drivers:?} {has:?}");
        }
        let needs = needs("ext4", &["nvme"]);
        assert_eq!(needs.lack(&root, "6.1.0", false, None), modules(&["nvme"]));
        assert_eq!(needs.lack(&root, "6.1.0", true, None), None);
        let mut squashed = with(&[]);
        squashed.squashed = true;
        assert_eq!(needs.lack(&root, "6.1.0", true, Some(&squashed)), None);
    }

    #[test]
    fn an_unknown_disk_needs_any_driver() {
        let drivers = ["d/nvme", "d/sd_mod", "d/mmc_block"];
        let added = {
            let mut found = with(&[]);
            found.added_module = true;
            found
        };
        for (built_in, found, lacks) in [
            (&[][..], with(&["nfs"]), true),
            (&[], with(&["mmc_block"]), false),
            (&[], added, false),
            (&["d/mmc_block"], with(&["nfs"]), false),
        ] {
            let root = root(&drivers, built_in);
            let lack = needs("ext4", &[]).lack(&root, "6.1.0", true, Some(&found));
            assert_eq!(lack.is_some(), lacks, "{built_in:?} {found:?}");
        }
        let without = root(&["d/nfs"], &[]);
        let lack = needs("ext4", &[]).lack(&without, "6.1.0", true, Some(&with(&[])));
        assert_eq!(lack, None);
        // Where its driver is known, that alone counts.
        let root = root(&drivers, &[]);
        let lack = needs("ext4", &["odd"]).lack(&root, "6.1.0", true, Some(&with(&[])));
        assert_eq!(lack, None);
    }

    #[test]
    fn a_root_that_is_named_needs_the_filesystem_that_its_line_has() {
        let local = RootPlace::Local("UUID=1".to_string());
        for (line, filesystem) in [
            (Some("root=UUID=1 rootfstype=btrfs rw"), Some("btrfs")),
            (Some("root=UUID=1 rootfstype=ext4,btrfs rw"), None),
            (Some("root=UUID=1 rw"), None),
            (None, None),
        ] {
            let needs = Needs::of(&local, line).unwrap();
            assert_eq!(needs.filesystem.as_deref(), filesystem, "{line:?}");
        }
    }
}
