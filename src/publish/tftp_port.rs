//! The program that listens on a UDP port of this machine, from the kernel's tables: nothing is sent.
//!
//! Not for its answers.

use std::fs;

/// The listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This program, by the name the kernel has of it.
    Program(String),
    /// A process that cannot be inspected: it is in another container, or netbe does not run as root.
    Unknown,
}

/// Returns the listener on a port.
pub fn holder(port: u16) -> Holder {
    let sockets: Vec<u64> = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .flat_map(|path| sockets_at(&fs::read_to_string(path).unwrap_or_default(), port))
        .collect();
    if sockets.is_empty() {
        return Holder::Nobody;
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

/// Returns the sockets at a port in the text of `/proc/net/udp`, by inode.
///
/// Format: Linux Documentation/networking/proc_net_tcp.rst; UDP's is the same.
fn sockets_at(table: &str, port: u16) -> Vec<u64> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, at) = fields.get(1)?.rsplit_once(':')?;
        let at = u16::from_str_radix(at, 16).ok()?;
        let inode = fields.get(9)?.parse().ok()?;
        (at == port).then_some(inode)
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
        assert_eq!(sockets_at(table, 69), [20117]);
        assert_eq!(sockets_at("", 69), Vec::<u64>::new());
        assert_eq!(holder(1), Holder::Nobody);
    }
}
