//! Copies filesystems of images, read in user space.
//!
//! Exactly: content, holes, hard links, devices, and all of [`Attributes`](crate::fs::copy::attributes::Attributes).
//! Damage and loops end in an error; the caller then discards the copy.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::ext::Ext;
use super::guarded::guarded;
use super::node::Node;
use super::path::find;
use super::{Filesystem, Partition};
use crate::fs::copy::Report;
use crate::fs::free_space::FreeSpace;
use crate::fs::opener;

/// The deepest tree that is copied: each level has an open descriptor.
const DEPTH_MAX: usize = 400;

/// A filesystem that netbe cannot read in user space.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read without the kernel's driver")]
pub struct Unread {
    what: String,
}

impl Unread {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// What is read, in messages.
const NAME: &str = "ext filesystem";

/// A filesystem of an image, readable in user space: ext.
#[derive(Debug)]
pub struct Readable<'f> {
    ext: Ext<'f>,
    /// The most files it can have.
    files: u64,
}

impl<'f> Readable<'f> {
    /// Opens a partition's filesystem.
    ///
    /// # Errors
    /// [`Unread`] if only the kernel's driver can read it.
    pub fn open(disk: &'f File, partition: &Partition) -> Result<Self> {
        let (start, size) = (partition.start, partition.size);
        match partition.filesystem {
            Some(Filesystem::Ext) => {
                let ext = guarded(NAME, || Ext::open(disk, start, size)).map_err(damaged)?;
                let files = size / 128;
                Ok(Self { ext, files })
            }
            Some(other) => {
                let name = other.mount_types().first().copied().unwrap_or("FAT");
                Err(Unread::new(format!("a filesystem of type {name}")).into())
            }
            None => Err(anyhow!("there is no filesystem")),
        }
    }

    /// Returns whether a path exists; a final symbolic link is not followed.
    pub fn has(&self, path: &str) -> Result<bool> {
        let found = guarded(NAME, || find(&self.ext, path));
        Ok(found.map_err(damaged)?.is_some())
    }

    /// Returns the number of bytes used, if known.
    pub fn used(&self) -> Option<u64> {
        self.ext.used()
    }

    /// Copies a directory's content into an empty one; `at` is relative to the root, and empty for it.
    ///
    /// `tick` receives the number of bytes as they are copied.
    pub fn copy(&self, at: &str, to: &File, tick: &mut dyn FnMut(u64)) -> Result<Report> {
        let copied = guarded(NAME, || {
            let ext = &self.ext;
            let from = find(ext, at)?.with_context(|| format!("there is no '{at}'"))?;
            ext.begin();
            let mut copying = Copying {
                ext,
                top: to,
                tick,
                links: HashMap::new(),
                directories: HashSet::new(),
                remaining: self.files,
                free_space: FreeSpace::measure(to)?,
                path: PathBuf::new(),
                current: Rc::default(),
                report: Report::default(),
            };
            let node = ext.node(from)?;
            ensure!(node.kind == SFlag::S_IFDIR, "'{at}' is no directory");
            copying.directory(from, &node, to, 0)?;
            Ok(copying.report)
        });
        copied.map_err(damaged)
    }
}

/// Adds which filesystem is damaged, unless the error has another cause.
fn damaged(error: anyhow::Error) -> anyhow::Error {
    let is_other = error
        .chain()
        .any(|cause| cause.is::<Unread>() || cause.is::<crate::failure::Failure>())
        || crate::fs::interrupt::requested().is_some();
    match is_other {
        true => error,
        false => error.context(format!("the image's {NAME}")),
    }
}

/// A copied directory. Has only its own name: paths in deep trees are long.
#[derive(Default)]
struct Directory {
    parent: Option<Rc<Directory>>,
    name: OsString,
}

impl Directory {
    /// Returns its path from the root.
    fn path(&self) -> PathBuf {
        let up = std::iter::successors(Some(self), |at| at.parent.as_deref());
        let mut names: Vec<&OsString> = up.map(|at| &at.name).collect();
        names.reverse();
        names.into_iter().collect()
    }
}

/// The first name of a copied file.
struct Linked {
    directory: Rc<Directory>,
    name: OsString,
    /// Names not seen yet.
    rest: u32,
}

struct Copying<'a> {
    ext: &'a Ext<'a>,
    top: &'a File,
    tick: &'a mut dyn FnMut(u64),
    /// Copied files with names not seen yet.
    links: HashMap<u32, Linked>,
    /// Copied directories: a second one is an error.
    directories: HashSet<u32>,
    /// The number of further files that the filesystem can have.
    remaining: u64,
    free_space: FreeSpace,
    path: PathBuf,
    /// The current directory.
    current: Rc<Directory>,
    report: Report,
}

impl Copying<'_> {
    fn directory(&mut self, from: u32, node: &Node, to: &File, depth: usize) -> Result<()> {
        ensure!(
            depth < DEPTH_MAX,
            "'{}' is more than {DEPTH_MAX} directories deep",
            self.path.display()
        );
        ensure!(
            self.directories.insert(from),
            "the directory '{}' is in two places",
            self.path.display()
        );
        let ext = self.ext;
        let parent = Rc::clone(&self.current);
        if let Some(name) = self.path.file_name() {
            self.current = Rc::new(Directory {
                parent: Some(Rc::clone(&parent)),
                name: name.to_os_string(),
            });
        }
        ext.names(from, &mut |name, id| {
            crate::fs::interrupt::check()?;
            self.path.push(name);
            self.entry(id, to, name, depth)?;
            self.path.pop();
            Ok(())
        })?;
        self.current = parent;
        self.report_left_out(node);
        node.attributes.apply(to).with_context(|| self.copying())
    }

    fn entry(&mut self, id: u32, to: &File, name: &OsStr, depth: usize) -> Result<()> {
        self.free_space.reserve(0)?;
        if self.link_if_copied(id, to, name)? {
            return Ok(());
        }
        let remaining = self.remaining.checked_sub(1);
        self.remaining = remaining.context("it has more files than fit into it")?;
        let node = self.ext.node(id).with_context(|| self.reading())?;
        match node.kind {
            SFlag::S_IFDIR => {
                let child = opener::new_directory_at(to, name).with_context(|| self.copying())?;
                return self.directory(id, &node, &child, depth + 1);
            }
            // A socket belongs to the process that listens on it.
            SFlag::S_IFSOCK => return Ok(()),
            SFlag::S_IFREG => self.file(id, &node, to, name)?,
            SFlag::S_IFLNK => {
                let target = self.ext.target(id).with_context(|| self.reading())?;
                symlinkat(target.as_os_str(), to, name).with_context(|| self.copying())?;
                self.apply_at(&node, to, name)?;
            }
            kind => {
                let mode = Mode::S_IRUSR | Mode::S_IWUSR;
                mknodat(to, name, kind, mode, node.device).with_context(|| self.copying())?;
                self.apply_at(&node, to, name)?;
            }
        }
        if node.links > 1 {
            let link_if_copied = Linked {
                directory: Rc::clone(&self.current),
                name: name.to_os_string(),
                rest: node.links - 1,
            };
            self.links.insert(id, link_if_copied);
        }
        Ok(())
    }

    fn file(&mut self, id: u32, node: &Node, to: &File, name: &OsStr) -> Result<()> {
        let file = opener::new_file_at(to, name).with_context(|| self.copying())?;
        let size = i64::try_from(node.size)
            .ok()
            .context("a file is larger than the maximum");
        let size = size.with_context(|| self.reading())?.cast_unsigned();
        let mut written = 0;
        let (ext, tick, free_space) = (self.ext, &mut *self.tick, &mut self.free_space);
        let content = ext.content(id, &mut |at, bytes| {
            free_space.reserve(bytes.len() as u64)?;
            file.write_all_at(bytes, at)?;
            written += bytes.len() as u64;
            tick(bytes.len() as u64);
            Ok(())
        });
        content.with_context(|| self.copying())?;
        file.set_len(size).with_context(|| self.copying())?;
        self.report_left_out(node);
        node.attributes.apply(&file).with_context(|| self.copying())
    }

    fn apply_at(&mut self, node: &Node, to: &File, name: &OsStr) -> Result<()> {
        self.report_left_out(node);
        let link = node.kind == SFlag::S_IFLNK;
        node.attributes
            .apply_at(to.as_fd(), name, link)
            .with_context(|| self.copying())
    }

    /// Makes a hard link to a file copied before; false for the first name.
    fn link_if_copied(&mut self, id: u32, to: &File, name: &OsStr) -> Result<bool> {
        let Some(first) = self.links.get_mut(&id) else {
            return Ok(false);
        };
        first.rest -= 1;
        let last = first.rest == 0;
        let copying = || format!("copying '{}'", self.path.display());
        let parent =
            opener::directory_beneath(self.top, &first.directory.path()).with_context(copying)?;
        let first_name = first.name.as_os_str();
        linkat(&parent, first_name, to, name, AtFlags::empty())
            .map_err(|e| match e {
                Errno::EEXIST => anyhow!("a name occurs twice"),
                e => e.into(),
            })
            .with_context(copying)?;
        if last {
            self.links.remove(&id);
        }
        Ok(true)
    }

    fn report_left_out(&mut self, node: &Node) {
        self.report.xattrs.extend(node.left_out.iter().cloned());
    }

    fn reading(&self) -> String {
        format!("reading '{}'", self.path.display())
    }

    fn copying(&self) -> String {
        let path = match self.path.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.path,
        };
        format!("copying '{}'", path.display())
    }
}
