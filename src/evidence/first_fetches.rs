//! What was fetched first of a boot that is before a node: `fetching.jsonl`, a line a file.
//!
//! The first fetch of each file that the boot takes, and no other: what is fetched again moves nothing, and no number
//! of transfers pushes anything out. Not for what is fetched otherwise: that is [`super::boots`].

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::fs::opener;
use crate::pool::pending::PendingBoot;

/// More than the ways to boot any system have files, in bytes; what is beyond is not read and not written.
const LIMIT: u64 = 64 << 10;

/// A file, and when it was fetched first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// Which boot: when it was put before the node. What an earlier one left here is of no other.
    pub since: Option<Timestamp>,
    /// The environment, by name.
    pub env: String,
    /// When, UTC.
    pub time: Timestamp,
    /// The file, as a path in the boot half.
    pub file: String,
    /// Whether by the node's own address.
    #[serde(default)]
    pub its: bool,
}

/// Returns what was fetched of a boot, oldest first.
pub fn read(node_dir: &Path, boot: &PendingBoot) -> Vec<First> {
    let mut text = String::new();
    let Ok(Some(file)) = opener::file(&path(node_dir)) else {
        return Vec::new();
    };
    // Up to what is no text.
    let _ = file.take(LIMIT).read_to_string(&mut text);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|first: &First| first.since == boot.since && first.env == boot.env.as_str())
        .collect()
}

/// Adds a file that was not fetched before; durable when it returns, so that a power cut makes no boot of what was
/// fetched already.
pub fn add(node_dir: &Path, first: &First) -> Result<()> {
    let path = path(node_dir);
    let adding = || format!("writing {}", path.display());
    let mut line = serde_json::to_string(first)?;
    // After half a line, too.
    line.insert(0, '\n');
    line.push('\n');
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
    let mode = Mode::from_bits_truncate(0o644);
    let mut file = opener::file_or_new(&path, flags, mode).with_context(adding)?;
    if file.metadata().with_context(adding)?.len() < LIMIT {
        file.write_all(line.as_bytes()).with_context(adding)?;
        file.sync_data().with_context(adding)?;
    }
    Ok(())
}

/// Takes away what was fetched of earlier boots; best effort, for it is of no other.
pub fn clear(node_dir: &Path) {
    let _ = std::fs::remove_file(path(node_dir));
}

fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("fetching.jsonl")
}
