//! Parses extended headers of POSIX tar archives.
//!
//! Values are bytes: names, attributes and capabilities may have newlines and need not be UTF-8. Supports the records
//! of GNU tar, star and libarchive. Sparse maps are checked in `sparse`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::time::TimeSpec;

/// Limit of the names of a file's extended attributes, doubled: bsdtar writes each in two records (`XATTR_LIST_MAX` of
/// linux/limits.h).
const XATTR_NAMES: usize = 2 << 16;
/// The longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX` of linux/limits.h).
const XATTR_VALUE: usize = 64 << 10;
/// The longest text of an ACL, in bytes; the number of entries is limited by the kernel's value.
const ACL_TEXT: usize = 1 << 20;

/// The extended headers of the next member.
#[derive(Debug, Clone, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<TimeSpec>,
    pub(super) xattrs: Vec<(OsString, Vec<u8>)>,
    /// Length of all attribute names, each with a terminator.
    names_length: usize,
    pub(super) acl_access: Option<String>,
    pub(super) acl_default: Option<String>,
    pub(super) sparse: Sparse,
    /// Kinds of records that netbe cannot apply.
    pub(super) left_out: Vec<&'static str>,
}

/// The `GNU.sparse.*` records of all three versions.
#[derive(Debug, Clone, Default)]
pub(super) struct Sparse {
    pub(super) version: Option<(u64, u64)>,
    pub(super) size: Option<u64>,
    pub(super) pieces: Vec<(u64, u64)>,
    pub(super) mapped: bool,
    offset: Option<u64>,
}

impl Extended {
    /// Adds the records of an extended header; later ones replace earlier ones, an empty value removes.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            // Some programs pad with NULs.
            if rest.iter().all(|b| *b == 0) {
                break;
            }
            let (key, value, rest_after) =
                record(rest).context("an extended header of the archive is malformed")?;
            self.set(key, value).with_context(|| {
                format!("extended header record {:?}", String::from_utf8_lossy(key))
            })?;
            rest = rest_after;
        }
        Ok(())
    }

    /// Returns whether there are no attributes and ACLs.
    pub(super) fn has_no_attributes(&self) -> bool {
        self.xattrs.is_empty() && self.acl_access.is_none() && self.acl_default.is_none()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = some(value),
            // The real name; `path` is a made-up one for programs without sparse files.
            b"GNU.sparse.name" => self.path = some(value),
            b"linkpath" => self.link = some(value),
            b"size" => self.size = optional(value, number)?,
            b"uid" => self.uid = optional(value, owner)?,
            b"gid" => self.gid = optional(value, owner)?,
            b"mtime" => self.mtime = optional(value, time)?,
            b"SCHILY.acl.access" => self.acl_access = optional(value, acl_text)?,
            b"SCHILY.acl.default" => self.acl_default = optional(value, acl_text)?,
            b"SCHILY.acl.ace" => self.leave_out("NFSv4 access lists"),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(name.to_vec(), value.to_vec(), true)?;
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64(value).context("not base64")?;
                    self.set_xattr(percent_decoded(name), value, false)?;
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(key, value)?;
                }
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, what: &'static str) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    /// bsdtar writes each attribute twice; the plain record takes precedence.
    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>, plain: bool) -> Result<()> {
        let name = OsString::from_vec(name);
        ensure!(
            value.len() <= XATTR_VALUE,
            "an extended attribute's value is too long"
        );
        // The kernel's limit; the search below is linear.
        ensure!(
            self.names_length + name.len() < XATTR_NAMES,
            "more extended attributes than a file can have"
        );
        self.names_length += name.len() + 1;
        match self.xattrs.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) if plain => *old = value,
            Some(_) => {}
            None => self.xattrs.push((name, value)),
        }
        Ok(())
    }
}

impl Sparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"major" => self.version = Some((number(value)?, self.version.map_or(0, |v| v.1))),
            b"minor" => self.version = Some((self.version.map_or(0, |v| v.0), number(value)?)),
            b"size" | b"realsize" => self.size = Some(number(value)?),
            b"numblocks" => self.mapped = true,
            b"offset" => self.offset = Some(number(value)?),
            b"numbytes" => {
                let offset = self.offset.take().context("a length without an offset")?;
                self.mapped = true;
                self.pieces.push((offset, number(value)?));
            }
            b"map" => {
                let numbers: Vec<u64> = value
                    .split(|b| *b == b',')
                    .filter(|part| !part.is_empty())
                    .map(number)
                    .collect::<Result<_>>()?;
                ensure!(
                    numbers.len().is_multiple_of(2),
                    "an offset without a length"
                );
                self.mapped = true;
                self.pieces = numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Splits `"LENGTH KEY=VALUE\n…"` into key, value and rest; the length is of the whole record.
fn record(text: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let space = text.iter().position(|b| *b == b' ').context("no length")?;
    let length = usize::try_from(number(&text[..space])?)?;
    ensure!(length > space + 1 && length <= text.len(), "a wrong length");
    let (record, rest_after) = text.split_at(length);
    let pair = record[space + 1..]
        .strip_suffix(b"\n")
        .context("no newline at its end")?;
    let equals = pair.iter().position(|b| *b == b'=').context("no =")?;
    Ok((&pair[..equals], &pair[equals + 1..], rest_after))
}

fn some(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

fn optional<T>(value: &[u8], parse: fn(&[u8]) -> Result<T>) -> Result<Option<T>> {
    if value.is_empty() {
        return Ok(None);
    }
    parse(value).map(Some)
}

/// Parses a decimal number.
pub(super) fn number(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value).context("not a number")?;
    ensure!(
        text.bytes().all(|b| b.is_ascii_digit()),
        "not a number: {text:?}"
    );
    text.parse()
        .with_context(|| format!("not a number: {text:?}"))
}

fn owner(value: &[u8]) -> Result<u32> {
    u32::try_from(number(value)?).context("an owner beyond 32 bits")
}

fn acl_text(value: &[u8]) -> Result<String> {
    ensure!(value.len() <= ACL_TEXT, "an ACL is too long");
    String::from_utf8(value.to_vec()).context("not UTF-8")
}

/// Parses seconds since the epoch with any number of decimals: `-1.25` is a quarter before second -1.
fn time(value: &[u8]) -> Result<TimeSpec> {
    let text = std::str::from_utf8(value).context("not a time")?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (record, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let seconds = i64::try_from(number(record.as_bytes())?)?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        bail!("not a time: {text:?}");
    }
    let nanoseconds: i64 = format!("{fraction:0<9.9}").parse()?;
    Ok(match (sign, nanoseconds) {
        (1, _) => TimeSpec::new(seconds, nanoseconds),
        (_, 0) => TimeSpec::new(-seconds, 0),
        _ => TimeSpec::new(-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// Decodes base64 with or without padding; `None` for anything else.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut bit_count) = (0u32, 0);
    for byte in text.iter().take_while(|b| **b != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            out.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    Some(out)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let code = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(text[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests;
