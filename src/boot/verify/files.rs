//! Verifies that kernel, initramfs and modules exist, are whole and match.

use super::{Way, remedy, starts};
use crate::boot::disk_drivers::{Lack, Needs};
use crate::boot::files::{BootFiles, Presence, presence};
use crate::boot::initramfs::Mounting;
use crate::boot::initramfs::mounting;
use crate::boot::kernel::{self, Contents, Initramfs};
use crate::boot::spec::{RootPlace, Want};

/// The option without which a kernel mounts no NFS root by itself.
const ROOT_NFS: &str = "CONFIG_ROOT_NFS";

/// Returns the faults of the files that a loader would load, a sentence each, and the findings in the initramfs.
pub(super) fn check(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    way: &Way,
    want: &Want<'_>,
    how: Mounting,
) -> (Vec<String>, Option<Contents>) {
    let mut reasons = Vec::new();
    let initramfs = way.initramfs.iter();
    let loadable: Vec<String> = initramfs
        .filter(|path| is_loadable(boot, way, "initramfs", path, &mut reasons))
        .cloned()
        .collect();
    let found = match kernel::contents(boot, &loadable) {
        _ if loadable.is_empty() => None,
        Ok(Initramfs::Broken(path, why)) => {
            reasons.push(format!(
                "the initramfs {path}{} {why}{}",
                way.model,
                remedy::initramfs(want, how)
            ));
            None
        }
        Ok(seen) => seen.contents(),
        Err(e) => {
            let names = loadable.join(",");
            reasons.push(format!(
                "the initramfs {names}{} cannot be read: {e}",
                way.model
            ));
            None
        }
    };
    if let Some(path) = &way.kernel
        && is_loadable(boot, way, "kernel", path, &mut reasons)
    {
        let kernel = Kernel { path, way, want };
        reasons.extend(kernel.check(boot, root, &loadable, found.as_ref()));
    }
    (reasons, found)
}

/// A kernel that exists.
struct Kernel<'a> {
    path: &'a str,
    way: &'a Way,
    want: &'a Want<'a>,
}

impl Kernel<'_> {
    fn check(
        &self,
        boot: &dyn BootFiles,
        root: &dyn BootFiles,
        initramfs: &[String],
        found: Option<&Contents>,
    ) -> Vec<String> {
        let (path, model) = (self.path, &self.way.model);
        let version = match kernel::version_of(boot, path) {
            Ok(version) => version.or_else(|| kernel::version_in_name(path).map(str::to_string)),
            Err(e) => return vec![format!("the kernel {path}{model} cannot be read: {e}")],
        };
        if let Some(fault) = kernel::fault(boot, path) {
            let remedy = remedy::kernel(root, self.want, version.as_deref());
            return vec![format!("the kernel {path}{model} {fault}{remedy}")];
        }
        let mut reasons = starts::check(boot, root, self.way, path);
        // An image without a readable version may be valid.
        let Some(version) = version else {
            return reasons;
        };
        if !kernel::has_modules(root, &version) {
            reasons.push(format!(
                "the kernel {path}{model} is version {version}, and the root has no modules for it in lib/modules"
            ));
        } else if kernel::lacks_index(root, &version) {
            reasons.push(format!(
                "the root has modules for the kernel {path}{model}, and no index of them (lib/modules/{version}/modules.dep is \
                 missing or empty), without which none is loaded: netbe run {} -- depmod {version}",
                self.want.name
            ));
        }
        reasons.extend(self.other_version(initramfs, found, &version));
        reasons.extend(self.lacks_of_disk(root, &version, !initramfs.is_empty(), found));
        if let RootPlace::Iscsi(iscsi) = &self.want.root
            && let Some(why) = iscsi.missing(root, &version, found)
        {
            let how = mounting(root, !initramfs.is_empty());
            reasons.push(format!("{why}{}", remedy::iscsi(self.want, how)));
        }
        if matches!(self.want.root, RootPlace::Nfs { .. }) {
            let lacks_root = kernel::is_built_in(boot, root, &version, ROOT_NFS) == Some(false);
            let mut others = self.needed_options().into_iter();
            let lacking = match lacks_root {
                true => Some(ROOT_NFS),
                false => others.find(|o| kernel::is_not_built_in(boot, root, &version, o)),
            };
            reasons.extend(lacking.and_then(|option| self.leaves_the_root(found, option)));
        }
        reasons
    }

    /// Returns the fault of an initramfs, or of a kernel without one, that would not find the root on the node's own disk.
    fn lacks_of_disk(
        &self,
        root: &dyn BootFiles,
        version: &str,
        has_initramfs: bool,
        found: Option<&Contents>,
    ) -> Option<String> {
        let needs = Needs::of(&self.want.root, self.way.line.as_deref())?;
        let lack = needs.lack(root, version, has_initramfs, found)?;
        let how = mounting(root, has_initramfs);
        let remedy = match &lack {
            Lack::Modules(names) => remedy::disk_modules(self.want, how, names),
            Lack::AnyDriver => remedy::any_machine(self.want, how),
        };
        Some(format!("{}{remedy}", lack.sentence(has_initramfs)))
    }

    /// Returns the fault of an initramfs for another version: by its modules, else by its name.
    fn other_version(
        &self,
        initramfs: &[String],
        found: Option<&Contents>,
        version: &str,
    ) -> Option<String> {
        let (names, other) = match found.filter(|found| found.has_versions()) {
            Some(found) => (initramfs.join(","), found.other_version(version)?),
            None => initramfs.iter().find_map(|path| {
                let named = kernel::version_in_initramfs_name(path)?;
                (named != version).then(|| (path.clone(), named.to_string()))
            })?,
        };
        Some(format!(
            "the initramfs {names}{} is for version {other}, and the kernel {} is version {version}",
            self.way.model, self.path
        ))
    }

    /// Returns the options of its configuration, beside `CONFIG_ROOT_NFS`, without which it cannot mount this root by itself.
    fn needed_options(&self) -> Vec<&'static str> {
        let line = self.way.line.as_deref().unwrap_or_default();
        let of_root = [
            ("vers=3", "CONFIG_NFS_V3"),
            ("vers=4", "CONFIG_NFS_V4"),
            ("ip=", "CONFIG_IP_PNP"),
            ("ip=dhcp", "CONFIG_IP_PNP_DHCP"),
        ];
        let named = of_root.iter().filter(|(word, _)| line.contains(word));
        named.map(|(_, option)| *option).collect()
    }

    /// Returns the fault of a kernel that is left to mount an NFS root, and cannot without an option.
    fn leaves_the_root(&self, found: Option<&Contents>, option: &str) -> Option<String> {
        let why = if self.way.initramfs.is_empty() {
            "no initramfs is loaded".to_string()
        } else if found.is_some_and(|found| !found.init) && !self.names_init() {
            format!(
                "the initramfs {} has no /init",
                self.way.initramfs.join(",")
            )
        } else {
            return None;
        };
        Some(format!(
            "the kernel {}{} cannot mount an NFS root by itself (its configuration has no {option}=y), and {why}",
            self.path, self.way.model
        ))
    }

    /// Returns whether the command line names another program of the initramfs.
    fn names_init(&self) -> bool {
        let line = self.way.line.as_deref().unwrap_or_default();
        line.split_whitespace()
            .any(|word| word.starts_with("rdinit="))
    }
}

fn is_loadable(
    boot: &dyn BootFiles,
    way: &Way,
    what: &str,
    path: &str,
    reasons: &mut Vec<String>,
) -> bool {
    // An absolute path in PXELINUX's files starts at the TFTP root, where it may be another node's.
    if path.starts_with('/') || path.contains("::") || path.contains("://") {
        reasons.push(format!(
            "{} loads the {what} {path}, which is not in this boot folder",
            way.file
        ));
        return false;
    }
    let fault = match presence(boot, path) {
        Presence::There => return true,
        Presence::Missing => "is missing".to_string(),
        Presence::Empty => "is empty".to_string(),
        Presence::Unreadable(why) => format!("cannot be read: {why}"),
    };
    reasons.push(format!("the {what} {path}{} {fault}", way.model));
    false
}
