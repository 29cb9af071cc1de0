//! Whether a boot file is shorter than its own header says, or compressed data in it is cut off.
//!
//! By the headers of kernels, device trees, U-Boot's images, EFI programs and ELF files. Only certain faults are reported:
//! a file of unknown type, or without a length in its header, has none. Not for an initramfs.

use std::io::{self, Read};

use super::{IMAGE_LIMIT, UNPACKED_LIMIT, unpack};
use crate::boot::files::{BootFiles, Presence, presence};
use crate::boot::known::Known;

/// How much of a file contains its length.
const HEAD: usize = 32 << 10;
/// The unit of an x86 kernel's length.
const PARAGRAPH: u64 = 16;
/// The minimum alignment of an EFI program's sections.
const FILE_ALIGNMENT: u64 = 512;

/// Returns the fault of a file that is to be loaded: `is not in the boot folder`, `ends early …`.
pub(crate) fn fault(files: &dyn BootFiles, path: &str) -> Option<String> {
    match presence(files, path) {
        Presence::There => {
            length_fault(files, path).unwrap_or_else(|e| Some(format!("cannot be read: {e}")))
        }
        Presence::Empty => Some("is empty".to_string()),
        Presence::Missing => Some("is not in the boot folder".to_string()),
        Presence::Unreadable(why) => Some(format!("cannot be read: {why}")),
    }
}

fn length_fault(files: &dyn BootFiles, path: &str) -> io::Result<Option<String>> {
    let head = files.head(path, HEAD)?.unwrap_or_default();
    let length = files.length(path)?.unwrap_or_default();
    if let Some(claimed) = claimed(&head).filter(|&claimed| claimed > length) {
        return Ok(Some(format!(
            "ends early: it is {length} bytes long, and its header says {claimed}"
        )));
    }
    let is_uimage = head.starts_with(UIMAGE);
    if !is_uimage && !unpack::is_packed(&head) {
        return Ok(None);
    }
    static FOUND: Known<Option<String>> = Known::new();
    FOUND.find(files, &[path.to_string()], || {
        packed_fault(files, path, is_uimage)
    })
}

/// Returns what is wrong with a file that is a U-Boot image, or packed.
fn packed_fault(files: &dyn BootFiles, path: &str, is_uimage: bool) -> io::Result<Option<String>> {
    let whole = files.head(path, IMAGE_LIMIT)?.unwrap_or_default();
    if whole.len() == IMAGE_LIMIT {
        return Ok(None);
    }
    if is_uimage {
        let is_damaged = checksums(&whole).is_some_and(|(told, is)| told != is);
        return Ok(is_damaged.then(|| "is damaged: its checksum does not match".to_string()));
    }
    let unpacked = unpack::part(&whole, IMAGE_LIMIT).map(|mut part| {
        io::copy(
            &mut part.reader.by_ref().take(UNPACKED_LIMIT),
            &mut io::sink(),
        )
    });
    Ok(match unpacked {
        Some(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Some("ends early: its packed data break off".to_string())
        }
        Some(Err(e)) if unpack::is_damage(&e) => {
            Some("is damaged: its packed data cannot be unpacked".to_string())
        }
        _ => None,
    })
}

const UIMAGE: &[u8] = b"\x27\x05\x19\x56";
const TREE: &[u8] = b"\xd0\x0d\xfe\xed";

/// Returns the length in a header; `None` if it has none.
fn claimed(head: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u64::from(u16::from_le_bytes(bytes(head, at)?)));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(bytes(head, at)?)));
    let big = |at: usize| Some(u64::from(u32::from_be_bytes(bytes(head, at)?)));
    let at = |from: usize, what: &[u8]| head.get(from..from + what.len()) == Some(what);
    if at(0, UIMAGE) {
        return Some(64 + big(12)?);
    }
    if at(0, TREE) {
        // The version of the format, and its structure within: nothing else begins so.
        let (total, structure, version) = (big(4)?, big(8)?, big(20)?);
        return (matches!(version, 16 | 17) && (40..total).contains(&structure)).then_some(total);
    }
    if at(0, b"\x7fELF") {
        return segments(head);
    }
    if at(0x24, b"\x18\x28\x6f\x01") {
        return long(0x2c)?.checked_sub(long(0x28)?);
    }
    let of_sections = sections(head);
    if at(0x202, b"HdrS") {
        let setup = match head.get(0x1f1)? {
            0 => 4,
            &sectors => u64::from(sectors),
        };
        // In older protocols half of the field had another meaning.
        let code = match word(0x206)? >= 0x204 {
            true => long(0x1f4)? * PARAGRAPH,
            false => 0,
        };
        let whole = (code > 0).then(|| (setup + 1) * 512 + code - (PARAGRAPH - 1));
        return whole.max(of_sections);
    }
    if at(0, b"MZ") && at(4, b"zimg") {
        return Some(long(8)? + long(12)?).max(of_sections);
    }
    of_sections
}

/// Returns the end of an EFI program's last section in its file, without its padding.
fn sections(head: &[u8]) -> Option<u64> {
    let long = |at: usize| Some(u32::from_le_bytes(bytes(head, at)?));
    if !head.starts_with(b"MZ") {
        return None;
    }
    let pe = long(0x3c)? as usize;
    if head.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let count = u16::from_le_bytes(bytes(head, pe + 6)?);
    let first = pe + 24 + usize::from(u16::from_le_bytes(bytes(head, pe + 20)?));
    let ends = (0..usize::from(count)).filter_map(|n| {
        let section = first + n * 40;
        let (size, begin) = (long(section + 16)?, long(section + 20)?);
        (size > 0).then(|| u64::from(begin) + u64::from(size))
    });
    Some(ends.max()?.saturating_sub(FILE_ALIGNMENT - 1))
}

/// Returns the end of the last segment in a little-endian ELF file.
fn segments(head: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(usize::from(u16::from_le_bytes(bytes(head, at)?)));
    let number = |wide: bool, at: usize| match wide {
        true => Some(u64::from_le_bytes(bytes(head, at)?)),
        false => Some(u64::from(u32::from_le_bytes(bytes(head, at)?))),
    };
    let wide = match head.get(4..6)? {
        [1, 1] => false,
        [2, 1] => true,
        _ => return None,
    };
    let [table, size, count, offset, length] = match wide {
        true => [32, 54, 56, 8, 32],
        false => [28, 42, 44, 4, 16],
    };
    let table = usize::try_from(number(wide, table)?).ok()?;
    let (size, count) = (word(size)?, word(count)?);
    let ends = (0..count).filter_map(|n| {
        let segment = table.checked_add(n * size)?;
        let begin = number(wide, segment.checked_add(offset)?)?;
        begin.checked_add(number(wide, segment.checked_add(length)?)?)
    });
    ends.max()
}

/// Returns the checksum in a U-Boot image's header, and the actual one of its content.
fn checksums(image: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes(image, at)?));
    let length = number(12)? as usize;
    let mut crc = flate2::Crc::new();
    crc.update(image.get(64..64_usize.checked_add(length)?)?);
    Some((number(24)?, crc.sum()))
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Write;

    fn file(length: usize, places: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for (at, what) in places {
            bytes[*at..at + what.len()].copy_from_slice(what);
        }
        bytes
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let files = BTreeMap::from([("k".to_string(), bytes.to_vec())]);
        fault(&files, "k")
    }

    #[test]
    fn each_kind_is_found_when_it_is_cut() {
        let pe: &[(usize, &[u8])] = &[
            (0, b"MZ"),
            (0x3c, b"\x80"),
            (0x80, b"PE\0\0\x64\xaa\x02\0"),
            (0x94, b"\xa0\0"),
            // Two sections: 0x200 bytes at 0x400, and 0x3000 at 0x1000.
            (0x138 + 16, b"\0\x02\0\0\0\x04\0\0"),
            (0x138 + 56, b"\0\x30\0\0\0\x10\0\0"),
        ];
        let zboot = [pe, &[(4, b"zimg\0\x20\0\0\0\x30\0\0")]].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&[0; 0x4000 - 64]);
        let sum = crc.sum().to_be_bytes();
        let uimage: &[(usize, &[u8])] = &[(0, UIMAGE), (12, b"\0\0\x3f\xc0"), (24, &sum)];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&[7; 0x4000]).unwrap();
        let gzip = encoder.finish().unwrap();
        let version: (usize, &[u8]) = (0x202, b"HdrS\x0f\x02");
        for (kind, whole, slack) in [
            (
                "bzImage",
                file(
                    0x1000 + 0x3000,
                    &[version, (0x1f1, b"\x07"), (0x1f4, b"\0\x03\0\0")],
                ),
                16,
            ),
            ("EFI", file(0x4000, pe), 512),
            ("zboot", file(0x5000, &zboot), 0),
            (
                "zImage",
                file(0x4000, &[(0x24, b"\x18\x28\x6f\x01\0\0\0\0\0\x40\0\0")]),
                0,
            ),
            (
                "tree",
                file(
                    0x4000,
                    &[(0, TREE), (4, b"\0\0\x40\0\0\0\0\x38"), (20, b"\0\0\0\x11")],
                ),
                0,
            ),
            ("uImage", file(0x4000, uimage), 0),
            (
                "ELF",
                file(
                    0x4000,
                    &[
                        (0, b"\x7fELF\x01\x01"),
                        (28, b"\x34"),
                        (42, b"\x20\0\x01"),
                        (0x34 + 4, b"\0\x10"),
                        (0x34 + 16, b"\0\x30"),
                    ],
                ),
                0,
            ),
            ("gzip", gzip.clone(), 0),
            ("zstd", zstd::encode_all(&gzip[..], 1).unwrap(), 0),
            ("xz", liblzma::encode_all(&gzip[..], 1).unwrap(), 0),
        ] {
            assert_eq!(fault_of(&whole), None, "{kind}");
            let more = [&whole[..], b"appended"].concat();
            assert_eq!(fault_of(&more), None, "{kind}");
            for cut in [
                whole.len() - 1 - slack,
                whole.len() / 2,
                0x800.min(whole.len() / 2),
            ] {
                let told = fault_of(&whole[..cut]).unwrap_or_default();
                assert!(told.starts_with("ends early"), "{kind} {cut} {told}");
            }
        }
        let mut damaged = file(0x4000, uimage);
        damaged[0x1000] = 1;
        assert!(fault_of(&damaged).unwrap().contains("checksum"));
        assert_eq!(fault_of(b"").as_deref(), Some("is empty"));
    }

    #[test]
    fn a_header_without_a_length_is_not_a_fault() {
        for bytes in [
            b"x".to_vec(),
            file(0x400, &[(0x202, b"HdrS\x0f\x02")]),
            file(0x400, &[(0x38, b"ARM\x64"), (0x10, b"\0\0\0\x02")]),
            b"\xd0\x0d\xfe\xedLinux version 6.6.30 (b@h) (gcc) and so on".to_vec(),
            file(0x40, &[(0, b"\x7fELF\x02\x01")]),
        ] {
            assert_eq!(fault_of(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(start in 0usize..6, rest in proptest::collection::vec(any::<u8>(), 0..900)) {
            let starts: [&[u8]; 6] = [b"MZ", UIMAGE, TREE, b"\x7fELF\x02\x01", b"\x7fELF\x01\x01", b""];
            let _ = fault_of(&[starts[start], &rest].concat());
        }
    }
}
