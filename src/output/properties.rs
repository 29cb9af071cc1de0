//! Properties: the table of `get`, and the lines of `get -H`.

use super::clean;
use super::table::{self, Columns, Look, Narrow};
use crate::lifecycle::properties::Got;

/// Returns the table.
pub fn draw(all: &[Got], look: Look) -> String {
    let columns = Columns {
        heads: &["NODE", "PROPERTY", "VALUE", "SOURCE"],
        numbers: &[],
        optional: &["NODE"],
        narrow: &[Narrow::Middle("NODE", 12), Narrow::End("VALUE", 24)],
    };
    table::table(columns, cells(all, "-"), look)
}

/// Returns the lines for scripts.
pub fn tabbed(all: &[Got]) -> String {
    table::tabbed(&cells(all, ""))
}

fn cells(all: &[Got], none: &str) -> Vec<Vec<String>> {
    let or_none = |text: Option<&String>| clean(text.map_or(none, String::as_str));
    all.iter()
        .map(|got| {
            vec![
                or_none(got.node.as_ref()),
                got.property.to_string(),
                or_none(got.value.as_ref()),
                got.source.to_string(),
            ]
        })
        .collect()
}
