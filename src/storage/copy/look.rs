//! Looking at a tree without following links, waking mounts or changing access times.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{self, FsType};

/// Returns the names in a directory, in the order the filesystem has them.
pub(super) fn names(directory: &File) -> std::io::Result<Vec<OsString>> {
    let mut stream = Dir::from_fd(directory.try_clone()?.into())?;
    let mut names = Vec::new();
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
    }
    Ok(names)
}

/// Opens a name for reading, a link not followed; `None` when it has vanished.
pub(super) fn open(directory: &File, name: &OsStr, flags: OFlag) -> nix::Result<Option<File>> {
    let flags = flags | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // A server that makes root nobody refuses O_NOATIME, not the reading.
    let opened = match nix::fcntl::openat(directory, name, flags | OFlag::O_NOATIME, Mode::empty())
    {
        Err(Errno::EPERM) => nix::fcntl::openat(directory, name, flags, Mode::empty()),
        other => other,
    };
    match opened {
        Err(Errno::ENOENT) => Ok(None),
        other => other.map(|fd| Some(File::from(fd))),
    }
}

/// Opens a directory for reading unless something is mounted there (`EXDEV`).
pub(super) fn open_here(directory: &File, name: &OsStr) -> nix::Result<File> {
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
