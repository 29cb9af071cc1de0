//! Determines whether a run changed anything, from the files, and which packages it kept back, from its output.
//!
//! Package versions are not enough: a package that is configured late, or rebuilt, keeps its version. The copy is
//! compared with its own state before the run, not with its source, which may be running and change. Only changes listed
//! in `left_out` are ignored. Not for comparing packages.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::program;
use crate::btrfs::compare::{self, Change, How, Kind};
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::fs::shown_path::shortened;
use crate::images::{Access, Opened};
use crate::packages::left_out::{is_left_out, leads_to_left_out};
use crate::packages::{Changes, Step, kept_back, loaders};
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, Node, layout};
use crate::staged::StagedEnvironment;

/// The maximum number of files, or packages, that are named.
const NAMED: usize = 12;

/// How much of a step's output is searched for packages that were kept back, in bytes.
const SAID: u64 = 4 << 20;

/// How many packages that were kept back are counted.
const KEPT_BACK: usize = 10_000;

/// Snapshots of both halves before a run; deleted when dropped.
pub(super) struct Before(Staged);

impl Before {
    /// Snapshots the halves of a stage.
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

    /// Returns the files of a stage that differ now, by their paths in the system, sorted; without the ignored ones.
    pub(super) fn changed(
        &self,
        staged: &StagedEnvironment,
        record: &EnvRecord,
    ) -> Result<Vec<PathBuf>> {
        // Dirty data is not in the trees yet.
        subvolume::sync(staged.dir())?;
        let boot_mount = Path::new(record.boot_mount.trim_start_matches('/'));
        let (before, after) = (self.half(layout::ROOT), staged.root());
        let root = match record.image {
            Some(_) => differences_of_images(&before, &after)?,
            None => differences(&before, &after)?,
        };
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

/// Compares the files of two disk images.
fn differences_of_images(before: &Path, after: &Path) -> Result<Vec<Change>> {
    let _files = [
        Opened::over(before, Access::Read)?,
        Opened::over(after, Access::Read)?,
    ];
    let what = || format!("looking what changed in {}", after.display());
    let compared = compare::between(before, after, How::Files).with_context(what)?;
    Ok(compared.changes)
}

/// Compares a half with its snapshot.
pub(in crate::lifecycle) fn differences(before: &Path, after: &Path) -> Result<Vec<Change>> {
    let what = || format!("looking what changed in {}", after.display());
    let made = subvolume::info(before).with_context(what)?.made;
    let compared = match compare::between(before, after, How::Since(made)) {
        // In a container: root, without privileges on this filesystem.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            compare::between(before, after, How::Files)
        }
        compared => compared,
    };
    let compared = compared.with_context(what)?;
    let mut changes = compared.changes;
    // What cannot be read may have changed.
    changes.extend(compared.unread.into_keys().map(|path| Change {
        path,
        before: None,
        after: None,
        aspects: Vec::new(),
    }));
    Ok(changes)
}

/// Returns whether a change of the root half is a reason to keep an upgrade.
fn counts(change: &Change, boot_mount: &Path) -> bool {
    // Parent directories of ignored files, and of the mount point of the boot half.
    let only_leads_there = change.before.is_none()
        && change
            .after
            .as_ref()
            .is_some_and(|node| node.kind == Kind::Directory)
        && (leads_to_left_out(&change.path) || boot_mount.starts_with(&change.path));
    !only_leads_there && !is_left_out(&change.path)
}

/// Returns the directory of modules for this server's kernel in a root half, if it exists.
///
/// No machine boots with them: a build that used the real `uname -r`, not netbe's, installed them.
pub(super) fn servers_modules(root: &Path) -> Option<String> {
    let release = nix::sys::utsname::uname().ok()?;
    let path = format!("lib/modules/{}", release.release().to_str()?);
    let tree = Tree::open(root).ok()?;
    tree.metadata(&path).ok()??;
    Some(format!("/{path}"))
}

/// Returns the note about changed files if no package changed.
pub(super) fn files_alone(changed: &[PathBuf]) -> String {
    let paths: Vec<String> = changed.iter().map(|path| shortened(path)).collect();
    format!(
        "no package has another version; what the run changed: {}",
        some(&paths)
    )
}

/// Returns the notes about upgraded packages of this machine's loader, whose installed files outside the copy stay old.
pub(super) fn left_outside(node: &Node, changes: Option<&Changes>, env: &EnvId) -> Vec<String> {
    let of_this_machine = changes.filter(|_| node.is_this_machine);
    of_this_machine.map_or(Vec::new(), |changes| {
        loaders::notes(changes, &env.to_string())
    })
}

/// Returns the notes about a step, a sentence each, by its status and its output from an offset of the log.
pub(super) fn notes_of(step: &Step, status: i32, log: &File, from: u64) -> Vec<String> {
    let mut notes: Vec<String> = step.asks(status).map(str::to_string).into_iter().collect();
    let output = program::from(log, from, SAID).unwrap_or_default();
    let names = kept_back(&output, KEPT_BACK);
    if !names.is_empty() {
        notes.push(format!(
            "there are newer packages that were kept back: {}",
            some(&names)
        ));
    }
    notes
}

/// Returns a list of the first names, and the number of the others.
fn some(names: &[String]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
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
