//! The data of a node as programs in the sandbox see it: snapshots that are thrown away.
//!
//! The node works with its data meanwhile, so programs must not change it; but package scripts look for users' homes and
//! spools. Promises a note about what a program changed in the snapshots.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::fs::shown_path::shortened;
use crate::lifecycle::upgrade::changed::differences;
use crate::packages::left_out::is_left_out;
use crate::pool::data::DataPath;
use crate::pool::stage::Staged;
use crate::pool::{Node, NodeName, data_store, layout};
use crate::sandbox::Bound;

/// The directory of the unchanged snapshots in the stage.
const BEFORE: &str = "before";

/// How many files are named.
const NAMED: usize = 6;

/// Snapshots of a node's data; deleted when dropped.
#[derive(Debug)]
pub(in crate::lifecycle) struct ThrownAway {
    node: NodeName,
    staged: Option<Staged>,
    paths: Vec<DataPath>,
    bounds: Vec<Bound>,
}

impl ThrownAway {
    /// Snapshots the data that a node's environments mount.
    pub(in crate::lifecycle) fn new(node: &Node) -> Result<Self> {
        let mut paths = Vec::new();
        for path in node.record.data.mounted() {
            if data_store::is_there(node, path)? {
                paths.push(path.clone());
            }
        }
        let mut snapshots = Self {
            node: node.name.clone(),
            staged: None,
            bounds: Vec::new(),
            paths,
        };
        if snapshots.paths.is_empty() {
            return Ok(snapshots);
        }
        let staged = Staged::new(&node.dir, layout::DATA)?;
        let before = staged.path().join(BEFORE);
        std::fs::create_dir(&before).with_context(|| format!("making {}", before.display()))?;
        for path in &snapshots.paths {
            let snapshot = staged.path().join(path.directory());
            subvolume::snapshot(&data_store::subvolume_of(node, path), &snapshot)?;
            subvolume::snapshot_read_only(&snapshot, &before.join(path.directory()))?;
            snapshots.bounds.push(Bound {
                from: snapshot,
                to: path.to_string(),
            });
        }
        snapshots.staged = Some(staged);
        Ok(snapshots)
    }

    /// Returns the bind mounts for the sandbox.
    pub(in crate::lifecycle) fn bounds(&self) -> &[Bound] {
        &self.bounds
    }

    /// Returns a note about what programs changed there, apart from caches and logs; a failure to determine it is one too.
    pub(in crate::lifecycle) fn note(&self) -> Option<String> {
        let node = &self.node;
        match self.changed() {
            Ok(changed) if changed.is_empty() => None,
            Ok(changed) => {
                let first = changed.iter().take(NAMED).map(|path| shortened(path));
                let named: Vec<String> = first.collect();
                let more = match changed.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                Some(format!(
                    "what it changed in a copy of the data of {node} was thrown away with that: {}{more}",
                    named.join(", ")
                ))
            }
            Err(e) => Some(format!(
                "what it changed in a copy of the data of {node} is not known: {e:#}"
            )),
        }
    }

    fn changed(&self) -> Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        let Some(staged) = &self.staged else {
            return Ok(changed);
        };
        // Dirty data is not in the trees yet.
        subvolume::sync(staged.path())?;
        for path in &self.paths {
            let name = path.directory();
            let (before, after) = (
                staged.path().join(BEFORE).join(&name),
                staged.path().join(&name),
            );
            for change in differences(&before, &after)? {
                let place = Path::new(path.relative()).join(&change.path);
                // A directory's own change follows from the changes in it.
                if !is_left_out(&place) && change.path != Path::new("") {
                    changed.push(Path::new("/").join(place));
                }
            }
        }
        Ok(changed)
    }
}
