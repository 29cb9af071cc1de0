//! What is known of the data of a node, in its record: which paths have a subvolume, and what that has of which environment.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DataPath;
use crate::btrfs::subvolume::Info;

/// What is known of the data of a node, in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The paths with a subvolume, sorted.
    #[serde(default)]
    pub paths: Vec<Data>,
    /// The boot IDs that the node had reported when these last changed: another one is of a boot since.
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
    /// The identity of the environment that it was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The transaction up to which it has what the environment that it was taken from had; `None` where no node ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// The time of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// The stream that it was received from, as the header tells it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// Until then nobody but netbe had written in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<ChangePoint>,
    /// The environments of which more was merged into it, by identity, each with the moment up to which it has everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<(String, ChangePoint)>,
}

/// A point in the order of a filesystem's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePoint {
    /// The transaction: what is changed later has a higher one.
    pub transaction: u64,
    /// The time by the clock, UTC.
    pub at: Timestamp,
}

impl DataRecord {
    /// Returns whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the paths that environments mount.
    pub fn mounted(&self) -> impl Iterator<Item = &DataPath> {
        self.paths.iter().filter(|d| !d.off).map(|d| &d.path)
    }

    /// Returns whether a path, relative to the root directory, is in what environments mount.
    pub fn is_mounted(&self, path: &Path) -> bool {
        self.mounted().any(|data| path.starts_with(data.relative()))
    }

    /// Returns what is known of a path.
    pub fn get(&self, path: &DataPath) -> Option<&Data> {
        self.paths.iter().find(|d| d.path == *path)
    }
}

impl Data {
    /// Returns what is known of one that is mounted, and has nothing of an environment that a node may be running.
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

    /// Returns the transaction after which what an environment has at the path is not in the data, with its time if that is
    /// known; `root` is its root half. `None` if its node never used anything but the data there.
    pub fn lacks_after(&self, uuid: &str, root: &Info) -> Option<(u64, Option<Timestamp>)> {
        // One that was made later mounts the data from its first boot on.
        let taken = self
            .taken
            .filter(|taken| root.made <= *taken && !self.off)?;
        let merged = self.merged.iter().find(|(of, _)| of == uuid);
        Some(match merged {
            Some((_, until)) => (until.transaction, Some(until.at)),
            None => (taken, self.taken_at),
        })
    }

    /// Notes that it has everything that an environment had at the path until a moment.
    pub fn note_merged(&mut self, uuid: &str, until: ChangePoint) {
        self.merged.retain(|(of, _)| of != uuid);
        self.merged.push((uuid.to_string(), until));
    }
}
