//! Whether two open files hold the same, byte by byte, read so that neither's times change.
//!
//! For telling; what is to be shared the kernel compares itself, with both locked. Not for choosing what to compare.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::interrupt;

/// How much is read of each at a time, in bytes.
const CHUNK: usize = 1 << 20;
/// How much is read of each at first: most files that differ do so at the beginning.
const FIRST: usize = 16 << 10;

/// Returns whether both hold the same `size` bytes; tells how many were compared as it goes on.
///
/// # Errors
/// Where one cannot be read, and when netbe was asked to stop.
pub fn same(one: &File, other: &File, size: u64, told: &mut dyn FnMut(u64)) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; FIRST], vec![0; FIRST]);
    let mut at = 0;
    while at < size {
        interrupt::check_io()?;
        let got = fill(one, &mut left, at)?;
        if got != fill(other, &mut right, at)? || left[..got] != right[..got] {
            return Ok(false);
        }
        if got == 0 {
            // Both were cut short meanwhile, by as much.
            return Ok(true);
        }
        at += got as u64;
        told(got as u64);
        let next = usize::try_from(size.saturating_sub(at))
            .unwrap_or(CHUNK)
            .clamp(1, CHUNK);
        left.resize(next, 0);
        right.resize(next, 0);
    }
    Ok(true)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
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
    fn one_byte_makes_the_difference_wherever_it_is() {
        let length = FIRST + CHUNK + 5;
        let bytes = vec![7; length];
        let one = file(&bytes);
        let mut read = 0;
        let size = length as u64;
        assert!(same(&one, &file(&bytes), size, &mut |n| read += n).unwrap());
        assert_eq!(read, size);
        for at in [0, FIRST - 1, FIRST, FIRST + CHUNK, length - 1] {
            let mut other = bytes.clone();
            other[at] = 8;
            assert!(
                !same(&one, &file(&other), size, &mut |_| {}).unwrap(),
                "{at}"
            );
        }
        let shorter = file(&bytes[1..]);
        assert!(!same(&one, &shorter, size, &mut |_| {}).unwrap());
        assert!(same(&file(b""), &file(b""), 0, &mut |_| {}).unwrap());
    }
}
