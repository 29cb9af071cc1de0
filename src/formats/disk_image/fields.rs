//! Reads numbers from untrusted bytes: out of range is an error, not a panic.

use anyhow::{Result, anyhow};

/// Bytes of an image with numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Returns `length` bytes.
    pub(super) fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8]> {
        at.checked_add(length)
            .and_then(|end| self.0.get(at..end))
            .ok_or_else(|| anyhow!("a structure in it is cut short"))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(at, N)?);
        Ok(array)
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8> {
        self.array(at).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Returns a big-endian number of 32 bits.
    pub(super) fn big32(&self, at: usize) -> Result<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// Returns a number of 64 bits whose halves are at two offsets.
    pub(super) fn split(&self, low: usize, high: usize) -> Result<u64> {
        Ok(u64::from(self.u32(low)?) | (u64::from(self.u32(high)?) << 32))
    }
}

/// CRC-32C with the initial value `before`, without inversion.
pub(super) fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes.iter().fold(before, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)]
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_is_an_error() {
        let fields = Fields(&[1, 2, 3, 4]);
        assert_eq!(fields.u32(0).unwrap(), 0x0403_0201);
        assert_eq!(fields.big32(0).unwrap(), 0x0102_0304);
        assert!(fields.u32(1).is_err() && fields.u8(usize::MAX).is_err());
        assert!(fields.bytes(2, usize::MAX).is_err());
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
