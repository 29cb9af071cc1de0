//! The records netbe keeps beside what they describe: `pool.json`, `node.json`, `env.json`.
//!
//! Parsing is tolerant of fields it does not know and gives them back when the record is written, so
//! that an older netbe does not lose what a newer one wrote within one format version; a record of a newer
//! version is refused. Not for state: losing `env.json` costs a description, never a boot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::name::{EnvName, NodeName};
use crate::packages::Changes;
use crate::storage::replace::{self, Durable};

/// The largest record that is read, in bytes.
pub const LIMIT: u64 = 16 << 20;

/// How many generations before its origin an environment remembers.
pub const LINEAGE: usize = 16;

/// The version of all records this netbe writes.
pub const VERSION: u64 = 1;

/// What every record says first.
trait Record {
    fn version(&self) -> u64;
}

/// The one thing that is the same in all formats.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// `pool.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Format version of the whole pool.
    pub version: u64,
    /// The pool's identity, in its exports file, so that two pools on one machine do not overwrite
    /// each other's.
    pub uuid: String,
    /// Properties every node has unless it has its own.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// What a newer netbe wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `node.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Format version.
    pub version: u64,
    /// Whether no machine boots this node: it is there to make others from.
    #[serde(default)]
    pub template: bool,
    /// The node's own properties.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The node this one is the new name of, while the old one may still be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// What a newer netbe wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `env.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvRecord {
    /// Format version.
    pub version: u64,
    /// The environment's identity: the UUID its root subvolume was made with. A rename keeps it.
    pub uuid: String,
    /// When it was made, UTC.
    pub created: Timestamp,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What that was made from, and so on, the nearest first; where there are more than [`LINEAGE`], the nearest
    /// and the very first. So that the line is known when what stands in it is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Origin>,
    /// What a person said of it.
    #[serde(default)]
    pub description: String,
    /// Whether it is kept from being destroyed.
    #[serde(default)]
    pub pinned: bool,
    /// Where the node mounts the boot half: `/boot/firmware` or `/boot`.
    pub boot_mount: String,
    /// The processor it is for, as `uname -m` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The kernel it boots, as last read; one that cannot be understood is none: it is only remembered.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "remembered"
    )]
    pub kernel: Option<KernelSeen>,
    /// Arguments on its kernel command line that came from the property `cmdline`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Arguments for a local root that were taken off its command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stripped: Vec<String>,
    /// Whether a machine could have booted it: it was active while the network was offered it.
    #[serde(default)]
    pub served: bool,
    /// When it last stopped being the active one, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// When a boot for once, or a trial, stopped leading machines to it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Why it is not to be trusted: what failed in it, where `--keep` left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why it is not to be booted unasked: the trial it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// What the upgrade that made it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Changes>,
    /// What that upgrade took of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// The environment of the same node this one is the new name of, while the old one may still be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// What a newer netbe wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What an environment was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its node, by the name it had.
    pub node: String,
    /// Its name then.
    pub name: String,
    /// Its identity.
    pub uuid: String,
}

/// What an upgrade took of the disk when it was made; bytes on disk of file data, compressed as it is there.
///
/// Small files that stand in the filesystem's trees are not counted, nor are the trees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// What it wrote that its origin has not.
    pub changed: u64,
    /// What it wrote that was the same as in its origin, and shares the origin's space since.
    pub shared_again: u64,
}

/// A kernel's version with what tells whether its file is still the one it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSeen {
    /// The file in the boot half.
    pub file: String,
    /// Its version, as `uname -r` says it.
    pub version: String,
    /// The boot file that names it.
    pub named_by: String,
    /// Of that file, then of the kernel itself: size in bytes and change time in nanoseconds.
    pub stamp: String,
}

impl PoolRecord {
    /// Parses a `pool.json`.
    ///
    /// # Errors
    /// When it is not one, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text)
    }
}

impl NodeRecord {
    /// Returns the record of a new node.
    pub fn new(template: bool) -> Self {
        Self {
            version: VERSION,
            template,
            properties: BTreeMap::new(),
            replaces: None,
            other: Map::new(),
        }
    }

    /// Parses a `node.json`.
    ///
    /// # Errors
    /// When it is not one, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text)
    }
}

impl EnvRecord {
    /// Returns the record of an environment that was made from no other.
    pub fn new(uuid: String, created: Timestamp, boot_mount: String) -> Self {
        Self {
            version: VERSION,
            uuid,
            created,
            origin: None,
            lineage: Vec::new(),
            description: String::new(),
            pinned: false,
            boot_mount,
            arch: None,
            kernel: None,
            added: Vec::new(),
            stripped: Vec::new(),
            served: false,
            left: None,
            withdrawn: None,
            failed: None,
            unproven: None,
            upgrade: None,
            shared: None,
            replaces: None,
            other: Map::new(),
        }
    }

    /// Returns the record of what is made now from the environment this one is of, known as `NODE/NAME`.
    ///
    /// What its files say goes along; what people and machines did with it does not.
    pub fn derived(&self, uuid: String, node: &NodeName, name: &EnvName) -> Self {
        Self {
            uuid,
            created: Timestamp::now(),
            origin: Some(Origin {
                node: node.to_string(),
                name: name.to_string(),
                uuid: self.uuid.clone(),
            }),
            lineage: self.line(),
            description: String::new(),
            pinned: false,
            served: false,
            left: None,
            withdrawn: None,
            failed: None,
            unproven: None,
            upgrade: None,
            shared: None,
            replaces: None,
            ..self.clone()
        }
    }

    /// Returns what it was made from, and what that was, as its children are to remember it.
    fn line(&self) -> Vec<Origin> {
        let mut line: Vec<Origin> = self.origin.iter().chain(&self.lineage).cloned().collect();
        if line.len() > LINEAGE {
            line.drain(LINEAGE - 1..line.len() - 1);
        }
        line
    }

    /// Parses an `env.json`.
    ///
    /// # Errors
    /// When it is not one, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text)
    }
}

impl Record for PoolRecord {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Record for NodeRecord {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Record for EnvRecord {
    fn version(&self) -> u64 {
        self.version
    }
}

fn remembered<'de, D>(deserializer: D) -> std::result::Result<Option<KernelSeen>, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

fn parse<T: DeserializeOwned + Record>(text: &str) -> Result<T> {
    let parsed = serde_json::from_str::<T>(text);
    // What cannot be parsed may be of a newer format, which may lack fields this one cannot do without.
    let version = match &parsed {
        Ok(record) => record.version(),
        Err(_) => serde_json::from_str::<Versioned>(text).map_or(VERSION, |v| v.version),
    };
    if version > VERSION {
        bail!("it is of format {version}, made by a newer netbe; this one knows format {VERSION}");
    }
    Ok(parsed?)
}

/// Returns a record's text; `None` where there is no file.
///
/// Anything but a regular file is an error, a link too, and so is one past 16 MiB.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    // Whatever was put there by hand: a pipe must not hang the reader, nor a link lead it out of the pool.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
    let text = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => text_of(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(nix::libc::ELOOP) => Err(not_ours()),
        Err(e) => Err(e),
    };
    text.map(Some)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn text_of(file: File) -> io::Result<String> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(not_ours());
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

fn not_ours() -> io::Error {
    io::Error::other("not a file netbe wrote")
}

/// Writes a record durably, in one step.
pub fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    put(path, record, Durable::AtOnce)
}

/// Writes a record in one step; the caller syncs the filesystem before anything rests on it.
pub fn write_before_sync(path: &Path, record: &impl Serialize) -> Result<()> {
    put(path, record, Durable::WithNextSync)
}

fn put(path: &Path, record: &impl Serialize, durable: Durable) -> Result<()> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    Ok(replace::file(path, text.as_bytes(), durable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_refused_whatever_else_it_says() {
        for text in [r#"{"version": 2}"#, r#"{"version": 99, "uuid": 3}"#] {
            let error = PoolRecord::parse(text).unwrap_err().to_string();
            assert!(error.contains("newer netbe"), "{error}");
        }
        for garbage in ["", "{", "[]", "null", "{}", r#"{"version": -1}"#, "\u{0}"] {
            assert!(PoolRecord::parse(garbage).is_err(), "{garbage:?}");
            assert!(EnvRecord::parse(garbage).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn what_was_done_with_an_environment_stays_with_it() {
        let text = r#"{"version":1,"uuid":"u1","created":"2026-11-20T10:15:00Z","boot_mount":"/boot",
            "description":"d","pinned":true,"served":true,"left":"2026-11-20T10:16:00Z","failed":"f",
            "replaces":"r","shared":{"changed":1,"shared_again":2},"added":["quiet"],"arch":"aarch64","colour":"blue"}"#;
        let (node, name) = ("nog".parse().unwrap(), "first".parse().unwrap());
        let new = EnvRecord::parse(text)
            .unwrap()
            .derived("u2".to_string(), &node, &name);
        let origin = new.origin.as_ref().unwrap();
        assert_eq!((new.uuid.as_str(), origin.uuid.as_str()), ("u2", "u1"));
        assert_eq!(
            (origin.node.as_str(), origin.name.as_str()),
            ("nog", "first")
        );
        assert_eq!(new.description, "");
        assert!(!new.pinned && !new.served && new.left.is_none());
        assert!(new.failed.is_none() && new.replaces.is_none() && new.shared.is_none());
        assert_eq!(
            (new.added, new.arch),
            (vec!["quiet".to_string()], Some("aarch64".to_string()))
        );
        assert_eq!(new.other["colour"], "blue");
    }

    #[test]
    fn unknown_fields_survive_a_rewrite() {
        let text = r#"{"version":1,"template":true,"properties":{"mac":"x"},"colour":"blue"}"#;
        let record = NodeRecord::parse(text).unwrap();
        let again = serde_json::to_string(&record).unwrap();
        assert!(again.contains(r#""colour":"blue""#), "{again}");
    }
}
