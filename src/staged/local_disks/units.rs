//! The links that start units which mount local disks, or resize a root on its disk.
//!
//! A disabled link gets a hidden name in its directory, which systemd ignores. Not for fstab and crypttab.

use std::io;

use anyhow::{Context, Result};

use crate::boot::fstab::Entry;
use crate::fs::rooted::Tree;

/// The directory of the administrator's units, and of the links that start units.
const UNITS: &str = "etc/systemd/system";
/// The directories of packages' units.
const PACKAGED: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];
/// Services that resize the root's filesystem on its disk at a first boot, or make a swap file, and fail on NFS: of Raspberry
/// Pi OS, Armbian, DietPi, edi and images with systemd's own.
const RESIZERS: [&str; 7] = [
    "armbian-resize-filesystem.service",
    "dietpi-fs_partition_resize.service",
    "edi-resize-rootfs.service",
    "resize2fs_once",
    "rpi-resize-swap-file.service",
    "rpi-resize.service",
    "systemd-growfs-root.service",
];
/// The directories of links that start init scripts.
const RUNLEVELS: [&str; 5] = ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"];
/// The prefix of a disabled link's name; systemd ignores names that begin with a dot.
const RESTING: &str = ".netbe-resting.";

/// Disables units that would wait for a local disk, except for existing disks, and services that resize a root; returns notes.
pub(super) fn rest(root: &Tree, boot_mount: &str, there: &[String]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (directory, name) in links(root)? {
        let resizes = resizes(&name);
        let waits = |entry: Entry| entry.waits_for_disk() && !entry.is_beside(boot_mount, there);
        if name.starts_with('.') || !(resizes || mounted_by(root, &name)?.is_some_and(waits)) {
            continue;
        }
        root.rename(&format!("{directory}/{name}"), &format!("{RESTING}{name}"))
            .with_context(|| format!("having {name} rest"))?;
        if resizes {
            notes.push(format!(
                "/{directory}/{name} starts what enlarges the root on its disk, and is not started while the root is on the network"
            ));
            continue;
        }
        notes.push(format!(
            "{name} names a local disk, and is not started while the root is on the network: systemctl enable {name}, in a \
             node that has it"
        ));
    }
    Ok(notes)
}

/// Enables the units of existing disks; returns notes.
pub(super) fn wake_those_of(
    root: &Tree,
    boot_mount: &str,
    there: &[String],
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if there.is_empty() {
        return Ok(notes);
    }
    for (directory, name) in links(root)? {
        let Some(original) = name.strip_prefix(RESTING) else {
            continue;
        };
        let mounted = mounted_by(root, original)?;
        if mounted.is_some_and(|entry| entry.is_beside(boot_mount, there)) {
            wake_one(root, &directory, &name, original)?;
            notes.push(format!("{original} is started again: its disk was seen"));
        }
    }
    Ok(notes)
}

/// Enables all.
pub(super) fn wake(root: &Tree) -> Result<()> {
    for (directory, name) in links(root)? {
        if let Some(original) = name.strip_prefix(RESTING) {
            wake_one(root, &directory, &name, original)?;
        }
    }
    Ok(())
}

fn wake_one(root: &Tree, directory: &str, name: &str, original: &str) -> Result<()> {
    root.rename(&format!("{directory}/{name}"), original)
        .with_context(|| format!("bringing {original} back"))
}

/// Returns the links that start mounts, swap and services that resize a root, each with its directory.
fn links(root: &Tree) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let starts = |name: &String| name.ends_with(".wants") || name.ends_with(".requires");
    for directory in root.names(UNITS)?.into_iter().filter(starts) {
        let directory = format!("{UNITS}/{directory}");
        for name in root.names(&directory)? {
            let mut kinds = [".mount", ".swap", ".automount"].iter();
            if kinds.any(|kind| name.ends_with(kind)) || resizes(&name) {
                found.push((directory.clone(), name));
            }
        }
    }
    for directory in RUNLEVELS.map(|level| format!("etc/{level}")) {
        let names = root.names(&directory)?.into_iter();
        let names = names.filter(|name| resizes(name));
        found.extend(names.map(|name| (directory.clone(), name)));
    }
    Ok(found)
}

/// Returns whether a link, disabled or not, starts a service that resizes a root.
fn resizes(name: &str) -> bool {
    let name = name.strip_prefix(RESTING).unwrap_or(name);
    let script = name.strip_prefix('S').unwrap_or(name);
    let script = script.trim_start_matches(|c: char| c.is_ascii_digit());
    RESIZERS.contains(&name) || RESIZERS.contains(&script)
}

/// Returns the mount of a unit, or of its automount's mount unit; `None` if it is not found, or mounts nothing.
fn mounted_by(root: &Tree, name: &str) -> io::Result<Option<Entry>> {
    let mounts = name.replace(".automount", ".mount");
    for directory in std::iter::once(UNITS).chain(PACKAGED) {
        let path = format!("{directory}/{mounts}");
        match root.metadata(&path)? {
            Some(found) if found.is_file() => {
                let text = root.read_text(&path)?.unwrap_or_default();
                return Ok(unit(&text));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Returns the mount of a mount or swap unit: systemd.mount(5), systemd.swap(5).
fn unit(text: &str) -> Option<Entry> {
    let value = |key: &str| {
        let mut values = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(found, _)| found.trim() == key)
            .map(|(_, value)| value.trim().to_string());
        values.next_back()
    };
    Some(Entry {
        spec: value("What")?.replace('"', ""),
        file: value("Where").unwrap_or_default(),
        fstype: value("Type").unwrap_or_default(),
        options: value("Options").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn units_that_name_a_disk_rest_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        let wants = top.join(UNITS).join("local-fs.target.requires");
        fs::create_dir_all(&wants).unwrap();
        for (name, text) in [
            (
                "home.mount",
                "[Mount]\nWhat=/dev/disk/by-uuid/1\nWhere=/home\n",
            ),
            ("data.mount", "[Mount]\nWhat = LABEL=data\nWhere=/data\n"),
            ("data.automount", "[Automount]\nWhere=/data\n"),
            ("swap.swap", "[Swap]\nWhat=/dev/sda2\n"),
            ("nas.mount", "[Mount]\nWhat=nas:/x\nWhere=/nas\nType=nfs\n"),
            ("tmp.mount", "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\n"),
        ] {
            fs::write(top.join(UNITS).join(name), text).unwrap();
            symlink(format!("../{name}"), wants.join(name)).unwrap();
        }
        symlink("/nowhere", wants.join("gone.mount")).unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(&wants)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let before = names();
        let root = Tree::open(top).unwrap();
        let notes = rest(&root, "/boot", &[]).unwrap();
        assert_eq!(notes.len(), 4, "{notes:?}");
        assert!(rest(&root, "/boot", &[]).unwrap().is_empty());
        let hidden: Vec<String> = names().into_iter().filter(|n| n.starts_with('.')).collect();
        assert_eq!(
            hidden,
            ["data.automount", "data.mount", "home.mount", "swap.swap"]
                .map(|n| format!("{RESTING}{n}"))
        );
        wake(&root).unwrap();
        assert_eq!(names(), before);
        let some = ["UUID=1".to_string(), "/dev/sda2".to_string()];
        let notes = rest(&root, "/boot", &some).unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        wake(&root).unwrap();
        rest(&root, "/boot", &[]).unwrap();
        assert_eq!(wake_those_of(&root, "/boot", &[]).unwrap(), [""; 0]);
        assert_eq!(
            wake_those_of(&root, "/boot", &some).unwrap(),
            ["home.mount", "swap.swap"].map(|n| format!("{n} is started again: its disk was seen"))
        );
        // It is where the boot half is mounted.
        rest(&root, "/boot", &[]).unwrap();
        assert_eq!(wake_those_of(&root, "/home", &some).unwrap().len(), 1);
    }

    #[test]
    fn what_enlarges_a_root_on_a_disk_rests() {
        let dir = tempfile::tempdir().unwrap();
        let wants = dir.path().join(UNITS).join("multi-user.target.wants");
        let runlevel = dir.path().join("etc/rc3.d");
        for directory in [&wants, &runlevel] {
            fs::create_dir_all(directory).unwrap();
        }
        symlink("/usr/lib/x", wants.join("rpi-resize.service")).unwrap();
        symlink("/usr/lib/x", wants.join("ssh.service")).unwrap();
        symlink(
            "../init.d/resize2fs_once",
            runlevel.join("S01resize2fs_once"),
        )
        .unwrap();
        symlink("../init.d/ssh", runlevel.join("S01ssh")).unwrap();
        let names = || {
            let of = |directory| fs::read_dir(directory).unwrap();
            let names = of(&wants).chain(of(&runlevel));
            let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
            names.sort();
            names
        };
        let before = names();
        let root = Tree::open(dir.path()).unwrap();
        assert_eq!(rest(&root, "/boot", &[]).unwrap().len(), 2);
        assert_eq!(names(), ["S01ssh", "ssh.service"]);
        assert!(rest(&root, "/boot", &[]).unwrap().is_empty());
        wake(&root).unwrap();
        assert_eq!(names(), before);
    }
}
