//! Parses one line of an fstab, with escapes decoded.
//!
//! A line that mount(8) would not accept is not an entry.

use super::{BOOT_PLACES, DATA_OPTION, OWN_OPTION};
use crate::fs::octal::unescaped;

/// Devices that are not disks of the node.
const NOT_DISKS: [&str; 4] = ["/dev/zram", "/dev/nbd", "/dev/ram", "/dev/shm"];
/// Tags that name a disk.
const TAGS: [&str; 5] = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="];

/// Directories of links to disks, and the tags that name the same ones: systemd's udev rules.
const LINKS: [(&str, &str); 4] = [
    ("/dev/disk/by-uuid/", "UUID="),
    ("/dev/disk/by-label/", "LABEL="),
    ("/dev/disk/by-partuuid/", "PARTUUID="),
    ("/dev/disk/by-partlabel/", "PARTLABEL="),
];

/// An entry of an fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The device: a path, `UUID=…` without quotes, `server:/path`.
    pub spec: String,
    /// The mount point, without a trailing slash; `none` for swap.
    pub file: String,
    /// The filesystem type.
    pub fstype: String,
    /// The mount options, comma-separated; `defaults` if the field is missing.
    pub options: String,
}

impl Entry {
    /// Returns whether it is netbe's line.
    pub fn is_managed(&self) -> bool {
        self.options.split(',').any(|o| o == OWN_OPTION)
    }

    /// Returns whether it is a line of netbe's for data of the node.
    pub fn is_data(&self) -> bool {
        self.options.split(',').any(|o| o == DATA_OPTION)
    }

    /// Returns whether it is an NFS mount.
    pub fn is_nfs(&self) -> bool {
        matches!(self.fstype.as_str(), "nfs" | "nfs4")
    }

    /// Returns whether it mounts a disk of the node.
    pub fn is_on_disk(&self) -> bool {
        let spec = self.spec.as_str();
        is_tag(spec)
            || (spec.starts_with("/dev/") && !NOT_DISKS.iter().any(|d| spec.starts_with(d)))
    }

    /// Returns whether a boot waits for it and its disk is the machine's own: not if it is mounted on demand, nor if the disk is
    /// on the network.
    pub fn waits_for_disk(&self) -> bool {
        let mut options = self.options.split(',');
        let local = self.fstype == "zfs" || (self.is_on_disk() && !self.spec.contains("-iscsi-"));
        local && !options.any(|o| matches!(o, "noauto" | "_netdev"))
    }

    /// Returns whether its disk is one of these tags or device files.
    pub fn is_among(&self, disks: &[String]) -> bool {
        let link = LINKS.iter().find_map(|(directory, tag)| {
            let name = self.spec.strip_prefix(directory)?;
            Some(format!("{tag}{name}"))
        });
        disks
            .iter()
            .any(|disk| *disk == self.spec || Some(disk) == link.as_ref())
    }

    /// Returns whether it mounts one of these disks, but not as the root or for boot files.
    pub fn is_beside(&self, boot_mount: &str, disks: &[String]) -> bool {
        let file = self.file.as_str();
        self.is_among(disks) && file != "/" && file != boot_mount && !BOOT_PLACES.contains(&file)
    }

    /// Returns an option's value: `@home` of `subvol=@home`.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options
            .split(',')
            .find_map(|o| o.strip_prefix(key)?.strip_prefix('='))
    }

    /// Returns whether it may hold boot files: not a bind mount.
    pub(super) fn holds_boot_files(&self) -> bool {
        self.is_nfs() || self.is_on_disk()
    }
}

/// Returns the entries of an fstab, in order.
pub fn entries(text: &str) -> Vec<Entry> {
    text.lines().filter_map(parse).collect()
}

/// Parses a line; `None` for comments, blank and invalid lines.
pub(super) fn parse(line: &str) -> Option<Entry> {
    let mut fields = line
        .trim_end_matches('\r')
        .split([' ', '\t'])
        .filter(|f| !f.is_empty());
    let spec = fields.next().filter(|f| !f.starts_with('#'))?;
    let file = fields.next()?;
    let fstype = fields.next()?;
    Some(Entry {
        spec: unquoted(unescape(spec)),
        file: file_of(file),
        fstype: unescape(fstype),
        options: fields.next().map_or("defaults".to_string(), unescape),
    })
}

pub(super) fn is_tag(spec: &str) -> bool {
    TAGS.iter().any(|tag| spec.starts_with(tag))
}

/// Removes the quotes of a tag that libblkid accepts: `LABEL="my disk"`, `"LABEL=my disk"`.
pub(super) fn unquoted(spec: String) -> String {
    match spec.replace('"', "") {
        plain if is_tag(&plain) => plain,
        _ => spec,
    }
}

/// Returns the mount point in a field: `/boot/firmware/` and `/boot/firmware` are equal.
pub(super) fn file_of(field: &str) -> String {
    let file = unescape(field);
    match file.trim_end_matches('/') {
        "" => file,
        trimmed => trimmed.to_string(),
    }
}

/// Encodes a field: blanks and backslashes as three octal digits.
pub(super) fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for c in value.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' | '\\' | '#' => {
                escaped.push_str(&format!("\\{:03o}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn unescape(field: &str) -> String {
    String::from_utf8_lossy(&unescaped(field)).into_owned()
}
