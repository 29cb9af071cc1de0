//! Whether a transfer or an NFS use came from the node, by the client's address.
//!
//! Not for conclusions from it.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::pool::{Node, Pool};

/// The client of a transfer, if the node's address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// From the node's own address.
    Its,
    /// From another address.
    Others,
}

/// Returns the only address that a node's environments are exported to; `None` for several, or a network.
///
/// Then only the node itself can use them over NFS.
pub fn sole_client(pool: &Pool, node: &Node) -> Option<Ipv4Addr> {
    match node.property(pool, "clients") {
        Some(clients) => clients.parse().ok(),
        None => node.address(pool),
    }
}
