//! The version of a kernel image, from the image itself.
//!
//! An x86 image has it in its header; others are decompressed piece by piece and searched for the banner `Linux
//! version 6.12.47 (…`. Anything else gives `None`. Memory is limited to `IMAGE_LIMIT` and some buffers. Does not tell
//! whether a kernel would start.

mod archive;
mod contents;
mod dracut;
mod image;
mod modules;
mod unpack;
mod whole;

pub(crate) use archive::version_in_initramfs_name;
pub(crate) use contents::{Contents, Initramfs, contents};
pub(crate) use image::{Format, format_of, has_configuration, unknown_format_note};
pub(crate) use modules::{
    Modules, has_disk_driver_as_module, has_filesystem_as_module, has_modules, has_overlay,
    lacks_index, module_versions,
};
pub(crate) use whole::fault;

use std::io::{self, Read};

use super::files::{BootFiles, text};
use super::known::Known;
use crate::fs::interrupt;

/// The largest image that is read, in bytes.
pub(crate) const IMAGE_LIMIT: usize = 128 << 20;
/// Enough of an image for the x86 header and what it refers to.
const HEAD: usize = 32 << 10;
/// The most that is decompressed, in bytes.
const UNPACKED_LIMIT: u64 = 256 << 20;
/// The same for an initramfs, which may have the firmware of every graphics card in it.
pub(crate) const INITRAMFS_LIMIT: usize = 512 << 20;
const UNPACKED_INITRAMFS: u64 = 1 << 30;
/// How many positions in an image are tried as the start of a compressed kernel.
const ATTEMPTS: usize = 64;
/// The text before the version in every kernel (`init/version.c`).
const BANNER: &[u8] = b"Linux version ";
/// Longest version; the kernel's `UTS_RELEASE` has 64 bytes with its end.
const VERSION_LIMIT: usize = 64;

/// Returns the version of the kernel at a path; `None` if it has none. Reads no more than needed.
///
/// # Errors
/// If it cannot be read, and so not booted.
pub(crate) fn version_of(boot: &dyn BootFiles, path: &str) -> io::Result<Option<String>> {
    let Some(head) = boot.head(path, HEAD)? else {
        return Ok(None);
    };
    if let Some(version) = x86_version(&head) {
        return Ok(Some(version));
    }
    static FOUND: Known<Option<String>> = Known::new();
    FOUND.find(boot, &[path.to_string()], || {
        let whole = boot.head(path, IMAGE_LIMIT)?;
        Ok(whole.and_then(|image| version(&image)))
    })
}

/// Returns the version of a kernel image; `None` for other files and unknown compressions.
pub fn version(image: &[u8]) -> Option<String> {
    if let Some(version) = x86_version(image) {
        return Some(version);
    }
    let payload = payload(image);
    // One limit for all attempts: the image is untrusted, and decompressed on the server.
    let mut remaining = UNPACKED_LIMIT;
    for reader in unpack::candidates(payload).take(ATTEMPTS) {
        let mut reader = reader.take(remaining);
        if let Some(version) = search(&mut reader, BANNER, &mut leading_version) {
            return Some(version);
        }
        remaining = reader.limit();
    }
    None
}

/// Returns the version in a file name, `6.1.0-32-amd64` of `vmlinuz-6.1.0-32-amd64`.
pub(crate) fn version_in_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stems = [
        "vmlinuz-",
        "vmlinux-",
        "Image-",
        "Image.gz-",
        "zImage-",
        "kernel-",
    ];
    let version = stems.iter().find_map(|stem| name.strip_prefix(stem))?;
    is_version(version).then_some(version)
}

/// Returns whether a kernel was built with an option; `None` if its configuration is not found.
pub(crate) fn is_built_in(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    version: &str,
    option: &str,
) -> Option<bool> {
    let found = configuration(boot, root, version);
    found.map(|text| setting(&text, option).any(|value| value == "=y"))
}

/// Returns whether an option is a module, or not set, in a kernel's configuration.
pub(crate) fn is_not_built_in(
    boot: &dyn BootFiles,
    root: &dyn BootFiles,
    version: &str,
    option: &str,
) -> bool {
    let found = configuration(boot, root, version);
    found.is_some_and(|text| setting(&text, option).any(|value| value != "=y"))
}

/// Returns the rest of an option's lines, after its name.
fn setting<'t>(text: &'t str, option: &str) -> impl Iterator<Item = &'t str> {
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line));
    let of_option = lines.filter_map(move |line| line.strip_prefix(option));
    of_option.filter(|rest| rest.starts_with('=') || *rest == " is not set")
}

fn configuration(boot: &dyn BootFiles, root: &dyn BootFiles, version: &str) -> Option<String> {
    let places = [
        (boot, format!("config-{version}")),
        (root, format!("boot/config-{version}")),
        (root, format!("usr/lib/modules/{version}/config")),
    ];
    places
        .iter()
        .find_map(|(half, path)| text(*half, path).ok().flatten())
}

/// Reads the x86 header (`Documentation/arch/x86/boot.rst`): `HdrS` at 0x202, and at 0x20e the offset of the version,
/// less 0x200.
pub(crate) fn x86_version(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = u16::from_le_bytes([*image.get(0x20e)?, *image.get(0x20f)?]);
    if at == 0 {
        return None;
    }
    let text = image.get(usize::from(at) + 0x200..)?;
    leading_version(&text[..text.len().min(VERSION_LIMIT + 1)])
}

/// Returns the part after the headers of boot loaders.
fn payload(image: &[u8]) -> &[u8] {
    let number = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    // U-Boot's legacy image: 64 bytes of header, big-endian magic.
    if image.starts_with(b"\x27\x05\x19\x56") {
        return image.get(64..).unwrap_or_default();
    }
    // EFI zboot (`drivers/firmware/efi/libstub/zboot-header.S`): offset and length of the payload, at 8 and 12.
    if image.starts_with(b"MZ") && image.get(4..8) == Some(b"zimg") {
        let (at, len) = (number(8).unwrap_or(0), number(12).unwrap_or(0));
        return at
            .checked_add(len)
            .and_then(|end| image.get(at..end))
            .unwrap_or_default();
    }
    image
}

/// Searches a decompressed stream for `marker` until `pick` accepts the text after one; a damaged stream ends the
/// search.
///
/// `pick` gets up to [`VERSION_LIMIT`] bytes and one more, and may get the same text twice.
fn search<T>(
    mut reader: impl Read,
    marker: &[u8],
    pick: &mut dyn FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let overlap = marker.len() + VERSION_LIMIT + 2;
    let mut window = vec![0; 256 << 10];
    let mut filled = 0;
    loop {
        // After a stop request the result is not used.
        if interrupt::requested().is_some() {
            return None;
        }
        let read = reader.read(&mut window[filled..]).unwrap_or(0);
        let end = filled + read;
        let mut from = 0;
        while let Some(at) = find(&window[from..end], marker) {
            from += at + marker.len();
            let text = &window[from..end];
            // A text at the end of the window is complete in the next window.
            if (text.len() > VERSION_LIMIT || read == 0)
                && let Some(found) = pick(&text[..text.len().min(VERSION_LIMIT + 1)])
            {
                return Some(found);
            }
        }
        if read == 0 {
            return None;
        }
        let tail = end.min(overlap);
        window.copy_within(end - tail..end, 0);
        filled = tail;
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&b| b == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Returns the version at the start of a text: up to a blank, slash or NUL, which is required.
fn leading_version(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|b| matches!(b, b' ' | b'/' | 0))?;
    let leading_version = std::str::from_utf8(&text[..end]).ok()?;
    is_version(leading_version).then(|| leading_version.to_string())
}

/// Returns whether a text is a version, such as `6.1.0-32-amd64`.
pub(crate) fn is_version(leading_version: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"._+-~@".contains(&b);
    let numbers = leading_version.split(['.', '-']).next().unwrap_or_default();
    !numbers.is_empty()
        && numbers.bytes().all(|b| b.is_ascii_digit())
        && leading_version.contains('.')
        && leading_version.bytes().all(is_valid)
}

#[cfg(test)]
pub(crate) use contents::tests::cpio;
#[cfg(test)]
mod tests;
