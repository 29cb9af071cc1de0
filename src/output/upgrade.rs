//! Parallel upgrades: the progress line of each, and the table at the end.

use super::{clean, table};
use crate::lifecycle::upgrade::fleet::{News, Report};
use crate::pool::NodeName;
use crate::terminal::bytes;

/// Returns the table, one line for each node.
pub fn draw<'a>(
    reports: impl IntoIterator<Item = (&'a NodeName, &'a Report)>,
    colour: bool,
) -> String {
    let heads = [
        "NODE",
        "ENVIRONMENT",
        "UPGRADED",
        "NEW",
        "GONE",
        "CHANGED",
        "SHARED",
        "RESULT",
    ];
    let rows: Vec<Vec<String>> = reports.into_iter().map(row).collect();
    table::table(&heads, &rows, colour)
}

/// Returns the progress line of a node.
pub fn in_words(news: &News) -> String {
    match news {
        News::Begun => "begun".to_string(),
        News::Says(line) => clean(line),
        News::Ended(report) => result(report),
    }
}

fn result(report: &Report) -> String {
    match report {
        Report::Created {
            id,
            active,
            would_boot,
            ..
        } => match (active, would_boot) {
            (true, _) => format!("created {id}, its next boot"),
            (false, true) => format!("created {id}"),
            (false, false) => format!("created {id}, which would not boot"),
        },
        Report::Nothing { .. } => "nothing to upgrade".to_string(),
        Report::Failed { why, .. } => {
            let first = why.lines().next().unwrap_or_default();
            format!("failed: {}", clean(first))
        }
    }
}

fn row((node, report): (&NodeName, &Report)) -> Vec<String> {
    let count = |n: usize| match n {
        0 => "-".to_string(),
        n => n.to_string(),
    };
    let size = |size: Option<u64>| match size {
        None | Some(0) => "-".to_string(),
        Some(size) => bytes(size),
    };
    let (name, numbers, space, what) = match report {
        Report::Created {
            id,
            upgraded,
            added,
            removed,
            shared,
            active,
            would_boot,
            ..
        } => (
            id.env.as_str(),
            [*upgraded, *added, *removed],
            *shared,
            match (active, would_boot) {
                (true, _) => "boots next",
                (false, true) => "created",
                (false, false) => "would not boot",
            },
        ),
        Report::Nothing { .. } => ("-", [0; 3], None, "nothing to upgrade"),
        Report::Failed { .. } => ("-", [0; 3], None, "failed"),
    };
    let mut row = vec![node.to_string(), name.to_string()];
    row.extend(numbers.map(count));
    row.push(size(space.map(|s| s.changed)));
    row.push(size(space.map(|s| s.shared_again)));
    row.push(what.to_string());
    row
}
