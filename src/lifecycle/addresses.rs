//! Addresses that do not fit together: a server that this machine is not, one address for two nodes, clients without the
//! node itself.
//!
//! Each finding names the command that mends it; nothing is refused here, since an address may belong to a router that
//! forwards to this machine, or be assigned later. Reads only.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::evidence::Evidence;
use crate::pool::properties::{self, Source};
use crate::pool::{Node, Pool};
use crate::publish::{self, server};
use crate::staged;

/// What a finding about the server of the whole pool is about.
pub(super) const SERVER: &str = "server";

/// An address that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The node, or the property of the pool.
    pub about: String,
    /// The problem, a sentence without a period.
    pub problem: String,
    /// The command that mends it.
    pub remedy: String,
}

impl Misfit {
    /// Returns it as one sentence, for a warning.
    pub(super) fn sentence(&self) -> String {
        format!("{}: {}; {}", self.about, self.problem, self.remedy)
    }
}

/// Returns the misfit of the property `server`, of the pool or of a node, if this machine does not have that address.
pub(super) fn of_server(pool: &Pool, node: Option<&Node>) -> Option<Misfit> {
    let record = node.map(|node| &node.record);
    let set = properties::effective("server", record, pool.record())?;
    if node.is_some() != (set.source == Source::Local) {
        return None;
    }
    let address: Ipv4Addr = set.value.parse().ok()?;
    let addresses = server::own_addresses();
    if addresses.iter().any(|(_, at)| *at == address) {
        return None;
    }
    // Without a usable address there is no better one to suggest, as in a network namespace.
    let usable: Vec<&(String, Ipv4Addr)> =
        addresses.iter().filter(|(_, a)| !a.is_loopback()).collect();
    let by_default = server::by_default_route();
    let best = by_default.or(usable.first().map(|(_, address)| *address))?;
    let list: Vec<String> = usable
        .iter()
        .map(|(interface, address)| format!("{address} on {interface}"))
        .collect();
    let name = node.map(|node| format!(" {}", node.name));
    Some(Misfit {
        about: node.map_or(SERVER.to_string(), |node| node.name.to_string()),
        problem: format!(
            "nodes are told to reach this machine at {address}, which none of its interfaces has ({}): they cannot \
             mount their roots, unless a router forwards that address to this machine",
            list.join(", ")
        ),
        remedy: format!(
            "netbe set server={best}{} --existing",
            name.unwrap_or_default()
        ),
    })
}

/// Returns the misfits of the property `server`: one for the pool's value, and one for each node that has its own value.
///
/// A server that a node is known to have booted from is no misfit.
pub(super) fn of_servers(pool: &Pool, nodes: &[Node]) -> Vec<Misfit> {
    let boots = |node: &&Node| node.is_offered() && publish::has_nfs_root(pool, node);
    let has_own = |node: &&Node| node.record.properties.contains_key("server");
    let (own, common): (Vec<&Node>, Vec<&Node>) = nodes.iter().filter(boots).partition(has_own);
    // Without nodes, it is the address that the first node will get.
    let no_node_yet = !nodes.iter().any(Node::is_offered);
    let common = (no_node_yet || !common.is_empty()).then_some((None, common));
    let own = own.into_iter().map(|node| (Some(node), vec![node]));
    common
        .into_iter()
        .chain(own)
        .filter_map(|(node, nodes)| Some((of_server(pool, node)?, nodes)))
        .filter(|(_, nodes)| !nodes.iter().any(|node| has_booted(pool, node)))
        .map(|(misfit, _)| misfit)
        .collect()
}

/// Returns whether a node runs an environment that names the server that is set.
fn has_booted(pool: &Pool, node: &Node) -> bool {
    let evidence = Evidence::recent(node);
    let envs = node.environments().unwrap_or_default();
    envs.iter().any(|env| {
        evidence.booted(env) == Some(true)
            && staged::reasons(pool, node, env).is_ok_and(|reasons| reasons.is_empty())
    })
}

/// Returns a misfit for each node that has the same address as an earlier node.
pub(super) fn of_nodes(pool: &Pool, nodes: &[Node]) -> Vec<Misfit> {
    let mut found = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let Some(address) = node.address(pool) else {
            continue;
        };
        let same = |other: &&Node| other.address(pool) == Some(address);
        if let Some(first) = nodes[..at].iter().find(same) {
            found.push(Misfit {
                about: node.name.to_string(),
                problem: format!(
                    "it has the address {address}, and so has {}: whichever of the two has it can mount the other's root",
                    first.name
                ),
                remedy: format!("netbe set ip=dhcp {} --existing", node.name),
            });
        }
    }
    found
}

/// Returns whether a node's property `clients` leaves out the node's own address.
pub(super) fn of_clients(pool: &Pool, node: &Node) -> Result<Option<Misfit>> {
    let (Some(set), Some(address)) = (node.property(pool, "clients"), node.address(pool)) else {
        return Ok(None);
    };
    if !node.is_offered() || !publish::has_nfs_root(pool, node) {
        return Ok(None);
    }
    let clients = publish::exports::clients(pool, node)?;
    let leaves_out = clients
        .iter()
        .all(|client| includes(client, address) == Some(false));
    Ok(leaves_out.then(|| Misfit {
        about: node.name.to_string(),
        problem: format!(
            "its address is {address}, and clients={set} leaves that out: it cannot mount its root"
        ),
        remedy: format!("netbe set clients={set},{address} {}", node.name),
    }))
}

/// Returns whether a client of an export includes an address; `None` for names, which only their server resolves.
///
/// Forms: exports(5).
fn includes(client: &str, address: Ipv4Addr) -> Option<bool> {
    let (network, length) = match client.split_once('/') {
        None => (client, None),
        Some((network, length)) => (network, Some(length)),
    };
    let is_ipv6 = network.contains(':');
    if is_ipv6 {
        return Some(false);
    }
    let network: Ipv4Addr = network.parse().ok()?;
    let mask = match length {
        None => u32::MAX,
        Some(length) => match (length.parse::<u32>(), length.parse::<Ipv4Addr>()) {
            (Ok(length), _) if length <= 32 => u32::MAX.checked_shl(32 - length).unwrap_or(0),
            (_, Ok(mask)) => mask.to_bits(),
            _ => return None,
        },
    };
    Some((network.to_bits() ^ address.to_bits()) & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_clients_include_an_address() {
        let address: Ipv4Addr = "10.0.0.5".parse().unwrap();
        for (client, want) in [
            ("10.0.0.5", Some(true)),
            ("10.0.0.6", Some(false)),
            ("10.0.0.0/24", Some(true)),
            ("10.0.0.0/255.255.255.0", Some(true)),
            ("10.0.1.0/24", Some(false)),
            ("10.0.1.0/255.255.255.0", Some(false)),
            ("0.0.0.0/0", Some(true)),
            ("10.0.0.4/31", Some(true)),
            ("10.0.0.4/32", Some(false)),
            ("10.0.0.0/33", None),
            ("fd00::/8", Some(false)),
            ("nog.lan", None),
            ("*.lan", None),
            ("@machines", None),
        ] {
            assert_eq!(includes(client, address), want, "{client}");
        }
    }
}
