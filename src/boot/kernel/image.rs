//! The type of a kernel image, and its processor, from its first bytes.
//!
//! By the magic numbers of the kernel's own documentation (`arch/x86/boot.rst`, `arch/arm64/booting.rst`,
//! `arch/riscv/boot-image-header.rst`) and of formats that compress or wrap it. Not for whether the rest is complete.

use std::io::{self, Read};

use super::unpack;
use crate::boot::arch::{Arch, elf_arch};
use crate::boot::files::{BootFiles, is_there};

/// How much of a file is needed to recognise it: an x86 header and a PE header lie within.
const HEAD: usize = 32 << 10;
/// How much of a packed image is unpacked: the headers of ARM and RISC-V.
const INNER: usize = 64;

/// The type of a kernel's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An x86 kernel, `bzImage`.
    BzImage,
    /// An image a loader jumps into: 64-bit ARM, RISC-V.
    Image,
    /// A 32-bit ARM image that unpacks itself.
    ZImage,
    /// An EFI program with a packed kernel in it (`CONFIG_EFI_ZBOOT`).
    Zboot,
    /// Another EFI program: a unified kernel image, a boot loader.
    Efi,
    /// Packed by gzip.
    Gzip,
    /// Packed in another way.
    Packed(&'static str),
    /// U-Boot's flattened image tree, with one or more kernels in it.
    Fit,
    /// U-Boot's older image.
    UImage,
    /// An ELF file, `vmlinux`.
    Elf,
    /// Android's, which some builds of U-Boot start.
    Android,
    /// A file that is no kernel, and that no loader starts.
    Other(&'static str),
    /// An unknown type.
    Unknown,
}

impl Format {
    /// Returns its description.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BzImage => "an x86 kernel (bzImage)",
            Self::Image => "a plain kernel image",
            Self::ZImage => "a 32-bit ARM kernel (zImage)",
            Self::Zboot => "a packed EFI kernel (EFI zboot)",
            Self::Efi => "an EFI program",
            Self::Gzip => "a kernel packed by gzip",
            Self::Packed(_) => "a packed kernel",
            Self::Fit => "a FIT image",
            Self::UImage => "a U-Boot image (uImage)",
            Self::Elf => "an ELF file (vmlinux)",
            Self::Android => "an Android boot image",
            Self::Other(what) => what,
            Self::Unknown => "a file of an unknown kind",
        }
    }
}

/// Returns the type of a kernel's file, and its processor if that can be determined.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn format_of(boot: &dyn BootFiles, path: &str) -> io::Result<(Format, Option<Arch>)> {
    let head = boot.head(path, HEAD)?.unwrap_or_default();
    let (format, arch) = plain(&head);
    if !matches!(format, Format::Gzip | Format::Packed(_)) {
        return Ok((format, arch));
    }
    // The beginning is enough: it does not matter that the data is cut there.
    let mut inner = [0; INNER];
    let mut length = 0;
    if let Some(mut reader) = unpack::candidates(&head).next() {
        while let Ok(read @ 1..) = reader.read(&mut inner[length..]) {
            length += read;
        }
    }
    Ok(match plain(&inner[..length]) {
        (other @ Format::Other(_), _) => (other, None),
        (_, arch) => (format, arch),
    })
}

fn plain(head: &[u8]) -> (Format, Option<Arch>) {
    let at = |from: usize, what: &[u8]| head.get(from..from + what.len()) == Some(what);
    let word = |from: usize| Some(u16::from_le_bytes([*head.get(from)?, *head.get(from + 1)?]));
    if at(0x202, b"HdrS") {
        // From protocol 2.12 on a bit says that it can be entered in 64-bit mode; without it nothing is certain.
        let is_wide = word(0x206).is_some_and(|version| version >= 0x20c)
            && word(0x236).is_some_and(|flags| flags & 1 != 0);
        let arch = is_wide.then_some(Arch::X86_64);
        return (Format::BzImage, arch);
    }
    if at(0, b"MZ") && at(4, b"zimg") {
        return (Format::Zboot, pe_arch(head));
    }
    if at(0x38, b"ARM\x64") {
        return (Format::Image, Some(Arch::Aarch64));
    }
    if at(0x38, b"RSC\x05") {
        return (Format::Image, Some(Arch::Riscv64));
    }
    if at(0x24, b"\x18\x28\x6f\x01") {
        return (Format::ZImage, Some(Arch::Arm));
    }
    if at(0, b"\x7fELF") {
        return (Format::Elf, elf_arch(head));
    }
    if let (true, Some(arch)) = (at(0, b"MZ"), pe_arch(head)) {
        return (Format::Efi, Some(arch));
    }
    let others: [(&[u8], Format); 10] = [
        (b"\xd0\x0d\xfe\xed", Format::Fit),
        (b"\x27\x05\x19\x56", Format::UImage),
        (b"\x1f\x8b", Format::Gzip),
        (b"\x28\xb5\x2f\xfd", Format::Packed("zstd")),
        (b"\xfd7zXZ\x00", Format::Packed("xz")),
        (b"\x5d\x00\x00", Format::Packed("lzma")),
        (b"\x02\x21\x4c\x18", Format::Packed("lz4")),
        (b"\x04\x22\x4d\x18", Format::Packed("lz4")),
        (b"BZh", Format::Packed("bzip2")),
        (b"\x89LZO", Format::Packed("lzo")),
    ];
    let found = others.iter().find(|(magic, _)| at(0, magic));
    let format = found.map(|(_, format)| *format).or_else(|| other(head));
    (format.unwrap_or(Format::Unknown), None)
}

/// Returns the type of a file that is no kernel: one that was copied to a kernel's name by mistake, or a failed download.
fn other(head: &[u8]) -> Option<Format> {
    const OTHERS: [(&[u8], Format); 14] = [
        (b"ANDROID!", Format::Android),
        (b"070701", Format::Other("an archive, as an initramfs is")),
        (b"070702", Format::Other("an archive, as an initramfs is")),
        (b"070707", Format::Other("an archive, as an initramfs is")),
        (b"!<arch>\n", Format::Other("a package (deb)")),
        (b"\xed\xab\xee\xdb", Format::Other("a package (RPM)")),
        (b"PK\x03\x04", Format::Other("an archive (zip)")),
        (b"hsqs", Format::Other("a squashfs")),
        (b"#!/", Format::Other("a script")),
        (b"<!", Format::Other("a web page")),
        (b"<html", Format::Other("a web page")),
        (b"<HTML", Format::Other("a web page")),
        (b"<?xml", Format::Other("a web page")),
        (
            b"version https://git-lfs",
            Format::Other("a pointer of Git LFS, not the file itself"),
        ),
    ];
    let is_tar = head.get(257..262) == Some(b"ustar");
    let found = OTHERS.iter().find(|(magic, _)| head.starts_with(magic));
    found
        .map(|(_, format)| *format)
        .or(is_tar.then_some(Format::Other("an archive (tar)")))
}

/// Returns a note on a kernel of unknown type, for which it is unknown whether PXELINUX, U-Boot or UEFI can start it.
pub(crate) fn unknown_format_note(boot: &dyn BootFiles, path: &str) -> Option<String> {
    let (format, _) = format_of(boot, path).ok()?;
    (format == Format::Unknown && is_there(boot, path)).then(|| {
        format!(
            "the kernel {path} is {}: whether a loader starts it is unknown",
            format.name()
        )
    })
}

/// Returns the architecture of an EFI program, from the header whose offset is at 0x3c.
fn pe_arch(head: &[u8]) -> Option<Arch> {
    let start = u32::from_le_bytes(head.get(0x3c..0x40)?.try_into().ok()?) as usize;
    let header = head.get(start..start.checked_add(6)?)?;
    if !header.starts_with(b"PE\0\0") {
        return None;
    }
    match u16::from_le_bytes([header[4], header[5]]) {
        0xaa64 => Some(Arch::Aarch64),
        0x8664 => Some(Arch::X86_64),
        0x014c => Some(Arch::X86),
        0x01c2 => Some(Arch::Arm),
        0x5064 => Some(Arch::Riscv64),
        0x6264 => Some(Arch::Loongarch64),
        _ => None,
    }
}

/// Returns whether a FIT image has a configuration of this name; `None` where its tree cannot be read.
pub(crate) fn has_configuration(fit: &[u8], name: &str) -> Option<bool> {
    let number = |at: usize| {
        let bytes = fit.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    // The header of a flattened device tree: its length, where its structure is, its version.
    let (total, start, length) = (number(4)?, number(8)?, number(36)?);
    let is_tree = number(20)? >= 17 && total <= fit.len();
    let tree = fit
        .get(start..start.checked_add(length)?)
        .filter(|_| is_tree)?;
    // A node begins with the number 1 and its name.
    let node = |name: &str| [b"\0\0\0\x01", name.as_bytes(), b"\0"].concat();
    let position = |tree: &[u8], what: &[u8]| tree.windows(what.len()).position(|w| w == what);
    let configurations = position(tree, &node("configurations"))?;
    Some(position(&tree[configurations..], &node(name)).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Write;

    /// Returns a file that has these bytes at these places.
    fn file(places: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        for (at, what) in places {
            bytes[*at..at + what.len()].copy_from_slice(what);
        }
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn image_formats_are_distinguished() {
        let arm64 = file(&[(0, b"MZ"), (0x38, b"ARM\x64")]);
        let pe: &[(usize, &[u8])] = &[
            (0, b"MZ"),
            (0x3c, b"\x80"),
            (0x80, b"PE\0\0"),
            (0x84, b"\x64\xaa"),
        ];
        for (bytes, format, arch) in [
            (arm64.clone(), Format::Image, Some(Arch::Aarch64)),
            (gzip(&arm64), Format::Gzip, Some(Arch::Aarch64)),
            (
                zstd::encode_all(arm64.as_slice(), 1).unwrap(),
                Format::Packed("zstd"),
                Some(Arch::Aarch64),
            ),
            (
                file(&[(0x38, b"RSC\x05")]),
                Format::Image,
                Some(Arch::Riscv64),
            ),
            (
                file(&[(0x24, b"\x18\x28\x6f\x01")]),
                Format::ZImage,
                Some(Arch::Arm),
            ),
            (file(&[(0x202, b"HdrS")]), Format::BzImage, None),
            (
                file(&[(0x202, b"HdrS\x0f\x02"), (0x236, b"\x01")]),
                Format::BzImage,
                Some(Arch::X86_64),
            ),
            (file(&[(0x202, b"HdrS\x0f\x02")]), Format::BzImage, None),
            (file(&[(0, b"MZ\0\0zimg")]), Format::Zboot, None),
            (
                file(&[pe, &[(4, b"zimg")]].concat()),
                Format::Zboot,
                Some(Arch::Aarch64),
            ),
            (file(pe), Format::Efi, Some(Arch::Aarch64)),
            (file(&[(0, b"\xd0\x0d\xfe\xed")]), Format::Fit, None),
            (file(&[(0, b"\x27\x05\x19\x56")]), Format::UImage, None),
            (
                b"070701000".to_vec(),
                Format::Other("an archive, as an initramfs is"),
                None,
            ),
            (
                gzip(b"070701000"),
                Format::Other("an archive, as an initramfs is"),
                None,
            ),
            (
                b"<!DOCTYPE html>".to_vec(),
                Format::Other("a web page"),
                None,
            ),
            (
                file(&[(257, b"ustar")]),
                Format::Other("an archive (tar)"),
                None,
            ),
            (b"ANDROID!".to_vec(), Format::Android, None),
            (b"MZ".to_vec(), Format::Unknown, None),
            (Vec::new(), Format::Unknown, None),
            (gzip(b"MZ some code"), Format::Gzip, None),
        ] {
            let boot = BTreeMap::from([("k".to_string(), bytes)]);
            assert_eq!(format_of(&boot, "k").unwrap(), (format, arch));
        }
    }

    #[test]
    fn a_configuration_is_found_by_its_name() {
        let tree = [
            &b"\0\0\0\x01configurations\0\0\0\0\0\x01conf-a.dtb\0\0"[..],
            b"\0\0\0\x02\0\0\0\x02\0\0\0\x09",
        ]
        .concat();
        let mut fit = vec![0; 40];
        fit[..4].copy_from_slice(b"\xd0\x0d\xfe\xed");
        let total = (40 + tree.len()) as u8;
        (fit[7], fit[11], fit[23], fit[39]) = (total, 40, 17, tree.len() as u8);
        fit.extend(&tree);
        assert_eq!(has_configuration(&fit, "conf-a.dtb"), Some(true));
        assert_eq!(has_configuration(&fit, "conf-b.dtb"), Some(false));
        assert_eq!(has_configuration(&fit[..60], "conf-a.dtb"), None);
        assert_eq!(
            has_configuration(b"\xd0\x0d\xfe\xedLinux version", "x"),
            None
        );
    }
}
