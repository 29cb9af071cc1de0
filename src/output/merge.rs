//! A merge: the changes that were taken and the conflicts, in lines and in JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::screen::{Screen, Talk};
use super::{clean, files, json};
use crate::lifecycle::merge::{Conflict, Merged};

/// The number of lines of files that are shown without `-v`.
const FEW: usize = 40;

/// Returns the text for this screen: the changes that were taken, then the conflicts.
pub fn draw(merged: &Merged, screen: &Screen) -> String {
    let each = screen.talks() == Talk::Verbose;
    let mut text = files::draw(&merged.taken, each, screen.look.colour);
    if !each && text.lines().count() > FEW {
        text = files::summary(&merged.taken, screen.look);
    }
    let conflicts = merged.conflicts.iter();
    text.extend(conflicts.map(|conflict| line(conflict, screen.look.colour)));
    text
}

fn line(conflict: &Conflict, colour: bool) -> String {
    let shown = |path: &std::path::Path| clean(&path.to_string_lossy());
    let beside = conflict
        .beside
        .as_ref()
        .map_or(String::new(), |at| format!("; FROM's: {}", shown(at)));
    let sign = match colour {
        true => "\x1b[31mC\x1b[0m",
        false => "C",
    };
    let (path, why) = (shown(&conflict.path), clean(&conflict.why));
    format!("{sign} {path}  {why}{beside}\n")
}

/// Returns the document of `merge --json`.
pub fn document(merged: &Merged) -> Result<String> {
    let conflicts: Value = merged
        .conflicts
        .iter()
        .map(|conflict| {
            json!({
                "path": conflict.path.to_string_lossy(),
                "why": conflict.why,
                "beside": conflict.beside.as_ref().map(|at| at.to_string_lossy()),
            })
        })
        .collect();
    json::object(json!({
        "environment": merged.id,
        "from": merged.from,
        "to": merged.to,
        "files": files::document(&merged.taken),
        "files_in_data": merged.in_data,
        "conflicts": conflicts,
        "files_of_packages": merged.of_packages,
        "packages": {
            "added": merged.packages.added,
            "removed": merged.packages.removed,
            "merged": merged.has_packages,
        },
    }))
}
