//! Configuration for hooks of kernels and initramfs that inspect the machine they run on: it makes them build for a machine
//! that boots over the network, not for this server.
//!
//! It consists of lent files and variables. Reads the environment's configuration, and changes nothing.

use crate::fs::rooted::Tree;

/// The comment that these are no settings of the environment itself.
const LENT: &str = "# netbe's, for as long as a program runs in this environment\n";

/// Removes one of mkinitcpio's hooks from the list; bash reads it after the main file.
const NO_AUTODETECT: &str = r#"for netbe_at in "${!HOOKS[@]}"; do
	[[ ${HOOKS[netbe_at]} == autodetect ]] && unset 'HOOKS[netbe_at]'
done
HOOKS=("${HOOKS[@]}")
unset netbe_at
"#;

/// Replaces the setting for the running machine; read after all other settings, which a program may change first.
const NO_DEP: &str = "case ${MODULES:-} in dep) MODULES=most ;; esac\n";

/// The directory of a system with Debian's packages.
const DPKG: &str = "var/lib/dpkg";

const FLASH_KERNEL: &str = "usr/sbin/flash-kernel";
/// The file with the machine name for flash-kernel(8).
const MACHINE: &str = "etc/flash-kernel/machine";
/// The machines that flash-kernel knows.
const MACHINES: &str = "usr/share/flash-kernel/db/all.db";
/// Models that flash-kernel treats alike: the first that it knows.
const PI: &str = "Raspberry Pi 4 Model B";

/// Returns the files to lend, each with its path: also for tools that are not installed yet, since a program may install them.
pub(super) fn files(tree: &Tree) -> Vec<(&'static str, String)> {
    let has = |any: &[&str]| any.iter().any(|path| is_there(tree, path));
    let mut files = Vec::new();
    if has(&["etc/initramfs-tools", DPKG]) {
        // MODULES=dep looks for the disk that `/` is on, and for drivers of this server.
        files.push((
            "etc/initramfs-tools/conf.d/zz-netbe",
            format!("{LENT}{NO_DEP}"),
        ));
    }
    if has(&["usr/lib/dracut", DPKG, "usr/bin/rpm"]) {
        // Host-only mode would use this server's devices and mounts: dracut.conf(5).
        files.push((
            "etc/dracut.conf.d/zz-netbe.conf",
            format!("{LENT}hostonly=\"no\"\nhostonly_cmdline=\"no\"\n"),
        ));
    }
    if has(&["usr/bin/mkinitcpio", "usr/bin/pacman"]) {
        // The hook autodetect takes only the drivers of the machine it runs on: mkinitcpio.conf(5).
        files.push((
            "etc/mkinitcpio.conf.d/zz-netbe.conf",
            format!("{LENT}{NO_AUTODETECT}"),
        ));
    }
    files
}

/// Returns variables for programs of the environment, by the kind of its boot half: also for a flash-kernel that is not
/// installed yet.
pub(super) fn variables(tree: &Tree, boot: &Tree) -> Vec<(&'static str, String)> {
    if !is_there(tree, DPKG) && !is_there(tree, FLASH_KERNEL) {
        return Vec::new();
    }
    // If the server was started by EFI, flash-kernel copies nothing, and succeeds.
    let mut all = vec![("FK_IGNORE_EFI", "yes".to_string())];
    if !is_there(tree, MACHINE) {
        let is_pi = ["bootcode.bin", "start.elf", "start4.elf", "config.txt"]
            .iter()
            .any(|file| is_there(boot, file));
        let machines = || tree.read_text(MACHINES).ok().flatten();
        let machine = match is_pi && is_there(tree, FLASH_KERNEL) {
            true => raspberry_pi(machines().as_deref()),
            false => None,
        };
        // "none": nothing is copied; netbe's boot files name the newest kernel.
        all.push(("FK_MACHINE", machine.unwrap_or_else(|| "none".to_string())));
    }
    all
}

/// Returns flash-kernel's name for a Raspberry Pi model whose kernel it copies to the firmware's files; for other models it
/// makes files for U-Boot, or knows none of them. It compares whole names.
fn raspberry_pi(machines: Option<&str>) -> Option<String> {
    let Some(machines) = machines else {
        return Some(PI.to_string());
    };
    let known: Vec<&str> = machines
        .split("\n\n")
        .filter(|entry| entry.contains(": /boot/firmware/") || entry.contains("Method: pi"))
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("Machine:"))
        .map(str::trim)
        .filter(|name| name.starts_with("Raspberry Pi") && !name.contains('*'))
        .collect();
    let like = |name: &str| known.iter().find(|known| known.starts_with(name));
    known
        .iter()
        .find(|name| **name == PI)
        .or_else(|| like(PI))
        .or_else(|| like("Raspberry Pi 3 Model B"))
        .or(known.first())
        .map(|name| (*name).to_string())
}

fn is_there(tree: &Tree, path: &str) -> bool {
    matches!(tree.metadata(path), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_initramfs_is_for_any_machine_also_by_a_tool_that_comes_later() {
        let dep = "etc/initramfs-tools/conf.d/zz-netbe";
        let dracut = "etc/dracut.conf.d/zz-netbe.conf";
        for (path, want) in [
            ("etc/apk/world", &[] as &[_]),
            ("var/lib/dpkg/status", &[dep, dracut]),
            ("usr/lib/dracut/dracut-init.sh", &[dracut]),
            ("usr/bin/rpm", &[dracut]),
            ("usr/bin/pacman", &["etc/mkinitcpio.conf.d/zz-netbe.conf"]),
        ] {
            let root = tempfile::tempdir().unwrap();
            put(root.path(), path, "");
            let files = files(&Tree::open(root.path()).unwrap());
            let paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
            assert_eq!(paths, want, "{path}");
        }
    }

    #[test]
    fn only_modules_for_this_server_become_modules_for_most() {
        for (before, want) in [
            ("MODULES=dep", "most"),
            ("MODULES=list", "list"),
            ("MODULES=netboot", "netboot"),
            ("unset MODULES", ""),
        ] {
            let script = format!("set -eu; {before}; {NO_DEP}\necho \"${{MODULES:-}}\"");
            let out = std::process::Command::new("/bin/sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), want, "{out:?}");
        }
    }

    #[test]
    fn mkinitcpio_loses_the_hook_that_looks_at_this_server() {
        for (hooks, want) in [
            (
                "(base udev autodetect modconf net)",
                "base udev modconf net",
            ),
            ("(base autodetect)", "base"),
            ("(base net)", "base net"),
        ] {
            let script = format!("set -e; HOOKS={hooks}; {NO_AUTODETECT} echo \"${{HOOKS[*]}}\"");
            let out = std::process::Command::new("/bin/bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), want, "{out:?}");
        }
    }

    #[test]
    fn flash_kernel_gets_a_machine_if_its_configuration_has_none() {
        const DEBIANS: &str = "Machine: Raspberry Pi 3 Model B\nBoot-Script-Path: /boot/boot.scr\n";
        let told = |pi: bool, paths: &[(&str, &str)]| {
            let (root, boot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            if pi {
                put(boot.path(), "config.txt", "");
            }
            for (path, text) in paths {
                put(root.path(), path, text);
            }
            let (tree, boot) = (Tree::open(root.path()), Tree::open(boot.path()));
            let all = variables(&tree.unwrap(), &boot.unwrap());
            all.into_iter()
                .find(|(name, _)| *name == "FK_MACHINE")
                .map(|(_, value)| value)
        };
        let (dpkg, program) = (("var/lib/dpkg/status", ""), (FLASH_KERNEL, ""));
        for (pi, paths, want) in [
            (true, &[] as &[_], None),
            // It may be installed first; Debian's knows no Pi by whose firmware it boots.
            (true, &[dpkg], Some("none")),
            (true, &[dpkg, program, (MACHINES, DEBIANS)], Some("none")),
            (true, &[dpkg, program], Some(PI)),
            (false, &[dpkg, program], Some("none")),
            (true, &[dpkg, program, (MACHINE, "Pine64 Rock64\n")], None),
        ] {
            assert_eq!(told(pi, paths).as_deref(), want, "{pi} {paths:?}");
        }
        let firmware = "Boot-Kernel-Path: /boot/firmware/vmlinuz\n";
        let three =
            format!("Machine: Raspberry Pi Zero\nMachine: Raspberry Pi 3 Model B+\n{firmware}");
        let four = "Machine: Raspberry Pi *\nMachine: Raspberry Pi 4 Model B Rev 1.4\nMethod: pi\n";
        for (machines, want) in [
            (three.as_str(), "Raspberry Pi 3 Model B+"),
            (
                &format!("{three}\n{four}"),
                "Raspberry Pi 4 Model B Rev 1.4",
            ),
        ] {
            assert_eq!(raspberry_pi(Some(machines)).as_deref(), Some(want));
        }
    }
}
