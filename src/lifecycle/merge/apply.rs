//! Applies the changes that a merge takes to a copy of TO.
//!
//! Removes first, the deepest path first; then puts, parents first. An entry whose path is blocked by another type of entry
//! of TO is put beside that, and is a conflict.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::find::{Conflict, Found, Half};
use crate::fs::graft::{Graft, Put};
use crate::fs::rooted::Tree;
use crate::fs::shown_path::shortened;
use crate::merge::decide::Conflicts;
use crate::pool::Environment;

/// The longest file name, in bytes.
const NAME_MAX: usize = 255;

/// Returns the path beside another one at which FROM's version is put.
pub(super) fn beside(path: &Path, from: &Environment) -> PathBuf {
    let suffix = format!(".netbe-{}", from.name);
    let name = path.file_name().unwrap_or(OsStr::new("top")).as_bytes();
    let length = name.len().min(NAME_MAX - suffix.len());
    let name = [&name[..length], suffix.as_bytes()].concat();
    path.with_file_name(OsString::from_vec(name))
}

/// The changes of one half, while they are applied.
struct Work<'a> {
    from: &'a Environment,
    place: &'a Path,
    conflicts: Conflicts,
    graft: Graft,
    /// Moved subtrees: their path, and the path at which they are put instead; `None` if only TO's version is to stay.
    moved: Vec<(PathBuf, Option<PathBuf>)>,
    blocked: Vec<Conflict>,
}

/// Applies the changes to the halves of a copy of TO; returns conflicts at blocked paths, and files that lost chattr(1) flags.
pub(super) fn apply(
    found: &Found,
    from: &Environment,
    conflicts: Conflicts,
    from_halves: &[PathBuf; 2],
    to_halves: &[PathBuf; 2],
    places: &[PathBuf; 2],
) -> Result<(Vec<Conflict>, Vec<PathBuf>)> {
    let (mut blocked, mut without_flags) = (Vec::new(), Vec::new());
    for (number, half) in found.halves.iter().enumerate() {
        let graft = Graft::new(&from_halves[number], Path::new(""), &to_halves[number])?;
        let (in_the_way, lost) = put(half, graft, from, conflicts, &places[number])?;
        accounts(half, &to_halves[number])?;
        blocked.extend(in_the_way);
        without_flags.extend(lost);
    }
    Ok((blocked, without_flags))
}

/// Applies the changes to one tree, without the files of accounts; `place` is its path on the node. Returns as [`apply`].
pub(super) fn put(
    half: &Half,
    graft: Graft,
    from: &Environment,
    conflicts: Conflicts,
    place: &Path,
) -> Result<(Vec<Conflict>, Vec<PathBuf>)> {
    let mut work = Work {
        from,
        place,
        conflicts,
        graft,
        moved: Vec::new(),
        blocked: Vec::new(),
    };
    work.half(half)?;
    let lost = work.graft.finish()?;
    let lost = lost.into_iter().map(|path| place.join(path));
    Ok((work.blocked, lost.collect()))
}

impl Work<'_> {
    fn half(&mut self, half: &Half) -> Result<()> {
        for path in half.remove.iter().rev() {
            // A directory that has entries of TO in it stays.
            self.graft.remove(path)?;
        }
        for path in &half.put {
            self.put(path)?;
        }
        for path in &half.beside {
            let at = beside(path, self.from);
            if let Put::Blocked(_) = self.graft.put(path, &self.mapped(&at).unwrap_or(at))? {
                self.blocked.push(Conflict {
                    path: self.place.join(path),
                    why: "there is no place for FROM's beside it".to_string(),
                    beside: None,
                });
            }
        }
        Ok(())
    }

    /// Returns the path at which an entry is put; `None` if it is not.
    fn mapped(&self, path: &Path) -> Option<PathBuf> {
        let moved = self.moved.iter().rev().find_map(|(prefix, to)| {
            let rest = path.strip_prefix(prefix).ok()?;
            Some(to.as_ref().map(|to| match rest.as_os_str().is_empty() {
                true => to.clone(),
                false => to.join(rest),
            }))
        });
        moved.unwrap_or_else(|| Some(path.to_path_buf()))
    }

    fn put(&mut self, path: &Path) -> Result<()> {
        let Some(at) = self.mapped(path) else {
            return Ok(());
        };
        let Put::Blocked(blocked) = self.graft.put(path, &at)? else {
            return Ok(());
        };
        let instead = (self.conflicts != Conflicts::Ours).then(|| beside(&blocked, self.from));
        self.blocked.push(Conflict {
            path: self.place.join(&blocked),
            why: "a directory in one, and something else in the other".to_string(),
            beside: instead.as_ref().map(|at| self.place.join(at)),
        });
        self.moved.push((blocked, instead));
        if let Some(at) = self.mapped(path)
            && self.graft.put(path, &at)? != Put::Done
        {
            anyhow::bail!("'{}' cannot be put anywhere", shortened(path));
        }
        Ok(())
    }
}

fn accounts(half: &Half, to: &Path) -> Result<()> {
    let tree = Tree::open(to)?;
    for (path, text) in &half.accounts {
        tree.write(path, text.as_bytes())
            .with_context(|| format!("merging /{path}"))?;
    }
    Ok(())
}

/// Returns the note about files that lost attributes.
pub(super) fn lost_flags(paths: &[PathBuf]) -> Option<String> {
    let first: &Path = paths.first()?;
    Some(format!(
        "{} files lost attributes of chattr(1), {} first",
        paths.len(),
        first.display()
    ))
}
