//! The steps of a dry run, and the refusals that do not wait until something is made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::run::Run;
use super::{Conflict, packages};
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::lifecycle::diff::files::Changed;
use crate::pool::Environment;

/// The number of files above which a dry run counts them by place.
const FEW: usize = 40;

/// The steps of a merge, by the present content of both environments.
pub(super) struct Steps {
    /// The steps, one line each.
    pub(super) sentences: Vec<String>,
    /// Whether they make an environment.
    pub(super) make_one: bool,
    /// Whether they leave conflicts.
    pub(super) leave_conflicts: bool,
}

impl Run<'_> {
    /// Refuses packages that could not be brought into TO, before anything is made; returns whether there are any to bring.
    pub(super) fn refuse_packages(&self) -> Result<bool> {
        if !self.request.packages {
            return Ok(false);
        }
        let to = self.to.root();
        let packages = packages::chosen(&self.base, &self.from, &to)?;
        if !packages.is_empty() {
            packages::refuse(self.pool, self.node, &Tree::open(&to)?, &packages)?;
        }
        Ok(!packages.is_empty())
    }

    /// Returns the steps of a dry run.
    pub(super) fn steps(&self) -> Result<Steps> {
        subvolume::sync(self.pool.root())?;
        let mut steps = match self.is_of_data_alone() {
            true => Steps::none(),
            false => self.steps_of_environment()?,
        };
        let data = self.search(&self.from.root()).find()?;
        let into = format!("the data of {}", self.node.name);
        let sentences = &mut steps.sentences;
        sentences.extend(taken(&self.from, &data.taken, Some(&into)));
        sentences.extend(conflicts(&self.from, &into, &data.conflicts));
        steps.leave_conflicts |= !data.conflicts.is_empty();
        Ok(steps)
    }

    fn steps_of_environment(&self) -> Result<Steps> {
        self.target().foresee(&self.to, &self.before.off_disk())?;
        let (from, to, name) = (&self.from, &self.to, self.id());
        let sides = self.sides([from.root(), from.boot()], [to.root(), to.boot()]);
        let found = sides.find().with_context(|| self.merging())?;
        let packages = packages::chosen(&self.base, from, &to.root())?;
        if found.is_empty() && (packages.is_empty() || !self.request.packages) {
            return Ok(Steps::none());
        }
        let mut sentences = vec![format!("snapshot both halves of {to} as {name}")];
        sentences.extend(taken(from, &found.taken, None));
        sentences.extend(conflicts(from, &to.to_string(), &found.conflicts));
        if self.request.packages && !packages.is_empty() {
            sentences.extend(
                packages::steps(to, &packages)?
                    .iter()
                    .map(|step| format!("run in it: {}", step.argv.join(" "))),
            );
        }
        sentences.push(format!(
            "put the boot files and fstab of {name} right, and verify it"
        ));
        Ok(Steps {
            sentences,
            make_one: true,
            leave_conflicts: !found.conflicts.is_empty(),
        })
    }
}

impl Steps {
    fn none() -> Self {
        Self {
            sentences: Vec::new(),
            make_one: false,
            leave_conflicts: false,
        }
    }
}

/// Returns the steps that take files from an environment, into the result or into the node's data.
fn taken(from: &Environment, files: &[Changed], into: Option<&str>) -> Vec<String> {
    let (to, of) = match into {
        Some(into) => (format!(" into {into}"), format!(" of {into}")),
        None => (String::new(), String::new()),
    };
    if files.len() <= FEW {
        let step = |what: &Changed| match what.change.after {
            Some(_) => format!("take {} from {from}{to}", what.path.display()),
            None => format!("remove {}{of}, as in {from}", what.path.display()),
        };
        return files.iter().map(step).collect();
    }
    let mut places: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for file in files {
        let above = file.path.parent().unwrap_or(&file.path);
        let place = above.components().take(PLACE).collect();
        *places.entry(place).or_default() += 1;
    }
    places
        .into_iter()
        .map(|(place, number)| {
            let files = if number == 1 { "file" } else { "files" };
            format!(
                "take {number} {files} in {} from {from}{to}",
                place.display()
            )
        })
        .collect()
}

/// Returns the steps that leave conflicts as in TO.
fn conflicts(from: &Environment, to: &str, conflicts: &[Conflict]) -> Vec<String> {
    let step = |conflict: &Conflict| {
        let (path, why) = (conflict.path.display(), &conflict.why);
        match &conflict.beside {
            Some(at) => format!(
                "leave {path} as in {to} ({why}), and put that of {from} beside it: {}",
                at.display()
            ),
            None => format!("leave {path} as in {to} ({why})"),
        }
    };
    conflicts.iter().map(step).collect()
}

/// How many components of a path name its place, starting with the root directory.
const PLACE: usize = 4;
