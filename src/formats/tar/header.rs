//! One header block of a tar archive: its checksum and numbers.
//!
//! Pure. Offsets are those of the `tar` crate; values are parsed here, because programs differ: blanks, binary
//! numbers, negative times.

use anyhow::{Context, Result};
use nix::libc::UTIME_OMIT;
use nix::sys::time::TimeSpec;
use tar::Header;

use super::pax::Extended;
use crate::fs::copy::attributes::Attributes;

/// Block size of a tar archive, in bytes.
pub(super) const BLOCK: usize = 512;

/// Returns whether a block is a tar header, by its checksum.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.get(..BLOCK) else {
        return false;
    };
    // Some old programs summed signed bytes.
    let (mut plain, mut signed) = (0i64, 0i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        };
        plain += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    let empty = block[148..156].iter().all(|b| matches!(b, 0 | b' '));
    number(&block[148..156]).is_some_and(|sum| !empty && (sum == plain || sum == signed))
}

/// Returns mode, owner and time of a header; extended records take precedence.
pub(super) fn attributes(header: &Header, extended: &Extended) -> Result<Attributes> {
    let old = header.as_old();
    let owner = |field: &[u8]| number(field).and_then(|n| u32::try_from(n).ok());
    let mode = number(&old.mode).context("has no readable mode")?;
    Ok(Attributes {
        mode: (mode & 0o7777) as u32,
        uid: extended
            .uid
            .or_else(|| owner(&old.uid))
            .context("has no readable owner")?,
        gid: extended
            .gid
            .or_else(|| owner(&old.gid))
            .context("has no readable group")?,
        accessed: TimeSpec::new(0, UTIME_OMIT),
        modified: match extended.mtime {
            Some(time) => time,
            None => TimeSpec::new(number(&old.mtime).context("has no readable time")?, 0),
        },
        xattrs: extended.xattrs.clone(),
    })
}

/// Returns a device number; zeros if there is none.
pub(super) fn device(header: &Header) -> (u32, u32) {
    let bytes = header.as_bytes();
    // At the same offset in ustar and GNU headers; v7 has no devices.
    let field = |range| {
        number(&bytes[range])
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default()
    };
    if header.as_ustar().is_none() && header.as_gnu().is_none() {
        return (0, 0);
    }
    (field(329..337), field(337..345))
}

/// Returns the size of the data after a header, in bytes.
pub(super) fn size_of(header: &Header) -> Result<u64> {
    number(&header.as_old().size)
        .and_then(|n| u64::try_from(n).ok())
        .context("the archive is damaged: a member has no readable size")
}

/// Parses a number: octal text, or big-endian binary with the top bit set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // GNU: 0x80 is positive, 0xff is two's complement; bits above 63 must repeat the sign.
        let start = if first & 0x40 != 0 { -1i128 } else { 0 };
        let low = i128::from(first & 0x3f);
        let head = if start == 0 { low } else { (start << 6) | low };
        let mut value = head;
        for byte in &field[1..] {
            value = value.checked_mul(256)? | i128::from(*byte);
        }
        return i64::try_from(value).ok();
    }
    let text = field.split(|b| *b == 0).next()?;
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(text, 8).ok().filter(|n| *n >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_writers_write_them() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"\x80\0\0\0\0\0\0\x07", Some(7)),
            (b"\x80\0\0\0\0\x2d\xc6\xc0", Some(3_000_000)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
                Some(-2),
            ),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"12x", None),
            (b"-12", None),
            (b"9", None),
            (b"", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn a_header_has_a_checksum() {
        let mut header = Header::new_ustar();
        header.set_path("name").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert!(is_header(header.as_bytes()));
        header.as_mut_bytes()[0] ^= 1;
        assert!(!is_header(header.as_bytes()));
        assert!(!is_header(&[0; BLOCK]));
        assert!(!is_header(&header.as_bytes()[..500]));
    }
}
