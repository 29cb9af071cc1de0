//! Compressed input: gzip, xz and zstd, recognised by content and read as one stream.
//!
//! Several members or frames behind each other read as one, as their own tools do. A stream that is cut
//! short or damaged is an error, never a short read. Not for writing, and not for naming files.

use std::io::{self, BufRead, Read};

use anyhow::Context;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Memory an xz stream may ask for, in bytes: `xz -9` needs 65 MiB, a hostile header asks for 4 GiB.
const XZ_MEMORY: u64 = 512 << 20;

/// A way of compressing that netbe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Recognises the first bytes of a stream.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // Parallel and seekable writers begin with a skippable frame.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the name people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Returns a reader of what was compressed.
    pub fn reader<'a>(self, compressed: impl BufRead + 'a) -> anyhow::Result<Box<dyn Read + 'a>> {
        let opening = || format!("starting to read {} data", self.name());
        let inner: Box<dyn Read + 'a> = match self {
            Self::Gzip => Box::new(GzipMembers::new(compressed)),
            Self::Xz => {
                let stream =
                    Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).with_context(opening)?;
                Box::new(XzDecoder::new_stream(compressed, stream))
            }
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(compressed).with_context(opening)?),
        };
        Ok(Box::new(Explained {
            inner,
            name: self.name(),
        }))
    }
}

/// Reads gzip members one behind the other; zeros behind the last are padding, as gzip itself has it.
struct GzipMembers<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    fn new(compressed: R) -> Self {
        Self {
            member: Some(GzDecoder::new(compressed)),
        }
    }

    fn next_member(&mut self, mut compressed: R) -> io::Result<()> {
        loop {
            let ahead = compressed.fill_buf()?;
            let Some(&first) = ahead.first() else {
                return Ok(());
            };
            if first == 0x1f {
                self.member = Some(GzDecoder::new(compressed));
                return Ok(());
            }
            let zeros = ahead.iter().take_while(|b| **b == 0).count();
            if zeros == 0 {
                return Err(io::Error::other("there is garbage behind its end"));
            }
            compressed.consume(zeros);
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let count = member.read(buf)?;
            if count > 0 || buf.is_empty() {
                self.member = Some(member);
                return Ok(count);
            }
            self.next_member(member.into_inner())?;
        }
        Ok(0)
    }
}

/// Says in its errors what was being read: "unexpected end of file" alone helps nobody.
struct Explained<'a> {
    inner: Box<dyn Read + 'a>,
    name: &'static str,
}

impl Read for Explained<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|e| {
            if e.kind() == io::ErrorKind::Interrupted {
                return e;
            }
            let name = self.name;
            io::Error::new(
                e.kind(),
                format!("the {name} data is damaged or cut short: {e}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"one line that is long enough to be compressed, compressed, compressed\n";

    fn packed(format: Compression) -> Vec<u8> {
        match format {
            Compression::Gzip => {
                let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                w.write_all(TEXT).unwrap();
                w.finish().unwrap()
            }
            Compression::Xz => {
                let mut w = liblzma::write::XzEncoder::new(Vec::new(), 1);
                w.write_all(TEXT).unwrap();
                w.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(TEXT, 1).unwrap(),
        }
    }

    fn unpacked(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::new();
        Compression::of(bytes)
            .expect("recognised")
            .reader(bytes)?
            .read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn one_member_and_two_read_as_one_stream() {
        for format in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let once = packed(format);
            assert_eq!(Compression::of(&once), Some(format));
            assert_eq!(unpacked(&once).unwrap(), TEXT, "{format:?}");
            let twice = [once.clone(), once].concat();
            assert_eq!(
                unpacked(&twice).unwrap(),
                [TEXT, TEXT].concat(),
                "{format:?}"
            );
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        for format in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let whole = packed(format);
            for length in 6..whole.len() {
                assert!(
                    unpacked(&whole[..length]).is_err(),
                    "{format:?} at {length}"
                );
            }
        }
    }

    #[test]
    fn padding_is_no_garbage_and_garbage_is_an_error() {
        for format in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let mut bytes = packed(format);
            bytes.extend(b"garbage behind it");
            assert!(unpacked(&bytes).is_err(), "{format:?}");
        }
        for format in [Compression::Gzip, Compression::Xz] {
            let mut bytes = packed(format);
            bytes.extend([0; 512]);
            assert_eq!(unpacked(&bytes).unwrap(), TEXT, "{format:?}");
        }
    }

    #[test]
    fn a_skippable_frame_in_front_is_zstd() {
        let mut bytes = vec![0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        bytes.extend(packed(Compression::Zstd));
        assert_eq!(unpacked(&bytes).unwrap(), TEXT);
    }
}
