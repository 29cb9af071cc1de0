//! The filesystem and subvolume of an open directory.
//!
//! By descriptor: another file may be at a path a moment later. Structures and numbers: linux/btrfs.h. The
//! calls on subvolumes need no privilege.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Uuid;
use crate::fs::path_error::at_path;

/// `BTRFS_FS_INFO_FLAG_METADATA_UUID`: the trees have another UUID than the superblock.
const METADATA_UUID: u64 = 1 << 2;
/// `BTRFS_FIRST_FREE_OBJECTID`: its lookup returns the subvolume ID alone.
const FIRST_INODE: u64 = 256;

/// `struct btrfs_ioctl_get_subvol_info_args`.
#[repr(C)]
struct SubvolumeInfo {
    treeid: u64,
    name: [u8; 256],
    parent_id: u64,
    dirid: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    rest: [u64; 24],
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct FilesystemInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    nodesize: u32,
    sectorsize: u32,
    clone_alignment: u32,
    csum_type: u16,
    csum_size: u16,
    flags: u64,
    generation: u64,
    metadata_uuid: [u8; 16],
    reserved: [u8; 944],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct InodeLookup {
    treeid: u64,
    objectid: u64,
    name: [u8; 4080],
}

const _: () = assert!(size_of::<SubvolumeInfo>() == 504);
const _: () = assert!(size_of::<FilesystemInfo>() == 1024);
const _: () = assert!(size_of::<InodeLookup>() == 4096);

mod call {
    use super::{FilesystemInfo, InodeLookup, SubvolumeInfo};

    nix::ioctl_read!(get_subvol_info, 0x94, 60, SubvolumeInfo);
    nix::ioctl_read!(fs_info, 0x94, 31, FilesystemInfo);
    nix::ioctl_readwrite!(ino_lookup, 0x94, 18, InodeLookup);
}

/// Returns the UUID of the subvolume in which a descriptor is open.
#[allow(unsafe_code)]
pub fn subvolume_uuid(open: &impl AsRawFd) -> io::Result<Uuid> {
    let mut info = SubvolumeInfo {
        treeid: 0,
        name: [0; 256],
        parent_id: 0,
        dirid: 0,
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        rest: [0; 24],
    };
    // SAFETY: the descriptor is open during the call, and the structure has the layout and size (asserted
    // above) that the kernel writes; it keeps no pointer.
    unsafe { call::get_subvol_info(open.as_raw_fd(), &raw mut info) }?;
    Ok(Uuid(info.uuid))
}

/// Returns the ID of the subvolume in which a descriptor is open.
pub fn subvolume_id(open: &impl AsRawFd) -> io::Result<u64> {
    Ok(directory_path(open, 0, FIRST_INODE)?.0)
}

/// Returns the subvolume's ID and the path in it of a directory by its inode number; ID 0 is that of the descriptor.
///
/// # Errors
/// For the path of any but the first inode, `EPERM` without `CAP_SYS_ADMIN`.
#[allow(unsafe_code)]
pub fn directory_path(
    open: &impl AsRawFd,
    subvolume: u64,
    inode: u64,
) -> io::Result<(u64, PathBuf)> {
    let mut lookup = Box::new(InodeLookup {
        treeid: subvolume,
        objectid: inode,
        name: [0; 4080],
    });
    // SAFETY: as above, for InodeLookup, which the kernel reads and writes.
    unsafe { call::ino_lookup(open.as_raw_fd(), &raw mut *lookup) }?;
    let end = lookup.name.iter().position(|b| *b == 0);
    let name = lookup.name[..end.unwrap_or_default()].to_vec();
    Ok((lookup.treeid, PathBuf::from(OsString::from_vec(name))))
}

/// Returns the filesystem UUID in the trees: `btrfstune -m`, or mounting a copy beside the original, changes
/// only the one in the superblock.
///
/// # Errors
/// Names the path; `ENOTTY` if it is not btrfs.
pub fn filesystem(path: &Path) -> io::Result<Uuid> {
    let info = filesystem_info(path)?;
    let has_other = info.flags & METADATA_UUID != 0 && info.metadata_uuid != [0; 16];
    Ok(Uuid(match has_other {
        true => info.metadata_uuid,
        false => info.fsid,
    }))
}

/// Returns the UUID of the filesystem at a path as it is mounted: the name of its directory in `/sys/fs/btrfs`.
///
/// # Errors
/// Names the path; `ENOTTY` where it is not btrfs.
pub fn mounted_filesystem(path: &Path) -> io::Result<Uuid> {
    Ok(Uuid(filesystem_info(path)?.fsid))
}

#[allow(unsafe_code)]
fn filesystem_info(path: &Path) -> io::Result<Box<FilesystemInfo>> {
    let open = File::open(path).map_err(|e| at_path(&e, path))?;
    let mut info = Box::new(FilesystemInfo {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        nodesize: 0,
        sectorsize: 0,
        clone_alignment: 0,
        csum_type: 0,
        csum_size: 0,
        // A request: older kernels leave flag and UUID unchanged.
        flags: METADATA_UUID,
        generation: 0,
        metadata_uuid: [0; 16],
        reserved: [0; 944],
    });
    // SAFETY: as above, for FilesystemInfo.
    let called = unsafe { call::fs_info(open.as_raw_fd(), &raw mut *info) };
    called.map_err(|e| at_path(&e.into(), path))?;
    Ok(info)
}
