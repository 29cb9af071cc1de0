//! The program that listens at a port of this machine, from the kernel's tables: nothing is sent.
//!
//! Not for its answers.

use std::fs;

/// The listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// There is no listener.
    None,
    /// A program, by the kernel's name for its process.
    Program(String),
    /// A process that cannot be inspected: it is in another container, or netbe does not run as root.
    Unknown,
}

/// The state of an unconnected UDP socket: TCP_CLOSE.
const UDP_OPEN: u8 = 7;
/// The state of a listening TCP socket: TCP_LISTEN.
const TCP_LISTEN: u8 = 10;

/// Returns the listener at a UDP port.
pub fn of_udp(port: u16) -> Holder {
    holder(["/proc/net/udp", "/proc/net/udp6"], UDP_OPEN, port)
}

/// Returns the listener at a TCP port.
pub fn of_tcp(port: u16) -> Holder {
    holder(["/proc/net/tcp", "/proc/net/tcp6"], TCP_LISTEN, port)
}

fn holder(tables: [&str; 2], state: u8, port: u16) -> Holder {
    let sockets: Vec<u64> = tables
        .iter()
        .flat_map(|path| sockets_at(&fs::read_to_string(path).unwrap_or_default(), state, port))
        .collect();
    if sockets.is_empty() {
        return Holder::None;
    }
    let links: Vec<String> = sockets
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let mut found = numbers.filter(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        open.filter_map(|e| fs::read_link(e.path()).ok())
            .any(|to| links.iter().any(|l| to.as_os_str() == l.as_str()))
    });
    let name = found
        .next()
        .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    name.map_or(Holder::Unknown, |name| {
        Holder::Program(name.trim().to_string())
    })
}

/// Returns the sockets in a state at a port in the text of `/proc/net/tcp`, by inode.
///
/// Format: Linux Documentation/networking/proc_net_tcp.rst; UDP's is the same.
fn sockets_at(table: &str, state: u8, port: u16) -> Vec<u64> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, at) = fields.get(1)?.rsplit_once(':')?;
        let at = u16::from_str_radix(at, 16).ok()?;
        let is_in_state = u8::from_str_radix(fields.get(3)?, 16) == Ok(state);
        let inode = fields.get(9)?.parse().ok()?;
        (at == port && is_in_state).then_some(inode)
    };
    table.lines().skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_at_a_port() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             1072: 00000000:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20117 2 0000000000000000 0\n\
             1073: 0100007F:1045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20118 2 0000000000000000 0\n";
        assert_eq!(sockets_at(table, UDP_OPEN, 69), [20117]);
        assert_eq!(sockets_at("", UDP_OPEN, 69), Vec::<u64>::new());
        assert_eq!(of_udp(1), Holder::None);
    }

    #[test]
    fn a_connection_holds_no_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 20119 1 0 20 4 30 10 -1\n\
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20120 1 0 100 0 0 10 0\n";
        assert_eq!(sockets_at(table, TCP_LISTEN, 8080), [20120]);
    }
}
