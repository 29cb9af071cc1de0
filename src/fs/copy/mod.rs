//! Copies directory trees exactly: content, holes, hard links, devices, and all of [`attributes`].
//!
//! Stays on one filesystem: mount points below are left empty and reported, except those in [`Rules::enter`].
//! Btrfs subvolumes become plain directories. The source may be in use: files removed meanwhile are skipped. No
//! symbolic link is followed on either side, and no device or pipe is opened.

pub mod attributes;
mod content;
mod flags;
mod look;
mod single;

pub use content::Contents;
pub use single::{directory_attributes, single};

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString, c_int};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, fstatfs};
use nix::unistd::linkat;

use super::shown_path::shortened;
use super::{file_flags, interrupt, opener};
use crate::fs::opener::descriptor_path;
use attributes::{Attributes, is_portable};
use look::{Listing, is_pseudo, open_directory, open_on_same_mount};

/// The deepest tree that is copied: each level has two open descriptors.
const DEPTH: usize = 400;
/// Inode number of the top of a btrfs subvolume.
const SUBVOLUME_INODE: u64 = 256;

/// The rules of a copy: additions to the one filesystem, and omissions.
#[derive(Debug, Default)]
pub struct Rules {
    /// Mount points, relative to the top, whose filesystem is copied too.
    pub enter: Vec<PathBuf>,
    /// Directories that are left empty, by device and inode number.
    pub skip: Vec<(u64, u64)>,
    /// Whether the flags of chattr(1) are copied: for a copy within one btrfs.
    pub flags: bool,
}

/// What a copy left out or changed, paths relative to the top.
#[derive(Debug, Default)]
pub struct Report {
    /// Mount points of `proc`, `sysfs`, `tmpfs` and similar: left empty.
    pub pseudo: Vec<PathBuf>,
    /// Mount points of other real filesystems: left empty.
    pub mounts: Vec<PathBuf>,
    /// Subvolumes that became plain directories.
    pub subvolumes: Vec<PathBuf>,
    /// Directories left empty because the rules say so.
    pub skipped: Vec<PathBuf>,
    /// Names of extended attributes that are not portable.
    pub xattrs: BTreeSet<OsString>,
    /// Paths that lost flags of chattr(1) that the rules ask for.
    pub without_flags: Vec<PathBuf>,
    /// The flags that are to protect the top itself, which its caller sets when it is in its place.
    pub top_protection: c_int,
}

/// Copies a directory's content and attributes to an empty directory.
///
/// `tick` receives the number of bytes as they are copied.
pub fn tree(from: &File, to: &File, rules: &Rules, tick: &mut dyn FnMut(u64)) -> Result<Report> {
    let mut walk = Walk::new(to, PathBuf::new(), rules, tick);
    let top = File::from(opener::directory_at(from, ".")?);
    walk.directory(top, to, &fstat(from)?, 0)?;
    walk.protect();
    Ok(walk.report)
}

struct Walk<'a> {
    rules: &'a Rules,
    tick: &'a mut dyn FnMut(u64),
    top: &'a File,
    /// Files with several names: path of the first copy, and number of names not seen yet.
    links: HashMap<(u64, u64), (PathBuf, nix::libc::nlink_t)>,
    contents: Contents,
    report: Report,
    /// Files to protect from changes after everything is copied: a protected file gets no further name.
    protected: Vec<(PathBuf, c_int)>,
    path: PathBuf,
}

impl<'a> Walk<'a> {
    fn new(top: &'a File, path: PathBuf, rules: &'a Rules, tick: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            rules,
            tick,
            top,
            links: HashMap::new(),
            contents: Contents::default(),
            report: Report::default(),
            protected: Vec::new(),
            path,
        }
    }

    fn directory(&mut self, from: File, to: &File, stat: &FileStat, depth: usize) -> Result<()> {
        ensure!(
            depth < DEPTH,
            "'{}' is more than {DEPTH} directories deep",
            self.shown_path()
        );
        let mut from = Listing::new(from).with_context(|| self.reading())?;
        loop {
            let names = from.next_names().with_context(|| self.reading())?;
            if names.is_empty() {
                break;
            }
            for name in names {
                interrupt::check()?;
                self.path.push(&name);
                self.entry(&from, to, &name, stat, depth)?;
                self.path.pop();
            }
        }
        let attributes = self.attributes(&descriptor_path(&from.as_fd()), stat, false)?;
        attributes.apply(to).with_context(|| self.copying())?;
        let flags = self.flags_of(&from);
        self.set_flags(to, flags);
        Ok(())
    }

    fn entry(
        &mut self,
        from: &Listing,
        to: &File,
        name: &OsStr,
        parent_stat: &FileStat,
        depth: usize,
    ) -> Result<()> {
        let stat = match fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other.with_context(|| self.reading())?,
        };
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFDIR {
            return self.subdirectory(from, to, name, parent_stat, depth);
        }
        // A socket belongs to the process that listens on it.
        if kind == SFlag::S_IFSOCK || self.link_if_copied(to, name, &stat)? {
            return Ok(());
        }
        self.no_directory(from, to, name, &stat)?;
        if stat.st_nlink > 1 {
            let rest = stat.st_nlink - 1;
            self.links
                .insert((stat.st_dev, stat.st_ino), (self.path.clone(), rest));
        }
        Ok(())
    }

    /// Makes a hard link to a file copied before; false for the first name.
    fn link_if_copied(&mut self, to: &File, name: &OsStr, stat: &FileStat) -> Result<bool> {
        let key = (stat.st_dev, stat.st_ino);
        let Some((first, rest)) = self.links.get_mut(&key) else {
            return Ok(false);
        };
        *rest -= 1;
        let last = *rest == 0;
        let (first, copying) = (first.clone(), || {
            format!("copying '{}'", shortened(&self.path))
        });
        let parent = first.parent().unwrap_or(Path::new(""));
        let parent = opener::directory_beneath(self.top, parent).with_context(copying)?;
        let first_name = first.file_name().unwrap_or_default();
        linkat(&parent, first_name, to, name, AtFlags::empty()).with_context(copying)?;
        if last {
            self.links.remove(&key);
        }
        Ok(true)
    }

    fn file(&mut self, from: &impl AsFd, to: &File, name: &OsStr) -> Result<()> {
        let source = match opener::file_at(from, name) {
            Ok(Some(source)) => source,
            Ok(None) => return Ok(()),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => {
                anyhow::bail!("'{}' changed while it was read", self.shown_path())
            }
            Err(e) => return Err(e).with_context(|| self.reading()),
        };
        let stat = fstat(&source)?;
        let attributes = self.attributes(&descriptor_path(&source), &stat, false)?;
        let copy = opener::new_file_at(to, name).with_context(|| self.copying())?;
        let flags = self.flags_of(&source);
        if self.rules.flags {
            // It can be set only while the file is empty; the file may have inherited another value from its directory.
            let _ = file_flags::set(&copy, flags & file_flags::NO_COPY_ON_WRITE);
        }
        let size = stat.st_size.cast_unsigned();
        self.contents
            .copy(&source, &copy, size, self.tick)
            .and_then(|()| attributes.apply(&copy))
            .with_context(|| self.copying())?;
        self.set_flags(&copy, flags);
        Ok(())
    }

    fn subdirectory(
        &mut self,
        from: &Listing,
        to: &File,
        name: &OsStr,
        parent_stat: &FileStat,
        depth: usize,
    ) -> Result<()> {
        let opened = match open_on_same_mount(from, name) {
            Err(Errno::EXDEV) => self.open_mounted(from, name)?,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => Some(other.with_context(|| self.reading())?),
        };
        let copy = opener::new_directory_at(to, name).with_context(|| self.copying())?;
        let Some(source) = opened else {
            // A skipped mount point: it gets mode and owner of the mounted directory.
            let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            return Attributes::from_stat(&stat)
                .apply(&copy)
                .with_context(|| self.copying());
        };
        let stat = fstat(&source)?;
        if self.rules.skip.contains(&(stat.st_dev, stat.st_ino)) {
            self.report.skipped.push(self.path.clone());
            return Attributes::from_stat(&stat)
                .apply(&copy)
                .with_context(|| self.copying());
        }
        if stat.st_ino == SUBVOLUME_INODE
            && stat.st_dev != parent_stat.st_dev
            && fstatfs(&source)?.filesystem_type() == BTRFS_SUPER_MAGIC
            && !self.rules.enter.contains(&self.path)
        {
            self.report.subvolumes.push(self.path.clone());
        }
        self.directory(source, &copy, &stat, depth + 1)
    }

    /// Opens a mount point that is to be copied; reports any other.
    fn open_mounted(&mut self, from: &Listing, name: &OsStr) -> Result<Option<File>> {
        if self.rules.enter.contains(&self.path) {
            // Opening it for reading triggers an automount.
            let source = open_directory(from, name).with_context(|| self.reading())?;
            if let Some(source) = source
                && !is_pseudo(fstatfs(&source)?.filesystem_type())
            {
                return Ok(Some(source));
            }
        }
        let shown_path = opener::o_path_at(from, name).with_context(|| self.reading())?;
        if is_pseudo(fstatfs(&shown_path)?.filesystem_type()) {
            self.report.pseudo.push(self.path.clone());
        } else {
            self.report.mounts.push(self.path.clone());
        }
        Ok(None)
    }

    fn apply_at(
        &mut self,
        from: &impl AsFd,
        to: &File,
        name: &OsStr,
        stat: &FileStat,
        link: bool,
    ) -> Result<()> {
        let path = descriptor_path(&from.as_fd()).join(name);
        let attributes = self.attributes(&path, stat, true)?;
        attributes
            .apply_at(to.as_fd(), name, link)
            .with_context(|| self.copying())
    }

    fn attributes(&mut self, path: &Path, stat: &FileStat, bare: bool) -> Result<Attributes> {
        let mut attributes = Attributes::from_stat(stat);
        let found = attributes::xattrs(path, bare).with_context(|| self.reading())?;
        for (name, value) in found {
            if is_portable(&name) {
                attributes.xattrs.push((name, value));
            } else if !name.as_bytes().starts_with(b"btrfs.") {
                self.report.xattrs.insert(name);
            }
        }
        Ok(attributes)
    }

    fn reading(&self) -> String {
        format!("reading '{}'", self.shown_path())
    }

    fn copying(&self) -> String {
        format!("copying '{}'", self.shown_path())
    }

    /// Returns the current path, relative to the top, for messages.
    fn shown_path(&self) -> String {
        match self.path.as_os_str().is_empty() {
            true => ".".to_string(),
            false => shortened(&self.path),
        }
    }
}
