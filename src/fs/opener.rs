//! Opens files that a node, an image or an archive may have planted: checks the type first.
//!
//! Opening has effects: a watchdog starts, a tape rewinds, a pipe blocks, a terminal becomes the controlling one. So a
//! name is first opened with `O_PATH`, which has none. If it is a regular file, that descriptor is reopened, so that a
//! swap in between has no effect. `O_DIRECTORY` opens nothing but directories. Devices, pipes and sockets are never
//! opened here. `tests/openers` lists every other way to open a file, with the reason.

mod without_devices;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

use super::interrupt;
use super::path_error::with_path;

pub use without_devices::{file_without_devices, has_no_devices};

/// How long to wait for another process's lease, such as an NFS client's delegation that is being recalled.
const LEASE: Duration = Duration::from_secs(1);
/// Interval between attempts.
const RETRY: Duration = Duration::from_millis(10);

/// Flags for every regular file: no waiting, no controlling terminal.
const SAFE_FLAGS: OFlag = OFlag::O_NONBLOCK
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Opens a name in a directory with `O_PATH`; a symbolic link is not followed.
pub fn o_path_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    openat(
        directory,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Reopens an `O_PATH` descriptor of a regular file, without changing its access time where allowed.
///
/// # Errors
/// `ENXIO` for a device, pipe or socket, `EISDIR`, `ELOOP` for a symbolic link, `EAGAIN` if a lease is held too
/// long.
pub fn reopen(place: &(impl AsFd + AsRawFd), flags: OFlag) -> nix::Result<OwnedFd> {
    check_regular(place)?;
    reopen_checked(place, flags, LEASE)
}

/// Reopens for reading, without waiting for a lease.
///
/// # Errors
/// As [`reopen`]; after `EAGAIN` the lease is being recalled.
pub fn reopen_without_wait(place: &(impl AsFd + AsRawFd)) -> nix::Result<OwnedFd> {
    check_regular(place)?;
    reopen_checked(place, OFlag::O_RDONLY, Duration::ZERO)
}

/// Fails unless the descriptor is of a regular file.
fn check_regular(place: &impl AsFd) -> nix::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(place)?.st_mode & SFlag::S_IFMT.bits());
    match kind {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        SFlag::S_IFLNK => Err(Errno::ELOOP),
        _ => Err(Errno::ENXIO),
    }
}

/// Reopens an `O_PATH` descriptor whose type was checked.
fn reopen_checked(place: &impl AsRawFd, flags: OFlag, lease: Duration) -> nix::Result<OwnedFd> {
    let path = descriptor_path(place);
    let mut flags = flags | SAFE_FLAGS;
    if !flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR) {
        flags |= OFlag::O_NOATIME;
    }
    let begun = Instant::now();
    loop {
        match nix::fcntl::open(&path, flags, Mode::empty()) {
            // Only the owner may use O_NOATIME: open(2).
            Err(Errno::EPERM) if flags.contains(OFlag::O_NOATIME) => {
                flags.remove(OFlag::O_NOATIME);
            }
            // A lease is held; this call has made the kernel recall it.
            Err(Errno::EAGAIN) if begun.elapsed() < lease && interrupt::requested().is_none() => {
                std::thread::sleep(RETRY);
            }
            Err(Errno::EINTR) if interrupt::requested().is_none() => {}
            opened => return opened,
        }
    }
}

/// Opens a regular file in a directory for reading; `None` if it does not exist.
///
/// # Errors
/// As [`reopen`].
pub fn file_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<Option<File>> {
    match o_path_at(directory, name) {
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
        Ok(place) => reopen(&place, OFlag::O_RDONLY).map(|fd| Some(File::from(fd))),
    }
}

/// Opens a regular file in a trusted directory for reading; `None` if it does not exist.
///
/// # Errors
/// For any other type, a symbolic link included.
pub fn file(path: &Path) -> io::Result<Option<File>> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e.into()),
        Ok(place) => Ok(Some(File::from(reopen(&place, OFlag::O_RDONLY)?))),
    }
}

/// Opens a regular file in a trusted directory with `flags`; creates it if it does not exist.
///
/// # Errors
/// For any other type, a symbolic link included.
pub fn file_or_new(path: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
    let new = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    loop {
        match nix::fcntl::open(path, new, mode) {
            Err(Errno::EEXIST) => {}
            made => return Ok(File::from(made?)),
        }
        match o_path_at(&AT_FDCWD, path) {
            // Removed again meanwhile.
            Err(Errno::ENOENT) => interrupt::check_io()?,
            place => return Ok(File::from(reopen(&place?, flags)?)),
        }
    }
}

/// Creates an empty file of mode 0600 under a bare name in a directory, open for writing.
///
/// # Errors
/// `EEXIST` if the name exists.
pub fn new_file_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<File> {
    let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let flags = new | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
}

/// Creates a directory of mode 0700 under a bare name in another, and opens it.
pub fn new_directory_at(to: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<File> {
    mkdirat(to, name, Mode::S_IRWXU)?;
    directory_at(to, name).map(File::from)
}

/// Opens a directory for reading; follows symbolic links.
///
/// # Errors
/// Names the path; `ENOTDIR` for anything else.
pub fn directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path, flags, Mode::empty());
    Ok(File::from(opened.map_err(|e| with_path(e, path))?))
}

/// Longest path resolved in one call, in bytes: less than `PATH_MAX`.
const PIECE: usize = 3072;

/// Opens a directory below another with `O_PATH`, over no symbolic link; the path may be of any length.
pub fn directory_beneath(top: &impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let step = |from: BorrowedFd<'_>, piece: &Path| {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(from, piece, how)
    };
    let mut at = step(top.as_fd(), Path::new("."))?;
    let mut piece = PathBuf::new();
    for part in path {
        if piece.as_os_str().len() + part.len() > PIECE {
            at = step(at.as_fd(), &piece)?;
            piece.clear();
        }
        piece.push(part);
    }
    match piece.as_os_str().is_empty() {
        true => Ok(at),
        false => step(at.as_fd(), &piece),
    }
}

/// Opens a directory in another for reading; a symbolic link is not followed.
///
/// # Errors
/// `ENOTDIR` for anything else, `ELOOP` or `ENOTDIR` for a link.
pub fn directory_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        // Only the owner may use O_NOATIME; over NFS, root may be squashed.
        Err(Errno::EPERM) => openat(directory, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Opens a regular file or disk named on the command line; follows symbolic links.
///
/// # Errors
/// `ENXIO` for anything else: a pipe would block, a device may act.
pub fn file_or_disk(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let place = nix::fcntl::open(path, flags, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&place)?.st_mode & SFlag::S_IFMT.bits());
    match kind {
        SFlag::S_IFREG | SFlag::S_IFBLK => {
            Ok(File::from(reopen_checked(&place, OFlag::O_RDONLY, LEASE)?))
        }
        _ => Err(Errno::ENXIO.into()),
    }
}

/// Returns a descriptor's path, for calls that take no descriptor.
pub fn descriptor_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::{makedev, mknod};
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "content").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        symlink("file", at("link")).unwrap();
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let mut text = String::new();
        let opened = file(&at("file")).unwrap();
        opened.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert!(file(&at("nothing")).unwrap().is_none());
        let mut refused = vec![
            ("directory", Errno::EISDIR),
            ("link", Errno::ELOOP),
            ("pipe", Errno::ENXIO),
            ("socket", Errno::ENXIO),
        ];
        // Only root can make devices; this one would act when opened: a network tunnel.
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        if mknod(&at("device"), SFlag::S_IFCHR, mode, makedev(10, 200)).is_ok() {
            refused.push(("device", Errno::ENXIO));
        }
        let top = directory(dir.path()).unwrap();
        for (name, errno) in refused {
            let error = file(&at(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno as i32), "{name}");
            assert_eq!(file_at(&top, name).unwrap_err(), errno, "{name}");
            let made = file_or_new(&at(name), OFlag::O_RDWR, mode).unwrap_err();
            assert_eq!(made.raw_os_error(), Some(errno as i32), "{name}");
            if name != "directory" {
                directory_at(&top, name).unwrap_err();
            }
        }
        directory_at(&top, "directory").unwrap();
        assert!(file_or_disk(&at("pipe")).is_err());
        file_or_disk(&at("link")).unwrap();
    }

    #[test]
    fn a_new_file_is_made_and_an_old_one_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        file_or_new(&path, OFlag::O_WRONLY, mode).unwrap();
        std::fs::write(&path, "kept").unwrap();
        file_or_new(&path, OFlag::O_WRONLY, mode).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    }
}
