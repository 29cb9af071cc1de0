//! Maps of sparse archive members, of four formats.
//!
//! GNU's own header (type `S`), and the three versions of pax records: 0.0, 0.1, and 1.0, which has the map before the
//! data. A map is checked before use.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use tar::GnuSparseHeader;

use super::header::BLOCK;
use super::pax;

/// The most pieces of a file: the map is held in memory.
const PIECES_MAX: usize = 4 << 20;

/// Pieces of data in order, as offset and length in bytes, and the size of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) pieces: Vec<(u64, u64)>,
    pub(super) size: u64,
}

impl Map {
    /// Returns a map if its pieces are in order, inside the file, and as long as the stored data.
    pub(super) fn checked(pieces: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<Self> {
        check_count(&pieces)?;
        let (mut end, mut total) = (0u64, 0u64);
        for (offset, length) in &pieces {
            ensure!(*offset >= end, "has a sparse map out of order");
            end = offset
                .checked_add(*length)
                .context("has an invalid sparse map")?;
            total += length;
        }
        ensure!(
            end <= size && i64::try_from(size).is_ok(),
            "has a sparse map that leads past its end"
        );
        ensure!(
            total == stored,
            "has a sparse map that does not fit its data"
        );
        Ok(Self { pieces, size })
    }
}

/// Limits the memory of a map.
pub(super) fn check_count(pieces: &[(u64, u64)]) -> Result<()> {
    ensure!(
        pieces.len() <= PIECES_MAX,
        "has more than {PIECES_MAX} sparse pieces"
    );
    Ok(())
}

/// Parses the pieces in a GNU header; unused ones are empty.
pub(super) fn pieces(headers: &[GnuSparseHeader]) -> Result<Vec<(u64, u64)>> {
    headers
        .iter()
        .take_while(|h| !h.is_empty())
        .map(|h| Ok((h.offset()?, h.length()?)))
        .collect::<Result<_>>()
        .context("has an unreadable sparse map")
}

/// Reads the map of format 1.0 at the start of the data: lines of decimal numbers, in whole blocks.
pub(super) fn leading_map(data: &mut impl Read) -> Result<Vec<(u64, u64)>> {
    let mut numbers = Lines {
        data,
        block: [0; BLOCK],
        at: BLOCK,
    };
    let count = usize::try_from(numbers.next()?)?;
    ensure!(
        count <= PIECES_MAX,
        "has more than {PIECES_MAX} sparse pieces"
    );
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push((numbers.next()?, numbers.next()?));
    }
    Ok(pieces)
}

struct Lines<'a, R> {
    data: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn next(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.data
                    .read_exact(&mut self.block)
                    .context("has an unreadable sparse map")?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                break;
            }
            digits.push(byte);
            ensure!(digits.len() <= 20, "has an unreadable sparse map");
        }
        ensure!(!digits.is_empty(), "has an unreadable sparse map");
        pax::number(&digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_before_the_data_takes_whole_blocks() {
        let mut text = b"2\n0\n5\n4096\n10\n".to_vec();
        text.resize(BLOCK, 0);
        text.extend(b"data");
        let mut data = &text[..];
        assert_eq!(leading_map(&mut data).unwrap(), [(0, 5), (4096, 10)]);
        assert_eq!(data, b"data");
    }

    #[test]
    fn an_inconsistent_map_is_refused() {
        assert!(Map::checked(vec![(0, 5), (4096, 10)], 8192, 15).is_ok());
        assert!(Map::checked(vec![(8192, 0)], 8192, 0).is_ok());
        for (pieces, size, stored) in [
            (vec![(4096, 5), (0, 5)], 8192, 10),
            (vec![(0, 10), (5, 10)], 8192, 20),
            (vec![(8190, 10)], 8192, 10),
            (vec![(0, 10)], 8192, 11),
            (vec![(u64::MAX, 10)], u64::MAX, 10),
            (vec![], u64::MAX, 0),
        ] {
            assert!(Map::checked(pieces, size, stored).is_err());
        }
    }

    #[test]
    fn a_map_of_garbage_is_refused() {
        for text in [&b"x\n"[..], b"\n", b"99999999999999999999999\n", b"1\n2"] {
            let mut block = text.to_vec();
            block.resize(BLOCK, 0);
            assert!(leading_map(&mut &block[..]).is_err(), "{text:?}");
        }
    }
}
