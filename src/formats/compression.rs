//! Reads gzip, xz and zstd streams, detected by content.
//!
//! Consecutive members or frames read as one stream, as with gzip, xz and zstd themselves. A truncated or damaged
//! stream is an error, never a short read. Does not compress.

use std::io::{self, BufRead, Read};
use std::marker::PhantomData;

use anyhow::Context;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;
use nix::unistd::{SysconfVar, sysconf};

/// Memory limit of an xz stream, in bytes: `xz -9` needs 65 MiB, a hostile header may ask for 4 GiB. Multi-threaded
/// decoding is used only within [`threads_memory`].
const XZ_MEMORY: u64 = 512 << 20;

/// A supported compression format.
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
    /// Detects the format by the first bytes of a stream.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // Parallel and seekable encoders begin with a skippable frame.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the format's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Returns a reader of the decompressed data.
    pub fn reader<'a>(self, compressed: impl BufRead + 'a) -> anyhow::Result<Box<dyn Read + 'a>> {
        let opening = || format!("starting to read {} data", self.name());
        let inner: Box<dyn Read + 'a> = match self {
            Self::Gzip => {
                Box::new(Members::<_, GzDecoder<_>>::begin(compressed).with_context(opening)?)
            }
            Self::Xz => {
                Box::new(Members::<_, XzDecoder<_>>::begin(compressed).with_context(opening)?)
            }
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(compressed).with_context(opening)?),
        };
        Ok(Box::new(WithFormat {
            inner,
            name: self.name(),
        }))
    }
}

/// A decoder of one member.
trait Decoder<R>: Read + Sized {
    /// The first byte of a member.
    const FIRST: u8;
    fn begin(compressed: R) -> io::Result<Self>;
    fn into_compressed(self) -> R;
}

impl<R: BufRead> Decoder<R> for GzDecoder<R> {
    const FIRST: u8 = 0x1f;

    fn begin(compressed: R) -> io::Result<Self> {
        Ok(Self::new(compressed))
    }

    fn into_compressed(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Decoder<R> for XzDecoder<R> {
    const FIRST: u8 = 0xfd;

    fn begin(compressed: R) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let stream = MtStreamBuilder::new()
            .threads(u32::try_from(threads).unwrap_or(1))
            .memlimit_threading(threads_memory())
            .memlimit_stop(XZ_MEMORY)
            .decoder()?;
        Ok(Self::new_stream(compressed, stream))
    }

    fn into_compressed(self) -> R {
        self.into_inner()
    }
}

/// Returns the memory limit for multi-threaded xz decoding, in bytes: a quarter of the memory, as in `xz`.
fn threads_memory() -> u64 {
    let value = |what| {
        sysconf(what)
            .ok()
            .flatten()
            .and_then(|n| u64::try_from(n).ok())
    };
    let pages = value(SysconfVar::_PHYS_PAGES).unwrap_or_default();
    pages * value(SysconfVar::PAGE_SIZE).unwrap_or_default() / 4
}

/// Reads consecutive members; zeros after one are padding, as for gzip and xz.
struct Members<R, D> {
    member: Option<D>,
    compressed: PhantomData<R>,
}

impl<R: BufRead, D: Decoder<R>> Members<R, D> {
    fn begin(compressed: R) -> io::Result<Self> {
        Ok(Self {
            member: Some(D::begin(compressed)?),
            compressed: PhantomData,
        })
    }

    fn next_member(&mut self, mut compressed: R) -> io::Result<()> {
        loop {
            let ahead = compressed.fill_buf()?;
            let Some(&first) = ahead.first() else {
                return Ok(());
            };
            if first == D::FIRST {
                self.member = Some(D::begin(compressed)?);
                return Ok(());
            }
            let zeros = ahead.iter().take_while(|b| **b == 0).count();
            if zeros == 0 {
                return Err(io::Error::other("there is other data after its end"));
            }
            compressed.consume(zeros);
        }
    }
}

impl<R: BufRead, D: Decoder<R>> Read for Members<R, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let count = member.read(buf)?;
            if count > 0 || buf.is_empty() {
                self.member = Some(member);
                return Ok(count);
            }
            self.next_member(member.into_compressed())?;
        }
        Ok(0)
    }
}

/// Adds the format to errors: "unexpected end of file" alone does not tell what was read.
struct WithFormat<'a> {
    inner: Box<dyn Read + 'a>,
    name: &'static str,
}

impl Read for WithFormat<'_> {
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

    fn compressed(format: Compression) -> Vec<u8> {
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
        Compression::detect(bytes)
            .expect("recognised")
            .reader(bytes)?
            .read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn one_member_and_two_read_as_one_stream() {
        for format in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let once = compressed(format);
            assert_eq!(Compression::detect(&once), Some(format));
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
            let whole = compressed(format);
            for length in 6..whole.len() {
                assert!(
                    unpacked(&whole[..length]).is_err(),
                    "{format:?} at {length}"
                );
            }
        }
    }

    #[test]
    fn padding_is_skipped_and_other_data_is_an_error() {
        for format in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let mut bytes = compressed(format);
            bytes.extend(b"garbage behind it");
            assert!(unpacked(&bytes).is_err(), "{format:?}");
        }
        for format in [Compression::Gzip, Compression::Xz] {
            let mut bytes = compressed(format);
            bytes.extend([0; 512]);
            assert_eq!(unpacked(&bytes).unwrap(), TEXT, "{format:?}");
        }
    }

    #[test]
    fn a_skippable_frame_in_front_is_zstd() {
        let mut bytes = vec![0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        bytes.extend(compressed(Compression::Zstd));
        assert_eq!(unpacked(&bytes).unwrap(), TEXT);
    }
}
