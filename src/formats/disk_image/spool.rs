//! Writes an image as a sparse file: zeros become holes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use super::Window;
use crate::fs::free_space::FreeSpace;

/// Unit that is checked for zeros, in bytes.
const CHUNK: usize = 64 << 10;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Writes a stream into an empty file, and returns its length in bytes.
pub fn spool(content: &mut dyn Read, to: &File) -> Result<u64> {
    let mut buffer = Vec::with_capacity(CHUNK);
    let mut at = 0;
    let mut free_space = FreeSpace::measure(to)?;
    loop {
        crate::fs::interrupt::check()?;
        buffer.clear();
        let mut chunk = (&mut *content).take(CHUNK as u64);
        let count = chunk.read_to_end(&mut buffer);
        let count = count.context("reading the disk image")?;
        if count == 0 {
            break;
        }
        if buffer[..] != ZEROS[..count] {
            free_space.reserve(count as u64)?;
            to.write_all_at(&buffer, at)
                .context("writing the disk image")?;
        }
        at += count as u64;
    }
    to.set_len(at).context("writing the disk image")?;
    Ok(at)
}

/// Writes part of an image into an empty file.
pub fn spool_range(from: &File, start: u64, size: u64, to: &File) -> Result<()> {
    let written = spool(&mut Window::new(from, start, size), to)?;
    ensure!(written == size, "the disk image is cut short");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_become_holes() {
        let mut content = vec![0; 40 * CHUNK + 100];
        content[20 * CHUNK] = 7;
        let file = tempfile::tempfile().unwrap();
        assert_eq!(
            spool(&mut &content[..], &file).unwrap(),
            content.len() as u64
        );
        let mut back = Vec::new();
        Read::read_to_end(&mut Window::new(&file, 0, content.len() as u64), &mut back).unwrap();
        assert!(back == content);
        assert!(file.metadata().unwrap().blocks() * 512 <= 2 * CHUNK as u64);
    }
}
