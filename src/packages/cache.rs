//! Packages that were downloaded once, kept for the next node that wants them.
//!
//! Every file lies under the checksum of its content and is given out only to who asks for that checksum,
//! and only after it was verified again. So what one node puts here another never gets unless its own,
//! verified package index names exactly that content: apt itself believes a file in its archive of which
//! only the size is right. Not for apk's packages, which its index knows by another checksum. A cache: whatever is
//! wrong with it, packages are downloaded instead.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::fs::copy::Contents;
use crate::fs::dir_names::names_in;
use crate::fs::rooted::Tree;
use crate::fs::{atomic, interrupt, opener};
use crate::packages::{Archive, sha256};

/// How long a package that nobody wants is kept.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The part of the filesystem's size that packages may take: one in so many.
const SHARE: u64 = 20;

/// How deep packages are looked for: repositories have directories of their own in them.
const DEPTH: usize = 8;

/// The most files that are looked at of one upgrade: ten times the packages of a large one.
const NAMES: usize = 1 << 16;

/// The pool's packages.
#[derive(Debug)]
pub struct PackageCache {
    dir: PathBuf,
}

impl PackageCache {
    /// Returns the cache in a directory; nothing is made before there is something to keep.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        names_in(&self.dir).is_ok_and(|names| names.is_empty())
    }

    /// Returns the checksums of what is in it.
    pub fn checksums(&self) -> io::Result<HashSet<[u8; 32]>> {
        let names = names_in(&self.dir)?;
        Ok(names.iter().filter_map(|name| sha256(name)).collect())
    }

    /// Puts a package into a directory under its own name, sharing the space; false where it is not here.
    ///
    /// Verified byte for byte; one that is damaged is not here.
    pub fn give(&self, archive: &Archive, to: &Tree) -> io::Result<bool> {
        let path = self.dir.join(hex(&archive.sha256));
        let Some(kept) = opener::file(&path)? else {
            return Ok(false);
        };
        if kept.metadata()?.len() != archive.size {
            return Ok(false);
        }
        if let Some((above, _)) = archive.file.rsplit_once('/') {
            to.make_dirs(above)?;
        }
        to.remove_file(&archive.file)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let copy = File::from(to.open_at(&archive.file, flags, Mode::from_bits_truncate(0o644))?);
        Contents::default().copy(&kept, &copy, archive.size, &mut |_| {})?;
        if checksum(&copy)? != archive.sha256 {
            to.remove_file(&archive.file)?;
            fs::remove_file(&path)?;
            return Ok(false);
        }
        // When it was last wanted. One that cannot be marked is merely forgotten earlier.
        let _ = kept.set_modified(SystemTime::now());
        Ok(true)
    }

    /// Keeps the packages in a directory that are not here yet, and returns how many those were.
    ///
    /// Only regular files are looked at, whatever the directory holds; those whose path beneath it `wanted` says. None
    /// with holes is kept: no package has any, and one of nothing else is as long as somebody likes. Nor more than there
    /// is room for: what would be forgotten at once is not read.
    ///
    /// # Errors
    /// Also where the directory holds more than any upgrade leaves.
    pub fn keep(&self, from: &Tree, mut wanted: impl FnMut(&str) -> bool) -> io::Result<usize> {
        let mut kept = 0;
        let mut room = self.room(from.path())?;
        let mut looked_at = 0;
        let mut directories = vec![(String::new(), 0)];
        while let Some((directory, depth)) = directories.pop() {
            for name in from.names(&directory)? {
                interrupt::check_io()?;
                looked_at += 1;
                if looked_at > NAMES {
                    return Err(io::Error::other(format!(
                        "there are more than {NAMES} files where packages are downloaded to"
                    )));
                }
                let path = match directory.as_str() {
                    "" => name,
                    above => format!("{above}/{name}"),
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
                if size <= room && !has_holes(&file.metadata()?) {
                    room -= size;
                    atomic::directories(&self.dir)?;
                    kept += usize::from(self.keep_one(&file, size)?);
                }
            }
        }
        if kept > 0 {
            self.forget()?;
        }
        Ok(kept)
    }

    /// Returns how much the cache may hold on the filesystem of a directory, in bytes.
    fn room(&self, at: &Path) -> io::Result<u64> {
        let found = nix::sys::statvfs::statvfs(at)?;
        Ok(found.blocks() * found.fragment_size() / SHARE)
    }

    fn keep_one(&self, file: &File, size: u64) -> io::Result<bool> {
        let staged = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.dir)?;
        Contents::default().copy(file, staged.as_file(), size, &mut |_| {})?;
        // Of the copy: nobody can change that.
        let path = self.dir.join(hex(&checksum(staged.as_file())?));
        // One of another length is damaged: after a power cut it can be there with nothing in it.
        if path.metadata().is_ok_and(|there| there.len() == size) {
            return Ok(false);
        }
        staged.persist(path).map_err(|e| e.error)?;
        Ok(true)
    }

    /// Deletes what nobody has wanted for a month, then what was wanted longest ago while it is too much.
    fn forget(&self) -> io::Result<()> {
        let most = self.room(&self.dir)?;
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
                match fs::remove_file(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Returns whether less of a file is on the disk than it is long; compressed or not, which is not seen here.
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
    let mut buffer = vec![0; 1 << 18];
    loop {
        interrupt::check_io()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sum.finalize().into()),
            Ok(length) => sum.update(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
