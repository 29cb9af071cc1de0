//! Copies the content of a file: by sharing extents (`FICLONE`) where the filesystem can, else its data only.
//!
//! Holes stay holes. Attributes are not copied.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::fs::same_content::fill_at;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Copies contents; remembers whether the filesystems can share extents.
#[derive(Debug)]
pub struct Contents {
    shares: bool,
    buffer: Vec<u8>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            shares: true,
            buffer: Vec::new(),
        }
    }
}

impl Contents {
    /// Copies the first `size` bytes to an empty file; `tick` receives the number of bytes as they are copied.
    ///
    /// If the file shrinks meanwhile, the copy ends in a hole.
    pub fn copy(
        &mut self,
        from: &File,
        to: &File,
        size: u64,
        tick: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        if self.share(from, to)? {
            tick(size);
            return Ok(());
        }
        let mut done = 0;
        while let Some((start, end)) = data_after(from, done, size)? {
            tick(start - done);
            self.copy_range(from, to, start..end, tick)?;
            done = end;
        }
        to.set_len(size)?;
        tick(size - done);
        Ok(())
    }

    /// Shares all extents; false where that is not possible.
    fn share(&mut self, from: &File, to: &File) -> io::Result<bool> {
        if !self.shares {
            return Ok(false);
        }
        use rustix::io::Errno;
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => Ok(true),
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                self.shares = false;
                Ok(false)
            }
            // The files differ in storage (no checksums, a swap file).
            Err(Errno::INVAL | Errno::TXTBSY | Errno::PERM) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn copy_range(
        &mut self,
        from: &File,
        to: &File,
        range: std::ops::Range<u64>,
        tick: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        self.buffer.resize(CHUNK, 0);
        let mut at = range.start;
        while at < range.end {
            crate::fs::interrupt::check_io()?;
            let most = (range.end - at).min(CHUNK as u64) as usize;
            let count = fill_at(from, &mut self.buffer[..most], at)?;
            if count == 0 {
                return Ok(());
            }
            to.write_all_at(&self.buffer[..count], at)?;
            at += count as u64;
            tick(count as u64);
        }
        Ok(())
    }
}

/// Returns the next range of data from an offset on; without support for holes, all of the rest.
fn data_after(file: &File, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if offset >= size {
        return Ok(None);
    }
    let from = offset.cast_signed();
    let start = match lseek(file, from, Whence::SeekData) {
        Ok(start) => start.cast_unsigned(),
        Err(Errno::ENXIO) => return Ok(None),
        Err(Errno::EINVAL) => return Ok(Some((offset, size))),
        Err(e) => return Err(e.into()),
    };
    if start >= size {
        return Ok(None);
    }
    let end = lseek(file, start.cast_signed(), Whence::SeekHole)?.cast_unsigned();
    Ok(Some((start, end.min(size))))
}
