//! A directory tree, file by file, to see whether a command changed it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::{fmt, fs, io};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// A tree's paths, each with type, mode, owner, link count, size, content and extended attributes.
///
/// Times are left out: they change when nothing else does. Subvolumes and mounts below are part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Takes the fingerprint of everything below a directory, itself included.
    pub fn of(directory: &Path) -> Self {
        let mut entries = BTreeMap::new();
        visit(directory, directory, &mut entries);
        Self(entries)
    }

    /// Returns the fingerprint without the paths that start with one of these (`"pool.json"`, `"nodes/nog"`).
    #[must_use]
    pub fn without(mut self, prefixes: &[&str]) -> Self {
        self.0
            .retain(|path, _| !prefixes.iter().any(|prefix| path.starts_with(prefix)));
        self
    }

    /// Returns both, the other one's paths below a name.
    #[must_use]
    pub fn with(mut self, name: &str, other: Self) -> Self {
        let paths = other.0.into_iter();
        self.0
            .extend(paths.map(|(path, what)| (format!("{name}/{path}"), what)));
        self
    }

    /// Returns what differs, a line each: `- path …` as it was, `+ path …` as it is.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let gone = self
            .0
            .iter()
            .filter(|(path, what)| after.0.get(*path) != Some(what))
            .map(|(path, what)| (path, format!("- {path} {what}")));
        let come = after
            .0
            .iter()
            .filter(|(path, what)| self.0.get(*path) != Some(what))
            .map(|(path, what)| (path, format!("+ {path} {what}")));
        let mut lines: Vec<_> = gone.chain(come).collect();
        // Stable, so that a path's minus stays before its plus.
        lines.sort_by_key(|(path, _)| (*path).clone());
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Fails the test when the tree is not what it was.
    ///
    /// # Panics
    ///
    /// When anything differs.
    pub fn assert_unchanged(&self, after: &Self) {
        let changes = self.changes(after);
        assert!(changes.is_empty(), "changed:\n{}", changes.join("\n"));
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, what) in &self.0 {
            writeln!(f, "{path} {what}")?;
        }
        Ok(())
    }
}

fn visit(top: &Path, path: &Path, entries: &mut BTreeMap<String, String>) {
    let name = path.strip_prefix(top).expect("the walk goes down");
    entries.insert(name.to_string_lossy().into_owned(), describe(path));
    let is_directory = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    if is_directory {
        for entry in fs::read_dir(path).expect("root may read a directory") {
            visit(
                top,
                &entry.expect("a directory can be read").path(),
                entries,
            );
        }
    }
}

/// Returns what a file is: its type, mode and owner; of a file then its link count, size and content; extended attributes.
pub fn describe(path: &Path) -> String {
    let meta = path
        .symlink_metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kind = meta.file_type();
    let mut text = format!("{:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid());
    if kind.is_dir() {
        // Neither size nor link count of a directory says anything on btrfs.
        text.insert_str(0, "directory ");
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("a link can be read");
        return format!("link to {}", target.display());
    } else if kind.is_file() {
        let content = content(path).expect("root may read a file");
        let _ = write!(text, " {}x {} {content:08x}", meta.nlink(), meta.len());
        text.insert_str(0, "file ");
    } else if kind.is_block_device() || kind.is_char_device() {
        let _ = write!(text, " device {:x} {kind:?}", meta.rdev());
    } else {
        let _ = write!(text, " {kind:?}");
    }
    let mut names: Vec<_> = xattr::list(path).into_iter().flatten().collect();
    names.sort();
    for name in names {
        let value = xattr::get(path, &name).ok().flatten().unwrap_or_default();
        let _ = write!(text, " {}={:x}", name.to_string_lossy(), hash(&value));
    }
    text
}

/// Returns a checksum of a file, by what is not zero in it and where that is: the image of a disk is nearly all holes.
fn content(path: &Path) -> io::Result<u32> {
    let file = File::open(path)?;
    let end = i64::try_from(file.metadata()?.len()).expect("a length of a file");
    let mut checksum = flate2::Crc::new();
    let mut block = vec![0; 1 << 16];
    let mut from = 0;
    while from < end {
        from = match lseek(&file, from, Whence::SeekData) {
            // A block may begin before what is written.
            Ok(data) => data - data % (1 << 16),
            Err(Errno::ENXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let offset = u64::try_from(from).expect("a place in a file");
        let read = read_at(&file, &mut block, offset)?;
        let written = block[..read].iter().rposition(|byte| *byte != 0);
        if let Some(last) = written {
            checksum.update(&offset.to_le_bytes());
            checksum.update(&block[..=last]);
        }
        from += 1 << 16;
    }
    Ok(checksum.sum())
}

/// Reads from a place until the buffer is full, or the file has no more.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// Returns a checksum; that of a crate which is optimised in tests too, for there is much to read.
fn hash(bytes: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    checksum.sum()
}
