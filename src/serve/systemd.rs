//! Being a service of systemd: telling it that requests are answered. sd_notify(3), as far as that goes.
//!
//! Not for the unit's text.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const SOCKET: &str = "NOTIFY_SOCKET";

/// Returns whether systemd runs this process as the main one of a unit of ours, `Type=notify`.
pub fn is_unit() -> bool {
    std::env::var_os(SOCKET).is_some()
}

/// Tells systemd, where it runs this, that the service is up; it finds out by itself when not.
pub(super) fn say_ready() {
    let Some(name) = std::env::var_os(SOCKET) else {
        return;
    };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    if let (Ok(socket), Ok(address)) = (UnixDatagram::unbound(), address) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
