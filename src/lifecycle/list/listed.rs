//! One environment, as `list` shows it.
//!
//! Not for finding environments.

use std::path::PathBuf;

use jiff::{Timestamp, Unit};
use serde::{Serialize, Serializer};

use crate::btrfs::space::Sum;
use crate::pool::environment::{Claim, Order};
use crate::pool::pending::Kind;
use crate::pool::{EnvName, NodeName, Origin};

/// One environment, as listed; in the order of the document that `list --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub name: EnvName,
    /// Its identity, if known.
    pub uuid: Option<String>,
    /// Whether it is complete, and all of it can be read.
    pub complete: bool,
    /// Whether it is active.
    pub active: bool,
    /// Whether the node runs it; `None` if it may be running.
    pub booted: Option<bool>,
    /// The kind of its pending boot.
    pub pending: Option<Kind>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Time of creation, UTC.
    #[serde(serialize_with = "to_the_second")]
    pub created: Timestamp,
    /// Its place in the order in which they were made.
    #[serde(skip)]
    pub order: Order,
    /// Its description.
    pub description: String,
    /// Its architecture.
    pub arch: Option<String>,
    /// The kernel it boots.
    pub kernel: Option<String>,
    /// Its origin.
    pub origin: Option<Origin>,
    /// Its root half.
    pub root: PathBuf,
    /// Its boot half.
    pub boot: PathBuf,
    /// Its space on disk, if requested and readable.
    pub space: Option<Sum>,
    /// Its problems, a sentence each; also why a complete one would not boot.
    pub problems: Vec<String>,
    /// The ancestors before its origin, the nearest first.
    #[serde(skip)]
    pub lineage: Vec<Origin>,
    /// Whether it is a merge in which both sides changed a file.
    #[serde(skip)]
    pub undecided: bool,
    /// The environment it was renamed from, while that may still exist.
    #[serde(skip)]
    pub(super) replaces: Option<String>,
}

impl Listed {
    /// Returns the flags: `N` or `?`, `R`, `T`, `P`, `!`.
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        match self.booted {
            Some(true) => flags.push('N'),
            None => flags.push('?'),
            Some(false) => {}
        }
        for (holds, flag) in [
            (self.active, 'R'),
            (self.pending.is_some(), 'T'),
            (self.pinned, 'P'),
            (!self.problems.is_empty(), '!'),
        ] {
            if holds {
                flags.push(flag);
            }
        }
        flags
    }

    /// Returns one of which nothing is known, for tests to fill in.
    #[cfg(test)]
    pub(in crate::lifecycle) fn of_nobody() -> Self {
        Self {
            node: "nobody".parse().unwrap(),
            name: "none".parse().unwrap(),
            uuid: None,
            complete: true,
            problems: Vec::new(),
            active: false,
            booted: Some(false),
            pending: None,
            pinned: false,
            created: Timestamp::UNIX_EPOCH,
            order: Order(None, Timestamp::UNIX_EPOCH),
            description: String::new(),
            arch: None,
            kernel: None,
            origin: None,
            lineage: Vec::new(),
            undecided: false,
            space: None,
            root: PathBuf::new(),
            boot: PathBuf::new(),
            replaces: None,
        }
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim {
            node: self.node.as_str(),
            name: self.name.as_str(),
            uuid: self.uuid.as_deref(),
            replaces: self.replaces.as_deref(),
            active: self.active,
        }
    }
}

fn to_the_second<S: Serializer>(moment: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    let rounded = moment.round(Unit::Second).unwrap_or(*moment);
    rounded.serialize(to)
}
