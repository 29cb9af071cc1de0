//! Where the data of a sparse archive member belongs: four formats, one map.
//!
//! GNU's own header (type `S`), and its three generations of pax records: 0.0, 0.1, and 1.0, which keeps the
//! map in front of the data. A map is checked before anything is written by it.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use tar::GnuSparseHeader;

use super::header::BLOCK;
use super::pax;

/// The most pieces a file may have: the map is held in memory.
const PIECES: usize = 4 << 20;

/// Pieces of data, offset and length in bytes, in order, and the size of the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) pieces: Vec<(u64, u64)>,
    pub(super) size: u64,
}

impl Map {
    /// Returns the map if its pieces are in order, inside the file, and as long as what is stored.
    pub(super) fn checked(pieces: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<Self> {
        bounded(&pieces)?;
        let (mut end, mut total) = (0u64, 0u64);
        for (offset, length) in &pieces {
            ensure!(*offset >= end, "has a sparse map out of order");
            end = offset
                .checked_add(*length)
                .context("has a sparse map that makes no sense")?;
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

/// Refuses a map that would take more memory than any real file's.
pub(super) fn bounded(pieces: &[(u64, u64)]) -> Result<()> {
    ensure!(
        pieces.len() <= PIECES,
        "has more than {PIECES} sparse pieces"
    );
    Ok(())
}

/// Reads the pieces of a GNU header; unused places are empty.
pub(super) fn pieces(headers: &[GnuSparseHeader]) -> Result<Vec<(u64, u64)>> {
    headers
        .iter()
        .take_while(|h| !h.is_empty())
        .map(|h| Ok((h.offset()?, h.length()?)))
        .collect::<Result<_>>()
        .context("has an unreadable sparse map")
}

/// Reads the map of format 1.0 from the head of the data: lines of decimal numbers, in whole blocks.
pub(super) fn leading_map(data: &mut impl Read) -> Result<Vec<(u64, u64)>> {
    let mut numbers = Lines {
        data,
        block: [0; BLOCK],
        at: BLOCK,
    };
    let count = usize::try_from(numbers.next()?)?;
    ensure!(count <= PIECES, "has more than {PIECES} sparse pieces");
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
    fn a_map_in_front_takes_whole_blocks() {
        let mut text = b"2\n0\n5\n4096\n10\n".to_vec();
        text.resize(BLOCK, 0);
        text.extend(b"data");
        let mut data = &text[..];
        assert_eq!(leading_map(&mut data).unwrap(), [(0, 5), (4096, 10)]);
        assert_eq!(data, b"data");
    }

    #[test]
    fn a_map_that_lies_is_refused() {
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
