//! The stream that `netbe export` writes and `netbe import` reads: frames, each proved whole before anything sees it.
//!
//! This is format 1. Numbers are little-endian.
//!
//! ```text
//! NETBE-STREAM 1\n     the first line; the number is the format's version
//! frame …              one behind the other, to the end of the stream
//!
//! frame:  kind         4 bytes: HEAD, ROOT, BOOT or DONE
//!         length       4 bytes: of the payload
//!         checksum     32 bytes: SHA-256 of the checksum before it, kind, length and payload;
//!                      before the first frame that is the SHA-256 of the first line
//!         payload
//!
//! HEAD    once, first:   JSON, at most 16 MiB: which environment this is, what it is since, its record
//! ROOT    any number:    up to 4 MiB of the root half's btrfs send stream, as one zstd frame
//! BOOT    any number:    the same of the boot half
//! DONE    once, last:    8 + 8 bytes: how long the two send streams are; nothing follows it
//! ```
//!
//! The checksums are a chain: a frame that is changed, missing, repeated, out of place or of another stream breaks it
//! there, and the last one is of everything. They tell accidents, not authors: whoever can write a stream can write
//! its checksums, so what comes out of one is still to be mistrusted ([`super::btrfs::receive`]). The send streams are the
//! kernel's, of protocol 1, "BTRFS send stream format". What is in the JSON is not decided here.

mod frame;
pub mod header;
mod pack;
mod unpack;

pub use frame::{Reader, Writer};
pub use pack::pack;
pub use unpack::{Arriving, Half, unpack};

/// The version of the format this netbe writes and reads.
pub const VERSION: u64 = 1;

/// How much of a send stream is in one frame at most, in bytes.
pub const CHUNK: usize = 4 << 20;

/// The largest HEAD, in bytes: as long as the longest record.
const HEAD_LIMIT: usize = 16 << 20;

/// What is in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the stream holds.
    Head,
    /// A piece of the root half.
    Root,
    /// A piece of the boot half.
    Boot,
    /// That this was all.
    Done,
}

impl Part {
    const ALL: [Self; 4] = [Self::Head, Self::Root, Self::Boot, Self::Done];

    fn tag(self) -> [u8; 4] {
        *match self {
            Self::Head => b"HEAD",
            Self::Root => b"ROOT",
            Self::Boot => b"BOOT",
            Self::Done => b"DONE",
        }
    }

    fn from_tag(tag: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.tag() == tag)
    }

    /// Returns how long a payload may be, in bytes.
    fn limit(self) -> usize {
        match self {
            Self::Head => HEAD_LIMIT,
            // What cannot be compressed gets a little longer.
            Self::Root | Self::Boot => CHUNK + (CHUNK >> 4),
            Self::Done => 16,
        }
    }
}
