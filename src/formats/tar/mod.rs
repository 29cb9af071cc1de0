//! Tar archives, unpacked beneath a directory exactly as they say and nowhere else.
//!
//! Owners by number, modes, times, hard links, devices, pipes, sparse files, extended attributes, access lists.
//! A name with `..` fails the whole archive; a link in the middle of a name is followed, but the tree is its
//! `/`, so it ends inside; a final link is replaced, never written through. Not for making archives.

mod acl;
mod deferred;
mod entry;
mod extract;
mod header;
mod pax;
mod sparse;

use std::io::Read;

use anyhow::{Context, Result};

use crate::fs::rooted::Tree;
use entry::Members;
use extract::Place;

/// Unpacks an archive into an empty tree and returns what a person should know of it.
///
/// On an error the tree holds part of it and is to be thrown away. The stream is read to its end, so that a
/// checksum behind the archive has been looked at.
pub fn unpack(archive: &mut dyn Read, root: &Tree) -> Result<Vec<String>> {
    let mut members = Members::new(archive);
    let mut place = Place::new(root)?;
    while let Some(member) = members.next()? {
        let name = String::from_utf8_lossy(&member.name).into_owned();
        place
            .put(member, &mut members)
            .with_context(|| format!("unpacking '{name}'"))?;
    }
    place.finish()
}

/// Returns whether a stream that begins so is a tar archive, by its first header's checksum.
pub fn is_tar(head: &[u8]) -> bool {
    header::is_header(head)
}
