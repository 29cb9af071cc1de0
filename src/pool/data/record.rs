//! The data of a node, in its record: the paths with a subvolume, and which changes of which environment each has.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DataPath;
use crate::btrfs::subvolume::Info;

/// The data of a node, in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The paths with a subvolume, sorted.
    #[serde(default)]
    pub paths: Vec<Data>,
    /// The boot IDs that the node had reported when these last changed: any other one belongs to a later boot.
    #[serde(rename = "told", default, skip_serializing_if = "Vec::is_empty")]
    pub known_boot_ids: Vec<String>,
}

/// A path with a subvolume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The path.
    pub path: DataPath,
    /// Whether it was taken off the list: no environment mounts it, and its subvolume stays until it is destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// The UUID of the environment that it was copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The transaction up to which it has the changes of that environment; `None` if no node ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// The time of that transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// The identifier of the export that it was received from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// The point until which only netbe had written in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<ChangePoint>,
    /// The environments that were merged into it, by UUID, each with the point up to which it has all changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<(String, ChangePoint)>,
}

/// A point in the order of a filesystem's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePoint {
    /// The transaction: later changes have a higher one.
    pub transaction: u64,
    /// The time by the clock, UTC.
    pub at: Timestamp,
}

impl DataRecord {
    /// Returns whether the record is empty.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the paths that environments mount.
    pub fn mounted(&self) -> impl Iterator<Item = &DataPath> {
        self.paths.iter().filter(|d| !d.off).map(|d| &d.path)
    }

    /// Returns whether a path, relative to the root directory, is in data that environments mount.
    pub fn is_mounted(&self, path: &Path) -> bool {
        self.mounted().any(|data| path.starts_with(data.relative()))
    }

    /// Returns the entry of a path.
    pub fn get(&self, path: &DataPath) -> Option<&Data> {
        self.paths.iter().find(|d| d.path == *path)
    }
}

impl Data {
    /// Returns a new entry that is mounted, without changes of an environment that a node may be running.
    pub fn new(path: DataPath) -> Self {
        Self {
            path,
            off: false,
            from: None,
            taken: None,
            taken_at: None,
            received: None,
            filled: None,
            merged: Vec::new(),
        }
    }

    /// Returns the transaction after which an environment's changes at the path are not in the data, with its time if known;
    /// `root` is its root half. `None` if the node never wrote to the environment's own files there.
    pub fn lacks_after(&self, uuid: &str, root: &Info) -> Option<(u64, Option<Timestamp>)> {
        // An environment that was made later mounts the data from its first boot on.
        let taken = self
            .taken
            .filter(|taken| root.made <= *taken && !self.off)?;
        let merged = self.merged.iter().find(|(of, _)| of == uuid);
        Some(match merged {
            Some((_, until)) => (until.transaction, Some(until.at)),
            None => (taken, self.taken_at),
        })
    }

    /// Records that it has all changes of an environment at the path up to a point.
    pub fn note_merged(&mut self, uuid: &str, until: ChangePoint) {
        self.merged.retain(|(of, _)| of != uuid);
        self.merged.push((uuid.to_string(), until));
    }
}
