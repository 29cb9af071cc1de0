//! A btrfs send stream, applied: what the kernel of another machine said of a subvolume, done beneath one here.
//!
//! Its own instead of `btrfs receive`, because what it says may be made up: that follows links which the same stream
//! has planted, opens devices it has made, and takes its parent from anywhere in the filesystem. Here every path is
//! resolved beneath one tree and over no link at all, only regular files are ever opened, and data is shared from the
//! one parent that was given and from nothing else. Not for checksums: what carries the stream has proved it whole.

mod command;
mod place;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;

use self::command::Command;
use self::place::Place;
use crate::fs::free_space::FreeSpace;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// How a send stream begins; then its protocol's version, 32 bits.
const MAGIC: &[u8] = b"btrfs-stream\0";
/// The protocol that is understood.
const PROTOCOL: u32 = 1;
/// The longest command, in bytes: `BTRFS_SEND_BUF_SIZE_V1`, fs/btrfs/send.h.
const LONGEST: usize = 64 << 10;

/// What a subvolume is made from.
#[derive(Debug, Clone, Copy)]
pub enum Since<'a> {
    /// Nothing: it is empty.
    Nothing,
    /// It is a writable snapshot of this one, which is what the sender's parent is.
    Parent(&'a Tree),
}

/// Does to the subvolume at `target` what a send stream says, to the stream's end.
///
/// # Errors
/// When the stream is not one, is not of this kind, or says what cannot be done. The subvolume is then to be thrown away.
pub fn receive(stream: &mut impl Read, target: &Tree, since: Since<'_>) -> Result<()> {
    begin(stream)?;
    let mut body = Vec::with_capacity(LONGEST);
    let kind = next(stream, &mut body)?;
    let mut place = match (Command::parse(kind, &body)?, since) {
        (Command::Subvolume(own), Since::Nothing) => Place::new(target, own, None),
        (Command::Snapshot(own, parent), Since::Parent(tree)) => {
            Place::new(target, own, Some((tree, parent)))
        }
        (Command::Subvolume(_), Since::Parent(_)) => {
            bail!("it says that it is whole, and holds what changed")
        }
        (Command::Snapshot(..), Since::Nothing) => {
            bail!("it says that it holds what changed, and is whole")
        }
        _ => bail!("it begins with no subvolume"),
    }?;
    let top =
        target.open_path_without_links(Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    let mut room = FreeSpace::measure(&File::from(top))?;
    loop {
        interrupt::check()?;
        let kind = next(stream, &mut body)?;
        room.reserve(body.len() as u64)?;
        match Command::parse(kind, &body)? {
            Command::End => break,
            command => place.apply(&command).with_context(|| command.to_string())?,
        }
    }
    ensure!(
        stream.read(&mut [0])? == 0,
        "there is something behind its end"
    );
    place.finish()
}

fn begin(stream: &mut impl Read) -> Result<()> {
    let mut head = [0; MAGIC.len() + 4];
    exactly(stream, &mut head)?;
    let (magic, version) = head.split_at(MAGIC.len());
    ensure!(magic == MAGIC, "it is no btrfs send stream");
    ensure!(
        version == PROTOCOL.to_le_bytes(),
        "it is of a protocol that is not understood"
    );
    Ok(())
}

/// Reads one command: its kind, and what it says into `body`.
///
/// The checksum of its own that each has is passed over: it is weaker than the one that was checked.
fn next(stream: &mut impl Read, body: &mut Vec<u8>) -> Result<u16> {
    let mut head = [0; 10];
    exactly(stream, &mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    ensure!(length <= LONGEST, "it holds a command that is too long");
    body.resize(length, 0);
    exactly(stream, body)?;
    Ok(u16::from_le_bytes([head[4], head[5]]))
}

fn exactly(stream: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    match stream.read_exact(buffer) {
        // A stream that knows why has words of its own.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && e.get_ref().is_none() => {
            bail!("it ends too early")
        }
        read => Ok(read?),
    }
}

#[cfg(test)]
mod tests;
