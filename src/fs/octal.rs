//! Decodes the escapes in tables of the kernel and libc: a backslash and three octal digits.
//!
//! Not for writing them: which bytes are escaped is each file's own rule.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Decodes a field that is a path.
pub fn path(field: &str) -> PathBuf {
    OsString::from_vec(unescaped(field)).into()
}

/// Decodes a field; anything but the escape of a byte stays.
pub fn unescaped(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = &tail[if escaped.is_some() { 3 } else { 0 }..];
    }
    bytes
}
