//! Parses one command of a send stream: an operation and its path.
//!
//! From bytes to values; a path that leads outside is an error. Command and attribute numbers: fs/btrfs/send.h.
//! Applies nothing.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Result, bail, ensure};

/// A subvolume's UUID on the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(pub(super) [u8; 16]);

/// The type of file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made<'a> {
    File,
    Directory,
    Pipe,
    Socket,
    /// Type and permissions, then device number, as for mknod(2).
    Device(u32, u64),
    Link(&'a OsStr),
}

/// Seconds and nanoseconds.
pub(super) type Time = (i64, u32);

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Subvolume(Identity),
    /// The subvolume, then its parent.
    Snapshot(Identity, Identity),
    Make(&'a Path, Made<'a>),
    Rename(&'a Path, &'a Path),
    /// The new name, then the existing file.
    HardLink(&'a Path, &'a Path),
    Unlink(&'a Path),
    RemoveDirectory(&'a Path),
    SetAttribute(&'a Path, &'a OsStr, &'a [u8]),
    RemoveAttribute(&'a Path, &'a OsStr),
    Write(&'a Path, u64, &'a [u8]),
    Clone(Clone<'a>),
    Truncate(&'a Path, u64),
    Mode(&'a Path, u32),
    Owner(&'a Path, u32, u32),
    /// Access time, then modification time.
    Times(&'a Path, Time, Time),
    End,
}

/// A range of data shared with another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clone<'a> {
    pub(super) to: &'a Path,
    pub(super) at: u64,
    pub(super) length: u64,
    /// The subvolume of the other file.
    pub(super) within: Identity,
    pub(super) from: &'a Path,
    pub(super) from_at: u64,
}

/// The attributes that are used.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
enum Key {
    Uuid = 1,
    Size = 4,
    Mode = 5,
    Uid = 6,
    Gid = 7,
    Device = 8,
    Modified = 10,
    Accessed = 11,
    AttributeName = 13,
    AttributeValue = 14,
    Path = 15,
    PathTo = 16,
    PathLink = 17,
    Offset = 18,
    Data = 19,
    CloneUuid = 20,
    ClonePath = 22,
    CloneOffset = 23,
    CloneLength = 24,
}

/// Number of attribute types in protocol 1, with type 0.
const KEYS: usize = 25;

/// A command's attributes, by type.
struct Attributes<'a>([Option<&'a [u8]>; KEYS]);

impl<'a> Command<'a> {
    /// Parses a command of this type.
    pub(super) fn parse(kind: u16, body: &'a [u8]) -> Result<Self> {
        let attributes = Attributes::parse(body)?;
        let path = || attributes.path(Key::Path);
        Ok(match kind {
            1 => Self::Subvolume(attributes.identity(Key::Uuid)?),
            2 => Self::Snapshot(
                attributes.identity(Key::Uuid)?,
                attributes.identity(Key::CloneUuid)?,
            ),
            3 => Self::Make(path()?, Made::File),
            4 => Self::Make(path()?, Made::Directory),
            5 => {
                let mode = attributes.number32(Key::Mode)?;
                Self::Make(path()?, Made::Device(mode, attributes.number(Key::Device)?))
            }
            6 => Self::Make(path()?, Made::Pipe),
            7 => Self::Make(path()?, Made::Socket),
            8 => Self::Make(path()?, Made::Link(attributes.text(Key::PathLink)?)),
            9 => Self::Rename(path()?, attributes.path(Key::PathTo)?),
            10 => Self::HardLink(path()?, attributes.path(Key::PathLink)?),
            11 => Self::Unlink(path()?),
            12 => Self::RemoveDirectory(path()?),
            13 => {
                let value = attributes.bytes(Key::AttributeValue)?;
                Self::SetAttribute(path()?, attributes.text(Key::AttributeName)?, value)
            }
            14 => Self::RemoveAttribute(path()?, attributes.text(Key::AttributeName)?),
            15 => Self::Write(
                path()?,
                attributes.number(Key::Offset)?,
                attributes.bytes(Key::Data)?,
            ),
            16 => Self::Clone(Clone {
                to: path()?,
                at: attributes.number(Key::Offset)?,
                length: attributes.number(Key::CloneLength)?,
                within: attributes.identity(Key::CloneUuid)?,
                from: attributes.path(Key::ClonePath)?,
                from_at: attributes.number(Key::CloneOffset)?,
            }),
            17 => Self::Truncate(path()?, attributes.number(Key::Size)?),
            18 => Self::Mode(path()?, attributes.number32(Key::Mode)?),
            19 => Self::Owner(
                path()?,
                attributes.number32(Key::Uid)?,
                attributes.number32(Key::Gid)?,
            ),
            20 => Self::Times(
                path()?,
                attributes.time(Key::Accessed)?,
                attributes.time(Key::Modified)?,
            ),
            21 => Self::End,
            // 22 is a write without data; higher numbers are of later protocols.
            other => bail!("the send stream has the command {other}, which is not understood"),
        })
    }
}

impl<'a> Attributes<'a> {
    fn parse(mut body: &'a [u8]) -> Result<Self> {
        let mut attributes = [None; KEYS];
        while !body.is_empty() {
            let Some((head, rest)) = body.split_first_chunk::<4>() else {
                bail!("the send stream has a command that is not whole");
            };
            let key = usize::from(u16::from_le_bytes([head[0], head[1]]));
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            ensure!(
                length <= rest.len(),
                "the send stream has a command that is not whole"
            );
            let (value, following) = rest.split_at(length);
            match attributes.get_mut(key) {
                Some(place @ None) => *place = Some(value),
                _ => bail!(
                    "the send stream has a command with the attribute {key}, twice or unknown"
                ),
            }
            body = following;
        }
        Ok(Self(attributes))
    }

    fn bytes(&self, key: Key) -> Result<&'a [u8]> {
        match self.0[key as usize] {
            Some(bytes) => Ok(bytes),
            None => bail!(
                "the send stream has a command without its attribute {}",
                key as usize
            ),
        }
    }

    fn array<const N: usize>(&self, key: Key) -> Result<[u8; N]> {
        match self.bytes(key)?.try_into() {
            Ok(array) => Ok(array),
            Err(_) => bail!(
                "the send stream has a command with a bad attribute {}",
                key as usize
            ),
        }
    }

    fn number(&self, key: Key) -> Result<u64> {
        self.array(key).map(u64::from_le_bytes)
    }

    /// Returns a number that is sent with 64 bits but used with 32.
    fn number32(&self, key: Key) -> Result<u32> {
        let number = self.number(key)?;
        ensure!(
            u32::try_from(number).is_ok(),
            "the send stream has the number {number}, which is too large"
        );
        Ok(number as u32)
    }

    fn identity(&self, key: Key) -> Result<Identity> {
        self.array(key).map(Identity)
    }

    fn time(&self, key: Key) -> Result<Time> {
        let bytes: [u8; 12] = self.array(key)?;
        let (mut seconds, mut nanoseconds) = ([0; 8], [0; 4]);
        seconds.copy_from_slice(&bytes[..8]);
        nanoseconds.copy_from_slice(&bytes[8..]);
        let time = (i64::from_le_bytes(seconds), u32::from_le_bytes(nanoseconds));
        // Larger values have a special meaning: utimensat(2).
        ensure!(
            time.1 < 1_000_000_000,
            "the send stream has an invalid time"
        );
        Ok(time)
    }

    fn text(&self, key: Key) -> Result<&'a OsStr> {
        let bytes = self.bytes(key)?;
        ensure!(
            !bytes.contains(&0) && !bytes.is_empty(),
            "the send stream has an invalid name"
        );
        Ok(OsStr::from_bytes(bytes))
    }

    /// Returns a path relative to the subvolume; empty for its top.
    fn path(&self, key: Key) -> Result<&'a Path> {
        let bytes = self.bytes(key)?;
        let is_invalid = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
        if !bytes.is_empty() && bytes.split(|b| *b == b'/').any(is_invalid) {
            let shown = String::from_utf8_lossy(bytes).escape_debug().to_string();
            bail!("the send stream has '{shown}', which is no path inside the subvolume");
        }
        Ok(Path::new(OsStr::from_bytes(bytes)))
    }
}

impl fmt::Display for Command<'_> {
    /// Describes the operation, for error messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = match self {
            Self::Subvolume(_) | Self::Snapshot(..) => return f.write_str("beginning a subvolume"),
            Self::End => return f.write_str("ending"),
            Self::Make(path, _) => ("making", path),
            Self::Rename(path, _) => ("renaming", path),
            Self::HardLink(path, _) => ("linking", path),
            Self::Unlink(path) | Self::RemoveDirectory(path) => ("removing", path),
            Self::SetAttribute(path, ..) | Self::RemoveAttribute(path, _) => {
                ("setting an attribute of", path)
            }
            Self::Write(path, ..) | Self::Truncate(path, _) => ("writing", path),
            Self::Clone(clone) => ("sharing the data of", &clone.to),
            Self::Mode(path, _) => ("setting the mode of", path),
            Self::Owner(path, ..) => ("setting the owner of", path),
            Self::Times(path, ..) => ("setting the times of", path),
        };
        // Escaped: it is shown on a terminal, and the stream is untrusted.
        write!(f, "{what} '{}'", path.to_string_lossy().escape_debug())
    }
}
