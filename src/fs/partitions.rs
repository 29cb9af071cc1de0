//! Partitions of disks and their mount points, for scripts that inspect and format disks.
//!
//! Shell functions, since a script is sent to a node too. Not for reading disk images.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The functions, in front of a script that calls them.
pub const FUNCTIONS: &str = include_str!("partitions.sh");

/// Returns a value as it was before lsblk escaped it: `\x20` is a blank.
pub fn unescaped(value: &str) -> OsString {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\x") {
        let (before, escape) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let byte = escape.get(2..4).map(|hex| u8::from_str_radix(hex, 16));
        let taken = match byte {
            Some(Ok(byte)) => {
                bytes.push(byte);
                4
            }
            _ => {
                bytes.extend_from_slice(b"\\x");
                2
            }
        };
        rest = &escape[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_lsblk_are_bytes() {
        for (value, plain) in [
            ("/mnt", "/mnt"),
            ("/a\\x20b\\x5cx20\\x09", "/a b\\x20\t"),
            ("/\\xc3\\xa4", "/ä"),
            ("\\x2", "\\x2"),
            ("\\xä0", "\\xä0"),
        ] {
            assert_eq!(unescaped(value), plain, "{value}");
        }
    }
}
