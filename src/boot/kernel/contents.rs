//! Finds what an initramfs has for mounting an NFS root.
//!
//! All its archives (cpio, `newc`) are read to the end, entry by entry, and only the findings are kept in memory. If one
//! cannot be read to the end, there is no result. Not for whether the findings are enough.

use std::io::{self, Read};

use super::{IMAGE_LIMIT, archive, dracut};
use crate::boot::files::BootFiles;
use crate::fs::interrupt;

/// The length of an entry's header, before its name.
const HEADER: usize = 110;
/// The longest name of an entry, `PATH_MAX`.
const NAME_LIMIT: usize = 4096;
/// The part of a file's content that is searched, in bytes: all of a list of modules, enough of a program.
const SEARCHED: usize = 512 << 10;

/// The findings in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Whether it has a program for the kernel to start.
    pub(crate) init: bool,
    /// `nfsmount` of klibc or mkinitcpio, and whether it is a renamed `mount.nfs`.
    pub(crate) nfsmount: bool,
    pub(crate) is_mount_nfs: bool,
    pub(crate) mount_nfs: bool,
    pub(crate) protocols: bool,
    /// Kernel modules, and the one for NFS.
    pub(crate) modules: bool,
    pub(crate) nfs_module: bool,
    /// The program that made it, and whether that program's part for NFS is in it.
    pub(crate) initramfs_tools: bool,
    pub(crate) nfs_script: bool,
    pub(crate) dracut: bool,
    pub(crate) dracut_nfs: bool,
    pub(crate) mkinitcpio: bool,
    pub(crate) net_hook: bool,
    pub(crate) mkinitfs: bool,
    /// What dracut waits for of the machine that it was made on: a disk, or the argument that names one.
    pub(crate) waits_for: Option<String>,
    /// Whether the rest is in a squashfs, made by dracut's module squash, which is not read.
    pub(crate) squashed: bool,
    /// Whether it has a module for a wired or virtual network.
    pub(crate) net_module: bool,
    /// Whether dracut made it for one machine.
    pub(crate) host_only: bool,
}

impl Contents {
    /// Returns whether anything in it mounts NFS.
    pub(crate) fn mounts_nfs(&self) -> bool {
        self.nfsmount || self.mount_nfs
    }

    fn see(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let path = path.strip_prefix("usr/").unwrap_or(path);
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let in_bin = matches!(dir, "bin" | "sbin" | "lib/klibc/bin");
        match (dir, name) {
            ("", "init") => self.init = true,
            ("", "init_functions" | "buildconfig") => self.mkinitcpio = true,
            ("hooks", name) => {
                self.mkinitcpio = true;
                self.net_hook |= name.contains("net") || name.contains("nfs");
            }
            ("scripts", "functions" | "local") | ("conf", "initramfs.conf") => {
                self.initramfs_tools = true;
            }
            ("scripts", "nfs") => (self.initramfs_tools, self.nfs_script) = (true, true),
            ("etc", "protocols") => self.protocols = true,
            (_, "nfsmount") if in_bin => {
                self.nfsmount = true;
                self.is_mount_nfs |= has(content, b"mount.nfs");
            }
            (_, "mount.nfs" | "mount.nfs4") if in_bin => self.mount_nfs = true,
            (_, "nlplug-findfs") if in_bin => self.mkinitfs = true,
            (_, "squashfs-root.img" | "squash-root.img" | "erofs-root.img")
            | ("squash", "root.img") => self.squashed = true,
            ("lib/dracut", "hostonly-kernel-modules.txt") => self.host_only = true,
            ("lib/dracut", "modules.txt") => {
                self.dracut = true;
                let mut lines = content.split(|b| *b == b'\n');
                self.dracut_nfs |= lines.any(|line| line.trim_ascii() == b"nfs");
            }
            _ => {}
        }
        let waits_for = dracut::waits_for(dir, name, content);
        self.waits_for = self.waits_for.take().or(waits_for);
        self.dracut |= path.starts_with("lib/dracut/");
        self.dracut_nfs |= in_bin && name == "nfsroot" || name.ends_with("parse-nfsroot.sh");
        if path.starts_with("lib/modules/") && name.contains(".ko") {
            self.modules = true;
            self.nfs_module |= name.starts_with("nfs.ko");
            self.net_module |= is_network(dir, name);
        }
    }

    /// Returns whether a file's content is needed, not only its name.
    fn needs_content(path: &str) -> bool {
        path.ends_with("/nfsmount")
            || path.ends_with("/modules.txt")
            || path.contains(dracut::SETTINGS)
    }
}

/// Returns whether a kernel module drives a network that can carry the root.
fn is_network(dir: &str, name: &str) -> bool {
    // An added module may be any driver.
    if ["/updates", "/extra", "/weak-updates"]
        .iter()
        .any(|d| dir.contains(d))
    {
        return true;
    }
    let below = dir
        .split_once("/drivers/net")
        .map(|(_, below)| below.trim_start_matches('/'));
    match below {
        Some("") => ["virtio_net", "veth", "xen-netfront", "vmxnet"]
            .iter()
            .any(|driver| name.starts_with(driver)),
        Some(below) => ["ethernet", "usb", "vmxnet3", "hyperv"]
            .iter()
            .any(|kind| below.starts_with(kind)),
        None => false,
    }
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Returns the findings in files that are loaded together as an initramfs; `None` if one cannot be read to the end.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn contents(boot: &dyn BootFiles, paths: &[String]) -> io::Result<Option<Contents>> {
    let mut found = Contents::default();
    for path in paths {
        let image = boot.head(path, IMAGE_LIMIT)?.unwrap_or_default();
        if !search(&image, &mut found) {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Searches an initramfs; returns whether it was read to the end.
fn search(image: &[u8], found: &mut Contents) -> bool {
    !image.is_empty() && archive::each_part(image, &mut |part| walk(part, found))
}

/// Searches concatenated archives; returns whether their end is valid.
fn walk(reader: &mut dyn Read, found: &mut Contents) -> bool {
    walked(reader, found).unwrap_or(false)
}

fn walked(reader: &mut dyn Read, found: &mut Contents) -> io::Result<bool> {
    let mut content = vec![0; SEARCHED];
    // Archives are padded with any number of NULs.
    let mut first = [0];
    loop {
        if reader.read(&mut first)? == 0 {
            return Ok(true);
        }
        if first[0] == 0 {
            continue;
        }
        let mut header = [0; HEADER];
        header[0] = first[0];
        reader.read_exact(&mut header[1..])?;
        loop {
            if interrupt::requested().is_some() {
                return Ok(false);
            }
            let number = |at: usize| {
                let digits = std::str::from_utf8(header.get(at..at + 8)?).ok()?;
                u64::from_str_radix(digits, 16).ok()
            };
            let is_entry = header.starts_with(b"070701") || header.starts_with(b"070702");
            let (Some(size), Some(length)) = (number(54), number(94)) else {
                return Ok(false);
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !is_entry || length == 0 || length > NAME_LIMIT {
                return Ok(false);
            }
            let mut name = vec![0; (HEADER + length).next_multiple_of(4) - HEADER];
            reader.read_exact(&mut name)?;
            let name = String::from_utf8_lossy(&name[..length - 1]).into_owned();
            let mut left = size.next_multiple_of(4);
            let mut taken = 0;
            if Contents::needs_content(&name) {
                taken = usize::try_from(size).unwrap_or(SEARCHED).min(SEARCHED);
                reader.read_exact(&mut content[..taken])?;
                left -= taken as u64;
            }
            let skipped = io::copy(&mut reader.take(left), &mut io::sink())?;
            if name == "TRAILER!!!" {
                break;
            }
            if skipped != left {
                return Ok(false);
            }
            found.see(&name, &content[..taken]);
            reader.read_exact(&mut header)?;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Returns an archive of these entries, `name` or `name=content`.
    pub(crate) fn cpio(entries: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries.iter().chain(&["TRAILER!!!="]) {
            let (name, content) = entry.split_once('=').unwrap_or((entry, "x"));
            let mut fields = [0usize; 13];
            (fields[6], fields[11]) = (content.len(), name.len() + 1);
            bytes.extend(b"070701");
            bytes.extend(fields.iter().flat_map(|f| format!("{f:08X}").into_bytes()));
            bytes.extend(format!("{name}\0").bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(content.bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn found(image: &[u8]) -> Option<Contents> {
        let boot = BTreeMap::from([("i".to_string(), image.to_vec())]);
        contents(&boot, &["i".to_string()]).unwrap()
    }

    #[test]
    fn what_is_in_it_is_seen_however_it_is_packed() {
        let mut early = cpio(&["kernel/x86/microcode/AuthenticAMD.bin"]);
        early.resize(early.len().next_multiple_of(512), 0);
        let main = cpio(&[
            "init",
            "./usr/bin/nfsmount=\x7fELF klibc",
            "scripts/nfs",
            "usr/lib/modules/6.1.0/kernel/fs/nfs/nfs.ko.xz",
            "etc/protocols",
        ]);
        let packed = zstd::encode_all(main.as_slice(), 1).unwrap();
        let expected = Contents {
            init: true,
            nfsmount: true,
            protocols: true,
            modules: true,
            nfs_module: true,
            initramfs_tools: true,
            nfs_script: true,
            ..Contents::default()
        };
        for image in [
            main.clone(),
            packed.clone(),
            [early.clone(), packed].concat(),
            [early, main].concat(),
        ] {
            assert_eq!(found(&image), Some(expected.clone()));
        }
    }

    #[test]
    fn archives_of_all_kinds_behind_each_other_are_gone_through() {
        let part = cpio(&["init", "usr/bin/nfsmount"]);
        let more = cpio(&["usr/lib/modules/6/kernel/drivers/net/ethernet/realtek/r8169.ko.xz"]);
        let packed = zstd::encode_all(part.as_slice(), 1).unwrap();
        let mut image = packed.clone();
        image.resize(image.len().next_multiple_of(4), 0);
        image.extend(&more);
        image.extend(liblzma::encode_all(cpio(&["scripts/nfs"]).as_slice(), 1).unwrap());
        let all = found(&image).unwrap();
        assert!(all.nfsmount && all.net_module && all.nfs_script, "{all:?}");
        assert_eq!(found(&[&packed[..], b"more"].concat()), None);
        // As many as fill memory.
        assert_eq!(found(&packed.repeat(1000)), None);
        let wireless = "usr/lib/modules/6/kernel/drivers/net/wireless/ath/x.ko";
        assert!(!found(&cpio(&[wireless])).unwrap().net_module);
    }

    #[test]
    fn makers_are_told_apart() {
        let seen = |entries: &[&str]| found(&cpio(entries)).unwrap();
        let dracut = seen(&["init", "usr/lib/dracut/modules.txt=base\nnfs\n"]);
        assert!(dracut.dracut && dracut.dracut_nfs && !dracut.mounts_nfs());
        assert!(!seen(&["usr/lib/dracut/modules.txt=base\nnfsx\n"]).dracut_nfs);
        let arch = seen(&["hooks/net", "usr/bin/nfsmount"]);
        assert!(arch.mkinitcpio && arch.net_hook && arch.mounts_nfs());
        assert!(seen(&["sbin/nlplug-findfs"]).mkinitfs);
        assert!(seen(&["bin/nfsmount=#!\nexec mount.nfs"]).is_mount_nfs);
    }

    #[test]
    fn what_breaks_off_tells_nothing() {
        let whole = cpio(&["init", "usr/bin/nfsmount"]);
        assert_eq!(found(b""), None);
        assert_eq!(found(b"x"), None);
        assert_eq!(found(&[&whole[..], b"more"].concat()), None);
        let packed = zstd::encode_all(whole.as_slice(), 1).unwrap();
        assert_eq!(found(&packed[..packed.len() - 8]), None);
        assert_eq!(found(&whole[..whole.len() / 2]), None);
    }
}
