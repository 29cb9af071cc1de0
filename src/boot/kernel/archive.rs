//! The kernel version of an initramfs, from the directory of its modules.
//!
//! An initramfs is one or more concatenated archives (cpio, `newc`), each plain or compressed, with NULs between them, as
//! the kernel's init/initramfs.c reads it. It is searched, not unpacked; without modules the version is unknown.

use std::io::{self, Read};

use super::{IMAGE_LIMIT, UNPACKED_LIMIT, leading_version, search, unpack};
use crate::boot::files::BootFiles;

/// Parent directory of the modules in an initramfs.
const MODULES: &[u8] = b"lib/modules/";
/// Magic of an archive entry (`Documentation/driver-api/early-userspace/buffer-format.rst`).
const CPIO: [&[u8]; 2] = [b"070701", b"070702"];
/// Length of an entry's header, before its name.
const CPIO_HEADER: usize = 110;
/// How many compressed archives an initramfs may have: each decoder takes memory and time.
const COMPRESSED: usize = 64;
/// Name of the last entry of an archive.
const CPIO_END: &[u8] = b"TRAILER!!!";

/// Returns another version whose modules an initramfs has; `None` if it has those of `version`, or no modules.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn foreign_modules(
    boot: &dyn BootFiles,
    path: &str,
    version: &str,
) -> io::Result<Option<String>> {
    let image = boot.head(path, IMAGE_LIMIT)?;
    Ok(image.and_then(|image| foreign(&image, version)))
}

/// Returns the version in an initramfs' name: `6.1.0-32-amd64` of `initrd.img-6.1.0-32-amd64`.
pub(crate) fn version_in_initramfs_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stems = ["initrd.img-", "initramfs-", "initrd-"];
    let version = stems.iter().find_map(|stem| name.strip_prefix(stem))?;
    let version = version.strip_suffix(".img").unwrap_or(version);
    super::is_version(version).then_some(version)
}

fn foreign(image: &[u8], version: &str) -> Option<String> {
    let mut other = None;
    // Ends the search with `Some` for the right version; another one is recorded.
    let mut pick = |text: &[u8]| {
        let found = leading_version(text)?;
        if found == version {
            return Some(());
        }
        other.get_or_insert(found);
        None
    };
    let is_whole = each_part(image, &mut |part| {
        search(part, MODULES, &mut pick).is_none()
    });
    // What the rest has cannot be told where that cannot be read; nor is it where the right ones were found.
    other.filter(|_| is_whole)
}

/// Goes through the parts of an initramfs, each with a reader of what it holds, as long as `see` wants to go on.
///
/// Returns whether it came to the end; plain archives behind each other are one part.
pub(super) fn each_part(image: &[u8], see: &mut dyn FnMut(&mut dyn Read) -> bool) -> bool {
    let mut rest = image;
    // One limit for all parts: the image is untrusted, and unpacked on the server.
    let mut left = UNPACKED_LIMIT;
    for _ in 0..COMPRESSED {
        let packed = after_plain(rest);
        let mut plain = &rest[..rest.len() - packed.len()];
        let padding = plain.iter().take_while(|&&b| b == 0).count();
        let is_aligned = (image.len() - rest.len() + padding).is_multiple_of(4);
        // The kernel takes a plain one for junk where it begins elsewhere.
        if padding < plain.len() && !(is_aligned && see(&mut plain)) {
            return false;
        }
        let begins = image.len() - packed.len();
        if packed.is_empty() {
            return true;
        }
        let Some(mut part) = unpack::part(packed, IMAGE_LIMIT) else {
            return false;
        };
        let mut reader = part.reader.as_mut().take(left);
        // It may have ended before its data does.
        let went_on = see(&mut reader) && io::copy(&mut reader, &mut io::sink()).is_ok();
        left = reader.limit();
        let length = part.length();
        if !went_on || left == 0 || length == 0 {
            return false;
        }
        rest = &image[(begins + length).min(image.len())..];
    }
    false
}

/// Returns what follows the plain archives that bytes begin with.
fn after_plain(image: &[u8]) -> &[u8] {
    let mut rest = image;
    loop {
        let padding = rest.iter().take_while(|&&b| b == 0).count();
        rest = &rest[padding..];
        let plain = archive_length(rest);
        if plain == 0 {
            return rest;
        }
        rest = &rest[plain..];
    }
}

/// Returns the length of the archive at the start of the bytes; 0 if there is none, or a damaged one.
fn archive_length(bytes: &[u8]) -> usize {
    let number = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at..at + 8)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    loop {
        if !CPIO.iter().any(|magic| bytes[at..].starts_with(magic)) {
            return 0;
        }
        let (Some(size), Some(name)) = (number(at + 54), number(at + 94)) else {
            return 0;
        };
        let is_end = bytes[at..]
            .get(CPIO_HEADER..)
            .is_some_and(|n| n.starts_with(CPIO_END));
        // On 32-bit machines the sum may overflow.
        let content = (at + CPIO_HEADER)
            .checked_add(name)
            .and_then(|n| n.checked_next_multiple_of(4));
        let Some(content) = content else {
            return 0;
        };
        let next = content
            .checked_add(size)
            .and_then(|n| n.checked_next_multiple_of(4));
        match next.filter(|&next| next < bytes.len()) {
            _ if is_end => return content.min(bytes.len()),
            Some(next) => at = next,
            None => return 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::cpio;
    use super::*;
    use proptest::prelude::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut bytes = cpio(names);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn modules_tell_the_version() {
        let early = archive(&["kernel/x86/microcode/GenuineIntel.bin"]);
        let main = archive(&["init", "usr/lib/modules/6.1.0-32-amd64/kernel/nfs.ko", "z"]);
        let packed = zstd::encode_all(main.as_slice(), 1).unwrap();
        for image in [
            main.clone(),
            packed.clone(),
            [early.clone(), packed].concat(),
            [early.clone(), main].concat(),
        ] {
            assert_eq!(foreign(&image, "6.1.0-32-amd64"), None);
            assert_eq!(
                foreign(&image, "6.1.0-33-amd64").as_deref(),
                Some("6.1.0-32-amd64")
            );
        }
        assert_eq!(foreign(&early, "6.1.0"), None);
        assert_eq!(foreign(b"", "6.1.0"), None);
    }

    #[test]
    fn archives_behind_a_compressed_one_count() {
        let gzip = |bytes: &[u8]| {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        let xz = |bytes: &[u8]| liblzma::encode_all(bytes, 1).unwrap();
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let first = archive(&["init", "usr/lib/modules/6.1.0-old/x.ko"]);
        let second = archive(&["usr/lib/modules/6.1.0-new/y.ko"]);
        type Packer<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
        let packers: [Packer<'_>; 4] = [&gzip, &xz, &zstd, &<[u8]>::to_vec];
        for (number, one) in packers.iter().enumerate() {
            for other in packers {
                for padding in [0, 4, 1000] {
                    let mut image = one(&first);
                    // A plain one is found at a multiple of four only.
                    image.resize(image.len().next_multiple_of(4) + padding, 0);
                    image.extend(other(&second));
                    image.extend(gzip(&archive(&["z"])));
                    image.resize(image.len() + 500, 0);
                    assert_eq!(foreign(&image, "6.1.0-new"), None, "{number} {padding}");
                    assert_eq!(
                        foreign(&image, "6.1.0").as_deref(),
                        Some("6.1.0-old"),
                        "{number} {padding}"
                    );
                }
            }
        }
        // What cannot be read may have the right ones.
        let unknown = [zstd(&first), b"BZh91AY&SY".to_vec()].concat();
        assert_eq!(foreign(&unknown, "6.1.0"), None);
        let mut unaligned = zstd(&first);
        unaligned.resize(unaligned.len().next_multiple_of(4) + 1, 0);
        unaligned.extend(&second);
        assert_eq!(foreign(&unaligned, "6.1.0"), None);
    }

    #[test]
    fn names_tell_a_version_or_none() {
        for (name, expected) in [
            ("initrd.img-6.1.0-32-amd64", Some("6.1.0-32-amd64")),
            (
                "dir/initramfs-6.11.4-301.fc41.x86_64.img",
                Some("6.11.4-301.fc41.x86_64"),
            ),
            ("initramfs-linux.img", None),
            ("initramfs8", None),
            ("initrd.img", None),
        ] {
            assert_eq!(version_in_initramfs_name(name), expected);
        }
    }

    proptest! {
        #[test]
        fn garbage_tells_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..900) {
            prop_assert_eq!(foreign(&bytes, "6.1.0"), None);
            let mut image = archive(&["init", "lib/x"]);
            image.truncate(cut);
            image.extend(&bytes);
            prop_assert_eq!(foreign(&image, "6.1.0"), None);
        }
    }
}
