//! Copies one entry of a directory, without what is beneath it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mknodat};
use nix::unistd::symlinkat;

use super::attributes::{Attributes, is_portable, xattrs};
use super::{Report, Rules, Walk, file_flags};
use crate::fs::opener::descriptor_path;

/// Copies a file, link, device or pipe under the same name to another directory, with its flags of chattr(1).
///
/// `stat` is that of the entry. A file removed meanwhile is not copied.
pub fn single(from: &impl AsFd, name: &OsStr, to: &File, stat: &FileStat) -> Result<Report> {
    let rules = Rules {
        flags: true,
        ..Rules::default()
    };
    let tick = &mut |_| {};
    let mut walk = Walk::new(to, PathBuf::from(name), &rules, tick);
    walk.no_directory(from, to, name, stat)?;
    walk.protect();
    Ok(walk.report)
}

/// Gives a directory the attributes of another: mode, owner, times, extended attributes, flags of chattr(1); returns
/// whether all flags could be set.
pub fn directory_attributes(from: &File, to: &File) -> Result<bool> {
    let mut attributes = Attributes::from_stat(&fstat(from)?);
    let found = xattrs(&descriptor_path(from), false)?;
    attributes.xattrs = found
        .into_iter()
        .filter(|(name, _)| is_portable(name))
        .collect();
    let own = descriptor_path(to);
    let is_kept = |name: &OsString| attributes.xattrs.iter().any(|(kept, _)| kept == name);
    for (name, _) in xattrs(&own, false)? {
        if is_portable(&name) && !is_kept(&name) {
            xattr::remove_deref(&own, &name)
                .with_context(|| format!("removing {}", Path::new(&name).display()))?;
        }
    }
    attributes.apply(to)?;
    let flags = file_flags::get(from).unwrap_or(0) & file_flags::KEPT;
    let now = file_flags::get(to).unwrap_or(0);
    let wanted = (now & !file_flags::KEPT) | flags;
    Ok(now == wanted || file_flags::set(to, wanted).is_ok())
}

impl Walk<'_> {
    /// Copies an entry that is not a directory.
    pub(super) fn no_directory(
        &mut self,
        from: &impl AsFd,
        to: &File,
        name: &OsStr,
        stat: &FileStat,
    ) -> Result<()> {
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        match kind {
            SFlag::S_IFREG => self.file(from, to, name),
            SFlag::S_IFLNK => {
                let target = match readlinkat(from, name) {
                    Err(Errno::ENOENT) => return Ok(()),
                    other => other.with_context(|| self.reading())?,
                };
                symlinkat(target.as_os_str(), to, name).with_context(|| self.copying())?;
                self.apply_at(from, to, name, stat, true)
            }
            _ => {
                let mode = Mode::from_bits_truncate(0o600);
                mknodat(to, name, kind, mode, stat.st_rdev).with_context(|| self.copying())?;
                self.apply_at(from, to, name, stat, false)
            }
        }
    }
}
