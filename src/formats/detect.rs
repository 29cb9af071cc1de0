//! What a file or stream holds, told by its content and never by its name, and reading it from the start.
//!
//! [`open`] looks through one layer of compression. Not for directories.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result};

use super::compression::Compression;
use super::disk_image::{Filesystem, has_partitions};
use super::tar;
use crate::fs::{interrupt, opener};

/// How much of a stream is looked at, in bytes: the superblock of btrfs stands at 64 KiB.
const HEAD: usize = 72 << 10;

/// The first bytes of a stream made by `netbe export`.
pub const NETBE_STREAM: &[u8] = b"NETBE-STREAM";

/// What content is, as far as netbe can do something with it or say something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tar archive.
    Tar,
    /// A disk with a partition table, or one filesystem without.
    Disk,
    /// A stream made by `netbe export`.
    NetbeStream,
    /// A zip archive.
    Zip,
    /// Something known that is not read, and how to turn it into something that is.
    Foreign(&'static str, Option<&'static str>),
    /// No bytes at all.
    Empty,
    /// Anything else.
    Unknown,
}

impl Kind {
    /// Recognises content by its first bytes; short content is looked at as far as it goes.
    pub fn detect(head: &[u8]) -> Self {
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|b| b.starts_with(magic));
        if head.is_empty() {
            return Self::Empty;
        }
        // A tar header has a checksum: nothing else looks like one. Its data may look like anything.
        if tar::is_tar(head) {
            return Self::Tar;
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
        let bare = Filesystem::detect(head).is_some_and(Filesystem::can_be_root);
        if has_partitions(head) || bare {
            return Self::Disk;
        }
        Self::Unknown
    }
}

const FOREIGN: [(&[u8], &str, &str); 9] = [
    (
        b"btrfs-stream\0",
        "a stream of btrfs send",
        "where it comes from: netbe export NODE/ENV | netbe import NODE",
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
    (
        b"QFI\xfb",
        "a qcow2 disk image",
        "qemu-img convert -O raw FILE disk.img",
    ),
    (
        b"KDMV",
        "a VMDK disk image",
        "qemu-img convert -O raw FILE disk.img",
    ),
    (
        b"vhdxfile",
        "a VHDX disk image",
        "qemu-img convert -O raw FILE disk.img",
    ),
    (
        b"!<arch>\n",
        "a package, not a system",
        "mmdebstrap --variant=apt SUITE root.tar",
    ),
];

/// What was opened: its kind, and a reader of its content from the first byte, decompressed.
pub struct Opened<'a> {
    /// What it is, under the compression.
    pub kind: Kind,
    /// How it was compressed.
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

/// Tells what a stream holds.
///
/// `tick` is told of bytes taken from the stream as it is read. Content compressed twice is not looked into.
pub fn open<'a>(stream: impl Read + 'a, tick: &'a mut dyn FnMut(u64)) -> Result<Opened<'a>> {
    let counted = Counted {
        inner: stream,
        tick,
    };
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
        // What little is taken from the stream may be a great deal here.
        content: Box::new(interrupt::Reader::new(content)),
    })
}

/// Opens a file or block device for reading, and returns its size in bytes.
///
/// A pipe, a character device, a socket is an error; a pipe without a writer must not hang.
pub fn open_file(path: &Path) -> Result<(File, u64)> {
    let mut file = match opener::file_or_disk(path) {
        Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) => anyhow::bail!(
            "'{}' is neither a directory, a file nor a disk",
            path.display()
        ),
        opened => opened.with_context(|| format!("opening '{}'", path.display()))?,
    };
    // The size of a block device is where it ends.
    let size = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    io::Seek::rewind(&mut file)?;
    Ok((file, size))
}

fn peek<'a, R: Read + 'a>(mut stream: R) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut head = Vec::new();
    stream.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(stream)))
}

struct Counted<'a, R> {
    inner: R,
    tick: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            interrupt::check_io()?;
            match self.inner.read(buf) {
                // Decoders above take it for the end.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(count) => {
                    (self.tick)(count as u64);
                    return Ok(count);
                }
            }
        }
    }
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
    fn content_tells_its_kind() {
        let mut header = ::tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        for (bytes, kind) in [
            (vec![], Kind::Empty),
            (vec![0; HEAD], Kind::Unknown),
            (b"#!/bin/sh\n".to_vec(), Kind::Unknown),
            (header.as_bytes().to_vec(), Kind::Tar),
            (b"NETBE-STREAM 1".to_vec(), Kind::NetbeStream),
            (b"PK\x03\x04rest".to_vec(), Kind::Zip),
            (with(1080, &[0x53, 0xef]), Kind::Disk),
            (with(0x10040, b"_BHRfS_M"), Kind::Disk),
            (with(0, b"XFSB"), Kind::Disk),
        ] {
            assert_eq!(Kind::detect(&bytes), kind);
        }
    }

    #[test]
    fn a_signature_without_partitions_is_no_disk() {
        assert_eq!(Kind::detect(&with(510, &[0x55, 0xaa])), Kind::Unknown);
    }

    #[test]
    fn compression_is_looked_through_once() {
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
