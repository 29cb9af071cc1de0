//! Finds a client's MAC address in the kernel's neighbour table.
//!
//! A machine whose requests have no prefix is identified by its MAC address. Machines behind a router are not in the
//! table.

use std::io::Read;
use std::net::Ipv4Addr;

/// How much of the table is read, in bytes; by default it has at most a thousand lines.
const TABLE: u64 = 1 << 20;

/// Returns a client's MAC address in the format of requests: lower case, with dashes.
pub(super) fn mac(client: Ipv4Addr) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open("/proc/net/arp").ok()?;
    file.take(TABLE).read_to_string(&mut text).ok()?;
    mac_in(&text, client)
}

/// Format: Linux Documentation/filesystems/proc.rst, `arp`; flag 2 is a complete entry.
fn mac_in(table: &str, client: Ipv4Addr) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, mac, ..] = fields.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let known = flags & 2 != 0 && mac.len() == 17;
        (known && address.parse() == Ok(client)).then(|| mac.to_ascii_lowercase().replace(':', "-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.0.0.5         0x1         0x2         DC:a6:32:01:02:03     *        eth0\n\
            10.0.0.6         0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            10.0.0.7\n";
        let of = |last| mac_in(table, Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(of(5).as_deref(), Some("dc-a6-32-01-02-03"));
        assert_eq!([of(6), of(7), of(8)], [None, None, None]);
        assert_eq!(mac_in("", Ipv4Addr::LOCALHOST), None);
    }
}
