//! `netbe merge`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making};
use super::complete;
use super::session::Session;
use crate::lifecycle::merge::{self, Merged, Request};
use crate::merge::decide::Conflicts;
use crate::output;
use crate::pool::{EnvId, EnvName};

/// Make an environment with the changes of another
///
/// The new environment is a copy of TO with the changes that FROM has had since their common origin: files, directories
/// and links with content, permissions, owner and extended attributes. FROM and TO do not change. The usual case is an
/// upgraded node that continued to write to the environment that it runs. A snapshot of FROM is taken first, so that all
/// changes are of one instant.
///
/// A file that only one of them changed is taken from that one. A file that both changed is a conflict: it is taken
/// from TO, and FROM's version is put beside it as NAME.netbe-FROM. Conflicts are listed, the exit status is 1, and
/// activate takes such an environment only by its name. --ours and --theirs resolve all conflicts for one side. Of
/// passwd, group, shadow, gshadow, subuid and subgid each account is merged by itself.
///
/// Files that packages own are as in TO, with its package database; configuration files of packages are merged. Packages
/// that FROM has added or removed are named, and with --packages installed and removed in the new environment
/// by its package manager. The host name and the rest of the machine's identity are those of the node. Hard
/// links between merged files stay; sockets are not merged.
///
/// Files that the node wrote in FROM at the path of its data, before it mounted the data, go into the data, file by
/// file (netbe-set). If FROM is given twice, nothing else is merged.
///
/// If FROM and TO come from different imports, FROM is compared with the environment that it was made from, usually a
/// template's. destroy keeps such an origin as a hidden directory as long as a node's environment comes from it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe merge nog/first nog/second
  netbe merge -n nog/first nog/second
  netbe merge nog/first nog/second /etc /home/pi
  netbe merge nog/first nog/second --theirs --packages --name third")]
pub struct Merge {
    /// The environment whose changes are taken
    #[arg(value_name = "NODE/FROM", add = ArgValueCompleter::new(complete::sources))]
    pub from: EnvId,
    /// The environment they are merged into
    #[arg(value_name = "NODE/TO", add = ArgValueCompleter::new(complete::sources))]
    pub to: EnvId,
    /// Take only these paths and everything below them: absolute paths, as the node sees them
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Resolve conflicts for TO, without FROM's version beside it
    #[arg(long, group = "side")]
    pub ours: bool,
    /// Resolve conflicts for FROM
    #[arg(long, group = "side")]
    pub theirs: bool,
    /// Install and remove the packages that FROM has added and removed
    #[arg(long)]
    pub packages: bool,
    /// Name of the new environment, by default the current time
    #[arg(long, value_name = "ENV")]
    pub name: Option<EnvName>,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Merges an environment into a copy of another.
pub fn run(session: &Session, args: Merge) -> Result<u8> {
    let conflicts = match (args.ours, args.theirs) {
        (true, _) => Conflicts::Ours,
        (_, true) => Conflicts::Theirs,
        _ => Conflicts::Beside,
    };
    let request = Request {
        from: args.from,
        to: args.to,
        name: args.name,
        paths: args.paths,
        conflicts,
        packages: args.packages,
        description: args.making.description,
        boots_next: false,
    };
    let pool = session.pool()?;
    let merge = || merge::merge(&pool, &request, args.changing.into());
    let outcome = match request.packages {
        // The package manager prints.
        true => merge()?,
        false => session.busy(
            format_args!("Merging {} into {}", request.from, request.to),
            merge,
        )?,
    };
    match session.done(outcome)? {
        Some(merged) => print_result(session, &merged, args.json),
        None => Ok(0),
    }
}

/// Prints what was merged; returns the exit status.
pub(super) fn print_result(session: &Session, merged: &Merged, json: bool) -> Result<u8> {
    session.answer(&match json {
        true => output::merge::document(merged)?,
        false => output::merge::draw(merged, &session.screen),
    })?;
    if !json {
        session.sentence(&sentence(merged))?;
    }
    session.notes(&notes(merged));
    session.notes(&merged.notes);
    session.warnings(&merged.warnings);
    Ok(u8::from(!merged.is_decided()))
}

/// Returns a sentence about the files that were merged into the node's data, with a blank after it; empty if there are none.
pub(super) fn into_data(merged: &Merged) -> String {
    let from = &merged.from;
    match merged.in_data {
        0 => String::new(),
        some => format!(
            "{} of {from} went into the data of {}. ",
            count(some, "change"),
            from.node
        ),
    }
}

fn sentence(merged: &Merged) -> String {
    let (from, to) = (&merged.from, &merged.to);
    let data = into_data(merged);
    let Some(id) = &merged.id else {
        return match from == to {
            true if data.is_empty() => {
                format!("The data of {} has everything that {from} has.", from.node)
            }
            true => data.trim_end().to_string(),
            false => format!("{data}{to} has everything that {from} has changed."),
        };
    };
    let next = match merged.is_decided() {
        true => format!(" To boot it next: netbe activate {id}"),
        false => format!(
            " Both changed {}: look at {}, then: netbe activate {id}",
            count(merged.conflicts.len(), "file"),
            match merged.conflicts.len() {
                1 => "it",
                _ => "them",
            }
        ),
    };
    format!(
        "{data}Created {id}: {to}, with {} from {from}.{next}",
        count(merged.taken.len() - merged.in_data, "change")
    )
}

/// Returns the notes about a merge, printed beside its list.
pub(super) fn notes(merged: &Merged) -> Vec<String> {
    let mut notes = Vec::new();
    if merged.of_packages > 0 {
        notes.push(format!(
            "{} that packages own, or their tools made, {} as in {}",
            count(merged.of_packages, "changed file"),
            match merged.of_packages {
                1 => "stays",
                _ => "stay",
            },
            merged.to
        ));
    }
    let done = merged.has_packages && merged.id.is_some();
    let lists = [
        ("added", "installed", &merged.packages.added),
        ("removed", "removed", &merged.packages.removed),
    ];
    for (verb, also, names) in lists {
        if names.is_empty() {
            continue;
        }
        let names = names.join(" ");
        notes.push(match done {
            true => format!("{also} as in {}: {names}", merged.from),
            false => format!(
                "{} has {verb} packages that were not merged (--packages merges them): {names}",
                merged.from
            ),
        });
    }
    notes
}

/// Returns a number of things.
pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}
