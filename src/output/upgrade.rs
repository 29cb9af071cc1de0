//! Parallel upgrades, and environments that are made in parallel: the progress line of each, and the table at the end.

use std::fmt::Display;

use super::clean;
use super::table::{self, Columns, Look, Narrow};
use crate::lifecycle::fleet::{News, Report};
use crate::pool::NodeName;
use crate::terminal::bytes;

/// Returns the table, one line for each node.
pub fn draw(nodes: &[NodeName], reports: &[Report], look: Look) -> String {
    let columns = Columns {
        heads: &[
            "NODE",
            "ENVIRONMENT",
            "UPGRADED",
            "NEW",
            "GONE",
            "CHANGED",
            "SHARED",
            "RESULT",
        ],
        numbers: &["UPGRADED", "NEW", "GONE", "CHANGED", "SHARED"],
        optional: &["UPGRADED", "NEW", "GONE", "CHANGED", "SHARED"],
        narrow: &[
            Narrow::Middle("ENVIRONMENT", 18),
            Narrow::Middle("NODE", 12),
            Narrow::Without("SHARED"),
            Narrow::Without("CHANGED"),
        ],
    };
    let rows: Vec<Vec<String>> = nodes.iter().zip(reports).map(row).collect();
    table::table(columns, rows, look)
}

/// Returns the table of environments that were made, one line for each.
pub fn draw_created<T: Display>(all: &[T], reports: &[Report], look: Look) -> String {
    let row = |(of, report): (&T, &Report)| {
        let (name, what) = created(report);
        let of = of.to_string();
        let node = of.split('/').next().unwrap_or_default();
        vec![node.to_string(), name, what.to_string()]
    };
    let rows: Vec<Vec<String>> = all.iter().zip(reports).map(row).collect();
    let columns = Columns {
        heads: &["NODE", "ENVIRONMENT", "RESULT"],
        numbers: &[],
        optional: &[],
        narrow: &[
            Narrow::Middle("ENVIRONMENT", 18),
            Narrow::Middle("NODE", 12),
        ],
    };
    table::table(columns, rows, look)
}

/// Returns the name of the environment, and the result.
fn created(report: &Report) -> (String, &'static str) {
    match report {
        Report::Created {
            id,
            active,
            pending,
            conflicts,
            would_boot,
            ..
        } => (
            id.env.to_string(),
            match (active, pending, would_boot) {
                _ if *conflicts > 0 => "both changed files",
                (true, ..) => "boots next",
                (_, true, _) => "pending boot",
                (_, _, true) => "created",
                (_, _, false) => "would not boot",
            },
        ),
        Report::Nothing { .. } => ("-".to_string(), "nothing to upgrade"),
        Report::Failed { .. } => ("-".to_string(), "failed"),
    }
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
    let (name, what) = created(report);
    let (numbers, space) = match report {
        Report::Created {
            upgraded,
            added,
            removed,
            shared,
            ..
        } => ([*upgraded, *added, *removed], *shared),
        Report::Nothing { .. } | Report::Failed { .. } => ([0; 3], None),
    };
    let mut row = vec![node.to_string(), name];
    row.extend(numbers.map(count));
    row.push(size(space.map(|s| s.changed)));
    row.push(size(space.map(|s| s.shared_again)));
    row.push(what.to_string());
    row
}
