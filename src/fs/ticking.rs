//! A reader that tells how much it has read, for progress and for limits.

use std::io::{self, Read};

/// Reads, and tells of each read how many bytes it gave.
#[derive(Debug)]
pub struct Ticking<R, F> {
    inner: R,
    tick: F,
}

impl<R: Read, F: FnMut(u64)> Ticking<R, F> {
    /// Wraps a reader.
    pub fn new(inner: R, tick: F) -> Self {
        Self { inner, tick }
    }
}

impl<R: Read, F: FnMut(u64)> Read for Ticking<R, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        (self.tick)(count as u64);
        Ok(count)
    }
}
