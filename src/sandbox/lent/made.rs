//! Plans a lent file, and makes it beside its place.
//!
//! The plan is recorded before anything is made, and the file's inode number before it moves to its place: so a later command
//! finds what a killed netbe left, at whichever step it was killed. The file is durable before its number is recorded: after a
//! power cut it could be empty, and putting back would take it for one that programs had emptied, and empty the
//! environment's own. Not for moving it to its place.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Lent, protection, text_of};
use crate::fs::rooted::Tree;

/// The maximum number of names to try for the file that is set aside.
const NAMES: usize = 100;

impl Lent {
    /// Plans the file; nothing is changed.
    ///
    /// # Errors
    /// When its place has a directory, a device or a pipe.
    pub(super) fn plan(tree: &Tree, path: &str, content: &str, mode: u32) -> anyhow::Result<Self> {
        let looking = || format!("looking at /{path} in the environment");
        let there = tree.symlink_metadata(path).with_context(looking)?;
        let is_link = |m: &Metadata| m.file_type().is_symlink();
        if there.as_ref().is_some_and(|m| !m.is_file() && !is_link(m)) {
            bail!("/{path} in the environment is not a regular file");
        }
        let mut lent = Self {
            path: path.to_string(),
            aside: String::new(),
            had: there.is_some(),
            inode: 0,
            content: content.to_string(),
            mode,
            owner: (0, 0),
            protection: 0,
            made: missing_directories(tree, path).with_context(looking)?,
        };
        // The environment keeps changes that programs make to it, so it has the owner and mode of the environment's own file.
        if let Some(own) = there.filter(Metadata::is_file) {
            lent.owner = (own.uid(), own.gid());
            lent.mode |= own.mode() & 0o777;
            lent.protection = protection::flags(tree, path).with_context(looking)?;
        }
        lent.choose_aside(tree)
            .with_context(|| format!("looking for a name beside /{path}"))?;
        Ok(lent)
    }

    /// Chooses a name that is free: a file of the node, or from a run whose record was lost, is never overwritten.
    fn choose_aside(&mut self, tree: &Tree) -> io::Result<()> {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let first = format!(".{name}.netbe-own");
        let others = (1..NAMES).map(|number| format!("{first}-{number}"));
        for aside in std::iter::once(first.clone()).chain(others) {
            self.aside = aside;
            if tree.symlink_metadata(&self.aside_path())?.is_none() {
                return Ok(());
            }
        }
        Err(io::Error::other("no name is free"))
    }

    /// Makes the file beside its place, durably if the tree is; existing files are not changed.
    pub(in crate::sandbox) fn make(&mut self, tree: &Tree) -> anyhow::Result<()> {
        self.make_beside(tree)
            .with_context(|| format!("making a file beside /{}", self.path))
    }

    fn make_beside(&mut self, tree: &Tree) -> io::Result<()> {
        for directory in &self.made {
            tree.make_dirs(directory)?;
        }
        let aside = self.aside_path();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let file = tree.despite_protection(&aside, || {
            tree.open_at(&aside, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        });
        let mut file = File::from(file?);
        self.inode = file.metadata()?.ino();
        file.write_all(self.content.as_bytes())?;
        fchown(&file, Some(self.owner.0), Some(self.owner.1))?;
        file.set_permissions(Permissions::from_mode(self.mode))?;
        match tree.is_durable() {
            true => file.sync_all(),
            false => Ok(()),
        }
    }

    pub(super) fn is_made(&self) -> bool {
        self.inode != 0
    }

    /// Removes the file if it was made after all: it has all of its text, or a part.
    pub(super) fn unmake(&self, tree: &Tree) -> io::Result<()> {
        let aside = self.aside_path();
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
        let file = match tree.open_path(aside.as_ref(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // Nothing, or of another kind.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => {
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        };
        match text_of(file)? {
            Some(text) if self.content.starts_with(&text) => tree.remove_file(&aside),
            _ => Ok(()),
        }
    }
}

/// Returns the directories above a path that are missing, outermost first.
fn missing_directories(tree: &Tree, path: &str) -> io::Result<Vec<String>> {
    let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
    let mut missing = Vec::new();
    for parent in parents.filter(|parent| !parent.is_empty()) {
        if tree.metadata(parent)?.is_none() {
            missing.push(parent.to_string());
        }
    }
    Ok(missing)
}
