//! Decompresses kernel images.
//!
//! The format is detected by the first bytes, at the start of the image or, in a self-extracting 32-bit ARM image,
//! anywhere near its start. Damaged data ends early, and memory is limited to a reader's window. The number of bytes
//! read by all readers is limited, because compressed data may have no output.

use std::cell::Cell;
use std::io::{self, BufRead, Cursor, Read};
use std::rc::Rc;

use liblzma::stream::Stream;

use super::IMAGE_LIMIT;
use crate::fs::interrupt;

/// The magic number of an ARM `zImage`, at 0x24.
const ZIMAGE: &[u8] = b"\x18\x28\x6f\x01";
/// How far into an ARM `zImage` its kernel may begin, after the decompressor's code.
const ZIMAGE_CODE: usize = 256 << 10;
/// Memory limit of an xz or lzma stream, in bytes: kernels use a window of at most 32 MiB.
const LZMA_MEMORY: u64 = 128 << 20;
/// Window limit of a zstd stream, as a power of two; kernels use up to 2^27.
const ZSTD_WINDOW: u32 = 27;
/// Block size of lz4's legacy format, which the kernel's build uses.
const LZ4_BLOCK: usize = 8 << 20;
/// Bytes of an image read at once.
const READ_SIZE: usize = 64 << 10;
/// Limit of the bytes read by all readers of an image: twice the largest image.
const READ_LIMIT: usize = 2 * IMAGE_LIMIT;

const GZIP: &[u8] = b"\x1f\x8b\x08";
const XZ: &[u8] = b"\xfd7zXZ\x00";
const LZMA: &[u8] = b"\x5d\x00\x00";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const LZ4: &[u8] = b"\x02\x21\x4c\x18";

/// Returns readers of possible kernels, the likeliest first; the uncompressed bytes are last.
pub(super) fn candidates(image: &[u8]) -> impl Iterator<Item = Box<dyn Read + '_>> {
    let starts: Vec<usize> = if image.get(0x24..0x28) == Some(ZIMAGE) {
        let near = image.len().min(ZIMAGE_CODE);
        (0..near).filter(|&at| is_packed(&image[at..])).collect()
    } else {
        vec![0]
    };
    let remaining = Rc::new(Cell::new(READ_LIMIT));
    let compressed = starts
        .into_iter()
        .filter_map(move |at| unpacked(&image[at..], &remaining));
    compressed.chain(std::iter::once_with(move || {
        Box::new(Cursor::new(image)) as Box<dyn Read>
    }))
}

/// Returns whether an error means damaged data, and not a limit or an unsupported option of this decoder.
pub(super) fn is_damage(error: &io::Error) -> bool {
    let text = || error.to_string().to_ascii_lowercase();
    error.kind() == io::ErrorKind::InvalidData
        || ["corrupt", "checksum"]
            .iter()
            .any(|word| text().contains(word))
}

/// Returns whether bytes begin with a known compression's magic number.
pub(super) fn is_packed(bytes: &[u8]) -> bool {
    [GZIP, XZ, LZMA, ZSTD, LZ4]
        .iter()
        .any(|magic| bytes.starts_with(magic))
}

/// One compressed part of an image that has several, which may be followed by more.
pub(super) struct Part<'a> {
    /// Reads what it holds.
    pub(super) reader: Box<dyn Read + 'a>,
    remaining: Rc<Cell<usize>>,
    limit: usize,
}

impl Part<'_> {
    /// Returns how many compressed bytes were read; after the last one, that is the start of the next part.
    pub(super) fn length(&self) -> usize {
        self.limit - self.remaining.get()
    }
}

/// Returns the part that bytes begin with; `None` if that is not compressed in a known way.
///
/// `limit` is the most that is read of it.
pub(super) fn part(bytes: &[u8], limit: usize) -> Option<Part<'_>> {
    let remaining = Rc::new(Cell::new(limit));
    let reader = unpacked(bytes, &remaining)?;
    // The lz4 decoder does not read the magic number.
    let skipped = if bytes.starts_with(LZ4) { LZ4.len() } else { 0 };
    Some(Part {
        reader,
        remaining,
        limit: limit + skipped,
    })
}

/// Compressed bytes of an image; ends at the common limit, or after a stop request.
struct Compressed<'a> {
    bytes: &'a [u8],
    remaining: Rc<Cell<usize>>,
}

impl<'a> Compressed<'a> {
    /// Takes bytes; `None` if there are fewer, or the limit is reached.
    fn next(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.remaining
            .set(self.remaining.get().checked_sub(length)?);
        self.bytes = rest;
        interrupt::requested().is_none().then_some(taken)
    }
}

impl Read for Compressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.bytes.len()).min(READ_SIZE);
        let taken = self.next(length);
        let taken = taken.ok_or_else(|| io::Error::other("the read limit is reached"))?;
        buffer[..length].copy_from_slice(taken);
        Ok(length)
    }
}

/// Only the bytes that a decoder uses are consumed, so that the end of its data is known.
impl BufRead for Compressed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let length = self.bytes.len().min(READ_SIZE).min(self.remaining.get());
        if interrupt::requested().is_some() || (length == 0 && !self.bytes.is_empty()) {
            return Err(io::Error::other("the read limit is reached"));
        }
        Ok(&self.bytes[..length])
    }

    fn consume(&mut self, length: usize) {
        let _ = self.next(length);
    }
}

fn unpacked<'a>(bytes: &'a [u8], remaining: &Rc<Cell<usize>>) -> Option<Box<dyn Read + 'a>> {
    let compressed = |bytes| Compressed {
        bytes,
        remaining: Rc::clone(remaining),
    };
    if bytes.starts_with(GZIP) {
        return Some(Box::new(flate2::bufread::GzDecoder::new(compressed(bytes))));
    }
    if bytes.starts_with(XZ) {
        let stream = Stream::new_stream_decoder(LZMA_MEMORY, 0).ok()?;
        return Some(Box::new(liblzma::bufread::XzDecoder::new_stream(
            compressed(bytes),
            stream,
        )));
    }
    if bytes.starts_with(ZSTD) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed(bytes)).ok()?;
        decoder.window_log_max(ZSTD_WINDOW).ok()?;
        return Some(Box::new(decoder.single_frame()));
    }
    if bytes.starts_with(LZ4) {
        return Some(Box::new(Lz4::new(compressed(&bytes[LZ4.len()..]))));
    }
    // Last: its magic has only three bytes; the decoder fails early for other data.
    if bytes.starts_with(LZMA) {
        let stream = Stream::new_lzma_decoder(LZMA_MEMORY).ok()?;
        return Some(Box::new(liblzma::bufread::XzDecoder::new_stream(
            compressed(bytes),
            stream,
        )));
    }
    None
}

/// Decompresses lz4's legacy format: independent blocks, each after its length.
struct Lz4<'a> {
    compressed: Compressed<'a>,
    block: Vec<u8>,
    returned: usize,
}

impl<'a> Lz4<'a> {
    fn new(compressed: Compressed<'a>) -> Self {
        Self {
            compressed,
            block: Vec::new(),
            returned: 0,
        }
    }

    /// Reads the next block; returns whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        // Another stream may follow, and a length of zero ends one: the kernel's lib/decompress_unlz4.c.
        if self.compressed.bytes.starts_with(LZ4) {
            self.take(LZ4.len())?;
        }
        let ahead = self.compressed.bytes;
        if ahead.iter().take(4).all(|&b| b == 0) {
            return Ok(false);
        }
        let length = match self.take(4)?.first_chunk::<4>() {
            Some(length) => u32::from_le_bytes(*length) as usize,
            None => return Ok(false),
        };
        let compressed = self.take(length)?;
        self.returned = 0;
        let is_whole = unpack_lz4_block(compressed, &mut self.block).is_some();
        match is_whole {
            true => Ok(true),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "damaged lz4 block",
            )),
        }
    }

    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        if self.compressed.bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = self.compressed.next(length);
        taken.ok_or_else(|| io::Error::other("the read limit is reached"))
    }
}

impl Read for Lz4<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.returned == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.block.len() - self.returned);
        buffer[..count].copy_from_slice(&self.block[self.returned..self.returned + count]);
        self.returned += count;
        Ok(count)
    }
}

/// Decompresses one block (`lz4_Block_format.md`): literals, then a copy of earlier output, repeated.
fn unpack_lz4_block(compressed: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut bytes = compressed.iter().copied();
    while let Some(token) = bytes.next() {
        let literals = lz4_length(usize::from(token >> 4), &mut bytes)?;
        if out.len() + literals > LZ4_BLOCK {
            return None;
        }
        let before = out.len();
        out.extend(bytes.by_ref().take(literals));
        if out.len() - before != literals {
            return None;
        }
        let Some(low) = bytes.next() else {
            return Some(());
        };
        let distance = usize::from(u16::from_le_bytes([low, bytes.next()?]));
        let length = lz4_length(usize::from(token & 15), &mut bytes)? + 4;
        if distance == 0 || distance > out.len() || out.len() + length > LZ4_BLOCK {
            return None;
        }
        for _ in 0..length {
            out.push(out[out.len() - distance]);
        }
    }
    Some(())
}

fn lz4_length(nibble: usize, bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let more = bytes.next()?;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_blocks_are_read() {
        // "abcabcabcabcX": three literals, a copy of nine from three before, one literal.
        let block = [0x35, b'a', b'b', b'c', 3, 0, 0x10, b'X'];
        let mut out = Vec::new();
        assert!(unpack_lz4_block(&block, &mut out).is_some());
        assert_eq!(out, b"abcabcabcabcX");
        for broken in [&[0x35, b'a'][..], &[0x10, b'a', 9, 0], &[0xf0, 255]] {
            assert!(unpack_lz4_block(broken, &mut out).is_none());
        }
        let mut framed = (u32::try_from(block.len()).unwrap()).to_le_bytes().to_vec();
        framed.extend(block);
        let mut text = String::new();
        let compressed = Compressed {
            bytes: &framed.repeat(2),
            remaining: Rc::new(Cell::new(READ_LIMIT)),
        };
        Lz4::new(compressed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcabcabcabcXabcabcabcabcX");
    }

    #[test]
    fn the_bytes_read_of_data_without_output_are_limited() {
        // Many starts of compressed data, each with a name up to the end of all others, followed by empty blocks.
        let mut image = vec![0; 0x28];
        image[0x24..0x28].copy_from_slice(ZIMAGE);
        image.extend(b"\x1f\x8b\x08\x08\x01\x01\x01\x01\x01\x01".repeat(400));
        image.push(0);
        image.extend(b"\0\0\0\xff\xff".repeat(4 << 20));
        let begun = std::time::Instant::now();
        let read = candidates(&image).take(400).map(|mut reader| {
            let mut some = [0; 16];
            reader.read(&mut some).unwrap_or(0)
        });
        assert_eq!(read.sum::<usize>(), 0);
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(60), "{took:?}");
    }
}
