//! Letting two files share what is byte for byte the same in both (`FIDEDUPERANGE`, ioctl_fideduperange(2)).
//!
//! The kernel compares, with both files locked against change, and only then lets the second refer to the space
//! of the first: neither file's content or times can change by it. Not for choosing what to compare.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The range is the same in both, and shared.
    Same,
    /// It is not the same; part of what comes before the difference may be shared all the same.
    Differs,
    /// The two are stored so differently that they can share nothing: checksums off, a swap file, immutable.
    Unfit,
}

/// Shares a range of `to` with the same range of `from` where both hold the same there; bytes.
///
/// Both must reach to the range's end, which is a multiple of the block size or the end of both. It is enough that
/// both are open for reading, for root.
///
/// # Errors
/// Where one of them cannot be read, or the filesystem is full.
pub fn share(from: &File, to: &File, range: Range<u64>) -> io::Result<Answer> {
    read_ahead(from, &range);
    read_ahead(to, &range);
    let mut at = range.start;
    while at < range.end {
        let mut arguments = Arguments {
            src_offset: at,
            src_length: range.end - at,
            dest_count: 1,
            dest_fd: i64::from(to.as_raw_fd()),
            dest_offset: at,
            ..Arguments::default()
        };
        let asked = dedupe(from, &mut arguments).and_then(|()| match arguments.status {
            status if status < 0 => Err(Errno::from_raw(status.saturating_neg())),
            status => Ok(status),
        });
        match asked {
            Ok(SAME) if arguments.bytes_deduped > 0 => at += arguments.bytes_deduped,
            Ok(_) => return Ok(Answer::Differs),
            Err(Errno::EINVAL | Errno::EPERM | Errno::ETXTBSY | Errno::EOPNOTSUPP) => {
                return Ok(Answer::Unfit);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Answer::Same)
}

/// Has a range read in large pieces: comparing alone would wait for the disk page by page.
fn read_ahead(file: &File, range: &Range<u64>) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    // Advice, and nothing is lost where it is not taken.
    let _ = posix_fadvise(
        file,
        number(range.start),
        number(range.end - range.start),
        PosixFadviseAdvice::POSIX_FADV_WILLNEED,
    );
}

/// `FILE_DEDUPE_RANGE_SAME` of linux/fs.h.
const SAME: i32 = 0;

/// `struct file_dedupe_range` of linux/fs.h with one `struct file_dedupe_range_info` after it.
#[repr(C)]
#[derive(Debug, Default)]
struct Arguments {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

/// How large the kernel takes the arguments to be: what follows the first structure does not count.
const HEAD: usize = 24;

const _: () = assert!(size_of::<Arguments>() == HEAD + 32);

mod call {
    use super::{Arguments, HEAD};

    // FIDEDUPERANGE of linux/fs.h.
    nix::ioctl_readwrite_bad!(
        fideduperange,
        nix::request_code_readwrite!(0x94, 54, HEAD),
        Arguments
    );
}

#[allow(unsafe_code)]
fn dedupe(from: &File, arguments: &mut Arguments) -> nix::Result<()> {
    // SAFETY: the descriptor is open for the call's time. Arguments has the layout and size (asserted above)
    // of the kernel's structure with the one range that dest_count says, which `share` sets; the kernel
    // writes no further, keeps no pointer, and checks the other descriptor itself.
    unsafe { call::fideduperange(from.as_raw_fd(), arguments) }.map(drop)
}
