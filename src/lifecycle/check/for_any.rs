//! Obstacles for machines that boot a node with `mac=any`. Reads only.

use super::Finding;
use crate::evidence::machine_fetches::{self, MOST};
use crate::pool::{Node, Pool, properties};
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// The name of the process of `netbe serve`.
const OWN: &str = "netbe";

/// Returns findings about machines that no node names and that would not get the boot files of that node.
pub(super) fn of_nodes(pool: &Pool, nodes: &[Node]) -> Vec<Finding> {
    let mut found = Vec::new();
    for node in nodes.iter().filter(|node| node.is_for_any()) {
        found.extend(by_another_server(pool, node));
        found.extend(beside_serial(node, nodes));
        found.extend(too_many(node));
    }
    found
}

fn by_another_server(pool: &Pool, node: &Node) -> Option<Finding> {
    let Holder::Program(name) = port_holder::of_udp(serve::PORT) else {
        return None;
    };
    let remedy = match name.as_str() {
        OWN => return None,
        "dnsmasq" => format!("netbe init {} --services", pool.root().display()),
        _ => format!("ss -lunp sport = :{}", serve::PORT),
    };
    let problem = format!(
        "it has mac=any, and {name} serves TFTP, which serves by names only: a machine that no node names gets no boot \
         files, or another machine's"
    );
    Some(Finding::new(&node.name, problem, remedy))
}

/// Two records edited by hand, or one of another pool.
fn beside_serial(node: &Node, nodes: &[Node]) -> Option<Finding> {
    let offered = nodes.iter().filter(|other| other.is_offered());
    let mut alone = offered.filter(|other| properties::is_by_serial_alone(&other.record));
    let other = &alone.next()?.name;
    let problem = format!(
        "it has mac=any, which serves no machine while {other} is known by its serial alone: its machine could not be told \
         from others"
    );
    Some(Finding::new(
        &node.name,
        problem,
        format!("netbe get mac {other}"),
    ))
}

fn too_many(node: &Node) -> Option<Finding> {
    let machines = machine_fetches::machines(&node.state).ok()?;
    let macs = node.record.properties.get("mac")?;
    (machines.len() >= MOST).then(|| {
        Finding::new(
            &node.name,
            format!("{MOST} machines have booted it by mac=any, and one more gets nothing"),
            format!("netbe set --force mac={macs} {}", node.name),
        )
    })
}
