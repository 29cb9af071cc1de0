//! Limits of this server that many machines may exceed: the transfers dnsmasq serves at once, and the kernel's table of
//! neighbours.
//!
//! Each finding has the command that raises the limit. `netbe serve` has no such limit. Reads only.

use std::fs;

use super::Finding;
use crate::evidence::Evidence;
use crate::pool::{Node, Pool, properties};
use crate::publish::dnsmasq::daemon;
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// The maximum number of neighbours that the kernel knows, in all networks together (arp(7)); only the initial network
/// namespace has this file.
const NEIGHBOURS: &str = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";

/// Returns the limits that are lower than the number of machines.
pub(super) fn of_server(pool: &Pool, nodes: &[Node]) -> Vec<Finding> {
    let offered = nodes.iter().filter(|node| node.is_offered());
    let machines = offered.map(|node| machines_of(pool, node)).sum();
    let found = transfers(machines).into_iter();
    found.chain(neighbours(machines)).collect()
}

fn machines_of(pool: &Pool, node: &Node) -> usize {
    let named = || properties::addresses(&node.record).count();
    match node.has_several_machines(pool) {
        true if node.is_for_any() => Evidence::recent(node).machines().len(),
        true => named(),
        false => 1,
    }
}

fn transfers(machines: usize) -> Option<Finding> {
    if port_holder::of_udp(serve::PORT) != Holder::Program("dnsmasq".to_string()) {
        return None;
    }
    let (most, file) = daemon::most_transfers();
    let line = format!("tftp-max={}", raised(machines));
    let raise = match file {
        Some(file) => format!("sed -i 's/^ *tftp-max *=.*/{line}/' {}", file.display()),
        None => format!("echo {line} >>/etc/dnsmasq.conf"),
    };
    (machines > most).then(|| {
        Finding::new(
            "dnsmasq",
            format!(
                "it serves {most} transfers by TFTP at once, and {machines} machines may boot at once, as after a power cut: the \
                 others are not answered"
            ),
            format!("{raise}; systemctl restart {}", daemon::UNIT),
        )
    })
}

fn neighbours(machines: usize) -> Option<Finding> {
    let text = fs::read_to_string(NEIGHBOURS).ok()?;
    let most: usize = text.trim().parse().ok()?;
    let (file, raised) = ("/etc/sysctl.d/60-netbe.conf", raised(machines));
    (machines > most).then(|| {
        Finding::new(
            "network",
            format!(
                "the kernel knows {most} neighbours at once (gc_thresh3), and there are {machines} machines: it would not find \
                 the others on the network, whose boots and roots then stop"
            ),
            format!("echo net.ipv4.neigh.default.gc_thresh3={raised} >{file}; sysctl -p {file}"),
        )
    })
}

/// Returns a limit of at least twice this number of machines.
fn raised(machines: usize) -> usize {
    machines.saturating_mul(2).next_power_of_two()
}
