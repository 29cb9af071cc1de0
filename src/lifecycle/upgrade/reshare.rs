//! Sharing again what a run wrote anew though it is the same as in the origin.
//!
//! A package manager that installs a version once more, or a script that writes every file it looks after, leaves
//! files that say what the origin's say and take their space a second time. Only files the run wrote into are
//! read, and compared with what the origin has under the same path. Promises that the content of neither changes
//! (the kernel compares before it shares), and that nothing is reached outside the two environments.

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
            "unchanged files do not share their extents with {source}: {why}"
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
    fn only_what_the_run_wrote_counts() {
        let before = HashMap::from([(1, 10), (2, 20), (3, 40)]);
        let after = HashMap::from([(2, 20), (9, 1000)]);
        assert_eq!(still_there(&before, &after), 20);
    }
}
