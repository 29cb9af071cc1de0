//! The first fetches of a node's pending boot: `fetching.jsonl`, one line for each file.
//!
//! Only the first fetch of each file that the boot needs is recorded: repeated transfers change nothing and displace
//! nothing. Not for other transfers: [`super::boots`].

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::fs::opener;
use crate::pool::pending::PendingBoot;

/// Size limit in bytes, above what all boot files of any system need; nothing is read or written beyond it.
const LIMIT: u64 = 64 << 10;

/// A file and its first fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The boot, by the time it was set; entries of an earlier boot are ignored.
    pub since: Option<Timestamp>,
    /// The environment, by name.
    pub env: String,
    /// The time, UTC.
    pub time: Timestamp,
    /// The file, as a path in the boot half.
    pub file: String,
    /// Whether the client had the node's address.
    #[serde(default)]
    pub its: bool,
}

/// Returns the fetches of a boot, oldest first.
pub fn read(node_dir: &Path, boot: &PendingBoot) -> Vec<First> {
    let mut text = String::new();
    let Ok(Some(file)) = opener::file(&path(node_dir)) else {
        return Vec::new();
    };
    // Up to the first invalid UTF-8.
    let _ = file.take(LIMIT).read_to_string(&mut text);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|first: &First| first.since == boot.since && first.env == boot.env.as_str())
        .collect()
}

/// Adds the first fetch of a file; durable when it returns, so that after a power cut the boot counts as fetched.
pub fn add(node_dir: &Path, first: &First) -> Result<()> {
    let path = path(node_dir);
    let adding = || format!("writing {}", path.display());
    let mut line = serde_json::to_string(first)?;
    // Also after a truncated line.
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

/// Removes the fetches of earlier boots; best effort, since they are ignored.
pub fn clear(node_dir: &Path) {
    let _ = std::fs::remove_file(path(node_dir));
}

fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("fetching.jsonl")
}
