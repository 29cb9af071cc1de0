//! The recorded events of a node's boots: `boots.jsonl`, one line for each, oldest first.
//!
//! Written without waiting, because a TFTP server waits for it. The size is bounded, and no number of transfers
//! displaces the events of other environments: of old events, the last of each kind stays for each environment. A
//! truncated or malformed line is skipped. Not for conclusions: [`super`].

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::client::Whose;
use crate::fs::atomic::{self, Durable};
use crate::fs::opener;
use crate::pool::Environment;

/// How much of the end is kept unchanged, in bytes: some ten boots of a Raspberry Pi.
const TAIL: usize = 32 << 10;

/// The size, in bytes, at which old events are condensed.
const LIMIT: u64 = 64 << 10;
/// How many condensed lines are kept. Transfers alone cannot exceed it: they are at most three for each environment.
const KEPT: usize = 64;

/// How often the lock is tried, a millisecond apart: an event added without it can be lost, and a flood on a slow disk
/// holds it for long.
const TRIES: u32 = 2000;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// A file was fetched.
    #[default]
    Tftp,
    /// The NFS server has the environment in use.
    Nfs,
    /// The node reported a completed boot.
    Report,
    /// It is the root of this machine.
    Root,
}

impl How {
    /// Returns it as text for `status`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Tftp => "it fetched its kernel",
            Self::Nfs => "the NFS server has it in use",
            Self::Report => "it reported a completed boot",
            Self::Root => "it is the root of this machine",
        }
    }
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The time, UTC.
    pub time: Timestamp,
    /// The environment, by name.
    pub env: String,
    /// The environment's identity, since another one may have had its name before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The kind.
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
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether that is the node's address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// The boot ID it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

impl Seen {
    /// An environment that a node ran.
    pub(super) fn of(env: &Environment, how: How, time: Timestamp) -> Self {
        Self {
            time,
            env: env.name.to_string(),
            uuid: env.uuid().map(str::to_string),
            how,
            ..Self::default()
        }
    }

    /// Returns whether the node may have caused it.
    pub fn may_be_its(&self) -> bool {
        self.whose != Some(Whose::Others)
    }

    fn kind(&self) -> (&str, Option<&str>, How, Option<Whose>) {
        (&self.env, self.uuid.as_deref(), self.how, self.whose)
    }
}

/// Returns the events of a node, oldest first.
pub fn read(node_dir: &Path) -> Vec<Seen> {
    let Ok(bytes) = whole(&path(node_dir)) else {
        return Vec::new();
    };
    parse(&String::from_utf8_lossy(&bytes))
}

/// Returns the events of a text; malformed lines are skipped.
pub fn parse(text: &str) -> Vec<Seen> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Adds an event at the end.
///
/// Durable only if it is the first of its kind for the environment: a second adds no evidence, and a power cut must not
/// lose the first.
pub fn add(node_dir: &Path, seen: &Seen) -> Result<()> {
    let path = path(node_dir);
    let mut line = serde_json::to_string(seen)?;
    line.push('\n');
    let file = open(&path).with_context(|| format!("opening {}", path.display()))?;
    let before = whole(&path)?;
    if before.last().is_some_and(|last| *last != b'\n') {
        // A truncated line after a power cut must not spoil this one.
        line.insert(0, '\n');
    }
    let news = !parse(&String::from_utf8_lossy(&before))
        .iter()
        .any(|known| known.kind() == seen.kind());
    // One write, so that readers and writers never see a partial line.
    (&*file)
        .write_all(line.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    if news {
        file.sync_data()
            .and_then(|()| atomic::directory(node_dir))
            .with_context(|| format!("making {} durable", path.display()))?;
    }
    if file.metadata()?.len() > LIMIT && file.is_alone() {
        let shorter = put_together(&whole(&path)?);
        atomic::file(&path, &shorter, Durable::WithNextSync)?;
    }
    Ok(())
}

/// The file, with its lock if it was free.
enum Opened {
    /// It is locked.
    Alone(Flock<File>),
    /// Another process has the lock: the line is added without it.
    Shared(File),
}

impl Opened {
    fn is_alone(&self) -> bool {
        matches!(self, Self::Alone(_))
    }
}

impl std::ops::Deref for Opened {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Alone(file) => file,
            Self::Shared(file) => file,
        }
    }
}

/// Opens the file at the path and locks it; opens it again if it was replaced meanwhile, else the line would be lost
/// with the old file.
fn open(path: &Path) -> std::io::Result<Opened> {
    let open = || {
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
        opener::file_or_new(path, flags, Mode::from_bits_truncate(0o644))
    };
    for _ in 0..TRIES {
        match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
            Ok(file) if is_at(&file, path) => return Ok(Opened::Alone(file)),
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    open().map(Opened::Shared)
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |m: std::fs::Metadata| (m.dev(), m.ino());
    let ids = (file.metadata().map(id), path.symlink_metadata().map(id));
    matches!(ids, (Ok(here), Ok(there)) if here == there)
}

/// Returns the condensed text: the last line of each kind for each environment, then the end unchanged.
fn put_together(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let cut = text.len().saturating_sub(TAIL);
    let cut = text
        .as_bytes()
        .get(cut..)
        .and_then(|end| end.iter().position(|b| *b == b'\n'))
        .map_or(text.len(), |i| cut + i + 1);
    let (old, end) = text.split_at(cut);
    let events: Vec<Seen> = parse(old);
    let mut known = HashSet::new();
    let mut kept: Vec<&Seen> = events
        .iter()
        .rev()
        .filter(|seen| known.insert(seen.kind()))
        .take(KEPT)
        .collect();
    kept.reverse();
    let lines = kept
        .iter()
        .filter_map(|seen| serde_json::to_string(seen).ok());
    let mut shorter: String = lines.map(|line| line + "\n").collect();
    shorter.push_str(end);
    shorter.into_bytes()
}

fn whole(path: &Path) -> std::io::Result<Vec<u8>> {
    let Some(file) = opener::file(path)? else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    file.take(2 * LIMIT).read_to_end(&mut bytes)?;
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
            client: Some("10.0.0.5".to_string()),
            ..Seen::default()
        }
    }

    #[test]
    fn garbage_has_no_boots() {
        let good = r#"{"time":"2026-11-20T10:15:00Z","env":"first","how":"tftp"}"#;
        assert_eq!(parse(good)[0].env, "first");
        assert_eq!(parse(&format!("{good}\n{{\"time\":\"2026")).len(), 1);
        for text in ["", "\u{0}\u{0}", "[]", "{}", r#"{"time":"x","env":"a"}"#] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }

    #[test]
    fn the_log_is_bounded_and_a_flood_keeps_the_evidence_of_other_environments() {
        let dir = tempfile::tempdir().unwrap();
        add(dir.path(), &seen("a", "vmlinuz")).unwrap();
        let report = Seen {
            how: How::Report,
            file: None,
            boot_id: Some("1".to_string()),
            ..seen("a", "")
        };
        add(dir.path(), &report).unwrap();
        for whose in [Whose::Its, Whose::Others] {
            for i in 0..1000 {
                let flood = Seen {
                    whose: Some(whose),
                    ..seen("b", &format!("file{i}"))
                };
                add(dir.path(), &flood).unwrap();
            }
        }
        let length = path(dir.path()).metadata().unwrap().len();
        assert!(length <= LIMIT, "{length}");
        let lines = read(dir.path());
        assert!(lines.len() > 100);
        assert_eq!(lines.last().unwrap().file.as_deref(), Some("file999"));
        let kinds: HashSet<_> = lines.iter().map(Seen::kind).collect();
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|(env, _, how, whose)| (env, how, whose))
            .collect();
        for kept in [
            ("a", How::Tftp, None),
            ("a", How::Report, None),
            ("b", How::Tftp, Some(Whose::Its)),
            ("b", How::Tftp, Some(Whose::Others)),
        ] {
            assert!(kinds.contains(&kept), "{kept:?} of {kinds:?}");
        }
    }

    #[test]
    fn concurrent_additions_are_all_recorded() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    for _ in 0..200 {
                        add(dir, &seen("flood", "config.txt")).unwrap();
                    }
                    add(dir, &seen(&format!("env{i}"), "vmlinuz")).unwrap();
                });
            }
        });
        let lines = read(dir.path());
        for i in 0..8 {
            let env = format!("env{i}");
            assert!(lines.iter().any(|seen| seen.env == env), "{env}");
        }
    }

    #[test]
    fn half_a_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path()), r#"{"time":"2026-11-20T1"#).unwrap();
        add(dir.path(), &seen("a", "vmlinuz")).unwrap();
        assert_eq!(read(dir.path()).len(), 1);
    }
}
