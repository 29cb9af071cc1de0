//! The modules that a root half has for a kernel version, and those that are built into that kernel.
//!
//! By the names of files and by depmod's indexes. Not for the modules in an initramfs.

use crate::boot::files::{BootFiles, is_there, text};

/// The longest index that is read, in bytes: ten times that of a distribution's kernel.
const INDEX: usize = 8 << 20;

/// The modules of a version, by name.
pub(crate) struct Modules {
    loadable: String,
    built_in: Option<String>,
}

impl Modules {
    /// Returns the modules of a version in a root half; none if its index cannot be read.
    pub(crate) fn of(root: &dyn BootFiles, version: &str) -> Self {
        let index = |name: &str| {
            let mut paths = module_dirs(version).into_iter();
            let found = paths.find_map(|dir| root.head(&format!("{dir}/{name}"), INDEX).ok()?)?;
            String::from_utf8(found).ok()
        };
        Self {
            loadable: index("modules.dep").unwrap_or_default(),
            built_in: index("modules.builtin"),
        }
    }

    /// Returns whether a module is a file that has to be loaded; `false` if unknown.
    pub(crate) fn is_loadable(&self, name: &str) -> bool {
        lists(&self.loadable, name) && self.is_not_built_in(name)
    }

    /// Returns whether a module is not built into the kernel; `false` if unknown.
    pub(crate) fn is_not_built_in(&self, name: &str) -> bool {
        let built_in = self.built_in.as_deref();
        built_in.is_some_and(|built_in| !lists(built_in, name))
    }
}

/// Returns whether an index has a module: `kernel/drivers/nvme/host/nvme.ko.xz: …`.
fn lists(index: &str, name: &str) -> bool {
    let mut lines = index.lines();
    lines.any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        module_name(path).is_some_and(|found| found == name)
    })
}

/// Returns the name of the module in a file, as the kernel has it; `None` for other files.
pub(super) fn module_name(path: &str) -> Option<String> {
    let file = path.trim().rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// Returns whether a root half has the modules of a version.
pub(crate) fn has_modules(root: &dyn BootFiles, version: &str) -> bool {
    module_dirs(version).iter().any(|dir| {
        is_there(root, &format!("{dir}/modules.dep"))
            || is_there(root, &format!("{dir}/modules.builtin"))
            || root
                .names(&format!("{dir}/kernel"))
                .is_ok_and(|names| !names.is_empty())
    })
}

/// Returns whether a version has a filesystem as a module in a root half: `ext4`.
pub(crate) fn has_filesystem_as_module(
    root: &dyn BootFiles,
    version: &str,
    filesystem: &str,
) -> bool {
    let start = format!("{filesystem}.ko");
    module_dirs(version).iter().any(|dir| {
        let names = root.names(&format!("{dir}/kernel/fs/{filesystem}"));
        names.is_ok_and(|names| names.iter().any(|name| name.starts_with(&start)))
    })
}

/// Returns whether a version has the driver of SCSI disks as a module in a root half.
pub(crate) fn has_disk_driver_as_module(root: &dyn BootFiles, version: &str) -> bool {
    module_dirs(version).iter().any(|dir| {
        let names = root.names(&format!("{dir}/kernel/drivers/scsi"));
        names.is_ok_and(|names| names.iter().any(|name| name.starts_with("sd_mod.ko")))
    })
}

/// Returns whether a version's overlay filesystem is a module in a root half, or built in; true where its modules are not
/// there.
pub(crate) fn has_overlay(root: &dyn BootFiles, version: &str) -> bool {
    let has = |dir: &String| {
        let names = root.names(&format!("{dir}/kernel/fs/overlayfs"));
        let is_module =
            names.is_ok_and(|names| names.iter().any(|name| name.starts_with("overlay.ko")));
        let builtin = text(root, &format!("{dir}/modules.builtin"));
        is_module || matches!(builtin, Ok(Some(text)) if text.contains("/overlay.ko"))
    };
    !has_modules(root, version) || module_dirs(version).iter().any(has)
}

/// Returns whether a root half has modules of a version, and not the index by which they are loaded.
pub(crate) fn lacks_index(root: &dyn BootFiles, version: &str) -> bool {
    let dirs = module_dirs(version);
    let has = |name: &str| {
        dirs.iter()
            .any(|dir| is_there(root, &format!("{dir}/{name}")))
    };
    let has_any = dirs.iter().any(|dir| {
        let names = root.names(&format!("{dir}/kernel"));
        names.is_ok_and(|names| !names.is_empty())
    });
    has_any && !has("modules.dep") && !has("modules.dep.bin")
}

/// Returns the versions of which a root half has modules, sorted by name.
pub(crate) fn module_versions(root: &dyn BootFiles) -> Vec<String> {
    let mut versions: Vec<String> = ["usr/lib/modules", "lib/modules"]
        .iter()
        .flat_map(|dir| root.names(dir).unwrap_or_default())
        .filter(|version| has_modules(root, version))
        .collect();
    versions.sort();
    versions.dedup();
    versions
}

fn module_dirs(version: &str) -> [String; 2] {
    [
        format!("usr/lib/modules/{version}"),
        format!("lib/modules/{version}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn modules_are_found_by_name_however_their_files_are_called() {
        let dir = "lib/modules/6.1.0";
        let index = "kernel/drivers/usb/storage/usb-storage.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\n\
                     kernel/drivers/nvme/host/nvme.ko:\nkernel/fs/ext4/ext4.ko:\n";
        let mut root = BTreeMap::from([(format!("{dir}/modules.dep"), index.into())]);
        // Without the other index it is not known what is built in.
        assert!(!Modules::of(&root, "6.1.0").is_loadable("nvme"));
        let built_in = "kernel/fs/ext4/ext4.ko\n".into();
        root.insert(format!("{dir}/modules.builtin"), built_in);
        let modules = Modules::of(&root, "6.1.0");
        for (name, loadable, not_built_in) in [
            ("usb_storage", true, true),
            ("nvme", true, true),
            ("scsi_mod", false, true),
            ("ext4", false, false),
            ("nv", false, true),
        ] {
            assert_eq!(modules.is_loadable(name), loadable, "{name}");
            assert_eq!(modules.is_not_built_in(name), not_built_in, "{name}");
        }
        assert!(!Modules::of(&root, "6.2.0").is_loadable("nvme"));
    }
}
