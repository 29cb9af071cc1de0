//! Package changes: the table of `upgrade` and `diff`, and the JSON.

use serde::Serialize;

use super::{clean, table};
use crate::packages::Changes;

/// Returns the table; empty without changes.
pub fn draw(changes: &Changes, colour: bool) -> String {
    let row = |package: &str, old: &str, new: &str| vec![clean(package), clean(old), clean(new)];
    let mut rows = Vec::new();
    for (name, old, new) in changes.upgraded.iter().chain(&changes.downgraded) {
        rows.push(row(name, old, new));
    }
    rows.extend(changes.added.iter().map(|(name, new)| row(name, "-", new)));
    rows.extend(
        changes
            .removed
            .iter()
            .map(|(name, old)| row(name, old, "-")),
    );
    match rows.is_empty() {
        true => String::new(),
        false => table::table(&["PACKAGE", "BEFORE", "AFTER"], &rows, colour),
    }
}

/// The changes in JSON: each package with named fields.
#[derive(Debug, Serialize)]
pub struct Named<'a> {
    added: Vec<One<'a>>,
    removed: Vec<One<'a>>,
    upgraded: Vec<Two<'a>>,
    downgraded: Vec<Two<'a>>,
}

#[derive(Debug, Serialize)]
struct One<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Debug, Serialize)]
struct Two<'a> {
    name: &'a str,
    before: &'a str,
    after: &'a str,
}

impl<'a> Named<'a> {
    /// Names the fields of these.
    pub fn new(changes: &'a Changes) -> Self {
        let one = |list: &'a [(String, String)]| {
            let name = |(name, version): &'a (String, String)| One { name, version };
            list.iter().map(name).collect()
        };
        let two = |list: &'a [(String, String, String)]| {
            let name = |(name, before, after): &'a (String, String, String)| Two {
                name,
                before,
                after,
            };
            list.iter().map(name).collect()
        };
        Self {
            added: one(&changes.added),
            removed: one(&changes.removed),
            upgraded: two(&changes.upgraded),
            downgraded: two(&changes.downgraded),
        }
    }
}
