//! Notifies systemd that the service is ready: sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const SOCKET: &str = "NOTIFY_SOCKET";

/// Returns whether this process is the main one of a unit of `Type=notify`.
pub fn is_unit() -> bool {
    std::env::var_os(SOCKET).is_some()
}

/// Notifies systemd, if it started this process; systemd detects a failure by itself.
pub(super) fn notify_ready() {
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
