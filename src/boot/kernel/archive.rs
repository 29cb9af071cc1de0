//! The parts of an initramfs, and whether it is complete.
//!
//! An initramfs is one or more concatenated archives (cpio, `newc`), each plain or compressed, with NULs between them, as
//! the kernel's init/initramfs.c reads it. It is read, not unpacked. Not for the content of the archives.

use std::io::{self, Read};

use super::{INITRAMFS_LIMIT, UNPACKED_INITRAMFS, unpack};

/// Magic of an archive entry (`Documentation/driver-api/early-userspace/buffer-format.rst`).
const CPIO: [&[u8]; 2] = [b"070701", b"070702"];
/// Length of an entry's header, before its name.
const CPIO_HEADER: usize = 110;
/// How many compressed archives an initramfs may have: each decoder takes memory and time.
const COMPRESSED: usize = 64;
/// Name of the last entry of an archive.
const CPIO_END: &[u8] = b"TRAILER!!!";
/// The last bytes of an initramfs with a boot configuration behind its archives (`bootconfig -a`).
const BOOT_CONFIG: &[u8] = b"#BOOTCONFIG\n";

/// Magic of lz4's frame format; kernels know its legacy format only (`lib/decompress.c`).
const LZ4_FRAME: &[u8] = b"\x04\x22\x4d\x18";

/// How an initramfs, or a part of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was read to its end.
    Whole,
    /// It ends in the middle: of its compressed data, or before an archive's last entry.
    ///
    /// By the format's description that entry may be missing, but each program that makes archives writes it.
    Early,
    /// Its compressed data are damaged.
    Damaged,
    /// It is compressed in a way that no kernel knows.
    Unpackable,
    /// It was not read to its end: of an unknown kind, or beyond a limit.
    Unknown,
}

/// Returns the version in an initramfs' name: `6.1.0-32-amd64` of `initrd.img-6.1.0-32-amd64`.
pub(crate) fn version_in_initramfs_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stems = ["initrd.img-", "initramfs-", "initrd-"];
    let version = stems.iter().find_map(|stem| name.strip_prefix(stem))?;
    let version = version.strip_suffix(".img").unwrap_or(version);
    super::is_version(version).then_some(version)
}

/// Calls `see` with a reader of each part of an initramfs, as long as it reaches their ends.
///
/// Plain archives behind each other are one part.
pub(super) fn each_part(
    image: &[u8],
    see: &mut dyn FnMut(&mut dyn Read) -> io::Result<End>,
) -> End {
    // Bytes beyond the limit were not read.
    let cut = match image.len() < INITRAMFS_LIMIT {
        true => End::Early,
        false => End::Unknown,
    };
    let image = without_boot_config(image);
    let mut rest = image;
    // One limit for all parts: the image is untrusted, and unpacked on the server.
    let mut left = UNPACKED_INITRAMFS;
    for _ in 0..COMPRESSED {
        let (packed, is_cut) = after_plain(rest);
        let mut plain = &rest[..rest.len() - packed.len()];
        let padding = plain.iter().take_while(|&&b| b == 0).count();
        let is_aligned = (image.len() - rest.len() + padding).is_multiple_of(4);
        // The kernel ignores an uncompressed archive that begins at another position.
        if padding < plain.len() && !(is_aligned && matches!(see(&mut plain), Ok(End::Whole))) {
            return End::Unknown;
        }
        let begins = image.len() - packed.len();
        if is_cut && begins.is_multiple_of(4) {
            return cut;
        }
        if packed.is_empty() {
            return End::Whole;
        }
        if packed.starts_with(LZ4_FRAME) {
            return End::Unpackable;
        }
        let Some(mut part) = unpack::part(packed, INITRAMFS_LIMIT) else {
            return End::Unknown;
        };
        let mut reader = part.reader.as_mut().take(left);
        let seen = see(&mut reader);
        // `see` may have stopped before the end of the data.
        let seen = seen.and_then(|end| io::copy(&mut reader, &mut io::sink()).map(|_| end));
        left = reader.limit();
        let length = part.length();
        match seen {
            _ if left == 0 => return End::Unknown,
            Ok(End::Whole) if length > 0 => {}
            Ok(End::Early) => return cut,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return cut,
            Err(e) if unpack::is_damage(&e) => return End::Damaged,
            _ => return End::Unknown,
        }
        rest = &image[(begins + length).min(image.len())..];
    }
    End::Unknown
}

/// Returns an initramfs without the boot configuration after it, which the kernel removes first.
fn without_boot_config(image: &[u8]) -> &[u8] {
    // A loader may have added some NULs.
    let padding = image.iter().rev().take(3).take_while(|&&b| b == 0).count();
    let found = image[..image.len() - padding].strip_suffix(BOOT_CONFIG);
    let Some((rest, numbers)) = found.and_then(<[u8]>::split_last_chunk::<8>) else {
        return image;
    };
    let [a, b, c, d, ..] = *numbers;
    let size = u32::from_le_bytes([a, b, c, d]) as usize;
    rest.len().checked_sub(size).map_or(image, |at| &rest[..at])
}

/// Returns the bytes after the plain archives at the start, and whether these are an archive that is cut off.
fn after_plain(image: &[u8]) -> (&[u8], bool) {
    let mut rest = image;
    loop {
        let padding = rest.iter().take_while(|&&b| b == 0).count();
        rest = &rest[padding..];
        match archive_length(rest) {
            Ok(0) => return (rest, false),
            Ok(plain) => rest = &rest[plain..],
            Err(Cut) => return (rest, true),
        }
    }
}

/// Returns whether bytes are the beginning of an entry's header, and the rest is missing or has become NULs.
pub(super) fn is_cut_header(bytes: &[u8]) -> bool {
    let begun = bytes.split(|&b| b == 0).next().unwrap_or_default();
    let is_magic = |magic: &&[u8]| begun.starts_with(magic) || magic.starts_with(begun);
    begun.len() < CPIO_HEADER
        && CPIO.iter().any(is_magic)
        && begun.iter().all(u8::is_ascii_hexdigit)
}

/// An archive that ends before its last entry does.
struct Cut;

/// Returns the length of the archive at the start of the bytes; 0 if there is none, or a damaged one.
fn archive_length(bytes: &[u8]) -> Result<usize, Cut> {
    let number = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at..at + 8)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    loop {
        let rest = &bytes[at.min(bytes.len())..];
        if !CPIO.iter().any(|magic| rest.starts_with(magic)) {
            let begun = rest.iter().take(CPIO[0].len()).take_while(|&&b| b != 0);
            let (begun, lost) = rest.split_at(begun.count());
            // Lost bytes may have become NULs.
            let is_cut = CPIO[0].starts_with(begun) && lost.iter().all(|&b| b == 0);
            return match is_cut && at > 0 {
                true => Err(Cut),
                false if begun.is_empty() => Ok(at),
                false => Ok(0),
            };
        }
        let header = &rest[..rest.len().min(CPIO_HEADER)];
        if is_cut_header(header) {
            return Err(Cut);
        }
        if header.len() < CPIO_HEADER {
            return Ok(0);
        }
        let (Some(size), Some(name)) = (number(at + 54), number(at + 94)) else {
            return Ok(0);
        };
        let is_end = rest[CPIO_HEADER..].starts_with(CPIO_END);
        // On 32-bit machines the sum may overflow.
        let content = (at + CPIO_HEADER)
            .checked_add(name)
            .and_then(|n| n.checked_next_multiple_of(4));
        let end = content.and_then(|content| content.checked_add(size));
        let next = end.and_then(|end| end.checked_next_multiple_of(4));
        let (Some(content), Some(end), Some(next)) = (content, end, next) else {
            return Ok(0);
        };
        match end <= bytes.len() {
            _ if is_end => return Ok(content.min(bytes.len())),
            true => at = next,
            false => return Err(Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::{cpio, found};
    use super::*;
    use proptest::prelude::*;

    /// Returns another version whose modules an initramfs has.
    fn foreign(image: &[u8], version: &str) -> Option<String> {
        found(image)?.other_version(version)
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut bytes = cpio(names);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn modules_show_the_version() {
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
                        Some("6.1.0-new"),
                        "{number} {padding}"
                    );
                }
            }
        }
        // A part that cannot be read may have the right ones.
        let unknown = [zstd(&first), b"BZh91AY&SY".to_vec()].concat();
        assert_eq!(foreign(&unknown, "6.1.0"), None);
        let mut unaligned = zstd(&first);
        unaligned.resize(unaligned.len().next_multiple_of(4) + 1, 0);
        unaligned.extend(&second);
        assert_eq!(foreign(&unaligned, "6.1.0"), None);
    }

    #[test]
    fn a_version_is_read_from_file_names_that_have_one() {
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
        fn garbage_has_no_version(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..900) {
            prop_assert_eq!(foreign(&bytes, "6.1.0"), None);
            let mut image = archive(&["init", "lib/x"]);
            image.truncate(cut);
            image.extend(&bytes);
            prop_assert_eq!(foreign(&image, "6.1.0"), None);
        }
    }
}
