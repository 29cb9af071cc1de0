//! POSIX ACLs: converts an archive's text to the kernel's value.
//!
//! Pure. A name gets the number that it has elsewhere in the archive, or in the unpacked system's `passwd` and
//! `group`; never this machine's. Numbers in the text take precedence.

use std::collections::HashMap;

/// Version in the kernel's value (`POSIX_ACL_XATTR_VERSION`).
const VERSION: u32 = 2;
const UNDEFINED: u32 = u32::MAX;

/// The most names of an archive that are recorded.
const NAMES: usize = 65536;
/// The most entries of an ACL: a value has 64 KiB, its header four bytes, an entry eight.
const ENTRIES: usize = 8191;

/// IDs of user or group names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Owners of the archive's members.
    members: HashMap<String, u32>,
    /// From `etc/passwd` or `etc/group`.
    file: HashMap<String, u32>,
}

impl Names {
    /// Records a member's owner.
    pub(super) fn learn(&mut self, name: &[u8], id: u32) {
        if let Ok(name) = std::str::from_utf8(name)
            && !name.is_empty()
            && self.members.len() < NAMES
            && !self.members.contains_key(name)
        {
            self.members.insert(name.to_string(), id);
        }
    }

    /// Adds the system's `etc/passwd` or `etc/group`.
    pub(super) fn read(&mut self, file: &str) {
        for line in file.lines() {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            if let Some(id) = fields.nth(1).and_then(|id| id.trim().parse().ok()) {
                self.file.entry(name.to_string()).or_insert(id);
            }
        }
    }

    fn id(&self, name: &str) -> Option<u32> {
        let known = self.members.get(name).or_else(|| self.file.get(name));
        known.copied()
    }
}

/// Converts `"user::rw-,user:lars:r--,group::r--,mask::r--,other::---"` to the kernel's value.
///
/// `None` if an entry is malformed or has an unknown name.
pub(super) fn value(text: &str, users: &Names, groups: &Names) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    for entry in text.split([',', '\n']) {
        let entry = entry.split('#').next().unwrap_or_default().trim();
        if !entry.is_empty() {
            entries.push(parse(entry, users, groups)?);
        }
        if entries.len() > ENTRIES {
            return None;
        }
    }
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Some(value)
}

/// Parses `TYPE:NAME:PERMISSIONS[:NUMBER]` into tag, ID, permissions.
fn parse(entry: &str, users: &Names, groups: &Names) -> Option<(u16, u32, u16)> {
    let mut fields = entry.split(':');
    let (kind, name) = (fields.next()?, fields.next()?);
    // "other" and "mask" may lack the empty name, as in "other:r--".
    let permissions = match fields.next() {
        Some(permissions) => permissions,
        None if matches!(kind, "other" | "o" | "mask" | "m") => name,
        None => return None,
    };
    let number = fields.next().and_then(|n| n.parse().ok());
    let id = |names: &Names| {
        number
            .or_else(|| name.parse().ok())
            .or_else(|| names.id(name))
    };
    let (tag, id) = match kind {
        "user" | "u" if name.is_empty() => (0x01, UNDEFINED),
        "user" | "u" => (0x02, id(users)?),
        "group" | "g" if name.is_empty() => (0x04, UNDEFINED),
        "group" | "g" => (0x08, id(groups)?),
        "mask" | "m" => (0x10, UNDEFINED),
        "other" | "o" => (0x20, UNDEFINED),
        _ => return None,
    };
    let mut bits = 0;
    for letter in permissions.trim_end().bytes() {
        bits |= match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => 0,
            _ => return None,
        };
    }
    Some((tag, id, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<u8>> {
        let (mut users, mut groups) = (Names::default(), Names::default());
        users.read("root:x:0:0:root:/root:/bin/sh\nlars:x:1000:1001::/:/bin/sh\n");
        groups.read("root:x:0:\nadm:x:4:lars\nadm:x:5:\nstaff:x:50:\n");
        groups.learn(b"staff", 20);
        value(text, &users, &groups)
    }

    #[test]
    fn entries_are_sorted_and_names_are_the_systems() {
        let text = "other::---,user::rw-,group::r--,user:lars:rwx,group:adm:r-x,mask::rwx";
        let value = parsed(text).unwrap();
        let expected: [(u16, u16, u32); 6] = [
            (0x01, 6, UNDEFINED),
            (0x02, 7, 1000),
            (0x04, 4, UNDEFINED),
            (0x08, 5, 4),
            (0x10, 7, UNDEFINED),
            (0x20, 0, UNDEFINED),
        ];
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in expected {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        assert_eq!(value, bytes);
    }

    #[test]
    fn a_number_takes_precedence_over_a_name() {
        let with = parsed("user:lars:r--:77").unwrap();
        assert_eq!(with, parsed("user:77:r--").unwrap());
    }

    #[test]
    fn owners_of_the_archive_take_precedence_over_the_system() {
        assert_eq!(parsed("group:staff:r--"), parsed("group:20:r--"));
    }

    #[test]
    fn a_long_list_of_names_from_a_long_file_takes_no_time() {
        let (mut users, groups) = (Names::default(), Names::default());
        let lines = (0..100_000).map(|n| format!("user{n}:x:{n}:0::/home/of/user{n}:/bin/sh\n"));
        users.read(&lines.collect::<String>());
        let entry = "user:user99999:r--,";
        let begun = crate::fs::threads::processor_time();
        assert!(value(&entry.repeat(ENTRIES), &users, &groups).is_some());
        assert!(value(&entry.repeat(ENTRIES + 1), &users, &groups).is_none());
        let taken = crate::fs::threads::processor_time() - begun;
        assert!(taken < std::time::Duration::from_secs(20), "{taken:?}");
    }

    #[test]
    fn malformed_entries_and_unknown_names_are_rejected() {
        for text in ["user:nobody-here:r--", "user", "world::r--", "user::rq-"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
