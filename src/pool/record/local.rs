//! A pool on the disk that this machine boots from, which is its only node.

use serde::{Deserialize, Serialize};

/// Where such a pool is, in terms that its loader and its kernel understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The UUID of the filesystem.
    pub filesystem: String,
    /// The pool, as a path from the top level of the filesystem: `netbe`.
    pub path: String,
    /// The machine's node.
    pub node: String,
}
