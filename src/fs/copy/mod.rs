//! Directory trees, copied exactly: content, holes, hard links, devices, and everything in [`attributes`].
//!
//! One filesystem is walked. What is mounted below is left out and reported, save where it is asked for; btrfs
//! subvolumes below are part of the tree and become plain directories. The source may be alive: what vanishes
//! meanwhile is not there. No link is followed on either side, and no device or pipe is opened.

pub mod attributes;
mod content;
mod look;

pub use content::Contents;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat, mknodat};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, fstatfs};
use nix::unistd::{linkat, symlinkat};

use super::shown_path::shortened;
use super::{interrupt, opener};
use attributes::{Attributes, descriptor, travels};
use look::{Listing, is_pseudo, open_directory, open_here};

/// The deepest tree that is walked: each level holds two descriptors open.
const DEPTH: usize = 400;
/// The inode number of every btrfs subvolume's top.
const SUBVOLUME_INODE: u64 = 256;

/// What is to be copied, besides what lies on the filesystem itself.
#[derive(Debug, Default)]
pub struct Rules {
    /// Mount points, relative to the top, whose filesystem is copied too.
    pub enter: Vec<PathBuf>,
    /// Directories that are left empty, by device and inode number.
    pub skip: Vec<(u64, u64)>,
}

/// What a copy left out or changed, paths relative to the top.
#[derive(Debug, Default)]
pub struct Report {
    /// Mount points of `proc`, `sysfs`, `tmpfs` and their like: left empty.
    pub pseudo: Vec<PathBuf>,
    /// Mount points of other real filesystems: left empty.
    pub mounts: Vec<PathBuf>,
    /// Subvolumes that became plain directories.
    pub subvolumes: Vec<PathBuf>,
    /// Directories left empty because the rules say so.
    pub skipped: Vec<PathBuf>,
    /// Names of extended attributes that mean nothing elsewhere.
    pub xattrs: BTreeSet<OsString>,
}

/// Copies what is in one directory into another, empty one, and gives it the same attributes.
///
/// `tick` is told of bytes as they are done.
pub fn tree(from: &File, to: &File, rules: &Rules, tick: &mut dyn FnMut(u64)) -> Result<Report> {
    let mut walk = Walk {
        rules,
        tick,
        top: to,
        links: HashMap::new(),
        contents: Contents::default(),
        report: Report::default(),
        path: PathBuf::new(),
    };
    let top = File::from(opener::directory_at(from, ".")?);
    walk.directory(top, to, &fstat(from)?, 0)?;
    Ok(walk.report)
}

struct Walk<'a> {
    rules: &'a Rules,
    tick: &'a mut dyn FnMut(u64),
    top: &'a File,
    /// Files with several names: where the first copy stands, and how many names are to come.
    links: HashMap<(u64, u64), (PathBuf, u64)>,
    contents: Contents,
    report: Report,
    path: PathBuf,
}

impl Walk<'_> {
    fn directory(&mut self, from: File, to: &File, stat: &FileStat, depth: usize) -> Result<()> {
        ensure!(
            depth < DEPTH,
            "'{}' lies more than {DEPTH} directories deep",
            self.place()
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
        let attributes = self.attributes(&descriptor(from.as_fd()), stat, false)?;
        attributes.give(to).with_context(|| self.copying())
    }

    fn entry(
        &mut self,
        from: &Listing,
        to: &File,
        name: &OsStr,
        above: &FileStat,
        depth: usize,
    ) -> Result<()> {
        let stat = match fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other.with_context(|| self.reading())?,
        };
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFDIR {
            return self.below(from, to, name, above, depth);
        }
        // A socket belongs to the process that listens on it.
        if kind == SFlag::S_IFSOCK || self.linked(to, name, &stat)? {
            return Ok(());
        }
        match kind {
            SFlag::S_IFREG => self.file(from, to, name)?,
            SFlag::S_IFLNK => {
                let target = match readlinkat(from, name) {
                    Err(Errno::ENOENT) => return Ok(()),
                    other => other.with_context(|| self.reading())?,
                };
                symlinkat(target.as_os_str(), to, name).with_context(|| self.copying())?;
                self.give_named(from, to, name, &stat, true)?;
            }
            _ => {
                let mode = Mode::from_bits_truncate(0o600);
                mknodat(to, name, kind, mode, stat.st_rdev).with_context(|| self.copying())?;
                self.give_named(from, to, name, &stat, false)?;
            }
        }
        if stat.st_nlink > 1 {
            let rest = stat.st_nlink - 1;
            self.links
                .insert((stat.st_dev, stat.st_ino), (self.path.clone(), rest));
        }
        Ok(())
    }

    /// Makes a second name for a file copied before; false when this is its first.
    fn linked(&mut self, to: &File, name: &OsStr, stat: &FileStat) -> Result<bool> {
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
        let parent = opener::beneath(self.top, parent).with_context(copying)?;
        let first_name = first.file_name().unwrap_or_default();
        linkat(&parent, first_name, to, name, AtFlags::empty()).with_context(copying)?;
        if last {
            self.links.remove(&key);
        }
        Ok(true)
    }

    fn file(&mut self, from: &Listing, to: &File, name: &OsStr) -> Result<()> {
        let source = match opener::file_at(from, name) {
            Ok(Some(source)) => source,
            Ok(None) => return Ok(()),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => {
                anyhow::bail!("'{}' changed while it was read", self.place())
            }
            Err(e) => return Err(e).with_context(|| self.reading()),
        };
        let stat = fstat(&source)?;
        let attributes = self.attributes(&descriptor(source.as_fd()), &stat, false)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let copy = nix::fcntl::openat(to, name, flags, Mode::from_bits_truncate(0o600))
            .map(File::from)
            .with_context(|| self.copying())?;
        let size = stat.st_size.cast_unsigned();
        self.contents
            .copy(&source, &copy, size, self.tick)
            .and_then(|()| attributes.give(&copy))
            .with_context(|| self.copying())
    }

    fn below(
        &mut self,
        from: &Listing,
        to: &File,
        name: &OsStr,
        above: &FileStat,
        depth: usize,
    ) -> Result<()> {
        let opened = match open_here(from, name) {
            Err(Errno::EXDEV) => self.mounted(from, name)?,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => Some(other.with_context(|| self.reading())?),
        };
        let mode = Mode::from_bits_truncate(0o700);
        mkdirat(to, name, mode).with_context(|| self.copying())?;
        let Some(copy) = open_directory(to, name).with_context(|| self.copying())? else {
            anyhow::bail!("'{}' vanished from the copy", self.place());
        };
        let Some(source) = opened else {
            // A mount point that is left out: what is mounted there lends the place its mode and owner.
            let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            return Attributes::from_stat(&stat)
                .give(&copy)
                .with_context(|| self.copying());
        };
        let stat = fstat(&source)?;
        if self.rules.skip.contains(&(stat.st_dev, stat.st_ino)) {
            self.report.skipped.push(self.path.clone());
            return Attributes::from_stat(&stat)
                .give(&copy)
                .with_context(|| self.copying());
        }
        if stat.st_ino == SUBVOLUME_INODE
            && stat.st_dev != above.st_dev
            && fstatfs(&source)?.filesystem_type() == BTRFS_SUPER_MAGIC
            && !self.rules.enter.contains(&self.path)
        {
            self.report.subvolumes.push(self.path.clone());
        }
        self.directory(source, &copy, &stat, depth + 1)
    }

    /// Decides about a mount point: opens what is to be entered, else reports it.
    fn mounted(&mut self, from: &Listing, name: &OsStr) -> Result<Option<File>> {
        if self.rules.enter.contains(&self.path) {
            // Opening it for reading also wakes an automount.
            let source = open_directory(from, name).with_context(|| self.reading())?;
            if let Some(source) = source
                && !is_pseudo(fstatfs(&source)?.filesystem_type())
            {
                return Ok(Some(source));
            }
        }
        let place = opener::place_at(from, name).with_context(|| self.reading())?;
        if is_pseudo(fstatfs(&place)?.filesystem_type()) {
            self.report.pseudo.push(self.path.clone());
        } else {
            self.report.mounts.push(self.path.clone());
        }
        Ok(None)
    }

    fn give_named(
        &mut self,
        from: &Listing,
        to: &File,
        name: &OsStr,
        stat: &FileStat,
        link: bool,
    ) -> Result<()> {
        let path = descriptor(from.as_fd()).join(name);
        let attributes = self.attributes(&path, stat, true)?;
        attributes
            .give_named(to.as_fd(), name, link)
            .with_context(|| self.copying())
    }

    fn attributes(&mut self, path: &Path, stat: &FileStat, bare: bool) -> Result<Attributes> {
        let mut attributes = Attributes::from_stat(stat);
        let found = attributes::xattrs(path, bare).with_context(|| self.reading())?;
        for (name, value) in found {
            if travels(&name) {
                attributes.xattrs.push((name, value));
            } else if !name.as_bytes().starts_with(b"btrfs.") {
                self.report.xattrs.insert(name);
            }
        }
        Ok(attributes)
    }

    fn reading(&self) -> String {
        format!("reading '{}'", self.place())
    }

    fn copying(&self) -> String {
        format!("copying '{}'", self.place())
    }

    /// Returns where the copy is, relative to its top, which is `.`.
    fn place(&self) -> String {
        match self.path.as_os_str().is_empty() {
            true => ".".to_string(),
            false => shortened(&self.path),
        }
    }
}
