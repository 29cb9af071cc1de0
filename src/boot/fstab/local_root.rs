//! The fstab of an environment on the disk of the machine that has the pool.
//!
//! The line of `/` names its root half, and a line of netbe's mounts its boot half, so that kernel packages write there; the
//! line of a separate boot partition becomes a comment. All others stay: all environments share those mounts.

use anyhow::Result;

use super::entry::{Entry, entries, escape, parse};
use super::lines::{Text, insert_after};
use super::{DISABLED, OWN_OPTION, sole_managed, with_fields};
use crate::boot::local_root::{OwnRoot, subvolume, with_subvolume};
use crate::failure::Failure;

/// The filesystem that both halves are on.
const BTRFS: &str = "btrfs";

/// Edits an fstab so that it mounts these halves; `None` if unchanged.
///
/// # Errors
/// If there are several lines for `/`, or several of netbe's.
pub fn edit_own(text: &str, own: &OwnRoot, boot_mount: &str) -> Result<Option<String>> {
    let mut lines = Text::split(text);
    wake(&mut lines, own, boot_mount);
    let managed = sole_managed(&lines)?;
    let mut position = managed;
    let mut root = None;
    for at in 0..lines.len() {
        let Some(entry) = parse(lines[at].body()).filter(|_| Some(at) != managed) else {
            continue;
        };
        if entry.file == "/" {
            if let Some(first) = root.replace(at) {
                return Err(Failure::failed(format!(
                    "lines {} and {} both mount /: remove one of them from etc/fstab",
                    first + 1,
                    at + 1
                ))
                .into());
            }
            let edited = match entry.fstype == BTRFS {
                true => with_root(lines[at].body(), own),
                false => format!("{DISABLED}{}", lines[at].body()),
            };
            lines[at].set_body(&edited);
        } else if entry.file == boot_mount {
            let disabled = format!("{DISABLED}{}", lines[at].body());
            lines[at].set_body(&disabled);
            position = position.or(Some(at));
        }
    }
    match managed {
        Some(at) => {
            let is_own = parse(lines[at].body()).is_some_and(|e| e.fstype == BTRFS);
            let edited = match is_own {
                true => with_boot(lines[at].body(), own, boot_mount),
                false => own_line(own, boot_mount),
            };
            lines[at].set_body(&edited);
        }
        None => insert_after(&mut lines, position.or(root), &own_line(own, boot_mount)),
    }
    let edited = lines.to_string();
    Ok((edited != text).then_some(edited))
}

/// Restores lines that were disabled while the root was on the network, if they name the filesystem of the root.
fn wake(lines: &mut Text, own: &OwnRoot, boot_mount: &str) {
    let mut has_root = (0..lines.len())
        .filter_map(|at| parse(lines[at].body()))
        .any(|entry| entry.file == "/");
    for at in 0..lines.len() {
        let Some(line) = lines[at].body().strip_prefix(DISABLED).map(str::to_string) else {
            continue;
        };
        let is_there = |entry: &Entry| {
            entry.spec == own.device()
                && entry.file != boot_mount
                && !(entry.file == "/" && has_root)
        };
        if let Some(entry) = parse(&line).filter(is_there) {
            has_root |= entry.file == "/";
            lines[at].set_body(&line);
        }
    }
}

/// Returns an fstab that also mounts subvolumes of a filesystem, each a path from the top level and a mount point.
pub fn with_shared(text: &str, filesystem: &str, subvolumes: &[(String, String)]) -> String {
    let mut lines = Text::split(text);
    for (path, place) in subvolumes {
        let (path, place) = (escape(path), escape(place));
        let line = format!("UUID={filesystem} {place} {BTRFS} defaults,subvol=/{path} 0 0");
        insert_after(&mut lines, None, &line);
    }
    lines.to_string()
}

/// Returns why an fstab does not mount these halves, a sentence each.
pub fn reasons_against_own(file: &str, text: &str, own: &OwnRoot, boot_mount: &str) -> Vec<String> {
    let entries = entries(text);
    let names = |entry: &Entry, path: &str| {
        entry.fstype == BTRFS
            && entry.spec == own.device()
            && subvolume(&entry.options) == Some(path)
    };
    let mut reasons = Vec::new();
    let roots = entries.iter().filter(|e| e.file == "/");
    for entry in roots.filter(|e| !names(e, &own.root)) {
        reasons.push(format!(
            "{file} mounts {} with {} as /, and not the subvolume {}",
            entry.spec, entry.options, own.root
        ));
    }
    let of_boot: Vec<&Entry> = entries.iter().filter(|e| e.file == boot_mount).collect();
    match of_boot.as_slice() {
        [entry] if names(entry, &own.boot) => {}
        [] => reasons.push(format!(
            "{file} does not mount the subvolume {} at {boot_mount}",
            own.boot
        )),
        [entry] => reasons.push(format!(
            "{file} mounts {} with {} at {boot_mount}, and not the subvolume {}",
            entry.spec, entry.options, own.boot
        )),
        [_, ..] => reasons.push(format!("{file} mounts several things at {boot_mount}")),
    }
    reasons
}

/// Returns netbe's line.
fn own_line(own: &OwnRoot, boot_mount: &str) -> String {
    format!(
        "{} {} {BTRFS} defaults,subvol=/{},{OWN_OPTION} 0 0",
        own.device(),
        escape(boot_mount),
        own.boot
    )
}

/// Returns the line of `/` for the root half; its other options stay.
fn with_root(line: &str, own: &OwnRoot) -> String {
    let path = format!("/{}", own.root);
    with_fields(line, |field, old| match field {
        0 => own.device(),
        3 => with_subvolume(old, &path),
        _ => old.to_string(),
    })
}

/// Returns netbe's line for the boot half; what users added stays.
fn with_boot(line: &str, own: &OwnRoot, boot_mount: &str) -> String {
    let path = format!("/{}", own.boot);
    with_fields(line, |field, old| match field {
        0 => own.device(),
        1 => escape(boot_mount),
        3 => with_subvolume(old, &path),
        _ => old.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(env: &str) -> OwnRoot {
        OwnRoot {
            filesystem: "u-1".to_string(),
            root: format!("netbe/nodes/nog/envs/{env}/root"),
            boot: format!("netbe/nodes/nog/envs/{env}/boot"),
        }
    }

    const FIRST: &str =
        "UUID=u-1 /boot btrfs defaults,subvol=/netbe/nodes/nog/envs/first/boot,x-netbe 0 0";

    #[test]
    fn both_halves_are_mounted_and_all_else_stays() {
        let root = "/netbe/nodes/nog/envs/first/root";
        for (before, after) in [
            (
                "# disks\nUUID=u-1\t/\tbtrfs\tnoatime,subvol=@\t0 1\nUUID=u-1 /home btrfs subvol=@home 0 0\n",
                format!(
                    "# disks\nUUID=u-1\t/\tbtrfs\tnoatime,subvol={root}\t0 1\n{FIRST}\nUUID=u-1 /home btrfs subvol=@home 0 0\n"
                ),
            ),
            (
                "/dev/vda2 / btrfs subvolid=256 0 0\nUUID=b /boot ext4 defaults 0 2\nUUID=e /boot/efi vfat umask=77 0 1",
                format!(
                    "UUID=u-1 / btrfs subvol={root} 0 0\n#netbe# UUID=b /boot ext4 defaults 0 2\n{FIRST}\nUUID=e /boot/efi vfat umask=77 0 1"
                ),
            ),
            (
                "PARTUUID=1 / ext4 defaults 0 1\n",
                format!("#netbe# PARTUUID=1 / ext4 defaults 0 1\n{FIRST}\n"),
            ),
            ("", format!("{FIRST}\n")),
            // A line of an environment that had its root on the network.
            (
                "10.0.0.1:/srv/b /boot nfs defaults,vers=4.2,_netdev,nofail,x-netbe 0 0\n",
                format!("{FIRST}\n"),
            ),
        ] {
            let edited = edit_own(before, &own("first"), "/boot").unwrap().unwrap();
            assert_eq!(edited, after);
            assert_eq!(edit_own(&edited, &own("first"), "/boot").unwrap(), None);
            let against = |env| reasons_against_own("fstab", &edited, &own(env), "/boot");
            assert_eq!(against("first"), [""; 0], "{edited}");
            assert!(!against("second").is_empty());
            let second = edit_own(&edited, &own("second"), "/boot").unwrap().unwrap();
            assert_eq!(second, edited.replace("/first/", "/second/"));
        }
    }

    #[test]
    fn options_added_to_netbes_line_stay() {
        let line =
            "UUID=u-1  /boot btrfs noatime,subvol=/netbe/nodes/nog/envs/a/boot,x-netbe 0 0\n";
        let edited = edit_own(line, &own("first"), "/boot").unwrap().unwrap();
        assert_eq!(edited, line.replace("/a/", "/first/"));
    }

    #[test]
    fn two_lines_of_one_place_are_refused() {
        for text in [
            "UUID=1 / btrfs subvol=@ 0 0\nUUID=2 / btrfs subvol=@ 0 0\n",
            "UUID=1 /boot btrfs x-netbe 0 0\nUUID=2 /boot btrfs x-netbe 0 0\n",
        ] {
            assert!(edit_own(text, &own("first"), "/boot").is_err(), "{text}");
        }
    }

    #[test]
    fn an_fstab_that_does_not_mount_the_halves_has_reasons() {
        let told = |text: &str| reasons_against_own("fstab", text, &own("first"), "/boot");
        let root = "UUID=u-1 / btrfs subvol=@ 0 0\n";
        assert_eq!(told(FIRST), [""; 0]);
        assert_eq!(
            told(""),
            ["fstab does not mount the subvolume netbe/nodes/nog/envs/first/boot at /boot"]
        );
        assert!(told(&format!("{root}{FIRST}\n"))[0].contains("subvol=@ as /"));
        assert!(told(&format!("{FIRST}\n{FIRST}\n"))[0].contains("several things"));
        let other = FIRST.replace("u-1", "u-2");
        assert!(told(&other)[0].contains("mounts UUID=u-2"));
    }

    #[test]
    fn lines_disabled_on_the_network_are_enabled_for_mounts_of_this_filesystem() {
        let own = own("a");
        let device = own.device();
        let text = format!(
            "#netbe# {device} / btrfs noatime,subvol=/x 0 0\n#netbe# {device} /srv btrfs subvol=/s 0 0\n\
             #netbe# {device} /boot btrfs subvol=/b 0 0\n#netbe# /dev/sdb1 /home ext4 defaults 0 0\n"
        );
        let edited = edit_own(&text, &own, "/boot").unwrap().unwrap();
        let root = format!("\n{device} / btrfs noatime,subvol=/{} 0 0\n", own.root);
        assert!(format!("\n{edited}").contains(&root), "{edited}");
        assert!(edited.contains(&format!("\n{device} /srv btrfs subvol=/s 0 0\n")));
        assert!(edited.contains("#netbe# /dev/sdb1 /home"), "{edited}");
        assert!(edited.contains(&format!("#netbe# {device} /boot btrfs subvol=/b")));
        assert_eq!(edit_own(&edited, &own, "/boot").unwrap(), None);
    }
}
