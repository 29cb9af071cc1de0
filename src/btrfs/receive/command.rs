//! One command of a send stream: what is to be done to which path.
//!
//! Parsing takes bytes and returns values; a path that leads out is none. Numbers of commands and attributes are those
//! of fs/btrfs/send.h. Not for doing it.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Result, bail, ensure};

/// Which subvolume, as the sender's kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(pub(super) [u8; 16]);

/// What is made under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made<'a> {
    File,
    Directory,
    Pipe,
    Socket,
    /// File type and permissions, then the number, as mknod(2) takes them.
    Device(u32, u64),
    Link(&'a OsStr),
}

/// Seconds and nanoseconds.
pub(super) type Time = (i64, u32);

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Subvolume(Identity),
    /// Itself, then what it is a snapshot of.
    Snapshot(Identity, Identity),
    Make(&'a Path, Made<'a>),
    Rename(&'a Path, &'a Path),
    /// The new name, then the file that gets it.
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
    /// Access, then change of content.
    Times(&'a Path, Time, Time),
    End,
}

/// Data that is shared with another file.
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

/// The attributes that are looked at.
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

/// How many kinds of attributes protocol 1 has, with none at 0.
const KEYS: usize = 25;

/// What a command says, by key.
struct Attributes<'a>([Option<&'a [u8]>; KEYS]);

impl<'a> Command<'a> {
    /// Parses what a command of this number says.
    pub(super) fn parse(kind: u16, body: &'a [u8]) -> Result<Self> {
        let said = Attributes::parse(body)?;
        let path = || said.path(Key::Path);
        Ok(match kind {
            1 => Self::Subvolume(said.identity(Key::Uuid)?),
            2 => Self::Snapshot(said.identity(Key::Uuid)?, said.identity(Key::CloneUuid)?),
            3 => Self::Make(path()?, Made::File),
            4 => Self::Make(path()?, Made::Directory),
            5 => {
                let mode = said.number32(Key::Mode)?;
                Self::Make(path()?, Made::Device(mode, said.number(Key::Device)?))
            }
            6 => Self::Make(path()?, Made::Pipe),
            7 => Self::Make(path()?, Made::Socket),
            8 => Self::Make(path()?, Made::Link(said.text(Key::PathLink)?)),
            9 => Self::Rename(path()?, said.path(Key::PathTo)?),
            10 => Self::HardLink(path()?, said.path(Key::PathLink)?),
            11 => Self::Unlink(path()?),
            12 => Self::RemoveDirectory(path()?),
            13 => {
                let value = said.bytes(Key::AttributeValue)?;
                Self::SetAttribute(path()?, said.text(Key::AttributeName)?, value)
            }
            14 => Self::RemoveAttribute(path()?, said.text(Key::AttributeName)?),
            15 => Self::Write(path()?, said.number(Key::Offset)?, said.bytes(Key::Data)?),
            16 => Self::Clone(Clone {
                to: path()?,
                at: said.number(Key::Offset)?,
                length: said.number(Key::CloneLength)?,
                within: said.identity(Key::CloneUuid)?,
                from: said.path(Key::ClonePath)?,
                from_at: said.number(Key::CloneOffset)?,
            }),
            17 => Self::Truncate(path()?, said.number(Key::Size)?),
            18 => Self::Mode(path()?, said.number32(Key::Mode)?),
            19 => Self::Owner(path()?, said.number32(Key::Uid)?, said.number32(Key::Gid)?),
            20 => Self::Times(
                path()?,
                said.time(Key::Accessed)?,
                said.time(Key::Modified)?,
            ),
            21 => Self::End,
            // 22 stands for data that is not there; what is beyond is of later protocols.
            other => bail!("it holds the command {other}, which is not understood"),
        })
    }
}

impl<'a> Attributes<'a> {
    fn parse(mut body: &'a [u8]) -> Result<Self> {
        let mut said = [None; KEYS];
        while !body.is_empty() {
            let Some((head, rest)) = body.split_first_chunk::<4>() else {
                bail!("it holds a command that is not whole");
            };
            let key = usize::from(u16::from_le_bytes([head[0], head[1]]));
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            ensure!(length <= rest.len(), "it holds a command that is not whole");
            let (value, behind) = rest.split_at(length);
            match said.get_mut(key) {
                Some(place @ None) => *place = Some(value),
                _ => bail!("it holds a command with the attribute {key}, twice or unknown"),
            }
            body = behind;
        }
        Ok(Self(said))
    }

    fn bytes(&self, key: Key) -> Result<&'a [u8]> {
        match self.0[key as usize] {
            Some(bytes) => Ok(bytes),
            None => bail!("it holds a command without its attribute {}", key as usize),
        }
    }

    fn array<const N: usize>(&self, key: Key) -> Result<[u8; N]> {
        match self.bytes(key)?.try_into() {
            Ok(array) => Ok(array),
            Err(_) => bail!("it holds a command with a bad attribute {}", key as usize),
        }
    }

    fn number(&self, key: Key) -> Result<u64> {
        self.array(key).map(u64::from_le_bytes)
    }

    /// Returns a number that the kernel sends with 64 bits and knows with 32.
    fn number32(&self, key: Key) -> Result<u32> {
        let number = self.number(key)?;
        ensure!(
            u32::try_from(number).is_ok(),
            "it holds the number {number}, which is too large"
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
        // Numbers beyond have a meaning of their own: utimensat(2).
        ensure!(time.1 < 1_000_000_000, "it holds a time that is none");
        Ok(time)
    }

    fn text(&self, key: Key) -> Result<&'a OsStr> {
        let bytes = self.bytes(key)?;
        ensure!(
            !bytes.contains(&0) && !bytes.is_empty(),
            "it holds a name that is none"
        );
        Ok(OsStr::from_bytes(bytes))
    }

    /// Returns a path relative to the subvolume's top; empty for the top itself.
    fn path(&self, key: Key) -> Result<&'a Path> {
        let bytes = self.bytes(key)?;
        let leads_nowhere = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
        if !bytes.is_empty() && bytes.split(|b| *b == b'/').any(leads_nowhere) {
            let shown = String::from_utf8_lossy(bytes).escape_debug().to_string();
            bail!("it names '{shown}', which is no path inside it");
        }
        Ok(Path::new(OsStr::from_bytes(bytes)))
    }
}

impl fmt::Display for Command<'_> {
    /// Says what was being done, for what went wrong with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = match self {
            Self::Subvolume(_) | Self::Snapshot(..) => return f.write_str("beginning anew"),
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
        // Escaped: it ends on somebody's terminal, and anybody can have written it.
        write!(f, "{what} '{}'", path.to_string_lossy().escape_debug())
    }
}
