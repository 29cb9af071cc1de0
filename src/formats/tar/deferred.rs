//! Attributes of directories, and ACLs, which are applied at the end of an archive.
//!
//! New files would inherit a directory's default ACL and change its time, and names in ACLs need the system's
//! `passwd`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::libc::UTIME_OMIT;
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;

use super::acl::{self, Names};
use super::entry::Member;
use crate::fs::copy::attributes::{ACL_ACCESS, ACL_DEFAULT, Attributes, is_portable, set_xattr};
use crate::fs::interrupt;
use crate::fs::opener::descriptor_path;
use crate::fs::rooted::Tree;

/// Memory limit, in bytes: ten times what a system with a hundred thousand directories and ACLs needs.
const MEMORY_MAX: usize = 512 << 20;
/// Approximate overhead of an entry, in bytes.
const OVERHEAD: usize = 256;
/// How many kinds of omitted attributes are listed, and how many characters of each.
const LISTED_MAX: usize = 64;
const LISTED_LENGTH: usize = 512;
/// Replaces all further ones in the list.
const MORE: &str = "and more of the kind";

/// Attributes to be applied at the end.
#[derive(Debug)]
pub(super) struct Deferred {
    directories: BTreeMap<PathBuf, Attributes>,
    acls: BTreeMap<PathBuf, Vec<(&'static str, String)>>,
    users: Names,
    groups: Names,
    left_out: BTreeSet<String>,
    /// Bytes left of the memory limit.
    memory_left: usize,
}

impl Deferred {
    pub(super) fn new() -> Self {
        // An archive need not have an entry for the root directory.
        let root = Attributes {
            mode: 0o755,
            uid: 0,
            gid: 0,
            accessed: TimeSpec::new(0, UTIME_OMIT),
            modified: TimeSpec::new(0, UTIME_OMIT),
            xattrs: Vec::new(),
        };
        Self {
            directories: BTreeMap::from([(PathBuf::new(), root)]),
            acls: BTreeMap::new(),
            users: Names::default(),
            groups: Names::default(),
            left_out: BTreeSet::new(),
            memory_left: MEMORY_MAX,
        }
    }

    /// Records the attributes of a directory.
    ///
    /// # Errors
    /// Above the memory limit.
    pub(super) fn directory(&mut self, path: PathBuf, attributes: Attributes) -> Result<()> {
        let xattrs = attributes.xattrs.iter();
        let xattrs: usize = xattrs
            .map(|(n, value)| OVERHEAD + n.len() + value.len())
            .sum();
        self.reserve(path.as_os_str().len() + xattrs)?;
        self.directories.insert(path, attributes);
        Ok(())
    }

    /// Counts the memory of an entry.
    fn reserve(&mut self, length: usize) -> Result<()> {
        let memory_left = self.memory_left.checked_sub(OVERHEAD + length);
        self.memory_left = memory_left
            .context("the archive has more directories and access lists than can be kept")?;
        Ok(())
    }

    /// Records something that is omitted; the number is limited, for an archive may have any.
    fn leave_out(&mut self, what: &str) {
        let short: String = what.chars().take(LISTED_LENGTH).collect();
        match self.left_out.len() < LISTED_MAX || self.left_out.contains(&short) {
            true => self.left_out.insert(short),
            false => self.left_out.insert(MORE.to_string()),
        };
    }

    /// Drops a removed directory.
    pub(super) fn remove(&mut self, path: &Path) {
        self.directories.remove(path);
    }

    /// Removes from a member the attributes that are applied later or omitted.
    ///
    /// # Errors
    /// Above the memory limit.
    pub(super) fn sift(&mut self, member: &mut Member, path: &Path) -> Result<()> {
        self.acls.remove(path);
        let (user, group) = &member.owner_names;
        self.users.learn(user, member.attributes.uid);
        self.groups.learn(group, member.attributes.gid);
        for (attribute, text) in [
            (ACL_ACCESS, member.acl_access.take()),
            (ACL_DEFAULT, member.acl_default.take()),
        ] {
            if let Some(text) = text {
                member.attributes.xattrs.retain(|(n, _)| n != attribute);
                self.reserve(path.as_os_str().len() + text.len())?;
                let acls = self.acls.entry(path.to_path_buf()).or_default();
                acls.push((attribute, text));
            }
        }
        for what in &member.left_out {
            self.leave_out(what);
        }
        let xattrs = std::mem::take(&mut member.attributes.xattrs);
        for (name, value) in xattrs {
            match is_portable(&name) {
                true => member.attributes.xattrs.push((name, value)),
                false => self.leave_out(&format!("attributes {}", name.to_string_lossy())),
            }
        }
        Ok(())
    }

    /// Applies everything, and returns what was omitted.
    pub(super) fn apply(mut self, tree: &Tree) -> Result<Vec<String>> {
        self.apply_acls(tree)?;
        for (path, attributes) in self.directories.iter().rev() {
            interrupt::check()?;
            let shown = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let directory = tree.open_path(shown, flags, Mode::empty())?;
            attributes
                .apply(&File::from(directory))
                .with_context(|| format!("unpacking '{}'", shown.display()))?;
        }
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.into_iter().collect();
            notes.push(format!("left out of the archive: {}", names.join(", ")));
        }
        Ok(notes)
    }

    fn apply_acls(&mut self, tree: &Tree) -> Result<()> {
        if self.acls.is_empty() {
            return Ok(());
        }
        for (names, file) in [
            (&mut self.users, "etc/passwd"),
            (&mut self.groups, "etc/group"),
        ] {
            let bytes = tree.read(file)?.unwrap_or_default();
            names.read(&String::from_utf8_lossy(&bytes));
        }
        let acls = std::mem::take(&mut self.acls).into_iter();
        let each =
            acls.flat_map(|(path, acls)| acls.into_iter().map(move |(a, t)| (path.clone(), a, t)));
        for (path, attribute, text) in each {
            interrupt::check()?;
            let Some(value) = acl::value(&text, &self.users, &self.groups) else {
                self.leave_out(&format!("the access list of {} ({text})", path.display()));
                continue;
            };
            // A directory gets it with its other attributes, after its mode.
            if let Some(attributes) = self.directories.get_mut(&path) {
                attributes.xattrs.push((attribute.into(), value));
                continue;
            }
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
            // A later member may have replaced or removed the file.
            if let Ok(fd) = tree.open_path(&path, flags, Mode::empty())
                && File::from(fd.try_clone()?).metadata()?.is_file()
            {
                set_xattr(&descriptor_path(&fd), OsStr::new(attribute), &value)
                    .with_context(|| format!("unpacking '{}'", path.display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(deferred: &mut Deferred, name: &str) -> Result<()> {
        let attributes = deferred.directories[&PathBuf::new()].clone();
        deferred.directory(PathBuf::from(name), attributes)
    }

    #[test]
    fn the_memory_is_limited() {
        let mut deferred = Deferred::new();
        directory(&mut deferred, "etc").unwrap();
        assert_eq!(deferred.memory_left, MEMORY_MAX - OVERHEAD - 3);
        deferred.memory_left = 2 * OVERHEAD;
        directory(&mut deferred, "usr").unwrap();
        assert!(directory(&mut deferred, "var").is_err());
    }

    #[test]
    fn a_limited_number_of_omissions_is_listed() {
        let mut deferred = Deferred::new();
        for n in 0..10_000 {
            deferred.leave_out(&format!("attributes {n}{}", "x".repeat(LISTED_LENGTH)));
        }
        assert_eq!(deferred.left_out.len(), LISTED_MAX + 1);
        let longest = deferred.left_out.iter().map(String::len).max();
        assert_eq!(longest, Some(LISTED_LENGTH));
        assert!(deferred.left_out.contains(MORE));
    }
}
