//! The pool's cache of downloaded packages.
//!
//! A file is stored under the checksum of its content, returned only for that checksum, and verified again before. So
//! a node cannot supply packages to others: apt itself would accept a file of the right size in its archive directory.
//! apk's packages are not cached, because its index has another checksum. If the cache fails, packages are downloaded.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::fs::copy::Contents;
use crate::fs::dir_names::names_in;
use crate::fs::free_space::Sizes;
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;
use crate::fs::{atomic, interrupt, opener};
use crate::hex;
use crate::packages::{Archive, sha256};

/// After this time an unused package is deleted.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The divisor of the share of the filesystem that packages may use: a twentieth.
const SHARE: u64 = 20;

/// Maximum depth of directories: repositories may have subdirectories.
const DEPTH: usize = 8;

/// The most files that are examined after an upgrade: ten times those of a large one.
const FILES_MAX: usize = 1 << 16;

/// The cache of a pool.
#[derive(Debug)]
pub struct PackageCache {
    dir: PathBuf,
}

impl PackageCache {
    /// Returns the cache in a directory, which is created with the first package.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Returns whether the cache is empty.
    pub fn is_empty(&self) -> bool {
        names_in(&self.dir).is_ok_and(|names| names.is_empty())
    }

    /// Returns the disk space of its packages, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        let names = names_in(&self.dir)?;
        let blocks = |name: &String| self.dir.join(name).symlink_metadata().map(|m| m.blocks());
        Ok(names
            .iter()
            .filter_map(|name| blocks(name).ok())
            .sum::<u64>()
            * 512)
    }

    /// Returns the checksums of its packages.
    pub fn checksums(&self) -> io::Result<HashSet<[u8; 32]>> {
        let names = names_in(&self.dir)?;
        Ok(names.iter().filter_map(|name| sha256(name)).collect())
    }

    /// Copies a package to a directory under its own name, sharing extents; false if it is not cached.
    ///
    /// Its checksum is verified; a damaged one is removed.
    pub fn copy_to(&self, archive: &Archive, to: &Tree) -> io::Result<bool> {
        let path = self.dir.join(hex::digits(&archive.sha256));
        let Some(cached) = opener::file(&path)? else {
            return Ok(false);
        };
        if cached.metadata()?.len() != archive.size {
            return Ok(false);
        }
        if let Some((parent, _)) = archive.file.rsplit_once('/') {
            to.make_dirs(parent)?;
        }
        to.remove_file(&archive.file)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let copy = File::from(to.open_at(&archive.file, flags, Mode::from_bits_truncate(0o644))?);
        Contents::default().copy(&cached, &copy, archive.size, &mut |_| {})?;
        if checksum(&copy)? != archive.sha256 {
            to.remove_file(&archive.file)?;
            fs::remove_file(&path)?;
            return Ok(false);
        }
        // The time of its last use. A failure only makes it expire earlier.
        let _ = cached.set_modified(SystemTime::now());
        Ok(true)
    }

    /// Adds the packages in a directory that are not cached yet, and returns their number.
    ///
    /// Only regular files, of the paths that `wanted` accepts. Sparse files are skipped: no package is sparse, and an
    /// empty one may be of any length. Files above the size limit are not read.
    ///
    /// # Errors
    /// Also if the directory has more files than an upgrade leaves.
    pub fn add(&self, from: &Tree, mut wanted: impl FnMut(&str) -> bool) -> io::Result<usize> {
        let mut cached = 0;
        let mut size_limit = self.size_limit(from.path())?;
        let mut file_count = 0;
        let mut directories = vec![(String::new(), 0)];
        while let Some((directory, depth)) = directories.pop() {
            for name in from.names(&directory)? {
                interrupt::check_io()?;
                file_count += 1;
                if file_count > FILES_MAX {
                    return Err(io::Error::other(format!(
                        "the download directory has more than {FILES_MAX} files"
                    )));
                }
                let path = match directory.as_str() {
                    "" => name,
                    parent => format!("{parent}/{name}"),
                };
                let Ok(place) = from.open_without_links(&path, OFlag::O_PATH) else {
                    continue;
                };
                let place = File::from(place);
                let metadata = place.metadata()?;
                if metadata.is_dir() && depth < DEPTH {
                    directories.push((path, depth + 1));
                    continue;
                }
                if !(metadata.is_file() && is_package(&path) && wanted(&path)) {
                    continue;
                }
                let file = File::from(opener::reopen(&place, OFlag::O_RDONLY)?);
                let size = file.metadata()?.len();
                if size <= size_limit && !has_holes(&file.metadata()?) {
                    size_limit -= size;
                    atomic::directories(&self.dir)?;
                    cached += usize::from(self.add_file(&file, size)?);
                }
            }
        }
        if cached > 0 {
            self.expire()?;
        }
        Ok(cached)
    }

    /// Returns the size limit on the filesystem of a directory, in bytes.
    fn size_limit(&self, at: &Path) -> io::Result<u64> {
        Ok(Sizes::at(at)?.total / SHARE)
    }

    fn add_file(&self, file: &File, size: u64) -> io::Result<bool> {
        let staged = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.dir)?;
        Contents::default().copy(file, staged.as_file(), size, &mut |_| {})?;
        // The checksum of the copy, which cannot be changed any more.
        let path = self.dir.join(hex::digits(&checksum(staged.as_file())?));
        // One of another length is damaged, such as an empty one after a power cut.
        if path.metadata().is_ok_and(|there| there.len() == size) {
            return Ok(false);
        }
        staged.persist(path).map_err(|e| e.error)?;
        Ok(true)
    }

    /// Deletes packages unused for a month, then the least recently used ones above the limit.
    fn expire(&self) -> io::Result<()> {
        let most = self.size_limit(&self.dir)?;
        let now = SystemTime::now();
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let age = now.duration_since(metadata.modified()?).unwrap_or_default();
            all.push((age, metadata.len(), entry.path()));
        }
        all.sort();
        let mut total = 0;
        for (age, size, path) in all {
            total += size;
            if age > MAX_AGE || total > most {
                if_exists(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

/// Returns whether a file uses less space than its length: sparse, or compressed.
fn has_holes(found: &Metadata) -> bool {
    found.blocks().saturating_mul(512) < found.len()
}

fn is_package(name: &str) -> bool {
    name.ends_with(".deb")
        || name.ends_with(".rpm")
        || (name.contains(".pkg.tar.") && !name.ends_with(".sig"))
}

fn checksum(file: &File) -> io::Result<[u8; 32]> {
    use std::io::Seek;
    let mut file = file;
    file.rewind()?;
    let mut sum = Sha256::new();
    io::copy(&mut interrupt::Reader::new(file), &mut sum)?;
    Ok(sum.finalize().into())
}

#[cfg(test)]
mod tests;
