//! Enough of a DHCP client to be taken for a Raspberry Pi (RFC 2131, 2132, 4578).

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
/// `PXE_OPTION43`'s default.
const WORDS: &[u8] = b"Raspberry Pi Boot";

/// What the server said.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) length: u32,
    /// Where to fetch from.
    pub(super) server: Ipv4Addr,
}

/// Asks until somebody offers "Raspberry Pi Boot", for the boot loader's 45 seconds.
///
/// # Panics
///
/// When nobody does.
pub(super) fn ask(mac: &str, serial: &str) -> Lease {
    let socket = UdpSocket::bind(("0.0.0.0", 68)).expect("nobody else asks here");
    socket.set_broadcast(true).expect("a UDP socket can");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("two seconds are a timeout");
    let mac: Vec<u8> = mac
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).expect("a MAC address"))
        .collect();
    let until = Instant::now() + Duration::from_secs(45);
    while Instant::now() < until {
        send(&socket, &message(DISCOVER, &mac, serial, &[]));
        let Some(offer) = answer(&socket, OFFER) else {
            continue;
        };
        if !offer.option(43).is_some_and(|o| contains(o, WORDS)) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let mut wanted = vec![50, 4];
        wanted.extend(offer.address.octets());
        let server = offer.option(54).expect("an offer names its server");
        wanted.extend([54, 4]);
        wanted.extend(server);
        send(&socket, &message(REQUEST, &mac, serial, &wanted));
        let Some(ack) = answer(&socket, ACK) else {
            continue;
        };
        let mask = ack
            .option(1)
            .map_or(24, |m| m.iter().map(|byte| byte.count_ones()).sum::<u32>());
        return Lease {
            address: ack.address,
            length: mask,
            server: ack.next,
        };
    }
    panic!("nobody offered \"Raspberry Pi Boot\"");
}

fn send(socket: &UdpSocket, message: &[u8]) {
    socket
        .send_to(message, ("255.255.255.255", 67))
        .expect("the link is up");
}

/// Returns a message with what the boot loader says of itself, and more options.
fn message(kind: u8, mac: &[u8], serial: &str, more: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0];
    message.extend([0x4e, 0x42, 0x45, mac[5]]); // the transaction
    message.extend([0, 0, 0x80, 0]); // to be answered to all: there is no address yet
    message.extend([0; 16]);
    message.extend(mac);
    message.resize(236, 0);
    message.extend(COOKIE);
    message.extend([53, 1, kind]);
    message.extend([55, 7, 1, 3, 43, 60, 66, 67, 128]);
    let class = b"PXEClient:Arch:00000:UNDI:002001";
    message.extend([60, 32]);
    message.extend(class);
    message.extend([93, 2, 0, 0, 94, 3, 1, 2, 1]);
    // Its machine id: the board, the end of the MAC address, the serial.
    message.extend([97, 17, 0]);
    message.extend(b"RPi4");
    message.extend([0x14, 0x31, 0xd0, 0x00]);
    message.extend(&mac[2..]);
    let serial = u32::from_str_radix(serial, 16).expect("a serial is a number");
    message.extend(serial.to_le_bytes());
    message.extend(more);
    message.push(255);
    message
}

#[derive(Debug)]
struct Message {
    address: Ipv4Addr,
    next: Ipv4Addr,
    options: Vec<u8>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let four = |at: usize| {
            Some(Ipv4Addr::from(
                <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?,
            ))
        };
        (bytes.first() == Some(&2) && bytes.get(236..240) == Some(&COOKIE)).then_some(())?;
        Some(Self {
            address: four(16)?,
            next: four(20)?,
            options: bytes[240..].to_vec(),
        })
    }

    fn option(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.options.as_slice();
        loop {
            match *rest {
                [0, ..] => rest = &rest[1..],
                [255, ..] | [] | [_] => return None,
                [code, length, ..] => {
                    let value = rest.get(2..2 + usize::from(length))?;
                    if code == wanted {
                        return Some(value);
                    }
                    rest = &rest[2 + usize::from(length)..];
                }
            }
        }
    }
}

fn answer(socket: &UdpSocket, kind: u8) -> Option<Message> {
    let mut buffer = [0; 2048];
    loop {
        let count = socket.recv(&mut buffer).ok()?;
        let message = Message::parse(&buffer[..count]);
        if let Some(message) = message.filter(|m| m.option(53) == Some(&[kind])) {
            return Some(message);
        }
    }
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}
