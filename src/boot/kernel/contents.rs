//! Finds the programs and modules in an initramfs for mounting an NFS root.
//!
//! All its archives (cpio, `newc`) are read to the end, entry by entry, and only the findings are kept in memory. If one
//! cannot be read to the end, there is no result. Not for whether the findings are enough.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::archive::{self, End};
use super::modules::module_name;
use super::{INITRAMFS_LIMIT, dracut, is_version};
use crate::boot::files::BootFiles;
use crate::boot::known::Known;
use crate::fs::interrupt;

/// The length of an entry's header, before its name.
const HEADER: usize = 110;
/// The longest name of an entry, `PATH_MAX`.
const NAME_LIMIT: usize = 4096;
/// The part of a file's content that is searched, in bytes: all of a list of modules, enough of a program.
const SEARCHED: usize = 512 << 10;
/// The most versions of which modules are recorded.
const VERSIONS: usize = 64;
/// The most modules of which the names are recorded, three times those of an initramfs for any machine, and the longest name.
const MODULES: usize = 8192;
const MODULE_NAME: usize = 64;

/// The files that are loaded together as an initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Initramfs {
    /// All were read to their ends.
    Read(Box<Contents>),
    /// The kernel could not unpack this one, with the reason: `ends early …`.
    Broken(String, &'static str),
    /// One cannot be read to its end.
    Unknown,
}

impl Initramfs {
    /// Returns the findings.
    pub(crate) fn contents(self) -> Option<Contents> {
        match self {
            Self::Read(found) => Some(*found),
            _ => None,
        }
    }
}

/// The findings in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Whether it has a program for the kernel to start.
    pub(crate) init: bool,
    /// `nfsmount` of klibc or mkinitcpio, and whether it is a renamed `mount.nfs`.
    pub(crate) nfsmount: bool,
    pub(crate) is_mount_nfs: bool,
    pub(crate) mount_nfs: bool,
    /// Whether it has the protocols file that `mount.nfs` reads for NFS version 3.
    pub(crate) protocols: bool,
    pub(crate) netconfig: bool,
    /// Versions of the kernel whose modules it has; whether it has modules, and the one for NFS.
    versions: BTreeSet<String>,
    pub(crate) modules: bool,
    pub(crate) nfs_module: bool,
    /// The modules for NFS version 3, and 4.
    pub(crate) nfsv3_module: bool,
    pub(crate) nfsv4_module: bool,
    /// The names of all modules, as the kernel has them; and whether one of them is not from the kernel's own package.
    pub(crate) names: BTreeSet<String>,
    pub(crate) added_module: bool,
    /// The program that made it, and whether that program's part for NFS is in it.
    pub(crate) initramfs_tools: bool,
    pub(crate) nfs_script: bool,
    pub(crate) dracut: bool,
    pub(crate) dracut_nfs: bool,
    pub(crate) mkinitcpio: bool,
    pub(crate) net_hook: bool,
    pub(crate) mkinitfs: bool,
    /// The disk of the machine it was made on for which dracut waits, or the argument that names it.
    pub(crate) waits_for: Option<String>,
    /// Whether the rest is in a squashfs, made by dracut's module squash, which is not read.
    pub(crate) squashed: bool,
    /// Whether it has a module for a wired or virtual network.
    pub(crate) net_module: bool,
    /// Whether dracut made it for one machine.
    pub(crate) host_only: bool,
    /// Whether it has the program that logs in to an iSCSI disk.
    pub(crate) iscsi: bool,
}

impl Contents {
    /// Returns whether anything in it mounts NFS.
    pub(crate) fn mounts_nfs(&self) -> bool {
        self.nfsmount || self.mount_nfs
    }

    /// Returns whether it has modules of any version.
    pub(crate) fn has_versions(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Returns a version whose modules it has, if it has none of `version`.
    pub(crate) fn other_version(&self, version: &str) -> Option<String> {
        match self.versions.contains(version) {
            true => None,
            false => self.versions.first().cloned(),
        }
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
            ("etc", "netconfig") => self.netconfig = true,
            (_, "nfsmount") if in_bin => {
                self.nfsmount = true;
                self.is_mount_nfs |= has(content, b"mount.nfs");
            }
            (_, "mount.nfs" | "mount.nfs4") if in_bin => self.mount_nfs = true,
            (_, "iscsistart") if in_bin => self.iscsi = true,
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
        let below = path.strip_prefix("lib/modules/");
        if let Some((version, _)) = below.and_then(|below| below.split_once('/'))
            && self.versions.len() < VERSIONS
            && is_version(version)
        {
            self.versions.insert(version.to_string());
        }
        if below.is_some() && name.contains(".ko") {
            self.modules = true;
            self.nfs_module |= name.starts_with("nfs.ko");
            self.nfsv3_module |= name.starts_with("nfsv3.ko");
            self.nfsv4_module |= name.starts_with("nfsv4.ko");
            self.net_module |= is_network(dir, name);
            self.added_module |= is_added(dir);
            let known = module_name(name).filter(|name| name.len() <= MODULE_NAME);
            self.names
                .extend(known.filter(|_| self.names.len() < MODULES));
        }
    }

    /// Returns whether it has a module, or more of them than are recorded.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.names.contains(name) || self.names.len() >= MODULES
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
    // A module from elsewhere may be any driver.
    if is_added(dir) {
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

/// Returns whether a directory has modules that came from elsewhere than the kernel's own package.
fn is_added(dir: &str) -> bool {
    ["/updates", "/extra", "/weak-updates"]
        .iter()
        .any(|added| dir.contains(added))
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Returns the findings in files that are loaded together as an initramfs.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn contents(boot: &dyn BootFiles, paths: &[String]) -> io::Result<Initramfs> {
    static FOUND: Known<Initramfs> = Known::new();
    FOUND.find(boot, paths, || look_into(boot, paths))
}

fn look_into(boot: &dyn BootFiles, paths: &[String]) -> io::Result<Initramfs> {
    let broken = |path: &String, why| Ok(Initramfs::Broken(path.clone(), why));
    let mut found = Contents::default();
    let mut is_known = true;
    for path in paths {
        let image = boot.head(path, INITRAMFS_LIMIT)?.unwrap_or_default();
        match search(&image, &mut found) {
            End::Whole => {}
            End::Early => return broken(path, "ends early, in the middle of an archive"),
            End::Damaged => {
                return broken(path, "is damaged: its compressed data cannot be unpacked");
            }
            End::Unpackable => {
                return broken(
                    path,
                    "is packed in lz4's frame format, which no kernel unpacks (lz4 -l makes the other one)",
                );
            }
            End::Unknown => is_known = false,
        }
    }
    Ok(match is_known {
        true => Initramfs::Read(Box::new(found)),
        false => Initramfs::Unknown,
    })
}

/// Searches an initramfs.
fn search(image: &[u8], found: &mut Contents) -> End {
    match image.is_empty() {
        true => End::Unknown,
        false => archive::each_part(image, &mut |part| walk(part, found)),
    }
}

/// Searches concatenated archives; the error of one that ends early is [`io::ErrorKind::UnexpectedEof`].
fn walk(reader: &mut dyn Read, found: &mut Contents) -> io::Result<End> {
    let mut content = vec![0; SEARCHED];
    let mut header = [0; HEADER];
    // Any number of NULs may be behind an archive.
    let mut end = End::Whole;
    while reader.read(&mut header[..1])? == 1 {
        if header[0] == 0 {
            continue;
        }
        header[1..].fill(0);
        let mut rest = &mut header[1..];
        io::copy(&mut reader.take(HEADER as u64 - 1), &mut rest)?;
        if interrupt::requested().is_some() {
            return Ok(End::Unknown);
        }
        if archive::is_cut_header(&header) {
            return Ok(End::Early);
        }
        let number = |at: usize| {
            let digits = std::str::from_utf8(header.get(at..at + 8)?).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let is_entry = header.starts_with(b"070701") || header.starts_with(b"070702");
        let (Some(size), Some(length)) = (number(54), number(94)) else {
            return Ok(End::Unknown);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !is_entry || length == 0 || length > NAME_LIMIT {
            return Ok(End::Unknown);
        }
        let mut name = vec![0; (HEADER + length).next_multiple_of(4) - HEADER];
        reader.read_exact(&mut name)?;
        let name = String::from_utf8_lossy(&name[..length - 1]).into_owned();
        if name == "TRAILER!!!" {
            end = End::Whole;
            continue;
        }
        end = End::Early;
        let mut taken = 0;
        if Contents::needs_content(&name) {
            taken = usize::try_from(size).unwrap_or(SEARCHED).min(SEARCHED);
            reader.read_exact(&mut content[..taken])?;
        }
        let left = size.next_multiple_of(4) - taken as u64;
        let skipped = io::copy(&mut reader.take(left), &mut io::sink())?;
        if skipped + (taken as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        found.see(&name, &content[..taken]);
    }
    Ok(end)
}

#[cfg(test)]
pub(crate) mod tests;
