//! What differs in a root half on its node's own disk: nothing has configured the network before the system starts.
//!
//! Works on the copy that is sent there. Not for the boot files.

use anyhow::Result;

use super::root_network;
use crate::fs::rooted::Tree;

/// Gives a root half its network back, which it leaves alone where the root comes over it.
pub(crate) fn set(root: &Tree) -> Result<()> {
    root_network::set(root, false).map(drop)
}
