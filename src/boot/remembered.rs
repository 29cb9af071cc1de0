//! A cache in front of one half: each file is read once.
//!
//! Not for files that change meanwhile, nor for the content of large ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use super::BootFiles;
use crate::btrfs::content::Content;

/// The largest beginning of a file that is remembered, in bytes.
const REMEMBERED: usize = 1 << 20;

/// The beginning of a file; `None` if it does not exist.
type Head = Option<Vec<u8>>;

/// Caches reads: the same files are read for each of the machines that a node may be.
#[derive(Debug)]
pub struct Remembered<F> {
    files: F,
    names: RefCell<BTreeMap<String, Vec<String>>>,
    heads: RefCell<BTreeMap<(String, usize), Head>>,
    lengths: RefCell<BTreeMap<String, Option<u64>>>,
}

impl<F: BootFiles> Remembered<F> {
    /// Wraps a half.
    pub fn new(files: F) -> Self {
        Self {
            files,
            names: RefCell::default(),
            heads: RefCell::default(),
            lengths: RefCell::default(),
        }
    }
}

/// Returns the cached result for a file, or reads it and caches the result; an error is not cached.
fn remembered<K: Ord, V: Clone>(
    known: &RefCell<BTreeMap<K, V>>,
    key: K,
    read: impl FnOnce() -> io::Result<V>,
) -> io::Result<V> {
    if let Some(known) = known.borrow().get(&key) {
        return Ok(known.clone());
    }
    let found = read()?;
    known.borrow_mut().insert(key, found.clone());
    Ok(found)
}

impl<F: BootFiles> BootFiles for Remembered<F> {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        remembered(&self.names, dir.to_string(), || self.files.names(dir))
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match limit {
            ..=REMEMBERED => remembered(&self.heads, (path.to_string(), limit), || {
                self.files.head(path, limit)
            }),
            _ => self.files.head(path, limit),
        }
    }

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        remembered(&self.lengths, path.to_string(), || self.files.length(path))
    }

    fn content(&self, path: &str) -> Option<Content> {
        self.files.content(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::rooted::Tree;

    #[test]
    fn a_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.txt");
        std::fs::write(&path, "12345").unwrap();
        let files = Remembered::new(Tree::open(dir.path()).unwrap());
        for _ in 0..2 {
            assert_eq!(files.names("").unwrap(), ["config.txt"]);
            assert_eq!(files.head("config.txt", 3).unwrap().unwrap(), b"123");
            assert_eq!(files.head("none", 3).unwrap(), None);
            assert_eq!(files.length("config.txt").unwrap(), Some(5));
            let _ = std::fs::remove_file(&path);
        }
        assert_eq!(files.head("config.txt", REMEMBERED + 1).unwrap(), None);
    }
}
