//! A range of a file as a file of its own, read-only.
//!
//! Small reads are served from a cache: a FAT is read two bytes at a time, in two places. Write is implemented only
//! because readers of partitions require it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::fs::same_content::fill_at;

/// Size of a cached block, in bytes.
const BLOCK: u64 = 16 << 10;
/// Number of cached blocks.
const CACHED_BLOCKS: usize = 8;

/// Part of an image; positions are relative to its start.
#[derive(Debug)]
pub struct Window<'f> {
    file: &'f File,
    start: u64,
    size: u64,
    at: u64,
    /// Cached blocks by number, the last used first.
    cache: Vec<(u64, Vec<u8>)>,
}

impl<'f> Window<'f> {
    /// Returns a window of `size` bytes from `start` on.
    pub fn new(file: &'f File, start: u64, size: u64) -> Self {
        Self {
            file,
            start,
            size,
            at: 0,
            cache: Vec::new(),
        }
    }

    /// Returns the first bytes, fewer if the window or the file is shorter.
    pub fn head(&self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let fresh = Self::new(self.file, self.start, self.size);
        fresh.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn block(&mut self, number: u64) -> io::Result<&[u8]> {
        let found = self.cache.iter().position(|(n, _)| *n == number);
        let block = match found {
            Some(place) => self.cache.remove(place),
            None => {
                let mut bytes = vec![0; BLOCK as usize];
                let offset = self.start + number * BLOCK;
                let filled = fill_at(self.file, &mut bytes, offset)?;
                bytes.truncate(filled);
                self.cache.truncate(CACHED_BLOCKS - 1);
                (number, bytes)
            }
        };
        self.cache.insert(0, block);
        Ok(&self.cache[0].1)
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.at);
        let length = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        if length == 0 {
            return Ok(0);
        }
        let count = if length as u64 >= BLOCK {
            self.file
                .read_at(&mut buf[..length], self.start + self.at)?
        } else {
            let (number, offset) = (self.at / BLOCK, (self.at % BLOCK) as usize);
            let block = self.block(number)?;
            let count = block.len().saturating_sub(offset).min(length);
            if count > 0 {
                buf[..count].copy_from_slice(&block[offset..offset + count]);
            }
            count
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_limited_to_its_range() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let mut window = Window::new(&file, 1000, 50_000);
        let mut all: Vec<u8> = Vec::new();
        let mut piece = [0; 777];
        loop {
            match window.read(&mut piece).unwrap() {
                0 => break,
                count => all.extend(&piece[..count]),
            }
        }
        assert!(all == bytes[1000..51_000]);
        window.seek(SeekFrom::End(-3)).unwrap();
        let mut tail = Vec::new();
        window.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, bytes[50_997..51_000]);
        assert!(window.write(b"x").is_err());
    }
}
