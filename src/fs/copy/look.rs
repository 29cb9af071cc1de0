//! Looking at a tree without following links, waking mounts or changing access times.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::{Dir, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{self, FsType};

use crate::fs::opener;

/// How many names are held in memory at a time: there may be millions.
const NAMES: usize = 1024;

/// An open directory, its names given some at a time, in the order the filesystem has them.
#[derive(Debug)]
pub(super) struct Listing {
    stream: OwningIter,
}

impl Listing {
    pub(super) fn new(directory: File) -> nix::Result<Self> {
        Ok(Self {
            stream: Dir::from_fd(directory.into())?.into_iter(),
        })
    }

    /// Returns the next names; none at the end.
    pub(super) fn next_names(&mut self) -> std::io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        // Not a borrowed one, which begins again at the start each time.
        for entry in self.stream.by_ref().take(NAMES + 2) {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_os_string());
            }
        }
        Ok(names)
    }
}

impl AsFd for Listing {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and closes it when it is dropped, which what is borrowed here from the
        // listing, and so from the stream, cannot outlive.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

/// Opens a directory for reading, a link not followed; `None` when it has vanished.
pub(super) fn open_directory(directory: &impl AsFd, name: &OsStr) -> nix::Result<Option<File>> {
    match opener::directory_at(directory, name) {
        Err(Errno::ENOENT) => Ok(None),
        other => other.map(|fd| Some(File::from(fd))),
    }
}

/// Opens a directory for reading unless something is mounted there (`EXDEV`).
pub(super) fn open_here(directory: &impl AsFd, name: &OsStr) -> nix::Result<File> {
    let open = |more| {
        let how = OpenHow::new()
            .flags(
                OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | more,
            )
            .resolve(
                ResolveFlag::RESOLVE_NO_XDEV
                    | ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS,
            );
        openat2(directory, name, how).map(File::from)
    };
    match open(OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open(OFlag::empty()),
        other => other,
    }
}

/// Returns whether a filesystem is made up by the kernel, or gone with the power.
pub(super) fn is_pseudo(kind: FsType) -> bool {
    const OTHERS: [u32; 8] = [
        0x8584_58f6, // ramfs
        0x6265_6570, // configfs
        0x6165_676c, // pstore
        0xde5e_81e4, // efivarfs
        0x6573_5543, // fusectl
        0x1980_0202, // mqueue
        0x4249_4e4d, // binfmt_misc
        0x6759_6969, // rpc_pipefs
    ];
    [
        statfs::PROC_SUPER_MAGIC,
        statfs::SYSFS_MAGIC,
        statfs::TMPFS_MAGIC,
        statfs::DEVPTS_SUPER_MAGIC,
        statfs::CGROUP_SUPER_MAGIC,
        statfs::CGROUP2_SUPER_MAGIC,
        statfs::DEBUGFS_MAGIC,
        statfs::TRACEFS_MAGIC,
        statfs::SECURITYFS_MAGIC,
        statfs::BPF_FS_MAGIC,
        statfs::HUGETLBFS_MAGIC,
        statfs::SELINUX_MAGIC,
        statfs::AUTOFS_SUPER_MAGIC,
        statfs::NSFS_MAGIC,
    ]
    .contains(&kind)
        // The magic numbers that nix has no names for; the field is a signed word on some machines.
        || OTHERS.contains(&(kind.0 as u32))
}
