//! Parses and builds TFTP packets.
//!
//! Pure; accepts any bytes. RFC 1350, with options of RFC 2347 to 2349 and 7440.

/// Maximum length of a request: RFC 2347 says 512, and some firmware sends a little more.
pub(super) const REQUEST_MAX: usize = 1024;
/// Default block size.
pub(super) const BLOCK: u16 = 512;
/// Maximum window, whatever a client requests: a burst that small switches and loaders can handle.
pub(super) const WINDOW_MAX: u16 = 32;
/// The largest block of RFC 2348.
const BLOCK_MAX: u16 = 65464;
/// The smallest block of RFC 2348.
const BLOCK_MIN: u16 = 8;
/// How many options are parsed; four are known.
const OPTIONS_MAX: usize = 16;

/// A packet to the server's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum First {
    /// A read request.
    Read(Request),
    /// A request to be answered with this error.
    Refused(Code, &'static str),
    /// Not to be answered: answers could be answered in turn.
    Nothing,
}

/// A read request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The requested name.
    pub(super) name: String,
    /// The requested options.
    pub(super) options: Options,
}

/// Options of a request; `None` for those that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// Block size in bytes.
    pub(super) block: Option<u16>,
    /// Window size in blocks.
    pub(super) window: Option<u16>,
    /// Whether the file's size is requested.
    pub(super) size: bool,
}

/// A packet to the port of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Acknowledges this block, and all before it.
    Acknowledged(u16),
    /// Ends the transfer.
    Stop,
    /// Not a TFTP answer.
    Nothing,
}

/// Error codes of RFC 1350.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// See the message.
    Undefined = 0,
    /// File not found.
    NotFound = 1,
    /// Access violation.
    Denied = 2,
    /// Illegal TFTP operation.
    Illegal = 4,
}

impl Code {
    /// Returns the message, which may be shown on the machine's screen.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Undefined => "the file cannot be read now",
            Self::NotFound => "file not found",
            Self::Denied => "access violation",
            Self::Illegal => "illegal TFTP operation",
        }
    }
}

/// Parses a packet to the server's port.
pub(super) fn first(packet: &[u8]) -> First {
    match packet {
        [0, 1, rest @ ..] => read_request(rest),
        [0, 2, ..] => First::Refused(Code::Denied, "nothing is written here"),
        _ => First::Nothing,
    }
}

fn read_request(rest: &[u8]) -> First {
    let malformed = First::Refused(Code::Illegal, Code::Illegal.message());
    // The last string must be terminated.
    let Some((0, rest)) = rest.split_last().map(|(last, rest)| (*last, rest)) else {
        return malformed;
    };
    let mut strings = rest.split(|b| *b == 0);
    let (Some(name), Some(mode)) = (strings.next(), strings.next()) else {
        return malformed;
    };
    if !mode.eq_ignore_ascii_case(b"octet") {
        return match mode.eq_ignore_ascii_case(b"netascii") {
            true => First::Refused(Code::Undefined, "only in binary mode (octet)"),
            false => malformed,
        };
    }
    // Names of boot files are printable.
    let name = match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && !name.chars().any(char::is_control) => name.to_string(),
        _ => return First::Refused(Code::NotFound, Code::NotFound.message()),
    };
    let mut options = Options::default();
    for _ in 0..OPTIONS_MAX {
        let (Some(key), Some(value)) = (strings.next(), strings.next()) else {
            break;
        };
        options.set(key, value);
    }
    First::Read(Request { name, options })
}

impl Options {
    /// Sets an option; unknown or invalid ones are not acknowledged: RFC 2347.
    ///
    /// Nor is `timeout` (RFC 2349): U-Boot requests five seconds, after which it counts a block as lost itself, and it gives up
    /// after ten lost blocks of a file. The server sends lost blocks again before that.
    fn set(&mut self, key: &[u8], value: &[u8]) {
        let number = std::str::from_utf8(value)
            .ok()
            .filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|v| v.parse::<u64>().ok());
        let Some(number) = number else { return };
        let at_most = |max: u16| u16::try_from(number).unwrap_or(u16::MAX).min(max);
        if key.eq_ignore_ascii_case(b"blksize") && number >= BLOCK_MIN.into() {
            self.block = Some(at_most(BLOCK_MAX));
        } else if key.eq_ignore_ascii_case(b"windowsize") && number >= 1 {
            self.window = Some(at_most(WINDOW_MAX));
        } else if key.eq_ignore_ascii_case(b"tsize") {
            self.size = true;
        }
    }

    /// Limits the block size.
    pub(super) fn with_blocks_of(mut self, max: u16) -> Self {
        self.block = self.block.map(|b| b.min(max.max(BLOCK_MIN)));
        self
    }

    /// Returns the acknowledgement of the options for a file of `size` bytes; `None` without options.
    pub(super) fn acknowledged(&self, size: u64) -> Option<Vec<u8>> {
        let options = [
            self.block.map(|b| ("blksize", b.to_string())),
            self.window.map(|w| ("windowsize", w.to_string())),
            self.size.then(|| ("tsize", size.to_string())),
        ];
        let mut packet = vec![0, 6];
        for (key, value) in options.into_iter().flatten() {
            packet.extend(key.bytes().chain([0]).chain(value.bytes()).chain([0]));
        }
        (packet.len() > 2).then_some(packet)
    }
}

/// Parses a packet to the port of a transfer.
pub(super) fn answer(packet: &[u8]) -> Answer {
    match packet {
        [0, 4, high, low, ..] => Answer::Acknowledged(u16::from_be_bytes([*high, *low])),
        [0, 5, ..] => Answer::Stop,
        _ => Answer::Nothing,
    }
}

/// Returns the header of a data packet; numbers continue with 0 after 65535, as all clients for larger files expect.
pub(super) fn data_head(block: u64) -> [u8; 4] {
    let [high, low] = u16::to_be_bytes((block & 0xffff) as u16);
    [0, 3, high, low]
}

/// Returns the packet that refuses a request or ends a transfer.
pub(super) fn error(code: Code, message: &str) -> Vec<u8> {
    let mut packet = vec![0, 5, 0, code as u8];
    packet.extend(message.bytes().filter(|b| *b != 0));
    packet.push(0);
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parses a request; a bar stands for the end of a string.
    fn read(text: &str) -> First {
        first(&[&[0, 1], text.replace('|', "\0").as_bytes()].concat())
    }

    #[test]
    fn requests_of_firmware_are_parsed() {
        let of = |text: &str| match read(text) {
            First::Read(request) => request,
            other => panic!("{text:?}: {other:?}"),
        };
        let pi = of("9ffefdef/start4.elf|octet|tsize|0|blksize|1024|");
        assert_eq!(pi.name, "9ffefdef/start4.elf");
        assert_eq!((pi.options.block, pi.options.size), (Some(1024), true));
        assert_eq!(
            pi.options.acknowledged(2_222_222).unwrap(),
            [
                &[0, 6],
                "blksize|1024|tsize|2222222|".replace('|', "\0").as_bytes()
            ]
            .concat()
        );
        let ipxe = of("/pxelinux.0|OCTET|BlkSize|1432|tsize|0|windowsize|4|multicast||");
        assert_eq!(ipxe.options.window, Some(4));
        let u_boot = of("boot.scr|octet|timeout|5|blksize|1468|");
        let granted = u_boot.options.acknowledged(1).unwrap();
        assert_eq!(granted, [&[0, 6], &b"blksize\x001468\0"[..]].concat());
        assert_eq!(of("x|octet|").options.acknowledged(1), None);
        for nonsense in [
            "blksize||",
            "blksize|7|",
            "timeout|1|",
            "windowsize|0|",
            "blksize|-1|",
            "blksize|",
        ] {
            let request = of(&format!("x|octet|{nonsense}"));
            assert_eq!(request.options, Options::default(), "{nonsense:?}");
        }
        let large = of("x|octet|blksize|999999999999|windowsize|65535|").options;
        assert_eq!((large.block, large.window), (Some(65464), Some(WINDOW_MAX)));
        assert_eq!(large.with_blocks_of(1468).block, Some(1468));
    }

    #[test]
    fn other_packets_are_refused_or_ignored() {
        for (text, code) in [
            ("", Code::Illegal),
            ("x", Code::Illegal),
            ("x|", Code::Illegal),
            ("x|octet", Code::Illegal),
            ("x|mail|", Code::Illegal),
            ("x|netascii|", Code::Undefined),
            ("|octet|", Code::NotFound),
            ("a\nb|octet|", Code::NotFound),
        ] {
            assert!(
                matches!(read(text), First::Refused(c, _) if c == code),
                "{text:?}"
            );
        }
        assert!(matches!(
            first(&[&[0, 2], &b"x\0octet\0"[..]].concat()),
            First::Refused(Code::Denied, _)
        ));
        // Errors are never answered, nor answers.
        for packet in [
            &b"\0\x05\0\x01x\0"[..],
            b"\0\x04\0\x01",
            b"\0\x03\0\x01",
            b"\0",
            b"",
            b"\x01\x01x",
        ] {
            assert_eq!(first(packet), First::Nothing, "{packet:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200), kind in 0_u8..8) {
            let packet = [&[0, kind], &bytes[..]].concat();
            if let First::Read(request) = first(&packet) {
                prop_assert!(!request.name.chars().any(char::is_control));
                let options = request.options.acknowledged(u64::MAX).unwrap_or_default();
                prop_assert!(options.len() < 200);
            }
            answer(&packet);
        }
    }
}
