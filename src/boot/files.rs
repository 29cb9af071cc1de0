//! The files of one half of an environment, as far as this room looks at them.
//!
//! [`BootFiles`] reads names and the beginnings of regular files, and nothing else, so that the rules
//! about booting are tried on a map in memory and run on a [`Tree`]. Not for writing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use crate::fs::path_error::is_system_error;
use crate::fs::rooted::Tree;

/// The largest text read here, in bytes: no command line, fstab or loader configuration comes near it.
const TEXT_LIMIT: usize = 1 << 20;

/// The most names a directory may have that is looked at here: each of them may be looked into, and a node can have a link
/// from each to the same thousands of others.
const NAMES: usize = 4096;

/// A read-only view of one half of an environment; paths are relative to its top.
pub trait BootFiles {
    /// Returns the names in a directory (`""` is the top), sorted; empty where there is none.
    fn names(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Returns the first `limit` bytes of a regular file; `None` where there is nothing.
    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;
}

impl BootFiles for Tree {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let names = Tree::names(self, dir)?;
        match names.len() > NAMES {
            true => Err(io::Error::other(format!(
                "{} holds more than {NAMES} names",
                self.path().join(dir.trim_start_matches('/')).display()
            ))),
            false => Ok(names),
        }
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        Tree::head(self, path, limit)
    }
}

impl BootFiles for BTreeMap<String, Vec<u8>> {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = dir.trim_matches('/');
        let mut names: Vec<String> = self
            .keys()
            .filter_map(|path| match dir {
                "" => Some(path.as_str()),
                _ => path.strip_prefix(dir)?.strip_prefix('/'),
            })
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_string)
            .collect();
        names.dedup();
        Ok(names)
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self
            .get(path.trim_start_matches('/'))
            .map(|bytes| bytes[..bytes.len().min(limit)].to_vec()))
    }
}

/// A half as it would be with these files written into it, by their paths.
#[derive(Debug)]
pub struct Overlay<'a, F> {
    /// What is there.
    pub files: &'a F,
    /// What is written.
    pub written: &'a BTreeMap<String, Vec<u8>>,
}

impl<F: BootFiles> BootFiles for Overlay<'_, F> {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = self.files.names(dir)?;
        names.extend(self.written.names(dir)?);
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self.written.head(path, limit)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.files.head(path, limit),
        }
    }
}

/// A half that is looked at by who takes what cannot be read for what is not there: whether anything could not.
///
/// Rules go on without a file they can do without. Where the disk failed that would be wrong: an environment
/// whose initramfs could not be read for a moment would be made to boot without one.
#[derive(Debug)]
pub struct Watched<'a, F> {
    files: &'a F,
    failed: RefCell<Option<io::Error>>,
}

impl<'a, F: BootFiles> Watched<'a, F> {
    /// Begins to watch.
    pub fn new(files: &'a F) -> Self {
        Self {
            files,
            failed: RefCell::new(None),
        }
    }

    /// Returns the first failure of the machine since the last time it was asked.
    ///
    /// # Errors
    /// That one.
    pub fn ended(&self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn watch<T>(&self, path: &str, result: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &result
            && is_system_error(e)
        {
            let said = e.to_string();
            let said = match said.contains(path) {
                true => said,
                false => format!("{path}: {said}"),
            };
            let again = io::Error::new(e.kind(), said);
            self.failed.borrow_mut().get_or_insert(again);
        }
        result
    }
}

impl<F: BootFiles> BootFiles for Watched<'_, F> {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        self.watch(dir, self.files.names(dir))
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.watch(path, self.files.head(path, limit))
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nothing.
    Missing,
    /// A regular file without a byte in it.
    Empty,
    /// Something that cannot be read as a regular file, with the system's words.
    Unreadable(String),
    /// A regular file with content.
    There,
}

/// Returns what stands at a path.
pub(crate) fn presence(files: &dyn BootFiles, path: &str) -> Presence {
    match files.head(path, 1) {
        Ok(None) => Presence::Missing,
        Ok(Some(bytes)) if bytes.is_empty() => Presence::Empty,
        Ok(Some(_)) => Presence::There,
        Err(e) => Presence::Unreadable(e.to_string()),
    }
}

/// Returns whether a regular file with content stands at a path.
pub(crate) fn is_there(files: &dyn BootFiles, path: &str) -> bool {
    presence(files, path) == Presence::There
}

/// Returns a text file's content; `None` where there is nothing, an error past 1 MiB or outside UTF-8.
pub(crate) fn text(files: &dyn BootFiles, path: &str) -> io::Result<Option<String>> {
    let Some(bytes) = files.head(path, TEXT_LIMIT + 1)? else {
        return Ok(None);
    };
    if bytes.len() > TEXT_LIMIT {
        return Err(io::Error::other(format!("{path} is larger than 1 MiB")));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| io::Error::other(format!("{path} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_lists_its_directories() {
        let files: BTreeMap<String, Vec<u8>> = ["a", "d/x", "d/y/z", "e"]
            .iter()
            .map(|p| ((*p).to_string(), b"1".to_vec()))
            .collect();
        assert_eq!(files.names("").unwrap(), ["a", "d", "e"]);
        assert_eq!(BootFiles::names(&files, "d").unwrap(), ["x", "y"]);
        assert!(files.names("nothing").unwrap().is_empty());
        assert_eq!(files.head("d/x", 9).unwrap().unwrap(), b"1");
        assert_eq!(presence(&files, "nothing"), Presence::Missing);
    }

    #[derive(Debug)]
    struct Failing;

    impl BootFiles for Failing {
        fn names(&self, _: &str) -> io::Result<Vec<String>> {
            Err(io::Error::from_raw_os_error(nix::libc::ENOTDIR))
        }

        fn head(&self, _: &str, _: usize) -> io::Result<Option<Vec<u8>>> {
            Err(io::Error::from_raw_os_error(nix::libc::EIO))
        }
    }

    #[test]
    fn what_could_not_be_read_is_remembered() {
        let watched = Watched::new(&Failing);
        assert!(watched.names("").is_err());
        watched.ended().unwrap();
        assert!(!is_there(&watched, "initrd.img"));
        watched.ended().unwrap_err();
        watched.ended().unwrap();
    }

    #[test]
    fn a_tree_is_read_the_same_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/x"), "12345").unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let files: &dyn BootFiles = &tree;
        assert_eq!(files.names("").unwrap(), ["d", "empty"]);
        assert_eq!(files.head("d/x", 3).unwrap().unwrap(), b"123");
        assert_eq!(presence(files, "empty"), Presence::Empty);
        assert!(matches!(presence(files, "d"), Presence::Unreadable(_)));
        assert_eq!(text(files, "d/x").unwrap().unwrap(), "12345");
    }
}
