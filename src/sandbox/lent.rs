//! Files of netbe that replace an environment's own while programs run in it: `resolv.conf`, `policy-rc.d`.
//!
//! They are not mounts: a package must be able to replace `/etc/resolv.conf` with a link. One rename exchanges the lent
//! file and the environment's own, which is kept beside it and put back afterwards; changes that programs made to the
//! lent file are applied to it. Files are identified by names and inode numbers that were recorded before ([`Lent`]), so
//! that a later command can put back what a killed netbe left, at whichever step it was killed. A node can write its
//! environment's files: all are opened beneath its root, and a link at the end of a path is not followed.

pub(super) mod copies;
mod exchange;
mod made;
mod merge;
mod moved;
mod place;
mod protection;

use std::ffi::c_int;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::fs::rooted::Tree;
use exchange::{exchange, move_to_free};
use merge::merged;

pub use copies::give_all_back;
pub(super) use place::{Place, find};

/// The largest file that is searched for lent text, in bytes.
const LARGEST: u64 = 1 << 20;

/// A file that replaces an environment's own, or is added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Its path from the environment's root.
    pub path: String,
    /// The name in the same directory under which it is made, and which the environment's own file has afterwards.
    pub aside: String,
    /// Whether the environment has a file or link there.
    pub had: bool,
    /// Its inode number; 0 if it may not have been made yet.
    pub inode: u64,
    /// Its content.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// The flags of chattr(1) that protected the environment's own file.
    #[serde(default, skip_serializing_if = "protection::is_none")]
    pub protection: c_int,
    /// The directories made for it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
}

impl Lent {
    /// Opens the file under the name that it was made with; `None` if that fails.
    pub(super) fn open(&self, tree: &Tree) -> Option<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let open = tree.open_at(&self.aside_path(), flags, Mode::empty());
        open.ok().map(File::from)
    }

    /// Moves the file to its place, by one rename.
    pub(super) fn put(&self, tree: &Tree) -> anyhow::Result<()> {
        let (parent, name) = tree.parent(&self.path)?;
        if self.protection != 0 {
            // Protection is added again to the file that is there afterwards.
            protection::remove(tree, &self.path)?;
        }
        let put = || match self.had {
            true => exchange(&parent, &self.aside, &name),
            false => move_to_free(&parent, &self.aside, &name),
        };
        tree.despite_protection(&self.aside_path(), || Ok(put()?))
            .with_context(|| format!("putting a file in the place of /{}", self.path))
    }

    /// Puts back the environment's own file, with the changes that programs made; does nothing if that was done before.
    ///
    /// # Errors
    /// Names the file that could not be put back.
    pub fn give_back(&self, tree: &Tree) -> anyhow::Result<()> {
        self.give_back_from(tree, None)
    }

    /// The same with the open lent file, by which it is found after programs moved it.
    pub(super) fn give_back_from(&self, tree: &Tree, lent: Option<&File>) -> anyhow::Result<()> {
        let moved = moved::find(self, tree, lent);
        let directory = self.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if moved.is_none() && tree.metadata(directory)?.is_none() {
            // It was made for this file, and is removed already; or programs removed all of it.
            self.remove_directories(tree);
            return Ok(());
        }
        self.settle(tree, moved.as_deref())
            .and_then(|()| protection::add(tree, &self.path, self.protection))
            .with_context(|| format!("putting back /{} of the environment", self.path))?;
        self.remove_directories(tree);
        Ok(())
    }

    /// `moved` is the path of the lent file, if programs moved it.
    fn settle(&self, tree: &Tree, moved: Option<&str>) -> io::Result<()> {
        let (path, aside) = (self.path.as_str(), self.aside_path());
        if !self.is_made() {
            return self.unmake(tree);
        }
        let (now, own) = (tree.symlink_metadata(path)?, tree.symlink_metadata(&aside)?);
        let is_lent = |m: &Metadata| m.is_file() && m.ino() == self.inode;
        if own.as_ref().is_some_and(is_lent) {
            // It was never moved to its place.
            return tree.remove_file(&aside);
        }
        if self.had && own.is_none() {
            return Ok(());
        }
        match now.filter(Metadata::is_file) {
            Some(now) if is_lent(&now) => match (self.text(tree)?, own) {
                (Some(text), own) if text == self.content => self.untouched(tree, &now, own),
                (text, own) => self.changed(tree, text, own),
            },
            // The file of a package stays, without text that was copied from the lent one.
            Some(_) => {
                let original = self.own_text(tree)?;
                if let Some(text) = self.text(tree)?
                    && let Some(text) = merged(&text, &self.content, original.as_deref())
                {
                    tree.write(path, text.as_bytes())?;
                }
                self.follow(tree, moved)
            }
            // A link, or nothing: the programs replaced or removed it.
            None => self.follow(tree, moved),
        }
    }

    /// Moves the environment's own file to where the lent file was moved; removes it if the lent file was removed.
    fn follow(&self, tree: &Tree, moved: Option<&str>) -> io::Result<()> {
        let aside = self.aside_path();
        let Some(moved) = moved else {
            return tree.remove_file(&aside);
        };
        let text = tree.open_file(moved)?.map_or(Ok(None), text_of)?;
        let is_unchanged = text.as_ref().is_none_or(|text| *text == self.content);
        if is_unchanged && !self.had {
            return tree.remove_file(moved);
        }
        if is_unchanged {
            let (from, to) = (tree.parent(&aside)?, tree.parent(moved)?);
            return nix::fcntl::renameat(&from.0, from.1.as_str(), &to.0, to.1.as_str())
                .map_err(io::Error::from);
        }
        let original = self.own_text(tree)?;
        let text = text.unwrap_or_default();
        let text = merged(&text, &self.content, original.as_deref()).unwrap_or(text);
        tree.write(moved, text.as_bytes())?;
        tree.remove_file(&aside)
    }

    fn untouched(&self, tree: &Tree, now: &Metadata, own: Option<Metadata>) -> io::Result<()> {
        let Some(own) = own else {
            return tree.remove_file(&self.path);
        };
        self.restore(tree)?;
        let (mode, owner) = (now.mode() & 0o7777, (now.uid(), now.gid()));
        if own.is_file() && (mode, owner) != (self.mode, self.owner) {
            // Only its owner or mode was changed.
            let file = tree.open_at(
                &self.path,
                OFlag::O_RDONLY | OFlag::O_NOFOLLOW,
                Mode::empty(),
            )?;
            let file = File::from(file);
            fchown(&file, Some(owner.0), Some(owner.1))?;
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// Keeps the changes that programs made.
    fn changed(&self, tree: &Tree, text: Option<String>, own: Option<Metadata>) -> io::Result<()> {
        let Some(text) = text else {
            // If it is not text, programs wrote all of it.
            return tree.remove_file(&self.aside_path());
        };
        let before = self.own_text(tree)?;
        let text = merged(&text, &self.content, before.as_deref()).unwrap_or(text);
        // First in place of the lent file: whatever happens afterwards, the text is in the environment.
        tree.write(&self.path, text.as_bytes())?;
        let aside = self.aside_path();
        let is_link = own.is_some_and(|own| own.file_type().is_symlink());
        // Without netbe, they would have written to the link's target.
        if is_link && !self.leads_to_itself(tree) && tree.write(&aside, text.as_bytes()).is_ok() {
            return self.restore(tree);
        }
        tree.remove_file(&aside)
    }

    /// Moves the environment's own file back to its place.
    fn restore(&self, tree: &Tree) -> io::Result<()> {
        let (parent, name) = tree.parent(&self.path)?;
        let restore = || nix::fcntl::renameat(&parent, self.aside.as_str(), &parent, name.as_str());
        tree.despite_protection(&self.aside_path(), || Ok(restore()?))
    }

    /// Returns the text of the file in its place; `None` if there is none.
    fn text(&self, tree: &Tree) -> io::Result<Option<String>> {
        tree.open_file(&self.path)?.map_or(Ok(None), text_of)
    }

    /// Returns the text of the environment's own file, following a link inside the environment; `None` if there is none.
    fn own_text(&self, tree: &Tree) -> io::Result<Option<String>> {
        match tree.open_file(&self.aside_path()) {
            Ok(Some(file)) if !self.leads_to_itself(tree) => text_of(file),
            _ => Ok(None),
        }
    }

    /// Returns whether the environment's own is a link to the lent file's place.
    fn leads_to_itself(&self, tree: &Tree) -> bool {
        let leads_to = |path: &str| tree.metadata(path).ok().flatten().map(|m| m.ino());
        leads_to(&self.aside_path()).is_some_and(|own| leads_to(&self.path) == Some(own))
    }

    fn aside_path(&self) -> String {
        match self.path.rsplit_once('/') {
            Some((parent, _)) => format!("{parent}/{}", self.aside),
            None => self.aside.clone(),
        }
    }

    /// A directory that is not empty stays: programs use it.
    fn remove_directories(&self, tree: &Tree) {
        for made in self.made.iter().rev() {
            let _ = tree.remove_dir(made);
        }
    }
}

/// Reads a file; `None` if it is too large or not text. Not interrupted: putting back is part of ending.
fn text_of(file: File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    let is_small = bytes.len() as u64 <= LARGEST;
    Ok(String::from_utf8(bytes).ok().filter(|_| is_small))
}

#[cfg(test)]
mod tests;
