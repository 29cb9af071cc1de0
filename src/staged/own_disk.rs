//! Changes of a root half for its node's own disk: there the network is not configured before the system starts.
//!
//! Works on the copy that is sent. Not for the boot files.

use anyhow::Result;

use super::root_network;
use crate::fs::rooted::Tree;

/// Lets the system of a root half configure its network again, which it does not do with a root on the network.
pub(crate) fn set(root: &Tree) -> Result<()> {
    root_network::set(root, false).map(drop)
}
