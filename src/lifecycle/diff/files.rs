//! The differences of the files of two environments.
//!
//! Two environments with a common origin are compared by the files that each has written since; others completely. Differences of
//! identity are marked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::boot::data::is_addition;
use crate::boot::fstab::OWN_OPTION;
use crate::boot::identity::{HOSTNAME, HOSTS, RESET};
use crate::boot::{normalize, report};
use crate::btrfs::compare::{self, Aspect, Change, How};
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::lifecycle::parting::Known;
use crate::pool::{Environment, Pool};

/// The fstab in the root half.
pub(super) const FSTAB: &str = "etc/fstab";

/// The differences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The files that differ, sorted by the path that the node sees.
    pub changes: Vec<Changed>,
    /// The paths that could not be read without permission, as the node sees them.
    pub unread: Vec<PathBuf>,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path as the node sees it.
    pub path: PathBuf,
    /// Whether it is in the boot half.
    pub in_boot: bool,
    /// The difference.
    pub change: Change,
    /// Whether it is a difference of identity of machine or environment.
    pub identity: bool,
}

/// Compares all files of two environments.
pub(super) fn between(pool: &Pool, from: &Environment, to: &Environment) -> Result<Files> {
    let mut files = Files::default();
    for env in [from, to] {
        ensure!(
            !env.is_image(),
            "{env} is a disk image, whose files are not compared"
        );
    }
    // Dirty data is not in the trees yet.
    subvolume::sync(pool.root())?;
    // Data of both nodes is left out: it is the same in every environment that they boot.
    let data = [pool.node(&from.node)?, pool.node(&to.node)?].map(|node| node.record.data);
    let mut known = Known::new(pool);
    let halves = [
        (from.root(), to.root(), false, PathBuf::from("/")),
        (
            from.boot(),
            to.boot(),
            true,
            Path::new("/").join(to.boot_mount()),
        ),
    ];
    for (before, after, in_boot, place) in halves {
        let how = how(&mut known, &before, &after)?;
        let what = || format!("comparing the files of {from} and {to}");
        let compared = match compare::between(&before, &after, how) {
            // Root, but not over this filesystem: in a container.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                compare::between(&before, &after, How::Files)
            }
            compared => compared,
        };
        let compared = compared.with_context(what)?;
        let judge = Judge::new(from, to, &before, &after, in_boot)?;
        for change in compared.changes {
            if !in_boot && data.iter().all(|data| data.is_mounted(&change.path)) {
                continue;
            }
            files.changes.push(Changed {
                path: place.join(&change.path),
                in_boot,
                identity: judge.is_identity(&change),
                change,
            });
        }
        let unread = compared.unread.keys();
        files.unread.extend(unread.map(|path| place.join(path)));
    }
    files.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Returns how much of two subvolumes has to be compared.
fn how(known: &mut Known<'_>, before: &Path, after: &Path) -> Result<How> {
    // An error is reported by the comparison itself.
    let (Ok(before), Ok(after)) = (subvolume::info(before), subvolume::info(after)) else {
        return Ok(How::Files);
    };
    let parted = known.parted(before, after)?;
    Ok(parted.map_or(How::All, |parted| How::Since(parted.transaction)))
}

/// Recognises differences of identity.
#[derive(Debug)]
pub(in crate::lifecycle) struct Judge {
    trees: [Tree; 2],
    in_boot: bool,
    /// Whether they are of two nodes.
    two_nodes: bool,
    /// Files of the boot half that contain only boot settings, and the environment's identity.
    same_texts: Vec<String>,
}

impl Judge {
    pub(in crate::lifecycle) fn new(
        from: &Environment,
        to: &Environment,
        before: &Path,
        after: &Path,
        in_boot: bool,
    ) -> Result<Self> {
        let trees = [Tree::open(before)?, Tree::open(after)?];
        let mut same_texts = Vec::new();
        if in_boot {
            // A file that cannot be read counts as a difference.
            let texts = |tree| {
                let mut all = normalize::settings(tree).unwrap_or_default();
                all.extend(normalize::cmdlines(tree).unwrap_or_default());
                all
            };
            let (old, new) = (texts(&trees[0]), texts(&trees[1]));
            let rest = |all: &[(String, normalize::Separated)], file: &str| -> Vec<String> {
                let these = all.iter().filter(|(name, _)| name == file);
                these.map(|(_, parted)| parted.rest.clone()).collect()
            };
            let files = new.iter().map(|(file, _)| file.clone());
            same_texts = files.filter(|f| rest(&old, f) == rest(&new, f)).collect();
        }
        Ok(Self {
            trees,
            in_boot,
            two_nodes: from.node != to.node,
            same_texts,
        })
    }

    /// Returns whether a change is a difference of identity of machine or environment.
    pub(in crate::lifecycle) fn is_identity(&self, change: &Change) -> bool {
        let Some(path) = change.path.to_str() else {
            return false;
        };
        let only_content = change.aspects == [Aspect::Content];
        if self.in_boot {
            return (self.two_nodes && RESET.is_of_in_boot(path))
                || (only_content && self.same_texts.iter().any(|text| text == path));
        }
        match path {
            FSTAB => {
                only_content
                    && self.same(FSTAB, |old, new| {
                        // A file without netbe's line was not made by netbe.
                        let is_made = |text: &str| text.contains(OWN_OPTION);
                        is_made(old)
                            && is_made(new)
                            && normalize::split_fstab(old).rest == normalize::split_fstab(new).rest
                    })
            }
            HOSTS => self.two_nodes && only_content && self.same_hosts(),
            report::FILE => true,
            // In roots that machines do not write to, the unit names the environment.
            report::UNIT => {
                only_content
                    && self.same(report::UNIT, |old, new| {
                        report::is_own(old) && report::is_own(new)
                    })
            }
            path if is_addition(path) => true,
            _ => self.two_nodes && RESET.is_of(path),
        }
    }

    fn same(&self, path: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        let read = |tree: &Tree| tree.read_text(path).ok().flatten();
        match (read(&self.trees[0]), read(&self.trees[1])) {
            (Some(old), Some(new)) => same(&old, &new),
            _ => false,
        }
    }

    fn same_hosts(&self) -> bool {
        let name = |tree: &Tree| tree.read_text(HOSTNAME).ok().flatten().unwrap_or_default();
        let (old, new) = (name(&self.trees[0]), name(&self.trees[1]));
        self.same(HOSTS, |before, after| {
            normalize::same_hosts(before, &old, after, &new)
        })
    }
}
