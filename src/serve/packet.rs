//! TFTP's packets: bytes in, values out, and back.
//!
//! Pure. RFC 1350, with options by RFC 2347 to 2349 and 7440. Promises to take any bytes. Not for what a
//! request is answered with.

/// How many bytes a request may have: RFC 2347 says 512, and some firmware sends a little more.
pub(super) const LONGEST_REQUEST: usize = 1024;
/// The size of a block that nobody negotiated.
pub(super) const BLOCK: u16 = 512;
/// How many blocks are sent without waiting at most, whatever a client asks for: a burst that small switches
/// and loaders still take.
pub(super) const WIDEST_WINDOW: u16 = 32;
/// The largest block of RFC 2348.
const LARGEST_BLOCK: u16 = 65464;
/// The smallest block of RFC 2348.
const SMALLEST_BLOCK: u16 = 8;
/// How many options are looked at; there are four.
const OPTIONS: usize = 16;

/// What arrives at the server's own port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum First {
    /// A file is to be read.
    Read(Request),
    /// A request that is answered with an error, and which.
    Refused(Code, &'static str),
    /// Nothing that is answered: an answer to it might be answered, and so on.
    Nothing,
}

/// A request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The file's name, as asked for.
    pub(super) name: String,
    /// What the client would like.
    pub(super) options: Options,
}

/// What a client would like; `None` for what it did not speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// The size of a block in bytes.
    pub(super) block: Option<u16>,
    /// How many blocks to send without waiting.
    pub(super) window: Option<u16>,
    /// How long to wait before a block is sent again, in seconds.
    pub(super) timeout: Option<u8>,
    /// Whether it would like to know the file's size.
    pub(super) size: bool,
}

/// What arrives at the port of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The client has this block, and all before it.
    Acknowledged(u16),
    /// It wants no more.
    Stop,
    /// Nothing of TFTP.
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
    /// Returns what a person at the machine's screen reads.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Undefined => "the file cannot be read now",
            Self::NotFound => "file not found",
            Self::Denied => "access violation",
            Self::Illegal => "illegal TFTP operation",
        }
    }
}

/// Reads what arrived at the server's own port.
pub(super) fn first(packet: &[u8]) -> First {
    match packet {
        [0, 1, rest @ ..] => read_request(rest),
        [0, 2, ..] => First::Refused(Code::Denied, "nothing is written here"),
        _ => First::Nothing,
    }
}

fn read_request(rest: &[u8]) -> First {
    let malformed = First::Refused(Code::Illegal, Code::Illegal.words());
    // A string that does not end is none.
    let Some((0, rest)) = rest.split_last().map(|(last, rest)| (*last, rest)) else {
        return malformed;
    };
    let mut words = rest.split(|b| *b == 0);
    let (Some(name), Some(mode)) = (words.next(), words.next()) else {
        return malformed;
    };
    if !mode.eq_ignore_ascii_case(b"octet") {
        return match mode.eq_ignore_ascii_case(b"netascii") {
            true => First::Refused(Code::Undefined, "only in binary mode (octet)"),
            false => malformed,
        };
    }
    // A name that nobody can write down is none that a boot file has.
    let name = match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && !name.chars().any(char::is_control) => name.to_string(),
        _ => return First::Refused(Code::NotFound, Code::NotFound.words()),
    };
    let mut options = Options::default();
    for _ in 0..OPTIONS {
        let (Some(key), Some(value)) = (words.next(), words.next()) else {
            break;
        };
        options.take(key, value);
    }
    First::Read(Request { name, options })
}

impl Options {
    /// Takes one option; one that is unknown, or whose value is none, is left out of the answer: RFC 2347.
    fn take(&mut self, key: &[u8], value: &[u8]) {
        let number = std::str::from_utf8(value)
            .ok()
            .filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|v| v.parse::<u64>().ok());
        let Some(number) = number else { return };
        let at_most = |most: u16| u16::try_from(number).unwrap_or(u16::MAX).min(most);
        if key.eq_ignore_ascii_case(b"blksize") && number >= SMALLEST_BLOCK.into() {
            self.block = Some(at_most(LARGEST_BLOCK));
        } else if key.eq_ignore_ascii_case(b"windowsize") && number >= 1 {
            self.window = Some(at_most(WIDEST_WINDOW));
        } else if key.eq_ignore_ascii_case(b"timeout") && number >= 1 {
            self.timeout = u8::try_from(number).ok();
        } else if key.eq_ignore_ascii_case(b"tsize") {
            self.size = true;
        }
    }

    /// Returns these with blocks of at most so many bytes.
    pub(super) fn with_blocks_of(mut self, most: u16) -> Self {
        self.block = self.block.map(|b| b.min(most.max(SMALLEST_BLOCK)));
        self
    }

    /// Returns the packet that says what is granted, for a file of `size` bytes; `None` where nothing was asked for.
    pub(super) fn acknowledged(&self, size: u64) -> Option<Vec<u8>> {
        let said = [
            self.block.map(|b| ("blksize", b.to_string())),
            self.window.map(|w| ("windowsize", w.to_string())),
            self.timeout.map(|t| ("timeout", t.to_string())),
            self.size.then(|| ("tsize", size.to_string())),
        ];
        let mut packet = vec![0, 6];
        for (key, value) in said.into_iter().flatten() {
            packet.extend(key.bytes().chain([0]).chain(value.bytes()).chain([0]));
        }
        (packet.len() > 2).then_some(packet)
    }
}

/// Reads what arrived at the port of a transfer.
pub(super) fn answer(packet: &[u8]) -> Answer {
    match packet {
        [0, 4, high, low, ..] => Answer::Acknowledged(u16::from_be_bytes([*high, *low])),
        [0, 5, ..] => Answer::Stop,
        _ => Answer::Nothing,
    }
}

/// Returns what stands before a block's bytes; numbers go on with 0 after 65535, as every client that takes larger
/// files has it.
pub(super) fn data_head(block: u64) -> [u8; 4] {
    let [high, low] = u16::to_be_bytes((block & 0xffff) as u16);
    [0, 3, high, low]
}

/// Returns the packet that refuses a request, or ends a transfer.
pub(super) fn error(code: Code, words: &str) -> Vec<u8> {
    let mut packet = vec![0, 5, 0, code as u8];
    packet.extend(words.bytes().filter(|b| *b != 0));
    packet.push(0);
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a request for a file; a bar stands for what ends a string.
    fn read(text: &str) -> First {
        first(&[&[0, 1], text.replace('|', "\0").as_bytes()].concat())
    }

    #[test]
    fn requests_as_firmware_sends_them() {
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
        assert_eq!(u_boot.options.timeout, Some(5));
        assert_eq!(of("x|octet|").options.acknowledged(1), None);
        for nonsense in [
            "blksize||",
            "blksize|7|",
            "timeout|300|",
            "windowsize|0|",
            "blksize|-1|",
            "blksize|",
        ] {
            let request = of(&format!("x|octet|{nonsense}"));
            assert_eq!(request.options, Options::default(), "{nonsense:?}");
        }
        let large = of("x|octet|blksize|999999999999|windowsize|65535|").options;
        assert_eq!(
            (large.block, large.window),
            (Some(65464), Some(WIDEST_WINDOW))
        );
        assert_eq!(large.with_blocks_of(1468).block, Some(1468));
    }

    #[test]
    fn what_is_no_request_for_a_boot_file() {
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
        // An error is never answered, nor what answers errors.
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
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..1200), kind in 0_u8..8) {
            let packet = [&[0, kind], &bytes[..]].concat();
            if let First::Read(request) = first(&packet) {
                prop_assert!(!request.name.chars().any(char::is_control));
                let said = request.options.acknowledged(u64::MAX).unwrap_or_default();
                prop_assert!(said.len() < 200);
            }
            answer(&packet);
        }
    }
}
