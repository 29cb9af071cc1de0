//! Finds the node of a request: by the prefix of the name, else by the client's address, else the node for any machine.
//!
//! Uses the nodes' records, read again when they change, not the links that other servers follow. The environment is
//! chosen, and the file opened, elsewhere.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use crate::evidence::machines::is_address;
use crate::pool::properties::{self, ANY};
use crate::pool::{Node, NodeName, Pool, layout};
use crate::publish::tftp;

/// The names that machines request.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, NodeName>,
    /// Nodes with an unreadable record, for which the links are used.
    lost: Vec<NodeName>,
    /// Nodes whose machine is known by its serial alone.
    by_serial_alone: Vec<NodeName>,
    /// State of the records when last read: name, inode, change time.
    seen: Vec<(NodeName, Option<Stamp>)>,
}

/// A file's inode number and change time.
type Stamp = (u64, i64, i64);

/// The file of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node: NodeName,
    /// The file's path in the boot half.
    pub(super) file: String,
    /// The name of the machine, if known.
    pub(super) machine: Option<String>,
}

impl Names {
    /// Returns the requested file if the first component of the name is one of a node's.
    pub(super) fn by_first(&self, pool: &Pool, parts: &[&str]) -> Option<Wanted> {
        let [first, file @ ..] = parts else {
            return None;
        };
        let first = first.to_ascii_lowercase();
        let node = self.node(pool, &first);
        node.filter(|_| !file.is_empty()).map(|node| Wanted {
            node,
            file: file.join("/"),
            machine: Some(first).filter(|first| is_address(first)),
        })
    }

    /// Returns the requested file if a machine's MAC address is a node's.
    pub(super) fn by_machine(&self, pool: &Pool, machine: &str, parts: &[&str]) -> Option<Wanted> {
        let node = self.node(pool, machine);
        node.filter(|_| !parts.is_empty()).map(|node| Wanted {
            node,
            file: parts.join("/"),
            machine: Some(machine.to_string()),
        })
    }

    /// Returns the requested file of the node with `mac=any`, for a machine that no node names.
    pub(super) fn for_any(&self, pool: &Pool, machine: &str, parts: &[&str]) -> Option<Wanted> {
        let named = match parts {
            // Some firmware prefixes its own address.
            [first, file @ ..] if is_address(&first.to_ascii_lowercase()) => file,
            all => all,
        };
        let node = self.node(pool, ANY);
        node.filter(|_| !named.is_empty()).map(|node| Wanted {
            node,
            file: named.join("/"),
            machine: Some(machine.to_string()),
        })
    }

    /// Returns a node whose machine is known only by its serial, and so cannot be recognised by its address.
    pub(super) fn by_serial_alone(&self) -> Option<&NodeName> {
        self.by_serial_alone.first()
    }

    fn node(&self, pool: &Pool, name: &str) -> Option<NodeName> {
        self.by_name.get(name).cloned().or_else(|| {
            // An unreadable record must not keep a machine from booting.
            let link = layout::tftp(pool.root()).join(name).read_link().ok()?;
            tftp::led(&link)
                .map(|led| led.node)
                .filter(|node| self.lost.contains(node))
        })
    }

    /// Reads the records of a pool's nodes again, if they changed.
    pub(super) fn refresh(&mut self, pool: &Pool) -> Result<()> {
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
        let offered = nodes.iter().filter(|n| n.is_offered());
        let by_serial_alone = offered.filter(|n| properties::is_by_serial_alone(&n.record));
        self.by_serial_alone = by_serial_alone.map(|n| n.name.clone()).collect();
        self.by_name.clear();
        for node in nodes.iter().filter(|n| n.is_offered()) {
            for name in tftp::names(node) {
                // A duplicate in records edited by hand: the first counts, as for the links.
                self.by_name
                    .entry(name)
                    .or_insert_with(|| node.name.clone());
            }
        }
        self.seen = seen;
        Ok(())
    }
}

/// Returns the components of a name; `None` if one is `..`.
///
/// Some firmware uses backslashes; a leading slash has no meaning.
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
