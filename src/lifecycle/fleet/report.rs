//! The result for one node of several: a line of JSON, from the netbe that did the work to the one that shows it.
//!
//! Not for its display.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::lifecycle::create::Created;
use crate::lifecycle::merge::Merged;
use crate::lifecycle::upgrade::Upgraded;
use crate::pool::EnvId;
use crate::pool::record::Shared;

/// The result for one node, as its netbe reports it on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A new environment.
    Created {
        /// The environment.
        id: EnvId,
        /// Packages of a newer version.
        upgraded: usize,
        /// Packages that were added.
        added: usize,
        /// Packages that were removed, or are older.
        removed: usize,
        /// Its disk space, if known.
        shared: Option<Shared>,
        /// Whether the node boots it next.
        active: bool,
        /// Whether the node boots it next on trial, or once.
        pending: bool,
        /// How many files its node and its source both changed: with any, it waits for a decision.
        conflicts: usize,
        /// Whether it would boot, as far as that can be verified.
        would_boot: bool,
        /// Notes from the package manager's output, a sentence each.
        package_notes: Vec<String>,
        /// Warnings, a sentence each.
        warnings: Vec<String>,
    },
    /// There was nothing to upgrade.
    Nothing {
        /// Notes from the package manager's output, a sentence each.
        package_notes: Vec<String>,
    },
    /// It failed.
    Failed {
        /// Why, a sentence.
        why: String,
        /// What to do.
        hint: Option<String>,
        /// Its exit status.
        status: u8,
    },
}

impl Report {
    /// Returns the report of an upgrade.
    pub fn from_result(result: &Result<Upgraded>) -> Self {
        match result {
            Ok(Upgraded::NothingToDo { package_notes, .. }) => Self::Nothing {
                package_notes: package_notes.clone(),
            },
            Ok(Upgraded::New {
                id,
                changes,
                shared,
                active,
                begun,
                would_boot,
                package_notes,
                warnings,
                ..
            }) => {
                let pending = begun.is_some();
                let begun = begun.iter().flat_map(|begun| &begun.warnings);
                let count =
                    |f: fn(&crate::packages::Changes) -> usize| changes.as_ref().map_or(0, f);
                Self::Created {
                    id: id.clone(),
                    upgraded: count(|c| c.upgraded.len()),
                    added: count(|c| c.added.len()),
                    removed: count(|c| c.removed.len() + c.downgraded.len()),
                    shared: *shared,
                    active: *active,
                    pending,
                    conflicts: 0,
                    would_boot: *would_boot,
                    package_notes: package_notes.clone(),
                    warnings: warnings.iter().chain(begun).cloned().collect(),
                }
            }
            Err(error) => Self::failed(error),
        }
    }

    /// Returns the report of a new environment.
    pub fn of_created(result: &Result<Created>) -> Self {
        match result {
            Ok(created) => {
                let begun = created.begun.iter();
                let merged = created.merged.as_ref();
                let of_merge = merged.map_or_else(Vec::new, Merged::in_sentences);
                let merge_warned = merged.iter().flat_map(|merged| &merged.warnings);
                let notes = begun.clone().flat_map(|begun| &begun.notes);
                let warnings = begun.flat_map(|begun| &begun.warnings);
                Self::Created {
                    id: created.id.clone(),
                    upgraded: 0,
                    added: 0,
                    removed: 0,
                    shared: None,
                    active: created.active,
                    pending: created.begun.is_some(),
                    conflicts: merged.map_or(0, |merged| merged.conflicts.len()),
                    would_boot: created.would_boot,
                    package_notes: created
                        .notes
                        .iter()
                        .chain(notes)
                        .chain(&of_merge)
                        .cloned()
                        .collect(),
                    warnings: created
                        .warnings
                        .iter()
                        .chain(warnings)
                        .chain(merge_warned)
                        .cloned()
                        .collect(),
                }
            }
            Err(error) => Self::failed(error),
        }
    }

    /// Returns the report of a command that failed.
    pub fn failed(error: &anyhow::Error) -> Self {
        let failure = error.downcast_ref::<Failure>();
        Self::Failed {
            why: format!("{error:#}"),
            hint: failure.and_then(|f| f.hint.clone()),
            status: failure.map_or(1, Failure::status),
        }
    }

    /// Adds notes.
    pub fn tell(&mut self, more: Vec<String>) {
        if let Self::Created { package_notes, .. } | Self::Nothing { package_notes } = self {
            package_notes.extend(more);
        }
    }

    /// Returns the environment that is left to activate.
    pub fn to_activate(&self) -> Option<String> {
        match self {
            Self::Created {
                id,
                active: false,
                pending: false,
                conflicts: 0,
                would_boot: true,
                ..
            } => Some(id.to_string()),
            _ => None,
        }
    }

    /// Returns the exit status it stands for.
    pub fn status(&self) -> u8 {
        match self {
            Self::Failed { status, .. } => *status,
            Self::Created { conflicts, .. } if *conflicts > 0 => 1,
            _ => 0,
        }
    }
}
