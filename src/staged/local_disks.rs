//! Disables the mounts of local disks in a root half while the root is on the network.
//!
//! A machine booted over the network may not have the disks that its system was installed on; systemd waits ninety seconds
//! for each and then stops the boot. Lines of fstab and crypttab become comments, and links that start mount and swap
//! units, and what would enlarge the root on its disk, get a hidden name, which systemd ignores; with a root on a disk all are enabled again. Each change has a note.
//! What a node adds afterwards stays. Not for what an initramfs waits for: that is on the command line.

use std::io;

use anyhow::{Context, Result};

use super::first_notes;
use crate::boot::fstab::{self, Entry, edit_crypttab};
use crate::fs::rooted::Tree;

/// The table of mounts.
pub(super) const FSTAB: &str = "etc/fstab";
/// The table of encrypted disks.
const CRYPTTAB: &str = "etc/crypttab";
/// The directory of the administrator's units, and of the links that start units.
const UNITS: &str = "etc/systemd/system";
/// The directories of packages' units.
const PACKAGED: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];
/// What enlarges the root's filesystem on its disk at a first boot, or a swap file on it, and fails on NFS: of Raspberry Pi OS,
/// Armbian, DietPi, edi and images with systemd's own.
const RESIZERS: [&str; 7] = [
    "armbian-resize-filesystem.service",
    "dietpi-fs_partition_resize.service",
    "edi-resize-rootfs.service",
    "resize2fs_once",
    "rpi-resize-swap-file.service",
    "rpi-resize.service",
    "systemd-growfs-root.service",
];
/// Where links start what is no unit.
const RUNLEVELS: [&str; 5] = ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"];
/// The prefix of a disabled link's name; systemd ignores names that begin with a dot.
const RESTING: &str = ".netbe-resting.";
/// The maximum number of notes about them.
const NAMED: usize = 12;

/// Writes the fstab of a root half, and disables or enables the other mounts of disks accordingly.
///
/// `rest_at` is where the boot half is mounted, for a root on the network: then they rest, if they are `to_rest` now. `text`
/// is that fstab, `None` where it stands there already. Returns notes, a sentence each.
pub(super) fn write(
    root: &Tree,
    rest_at: Option<&str>,
    to_rest: bool,
    text: Option<&str>,
) -> Result<Vec<String>> {
    let before = root.read_text(FSTAB)?.unwrap_or_default();
    let mut notes = Vec::new();
    if rest_at.is_some() {
        if to_rest {
            notes.extend(rest(root)?);
        }
    } else {
        wake(root)?;
    }
    if let Some(text) = text {
        notes.splice(
            0..0,
            newly_resting(&before, text, rest_at.unwrap_or_default()),
        );
        root.make_dirs("etc")
            .and_then(|()| root.write(FSTAB, text.as_bytes()))?;
    }
    Ok(first_notes(notes, NAMED, "disks"))
}

/// Returns a note for each disabled line, except those of the root and the boot half, which are on the network now.
fn newly_resting(before: &str, after: &str, boot_mount: &str) -> Vec<String> {
    let known = fstab::disabled(before);
    let moved = ["/", boot_mount, "/boot", "/boot/efi", "/efi"];
    fstab::disabled(after)
        .iter()
        .filter(|entry| !known.contains(entry) && !moved.contains(&entry.file.as_str()))
        .map(|entry| match entry.fstype.as_str() {
            "swap" => format!(
                "the swap on {} rests: its line in /{FSTAB} is a comment while the root is on the network",
                entry.spec
            ),
            _ => format!(
                "{} is not mounted from {}: its line in /{FSTAB} is a comment while the root is on the network, since a \
                 node without that disk would wait for it; put it back in a node that has it",
                entry.file, entry.spec
            ),
        })
        .collect()
}

fn rest(root: &Tree) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let text = root.read_text(CRYPTTAB)?;
    if let Some(edited) = text.and_then(|text| edit_crypttab(&text, true)) {
        root.write(CRYPTTAB, edited.as_bytes())?;
        notes.push(format!(
            "the encrypted disks in /{CRYPTTAB} are not opened while the root is on the network: their lines are comments"
        ));
    }
    for (directory, name) in links(root)? {
        let resizes = resizes(&name);
        if name.starts_with('.') || !(resizes || waits(root, &name)?) {
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

fn wake(root: &Tree) -> Result<()> {
    let text = root.read_text(CRYPTTAB)?;
    if let Some(edited) = text.and_then(|text| edit_crypttab(&text, false)) {
        root.write(CRYPTTAB, edited.as_bytes())?;
    }
    for (directory, name) in links(root)? {
        if let Some(original) = name.strip_prefix(RESTING) {
            root.rename(&format!("{directory}/{name}"), original)
                .with_context(|| format!("bringing {original} back"))?;
        }
    }
    Ok(())
}

/// Returns the links that start mounts, swap and what enlarges a root, each with its directory.
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

/// Returns whether a link, disabled or not, starts what enlarges a root.
fn resizes(name: &str) -> bool {
    let name = name.strip_prefix(RESTING).unwrap_or(name);
    let script = name.strip_prefix('S').unwrap_or(name);
    let script = script.trim_start_matches(|c: char| c.is_ascii_digit());
    RESIZERS.contains(&name) || RESIZERS.contains(&script)
}

/// Returns whether a unit would wait for a local disk.
fn waits(root: &Tree, name: &str) -> io::Result<bool> {
    let mounts = name.replace(".automount", ".mount");
    for directory in std::iter::once(UNITS).chain(PACKAGED) {
        let path = format!("{directory}/{mounts}");
        match root.metadata(&path)? {
            Some(found) if found.is_file() => {
                let text = root.read_text(&path)?.unwrap_or_default();
                return Ok(unit(&text).is_some_and(|entry| entry.waits_for_disk()));
            }
            _ => {}
        }
    }
    Ok(false)
}

/// Returns what a mount or swap unit mounts: systemd.mount(5), systemd.swap(5).
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
        let crypttab = top.join(CRYPTTAB);
        fs::write(&crypttab, "home UUID=1 none luks\n").unwrap();
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
        let notes = rest(&root).unwrap();
        assert_eq!(notes.len(), 5, "{notes:?}");
        assert!(rest(&root).unwrap().is_empty());
        let hidden: Vec<String> = names().into_iter().filter(|n| n.starts_with('.')).collect();
        assert_eq!(
            hidden,
            ["data.automount", "data.mount", "home.mount", "swap.swap"]
                .map(|n| format!("{RESTING}{n}"))
        );
        wake(&root).unwrap();
        assert_eq!(names(), before);
        assert_eq!(
            fs::read_to_string(&crypttab).unwrap(),
            "home UUID=1 none luks\n"
        );
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
        assert_eq!(rest(&root).unwrap().len(), 2);
        assert_eq!(names(), ["S01ssh", "ssh.service"]);
        assert!(rest(&root).unwrap().is_empty());
        wake(&root).unwrap();
        assert_eq!(names(), before);
    }

    #[test]
    fn what_rests_is_told_but_for_the_root_and_the_boot_half() {
        let before = "#netbe# UUID=0 /old ext4\n";
        let after = "#netbe# UUID=0 /old ext4\n#netbe# UUID=1 / ext4\n#netbe# UUID=2 /boot vfat\n\
                     #netbe# PARTUUID=3 /home ext4\n#netbe# /dev/sda4 none swap sw\n";
        let notes = newly_resting(before, after, "/boot");
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("/home is not mounted from PARTUUID=3:"));
        assert!(notes[1].starts_with("the swap on /dev/sda4 rests"));
    }
}
