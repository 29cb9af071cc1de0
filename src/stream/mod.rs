//! The stream format of `netbe export` and `netbe import`: frames, each verified before its payload is used.
//!
//! This is format 1, and format 2 of a stream with data of its node, which only a netbe that knows data can read. Numbers
//! are little-endian.
//!
//! ```text
//! NETBE-STREAM 1\n     the first line; the number is the format's version, 2 with data
//! frame …              one behind the other, to the end of the stream
//!
//! frame:  kind         4 bytes: HEAD, ROOT, BOOT, PATH, DATA or DONE
//!         length       4 bytes: of the payload
//!         checksum     32 bytes: SHA-256 of the checksum before it, kind, length and payload;
//!                      before the first frame that is the SHA-256 of the first line
//!         payload
//!
//! HEAD    once, first:   JSON, at most 16 MiB: the environment's name and ID, its base, its record, the paths of data
//! ROOT    any number:    up to 4 MiB of the root half's btrfs send stream, as one zstd frame
//! BOOT    any number:    the same of the boot half
//! PATH    for each path: the path of data that follows, as HEAD has it, in that order
//! DATA    any number:    up to 4 MiB of the whole send stream of that path's subvolume, as one zstd frame
//! DONE    once, last:    8 bytes for each send stream, in order: its length; nothing follows it
//! ```
//!
//! The checksums are a chain: a changed, missing, repeated, misplaced or foreign frame breaks it there, and the last
//! one covers everything. They detect accidents, not forgery: an attacker can write checksums too, so the payload is
//! untrusted ([`super::btrfs::receive`]). The send streams are the kernel's, protocol 1, "BTRFS send stream format".
//! The JSON is defined in [`header`].

mod frame;
pub mod header;
mod pack;
mod unpack;

pub use frame::{Reader, Writer};
pub use pack::pack;
pub use unpack::{Arriving, Half, unpack};

/// The format's version without data.
pub const PLAIN: u64 = 1;
/// The format's version with data.
pub const WITH_DATA: u64 = 2;

/// The most bytes of a send stream in one frame.
pub const CHUNK: usize = 4 << 20;

/// The largest HEAD, in bytes: that of the longest record.
const HEAD_LIMIT: usize = 16 << 20;

/// The most paths of data.
pub const PATHS_LIMIT: usize = 1000;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The header.
    Head,
    /// A piece of the root half.
    Root,
    /// A piece of the boot half.
    Boot,
    /// A path of data.
    Path,
    /// A piece of the data at the path before it.
    Data,
    /// The end.
    Done,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Head,
        Self::Root,
        Self::Boot,
        Self::Path,
        Self::Data,
        Self::Done,
    ];

    fn tag(self) -> [u8; 4] {
        *match self {
            Self::Head => b"HEAD",
            Self::Root => b"ROOT",
            Self::Boot => b"BOOT",
            Self::Path => b"PATH",
            Self::Data => b"DATA",
            Self::Done => b"DONE",
        }
    }

    fn from_tag(tag: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.tag() == tag)
    }

    /// Returns the limit of a payload, in bytes.
    fn limit(self) -> usize {
        match self {
            Self::Head => HEAD_LIMIT,
            // Incompressible data becomes a little longer.
            Self::Root | Self::Boot | Self::Data => CHUNK + (CHUNK >> 4),
            Self::Path => 255,
            Self::Done => 8 * (2 + PATHS_LIMIT),
        }
    }

    /// Returns whether a frame of this type may follow `last`, in a stream of this version.
    fn may_follow(self, last: Option<Self>, version: u64) -> bool {
        match (last, self) {
            (None, next) => next == Self::Head,
            (_, Self::Head) => false,
            (_, Self::Path) if version == PLAIN => false,
            (Some(Self::Data), Self::Path) => true,
            (Some(last), Self::Data) => matches!(last, Self::Path | Self::Data),
            (Some(last), next) => next >= last,
        }
    }
}
