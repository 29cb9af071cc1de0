//! The records netbe keeps: `pool.json` and `node.json` in the state directory, with a copy on the pool for another
//! server to take over; `env.json` beside the halves it describes, with a code ([`super::code`]).
//!
//! Parsing is tolerant of fields it does not know and gives them back when the record is written, so
//! that an older netbe does not lose what a newer one wrote within one format version; a record of a newer
//! version is refused. Not for state: losing `env.json` costs a description, never a boot.

mod env;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use env::{EnvRecord, KernelSeen, Led, Shared};

pub use super::record_file::{LIMIT, read, write, write_before_sync};

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.name)
    }
}

impl PoolRecord {
    /// Returns what of it may lie on the pool, as of a node's.
    pub fn without_secrets(&self) -> Self {
        Self {
            properties: without_secrets(&self.properties),
            ..self.clone()
        }
    }

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

    /// Returns what of it may lie on the pool: whoever mounts an export of it could read what is secret.
    pub fn without_secrets(&self) -> Self {
        Self {
            properties: without_secrets(&self.properties),
            ..self.clone()
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

fn without_secrets(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut public = properties.clone();
    public.retain(|name, _| !is_secret(name));
    public
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

/// Returns whether a property's value may hold a secret.
fn is_secret(name: &str) -> bool {
    name == "power.cycle"
}

#[cfg(test)]
mod tests;
