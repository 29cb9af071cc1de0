//! What a file is besides its content: mode, owner, times, extended attributes.
//!
//! Given in the order the kernel needs: owner first, for `chown` takes set-user-ID bits and capabilities
//! away; then mode; then attributes; times last. By descriptor, or by a bare name in an open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::AtFlags;
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

/// The attribute the kernel keeps an access list in.
pub const ACL_ACCESS: &str = "system.posix_acl_access";
/// The attribute the kernel keeps a directory's default access list in.
pub const ACL_DEFAULT: &str = "system.posix_acl_default";

/// Everything about a file but its kind, name and content.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Permission bits with set-ID and sticky bits: the low twelve.
    pub mode: u32,
    /// Owner, as a number.
    pub uid: u32,
    /// Group, as a number.
    pub gid: u32,
    /// Time of the last access, where it is to be set.
    pub accessed: TimeSpec,
    /// Time of the last change of content.
    pub modified: TimeSpec,
    /// Extended attributes, whole names and raw values.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Attributes {
    /// Returns the attributes a status tells, without extended ones.
    pub fn from_stat(stat: &FileStat) -> Self {
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            accessed: TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
            modified: TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
            xattrs: Vec::new(),
        }
    }

    /// Gives them to an open file or directory.
    pub fn give(&self, file: &File) -> io::Result<()> {
        fchown(
            file,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )?;
        fchmod(file, Mode::from_bits_truncate(self.mode))?;
        for (name, value) in &self.xattrs {
            set_xattr(&descriptor(file.as_fd()), name, value)?;
        }
        futimens(file, &self.accessed, &self.modified)?;
        Ok(())
    }

    /// Gives them to what stands under a bare name in a directory: a link, a device, a pipe.
    ///
    /// A link is never followed; its mode is the kernel's business.
    pub fn give_named(&self, parent: BorrowedFd<'_>, name: &OsStr, link: bool) -> io::Result<()> {
        fchownat(
            parent,
            name,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?;
        if !link {
            let mode = Mode::from_bits_truncate(self.mode);
            fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        let path = descriptor(parent).join(name);
        for (key, value) in &self.xattrs {
            xattr::set(&path, key, value).map_err(|e| about(key, &e))?;
        }
        utimensat(
            parent,
            name,
            &self.accessed,
            &self.modified,
            UtimensatFlags::NoFollowSymlink,
        )?;
        Ok(())
    }
}

/// Returns the attributes of what a path leads to, or of the link itself; none where there can be none.
///
/// `path` is below `/proc/self/fd`: nothing but its last part may be a link.
pub(crate) fn xattrs(path: &std::path::Path, link: bool) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let list = if link {
        xattr::list(path)
    } else {
        xattr::list_deref(path)
    };
    let names = match list {
        Ok(names) => names,
        Err(e) if unsupported(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in names {
        let value = if link {
            xattr::get(path, &name)
        } else {
            xattr::get_deref(path, &name)
        };
        // A name that went away between the two calls, as on a live system, is no longer an attribute.
        if let Some(value) = value.map_err(|e| about(&name, &e))? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Returns whether an attribute means the same on another filesystem and is brought along.
///
/// Others, such as `system.nfs4_acl` or `btrfs.compression`, describe how a filesystem stores a file.
pub(crate) fn travels(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes == ACL_ACCESS.as_bytes()
        || bytes == ACL_DEFAULT.as_bytes()
        || [&b"user."[..], b"trusted.", b"security."]
            .iter()
            .any(|prefix| bytes.len() > prefix.len() && bytes.starts_with(prefix))
}

/// Sets one attribute on what a descriptor's path leads to.
pub(crate) fn set_xattr(path: &std::path::Path, name: &OsStr, value: &[u8]) -> io::Result<()> {
    xattr::set_deref(path, name, value).map_err(|e| about(name, &e))
}

/// Returns the path of an open descriptor, for the calls that take only paths.
pub(crate) fn descriptor(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EOPNOTSUPP)
}

fn about(name: &OsStr, error: &io::Error) -> io::Error {
    let name = name.to_string_lossy();
    io::Error::new(error.kind(), format!("extended attribute {name}: {error}"))
}
