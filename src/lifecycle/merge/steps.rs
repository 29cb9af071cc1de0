//! The steps of a dry run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::run::Run;
use super::{Conflict, packages};
use crate::btrfs::subvolume;
use crate::lifecycle::diff::files::Changed;
use crate::pool::Environment;

/// The number of files above which a dry run counts them by place.
const FEW: usize = 40;

impl Run<'_> {
    /// Returns the steps of a dry run, by the present content of both.
    pub(super) fn steps(&self) -> Result<Vec<String>> {
        subvolume::sync(self.pool.root())?;
        let mut steps = match self.is_of_data_alone() {
            true => Vec::new(),
            false => self.steps_of_environment()?,
        };
        let data = self.search(&self.from.root()).find()?;
        let into = format!("the data of {}", self.node.name);
        steps.extend(taken(&self.from, &data.taken, Some(&into)));
        steps.extend(conflicts(&self.from, &into, &data.conflicts));
        Ok(steps)
    }

    fn steps_of_environment(&self) -> Result<Vec<String>> {
        self.target().foresee(&self.to, &self.before.off_disk())?;
        let (from, to, name) = (&self.from, &self.to, self.id());
        let sides = self.sides([from.root(), from.boot()], [to.root(), to.boot()]);
        let found = sides.find().with_context(|| self.merging())?;
        let packages = packages::chosen(&self.base, from, &to.root())?;
        if found.is_empty() && (packages.is_empty() || !self.request.packages) {
            return Ok(Vec::new());
        }
        let mut steps = vec![format!("snapshot both halves of {to} as {name}")];
        steps.extend(taken(from, &found.taken, None));
        steps.extend(conflicts(from, &to.to_string(), &found.conflicts));
        if self.request.packages {
            steps.extend(
                packages::steps(to, &packages)?
                    .iter()
                    .map(|step| format!("run in it: {}", step.argv.join(" "))),
            );
        }
        steps.push(format!(
            "put the boot files and fstab of {name} right, and verify it"
        ));
        Ok(steps)
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
