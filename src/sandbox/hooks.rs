//! What hooks of kernels and initramfs that look for the machine they run on are told: that it is one that boots over the
//! network, not this server.
//!
//! Files that are lent while programs run, and variables. Reads the environment's configuration, and changes nothing.

use crate::fs::rooted::Tree;

/// Says that these are no settings of the environment's.
const LENT: &str = "# netbe's, for as long as a program runs in this environment\n";

/// Takes one of mkinitcpio's hooks off the list; bash reads it after the main file.
const NO_AUTODETECT: &str = r#"for netbe_at in "${!HOOKS[@]}"; do
	[[ ${HOOKS[netbe_at]} == autodetect ]] && unset 'HOOKS[netbe_at]'
done
HOOKS=("${HOOKS[@]}")
unset netbe_at
"#;

/// Where initramfs-tools has its settings, before those that are lent.
const INITRAMFS_TOOLS: &[&str] = &[
    "usr/share/initramfs-tools/conf.d",
    "etc/initramfs-tools/conf.d",
];

/// Where flash-kernel is told the machine (flash-kernel(8)).
const MACHINE: &str = "etc/flash-kernel/machine";
/// What flash-kernel knows machines by.
const MACHINES: &str = "usr/share/flash-kernel/db/all.db";
/// Models that flash-kernel treats alike: the first that it knows.
const PI: &str = "Raspberry Pi 4 Model B";

/// Returns the files to lend, each with its path.
pub(super) fn files(tree: &Tree) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    if wants_modules_of_the_machine(tree) {
        // MODULES=dep looks for the disk that `/` is on, and for drivers of this server.
        files.push((
            "etc/initramfs-tools/conf.d/zz-netbe",
            format!("{LENT}MODULES=most\n"),
        ));
    }
    if is_there(tree, "usr/lib/dracut") {
        // Host-only is for this server's devices and mounts: dracut.conf(5).
        files.push((
            "etc/dracut.conf.d/zz-netbe.conf",
            format!("{LENT}hostonly=\"no\"\nhostonly_cmdline=\"no\"\n"),
        ));
    }
    if is_there(tree, "usr/bin/mkinitcpio") {
        // Its hook autodetect takes the drivers of the machine it runs on: mkinitcpio.conf(5).
        files.push((
            "etc/mkinitcpio.conf.d/zz-netbe.conf",
            format!("{LENT}{NO_AUTODETECT}"),
        ));
    }
    files
}

/// Returns variables for programs of the environment, by what its boot half is.
pub(super) fn variables(tree: &Tree, boot: &Tree) -> Vec<(&'static str, String)> {
    if !is_there(tree, "usr/sbin/flash-kernel") {
        return Vec::new();
    }
    // Where the server was started by EFI, it copies nothing, and ends well.
    let mut all = vec![("FK_IGNORE_EFI", "yes".to_string())];
    if !is_there(tree, MACHINE) {
        let is_pi = ["bootcode.bin", "start.elf", "start4.elf", "config.txt"]
            .iter()
            .any(|file| is_there(boot, file));
        let machine = match is_pi {
            true => raspberry_pi(&tree.read_text(MACHINES).ok().flatten().unwrap_or_default()),
            // Nothing is copied for it; netbe's boot files name the newest kernel.
            false => "none".to_string(),
        };
        all.push(("FK_MACHINE", machine));
    }
    all
}

/// Returns a Raspberry Pi by the name that flash-kernel has for one: it compares whole names.
fn raspberry_pi(machines: &str) -> String {
    let known: Vec<&str> = machines
        .lines()
        .filter_map(|line| line.strip_prefix("Machine:"))
        .map(str::trim)
        .filter(|name| name.starts_with("Raspberry Pi") && !name.contains('*'))
        .collect();
    let newest = known
        .iter()
        .find(|name| **name == PI)
        .or_else(|| known.iter().find(|name| name.starts_with(PI)))
        .or_else(|| {
            known
                .iter()
                .find(|name| name.starts_with("Raspberry Pi 3 Model B"))
        })
        .or(known.first());
    newest.map_or(PI, |name| *name).to_string()
}

fn wants_modules_of_the_machine(tree: &Tree) -> bool {
    let mut files = vec!["etc/initramfs-tools/initramfs.conf".to_string()];
    for dir in INITRAMFS_TOOLS {
        let names = tree.names(dir).unwrap_or_default();
        files.extend(names.iter().map(|name| format!("{dir}/{name}")));
    }
    files
        .iter()
        .any(|file| matches!(tree.read_text(file), Ok(Some(text)) if says_dep(&text)))
}

fn says_dep(text: &str) -> bool {
    text.lines().any(|line| {
        let value = line.trim().strip_prefix("MODULES=");
        value.is_some_and(|v| v.trim().trim_matches(['"', '\'']) == "dep")
    })
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
    fn an_initramfs_is_for_any_machine_where_it_would_be_for_this_server() {
        for (path, text, want) in [
            (
                "etc/initramfs-tools/initramfs.conf",
                "# MODULES=dep\nMODULES=most\n",
                None,
            ),
            (
                "etc/initramfs-tools/initramfs.conf",
                "MODULES=dep\n",
                Some("MODULES=most"),
            ),
            (
                "etc/initramfs-tools/conf.d/driver-policy",
                "MODULES=\"dep\"\n",
                Some("MODULES=most"),
            ),
            ("usr/lib/dracut/dracut-init.sh", "", Some("hostonly=\"no\"")),
            ("usr/bin/mkinitcpio", "", Some("unset netbe_at")),
        ] {
            let root = tempfile::tempdir().unwrap();
            put(root.path(), path, text);
            let files = files(&Tree::open(root.path()).unwrap());
            match want {
                None => assert!(files.is_empty(), "{path}"),
                Some(line) => assert!(files[0].1.lines().any(|l| l == line), "{path} {files:?}"),
            }
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
    fn flash_kernel_is_told_the_machine_where_nobody_told_it() {
        let boot = |pi: bool| {
            let dir = tempfile::tempdir().unwrap();
            if pi {
                put(dir.path(), "config.txt", "");
            }
            dir
        };
        let told = |pi: bool, prepare: &dyn Fn(&Path)| {
            let (root, boot) = (tempfile::tempdir().unwrap(), boot(pi));
            prepare(root.path());
            let (tree, boot) = (Tree::open(root.path()), Tree::open(boot.path()));
            let all = variables(&tree.unwrap(), &boot.unwrap());
            all.into_iter()
                .find(|(name, _)| *name == "FK_MACHINE")
                .map(|(_, value)| value)
        };
        let program = |root: &Path| put(root, "usr/sbin/flash-kernel", "");
        assert_eq!(told(true, &|_| ()), None);
        assert_eq!(told(true, &program).as_deref(), Some(PI));
        assert_eq!(told(false, &program).as_deref(), Some("none"));
        let machine = |root: &Path| {
            program(root);
            put(root, MACHINE, "Pine64 Rock64\n");
        };
        assert_eq!(told(true, &machine), None);
        assert_eq!(
            raspberry_pi("Machine: Raspberry Pi Zero\nMachine: Raspberry Pi 3 Model B+\n"),
            "Raspberry Pi 3 Model B+"
        );
        assert_eq!(
            raspberry_pi("Machine: Raspberry Pi *\nMachine: Raspberry Pi 4 Model B Rev 1.4\n"),
            "Raspberry Pi 4 Model B Rev 1.4"
        );
    }
}
