//! The ioctl that searches btrfs trees, `BTRFS_IOC_TREE_SEARCH_V2`, and its arguments.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Size of the buffer for items: more than twice the largest node, so that any item fits.
pub(super) const BUFFER_SIZE: usize = 192 << 10;

/// `struct btrfs_ioctl_search_key` of linux/btrfs.h.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct SearchKey {
    pub(super) tree_id: u64,
    pub(super) min_objectid: u64,
    pub(super) max_objectid: u64,
    pub(super) min_offset: u64,
    pub(super) max_offset: u64,
    pub(super) min_transid: u64,
    pub(super) max_transid: u64,
    pub(super) min_type: u32,
    pub(super) max_type: u32,
    pub(super) nr_items: u32,
    pub(super) unused: u32,
    pub(super) more_unused: [u64; 4],
}

/// `struct btrfs_ioctl_search_args_v2` of linux/btrfs.h, with the buffer that follows it.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) key: SearchKey,
    pub(super) buf_size: u64,
    pub(super) buf: [u8; BUFFER_SIZE],
}

/// Size of the arguments in the ioctl number: without the buffer.
const HEAD: usize = 112;

const _: () =
    assert!(size_of::<Arguments>() == HEAD + BUFFER_SIZE && size_of::<SearchKey>() == HEAD - 8);

mod call {
    use super::{Arguments, HEAD};

    // BTRFS_IOC_TREE_SEARCH_V2 of linux/btrfs.h.
    nix::ioctl_readwrite_bad!(
        tree_search_v2,
        nix::request_code_readwrite!(0x94, 17, HEAD),
        Arguments
    );
}

#[allow(unsafe_code)]
pub(super) fn search(top: BorrowedFd<'_>, arguments: &mut Arguments) -> nix::Result<()> {
    // SAFETY: the descriptor is borrowed during the call. Arguments has the layout and size (asserted above) of
    // the kernel's structure, followed by as many bytes as buf_size says, which `fill` sets to the buffer's
    // length before every call; the kernel writes no further and keeps no pointer.
    unsafe { call::tree_search_v2(top.as_raw_fd(), arguments) }.map(drop)
}
