//! Finds a client's MAC address in the kernel's neighbour table, and remembers it.
//!
//! A machine whose requests have no prefix is identified by its MAC address. A loader does not answer ARP requests while it
//! verifies a kernel or shows a menu: the kernel drops it from its table, and its next request could not be identified. So
//! an address that is not in the table keeps its last MAC address. Machines behind a router are not in the table.

use std::collections::HashMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How much of the table is read, in bytes; by default it has at most a thousand lines.
const TABLE: u64 = 1 << 20;
/// For how long an address is remembered: dnsmasq gives it to no other machine for that long (dnsmasq(8), `--dhcp-range`).
/// Another machine that uses it all the same sends an ARP request for this server's address first, and so is in the table.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The most addresses remembered.
const MOST: usize = 16_384;

/// The clients that were in the table, each with its MAC address.
#[derive(Debug, Default)]
pub(super) struct Clients {
    seen: HashMap<Ipv4Addr, (String, Instant)>,
}

impl Clients {
    /// Returns a client's MAC address in the format of requests: lower case, with dashes.
    pub(super) fn mac(&mut self, client: Ipv4Addr) -> Option<String> {
        let mut text = String::new();
        if let Ok(file) = std::fs::File::open("/proc/net/arp") {
            // If reading fails, the part that was read is used.
            let _ = file.take(TABLE).read_to_string(&mut text);
        }
        self.mac_by(&text, client, Instant::now())
    }

    fn mac_by(&mut self, table: &str, client: Ipv4Addr, now: Instant) -> Option<String> {
        if let Some(mac) = mac_in(table, client) {
            if self.seen.len() >= MOST && !self.seen.contains_key(&client) {
                self.seen.clear();
            }
            self.seen.insert(client, (mac.clone(), now));
            return Some(mac);
        }
        let (mac, then) = self.seen.get(&client)?;
        (now.duration_since(*then) < REMEMBERED).then(|| mac.clone())
    }
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

    const TABLE: &str = "IP address       HW type     Flags       HW address            Mask     Device\n\
        10.0.0.5         0x1         0x2         DC:a6:32:01:02:03     *        eth0\n\
        10.0.0.6         0x1         0x0         00:00:00:00:00:00     *        eth0\n\
        10.0.0.7\n";

    #[test]
    fn a_line_of_the_table() {
        let of = |last| mac_in(TABLE, Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(of(5).as_deref(), Some("dc-a6-32-01-02-03"));
        assert_eq!([of(6), of(7), of(8)], [None, None, None]);
        assert_eq!(mac_in("", Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn an_address_keeps_its_machine_until_another_has_it() {
        let (client, now) = (Ipv4Addr::new(10, 0, 0, 5), Instant::now());
        let lost = TABLE.replace("0x2", "0x0");
        let other = TABLE.replace("01:02:03", "01:02:04");
        let mut clients = Clients::default();
        let mut mac = |table: &str, after| clients.mac_by(table, client, now + after);
        let (soon, later) = (REMEMBERED / 2, REMEMBERED * 2);
        assert_eq!(mac(&lost, Duration::ZERO), None);
        assert_eq!(
            mac(TABLE, Duration::ZERO).as_deref(),
            Some("dc-a6-32-01-02-03")
        );
        for gone in [&lost[..], "", &TABLE.replace("10.0.0.5 ", "10.0.0.9 ")] {
            assert_eq!(mac(gone, soon).as_deref(), Some("dc-a6-32-01-02-03"));
        }
        assert_eq!(mac(&lost, later), None);
        assert_eq!(
            mac(&other, Duration::ZERO).as_deref(),
            Some("dc-a6-32-01-02-04")
        );
        assert_eq!(mac(&lost, soon).as_deref(), Some("dc-a6-32-01-02-04"));
    }
}
