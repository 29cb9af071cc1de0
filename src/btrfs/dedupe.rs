//! Makes two files share equal ranges (`FIDEDUPERANGE`, ioctl_fideduperange(2)).
//!
//! The kernel locks and compares both files before it shares, so neither content nor times can change. The
//! caller chooses what to compare.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::fs::file_flags;

/// Longest run of adjacent extents that is compared in one call, in bytes.
///
/// The kernel compares as much at a time: a run that differs is not shared in part.
const RUN: u64 = 16 << 20;

/// The result of sharing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The ranges are equal, and shared.
    Same,
    /// The ranges differ; a part before the difference may be shared.
    Differs,
    /// The files cannot share extents: no checksums, a swap file, immutable.
    Unfit,
}

/// Returns whether the kernel would share extents of these files, as far as their flags tell.
///
/// # Errors
/// If the flags cannot be read.
pub fn may_share(from: &File, to: &File) -> io::Result<bool> {
    let (from, to) = (file_flags::get(from)?, file_flags::get(to)?);
    // Without copy-on-write a file has no checksums, and its extents belong to no file that has them.
    let differ = (from ^ to) & file_flags::NO_COPY_ON_WRITE != 0;
    Ok(to & file_flags::IMMUTABLE == 0 && !differ)
}

/// Shares a range of `to` with the same range of `from`, in bytes, if both are equal there.
///
/// Both files must contain the whole range, which ends at a block or at the end of both. Root needs only read access.
///
/// # Errors
/// If a file cannot be read, or the filesystem is full.
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
        let result = dedupe(from, &mut arguments).and_then(|()| match arguments.status {
            status if status < 0 => Err(Errno::from_raw(status.saturating_neg())),
            status => Ok(status),
        });
        match result {
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

/// Shares those extents of `to`, given as ranges in order, that are equal in `from`; in bytes.
///
/// An extent takes its whole space as long as any part of it is referred to. So extents are compared whole:
/// sharing half of one frees nothing and adds a fragment.
///
/// # Errors
/// As [`share`].
pub fn share_extents(from: &File, to: &File, ranges: &[Range<u64>]) -> io::Result<Answer> {
    let (source, target) = (from.metadata()?, to.metadata()?);
    let fitting: Vec<Range<u64>> = ranges
        .iter()
        .filter_map(|range| fit(range, source.len(), target.len(), target.blksize()))
        .collect();
    let mut all = fitting.len() == ranges.len();
    for run in runs(&fitting) {
        let whole = run[0].start..run[run.len() - 1].end;
        match share(from, to, whole)? {
            Answer::Same => {}
            Answer::Unfit => return Ok(Answer::Unfit),
            Answer::Differs if run.len() == 1 => all = false,
            Answer::Differs => {
                for range in run {
                    all &= share(from, to, range.clone())? == Answer::Same;
                }
            }
        }
    }
    Ok(match all {
        true => Answer::Same,
        false => Answer::Differs,
    })
}

/// Shares all of two files of this size except the differing blocks, which get new space.
///
/// Otherwise an extent with a few differing blocks keeps its whole space. The blocks are copied to an unnamed
/// file, which the kernel compares and shares with `to`: its content and times do not change.
///
/// # Errors
/// As [`share`], and if no file can be created in `beside`, a directory on the same filesystem.
pub fn share_all_but(
    from: &File,
    to: &File,
    size: u64,
    differing: &[Range<u64>],
    beside: &Path,
) -> io::Result<Answer> {
    let copy = tempfile::tempfile_in(beside)?;
    copy.set_len(size)?;
    let mut bytes = Vec::new();
    let mut at = 0;
    for range in differing {
        bytes.resize(usize::try_from(range.end - range.start).unwrap_or(0), 0);
        to.read_exact_at(&mut bytes, range.start)?;
        copy.write_all_at(&bytes, range.start)?;
        at = match share_both(from, &copy, to, at, range)? {
            Answer::Same => range.end,
            other => return Ok(other),
        };
    }
    match at < size {
        true => share(from, to, at..size),
        false => Ok(Answer::Same),
    }
}

/// Shares `at` up to a range with one file, and the range with the other.
fn share_both(
    from: &File,
    copy: &File,
    to: &File,
    at: u64,
    range: &Range<u64>,
) -> io::Result<Answer> {
    if at < range.start {
        let before = share(from, to, at..range.start)?;
        if before != Answer::Same {
            return Ok(before);
        }
    }
    share(copy, to, range.clone())
}

/// Returns the part of an extent to compare: up to the end of `to`. `None` where the kernel would refuse: after
/// the end of `from`, or with an incomplete block that is not the last of both.
fn fit(range: &Range<u64>, from: u64, to: u64, block: u64) -> Option<Range<u64>> {
    let end = range.end.min(to);
    let at_both_ends = end == to && from == to;
    let fits = range.start < end && end <= from && (end.is_multiple_of(block) || at_both_ends);
    fits.then_some(range.start..end)
}

/// Groups adjacent ranges, up to [`RUN`] bytes each, or a single longer range.
fn runs(ranges: &[Range<u64>]) -> Vec<&[Range<u64>]> {
    let mut runs = Vec::new();
    let mut first = 0;
    for i in 1..=ranges.len() {
        let goes_on = ranges.get(i).is_some_and(|next| {
            next.start == ranges[i - 1].end && next.end - ranges[first].start <= RUN
        });
        if !goes_on {
            runs.push(&ranges[first..i]);
            first = i;
        }
    }
    runs
}

/// Reads ahead: the kernel's comparison waits for the disk page by page.
fn read_ahead(file: &File, range: &Range<u64>) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    // Only an optimization: errors are ignored.
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

/// Size of the arguments in the ioctl number: without the second structure.
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
    // SAFETY: the descriptor is open during the call. Arguments has the layout and size (asserted above) of the
    // kernel's structure with one range, as dest_count says; the kernel writes no further, keeps no pointer,
    // and checks the other descriptor itself.
    unsafe { call::fideduperange(from.as_raw_fd(), arguments) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_the_kernel_would_refuse_are_left_out() {
        for (range, from, to, want) in [
            // The last block of both, and whole blocks before it.
            (0..8192, 5000, 5000, Some(0..5000)),
            (0..4096, 5000, 5000, Some(0..4096)),
            (0..8192, 8192, 8192, Some(0..8192)),
            // One file is longer.
            (0..8192, 6000, 5000, None),
            (0..8192, 5000, 6000, None),
            (0..4096, 6000, 5000, Some(0..4096)),
            (0..8192, 12_288, 8192, Some(0..8192)),
            (4096..8192, 4096, 8192, None),
            // After the end.
            (8192..16_384, 5000, 5000, None),
            (0..4096, 0, 0, None),
        ] {
            let got = fit(&range, from, to, 4096);
            assert_eq!(got, want, "{range:?} of {from} and {to}");
        }
    }

    #[test]
    fn adjacent_ranges_are_compared_in_one_call() {
        const MIB: u64 = 1 << 20;
        let ranges = [
            0..MIB,
            MIB..2 * MIB,
            // A gap, and a run above the limit.
            3 * MIB..10 * MIB,
            10 * MIB..20 * MIB,
            20 * MIB..90 * MIB,
        ];
        let lengths: Vec<_> = runs(&ranges).iter().map(|run| run.len()).collect();
        assert_eq!(lengths, [2, 1, 1, 1]);
        assert!(runs(&[]).is_empty());
    }
}
