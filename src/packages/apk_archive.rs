//! What apk verifies of a package, found out before it is given one.
//!
//! A package is three gzip members one behind another: a signature, control, data. apk knows a package of a
//! repository by the SHA-1 of the control member, which its signed index names, and control names the SHA-256 of all
//! that is behind it. The signature counts for nothing then, but apk reads it; and where anything is not as it should
//! be in what lies in its cache, apk does not fetch it anew, but fails (apk-tools 2.10 to 3.0, `package.c` and
//! `extract_v2.c`; seen with 3.0.8). So a package is known here only when apk will find nothing wrong with it.
//!
//! Not for packages of apk 3's own format, and not for unpacking.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::apt::sha256;
use crate::fs::interrupt;

/// How much a member before the data may hold, unpacked, in bytes: scripts, and what it depends on.
const CONTROL_LIMIT: u64 = 4 << 20;
/// How many members there may be before the control: signatures by several keys.
const SIGNATURES: usize = 4;
/// The size of a tar header, and of what a file is filled up to.
const BLOCK: usize = 512;

/// What a package begins with: all but its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApkHead {
    /// SHA-1 of the control part, as it is packed.
    pub control: [u8; 20],
    data: [u8; 32],
}

impl ApkHead {
    /// Reads the beginning of a package, and leaves the reader at its data; `None` for anything else.
    pub fn read(package: &mut impl BufRead) -> Option<Self> {
        for _ in 0..=SIGNATURES {
            // No signature of another form is given to apk, whose reader may take it for something else.
            let plain_header = matches!(package.fill_buf(), Ok([0x1f, 0x8b, 8, 0 | 8, ..]));
            let mut member = Hashed::new(&mut *package);
            let text = unpacked(&mut member)?;
            if !begins_with_a_signature(&text) {
                return Some(Self {
                    control: member.sum.finalize().into(),
                    data: data_checksum(&text)?,
                });
            }
            if !plain_header || !is_signatures(&text) {
                return None;
            }
        }
        None
    }

    /// Returns whether the data is what the control part says.
    pub fn holds(&self, data: &mut impl Read) -> io::Result<bool> {
        let mut sum = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            interrupt::check_io()?;
            match data.read(&mut buffer) {
                Ok(0) => return Ok(self.data == <[u8; 32]>::from(sum.finalize())),
                Ok(length) => sum.update(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A reader that takes the checksum of what was read.
struct Hashed<R> {
    inner: R,
    sum: Sha1,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            sum: Sha1::new(),
        }
    }
}

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        // What is consumed was filled before, and is still there: nothing is read for it.
        if length > 0
            && let Ok(filled) = self.inner.fill_buf()
        {
            self.sum.update(&filled[..length.min(filled.len())]);
        }
        self.inner.consume(length);
    }
}

/// Returns what one gzip member holds, and leaves the reader behind it; `None` where it is damaged, or too much.
fn unpacked(member: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let limited = &mut GzDecoder::new(member).take(CONTROL_LIMIT + 1);
    limited.read_to_end(&mut text).ok()?;
    (text.len() as u64 <= CONTROL_LIMIT).then_some(text)
}

fn begins_with_a_signature(tar: &[u8]) -> bool {
    tar.starts_with(b".SIGN.")
}

/// Returns whether an archive is of signatures alone, in the one form that has one meaning: plain headers, and
/// nothing behind them.
fn is_signatures(mut tar: &[u8]) -> bool {
    while let Some((header, rest)) = tar.split_first_chunk::<BLOCK>() {
        let header = tar::Header::from_byte_slice(header);
        let Some(size) = signature_size(header).filter(|size| *size <= rest.len()) else {
            return false;
        };
        tar = &rest[size..];
    }
    tar.is_empty()
}

/// Returns what a signature takes behind its header.
fn signature_size(header: &tar::Header) -> Option<usize> {
    let (old, bytes) = (header.as_old(), header.as_bytes());
    let name = header.path_bytes();
    let nothing = |part: &[u8]| part.iter().all(|b| *b == 0);
    let numbers = [&old.mode[..], &old.uid, &old.gid, &old.mtime, &old.cksum];
    let sum = |all: &[u8]| all.iter().map(|b| u32::from(*b)).sum::<u32>();
    // As if the checksum were blanks.
    let checksum = sum(bytes) - sum(&old.cksum) + 8 * u32::from(b' ');
    // What only a newer header has: magic, owner, group, two numbers of a device.
    let [magic, owners, device, more] =
        [257..263, 265..329, 329..345, 345..BLOCK].map(|field| &bytes[field]);
    let mut devices = device.chunks(8);
    let plain = matches!(magic, b"ustar\0" | b"ustar ")
        && matches!(old.linkflag, [0 | b'0'])
        && name.starts_with(b".SIGN.")
        && name.iter().all(|c| c.is_ascii_graphic() && *c != b'/')
        && nothing(old.name.get(name.len()..)?)
        && nothing(&old.linkname)
        && nothing(more)
        && owners.iter().all(|c| *c == 0 || c.is_ascii_graphic())
        && devices.all(|number| nothing(number) || octal(number).is_some())
        && numbers.iter().all(|number| octal(number).is_some())
        && octal(&old.cksum) == Some(u64::from(checksum));
    let size = usize::try_from(octal(&old.size)?).ok()?;
    (plain && size <= 1 << 16).then(|| size.next_multiple_of(BLOCK))
}

/// Reads a number in a header: octal digits, filled up with blanks or zero bytes at the end.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field
        .iter()
        .rposition(|c| !matches!(c, 0 | b' '))
        .map_or(0, |last| last + 1);
    let digits = std::str::from_utf8(&field[..end]).ok()?;
    let plain = digits.bytes().all(|c| (b'0'..=b'7').contains(&c));
    plain.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

/// Returns the checksum of the data, as control's `.PKGINFO` has it: `datahash = HEX`.
fn data_checksum(control: &[u8]) -> Option<[u8; 32]> {
    for entry in tar::Archive::new(control).entries().ok()?.raw(true) {
        let mut entry = entry.ok()?;
        if *entry.path_bytes() == *b".PKGINFO" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).ok()?;
            let text = String::from_utf8_lossy(&text);
            let mut sums = text.lines().filter_map(|l| l.strip_prefix("datahash = "));
            let sum = sums.next()?;
            return sums.next().is_none().then(|| sha256(sum)).flatten();
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests;
