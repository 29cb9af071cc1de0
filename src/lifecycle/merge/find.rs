//! Finds the changes that a merge takes from FROM, the paths that stay as in TO, and the conflicts.
//!
//! Reads both trees, and writes nothing. The rules are those of [`crate::merge`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::btrfs::compare::{self, Change, Compared, How, Kind};
use crate::fs::rooted::Tree;
use crate::lifecycle::diff::files::{Changed as Listed, Judge};
use crate::lifecycle::left_behind::places::is_passing;
use crate::lifecycle::unread::refuse_unread;
use crate::merge::decide::{self, Changed, Conflicts, Side, is_asked_for};
use crate::merge::texts::{self, is_of_accounts};
use crate::packages::owned::Owners;
use crate::pool::Environment;
use crate::pool::data::DataPath;
use crate::pool::origin_texts::Texts;
use crate::staged::origin_texts;

/// The two sides of a merge, and how they are compared.
#[derive(Debug)]
pub(super) struct Sides<'a> {
    /// The environments.
    pub(super) from: &'a Environment,
    pub(super) to: &'a Environment,
    /// Their halves, root first: their own, or copies of them.
    pub(super) from_halves: [PathBuf; 2],
    pub(super) to_halves: [PathBuf; 2],
    /// Which changes of FROM count, for each half.
    pub(super) since: [Since; 2],
    /// The texts of the common state.
    pub(super) base: Option<Texts>,
    /// The node's data, which is in no environment.
    pub(super) data: Vec<DataPath>,
    /// The requested paths, absolute as the node sees them; all if empty.
    pub(super) paths: &'a [PathBuf],
    /// Which side conflicts are taken from.
    pub(super) conflicts: Conflicts,
}

/// How the changes of FROM are found.
#[derive(Debug, Clone)]
pub(super) enum Since {
    /// By transactions, compared with TO.
    Parting(How),
    /// By transactions, compared with the half of a common ancestor; TO's half is compared with that by content.
    Base(How, PathBuf),
}

/// The found changes.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// For each half, root first.
    pub(super) halves: [Half; 2],
    /// The changes taken from FROM, for display.
    pub(super) taken: Vec<Listed>,
    /// The conflicts: paths that both changed.
    pub(super) conflicts: Vec<Conflict>,
    /// Files that FROM changed, and that stay as in the packages of TO.
    pub(super) of_packages: Vec<PathBuf>,
    /// For each path of the node's data at which FROM wrote in its own tree: the changes that go into the data.
    pub(super) in_data: Vec<(DataPath, Half)>,
    /// Files whose paths are too long to be read.
    pub(super) unread: Vec<PathBuf>,
}

/// The changes of a half, with paths relative to it.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Entries that come from FROM.
    pub(super) put: BTreeSet<PathBuf>,
    /// Entries that are removed.
    pub(super) remove: BTreeSet<PathBuf>,
    /// Entries of FROM that are put beside TO's.
    pub(super) beside: BTreeSet<PathBuf>,
    /// Files of accounts with their new texts.
    pub(super) accounts: Vec<(String, String)>,
}

/// The conflicts: paths that both changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path, as the node sees it.
    pub path: PathBuf,
    /// What each side did.
    pub why: String,
    /// The path of FROM's version, if it is kept.
    pub beside: Option<PathBuf>,
}

impl Sides<'_> {
    /// Returns the place of a half in the system.
    pub(super) fn place(&self, in_boot: bool) -> PathBuf {
        match in_boot {
            true => Path::new("/").join(self.to.boot_mount()),
            false => PathBuf::from("/"),
        }
    }

    /// Compares the sides.
    pub(super) fn find(&self) -> Result<Found> {
        let trees = |halves: &[PathBuf; 2]| -> Result<[Tree; 2]> {
            Ok([Tree::open(&halves[0])?, Tree::open(&halves[1])?])
        };
        let (from, to) = (trees(&self.from_halves)?, trees(&self.to_halves)?);
        let (from_texts, to_texts) = (
            origin_texts::read(&from[0], &from[1]),
            origin_texts::read(&to[0], &to[1]),
        );
        let mut found = Found::default();
        for in_boot in [false, true] {
            let text_of = |texts: &Texts| match in_boot {
                true => texts.boot.clone(),
                false => texts.root.clone(),
            };
            let (ours, theirs) = (text_of(&to_texts), text_of(&from_texts));
            let base = self.base.as_ref().map(text_of);
            let verdicts = texts::verdicts(base.as_ref(), &theirs, &ours);
            let by_content = |path: &Path| {
                path.to_str().is_some_and(|path| {
                    verdicts.contains_key(path)
                        || (is_of_accounts(path)
                            && ours.contains_key(path)
                            && theirs.contains_key(path))
                })
            };
            self.by_transactions(in_boot, [&from[0], &to[0]], &by_content, &mut found)?;
            let paths = ours.keys().map(PathBuf::from).collect();
            let half = usize::from(in_boot);
            let differing = compare::at(&self.from_halves[half], &self.to_halves[half], &paths)?;
            for change in differing.changes {
                let verdict = change.path.to_str().and_then(|path| verdicts.get(path));
                match verdict {
                    Some(verdict) => self.by_verdict(in_boot, change, *verdict, &mut found),
                    None => self.accounts(base.as_ref(), &theirs, &ours, change, &mut found),
                }
            }
        }
        found.taken.sort_by(|a, b| a.path.cmp(&b.path));
        found.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn by_transactions(
        &self,
        in_boot: bool,
        roots: [&Tree; 2],
        by_content: &dyn Fn(&Path) -> bool,
        found: &mut Found,
    ) -> Result<()> {
        let what = || format!("comparing {} with {}", self.from, self.to);
        let half = usize::from(in_boot);
        let (old, new) = (&self.from_halves[half], &self.to_halves[half]);
        let Compared {
            changes,
            of_both,
            unread,
            ..
        } = self.changes(half).with_context(what)?;
        refuse_unread(&unread).with_context(what)?;
        let place = self.place(in_boot);
        let judge = Judge::new(self.from, self.to, old, new, in_boot).with_context(what)?;
        let in_root = |path: &Path| place.join(path);
        let wanted: Vec<String> = changes
            .iter()
            .filter_map(|c| {
                Some(
                    in_root(&c.path)
                        .strip_prefix("/")
                        .ok()?
                        .to_str()?
                        .to_string(),
                )
            })
            .collect();
        let owners = Owners::new(wanted.iter().map(String::as_str));
        let read = |owners: Owners, tree| owners.read(tree).with_context(what);
        let owners = read(read(owners, roots[0])?, roots[1])?;
        for change in changes {
            let path = change.path.clone();
            let shown = in_root(&path);
            if by_content(&path) || !is_asked_for(&shown, self.paths) {
                continue;
            }
            // Only a merge into the data can take it.
            if self.is_data(&shown) {
                continue;
            }
            let owned = shown
                .to_str()
                .and_then(|path| owners.owned(path.trim_start_matches('/')));
            let changed = Changed {
                path: &path,
                in_boot,
                in_both: of_both.contains(&path),
                is_identity: judge.is_identity(&change),
                is_passing: !in_boot && is_passing(&path),
                owned,
            };
            match decide::side(changed, self.conflicts) {
                Side::To => {}
                Side::Packages => found.of_packages.push(shown),
                Side::From => take(found, in_boot, shown, change, changed.is_passing),
                Side::Conflict => self.conflict(found, in_boot, shown, &change),
            }
        }
        found
            .unread
            .extend(unread.into_keys().map(|path| in_root(&path)));
        Ok(())
    }

    fn is_data(&self, path: &Path) -> bool {
        let path = path.to_str();
        self.data
            .iter()
            .any(|data| path.is_some_and(|path| data.covers(path)))
    }

    /// Returns the changes of FROM that TO does not have, and which of them TO changed too.
    fn changes(&self, half: usize) -> std::io::Result<Compared> {
        let (from, to) = (&self.from_halves[half], &self.to_halves[half]);
        match &self.since[half] {
            Since::Parting(how) => compare::between(from, to, *how),
            Since::Base(how, base) => {
                let of_from = compare::between(from, base, *how)?;
                let paths: BTreeSet<PathBuf> =
                    of_from.changes.into_iter().map(|c| c.path).collect();
                let mut differing = compare::at(from, to, &paths)?;
                let of_to = compare::at(base, to, &paths)?;
                differing.of_both = of_to.changes.into_iter().map(|c| c.path).collect();
                differing.unread.extend(of_from.unread);
                differing.unread.extend(of_to.unread);
                Ok(differing)
            }
        }
    }

    pub(super) fn conflict(
        &self,
        found: &mut Found,
        in_boot: bool,
        shown: PathBuf,
        change: &Change,
    ) {
        let half = &mut found.halves[usize::from(in_boot)];
        let conflict = half.conflict(self.from, self.conflicts, shown, change);
        found.conflicts.push(conflict);
    }
}

impl Half {
    /// Records a conflict: TO's version stays, and FROM's is put beside it, if requested.
    pub(super) fn conflict(
        &mut self,
        from: &Environment,
        conflicts: Conflicts,
        shown: PathBuf,
        change: &Change,
    ) -> Conflict {
        let is_directory =
            |node: &Option<compare::Node>| node.as_ref().is_some_and(|n| n.kind == Kind::Directory);
        let why = match (&change.before, &change.after) {
            (None, _) => "removed in FROM, changed in TO",
            (_, None) => "changed in FROM, removed in TO",
            _ if is_directory(&change.before) && is_directory(&change.after) => {
                "other permissions or owner in both"
            }
            _ => "changed in both",
        };
        // Directories conflict only in attributes, which need no second directory.
        let has_beside = change.before.is_some()
            && !(is_directory(&change.before) && is_directory(&change.after));
        let beside = (has_beside && conflicts == Conflicts::Beside).then(|| {
            self.beside.insert(change.path.clone());
            super::beside(&shown, from)
        });
        Conflict {
            path: shown,
            why: why.to_string(),
            beside,
        }
    }

    /// Records that a path is taken from FROM.
    pub(super) fn take(&mut self, change: &Change) {
        match change.before.is_some() {
            true => self.put.insert(change.path.clone()),
            false => self.remove.insert(change.path.clone()),
        };
    }

    /// Returns whether there is no change.
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty()
            && self.remove.is_empty()
            && self.beside.is_empty()
            && self.accounts.is_empty()
    }
}

/// Records that a path is taken from FROM.
pub(super) fn take(
    found: &mut Found,
    in_boot: bool,
    shown: PathBuf,
    change: Change,
    is_passing: bool,
) {
    found.halves[usize::from(in_boot)].take(&change);
    // Caches and logs are taken too, but not listed.
    if is_passing {
        return;
    }
    found.taken.push(listed(in_boot, shown, change));
}

/// Returns a change for the list: from TO's version to FROM's.
pub(super) fn listed(in_boot: bool, path: PathBuf, change: Change) -> Listed {
    Listed {
        path,
        in_boot,
        change: Change {
            before: change.after,
            after: change.before,
            ..change
        },
        identity: false,
    }
}
