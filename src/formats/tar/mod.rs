//! Unpacks tar archives below a directory, exactly and nowhere else.
//!
//! Numeric owners, modes, times, hard links, devices, pipes, sparse files, extended attributes, ACLs. A name with `..`
//! fails the whole archive. A symbolic link inside a name is followed with the tree as `/`; a final one is replaced.
//! Does not make archives.

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
use extract::Extractor;

/// Unpacks an archive into an empty tree and returns notes for the user.
///
/// After an error the caller removes the incomplete tree. The stream is read to its end, so that a final checksum is
/// verified.
pub fn unpack(archive: &mut dyn Read, root: &Tree) -> Result<Vec<String>> {
    let mut members = Members::new(archive);
    let mut extractor = Extractor::new(root)?;
    while let Some(member) = members.next()? {
        let name = String::from_utf8_lossy(&member.name).into_owned();
        extractor
            .extract(member, &mut members)
            .with_context(|| format!("unpacking '{name}'"))?;
    }
    extractor.finish()
}

/// Returns whether a stream with these first bytes is a tar archive, by the first header's checksum.
pub fn is_tar(head: &[u8]) -> bool {
    header::is_header(head)
}
