//! The HTTP port that firmware and iPXE are directed to, and the program that listens there.
//!
//! If another program has the port, `netbe serve` still serves TFTP, but machines that were given a URL do not boot.
//! Reads only. Not for TFTP's port, which belongs to the services.

use std::thread::sleep;
use std::time::Duration;

use super::Finding;
use crate::pool::Pool;
use crate::publish::dnsmasq;
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// The name of netbe's own processes.
const OWN: &str = "netbe";
/// How many times to wait for `netbe serve` to listen after the property was set: it reads that every two seconds.
const TRIES: u32 = 30;
const WAIT: Duration = Duration::from_millis(100);

/// Returns why machines cannot boot by HTTP, if the property `http` is set.
pub(super) fn of_server(pool: &Pool) -> Option<Finding> {
    let port = dnsmasq::http_port(pool)?;
    let is_served = || port_holder::of_udp(serve::PORT) == Holder::Program(OWN.to_string());
    let mut holder = port_holder::of_tcp(port);
    for _ in 0..TRIES {
        if holder != Holder::None || !is_served() {
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
        Holder::None if is_served() => Some(Finding::new(
            "http",
            format!(
                "netbe serve does not listen at TCP port {port}, and machines are sent there for their boot files"
            ),
            "journalctl -u netbe-tftp",
        )),
        _ => None,
    }
}
