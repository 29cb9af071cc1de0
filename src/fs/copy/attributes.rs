//! The attributes of a file: mode, owner, times, extended attributes.
//!
//! Applied in the order that the kernel needs: owner first, because `chown` clears set-user-ID bits and
//! capabilities; then mode, extended attributes, times. By descriptor, or by a name in an open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::AtFlags;
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use crate::fs::opener::descriptor_path;

/// Extended attribute of a file's access control list.
pub const ACL_ACCESS: &str = "system.posix_acl_access";
/// Extended attribute of a directory's default access control list.
pub const ACL_DEFAULT: &str = "system.posix_acl_default";

/// All attributes of a file, without its type, name and content.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Permission bits with set-ID and sticky bits: the low twelve.
    pub mode: u32,
    /// Owner, as a number.
    pub uid: u32,
    /// Group, as a number.
    pub gid: u32,
    /// Access time, where it is to be set.
    pub accessed: TimeSpec,
    /// Modification time.
    pub modified: TimeSpec,
    /// Extended attributes, whole names and raw values.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Attributes {
    /// Returns the attributes in a status, without extended ones.
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

    /// Applies them to an open file or directory.
    pub fn apply(&self, file: &File) -> io::Result<()> {
        fchown(
            file,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )?;
        fchmod(file, Mode::from_bits_truncate(self.mode))?;
        for (name, value) in &self.xattrs {
            set_xattr(&descriptor_path(file), name, value)?;
        }
        futimens(file, &self.accessed, &self.modified)?;
        Ok(())
    }

    /// Applies them to a name in a directory: a symbolic link, device or pipe.
    ///
    /// A symbolic link is not followed; its mode is not set.
    pub fn apply_at(&self, parent: BorrowedFd<'_>, name: &OsStr, link: bool) -> io::Result<()> {
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
        let path = descriptor_path(&parent).join(name);
        for (key, value) in &self.xattrs {
            xattr::set(&path, key, value).map_err(|e| with_name(key, &e))?;
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

/// Returns the extended attributes at a path, with `link` of the symbolic link itself; empty where unsupported.
///
/// `path` is below `/proc/self/fd`: only its last component may be a symbolic link.
pub(crate) fn xattrs(path: &std::path::Path, link: bool) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let list = if link {
        xattr::list(path)
    } else {
        xattr::list_deref(path)
    };
    let names = match list {
        Ok(names) => names,
        Err(e) if is_unsupported(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in names {
        let value = if link {
            xattr::get(path, &name)
        } else {
            xattr::get_deref(path, &name)
        };
        // An attribute removed since it was listed is skipped.
        if let Some(value) = value.map_err(|e| with_name(&name, &e))? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Returns whether an attribute has the same meaning on another filesystem.
///
/// Others, such as `system.nfs4_acl` or `btrfs.compression`, describe how a filesystem stores a file.
pub(crate) fn is_portable(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes == ACL_ACCESS.as_bytes()
        || bytes == ACL_DEFAULT.as_bytes()
        || [&b"user."[..], b"trusted.", b"security."]
            .iter()
            .any(|prefix| bytes.len() > prefix.len() && bytes.starts_with(prefix))
}

/// Sets an extended attribute at a descriptor's path.
pub(crate) fn set_xattr(path: &std::path::Path, name: &OsStr, value: &[u8]) -> io::Result<()> {
    xattr::set_deref(path, name, value).map_err(|e| with_name(name, &e))
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EOPNOTSUPP)
}

fn with_name(name: &OsStr, error: &io::Error) -> io::Error {
    let name = name.to_string_lossy();
    io::Error::new(error.kind(), format!("extended attribute {name}: {error}"))
}
