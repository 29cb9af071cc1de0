//! Compares two open files byte by byte, without changing their times.
//!
//! For reports only: before sharing extents the kernel compares again, with both files locked.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::interrupt;

/// Bytes read of each file at a time.
const CHUNK: usize = 1 << 20;
/// Bytes read first: most files that differ do so at the beginning.
const FIRST: usize = 16 << 10;
/// Granularity of differences, in bytes: the filesystem's block, or a part of it.
const BLOCK: usize = 4096;

/// Returns whether the first `size` bytes are equal.
///
/// # Errors
/// If a file cannot be read, or a stop was requested.
pub fn same(one: &File, other: &File, size: u64) -> io::Result<bool> {
    let differing = differing(
        one,
        other,
        &[Range {
            start: 0,
            end: size,
        }],
        0,
        &mut |_| {},
    )?;
    Ok(differing.is_some_and(|ranges| ranges.is_empty()))
}

/// Returns the differing blocks within these ranges; `None` if they are more than `limit` bytes.
///
/// `tick` receives the number of bytes as they are compared.
///
/// # Errors
/// As [`same`].
pub fn differing(
    one: &File,
    other: &File,
    ranges: &[Range<u64>],
    limit: u64,
    tick: &mut dyn FnMut(u64),
) -> io::Result<Option<Vec<Range<u64>>>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut bytes = 0;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            interrupt::check_io()?;
            // A range that is a hole in both is equal, and may be of any length.
            let data = data_from(one, at)?.min(data_from(other, at)?);
            if data > at {
                tick(data.min(range.end) - at);
                at = data;
                continue;
            }
            let chunk = if at == range.start { FIRST } else { CHUNK };
            let length = usize::try_from(range.end - at).map_or(chunk, |rest| rest.min(chunk));
            left.resize(length, 0);
            right.resize(length, 0);
            let read = fill_at(one, &mut left, at)?;
            if read != fill_at(other, &mut right, at)? {
                // One of the files was truncated meanwhile.
                return Ok(None);
            }
            for (number, (l, r)) in left[..read]
                .chunks(BLOCK)
                .zip(right[..read].chunks(BLOCK))
                .enumerate()
            {
                if l != r {
                    let start = at + (number * BLOCK) as u64;
                    add_range(&mut found, start..start + l.len() as u64);
                    bytes += l.len() as u64;
                }
            }
            if bytes > limit {
                return Ok(None);
            }
            tick(read as u64);
            if read < length {
                break;
            }
            at += read as u64;
        }
    }
    Ok(Some(found))
}

/// Returns the start of the next data at or after an offset; the offset itself if the filesystem does not support that.
fn data_from(file: &File, at: u64) -> io::Result<u64> {
    match lseek(file, at.cast_signed(), Whence::SeekData) {
        Ok(start) => Ok(start.cast_unsigned()),
        // A hole, or the file's end.
        Err(Errno::ENXIO) => Ok(file.metadata()?.len().max(at)),
        Err(Errno::EINVAL) => Ok(at),
        Err(e) => Err(e.into()),
    }
}

fn add_range(found: &mut Vec<Range<u64>>, range: Range<u64>) {
    match found.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => found.push(range),
    }
}

/// Reads until the buffer is full or the file ends.
pub fn fill_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn one_differing_byte_is_found_anywhere() {
        let length = FIRST + CHUNK + 5;
        let bytes = vec![7; length];
        let one = file(&bytes);
        let size = length as u64;
        assert!(same(&one, &file(&bytes), size).unwrap());
        for at in [0, FIRST - 1, FIRST, FIRST + CHUNK, length - 1] {
            let mut other = bytes.clone();
            other[at] = 8;
            let other = file(&other);
            assert!(!same(&one, &other, size).unwrap(), "{at}");
            let start = (at - at % BLOCK) as u64;
            let block = start..size.min(start + BLOCK as u64);
            let whole = [Range {
                start: 0,
                end: size,
            }];
            let mut read = 0;
            let found = differing(&one, &other, &whole, 4096, &mut |n| read += n).unwrap();
            assert_eq!((found, read), (Some(vec![block]), size));
            let elsewhere = if start == 0 {
                FIRST as u64..size
            } else {
                0..start
            };
            let found = differing(&one, &other, &[elsewhere], 0, &mut |_| {}).unwrap();
            assert_eq!(found, Some(Vec::new()));
        }
        assert!(!same(&one, &file(&bytes[1..]), size).unwrap());
        assert!(same(&file(b""), &file(b""), 0).unwrap());
    }
}
