//! Whose a transfer or a use was, as far as addresses tell.
//!
//! Not for what follows from it.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::pool::{Node, Pool};

/// Whose transfer it was, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// From the node's own address.
    Its,
    /// From another.
    Others,
}

/// Returns the one address a node's environments are exported to; `None` where there are several, or a network.
///
/// What the NFS server sees in use is then the node's own doing.
pub fn sole_client(pool: &Pool, node: &Node) -> Option<Ipv4Addr> {
    match node.property(pool, "clients") {
        Some(clients) => clients.parse().ok(),
        None => node.address(pool),
    }
}
