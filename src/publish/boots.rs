//! What was seen of a node's boots: `boots.jsonl`, a line an event, oldest first.
//!
//! Written without waiting for anybody, because a TFTP server stands behind it; bounded. Reading is
//! tolerant: a line cut short by a crash, or garbage, says nothing. Not for what follows from it: that is
//! [`super::evidence`].

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::storage::opener;
use crate::storage::replace::{self, Durable};

/// How much of the end is read, and kept, in bytes: some twenty boots of a Raspberry Pi.
const TAIL: u64 = 64 << 10;

/// How large it may become, in bytes, before only its end is kept.
const LIMIT: u64 = 2 * TAIL;

/// How something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// A file was fetched.
    #[default]
    Tftp,
    /// The NFS server knows the environment in use.
    Nfs,
    /// The node itself reported that it came up.
    Report,
}

impl How {
    /// Returns how a person says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Tftp => "it fetched its kernel",
            Self::Nfs => "the NFS server has it in use",
            Self::Report => "it reported that it came up",
        }
    }
}

/// One line: a file that was fetched, or a report that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When, UTC.
    pub time: Timestamp,
    /// The environment, by name.
    pub env: String,
    /// The environment's identity, which tells it from another one that had its name before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// How it was seen.
    #[serde(default)]
    pub how: How,
    /// The file, as a path in the boot half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether it is the kernel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kernel: bool,
    /// Who fetched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl Seen {
    /// Returns whether this is a boot, and not only a file looked at on the way to one.
    pub fn is_boot(&self) -> bool {
        self.kernel || self.file.is_none()
    }

    /// Returns whether this and `other` are of one environment.
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.env == other.env && self.uuid == other.uuid
    }
}

/// Returns the last events of a node, oldest first.
pub fn read(node_dir: &Path) -> Vec<Seen> {
    let Ok(bytes) = tail(&path(node_dir)) else {
        return Vec::new();
    };
    parse(&String::from_utf8_lossy(&bytes))
}

/// Returns the events a text holds; a line that holds none is passed over.
pub fn parse(text: &str) -> Vec<Seen> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Adds an event at the end; not durable by itself: what a power cut takes away is unknown again, and
/// unknown is safe.
pub fn add(node_dir: &Path, seen: &Seen) -> Result<()> {
    let path = path(node_dir);
    let mut line = serde_json::to_string(seen)?;
    line.push('\n');
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
    let mode = Mode::from_bits_truncate(0o644);
    let mut file = opener::file_or_new(&path, flags, mode)
        .with_context(|| format!("opening {}", path.display()))?;
    // One write: a reader, and another writer, never see half a line.
    file.write_all(line.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    if file.metadata()?.len() > LIMIT {
        let bytes = tail(&path)?;
        let whole = bytes.iter().position(|b| *b == b'\n').map_or(0, |i| i + 1);
        replace::file(&path, &bytes[whole..], Durable::WithNextSync)?;
    }
    Ok(())
}

fn tail(path: &Path) -> std::io::Result<Vec<u8>> {
    let Some(mut file) = opener::file(path)? else {
        return Ok(Vec::new());
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("boots.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(env: &str, file: &str) -> Seen {
        Seen {
            time: Timestamp::UNIX_EPOCH,
            env: env.to_string(),
            uuid: Some("u".to_string()),
            how: How::Tftp,
            file: Some(file.to_string()),
            size: Some(1),
            kernel: false,
            client: Some("10.0.0.5".to_string()),
        }
    }

    #[test]
    fn garbage_tells_nothing() {
        let good = r#"{"time":"2026-11-20T10:15:00Z","env":"first","how":"tftp"}"#;
        assert_eq!(parse(good)[0].env, "first");
        assert_eq!(parse(&format!("{good}\n{{\"time\":\"2026")).len(), 1);
        for text in ["", "\u{0}\u{0}", "[]", "{}", r#"{"time":"x","env":"a"}"#] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }

    #[test]
    fn it_stays_bounded_and_keeps_its_end() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..2000 {
            add(dir.path(), &seen("a", &format!("file{i}"))).unwrap();
        }
        let length = path(dir.path()).metadata().unwrap().len();
        assert!(length <= LIMIT, "{length}");
        let lines = read(dir.path());
        assert!(lines.len() > 300);
        assert_eq!(lines.last().unwrap().file.as_deref(), Some("file1999"));
        assert_eq!(lines[0].env, "a");
    }
}
