//! A TFTP client with the block size of Raspberry Pi's boot loader (RFC 1350, 2347, 2348).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::Source;

/// What the boot loader asks for since 2022.
const BLOCK: usize = 1468;
const TRIES: usize = 10;

/// A server, and what it was asked for.
#[derive(Debug)]
pub(super) struct Server {
    address: Ipv4Addr,
    /// Each file, and whether it was there.
    pub(super) asked: Vec<(String, bool)>,
}

impl Server {
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self {
            address,
            asked: Vec::new(),
        }
    }
}

impl Source for Server {
    /// Fetches a file; `None` where the server says it has none.
    fn get(&mut self, name: &str) -> Option<Vec<u8>> {
        let found = Transfer::new(self.address).fetch(name);
        self.asked.push((name.to_string(), found.is_some()));
        found
    }
}

struct Transfer {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Transfer {
    fn new(server: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a port is free");
        socket
            .set_read_timeout(Some(Duration::from_secs(3)))
            .expect("three seconds are a timeout");
        Self {
            socket,
            server: SocketAddr::from((server, 69)),
        }
    }

    fn fetch(mut self, name: &str) -> Option<Vec<u8>> {
        let mut last = vec![0, 1];
        last.extend(format!("{name}\0octet\0blksize\0{BLOCK}\0tsize\00\0").bytes());
        let mut content = Vec::new();
        let mut size = 512;
        let mut next = 1_u16;
        loop {
            let answer = self.exchange(&last);
            match answer[1] {
                3 => {
                    let block = u16::from_be_bytes([answer[2], answer[3]]);
                    last = vec![0, 4, answer[2], answer[3]];
                    if block != next {
                        continue; // sent again: so is the acknowledgement
                    }
                    // From 65535 it goes on with 0.
                    next = next.wrapping_add(1);
                    content.extend_from_slice(&answer[4..]);
                    if answer.len() - 4 < size {
                        let _ = self.socket.send_to(&last, self.server);
                        return Some(content);
                    }
                }
                6 => {
                    size = BLOCK;
                    last = vec![0, 4, 0, 0];
                }
                5 => return None,
                kind => panic!("{name}: a TFTP server does not send {kind}"),
            }
        }
    }

    /// Sends, again and again, until an answer comes.
    fn exchange(&mut self, message: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 4 + BLOCK];
        for _ in 0..TRIES {
            self.socket
                .send_to(message, self.server)
                .expect("the link is up");
            if let Ok((count, from)) = self.socket.recv_from(&mut buffer) {
                // From a port of its own for each transfer.
                self.server = from;
                return buffer[..count].to_vec();
            }
        }
        panic!("the TFTP server {} does not answer", self.server);
    }
}
