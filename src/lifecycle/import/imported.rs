//! The result of an import.

use crate::pool::data::DataPath;
use crate::pool::{EnvId, EnvName, Node};

/// The result.
#[derive(Debug)]
pub struct Imported {
    /// The environment.
    pub id: EnvId,
    /// The kind of its node, if it is new.
    pub new_node: Option<NewNode>,
    /// The version of its kernel, if known.
    pub kernel: Option<String>,
    /// The data that its node got.
    pub data: Vec<DataPath>,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// The kind of a new node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewNode {
    /// A template.
    Template,
    /// A node that machines boot, once it has a MAC address or serial.
    Booted,
}

impl NewNode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Booted => "node",
        }
    }
}

/// Returns the note that the active environment of a template is still another one than the imported one.
pub(super) fn still_made_from(node: &Node, imported: &EnvName) -> Option<String> {
    let active = node.active.as_ref().filter(|name| *name != imported)?;
    node.is_template().then(|| {
        format!(
            "new nodes are still made from {0}/{active}, which is active; to have them made from this one: \
             netbe activate {0}/{imported}",
            node.name
        )
    })
}
