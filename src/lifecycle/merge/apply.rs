//! Puts what a merge takes into a copy of TO.
//!
//! Removes first, the deepest first; then puts, parents first. What cannot stand at its path, since TO has something else
//! there, is put beside it, and is a conflict.

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

/// Returns the path beside another at which FROM's stands.
pub(super) fn beside(path: &Path, from: &Environment) -> PathBuf {
    let suffix = format!(".netbe-{}", from.name);
    let name = path.file_name().unwrap_or(OsStr::new("top")).as_bytes();
    let kept = name.len().min(NAME_MAX - suffix.len());
    let name = [&name[..kept], suffix.as_bytes()].concat();
    path.with_file_name(OsString::from_vec(name))
}

/// What is put into one half.
struct Work<'a> {
    from: &'a Environment,
    place: &'a Path,
    conflicts: Conflicts,
    graft: Graft,
    /// Paths with all beneath them, and where they are put instead; nowhere if TO's is to stay alone.
    moved: Vec<(PathBuf, Option<PathBuf>)>,
    blocked: Vec<Conflict>,
}

/// Applies what was found to the halves of a copy of TO; returns what was in the way of it, and what lost flags of chattr(1).
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

/// Puts what is taken into one tree, the files of accounts apart; `place` is where the node has it. Returns as [`apply`].
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
            // One that has something of TO's in it stays.
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

    /// Returns where a path is put, unless nowhere.
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
