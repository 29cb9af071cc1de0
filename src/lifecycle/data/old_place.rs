//! Files that a node wrote in its environment at a place of its data, after the data was copied and before its next boot,
//! when it mounts the data.
//!
//! Found by transactions; a file counts if the data does not have it, or has an older state of it. As of the filesystem's
//! last commit. Changes nothing.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use serde::Serialize;

use crate::btrfs::compare::{self, Written};
use crate::btrfs::subvolume;
use crate::evidence::Evidence;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::lifecycle::left_behind::{self, Place, Since};
use crate::pool::data::{Data, DataPath};
use crate::pool::{EnvId, Environment, Node, data_store};

/// Files that a node wrote in an environment at a place of its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OldPlace {
    /// The environment it was written in.
    pub wrote_in: EnvId,
    /// The environment that the node boots next.
    #[serde(skip)]
    pub next: EnvId,
    /// The number of files.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// The places, the largest first.
    pub places: Vec<Place>,
    /// The number and size, in words.
    #[serde(skip)]
    pub amount: String,
    /// The largest places, in words.
    #[serde(skip)]
    pub named: String,
}

impl OldPlace {
    /// Returns the sentence about it.
    pub fn sentence(&self) -> String {
        let (env, amount, named) = (&self.wrote_in, &self.amount, &self.named);
        format!(
            "{} wrote {amount} in {env} where its data is now, and that does not have them: {named}; to have them, too: \
             netbe merge {env} {}",
            env.node, self.next
        )
    }
}

/// Returns the files that a node wrote in its environments and that its data does not have.
///
/// # Errors
/// If a tree cannot be read.
pub fn of_node(node: &Node, envs: &[Environment]) -> Result<Vec<OldPlace>> {
    let mounted = |data: &&Data| !data.off && data.taken.is_some();
    let paths: Vec<&Data> = node.record.data.paths.iter().filter(mounted).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let evidence = Evidence::recent(node);
    let next = node.active_if_any()?;
    let mut found = Vec::new();
    for env in envs.iter().filter(|env| env.problems.is_empty()) {
        let was_taken = |data: &Data| data.from.is_some() && data.from.as_deref() == env.uuid();
        let may_run = evidence.booted(env) != Some(false);
        let paths = paths.iter().filter(|data| may_run || was_taken(data));
        let paths: Vec<&Data> = paths.copied().collect();
        let next = next.as_ref().unwrap_or(env).id();
        let written = in_environment(node, env, &next, &paths);
        found
            .extend(written.with_context(|| format!("looking what {} wrote in {env}", node.name))?);
    }
    Ok(found)
}

fn in_environment(
    node: &Node,
    env: &Environment,
    next: &EnvId,
    paths: &[&Data],
) -> Result<Option<OldPlace>> {
    let info = match paths {
        [] => return Ok(None),
        _ => subvolume::info(&env.root())?,
    };
    let uuid = env.uuid().unwrap_or_default();
    let lacking = paths.iter().filter_map(|data| {
        let (after, _) = data.lacks_after(uuid, &info)?;
        Some((&data.path, after))
    });
    let lacking: Vec<(&DataPath, u64)> = lacking.collect();
    let mut changes: BTreeMap<u64, Written> = BTreeMap::new();
    for (_, after) in &lacking {
        if !changes.contains_key(after) {
            changes.insert(*after, compare::changed_after(&env.root(), *after)?);
        }
    }
    let root = Tree::open(&env.root())?;
    let mut written = Vec::new();
    for (path, after) in lacking {
        let top = Tree::open(&data_store::subvolume_of(node, path))?;
        for changed in changes
            .get(&after)
            .iter()
            .flat_map(|changed| &changed.paths)
        {
            interrupt::check()?;
            let Ok(below) = changed.strip_prefix(path.relative()) else {
                continue;
            };
            if let Some(now) = status(&root, changed)
                && status(&top, below).is_none_or(|data| is_older(&data, &now))
            {
                written.push((Path::new("/").join(changed), now.len()));
            }
        }
    }
    let more = changes.values().any(|changed| changed.more);
    let summed = left_behind::summed(env, env, Since::Made, &written, more);
    Ok(summed
        .filter(|_| !written.is_empty())
        .map(|summed| OldPlace {
            wrote_in: env.id(),
            next: next.clone(),
            amount: summed.amount(),
            named: summed.named(),
            files: summed.files,
            bytes: summed.bytes,
            places: summed.places,
        }))
}

fn status(tree: &Tree, path: &Path) -> Option<Metadata> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let found = tree.open_path_without_links(path, flags).ok()?;
    File::from(found).metadata().ok()
}

/// Returns whether the data's file was last written before the environment's.
fn is_older(data: &Metadata, env: &Metadata) -> bool {
    (data.mtime(), data.mtime_nsec()) < (env.mtime(), env.mtime_nsec())
}
