//! The records: `pool.json` and `node.json` in the state directory, with a copy on the pool for a takeover by another
//! server; `env.json` beside the halves, with a code ([`super::code`]).
//!
//! Unknown fields are kept and written back, so that an older netbe does not lose what a newer one wrote within one
//! format version; a newer version is refused. No boot depends on `env.json`.

mod card;
mod env;
mod local;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use card::Card;
pub use env::{EnvRecord, KernelSeen, Led, Merged, Shared, Snapshots};
pub use local::{Block, Esp, Local};

use super::data::DataRecord;
pub use super::record_file::{LIMIT, read, write, write_before_sync};

/// How many generations before its origin an environment records.
pub const LINEAGE: usize = 16;

/// The version of all records this netbe writes.
pub const VERSION: u64 = 1;

/// The field that is the same in all formats.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// `pool.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Format version of the whole pool.
    pub version: u64,
    /// The pool's identity; it is in the exports file, so that two pools on one machine do not overwrite each other's.
    pub uuid: String,
    /// Properties of every node that does not set them itself.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Where on this machine's own disk the pool is, if this machine is its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
    /// Fields of a newer netbe.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `node.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Format version.
    pub version: u64,
    /// Whether it is a template: no machine boots it.
    #[serde(default)]
    pub template: bool,
    /// The node's own properties.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The node it was renamed from, while that one may still exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Clients that lost their access by a change of the properties, until the node has booted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptClients>,
    /// The data that belongs to the node, and not to its environments.
    #[serde(default, skip_serializing_if = "DataRecord::is_empty")]
    pub data: DataRecord,
    /// The environment that its own card boots, if it does not boot over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
    /// Fields of a newer netbe.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Clients that may go on mounting a node's environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptClients {
    /// As in the property `clients`.
    pub clients: Vec<String>,
    /// The boot IDs that the node's environments had reported by then: any other one belongs to a later boot.
    #[serde(rename = "told", default, skip_serializing_if = "Vec::is_empty")]
    pub known_boot_ids: Vec<String>,
}

/// The origin of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of its node then.
    pub node: String,
    /// Its name then.
    pub name: String,
    /// Its identity.
    pub uuid: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.name)
    }
}

impl PoolRecord {
    /// Returns the part that may be written to the pool, without secrets.
    pub fn without_secrets(&self) -> Self {
        Self {
            properties: without_secrets(&self.properties),
            ..self.clone()
        }
    }

    /// Parses a `pool.json`.
    ///
    /// # Errors
    /// When it is malformed, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text, |r: &Self| r.version)
    }
}

impl NodeRecord {
    /// Returns the record of a new node.
    pub fn new(template: bool) -> Self {
        Self {
            version: VERSION,
            template,
            ..Self::default()
        }
    }

    /// Returns the part that may be written to the pool, without secrets: every client of an export could read these.
    pub fn without_secrets(&self) -> Self {
        Self {
            properties: without_secrets(&self.properties),
            ..self.clone()
        }
    }

    /// Parses a `node.json`.
    ///
    /// # Errors
    /// When it is malformed, or of a newer format.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text, |r: &Self| r.version)
    }
}

/// Returns whether a text is of a newer netbe.
pub fn is_newer(text: &str) -> bool {
    serde_json::from_str::<Versioned>(text).is_ok_and(|v| v.version > VERSION)
}

fn without_secrets(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut public = properties.clone();
    public.retain(|name, _| !is_secret(name));
    public
}

fn parse<T: DeserializeOwned>(text: &str, version: fn(&T) -> u64) -> Result<T> {
    let parsed = serde_json::from_str::<T>(text);
    // A parse error may be due to a newer format without required fields.
    let version = match &parsed {
        Ok(record) => version(record),
        Err(_) => serde_json::from_str::<Versioned>(text).map_or(VERSION, |v| v.version),
    };
    if version > VERSION {
        bail!("it has format {version}, of a newer netbe; this netbe reads format {VERSION}");
    }
    Ok(parsed?)
}

/// Returns whether a property's value may hold a secret.
fn is_secret(name: &str) -> bool {
    name == "power.cycle"
}

#[cfg(test)]
mod tests;
