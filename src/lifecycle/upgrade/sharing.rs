//! Sharing again what a run wrote anew though it is the same as in the origin.
//!
//! A package manager that installs a version once more, or a script that writes every file it looks after, leaves
//! files that say what the origin's say and take their space a second time. Only files the run wrote into are
//! read, and compared with what the origin has under the same path. Promises that the content of neither changes
//! (the kernel compares before it shares), and that nothing is reached outside the two environments.
//!
//! What takes space is an extent, and it takes all of it as long as any file refers to any part of it. So extents are
//! compared whole: sharing half of one would win nothing, and cost a fragment.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::pool::record::Shared;
use crate::pool::{Environment, layout};
use crate::storage::beneath::Tree;
use crate::storage::dedupe::{self, Answer};
use crate::storage::written::{NewData, Paths, Written};
use crate::storage::{btrfs, interrupt};

/// How much is compared at a time where extents lie side by side, in bytes: one call for many small ones.
const RUN: u64 = 16 << 20;

/// Shares what was written into a stage and is the same in the source the stage is a snapshot of.
///
/// Returns what that came to, where it is known, and warnings, a sentence each: an upgrade that costs more space than it
/// need is still one.
///
/// # Errors
/// When netbe was asked to stop.
pub(super) fn share_again(
    source: &Environment,
    stage: &Path,
) -> Result<(Option<Shared>, Vec<String>)> {
    let shared = share_halves(source, stage);
    interrupt::check()?;
    let warning = |why: String| {
        vec![format!(
            "what is still the same as in {source} takes its space once more: {why}"
        )]
    };
    Ok(match shared {
        Ok((shared, None)) => (Some(shared), Vec::new()),
        Ok((shared, Some(why))) => (Some(shared), warning(format!("{why:#}"))),
        Err(why) => (None, warning(format!("{why:#}"))),
    })
}

/// Returns what was shared, and the first file's trouble.
fn share_halves(source: &Environment, stage: &Path) -> Result<(Shared, Option<anyhow::Error>)> {
    // What waits in memory is in no tree yet.
    btrfs::sync(stage)?;
    let halves = [
        (source.root(), stage.join(layout::ROOT)),
        (source.boot(), stage.join(layout::BOOT)),
    ];
    let mut shared = Shared::default();
    let mut trouble = None;
    for (origin, copy) in &halves {
        let made = btrfs::info(copy)?.made;
        let half = Half::open(origin, copy)?;
        let before = Written::after(&half.top, made)?;
        let mut paths = Paths::new(&half.top);
        for file in &before.files {
            interrupt::check()?;
            let result = half.share(file, &mut paths);
            trouble = trouble.or(result.err());
        }
        let after = Written::after(&half.top, made)?;
        let left = still_there(&before.extents, &after.extents);
        shared.changed += left;
        shared.shared_again += before.bytes() - left;
    }
    Ok((shared, trouble))
}

/// Returns how many bytes on disk the extents of the first take that are in the second, too.
///
/// Others in the second are not the run's: what the origin wrote meanwhile is as new, and may be shared now.
fn still_there(before: &HashMap<u64, u64>, after: &HashMap<u64, u64>) -> u64 {
    before
        .iter()
        .filter(|(start, _)| after.contains_key(start))
        .map(|(_, length)| length)
        .sum()
}

/// One half of the stage, and the same half of its origin.
struct Half {
    origin: Tree,
    copy: Tree,
    /// The top of the copy, open.
    top: File,
}

impl Half {
    fn open(origin: &Path, copy: &Path) -> Result<Self> {
        let (origin, copy) = (Tree::open(origin)?, Tree::open(copy)?);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let top = File::from(copy.open_at("", flags, Mode::empty())?);
        Ok(Self { origin, copy, top })
    }

    /// Shares what is new in one file with the origin's file of the same path.
    fn share(&self, new: &NewData, paths: &mut Paths<'_>) -> Result<()> {
        // Of several names one may lead to another file in the origin.
        for path in paths.of(new.inode)? {
            let (Some(origin), Some(copy)) =
                (self.origin.plain_file(&path)?, self.copy.plain_file(&path)?)
            else {
                continue;
            };
            if copy.metadata()?.ino() == new.inode
                && share_file(&origin, &copy, &new.ranges)
                    .with_context(|| format!("comparing {}", path.display()))?
            {
                break;
            }
        }
        Ok(())
    }
}

/// Shares the ranges that are the same in both files; returns whether all were.
fn share_file(origin: &File, copy: &File, ranges: &[Range<u64>]) -> io::Result<bool> {
    let (from, to) = (origin.metadata()?, copy.metadata()?);
    let fitting: Vec<Range<u64>> = ranges
        .iter()
        .filter_map(|range| fit(range, from.len(), to.len(), to.blksize()))
        .collect();
    let mut all = fitting.len() == ranges.len();
    for run in runs(&fitting) {
        let whole = run[0].start..run[run.len() - 1].end;
        match dedupe::share(origin, copy, whole)? {
            Answer::Same => {}
            Answer::Unfit => return Ok(false),
            Answer::Differs if run.len() == 1 => all = false,
            Answer::Differs => {
                for range in run {
                    all &= dedupe::share(origin, copy, range.clone())? == Answer::Same;
                }
            }
        }
    }
    Ok(all)
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

    #[test]
    fn only_what_the_run_wrote_counts() {
        let before = HashMap::from([(1, 10), (2, 20), (3, 40)]);
        let after = HashMap::from([(2, 20), (9, 1000)]);
        assert_eq!(still_there(&before, &after), 20);
    }
}
