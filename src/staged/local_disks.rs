//! Disables the mounts of local disks in a root half while the root is on the network.
//!
//! A machine booted over the network may not have the disks that its system was installed on; systemd waits ninety seconds
//! for each and then stops the boot. Lines of fstab and crypttab become comments; links that start mount and swap units, or
//! a resize of the root on its disk, get a hidden name, which systemd ignores. With a root on a disk all are enabled again;
//! with a deployed root, those whose disk was seen. Each change has a note.
//! Mounts that a node adds afterwards stay. Not for disks that an initramfs waits for: those are on the command line.

mod units;

use anyhow::Result;

use super::first_notes;
use crate::boot::fstab::{self, edit_crypttab, restore_crypttab};
use crate::fs::rooted::Tree;

/// The table of mounts.
pub(super) const FSTAB: &str = "etc/fstab";
/// The table of encrypted disks.
const CRYPTTAB: &str = "etc/crypttab";
/// The maximum number of notes about them.
const NAMED: usize = 12;

/// The wanted mounts of disks in a root half.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mounts<'a> {
    /// The mount point of the boot half, for a root on the network or on a disk that it was deployed to.
    pub(super) rest_at: Option<&'a str>,
    /// Whether mounts of local disks are disabled, if `rest_at` is set.
    pub(super) to_rest: bool,
    /// The disks that the machine is known to have: their mounts are enabled again.
    pub(super) there: &'a [String],
}

/// Writes the fstab of a root half, and disables or enables the other mounts of disks accordingly.
///
/// `text` is that fstab, `None` if the file has it already. Returns notes, a sentence each.
pub(super) fn write(root: &Tree, mounts: Mounts<'_>, text: Option<&str>) -> Result<Vec<String>> {
    let before = root.read_text(FSTAB)?.unwrap_or_default();
    let mut notes = match mounts.rest_at {
        Some(boot_mount) => rest(root, text.unwrap_or(&before), boot_mount, mounts)?,
        None => {
            wake(root)?;
            Vec::new()
        }
    };
    if let Some(text) = text {
        let boot_mount = mounts.rest_at.unwrap_or_default();
        let mut of_fstab = newly_resting(&before, text, boot_mount);
        if mounts.rest_at.is_some() {
            of_fstab.extend(newly_mounted(&before, text));
        }
        notes.splice(0..0, of_fstab);
        root.make_dirs("etc")
            .and_then(|()| root.write(FSTAB, text.as_bytes()))?;
    }
    Ok(first_notes(notes, NAMED, "disks"))
}

/// Returns these disks of its machine, as a root half can mount them: with the devices that crypttab opens on them.
pub(super) fn there(root: &Tree, disks: &[String]) -> Result<Vec<String>> {
    let mut all = disks.to_vec();
    if !disks.is_empty() {
        let text = |path| root.read_text(path).map(Option::unwrap_or_default);
        all.extend(fstab::opened(&text(CRYPTTAB)?, &text(FSTAB)?, disks));
    }
    Ok(all)
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

/// Returns a note for each line that is no comment any more.
fn newly_mounted(before: &str, after: &str) -> Vec<String> {
    let rests = fstab::disabled(after);
    let returned = fstab::disabled(before).into_iter();
    let returned = returned.filter(|entry| !rests.contains(entry));
    returned
        .map(|entry| match entry.fstype.as_str() {
            "swap" => format!(
                "the swap on {} is used again: the disk was seen",
                entry.spec
            ),
            _ => format!(
                "{} is mounted from {} again: the disk was seen",
                entry.file, entry.spec
            ),
        })
        .collect()
}

/// Disables mounts that would wait for a local disk, if wanted, and enables those of disks that exist.
fn rest(root: &Tree, fstab: &str, boot_mount: &str, mounts: Mounts<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let text = root.read_text(CRYPTTAB)?.unwrap_or_default();
    if let Some(edited) = edit_crypttab(&text, fstab, mounts.to_rest, mounts.there) {
        root.write(CRYPTTAB, edited.as_bytes())?;
        if !fstab::names_added(&edited, &text).is_empty() {
            notes.push(format!(
                "the encrypted disks in /{CRYPTTAB} are not opened while the root is on the network: their lines are comments"
            ));
        }
        let opened = fstab::names_added(&text, &edited);
        if !opened.is_empty() {
            notes.push(format!(
                "what /{CRYPTTAB} opens on disks that were seen is opened again: {}",
                opened.join(", ")
            ));
        }
    }
    if mounts.to_rest {
        notes.extend(units::rest(root, boot_mount, mounts.there)?);
    }
    notes.extend(units::wake_those_of(root, boot_mount, mounts.there)?);
    Ok(notes)
}

fn wake(root: &Tree) -> Result<()> {
    let text = root.read_text(CRYPTTAB)?;
    if let Some(edited) = text.and_then(|text| restore_crypttab(&text)) {
        root.write(CRYPTTAB, edited.as_bytes())?;
    }
    units::wake(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write_to(
        root: &Tree,
        rest_at: Option<&str>,
        to_rest: bool,
        there: &[String],
    ) -> Vec<String> {
        let mounts = Mounts {
            rest_at,
            to_rest,
            there,
        };
        write(root, mounts, None).unwrap()
    }

    #[test]
    fn an_encrypted_disk_rests_and_comes_back_where_it_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let text = "home UUID=1 /etc/key luks\nold UUID=2 /etc/key luks\n";
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join(CRYPTTAB), text).unwrap();
        let now = || fs::read_to_string(dir.path().join(CRYPTTAB)).unwrap();
        let root = Tree::open(dir.path()).unwrap();
        let notes = write_to(&root, Some("/boot"), true, &[]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("are not opened"), "{notes:?}");
        assert!(now().lines().all(|line| line.starts_with(fstab::DISABLED)));
        let seen = ["UUID=1".to_string()];
        assert_eq!(there(&root, &seen).unwrap(), ["UUID=1", "/dev/mapper/home"]);
        assert_eq!(there(&root, &[]).unwrap(), [""; 0]);
        let notes = write_to(&root, Some("/boot"), false, &seen);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].ends_with("is opened again: home"), "{notes:?}");
        assert!(now().starts_with("home UUID=1") && now().contains("\n#netbe# old"));
        assert_eq!(write_to(&root, None, false, &[]), [""; 0]);
        assert_eq!(now(), text);
    }

    #[test]
    fn lines_that_came_back_are_told() {
        let before =
            "#netbe# UUID=1 /home ext4\n#netbe# LABEL=s none swap\n#netbe# UUID=2 /srv ext4\n";
        let after = "UUID=1 /home ext4\nLABEL=s none swap\n#netbe# UUID=2 /srv ext4\n";
        let notes = newly_mounted(before, after);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("/home is mounted from UUID=1 again"));
        assert!(notes[1].starts_with("the swap on LABEL=s is used again"));
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
