//! `env.json`: what is known of an environment.

use std::path::Path;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{LIMIT, LINEAGE, Origin, Record, VERSION, parse};
use crate::btrfs::subvolume::{self, Uuid};
use crate::fs::atomic::Durable;
use crate::packages::Changes;
use crate::pool::code::{Key, MEMBER};
use crate::pool::layout;
use crate::pool::name::{EnvName, NodeName};
use crate::sandbox::lent::Lent;

/// `env.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvRecord {
    /// Format version.
    pub version: u64,
    /// The environment's identity: the UUID its root subvolume was made with. A rename keeps it.
    pub uuid: String,
    /// When it was made, UTC, by the server's clock: to be shown, and no order.
    pub created: Timestamp,
    /// The number of the subvolume that its root half was made as: one that was made later has a higher one, whatever
    /// the clock said. A rename keeps it. An older netbe noted none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
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
    /// When machines were last begun to be led to it, and what it had reported by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led: Option<Led>,
    /// The boots that the node's environments had reported when machines were last led away from it, by the kernel's
    /// numbers of them: none of those tells that the node has left it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// When it last stopped being the active one, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// The how-manyth activation of its node last made it the active one; of an older netbe, or the node's first, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<u64>,
    /// When a boot for once, or a trial, stopped leading machines to it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Why it is not to be trusted: what failed in it, where `--keep` left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why it is not to be booted unasked: the trial it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// Why it would not boot, a sentence each, as it was last verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_not_boot: Vec<String>,
    /// The files of netbe's that stand in place of its own while a program runs in it, or since netbe was killed meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lent: Vec<Lent>,
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

/// When machines were begun to be led to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// When, UTC.
    pub since: Timestamp,
    /// The boot its report told of then, which says nothing of those to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
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

impl EnvRecord {
    /// Returns the record of an environment that was made from no other.
    pub fn new(uuid: String, created: Timestamp, boot_mount: String) -> Self {
        Self {
            version: VERSION,
            uuid,
            created,
            number: None,
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
            led: None,
            told: Vec::new(),
            left: None,
            entered: None,
            withdrawn: None,
            failed: None,
            unproven: None,
            would_not_boot: Vec::new(),
            lent: Vec::new(),
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
            number: None,
            origin: Some(Origin {
                node: node.to_string(),
                name: name.to_string(),
                uuid: self.uuid.clone(),
            }),
            lineage: self.line(),
            description: String::new(),
            pinned: false,
            served: false,
            led: None,
            told: Vec::new(),
            left: None,
            entered: None,
            withdrawn: None,
            failed: None,
            unproven: None,
            would_not_boot: Vec::new(),
            lent: Vec::new(),
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

    /// Parses an `env.json`, whoever wrote it.
    ///
    /// # Errors
    /// When it is not one, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        let mut record: Self = parse(text)?;
        record.other.remove(MEMBER);
        Ok(record)
    }

    /// Parses the `env.json` of the environment with that root subvolume.
    ///
    /// # Errors
    /// When it is not one, of a newer format, or not as netbe on this server wrote it for that environment.
    pub fn parse_own(text: &str, key: &Key, root: Uuid) -> Result<Self> {
        let record = Self::parse(text)?;
        let mut value: Value = serde_json::from_str(text)?;
        key.verify(&mut value, root)?;
        Ok(record)
    }

    /// Returns the text of the record of the environment with that root subvolume, with its code.
    ///
    /// # Errors
    /// Also where it is longer than any that is read: the environment would be without one.
    pub fn signed(&self, key: &Key, root: Uuid) -> Result<String> {
        // Once more from its own text: the code is over what a reader will have.
        let mut value: Value = serde_json::from_str(&serde_json::to_string(self)?)?;
        key.sign(&mut value, root);
        let text = serde_json::to_string_pretty(&value)? + "\n";
        ensure!(
            text.len() as u64 <= LIMIT,
            "the environment's record is longer than {} MiB",
            LIMIT >> 20
        );
        Ok(text)
    }

    /// Writes the record of the environment, or stage of one, in a directory in which its root half is; in one step.
    pub fn store(&self, dir: &Path, key: &Key, durable: Durable) -> Result<()> {
        let root = subvolume::info(&dir.join(layout::ROOT))?.uuid;
        let text = self.signed(key, root)?;
        let file = dir.join(layout::ENV_RECORD);
        Ok(crate::fs::atomic::private(&file, text.as_bytes(), durable)?)
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
