//! What a distribution's repositories offer, by the indexes that its package manager has fetched.
//!
//! pacman's sync databases and rpm-md's `primary.xml`: each names the file of a package, its size and its SHA-256.
//! Read from a stream, bounded, a package at a time. What an index says holds for the environment it lies in and for
//! nobody else. Fetches nothing.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::apt::Archive;
use super::distribution::Family;
use super::{dnf, pacman, rpm_md, zypper};
use crate::formats::compression::Compression;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// How much is read of all indexes together, in bytes, unpacked: ten times what Fedora has.
const LIMIT: u64 = 4 << 30;
/// How many indexes are read: more than anybody has repositories, and not as many as a directory may hold.
const INDEXES: usize = 256;
/// How many packages are told of: more than any upgrade has, and an index may name one as often as it likes.
const OFFERS: usize = 1 << 16;

/// Returns which of the packages that the repositories offer are wanted, and where their package manager looks for
/// each beneath the directory for packages.
///
/// # Errors
/// When an index cannot be read, or makes no sense.
pub(super) fn offered(
    family: Family,
    root: &Tree,
    packages: &Tree,
    wanted: &dyn Fn(&[u8; 32]) -> bool,
) -> io::Result<Vec<Archive>> {
    let ration = Ration::new();
    let mut found = Vec::new();
    let mut offer = |archive: Archive| {
        if found.len() < OFFERS && wanted(&archive.sha256) && is_inside(&archive.file) {
            found.push(archive);
        }
    };
    match family {
        Family::Arch => {
            const SYNC: &str = "var/lib/pacman/sync";
            for name in root.names(SYNC)?.into_iter().take(INDEXES) {
                if name.ends_with(".db")
                    && let Some(index) = open(root, &format!("{SYNC}/{name}"), &ration)?
                {
                    pacman::offered(index, &mut offer)?;
                }
            }
        }
        Family::Fedora => {
            for repository in packages.names(dnf::DIR)?.into_iter().take(INDEXES) {
                let metadata = format!("{}/{repository}/repodata", dnf::DIR);
                each_primary(packages, &metadata, &ration, &mut |path, mut archive| {
                    let (_, file) = path.rsplit_once('/').unwrap_or(("", path));
                    archive.file = format!("{}/{repository}/packages/{file}", dnf::DIR);
                    offer(archive);
                })?;
            }
        }
        Family::Suse => {
            const RAW: &str = "var/cache/zypp/raw";
            for repository in root.names(RAW)?.into_iter().take(INDEXES) {
                let metadata = format!("{RAW}/{repository}/repodata");
                each_primary(root, &metadata, &ration, &mut |path, mut archive| {
                    archive.file = format!("{}/{repository}/{path}", zypper::DIR);
                    offer(archive);
                })?;
            }
        }
        Family::Debian | Family::Alpine | Family::Unknown => {}
    }
    Ok(found)
}

/// An index is a node's own: a path in it can say anything.
fn is_inside(path: &str) -> bool {
    path.len() < 1024
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// How much may still be read of the indexes that are looked through, in bytes.
#[derive(Debug, Clone)]
struct Ration(Rc<Cell<u64>>);

impl Ration {
    fn new() -> Self {
        Self(Rc::new(Cell::new(LIMIT)))
    }
}

/// Reads until a ration is used up.
struct Rationed<R> {
    inner: R,
    ration: Ration,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check_io()?;
        let left = self.ration.0.get();
        let most = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        if most == 0 && !buf.is_empty() {
            return Err(io::Error::other(
                "the indexes are larger than 4 GiB together",
            ));
        }
        let count = self.inner.read(&mut buf[..most])?;
        self.ration.0.set(left - count as u64);
        Ok(count)
    }
}

/// Opens an index, packed or not, to read it unpacked; `None` where there is none.
fn open(tree: &Tree, path: &str, ration: &Ration) -> io::Result<Option<Box<dyn BufRead>>> {
    let Some(file) = tree.open_file(path)? else {
        return Ok(None);
    };
    let mut file = BufReader::new(interrupt::Reader::new(file));
    let plain: Box<dyn Read> = match Compression::detect(file.fill_buf()?) {
        Some(how) => how.reader(file).map_err(io::Error::other)?,
        None => Box::new(file),
    };
    Ok(Some(Box::new(BufReader::new(Rationed {
        inner: plain,
        ration: ration.clone(),
    }))))
}

fn each_primary(
    tree: &Tree,
    metadata: &str,
    ration: &Ration,
    offer: &mut dyn FnMut(&str, Archive),
) -> io::Result<()> {
    let is_one = |name: &String| name.contains("primary.xml");
    for name in tree.names(metadata)?.into_iter().filter(is_one).take(4) {
        if let Some(index) = open(tree, &format!("{metadata}/{name}"), ration)? {
            rpm_md::offered(index, offer)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
