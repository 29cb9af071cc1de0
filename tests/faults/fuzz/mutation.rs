//! Cases: a real thing with a few mutations, each of which proptest can take away or make smaller.

use proptest::prelude::*;

/// Numbers at the edges of what fields hold.
const NUMBERS: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    511,
    512,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// What separates, ends, protects or confuses, in any language.
const WORDS: [&[u8]; 46] = [
    b" ",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"\0\0\0\0",
    b"\"",
    b"'",
    b"\\",
    b"\\040",
    b"\\777",
    b"=",
    b",",
    b":",
    b";",
    b"#",
    b"/",
    b"//",
    b"/../",
    b"..",
    b".",
    b"-",
    b"--",
    b"_",
    b"+",
    b"%",
    b"%00",
    b"$(x)",
    b"`",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e309",
    // A byte order mark, a line separator, a blank of another script, an override of direction, half a character.
    "\u{feff}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{3000}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{130}\u{e9}\u{1f600}".as_bytes(),
    b"\xe2\x82",
];

/// Real things of one kind, and the words they are made of.
pub(crate) struct Seeds {
    pub(crate) things: Vec<Vec<u8>>,
    pub(crate) words: &'static [&'static str],
    /// Makes checksums and the like right again, which no mutation would hit by chance.
    pub(crate) mend: Option<fn(&mut [u8])>,
}

/// A thing's number, and what is done to it: which mutation, where, how much or with what.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    thing: u32,
    mutations: Vec<(u8, u32, u32)>,
    mended: bool,
}

/// Returns the cases there are; the simplest is the first thing as it is.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let mutation = (any::<u8>(), any::<u32>(), any::<u32>());
    let mutations = proptest::collection::vec(mutation, 0..8);
    (any::<u32>(), mutations, proptest::bool::weighted(0.8)).prop_map(
        |(thing, mutations, mended)| Case {
            thing,
            mutations,
            mended,
        },
    )
}

impl Seeds {
    pub(crate) fn new(things: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self {
            things,
            words,
            mend: None,
        }
    }

    pub(crate) fn texts(things: &[&str], words: &'static [&'static str]) -> Self {
        Self::new(
            things.iter().map(|t| t.as_bytes().to_vec()).collect(),
            words,
        )
    }

    /// Returns the bytes of a case.
    pub(crate) fn bytes(&self, case: &Case) -> Vec<u8> {
        let mut bytes = self.things[case.thing as usize % self.things.len()].clone();
        for &(kind, at, much) in &case.mutations {
            self.mutate(&mut bytes, kind, at as usize, much as usize);
        }
        if let Some(mend) = self.mend.filter(|_| case.mended) {
            mend(&mut bytes);
        }
        bytes
    }

    fn mutate(&self, bytes: &mut Vec<u8>, kind: u8, at: usize, much: usize) {
        let place = at % (bytes.len() + 1);
        let end = (place + 1 + much % 64).min(bytes.len());
        match kind % 16 {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (much % 8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = much as u8;
                }
            }
            3 => bytes.truncate(place),
            4 => drop(bytes.drain(place..end)),
            5 => {
                let piece = bytes[place..end].to_vec();
                let times = 1 + (much >> 8) % 8;
                splice(bytes, place..place, &piece.repeat(times));
            }
            6..=8 => {
                let all = WORDS.len() + self.words.len();
                let word = match much % all {
                    n if n < WORDS.len() => WORDS[n],
                    n => self.words[n - WORDS.len()].as_bytes(),
                };
                // Half of them in the place of what stood there.
                let end = if (much >> 16) & 1 == 0 {
                    place
                } else {
                    (place + word.len()).min(bytes.len())
                };
                splice(bytes, place..end, word);
            }
            9 => {
                let other = &self.things[much % self.things.len()];
                let from = (much >> 8) % (other.len() + 1);
                let to = (from + 1 + (at >> 8) % 512).min(other.len());
                splice(bytes, place..place, &other[from..to]);
            }
            10 => {
                let long = if (much >> 8).is_multiple_of(16) {
                    1 << 14
                } else {
                    300
                };
                splice(bytes, place..place, &vec![much as u8; (much >> 12) % long]);
            }
            11 => number(bytes, place, much),
            12 | 13 => line(bytes, place, much),
            14 => digits(bytes, place, much),
            _ => {
                let random =
                    (0..1 + much % 16).map(|n| (at.wrapping_mul(0x9e37_79b9) >> (n % 24)) as u8);
                splice(bytes, place..end, &random.collect::<Vec<u8>>());
            }
        }
    }
}

fn splice(bytes: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    bytes.splice(range, with.iter().copied());
}

/// Writes a number over what stands there, in either order of bytes.
fn number(bytes: &mut [u8], place: usize, much: usize) {
    let value = NUMBERS[much % NUMBERS.len()];
    let width = 1 << ((much >> 8) % 4);
    // Fields are aligned more often than not.
    let place = if (much >> 16) & 3 == 0 {
        place
    } else {
        place / width * width
    };
    let Some(field) = bytes.get_mut(place..place + width) else {
        return;
    };
    if (much >> 10) & 1 == 0 {
        field.copy_from_slice(&value.to_le_bytes()[..width]);
    } else {
        field.copy_from_slice(&value.to_be_bytes()[8 - width..]);
    }
}

/// Takes out a line, or puts it in again somewhere else.
fn line(bytes: &mut Vec<u8>, place: usize, much: usize) {
    let start = bytes[..place]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |n| n + 1);
    let end = bytes[place..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |n| place + n + 1);
    let whole = bytes[start..end].to_vec();
    if much & 1 == 0 {
        bytes.drain(start..end);
    }
    if much & 3 != 0 {
        let to = (much >> 2) % (bytes.len() + 1);
        let to = bytes[..to]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |n| n + 1);
        splice(bytes, to..to, &whole);
    }
}

/// Puts another number in the place of one that is written out.
fn digits(bytes: &mut Vec<u8>, place: usize, much: usize) {
    let Some(start) = bytes[place..]
        .iter()
        .position(u8::is_ascii_digit)
        .map(|n| place + n)
    else {
        return;
    };
    let long = bytes[start..]
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let value = NUMBERS[much % NUMBERS.len()];
    let text = match (much >> 8) % 4 {
        0 => format!("{value:0long$o}"),
        1 => format!("{value:0long$}"),
        2 => format!("-{value}"),
        _ => format!("{value}"),
    };
    splice(bytes, start..start + long, text.as_bytes());
}
