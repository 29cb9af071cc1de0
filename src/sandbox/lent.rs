//! Files of netbe's that stand in place of an environment's own while programs run in it: `resolv.conf`, `policy-rc.d`.
//!
//! Nothing is mounted over them: a package that replaces `/etc/resolv.conf` by a link must be able to. What stands there is
//! set aside beside it by one rename that exchanges the two, and put back afterwards; what the programs made of the lent
//! file counts. Everything is told by names and inode numbers that were recorded before ([`Lent`]), so that what a killed
//! netbe leaves can be put back later, however far it came. An environment's files are its node's to write: all is opened
//! beneath its root, and no link is followed at the last part of a path.

mod merge;
mod moved;
mod place;

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use anyhow::{Context, bail};
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::fs::rooted::Tree;
use merge::merged;

pub(super) use place::{Place, find};

/// How many names are tried for what is set aside.
const NAMES: usize = 100;

/// How much of a file is looked through for what was lent, in bytes.
const LARGEST: u64 = 1 << 20;

/// One file that stands in place of an environment's own, or of none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Where, from the environment's root.
    pub path: String,
    /// The name in the same directory under which it was made, and then what stood there is kept.
    pub aside: String,
    /// Whether something stood there.
    pub had: bool,
    /// Its inode number.
    pub inode: u64,
    /// What is in it.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// The directories that were made for it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
}

impl Lent {
    /// Makes the file beside where it is to stand; nothing that is there is touched.
    ///
    /// # Errors
    /// Where a directory, a device or a pipe stands in its place.
    pub(super) fn prepare(
        tree: &Tree,
        path: &str,
        content: &str,
        mode: u32,
    ) -> anyhow::Result<Self> {
        let there = tree.symlink_metadata(path)?;
        let is_link = |m: &Metadata| m.file_type().is_symlink();
        if there.as_ref().is_some_and(|m| !m.is_file() && !is_link(m)) {
            bail!("/{path} in the environment is not a regular file");
        }
        let made = match path.rsplit_once('/') {
            Some((parent, _)) => make_directories(tree, parent)?,
            None => Vec::new(),
        };
        let mut lent = Self {
            path: path.to_string(),
            aside: String::new(),
            had: there.is_some(),
            inode: 0,
            content: content.to_string(),
            mode,
            owner: (0, 0),
            made,
        };
        // What programs leave in it is the environment's, with the rights that its own had.
        if let Some(own) = there.filter(Metadata::is_file) {
            lent.owner = (own.uid(), own.gid());
            lent.mode |= own.mode() & 0o777;
        }
        let prepared = lent
            .write(tree)
            .with_context(|| format!("making a file beside /{path}"));
        if prepared.is_err() {
            lent.remove_directories(tree);
        }
        prepared.map(|()| lent)
    }

    fn write(&mut self, tree: &Tree) -> io::Result<()> {
        let (_, name) = tree.parent(&self.path)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        for number in 0..NAMES {
            self.aside = match number {
                0 => format!(".{name}.netbe-own"),
                number => format!(".{name}.netbe-own-{number}"),
            };
            let file = tree.open_at(&self.aside_path(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
            let mut file = match file {
                // Somebody's, or what a lost record told of: never overwritten.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                file => File::from(file?),
            };
            self.inode = file.metadata()?.ino();
            let written = file
                .write_all(self.content.as_bytes())
                .and_then(|()| fchown(&file, Some(self.owner.0), Some(self.owner.1)))
                .and_then(|()| file.set_permissions(Permissions::from_mode(self.mode)));
            if written.is_err() {
                let _ = tree.remove_file(&self.aside_path());
            }
            return written;
        }
        Err(io::Error::other("no name is free"))
    }

    /// Opens it where it was made; `None` where that fails.
    pub(super) fn open(&self, tree: &Tree) -> Option<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let open = tree.open_at(&self.aside_path(), flags, Mode::empty());
        open.ok().map(File::from)
    }

    /// Puts it in its place, in one step.
    pub(super) fn put(&self, tree: &Tree) -> anyhow::Result<()> {
        let (parent, name) = tree.parent(&self.path)?;
        let how = match self.had {
            true => RenameFlags::RENAME_EXCHANGE,
            false => RenameFlags::RENAME_NOREPLACE,
        };
        renameat2(&parent, self.aside.as_str(), &parent, name.as_str(), how)
            .with_context(|| format!("putting a file in the place of /{}", self.path))
    }

    /// Puts back what stood there, or takes along what programs made of it; again, where that was done, does nothing.
    ///
    /// # Errors
    /// Names the file that could not be put back.
    pub fn give_back(&self, tree: &Tree) -> anyhow::Result<()> {
        self.give_back_from(tree, None)
    }

    /// The same, where the lent file itself is known: it is found wherever it was moved to.
    pub(super) fn give_back_from(&self, tree: &Tree, lent: Option<&File>) -> anyhow::Result<()> {
        let moved = moved::find(self, tree, lent);
        self.settle(tree, moved.as_deref())
            .with_context(|| format!("putting back /{} of the environment", self.path))?;
        self.remove_directories(tree);
        Ok(())
    }

    /// `moved` is where the lent file is instead, if programs moved it.
    fn settle(&self, tree: &Tree, moved: Option<&str>) -> io::Result<()> {
        let (path, aside) = (self.path.as_str(), self.aside_path());
        let (now, own) = (tree.symlink_metadata(path)?, tree.symlink_metadata(&aside)?);
        let is_lent = |m: &Metadata| m.is_file() && m.ino() == self.inode;
        if own.as_ref().is_some_and(is_lent) {
            // It never came to its place.
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
            // Another one: what a package put there, but for what it took over of the lent one.
            Some(_) => {
                let own = self.own_text(tree)?;
                if let Some(text) = self.text(tree)?
                    && let Some(text) = merged(&text, &self.content, own.as_deref())
                {
                    tree.write(path, text.as_bytes())?;
                }
                self.follow(tree, moved)
            }
            // A link, or nothing: that, too, is what the programs wanted.
            None => self.follow(tree, moved),
        }
    }

    /// Puts what was set aside where the lent file was moved to, as it would have been moved; removes it if that was removed.
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
        let own = self.own_text(tree)?;
        let text = text.unwrap_or_default();
        let text = merged(&text, &self.content, own.as_deref()).unwrap_or(text);
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
            // Its rights were changed, and not its content.
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

    /// Keeps what programs wrote into it.
    fn changed(&self, tree: &Tree, text: Option<String>, own: Option<Metadata>) -> io::Result<()> {
        let Some(text) = text else {
            // No text: it is what they wrote, whole.
            return tree.remove_file(&self.aside_path());
        };
        let before = self.own_text(tree)?;
        let text = merged(&text, &self.content, before.as_deref()).unwrap_or(text);
        let is_link = own.is_some_and(|own| own.file_type().is_symlink());
        if is_link {
            // It would have been written where the link leads.
            self.restore(tree)?;
            if tree.write(&self.path, text.as_bytes()).is_ok() {
                return Ok(());
            }
            tree.remove_file(&self.path)?;
        }
        tree.write(&self.path, text.as_bytes())?;
        tree.remove_file(&self.aside_path())
    }

    /// Gives what was set aside its name again, in place of what has it.
    fn restore(&self, tree: &Tree) -> io::Result<()> {
        let (parent, name) = tree.parent(&self.path)?;
        nix::fcntl::renameat(&parent, self.aside.as_str(), &parent, name.as_str())
            .map_err(io::Error::from)
    }

    /// Returns what stands in its place, where that is text.
    fn text(&self, tree: &Tree) -> io::Result<Option<String>> {
        tree.open_file(&self.path)?.map_or(Ok(None), text_of)
    }

    /// Returns the text of what was set aside, a link followed inside; nothing where that is none.
    fn own_text(&self, tree: &Tree) -> io::Result<Option<String>> {
        let aside = self.aside_path();
        let leads_to = |path: &str| tree.metadata(path).ok().flatten().map(|m| m.ino());
        let is_itself = leads_to(&aside).is_some_and(|own| leads_to(&self.path) == Some(own));
        match tree.open_file(&aside) {
            Ok(Some(file)) if !is_itself => text_of(file),
            _ => Ok(None),
        }
    }

    fn aside_path(&self) -> String {
        match self.path.rsplit_once('/') {
            Some((parent, _)) => format!("{parent}/{}", self.aside),
            None => self.aside.clone(),
        }
    }

    /// A directory somebody has put something into is no longer netbe's: that fails, rightly.
    fn remove_directories(&self, tree: &Tree) {
        for made in self.made.iter().rev() {
            let _ = tree.remove_dir(made);
        }
    }
}

/// Reads a file that is small enough and text. Also where netbe was asked to stop: putting back is part of that.
fn text_of(file: File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    let is_small = bytes.len() as u64 <= LARGEST;
    Ok(String::from_utf8(bytes).ok().filter(|_| is_small))
}

fn make_directories(tree: &Tree, path: &str) -> io::Result<Vec<String>> {
    let (mut made, mut so_far) = (Vec::new(), String::new());
    for part in path.split('/').filter(|p| !p.is_empty()) {
        if !so_far.is_empty() {
            so_far.push('/');
        }
        so_far.push_str(part);
        if tree.metadata(&so_far)?.is_none() {
            tree.make_dirs(&so_far)?;
            made.push(so_far.clone());
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests;
