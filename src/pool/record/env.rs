//! `env.json`: the record of an environment.

use std::path::Path;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{LIMIT, LINEAGE, Origin, VERSION, parse};
use crate::boot::DiskRoot;
use crate::btrfs::subvolume::{self, Uuid};
use crate::fs::atomic::Durable;
use crate::packages::Changes;
use crate::pool::code::{Key, MEMBER};
use crate::pool::layout;
use crate::pool::name::{EnvName, NodeName};
use crate::sandbox::lent::Lent;

/// `env.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EnvRecord {
    /// Format version.
    pub version: u64,
    /// The environment's identity: the UUID its root subvolume was made with. A rename keeps it.
    pub uuid: String,
    /// Time of creation, UTC, by the server's clock: for display, not for ordering.
    pub created: Timestamp,
    /// The ID of the subvolume that its root half was made as: IDs ascend in order of creation, whatever the clock
    /// said. A rename keeps it. `None` from an older netbe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Its origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The ancestors before its origin, the nearest first; if there are more than [`LINEAGE`], the nearest ones and the
    /// very first. So the lineage is known when ancestors are destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Origin>,
    /// The subvolumes that its halves come from by snapshots, the nearest first; as many as in its lineage. So it is known
    /// when two environments parted, even after those between them were destroyed. Empty from an older netbe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshots>,
    /// Its description.
    #[serde(default)]
    pub description: String,
    /// Whether it is pinned.
    #[serde(default)]
    pub pinned: bool,
    /// The mount point of the boot half: `/boot/firmware` or `/boot`.
    pub boot_mount: String,
    /// Its architecture, as in `uname -m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The kernel it boots, as last read; a malformed entry is ignored, since this is only a cache.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "remembered"
    )]
    pub kernel: Option<KernelSeen>,
    /// The arguments on its kernel command line from the property `cmdline`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// The arguments for a local root that were removed from its command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stripped: Vec<String>,
    /// Whether mounts of local disks are disabled and the network leaves the root's interface alone; false from an older netbe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rested: bool,
    /// Whether its root is mounted, and so exported, read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The place on the node's own disk where `deploy` put its root; `None` if the node mounts it from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskRoot>,
    /// The UUID of the filesystem in its root half, if that is a disk image; `None` if it is files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether a machine could have booted it: it was active while its node was published.
    #[serde(default)]
    pub served: bool,
    /// The transaction of its filesystem before the node could first write into it: the node may have made all changes with a
    /// higher one. `None` if the names did not lead to it yet, and from an older netbe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_led: Option<u64>,
    /// When the node's names were last led to it, and its last report by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led: Option<Led>,
    /// The boot IDs that the node's environments had reported when its names were last led away from it: these do not
    /// prove that the node has left it.
    #[serde(rename = "told", default, skip_serializing_if = "Vec::is_empty")]
    pub known_boot_ids: Vec<String>,
    /// When it last stopped being the active one, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// The number of the activation, counted in its node, that last made it active; `None` for the first, and from an older netbe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<u64>,
    /// When the names were led back after a pending boot of it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// The failure in it, if `--keep` kept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The trial that it failed: then it is not activated without an explicit operand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// Why it would not boot, a sentence each, by the last verification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_not_boot: Vec<String>,
    /// The files that netbe has replaced while a program runs in it, or that a killed netbe left replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lent: Vec<Lent>,
    /// Whether it is proposed as its node's next boot: made by an upgrade or from another node's system, and not as a copy for
    /// another purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proposed: bool,
    /// Whether it is a merge with conflicts, which are to be resolved before it is booted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
    /// The package changes of the upgrade that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Changes>,
    /// The disk space of that upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// The environments whose changes were merged into it, or into an ancestor of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
    /// The environment of the same node that it was renamed from, while that one may still exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Fields of a newer netbe.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A merge of an environment into this one, by transactions of their filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The environment that was merged.
    pub uuid: String,
    /// Its changes up to this transaction are in the result.
    pub until: u64,
    /// The time of that transaction, UTC.
    pub until_at: Timestamp,
    /// The transaction at which the result was begun as a copy: later changes came from the merge.
    pub begun: u64,
    /// The transaction at which the result was complete: later changes are its own.
    pub complete: u64,
    /// The time of that transaction, UTC.
    pub complete_at: Timestamp,
}

/// The snapshots of both halves of an environment: their sources, and their transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// The UUID of the root half that was snapshotted, and the transaction.
    pub root: (String, u64),
    /// The same of the boot half.
    pub boot: (String, u64),
}

/// When a node's names were led to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// When, UTC.
    pub since: Timestamp,
    /// The boot ID in its report then, which is not evidence of later boots.
    #[serde(rename = "told", default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

/// The disk space of an upgrade when it was made; bytes of file data on disk, after compression.
///
/// Metadata is not counted, nor are small files stored inline in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Data that its origin does not have.
    pub changed: u64,
    /// Data that is the same as in its origin, and shares its extents again.
    pub shared_again: u64,
}

/// A kernel's version, with the stamp of the files it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSeen {
    /// The file in the boot half.
    pub file: String,
    /// Its version, as `uname -r` says it.
    pub version: String,
    /// The boot file that names it.
    pub named_by: String,
    /// Size in bytes and change time in nanoseconds, of that file, then of the kernel itself.
    pub stamp: String,
}

impl EnvRecord {
    /// Returns the record of an environment without an origin.
    pub fn new(uuid: String, created: Timestamp, boot_mount: String) -> Self {
        Self {
            version: VERSION,
            uuid,
            created,
            boot_mount,
            ..Self::default()
        }
    }

    /// Returns the record of a new environment whose origin is this one, `NODE/NAME`.
    ///
    /// It keeps the fields that describe the files, not those about this environment's history.
    pub fn derived(&self, uuid: String, node: &NodeName, name: &EnvName) -> Self {
        let own = self.clone();
        Self {
            origin: Some(Origin {
                node: node.to_string(),
                name: name.to_string(),
                uuid: own.uuid,
            }),
            lineage: self.line(),
            arch: own.arch,
            kernel: own.kernel,
            added: own.added,
            stripped: own.stripped,
            rested: own.rested,
            merged: own.merged,
            other: own.other,
            ..Self::new(uuid, Timestamp::now(), own.boot_mount)
        }
    }

    /// Returns this record with the place of the root from another one, for writing the files of that one.
    #[must_use]
    pub fn with_root_of(&self, other: &Self) -> Self {
        let had_beside = self
            .disk
            .as_ref()
            .is_some_and(|disk| !disk.beside.is_empty());
        Self {
            disk: other.disk.clone(),
            image: other.image.clone(),
            // The fstab lines of disks that a deployed root had are to be disabled again: another node may not have them.
            rested: self.rested && (!had_beside || self.disk == other.disk),
            ..self.clone()
        }
    }

    /// Returns this record for a root that is not on its node's own disk.
    #[must_use]
    pub fn off_disk(&self) -> Self {
        self.with_root_of(&Self {
            image: self.image.clone(),
            ..Self::default()
        })
    }

    /// Returns whether its root is on a disk, the node's own or one that the server offers.
    pub fn has_a_disk(&self) -> bool {
        self.disk.is_some() || self.image.is_some()
    }

    /// Returns whether its machines report into a subvolume of their node, since the server does not see their root.
    pub fn reports_by_export(&self) -> bool {
        self.read_only || self.has_a_disk()
    }

    /// Returns whether it is proposed as its node's next boot; an older netbe recorded only the changes of upgrades.
    pub fn is_proposed(&self) -> bool {
        self.proposed || self.upgrade.is_some() || self.shared.is_some()
    }

    /// Returns the lineage to record in its descendants.
    fn line(&self) -> Vec<Origin> {
        let mut line: Vec<Origin> = self.origin.iter().chain(&self.lineage).cloned().collect();
        if line.len() > LINEAGE {
            line.drain(LINEAGE - 1..line.len() - 1);
        }
        line
    }

    /// Records that the halves are these snapshots of those of an environment.
    pub fn note_snapshots(&mut self, own: Snapshots, of: &Self) {
        self.snapshots = std::iter::once(own)
            .chain(of.snapshots.iter().cloned())
            .collect();
        if self.snapshots.len() > LINEAGE {
            self.snapshots.drain(LINEAGE - 1..self.snapshots.len() - 1);
        }
    }

    /// Parses an `env.json` without checking its code.
    ///
    /// # Errors
    /// When it is not one, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        let mut record: Self = parse(text, |r: &Self| r.version)?;
        record.other.remove(MEMBER);
        Ok(record)
    }

    /// Parses the `env.json` of the environment with that root subvolume.
    ///
    /// # Errors
    /// When it is malformed, of a newer format, or its code is wrong.
    pub fn parse_own(text: &str, key: &Key, root: Uuid) -> Result<Self> {
        let record = Self::parse(text)?;
        // The text as this netbe wrote it; another text, of an older netbe or another program, is parsed to verify its code.
        if key.is_signed(text, root) {
            return Ok(record);
        }
        let mut value: Value = serde_json::from_str(text)?;
        key.verify(&mut value, root)?;
        Ok(record)
    }

    /// Returns the text of the record of the environment with that root subvolume, with its code.
    ///
    /// # Errors
    /// Also if it is longer than the limit of reading.
    pub fn signed(&self, key: &Key, root: Uuid) -> Result<String> {
        // Parsed again from its text: the code is over the content that a reader will have.
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

    /// Writes the record of the environment or stage in a directory that has the root half, in one step.
    pub fn store(&self, dir: &Path, key: &Key, durable: Durable) -> Result<()> {
        let root = subvolume::info(&dir.join(layout::ROOT))?.uuid;
        let text = self.signed(key, root)?;
        let file = dir.join(layout::ENV_RECORD);
        Ok(crate::fs::atomic::private(&file, text.as_bytes(), durable)?)
    }
}

fn remembered<'de, D>(deserializer: D) -> std::result::Result<Option<KernelSeen>, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
