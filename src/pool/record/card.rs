//! The card or stick of a node, and the environment that it boots, in `node.json`. Not for the card's own files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A card with the boot half of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The name of the environment.
    pub environment: String,
    /// Its identity.
    pub uuid: String,
    /// The path of the card when it was written, which is likely to lead to it again.
    pub target: String,
    /// When it was written, UTC.
    pub since: Timestamp,
    /// Its kernel then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The digest of its boot files then.
    pub boot_files: String,
    /// The UUIDs of the environments that the card may boot instead, until it is known to boot this one: more than one after
    /// interrupted deploys, since each of these may have reached the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
    /// Whether the deploy was not finished, as far as is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

impl Card {
    /// Returns the UUIDs of all environments that it may boot.
    pub fn identities(&self) -> impl Iterator<Item = &String> + Clone {
        std::iter::once(&self.uuid).chain(&self.replaces)
    }
}
