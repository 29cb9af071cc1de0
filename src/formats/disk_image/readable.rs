//! Filesystems in images, read in user space and copied out exactly as they are.
//!
//! Content, holes, hard links, devices, and everything in [`Attributes`](crate::fs::copy::attributes::Attributes).
//! What is damaged, knotted or endless ends in an error; the copy is then to be thrown away.

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
use super::place::{make_directory, make_file};
use super::reader::{Id, Node, Reader, find, guarded};
use super::{Filesystem, Partition};
use crate::fs::copy::Report;
use crate::fs::free_space::FreeSpace;
use crate::fs::opener;

/// The deepest tree that is walked: each level holds a descriptor open.
const DEPTH: usize = 400;

/// What is not read in user space.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not read without the kernel's driver")]
pub struct Unread {
    what: String,
}

impl Unread {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// A filesystem in an image that can be read in user space.
pub struct Readable<'f> {
    reader: Box<dyn Reader + 'f>,
    name: &'static str,
    /// The most files it can have room for.
    files: u64,
}

impl std::fmt::Debug for Readable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'f> Readable<'f> {
    /// Opens a partition's filesystem.
    ///
    /// # Errors
    /// [`Unread`] where only the kernel's driver can read it.
    pub fn open(disk: &'f File, partition: &Partition) -> Result<Self> {
        let (start, size) = (partition.start, partition.size);
        match partition.filesystem {
            Some(Filesystem::Ext) => {
                let what = "ext filesystem";
                let ext =
                    guarded(what, || Ext::open(disk, start, size)).map_err(|e| damaged(e, what))?;
                Ok(Self {
                    reader: Box::new(ext),
                    name: what,
                    files: size / 128,
                })
            }
            Some(other) => {
                let name = other.mount_types().first().copied().unwrap_or("FAT");
                Err(Unread::new(format!("a filesystem of the kind {name}")).into())
            }
            None => Err(anyhow!("there is no filesystem")),
        }
    }

    /// Returns whether something stands at a path, the last part's link not followed.
    pub fn has(&self, path: &str) -> Result<bool> {
        guarded(self.name, || find(self.reader.as_ref(), path))
            .map(|found| found.is_some())
            .map_err(|e| damaged(e, self.name))
    }

    /// Returns how many bytes are in use, where it says so.
    pub fn used(&self) -> Option<u64> {
        self.reader.used()
    }

    /// Copies everything in a directory into an empty one; `at` is relative to the top, and empty for it.
    ///
    /// `tick` is told of bytes as they are done.
    pub fn copy(&self, at: &str, to: &File, tick: &mut dyn FnMut(u64)) -> Result<Report> {
        let copied = guarded(self.name, || {
            let reader = self.reader.as_ref();
            let from = find(reader, at)?.with_context(|| format!("there is no '{at}'"))?;
            reader.begin();
            let mut copying = Copying {
                reader,
                top: to,
                tick,
                links: HashMap::new(),
                directories: HashSet::new(),
                left: self.files,
                room: FreeSpace::measure(to)?,
                path: PathBuf::new(),
                here: Rc::default(),
                report: Report::default(),
            };
            let node = reader.node(from)?;
            ensure!(node.kind == SFlag::S_IFDIR, "'{at}' is no directory");
            copying.directory(from, &node, to, 0)?;
            Ok(copying.report)
        });
        copied.map_err(|e| damaged(e, self.name))
    }
}

/// Says what is wrong with what, save where it is not the image.
fn damaged(error: anyhow::Error, what: &str) -> anyhow::Error {
    let ours = error
        .chain()
        .any(|cause| cause.is::<Unread>() || cause.is::<crate::failure::Failure>())
        || crate::fs::interrupt::requested().is_some();
    match ours {
        true => error,
        false => error.context(format!("the image's {what}")),
    }
}

/// A directory that was copied. Each has its own name only: a path is long where it is deep.
#[derive(Default)]
struct Directory {
    above: Option<Rc<Directory>>,
    name: OsString,
}

impl Directory {
    /// Returns its path from the top.
    fn path(&self) -> PathBuf {
        let up = std::iter::successors(Some(self), |at| at.above.as_deref());
        let mut names: Vec<&OsString> = up.map(|at| &at.name).collect();
        names.reverse();
        names.into_iter().collect()
    }
}

/// A file that was copied under the first of its names.
struct Linked {
    directory: Rc<Directory>,
    name: OsString,
    /// How many names are to come.
    rest: u32,
}

struct Copying<'a> {
    reader: &'a dyn Reader,
    top: &'a File,
    tick: &'a mut dyn FnMut(u64),
    /// Files with several names, of which more are to come.
    links: HashMap<Id, Linked>,
    /// Directories that were copied: one is in one place only.
    directories: HashSet<Id>,
    /// How many files there may still be.
    left: u64,
    room: FreeSpace,
    path: PathBuf,
    /// The directory that is being copied.
    here: Rc<Directory>,
    report: Report,
}

impl Copying<'_> {
    fn directory(&mut self, from: Id, node: &Node, to: &File, depth: usize) -> Result<()> {
        ensure!(
            depth < DEPTH,
            "'{}' lies more than {DEPTH} directories deep",
            self.path.display()
        );
        ensure!(
            self.directories.insert(from),
            "the directory '{}' is in two places",
            self.path.display()
        );
        let reader = self.reader;
        let above = Rc::clone(&self.here);
        if let Some(name) = self.path.file_name() {
            self.here = Rc::new(Directory {
                above: Some(Rc::clone(&above)),
                name: name.to_os_string(),
            });
        }
        reader.names(from, &mut |name, id| {
            crate::fs::interrupt::check()?;
            self.path.push(name);
            self.entry(id, to, name, depth)?;
            self.path.pop();
            Ok(())
        })?;
        self.here = above;
        self.note(node);
        node.attributes.apply(to).with_context(|| self.copying())
    }

    fn entry(&mut self, id: Id, to: &File, name: &OsStr, depth: usize) -> Result<()> {
        self.room.reserve(0)?;
        if self.linked(id, to, name)? {
            return Ok(());
        }
        let left = self.left.checked_sub(1);
        self.left = left.context("it has more files than it has room for")?;
        let node = self.reader.node(id).with_context(|| self.reading())?;
        match node.kind {
            SFlag::S_IFDIR => {
                let below = make_directory(to, name).with_context(|| self.copying())?;
                return self.directory(id, &node, &below, depth + 1);
            }
            // A socket belongs to the process that listens on it.
            SFlag::S_IFSOCK => return Ok(()),
            SFlag::S_IFREG => self.file(id, &node, to, name)?,
            SFlag::S_IFLNK => {
                let target = self
                    .reader
                    .target(id, &node)
                    .with_context(|| self.reading())?;
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
            let linked = Linked {
                directory: Rc::clone(&self.here),
                name: name.to_os_string(),
                rest: node.links - 1,
            };
            self.links.insert(id, linked);
        }
        Ok(())
    }

    fn file(&mut self, id: Id, node: &Node, to: &File, name: &OsStr) -> Result<()> {
        let file = make_file(to, name).with_context(|| self.copying())?;
        let size = i64::try_from(node.size)
            .ok()
            .context("a file is larger than any can be");
        let size = size.with_context(|| self.reading())?.cast_unsigned();
        let mut written = 0;
        let (reader, tick, room) = (self.reader, &mut *self.tick, &mut self.room);
        let content = reader.content(id, node, &mut |at, bytes| {
            room.reserve(bytes.len() as u64)?;
            file.write_all_at(bytes, at)?;
            written += bytes.len() as u64;
            tick(bytes.len() as u64);
            Ok(())
        });
        content.with_context(|| self.copying())?;
        file.set_len(size).with_context(|| self.copying())?;
        self.note(node);
        node.attributes.apply(&file).with_context(|| self.copying())
    }

    fn apply_at(&mut self, node: &Node, to: &File, name: &OsStr) -> Result<()> {
        self.note(node);
        let link = node.kind == SFlag::S_IFLNK;
        node.attributes
            .apply_at(to.as_fd(), name, link)
            .with_context(|| self.copying())
    }

    /// Makes a second name for a file copied before; false when this is its first.
    fn linked(&mut self, id: Id, to: &File, name: &OsStr) -> Result<bool> {
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
                Errno::EEXIST => anyhow!("a name is there twice"),
                e => e.into(),
            })
            .with_context(copying)?;
        if last {
            self.links.remove(&id);
        }
        Ok(true)
    }

    fn note(&mut self, node: &Node) {
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
