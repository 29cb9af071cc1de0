//! Package changes: the table of `upgrade` and `diff`, and the JSON.

use serde_json::{Value, json};

use super::clean;
use super::table::{self, Columns, Look, Narrow};
use crate::packages::Changes;
use crate::pool::record::Shared;
use crate::terminal::bytes;

const COLUMNS: Columns<'static> = Columns {
    heads: &["PACKAGE", "BEFORE", "AFTER"],
    numbers: &[],
    optional: &[],
    narrow: &[
        Narrow::Middle("PACKAGE", 30),
        Narrow::End("BEFORE", 22),
        Narrow::End("AFTER", 22),
    ],
};

/// Returns the table; empty without changes.
pub fn draw(changes: &Changes, look: Look) -> String {
    let row = |package: &str, old: &str, new: &str| vec![clean(package), clean(old), clean(new)];
    let mut rows = Vec::new();
    for (name, old, new) in changes.upgraded.iter().chain(&changes.downgraded) {
        rows.push(row(name, old, new));
    }
    rows.extend(changes.added.iter().map(|(name, new)| row(name, "-", new)));
    let removed = changes.removed.iter();
    rows.extend(removed.map(|(name, old)| row(name, old, "-")));
    match rows.is_empty() {
        true => String::new(),
        false => table::table(COLUMNS, rows, look),
    }
}

/// Returns the changes in JSON: each package with named fields.
pub fn named(changes: &Changes) -> Value {
    let one = |list: &[(String, String)]| -> Value {
        list.iter()
            .map(|(name, version)| json!({ "name": name, "version": version }))
            .collect()
    };
    let two = |list: &[(String, String, String)]| -> Value {
        list.iter()
            .map(|(name, before, after)| json!({ "name": name, "before": before, "after": after }))
            .collect()
    };
    json!({
        "added": one(&changes.added),
        "removed": one(&changes.removed),
        "upgraded": two(&changes.upgraded),
        "downgraded": two(&changes.downgraded),
    })
}

/// Returns the disk space of an upgrade, for the sentence; small files lie in the trees, and take nothing that is counted.
pub fn space_taken(shared: Shared) -> String {
    match (shared.changed, shared.shared_again) {
        (0, 0) => String::new(),
        (changed, shared) => format!(
            ": {} changed, {} shared again",
            bytes(changed),
            bytes(shared)
        ),
    }
}
