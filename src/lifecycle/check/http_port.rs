//! The port that firmware and iPXE are sent to by HTTP, and the program that listens there.
//!
//! `netbe serve` goes on with TFTP where another program has the port, and machines that were told a URL do not boot.
//! Reads only. Not for TFTP's port, which belongs to the services.

use std::thread::sleep;
use std::time::Duration;

use super::Finding;
use crate::pool::Pool;
use crate::publish::dnsmasq;
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// How netbe's own processes are called.
const OWN: &str = "netbe";
/// How long `netbe serve` may take to listen where the property was just set: it reads that every two seconds.
const TRIES: u32 = 30;
const WAIT: Duration = Duration::from_millis(100);

/// Returns what keeps machines from booting by HTTP, where that is wanted.
pub(super) fn of_server(pool: &Pool) -> Option<Finding> {
    let port = dnsmasq::http_port(pool)?;
    let is_served = || port_holder::of_udp(serve::PORT) == Holder::Program(OWN.to_string());
    let mut holder = port_holder::of_tcp(port);
    for _ in 0..TRIES {
        if holder != Holder::Nobody || !is_served() {
            break;
        }
        sleep(WAIT);
        holder = port_holder::of_tcp(port);
    }
    match holder {
        Holder::Program(name) if name != OWN => Some(Finding::new(
            "http",
            format!(
                "{name} listens at TCP port {port}, so netbe serve serves nothing by HTTP, and machines are sent there for their \
                 boot files: stop it, or set http to another port"
            ),
            format!("ss -ltnp sport = :{port}"),
        )),
        Holder::Nobody if is_served() => Some(Finding::new(
            "http",
            format!(
                "netbe serve does not listen at TCP port {port}, and machines are sent there for their boot files"
            ),
            "journalctl -u netbe-tftp",
        )),
        _ => None,
    }
}
