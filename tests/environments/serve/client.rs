//! A TFTP client that can be told what to ask for, and what to lose.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::SERVER;

/// How often nothing may come before it gives up: for a minute.
const TRIES: usize = 150;

/// What is to be fetched, and how.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) name: Vec<u8>,
    /// Options as they stand in the request, by pairs.
    pub(super) options: Vec<(&'static str, u64)>,
    /// The address to ask from; any where it is empty.
    pub(super) from: &'static str,
    /// Of how many packets, each way, one is lost; none with 0.
    pub(super) lose: usize,
    /// Whether the last block is acknowledged.
    pub(super) ends: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    File(Vec<u8>),
    /// The server's error code.
    Error(u8),
    Nothing,
}

impl Got {
    pub(super) fn file(self) -> Vec<u8> {
        match self {
            Self::File(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn text(self) -> String {
        String::from_utf8(self.file()).unwrap()
    }
}

impl Wish {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            options: Vec::new(),
            from: "0.0.0.0",
            lose: 0,
            ends: true,
        }
    }

    pub(super) fn with(mut self, key: &'static str, value: u64) -> Self {
        self.options.push((key, value));
        self
    }

    pub(super) fn request(&self) -> Vec<u8> {
        let mut packet = [&[0, 1], self.name.as_slice(), b"\0octet\0"].concat();
        for (key, value) in &self.options {
            packet.extend(format!("{key}\0{value}\0").bytes());
        }
        packet
    }

    fn option(&self, key: &str) -> Option<u64> {
        self.options
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, v)| *v)
    }

    pub(super) fn fetch(self) -> Got {
        Fetch::new(self).run()
    }
}

struct Fetch {
    wish: Wish,
    socket: UdpSocket,
    server: SocketAddr,
    block: usize,
    window: u64,
    /// The last block that is here, with all before it.
    have: u64,
    content: Vec<u8>,
    packets: usize,
}

impl Fetch {
    fn new(wish: Wish) -> Self {
        let socket = UdpSocket::bind((wish.from, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(400)))
            .unwrap();
        Self {
            wish,
            socket,
            server: format!("{SERVER}:69").parse().unwrap(),
            block: 512,
            window: 1,
            have: 0,
            content: Vec::new(),
            packets: 0,
        }
    }

    /// Returns whether the next packet is one that gets lost.
    fn lost(&mut self) -> bool {
        self.packets += 1;
        self.wish.lose > 0 && self.packets.is_multiple_of(self.wish.lose)
    }

    fn send(&mut self, packet: &[u8]) {
        if !self.lost() {
            let _ = self.socket.send_to(packet, self.server);
        }
    }

    fn acknowledge(&mut self) {
        let [high, low] = u16::to_be_bytes((self.have & 0xffff) as u16);
        self.send(&[0, 4, high, low]);
    }

    fn run(mut self) -> Got {
        let request = self.wish.request();
        self.send(&request);
        let mut buffer = vec![0; 70_000];
        let (mut silence, mut begun) = (0, false);
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                silence += 1;
                match (begun, silence > TRIES) {
                    (_, true) => return Got::Nothing,
                    (false, _) => self.send(&request),
                    (true, _) => self.acknowledge(),
                }
                continue;
            };
            if self.lost() {
                continue;
            }
            silence = 0;
            if self.server.port() == 69 {
                self.server = from;
            }
            match buffer[1] {
                6 => {
                    begun = true;
                    self.options(&buffer[2..length]);
                    self.acknowledge();
                }
                3 => {
                    begun = true;
                    if let Some(got) = self.data(&buffer[..length]) {
                        return got;
                    }
                }
                5 => return Got::Error(buffer[3]),
                other => panic!("a server does not send {other}"),
            }
        }
    }

    /// Takes what was granted, which must have been asked for.
    fn options(&mut self, text: &[u8]) {
        let words: Vec<_> = text
            .split(|b| *b == 0)
            .map(|w| std::str::from_utf8(w).unwrap())
            .collect();
        for pair in words.chunks_exact(2) {
            let value: u64 = pair[1].parse().unwrap();
            let asked = self.wish.option(pair[0]).unwrap();
            match pair[0] {
                "blksize" => self.block = usize::try_from(value).unwrap(),
                "windowsize" => self.window = value,
                _ => {}
            }
            assert!(pair[0] == "tsize" || value <= asked, "{pair:?}");
        }
    }

    fn data(&mut self, packet: &[u8]) -> Option<Got> {
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        if number != ((self.have + 1) & 0xffff) as u16 {
            // Once a window, or each gap would be told of many times.
            if self.window == 1 || number == ((self.have + self.window) & 0xffff) as u16 {
                self.acknowledge();
            }
            return None;
        }
        self.have += 1;
        self.content.extend_from_slice(&packet[4..]);
        let last = packet.len() - 4 < self.block;
        if !last && !self.have.is_multiple_of(self.window) {
            return None;
        }
        if !last || self.wish.ends {
            self.acknowledge();
        }
        last.then(|| Got::File(std::mem::take(&mut self.content)))
    }
}
