//! Shares extents again for files that a run rewrote with the same content as in the origin.
//!
//! A reinstalled package, or a script that rewrites all its files, leaves files with the content of the origin's that
//! take space a second time. Only files that the run wrote are read and compared with the origin's file of the same
//! path. Promises that no content changes (the kernel compares before it shares), and that nothing outside the two
//! environments is opened.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::btrfs::changed_since::{NewData, Paths, Written};
use crate::btrfs::dedupe::{self, Answer};
use crate::btrfs::subvolume;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::pool::record::Shared;
use crate::pool::{Environment, layout};

/// Shares the rewritten files of a stage with the source that it is a snapshot of.
///
/// Returns the space, if known, and warnings, a sentence each: failing to share fails no upgrade.
///
/// # Errors
/// When netbe was interrupted.
pub(super) fn share_again(
    source: &Environment,
    stage: &Path,
) -> Result<(Option<Shared>, Vec<String>)> {
    let shared = share_halves(source, stage);
    interrupt::check()?;
    let warning = |why: String| {
        vec![format!(
            "unchanged files do not share their extents with {source}: {why}"
        )]
    };
    Ok(match shared {
        Ok((shared, None)) => (Some(shared), Vec::new()),
        Ok((shared, Some(why))) => (Some(shared), warning(format!("{why:#}"))),
        Err(why) => (None, warning(format!("{why:#}"))),
    })
}

/// Returns the shared bytes, and the first failure of a file.
fn share_halves(source: &Environment, stage: &Path) -> Result<(Shared, Option<anyhow::Error>)> {
    // Dirty data is not in the trees yet.
    subvolume::sync(stage)?;
    let halves = [
        (source.root(), stage.join(layout::ROOT)),
        (source.boot(), stage.join(layout::BOOT)),
    ];
    let mut shared = Shared::default();
    let mut trouble = None;
    for (origin, copy) in &halves {
        let made = subvolume::info(copy)?.made;
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

/// Returns the bytes on disk of the extents that are in both.
///
/// The second may have extents that the run did not make: those that the origin wrote meanwhile.
fn still_there(before: &HashMap<u64, u64>, after: &HashMap<u64, u64>) -> u64 {
    before
        .iter()
        .filter(|(start, _)| after.contains_key(start))
        .map(|(_, length)| length)
        .sum()
}

/// A half of the stage, and the same half of its origin.
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

    /// Shares the new extents of a file with the origin's file of the same path.
    fn share(&self, new: &NewData, paths: &mut Paths<'_>) -> Result<()> {
        // One of several hard links may be another file in the origin.
        for path in paths.paths(new.inode)? {
            let (Some(origin), Some(copy)) =
                (self.origin.plain_file(&path)?, self.copy.plain_file(&path)?)
            else {
                continue;
            };
            if copy.metadata()?.ino() == new.inode
                && dedupe::share_extents(&origin, &copy, &new.ranges)
                    .with_context(|| format!("comparing {}", path.display()))?
                    == Answer::Same
            {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_from_before_the_run_do_not_count() {
        let before = HashMap::from([(1, 10), (2, 20), (3, 40)]);
        let after = HashMap::from([(2, 20), (9, 1000)]);
        assert_eq!(still_there(&before, &after), 20);
    }
}
