//! The addresses that dnsmasq reserves: each for one machine only, across all pools that it reads.
//!
//! dnsmasq does not start with an address reserved twice. Not for writing the configuration.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::inclusion::{self, Installed};
use super::{Publishing, dhcp, first_record, hosts_dir, macs, ours, text};
use crate::fs::dir_names::names_in;
use crate::pool::properties::Dhcp;
use crate::pool::{Node, Pool, state};
use crate::publish::server;

/// Returns the addresses to reserve, by node.
pub(super) fn addresses<'a>(
    run: &mut Publishing<'_>,
    nodes: &'a [Node],
) -> BTreeMap<&'a str, Ipv4Addr> {
    let pool = run.pool;
    let mut found = BTreeMap::new();
    // With an address on another network, or one that it does not assign, dnsmasq would ignore the machine.
    if !matches!(dhcp(pool), Dhcp::Range(..)) {
        return found;
    }
    let first = first_record(pool);
    let server = server::address(None, first.as_ref().unwrap_or(pool.record())).ok();
    let elsewhere = of_other_pools(pool);
    let mut taken: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for node in nodes.iter().filter(|n| !macs(n).is_empty()) {
        let (name, Some(address)) = (node.name.as_str(), node.address(pool)) else {
            continue;
        };
        if let Some(first) = taken.get(&address) {
            run.warn(format!(
                "{first} and {name} both have the address {address}: it is reserved for {first}"
            ));
        } else if let Some(file) = elsewhere.get(&address) {
            run.warn(format!(
                "{name}: {address} is reserved for a node of another pool, in {}",
                file.display()
            ));
        } else if server.is_some_and(|s| s == address) {
            run.warn(format!("{name} has this machine's own address {address}"));
        } else if server.is_some_and(|s| server::is_on_network(address, s) == Some(false)) {
            run.warn(format!(
                "{name}: {address} is not on the network on which dnsmasq assigns addresses, so it is not reserved"
            ));
        } else {
            taken.insert(address, name);
            found.insert(name, address);
        }
    }
    found
}

/// Returns the addresses reserved for machines of other pools, with the files that reserve them.
fn of_other_pools(pool: &Pool) -> BTreeMap<Ipv4Addr, PathBuf> {
    let mut found = BTreeMap::new();
    let others = state::all(pool.states()).unwrap_or_default();
    for (other, _) in others {
        if other == pool.state() || inclusion::find(&other).installed != Installed::Ours {
            continue;
        }
        let dir = hosts_dir(&other);
        for name in names_in(&dir).unwrap_or_default() {
            let file = dir.join(name);
            let text = ours(&file).unwrap_or_default();
            found.extend(text::host_addresses(&text).map(|address| (address, file.clone())));
        }
    }
    found
}
