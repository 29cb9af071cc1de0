//! Read access to the files of one half of an environment.
//!
//! [`BootFiles`] reads names and the beginnings of regular files only, so the boot rules are tested with a map in
//! memory and run on a [`Tree`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use crate::btrfs::content::{self, Content};
use crate::fs::path_error::is_system_error;
use crate::fs::rooted::Tree;

/// The largest text that is read, in bytes: larger than any command line, fstab or loader configuration.
const TEXT_LIMIT: usize = 1 << 20;

/// The largest directory that is listed: each entry may be read in turn, and may be a link to a directory with
/// thousands of others.
const NAMES: usize = 4096;

/// Read-only access to one half of an environment; paths are relative to its top.
pub trait BootFiles {
    /// Returns the names in a directory (`""` is the top), sorted; empty if it does not exist.
    fn names(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Returns the first `limit` bytes of a regular file; `None` if it does not exist.
    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Returns the length of a regular file in bytes; `None` if it does not exist.
    fn length(&self, path: &str) -> io::Result<Option<u64>>;

    /// Returns the identity of a regular file's content; `None` where it is not known without reading it.
    fn content(&self, _path: &str) -> Option<Content> {
        None
    }
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

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        Ok(Tree::metadata(self, path)?.map(|status| status.len()))
    }

    fn content(&self, path: &str) -> Option<Content> {
        content::content(&self.open_file(path).ok()??)
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

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        let bytes = self.get(path.trim_start_matches('/'));
        Ok(bytes.map(|bytes| bytes.len() as u64))
    }
}

/// A half as it would be after these files are written.
#[derive(Debug)]
pub struct Overlay<'a, F> {
    /// The half.
    pub files: &'a F,
    /// The files, by path.
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

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        match self.written.length(path)? {
            Some(length) => Ok(Some(length)),
            None => self.files.length(path),
        }
    }

    fn content(&self, path: &str) -> Option<Content> {
        match self.written.head(path, 0) {
            Ok(None) => self.files.content(path),
            _ => None,
        }
    }
}

impl<F: BootFiles + ?Sized> BootFiles for &F {
    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        (**self).names(dir)
    }

    fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        (**self).head(path, limit)
    }

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        (**self).length(path)
    }

    fn content(&self, path: &str) -> Option<Content> {
        (**self).content(path)
    }
}

/// Records I/O errors of the system, for rules that treat an unreadable file as missing.
///
/// Otherwise an environment whose initramfs could not be read because the disk failed would be set up to boot without
/// one.
#[derive(Debug)]
pub struct Watched<'a, F> {
    files: &'a F,
    failed: RefCell<Option<io::Error>>,
}

impl<'a, F: BootFiles> Watched<'a, F> {
    /// Wraps a half.
    pub fn new(files: &'a F) -> Self {
        Self {
            files,
            failed: RefCell::new(None),
        }
    }

    /// Returns the first error recorded since the last call.
    ///
    /// # Errors
    /// That error.
    pub fn ended(&self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn watch<T>(&self, path: &str, result: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &result
            && is_system_error(e)
        {
            let text = e.to_string();
            let text = match text.contains(path) {
                true => text,
                false => format!("{path}: {text}"),
            };
            let with_path = io::Error::new(e.kind(), text);
            self.failed.borrow_mut().get_or_insert(with_path);
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

    fn length(&self, path: &str) -> io::Result<Option<u64>> {
        self.watch(path, self.files.length(path))
    }

    fn content(&self, path: &str) -> Option<Content> {
        self.files.content(path)
    }
}

/// The state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Does not exist.
    Missing,
    /// An empty regular file.
    Empty,
    /// Not readable as a regular file, with the system's error.
    Unreadable(String),
    /// A regular file with content.
    There,
}

/// Returns the state of a file.
pub(crate) fn presence(files: &dyn BootFiles, path: &str) -> Presence {
    match files.head(path, 1) {
        Ok(None) => Presence::Missing,
        Ok(Some(bytes)) if bytes.is_empty() => Presence::Empty,
        Ok(Some(_)) => Presence::There,
        Err(e) => Presence::Unreadable(e.to_string()),
    }
}

/// Returns whether a path is a regular file with content.
pub(crate) fn is_there(files: &dyn BootFiles, path: &str) -> bool {
    presence(files, path) == Presence::There
}

/// Returns a text file's content; `None` if it does not exist, an error above 1 MiB or if not UTF-8.
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

        fn length(&self, path: &str) -> io::Result<Option<u64>> {
            self.head(path, 1).map(|_| None)
        }
    }

    #[test]
    fn read_errors_are_recorded() {
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
