//! Applies a btrfs send stream from another machine to a subvolume.
//!
//! Not by `btrfs receive`, because the stream is untrusted: that program follows symbolic links and opens
//! devices which the stream itself has made, and clones from any subvolume of the filesystem. Here every path
//! is resolved inside one tree without following links, only regular files are opened, and data is cloned only
//! from the given parent. Checksums are not verified: the enclosing stream has its own.

mod command;
mod place;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;

use self::command::Command;
use self::place::Target;
use crate::fs::free_space::FreeSpace;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// Magic bytes of a send stream; a 32-bit protocol version follows.
const MAGIC: &[u8] = b"btrfs-stream\0";
/// The supported protocol version.
const PROTOCOL: u32 = 1;
/// The longest command, in bytes: `BTRFS_SEND_BUF_SIZE_V1`, fs/btrfs/send.h.
const COMMAND_MAX: usize = 64 << 10;

/// The base of the stream.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// An empty subvolume.
    Empty,
    /// A writable snapshot of this one, which is the sender's parent.
    Parent(&'a Tree),
}

/// Applies a send stream to the subvolume at `target`, to the stream's end.
///
/// # Errors
/// If the stream is malformed, of the other kind, or cannot be applied. The caller then deletes the subvolume.
pub fn receive(stream: &mut impl Read, target: &Tree, origin: Origin<'_>) -> Result<()> {
    begin(stream)?;
    let mut body = Vec::with_capacity(COMMAND_MAX);
    let kind = next(stream, &mut body)?;
    let mut place = match (Command::parse(kind, &body)?, origin) {
        (Command::Subvolume(identity), Origin::Empty) => Target::new(target, identity, None),
        (Command::Snapshot(identity, parent), Origin::Parent(tree)) => {
            Target::new(target, identity, Some((tree, parent)))
        }
        (Command::Subvolume(_), Origin::Parent(_)) => {
            bail!("the send stream is a full one, and what changed since the parent was expected")
        }
        (Command::Snapshot(..), Origin::Empty) => {
            bail!("the send stream holds what changed since a parent, and a full one was expected")
        }
        _ => bail!("the send stream does not begin with a subvolume"),
    }?;
    let top =
        target.open_path_without_links(Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    let mut free_space = FreeSpace::measure(&File::from(top))?;
    loop {
        interrupt::check()?;
        let kind = next(stream, &mut body)?;
        free_space.reserve(body.len() as u64)?;
        match Command::parse(kind, &body)? {
            Command::End => break,
            command => place.apply(&command).with_context(|| command.to_string())?,
        }
    }
    ensure!(
        stream.read(&mut [0])? == 0,
        "the send stream has data behind its end"
    );
    place.finish()
}

fn begin(stream: &mut impl Read) -> Result<()> {
    let mut head = [0; MAGIC.len() + 4];
    read_exact(stream, &mut head)?;
    let (magic, version) = head.split_at(MAGIC.len());
    ensure!(magic == MAGIC, "this is no btrfs send stream");
    ensure!(
        version == PROTOCOL.to_le_bytes(),
        "the send stream is of a protocol version that is not understood"
    );
    Ok(())
}

/// Reads one command: returns its type, and its attributes in `body`.
///
/// Its CRC-32C is not verified: the enclosing stream's checksum is stronger.
fn next(stream: &mut impl Read, body: &mut Vec<u8>) -> Result<u16> {
    let mut head = [0; 10];
    read_exact(stream, &mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    ensure!(
        length <= COMMAND_MAX,
        "the send stream has a command that is too long"
    );
    body.resize(length, 0);
    read_exact(stream, body)?;
    Ok(u16::from_le_bytes([head[4], head[5]]))
}

fn read_exact(stream: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    match stream.read_exact(buffer) {
        // Other errors of the reader explain themselves.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && e.get_ref().is_none() => {
            bail!("the send stream ends too early")
        }
        read => Ok(read?),
    }
}

#[cfg(test)]
mod tests;
