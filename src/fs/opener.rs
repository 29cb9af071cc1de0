//! Opening what a node, or whoever wrote an image or an archive, may have planted: looked at first, opened then.
//!
//! Opening acts: a watchdog starts, a tape rewinds, a pipe waits for its other end, a terminal becomes one's own. So a
//! name is opened as a place only (`O_PATH`), which wakes nothing; what stands there is looked at; and that very thing,
//! whatever the name leads to by now, is opened by its descriptor where it is a regular file. Directories are opened
//! with `O_DIRECTORY`, which the kernel answers before it opens anything else. Devices, pipes and sockets are never
//! opened here. Every other way to open a file is on a list in `tests/openers`, with the reason.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::interrupt;

/// How long another's lease on a file is waited for, such as an NFS client's delegation that is being called back.
const LEASE: Duration = Duration::from_secs(1);
/// How often it is tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// What a regular file is opened with besides how: nothing waits, and no terminal becomes one's own.
const HARMLESS: OFlag = OFlag::O_NONBLOCK
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Looks at a bare name in a directory, a link not followed; nothing is opened by it but the place.
pub fn place_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    openat(
        directory,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Opens the regular file that a place is; reading it leaves its time of access alone, where that is allowed.
///
/// # Errors
/// `ENXIO` for a device, pipe or socket, `EISDIR`, `ELOOP` for a link; `EAGAIN` where somebody keeps a lease on it.
pub fn reopened(place: &(impl AsFd + AsRawFd), flags: OFlag) -> nix::Result<OwnedFd> {
    regular(place)?;
    reopened_as_it_is(place, flags, LEASE)
}

/// The same for reading, where a lease is not waited for: others are.
///
/// # Errors
/// As [`reopened`]; with `EAGAIN` who has the lease has been asked for it.
pub fn reopened_at_once(place: &(impl AsFd + AsRawFd)) -> nix::Result<OwnedFd> {
    regular(place)?;
    reopened_as_it_is(place, OFlag::O_RDONLY, Duration::ZERO)
}

/// Refuses a place that is no regular file.
fn regular(place: &impl AsFd) -> nix::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(place)?.st_mode & SFlag::S_IFMT.bits());
    match kind {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        SFlag::S_IFLNK => Err(Errno::ELOOP),
        _ => Err(Errno::ENXIO),
    }
}

/// Opens what a place is, which was looked at before.
fn reopened_as_it_is(place: &impl AsRawFd, flags: OFlag, lease: Duration) -> nix::Result<OwnedFd> {
    let path = descriptor_path(place);
    let mut flags = flags | HARMLESS;
    if !flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR) {
        flags |= OFlag::O_NOATIME;
    }
    let begun = Instant::now();
    loop {
        match nix::fcntl::open(&path, flags, Mode::empty()) {
            // Not one's own: open(2).
            Err(Errno::EPERM) if flags.contains(OFlag::O_NOATIME) => {
                flags.remove(OFlag::O_NOATIME);
            }
            // Somebody holds a lease, and was asked for it by this call.
            Err(Errno::EAGAIN) if begun.elapsed() < lease && interrupt::asked().is_none() => {
                std::thread::sleep(AGAIN);
            }
            Err(Errno::EINTR) if interrupt::asked().is_none() => {}
            opened => return opened,
        }
    }
}

/// Opens the regular file under a bare name in a directory for reading; `None` where there is nothing any more.
///
/// # Errors
/// As [`reopened`].
pub fn file_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<Option<File>> {
    match place_at(directory, name) {
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
        Ok(place) => reopened(&place, OFlag::O_RDONLY).map(|fd| Some(File::from(fd))),
    }
}

/// Opens a regular file whose directory is trusted, for reading; `None` where there is nothing.
///
/// # Errors
/// Anything else that stands there, a link too.
pub fn file(path: &Path) -> io::Result<Option<File>> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e.into()),
        Ok(place) => Ok(Some(File::from(reopened(&place, OFlag::O_RDONLY)?))),
    }
}

/// Opens a regular file whose directory is trusted, which is made where there is none; `flags` say how.
///
/// # Errors
/// Anything else that stands there, a link too.
pub fn file_or_new(path: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
    let new = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    loop {
        match nix::fcntl::open(path, new, mode) {
            Err(Errno::EEXIST) => {}
            made => return Ok(File::from(made?)),
        }
        match place_at(&AT_FDCWD, path) {
            // Gone again since.
            Err(Errno::ENOENT) => interrupt::check_io()?,
            place => return Ok(File::from(reopened(&place?, flags)?)),
        }
    }
}

/// Opens a directory for reading, over links.
///
/// # Errors
/// `ENOTDIR` for anything else.
pub fn directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(File::from(nix::fcntl::open(path, flags, Mode::empty())?))
}

/// The longest path that is handed to the kernel at once, in bytes: less than `PATH_MAX`.
const PIECE: usize = 3072;

/// Finds a directory beneath another, over no link and no mount, however long the path is; it is not opened.
pub fn beneath(top: &impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
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

/// Opens a directory under a bare name in another for reading, a link not followed.
///
/// # Errors
/// `ENOTDIR` for anything else, `ELOOP` or `ENOTDIR` for a link.
pub fn directory_at(directory: &impl AsFd, name: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        // Not one's own, or of a server that makes root nobody.
        Err(Errno::EPERM) => openat(directory, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Opens what a person named on the command line, over links: a regular file, or a disk.
///
/// # Errors
/// `ENXIO` for anything else: neither a pipe without a writer nor a device that acts is opened.
pub fn file_or_disk(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let place = nix::fcntl::open(path, flags, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&place)?.st_mode & SFlag::S_IFMT.bits());
    match kind {
        SFlag::S_IFREG | SFlag::S_IFBLK => Ok(File::from(reopened_as_it_is(
            &place,
            OFlag::O_RDONLY,
            LEASE,
        )?)),
        _ => Err(Errno::ENXIO.into()),
    }
}

/// Returns the path an open descriptor can be reached by for calls that take no descriptor.
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
        // Nobody but root makes devices; one that would act: a network tunnel.
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
    fn a_new_file_is_made_and_an_old_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        file_or_new(&path, OFlag::O_WRONLY, mode).unwrap();
        std::fs::write(&path, "kept").unwrap();
        file_or_new(&path, OFlag::O_WRONLY, mode).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    }
}
