//! Detects what a file or stream contains, by content and never by name, and reads it from the start.
//!
//! [`open`] detects content inside one layer of compression. Not for directories.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result};

use super::compression::Compression;
use super::disk_image::{Container, Filesystem, has_partitions};
use super::tar;
use crate::fs::ticking::Ticking;
use crate::fs::{interrupt, opener};

/// How many bytes are examined: btrfs has its superblock at 64 KiB.
const HEAD: usize = 72 << 10;

/// The first bytes of a stream made by `netbe export`.
pub const NETBE_STREAM: &[u8] = b"NETBE-STREAM";

/// The type of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tar archive.
    Tar,
    /// A disk with a partition table, or a single filesystem.
    Disk,
    /// A stream made by `netbe export`.
    NetbeStream,
    /// A zip archive.
    Zip,
    /// A known type that netbe cannot read, and a command that converts it.
    Foreign(&'static str, Option<&'static str>),
    /// No content.
    Empty,
    /// Anything else.
    Unknown,
}

impl Kind {
    /// Detects the type by the first bytes, which may be fewer than needed for some types.
    pub fn detect(head: &[u8]) -> Self {
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|b| b.starts_with(magic));
        if head.is_empty() {
            return Self::Empty;
        }
        // First: a tar header has a checksum, so nothing else matches, while a tar member may look like anything.
        if tar::is_tar(head) {
            // By its first file, as its standard has it: DSP0243.
            let name = head.split(|byte| *byte == 0).next().unwrap_or_default();
            return match name.to_ascii_lowercase().ends_with(b".ovf") {
                true => Self::Foreign("a virtual appliance (OVA)", Some(APPLIANCE)),
                false => Self::Tar,
            };
        }
        if head.starts_with(NETBE_STREAM) {
            return Self::NetbeStream;
        }
        if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
            return Self::Zip;
        }
        if at(32769, b"CD001") {
            return Self::Foreign(
                "an installation medium (ISO 9660), not an installed system",
                None,
            );
        }
        for (magic, what, hint) in FOREIGN {
            if at(0, magic) {
                return Self::Foreign(what, Some(hint));
            }
        }
        if at(64, b"\x7f\x10\xda\xbe") {
            return Self::Foreign("a VDI disk image", Some(CONVERT));
        }
        let bare = Filesystem::detect(head).is_some_and(Filesystem::can_be_root);
        if has_partitions(head) || bare {
            return Self::Disk;
        }
        if let Some(container) = Container::detect(head) {
            return Self::Foreign(container.what, container.remedy);
        }
        Self::Unknown
    }
}

const CONVERT: &str = "qemu-img convert -O raw FILE disk.img";
const APPLIANCE: &str = "tar -xf FILE; qemu-img convert -O raw DISK.vmdk disk.img";

const FOREIGN: [(&[u8], &str, &str); 11] = [
    (
        b"070701",
        "a cpio archive",
        "bsdtar -cf - @FILE | netbe import NODE -",
    ),
    (
        b"btrfs-stream\0",
        "a stream of btrfs send, which has no boot half: netbe reads those of its own export",
        "netbe export --help",
    ),
    (
        b"BZh",
        "compressed with bzip2",
        "bunzip2 -c FILE | netbe import NODE -",
    ),
    (
        b"\x04\"M\x18",
        "compressed with lz4",
        "lz4 -dc FILE | netbe import NODE -",
    ),
    (
        b"LZIP",
        "compressed with lzip",
        "lzip -dc FILE | netbe import NODE -",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "7z x -so FILE | netbe import NODE -",
    ),
    (b"QFI\xfb", "a qcow2 disk image", CONVERT),
    (b"KDMV", "a VMDK disk image", CONVERT),
    (b"vhdxfile", "a VHDX disk image", CONVERT),
    (b"conectix", "a VHD disk image", CONVERT),
    (
        b"!<arch>\n",
        "a package, not a system",
        "mmdebstrap --variant=apt SUITE root.tar",
    ),
];

/// A stream that was opened: its type, and its decompressed content from the first byte.
pub struct Opened<'a> {
    /// Type of the decompressed content.
    pub kind: Kind,
    /// Compression format, if compressed.
    pub compression: Option<Compression>,
    /// Its content.
    pub content: Box<dyn Read + 'a>,
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("kind", &self.kind)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

/// Detects what a stream contains.
///
/// `tick` receives the number of bytes read from the stream. Content compressed twice is not examined.
pub fn open<'a>(stream: impl Read + 'a, tick: &'a mut dyn FnMut(u64)) -> Result<Opened<'a>> {
    let counted = Ticking::new(interrupt::Reader::new(stream), tick);
    let (head, stream) =
        peek(BufReader::with_capacity(256 << 10, counted)).context("reading the source")?;
    let Some(compression) = Compression::detect(&head) else {
        return Ok(Opened {
            kind: Kind::detect(&head),
            compression: None,
            content: Box::new(stream),
        });
    };
    let (head, content) = peek(compression.reader(BufReader::with_capacity(256 << 10, stream))?)?;
    let kind = match Compression::detect(&head) {
        Some(_) => Kind::Foreign("compressed twice", None),
        None => Kind::detect(&head),
    };
    Ok(Opened {
        kind,
        compression: Some(compression),
        // A short stream may decompress to any length.
        content: Box::new(interrupt::Reader::new(content)),
    })
}

/// Opens a file or block device for reading, and returns its size in bytes.
///
/// Pipes, sockets and character devices are errors: a pipe without a writer would block.
pub fn open_file(path: &Path) -> Result<(File, u64)> {
    let mut file = match opener::file_or_disk(path) {
        Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) => anyhow::bail!(
            "'{}' is neither a directory, a file nor a disk",
            path.display()
        ),
        opened => opened.with_context(|| format!("opening '{}'", path.display()))?,
    };
    // Seeking to the end is the only way for a block device.
    let size = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    io::Seek::rewind(&mut file)?;
    Ok((file, size))
}

fn peek<'a, R: Read + 'a>(mut stream: R) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut head = Vec::new();
    stream.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    }

    #[test]
    fn content_has_a_type() {
        let mut header = ::tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        let mut appliance = header.clone();
        appliance.set_path("Debian.ovf").unwrap();
        appliance.set_cksum();
        for (bytes, kind) in [
            (vec![], Kind::Empty),
            (
                vec![0; HEAD],
                Kind::Foreign("nothing (zeros, as on an empty disk)", None),
            ),
            (vec![0; 10], Kind::Unknown),
            (b"#!/bin/sh\n".to_vec(), Kind::Unknown),
            (header.as_bytes().to_vec(), Kind::Tar),
            (b"NETBE-STREAM 1".to_vec(), Kind::NetbeStream),
            (b"PK\x03\x04rest".to_vec(), Kind::Zip),
            (with(1080, &[0x53, 0xef]), Kind::Disk),
            (with(0x10040, b"_BHRfS_M"), Kind::Disk),
            (with(0, b"XFSB"), Kind::Disk),
            (
                with(64, b"\x7f\x10\xda\xbe"),
                Kind::Foreign("a VDI disk image", Some(CONVERT)),
            ),
            (
                with(0, b"conectix"),
                Kind::Foreign("a VHD disk image", Some(CONVERT)),
            ),
            (
                appliance.as_bytes().to_vec(),
                Kind::Foreign("a virtual appliance (OVA)", Some(APPLIANCE)),
            ),
        ] {
            assert_eq!(Kind::detect(&bytes), kind);
        }
    }

    #[test]
    fn a_boot_signature_without_partitions_is_not_a_disk() {
        assert_eq!(Kind::detect(&with(510, &[0x55, 0xaa])), Kind::Unknown);
    }

    #[test]
    fn one_layer_of_compression_is_decoded() {
        let text = b"NETBE-STREAM 1".to_vec();
        let once = zstd::encode_all(&text[..], 1).unwrap();
        let mut tick = |_| {};
        let opened = open(&once[..], &mut tick).unwrap();
        assert_eq!(opened.kind, Kind::NetbeStream);
        let twice = zstd::encode_all(&once[..], 1).unwrap();
        let mut tick = |_| {};
        let opened = open(&twice[..], &mut tick).unwrap();
        assert!(matches!(opened.kind, Kind::Foreign("compressed twice", _)));
    }
}
