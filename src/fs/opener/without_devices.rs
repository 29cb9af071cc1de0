//! Opens a file on a `nodev` mount, whose type need not be checked first: one call instead of three.
//!
//! For records, of which a list reads thousands: a pool is mounted `nodev`. Only after [`has_no_devices`] was checked.

use std::fs::File;
use std::os::fd::AsFd;

use nix::NixPath;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::{SAFE_FLAGS, check_regular};

/// Returns whether a directory is on a mount where no device can be opened.
pub fn has_no_devices(directory: &impl AsFd) -> bool {
    fstatvfs(directory).is_ok_and(|found| found.flags().contains(FsFlags::ST_NODEV))
}

/// Opens a regular file below a directory for which [`has_no_devices`] holds, by one call and over no symbolic link.
///
/// The only other type that can be opened there is a pipe, which does not block and is closed again.
///
/// # Errors
/// Many, also for files whose type has to be checked first: then open it by [`super::o_path_at`] and [`super::reopen`].
pub fn file_without_devices(
    directory: &impl AsFd,
    path: &(impl NixPath + ?Sized),
) -> nix::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NOATIME | SAFE_FLAGS)
        // Another mount below it may have devices.
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    let file = openat2(directory, path, how)?;
    check_regular(&file)?;
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use nix::errno::Errno;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::fs::opener::directory;

    #[test]
    fn without_devices_only_a_regular_file_of_the_same_mount_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("below")).unwrap();
        std::fs::write(at("below/file"), "content").unwrap();
        symlink("file", at("below/link")).unwrap();
        symlink("below", at("linked")).unwrap();
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        let top = directory(dir.path()).unwrap();
        let mut text = String::new();
        let mut opened = file_without_devices(&top, "below/file").unwrap();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        for (path, errno) in [
            ("below", Errno::EISDIR),
            ("below/link", Errno::ELOOP),
            ("linked/file", Errno::ELOOP),
            ("pipe", Errno::ENXIO),
            ("none", Errno::ENOENT),
        ] {
            assert_eq!(
                file_without_devices(&top, path).unwrap_err(),
                errno,
                "{path}"
            );
        }
        let root = directory(Path::new("/")).unwrap();
        let other = file_without_devices(&root, "proc/version").unwrap_err();
        assert_eq!(other, Errno::EXDEV);
        assert!(!has_no_devices(&directory(Path::new("/dev")).unwrap()));
    }
}
