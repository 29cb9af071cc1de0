//! The steps of a dry run that take files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::lifecycle::diff::files::Changed;
use crate::pool::Environment;

/// The number of files above which a dry run counts them by place.
const FEW: usize = 40;

/// Returns the steps that take files from an environment.
pub(super) fn taken(from: &Environment, files: &[Changed]) -> Vec<String> {
    if files.len() <= FEW {
        let step = |what: &Changed| match what.change.after {
            Some(_) => format!("take {} from {from}", what.path.display()),
            None => format!("remove {}, as in {from}", what.path.display()),
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
            format!("take {number} {files} in {} from {from}", place.display())
        })
        .collect()
}

/// How many parts of a path name its place, the root directory first.
const PLACE: usize = 4;
