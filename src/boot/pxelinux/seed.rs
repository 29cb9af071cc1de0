//! The kernel arguments of an imported system that has no menu yet.

use super::extlinux;
use crate::boot::files::{BootFiles, text};
use crate::boot::local_root::GRUB_PREFIX;

/// Returns the kernel arguments of an imported system, where known.
///
/// From an `extlinux.conf`, or GRUB's arguments for all entries, such as a serial console.
pub(super) fn seed(boot: &dyn BootFiles, root: &dyn BootFiles) -> String {
    if let Some((menu, choice)) = extlinux(boot) {
        let append = menu.append(&choice.label).unwrap_or_default();
        let is_initrd = |t: &&str| !t.starts_with("initrd=") && !t.contains("${");
        return append
            .split_whitespace()
            .filter(is_initrd)
            .collect::<Vec<_>>()
            .join(" ");
    }
    let read = |path: &str| text(root, path).ok().flatten();
    let Some(grub) = read("etc/default/grub") else {
        // kernel-install(8)'s command line.
        let line = read("etc/kernel/cmdline").unwrap_or_default();
        return line.split_whitespace().collect::<Vec<_>>().join(" ");
    };
    let set = grub
        .lines()
        .rev()
        .find_map(|l| l.trim().strip_prefix("GRUB_CMDLINE_LINUX="));
    let value = set.unwrap_or_default().trim().trim_matches(['"', '\'']);
    match value.contains(['$', '`', '"', '\\', '\'']) {
        true => String::new(),
        false => value.to_string(),
    }
}

/// Returns the arguments of a running system's command line, without those that its loader added.
pub(super) fn of_running(line: &str) -> String {
    let added = |token: &&str| {
        let name = token.split('=').next().unwrap_or_default();
        ["BOOT_IMAGE", "initrd", GRUB_PREFIX].contains(&name)
    };
    let words = line.split_whitespace().filter(|token| !added(token));
    words.collect::<Vec<_>>().join(" ")
}
