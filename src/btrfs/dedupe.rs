//! Letting two files share what is byte for byte the same in both (`FIDEDUPERANGE`, ioctl_fideduperange(2)).
//!
//! The kernel compares, with both files locked against change, and only then lets the second refer to the space
//! of the first: neither file's content or times can change by it. Not for choosing what to compare.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// How much is compared at a time where extents lie side by side, in bytes: one call for many small ones.
///
/// What the kernel, too, compares at a time, so that what differs somewhere stays as it was everywhere.
const RUN: u64 = 16 << 20;

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

/// Shares those extents of `to`, given as ranges of the file in order, that are the same in `from`; bytes.
///
/// What takes space is an extent, and it takes all of it as long as any file refers to any part of it. So extents are
/// compared whole: sharing half of one would win nothing, and cost a fragment.
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

/// Shares all of two files of this size but the blocks that differ; these get space of their own.
///
/// An extent of which a few blocks differ takes all its space for them. So they are copied into a file without a name, and
/// the kernel compares, and lets `to` refer to that: its content and times change as little as by [`share`].
///
/// # Errors
/// As [`share`], and where no file can be made in `beside`, a directory of the same filesystem.
pub fn share_all_but(
    from: &File,
    to: &File,
    size: u64,
    differing: &[Range<u64>],
    beside: &Path,
) -> io::Result<Answer> {
    let own = tempfile::tempfile_in(beside)?;
    own.set_len(size)?;
    let mut bytes = Vec::new();
    let mut at = 0;
    for range in differing {
        bytes.resize(usize::try_from(range.end - range.start).unwrap_or(0), 0);
        to.read_exact_at(&mut bytes, range.start)?;
        own.write_all_at(&bytes, range.start)?;
        at = match share_both(from, &own, to, at, range)? {
            Answer::Same => range.end,
            other => return Ok(other),
        };
    }
    match at < size {
        true => share(from, to, at..size),
        false => Ok(Answer::Same),
    }
}

/// Shares what lies between `at` and a range with one file, and the range with the other.
fn share_both(
    from: &File,
    own: &File,
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
    share(own, to, range.clone())
}

/// Returns the part of an extent that is to be compared: all of it up to the file's end; `None` where the kernel would
/// not share it, because the origin's file ends before it, or the last block is not the last one of both.
fn fit(range: &Range<u64>, from: u64, to: u64, block: u64) -> Option<Range<u64>> {
    let end = range.end.min(to);
    let at_both_ends = end == to && from == to;
    let fits = range.start < end && end <= from && (end.is_multiple_of(block) || at_both_ends);
    fits.then_some(range.start..end)
}

/// Returns the ranges in groups that lie side by side, none longer than [`RUN`] but where a single range is.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_would_not_share_is_not_asked_for() {
        for (range, from, to, want) in [
            // The last block of both, and whole blocks before it.
            (0..8192, 5000, 5000, Some(0..5000)),
            (0..4096, 5000, 5000, Some(0..4096)),
            (0..8192, 8192, 8192, Some(0..8192)),
            // One of the two goes on.
            (0..8192, 6000, 5000, None),
            (0..8192, 5000, 6000, None),
            (0..4096, 6000, 5000, Some(0..4096)),
            (0..8192, 12_288, 8192, Some(0..8192)),
            (4096..8192, 4096, 8192, None),
            // Space beyond the end.
            (8192..16_384, 5000, 5000, None),
            (0..4096, 0, 0, None),
        ] {
            let got = fit(&range, from, to, 4096);
            assert_eq!(got, want, "{range:?} of {from} and {to}");
        }
    }

    #[test]
    fn neighbours_are_compared_in_one_go() {
        const MIB: u64 = 1 << 20;
        let ranges = [
            0..MIB,
            MIB..2 * MIB,
            // A gap, and more than is compared at a time.
            3 * MIB..10 * MIB,
            10 * MIB..20 * MIB,
            20 * MIB..90 * MIB,
        ];
        let lengths: Vec<_> = runs(&ranges).iter().map(|run| run.len()).collect();
        assert_eq!(lengths, [2, 1, 1, 1]);
        assert!(runs(&[]).is_empty());
    }
}
