//! Which node's file a request is for: by the name in front, else by the address it comes from.
//!
//! Goes by the nodes' records, which are looked at anew whenever they changed, and not by the links that other
//! servers follow. Not for which environment that is, nor for opening anything.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use super::clients;
use crate::pool::{Node, NodeName, Pool, layout};
use crate::publish::tftp;

/// The names machines ask by.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, NodeName>,
    /// Nodes whose record cannot be read: of these only the links are left to go by.
    lost: Vec<NodeName>,
    /// What the records were when they were last read: name, inode, time of change.
    seen: Vec<(NodeName, Option<Stamp>)>,
}

/// A file's inode, and when that changed.
type Stamp = (u64, i64, i64);

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node: NodeName,
    /// The file's path in the boot half.
    pub(super) file: String,
}

impl Names {
    /// Returns the file that is meant where the first part of a name is one of a node's.
    pub(super) fn by_first(&self, pool: &Pool, parts: &[&str]) -> Option<Wanted> {
        let [first, file @ ..] = parts else {
            return None;
        };
        let node = self.node(pool, &first.to_ascii_lowercase());
        node.filter(|_| !file.is_empty()).map(|node| Wanted {
            node,
            file: file.join("/"),
        })
    }

    /// Returns the file that is meant where the client has the MAC address of a node.
    pub(super) fn by_client(
        &self,
        pool: &Pool,
        client: Ipv4Addr,
        parts: &[&str],
    ) -> Option<Wanted> {
        let node = clients::mac(client).and_then(|mac| self.node(pool, &mac));
        node.filter(|_| !parts.is_empty()).map(|node| Wanted {
            node,
            file: parts.join("/"),
        })
    }

    fn node(&self, pool: &Pool, name: &str) -> Option<NodeName> {
        self.by_name.get(name).cloned().or_else(|| {
            // Nobody is taken off the network because a record cannot be read.
            let link = layout::tftp(pool.root()).join(name).read_link().ok()?;
            tftp::led(&link)
                .map(|led| led.node)
                .filter(|node| self.lost.contains(node))
        })
    }

    /// Reads the records of a pool's nodes, where they changed.
    pub(super) fn look_again(&mut self, pool: &Pool) -> Result<()> {
        let seen: Vec<_> = pool
            .node_names()?
            .into_iter()
            .map(|name| {
                let record = Node::record_file(pool, &name).metadata().ok();
                let stamp = record.map(|m| (m.ino(), m.ctime(), m.ctime_nsec()));
                (name, stamp)
            })
            .collect();
        if seen == self.seen {
            return Ok(());
        }
        let nodes = pool.nodes()?;
        self.lost = nodes
            .iter()
            .filter(|n| n.lost)
            .map(|n| n.name.clone())
            .collect();
        self.by_name.clear();
        for node in nodes.iter().filter(|n| n.is_offered()) {
            for name in tftp::names(node) {
                // Two records edited by hand; the first has it, as of the links.
                self.by_name
                    .entry(name)
                    .or_insert_with(|| node.name.clone());
            }
        }
        self.seen = seen;
        Ok(())
    }
}

/// Returns the parts of a name; `None` where one leads up.
///
/// Backslashes are the slashes of some firmware, and a slash in front means nothing here.
pub(super) fn parts(name: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = name
        .split(['/', '\\'])
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    (!parts.contains(&"..")).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_firmware_spells_them() {
        assert_eq!(parts("/a//b/./c"), Some(vec!["a", "b", "c"]));
        assert_eq!(parts("\\EFI\\boot"), Some(vec!["EFI", "boot"]));
        assert_eq!(parts("//"), Some(vec![]));
        for up in ["..", "a/../b", "a\\..\\b", "../x", "a/.."] {
            assert_eq!(parts(up), None, "{up}");
        }
        assert_eq!(parts("a/..b/c.."), Some(vec!["a", "..b", "c.."]));
    }
}
