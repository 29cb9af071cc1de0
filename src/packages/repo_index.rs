//! The packages in a distribution's repositories, from the indexes that its package manager has fetched.
//!
//! pacman's sync databases and rpm-md's `primary.xml` have file name, size and SHA-256 of each package. Read as a
//! stream, with limits, a package at a time. An index is used for its own environment only. Fetches nothing.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::apt::Archive;
use super::distribution::Family;
use super::{dnf, pacman, rpm_md, zypper};
use crate::formats::compression::Compression;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// Limit of all indexes, decompressed, in bytes: ten times Fedora's.
const LIMIT: u64 = 4 << 30;
/// The most indexes that are read.
const INDEXES: usize = 256;
/// The most packages returned: more than any upgrade has; an index may repeat one any number of times.
const OFFERS: usize = 1 << 16;

/// Returns the wanted packages of the repositories, with their paths in the download directory.
///
/// # Errors
/// If an index is unreadable or malformed.
pub(super) fn offered(
    family: Family,
    root: &Tree,
    packages: &Tree,
    wanted: &dyn Fn(&[u8; 32]) -> bool,
) -> io::Result<Vec<Archive>> {
    let budget = Budget::new();
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
                    && let Some(index) = open(root, &format!("{SYNC}/{name}"), &budget)?
                {
                    pacman::offered(index, &mut offer)?;
                }
            }
        }
        Family::Fedora => {
            for repository in packages.names(dnf::DIR)?.into_iter().take(INDEXES) {
                let metadata = format!("{}/{repository}/repodata", dnf::DIR);
                each_primary(packages, &metadata, &budget, &mut |path, mut archive| {
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
                each_primary(root, &metadata, &budget, &mut |path, mut archive| {
                    archive.file = format!("{}/{repository}/{path}", zypper::DIR);
                    offer(archive);
                })?;
            }
        }
        Family::Debian | Family::Alpine | Family::Unknown => {}
    }
    Ok(found)
}

/// Returns whether a path stays inside: an index is untrusted.
fn is_inside(path: &str) -> bool {
    path.len() < 1024
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Bytes that may still be read of all indexes.
#[derive(Debug, Clone)]
struct Budget(Rc<Cell<u64>>);

impl Budget {
    fn new() -> Self {
        Self(Rc::new(Cell::new(LIMIT)))
    }
}

/// Reads until the budget is used up.
struct Limited<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check_io()?;
        let left = self.budget.0.get();
        let length = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        if length == 0 && !buf.is_empty() {
            return Err(io::Error::other(
                "the indexes are larger than 4 GiB together",
            ));
        }
        let count = self.inner.read(&mut buf[..length])?;
        self.budget.0.set(left - count as u64);
        Ok(count)
    }
}

/// Opens an index, compressed or not; `None` if it does not exist.
fn open(tree: &Tree, path: &str, budget: &Budget) -> io::Result<Option<Box<dyn BufRead>>> {
    let Some(file) = tree.open_file(path)? else {
        return Ok(None);
    };
    let mut file = BufReader::new(interrupt::Reader::new(file));
    let plain: Box<dyn Read> = match Compression::detect(file.fill_buf()?) {
        Some(how) => how.reader(file).map_err(io::Error::other)?,
        None => Box::new(file),
    };
    Ok(Some(Box::new(BufReader::new(Limited {
        inner: plain,
        budget: budget.clone(),
    }))))
}

fn each_primary(
    tree: &Tree,
    metadata: &str,
    budget: &Budget,
    offer: &mut dyn FnMut(&str, Archive),
) -> io::Result<()> {
    let is_one = |name: &String| name.contains("primary.xml");
    for name in tree.names(metadata)?.into_iter().filter(is_one).take(4) {
        if let Some(index) = open(tree, &format!("{metadata}/{name}"), budget)? {
            rpm_md::offered(index, offer)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
