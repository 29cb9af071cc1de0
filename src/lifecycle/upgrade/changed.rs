//! Whether a run changed anything, and what it left undone: judged by what is on disk, and by what was said.
//!
//! A table of versions does not tell: a package that is configured at last, or built anew, has the version it had. The
//! copy is compared with what it was before the run, not with its source, which may be running and writes on. Promises
//! that what does not count is on the list of [`left_out`]. Not for how packages differ.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::program;
use crate::btrfs::compare::{self, Change, How, Kind};
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::fs::shown_path::shortened;
use crate::lifecycle::staged::StagedEnvironment;
use crate::packages::left_out::{is_left_out, leads_to_left_out};
use crate::packages::{Step, kept_back};
use crate::pool::stage::Staged;
use crate::pool::{Node, layout};

/// How many files, or packages, are named one by one.
const TOLD: usize = 12;

/// How much of what a step said is searched for packages that were kept back, in bytes.
const SAID: u64 = 4 << 20;

/// How many packages that were kept back are counted.
const KEPT_BACK: usize = 10_000;

/// Both halves as they were before a run; gone when dropped.
pub(super) struct Before(Staged);

impl Before {
    /// Keeps the halves of a stage as they are.
    pub(super) fn keep(node: &Node, staged: &StagedEnvironment, name: &str) -> Result<Self> {
        let kept = Self(Staged::new(&node.dir, name)?);
        for (from, half) in [(staged.root(), layout::ROOT), (staged.boot(), layout::BOOT)] {
            subvolume::snapshot_read_only(&from, &kept.half(half))
                .context("keeping what the copy was before")?;
        }
        Ok(kept)
    }

    fn half(&self, half: &str) -> PathBuf {
        self.0.path().join(half)
    }

    /// Returns which files of a stage differ now, as its programs see them, sorted; without those that do not count.
    pub(super) fn changed(
        &self,
        staged: &StagedEnvironment,
        boot_mount: &str,
    ) -> Result<Vec<PathBuf>> {
        // What waits in memory is in no tree yet.
        subvolume::sync(staged.dir())?;
        let boot_mount = Path::new(boot_mount.trim_start_matches('/'));
        let root = differences(&self.half(layout::ROOT), &staged.root())?;
        let boot = differences(&self.half(layout::BOOT), &staged.boot())?;
        let top = Path::new("/");
        let mut all: Vec<PathBuf> = root
            .iter()
            .filter(|change| counts(change, boot_mount))
            .map(|change| top.join(&change.path))
            .collect();
        let boot = boot.iter();
        all.extend(boot.map(|change| top.join(boot_mount).join(&change.path)));
        all.sort();
        Ok(all)
    }
}

/// Returns how a half differs from what it was.
fn differences(before: &Path, after: &Path) -> Result<Vec<Change>> {
    let what = || format!("looking what changed in {}", after.display());
    let made = subvolume::info(before).with_context(what)?.made;
    let compared = match compare::between(before, after, How::Since(made)) {
        // Root, but not over this filesystem: in a container.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            compare::between(before, after, How::Files)
        }
        compared => compared,
    };
    let compared = compared.with_context(what)?;
    let mut changes = compared.changes;
    // Where nothing can be read something may have changed.
    changes.extend(compared.unread.into_iter().map(|path| Change {
        path,
        before: None,
        after: None,
        aspects: Vec::new(),
    }));
    Ok(changes)
}

/// Returns whether a change of the root half is one that an upgrade is kept for.
fn counts(change: &Change, boot_mount: &Path) -> bool {
    // Directories that were made for what does not count, or to mount the boot half on.
    let only_leads_there = change.before.is_none()
        && change
            .after
            .as_ref()
            .is_some_and(|node| node.kind == Kind::Directory)
        && (leads_to_left_out(&change.path) || boot_mount.starts_with(&change.path));
    !only_leads_there && !is_left_out(&change.path)
}

/// Returns where modules for this server's kernel would lie in a root half, where there are any.
///
/// No machine boots it by that: a build that asked `uname -r`, past netbe's answer, put them there.
pub(super) fn servers_modules(root: &Path) -> Option<String> {
    let release = nix::sys::utsname::uname().ok()?;
    let path = format!("lib/modules/{}", release.release().to_str()?);
    let tree = Tree::open(root).ok()?;
    tree.metadata(&path).ok()??;
    Some(format!("/{path}"))
}

/// Returns the sentence about what changed where no package did.
pub(super) fn files_alone(changed: &[PathBuf]) -> String {
    let paths: Vec<String> = changed.iter().map(|path| shortened(path)).collect();
    format!(
        "no package has another version; what the run changed: {}",
        some(&paths)
    )
}

/// Returns what a step leaves a person to know, a sentence each, by its status and what it said from a place of the log.
pub(super) fn told(step: &Step, status: i32, log: &File, from: u64) -> Vec<String> {
    let mut told: Vec<String> = step.asks(status).map(str::to_string).into_iter().collect();
    let said = program::from(log, from, SAID).unwrap_or_default();
    let kept = kept_back(&said, KEPT_BACK);
    if !kept.is_empty() {
        told.push(format!(
            "there are newer packages that were kept back: {}",
            some(&kept)
        ));
    }
    told
}

/// Names the first of many.
fn some(names: &[String]) -> String {
    let first = names[..names.len().min(TOLD)].join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, before: Option<Kind>, after: Option<Kind>) -> Change {
        let node = |kind: Option<Kind>| kind.map(compare::Node::of);
        Change {
            path: path.into(),
            before: node(before),
            after: node(after),
            aspects: Vec::new(),
        }
    }

    #[test]
    fn directories_that_lead_to_caches_alone_do_not_count() {
        let (directory, file) = (Some(Kind::Directory), Some(Kind::File));
        let boot = Path::new("boot/firmware");
        for (path, before, after, want) in [
            ("etc/half.done", None, file, true),
            ("etc/half.done", file, None, true),
            ("var/lib/dpkg/status", file, file, true),
            ("var/lib/dpkg/status-old", file, file, false),
            ("var/lib/apt", None, directory, false),
            ("var/lib/apt", directory, None, true),
            ("boot/firmware", None, directory, false),
            ("boot/grub", None, directory, true),
            ("sys", None, directory, false),
        ] {
            assert_eq!(counts(&change(path, before, after), boot), want, "{path}");
        }
    }

    #[test]
    fn of_many_the_first_are_named() {
        let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(some(&names[..2]), "0, 1");
        assert!(some(&names).ends_with("11 and 8 more"));
    }
}
