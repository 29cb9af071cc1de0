//! Where GRUB can write on this machine: a boot for once is stored there, and GRUB has to erase it before it boots.
//!
//! GRUB overwrites sectors in place. So the filesystem of the file must not copy on write, and must be directly on a
//! partition: not on RAID, LVM or an encrypted device. Without such a filesystem, GRUB from 2.14 on has a sector in the
//! reserved header of btrfs. Reads only.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::installed_loader::Grub;
use super::mounted::Mounted;
use super::probe;
use crate::btrfs::reserved;
use crate::btrfs::subvolume::identity;
use crate::failure::Failure;
use crate::fs::path_error::if_exists;
use crate::pool::record::Block;
use crate::publish::reserved_block;

/// The mount points of filesystems that GRUB may write to.
const PLACES: [&str; 3] = ["/boot/efi", "/efi", "/boot"];
/// The first version of GRUB that writes sectors by their numbers: `save_env` of older ones refuses a list of blocks.
const WRITES_SECTORS: (u32, u32) = (2, 14);

/// Returns the place that GRUB can write to, or why there is none.
pub(super) fn find(
    mounted_at: impl Fn(&str) -> Option<Mounted>,
    grub: &Grub,
) -> Result<std::result::Result<Block, String>> {
    match file(mounted_at)? {
        Some(block) => Ok(Ok(block)),
        None => in_header(grub),
    }
}

/// Returns the file that GRUB can write; `None` if there is none.
fn file(mounted_at: impl Fn(&str) -> Option<Mounted>) -> Result<Option<Block>> {
    for place in PLACES {
        let Some(mounted) = mounted_at(place) else {
            continue;
        };
        let file = match mounted.kind.as_str() {
            "vfat" => "EFI/netbe/grubenv",
            "ext2" | "ext3" | "ext4" => "grub/netbe.env",
            _ => continue,
        };
        // The filesystem is directly on the partition.
        if probe::abstraction(place)?.as_deref() != Some("") {
            continue;
        }
        if let Some(filesystem) = probe::uuid_of(&mounted)? {
            return Ok(Some(Block {
                filesystem,
                kind: mounted.kind,
                file: file.to_string(),
                made: false,
            }));
        }
    }
    Ok(None)
}

/// Returns the sector in the header of the root's filesystem, or why GRUB cannot use it.
fn in_header(grub: &Grub) -> Result<std::result::Result<Block, String>> {
    if let Some(why) = is_older(grub)? {
        return Ok(Err(why));
    }
    let filesystem = identity::mounted_filesystem(Path::new("/"));
    let filesystem = filesystem
        .context("finding the filesystem of /")?
        .to_string();
    let is_there = match reserved_block::is_there(&filesystem) {
        Ok(is_there) => is_there,
        Err(e) => return Ok(Err(e.downcast::<Failure>()?.message)),
    };
    if probe::abstraction("/")?.as_deref() != Some("") {
        let why = "the root's filesystem is on no partition itself (LVM, RAID or encryption is between), or grub-probe does not \
                   tell";
        return Ok(Err(why.to_string()));
    }
    Ok(Ok(Block {
        filesystem,
        kind: "btrfs".to_string(),
        file: reserved::BLOCK_LIST.to_string(),
        made: !is_there,
    }))
}

/// Returns why GRUB does not write sectors, by the version of its modules for each firmware.
///
/// The modules are installed together with the core that the firmware starts. Newer modules do not load into an older core;
/// then nothing is booted for once.
fn is_older(grub: &Grub) -> Result<Option<String>> {
    let dir = grub.configuration.parent().unwrap_or(Path::new("/"));
    let found = modules(dir).with_context(|| format!("reading {}", dir.display()))?;
    if found.is_empty() {
        return Ok(Some(format!(
            "no modules of GRUB in {} tell its version, and it writes to btrfs from 2.14 on",
            dir.display()
        )));
    }
    for (file, text) in found {
        let version = version(&text);
        if version.and_then(number).is_none_or(|n| n < WRITES_SECTORS) {
            return Ok(Some(format!(
                "GRUB writes to btrfs from 2.14 on, and by {} it is {}",
                file.display(),
                version.unwrap_or("of no version")
            )));
        }
    }
    Ok(None)
}

/// Returns the text of `modinfo.sh`, for each firmware.
fn modules(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.path().join("modinfo.sh");
        let text = match fs::read(&file) {
            // A file, not a directory of modules.
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => None,
            read => if_exists(read).with_context(|| file.display().to_string())?,
        };
        found.extend(text.map(|text| (file, String::from_utf8_lossy(&text).into_owned())));
    }
    Ok(found)
}

/// Returns the version that `modinfo.sh` has.
fn version(text: &str) -> Option<&str> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("grub_version="));
    line.map(|value| value.trim().trim_matches('"'))
}

/// Returns the first two numbers of a version, `2.14~rc1`.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_on_write_filesystems_have_no_environment_block_file() {
        let mounted = |kind: &str| Mounted {
            at: "/boot".into(),
            root: String::new(),
            kind: kind.to_string(),
            device: "/dev/none".into(),
        };
        for kind in ["btrfs", "xfs", "f2fs", "zfs"] {
            assert_eq!(file(|_| Some(mounted(kind))).unwrap(), None, "{kind}");
        }
        assert_eq!(file(|_| None).unwrap(), None);
    }

    #[test]
    fn all_modules_have_to_be_new() {
        let dir = tempfile::tempdir().unwrap();
        let grub = Grub {
            configuration: dir.path().join("grub.cfg"),
            program: "grub-mkconfig",
        };
        fs::write(&grub.configuration, "").unwrap();
        let put = |platform: &str, text: &str| {
            fs::create_dir_all(dir.path().join(platform)).unwrap();
            fs::write(dir.path().join(platform).join("modinfo.sh"), text).unwrap();
        };
        let why = |words: &str| {
            let why = is_older(&grub).unwrap().unwrap_or_default();
            assert!(why.contains(words), "{why}");
        };
        why("no modules of GRUB");
        fs::create_dir(dir.path().join("fonts")).unwrap();
        why("no modules of GRUB");
        for new in ["2.14", "2.14~rc1", "2.15", "3.0", "2.100.1"] {
            put("i386-pc", &format!("x=1\ngrub_version=\"{new}\"\ny=2\n"));
            assert_eq!(is_older(&grub).unwrap(), None, "{new}");
        }
        for old in ["2.06", "2.12", "2.13", "1.99", "0.97", "2", ""] {
            put("i386-pc", &format!("grub_version=\"{old}\"\n"));
            why("i386-pc/modinfo.sh it is ");
        }
        put("i386-pc", "grub_version=\"2.14\"\n");
        put("x86_64-efi", "grub_version=\"2.12\"\n");
        why("x86_64-efi/modinfo.sh it is 2.12");
        put("x86_64-efi", "# nothing\n");
        why("it is of no version");
    }
}
