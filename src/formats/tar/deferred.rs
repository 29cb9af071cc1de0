//! What is kept for the end of an archive: what directories get, and access lists.
//!
//! A directory's default access list would be inherited by what is put into it, every new entry would move its
//! time, and the names in access lists are known only when the system's `passwd` is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::libc::UTIME_OMIT;
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;

use super::acl::{self, Names};
use super::entry::Member;
use crate::fs::copy::attributes::{
    ACL_ACCESS, ACL_DEFAULT, Attributes, descriptor, is_portable, set_xattr,
};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// How much is kept at most, in bytes: a system with a hundred thousand directories and lists takes a tenth of it.
const MOST: usize = 512 << 20;
/// What each thing that is kept takes besides its content, in bytes: about that.
const EACH: usize = 256;
/// How many kinds of what is left out are named, and how many characters of each.
const NAMED: usize = 64;
const NAME: usize = 512;
/// What stands for all others.
const MORE: &str = "and more of the kind";

/// What is given when everything is in its place.
#[derive(Debug)]
pub(super) struct Deferred {
    directories: BTreeMap<PathBuf, Attributes>,
    acls: BTreeMap<PathBuf, Vec<(&'static str, String)>>,
    users: Names,
    groups: Names,
    left_out: BTreeSet<String>,
    /// How much more may be kept, in bytes.
    left: usize,
}

impl Deferred {
    pub(super) fn new() -> Self {
        // An archive need not say anything of the root itself.
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
            left: MOST,
        }
    }

    /// Keeps what a directory gets.
    ///
    /// # Errors
    /// When that is too much.
    pub(super) fn directory(&mut self, path: PathBuf, attributes: Attributes) -> Result<()> {
        let xattrs = attributes.xattrs.iter();
        let xattrs: usize = xattrs.map(|(n, value)| EACH + n.len() + value.len()).sum();
        self.take(path.as_os_str().len() + xattrs)?;
        self.directories.insert(path, attributes);
        Ok(())
    }

    /// Takes note of something that is kept.
    fn take(&mut self, length: usize) -> Result<()> {
        let left = self.left.checked_sub(EACH + length);
        self.left =
            left.context("the archive has more directories and access lists than can be kept")?;
        Ok(())
    }

    /// Takes note of what cannot be given: of some kinds by name, for an archive can make up any number.
    fn leave_out(&mut self, what: &str) {
        let short: String = what.chars().take(NAME).collect();
        match self.left_out.len() < NAMED || self.left_out.contains(&short) {
            true => self.left_out.insert(short),
            false => self.left_out.insert(MORE.to_string()),
        };
    }

    /// Forgets a directory that was taken away.
    pub(super) fn forget(&mut self, path: &Path) {
        self.directories.remove(path);
    }

    /// Takes out of a member what cannot be given at once, or at all.
    ///
    /// # Errors
    /// When that is too much to keep.
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
                self.take(path.as_os_str().len() + text.len())?;
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

    /// Gives directories what was kept for the end, and returns what was left out.
    pub(super) fn apply(mut self, tree: &Tree) -> Result<Vec<String>> {
        self.give_acls(tree)?;
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

    fn give_acls(&mut self, tree: &Tree) -> Result<()> {
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
            // For a directory it goes the way of its other attributes, for its mode is set later.
            if let Some(attributes) = self.directories.get_mut(&path) {
                attributes.xattrs.push((attribute.into(), value));
                continue;
            }
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
            // What a later member replaced or took away has no list any more.
            if let Ok(fd) = tree.open_path(&path, flags, Mode::empty())
                && File::from(fd.try_clone()?).metadata()?.is_file()
            {
                set_xattr(&descriptor(fd.as_fd()), OsStr::new(attribute), &value)
                    .with_context(|| format!("unpacking '{}'", path.display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(kept: &mut Deferred, name: &str) -> Result<()> {
        let attributes = kept.directories[&PathBuf::new()].clone();
        kept.directory(PathBuf::from(name), attributes)
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut kept = Deferred::new();
        directory(&mut kept, "etc").unwrap();
        assert_eq!(kept.left, MOST - EACH - 3);
        kept.left = 2 * EACH;
        directory(&mut kept, "usr").unwrap();
        assert!(directory(&mut kept, "var").is_err());
    }

    #[test]
    fn what_is_left_out_is_named_up_to_a_number() {
        let mut kept = Deferred::new();
        for n in 0..10_000 {
            kept.leave_out(&format!("attributes {n}{}", "x".repeat(NAME)));
        }
        assert_eq!(kept.left_out.len(), NAMED + 1);
        let longest = kept.left_out.iter().map(String::len).max();
        assert_eq!(longest, Some(NAME));
        assert!(kept.left_out.contains(MORE));
    }
}
