//! A directory tree as a value that two of can be compared.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Everything that has to arrive as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, i64),
    pub(crate) device: u64,
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The first name of a file that has several.
    pub(crate) same_as: Option<PathBuf>,
    /// Whether it takes less room than its size.
    pub(crate) has_holes: bool,
}

pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

/// Reads a tree; its top is the empty path.
pub(crate) fn read(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    let mut all = Vec::new();
    while let Some(path) = todo.pop() {
        let found = std::fs::symlink_metadata(top.join(&path)).unwrap();
        if found.is_dir() {
            for entry in std::fs::read_dir(top.join(&path)).unwrap() {
                todo.push(path.join(entry.unwrap().file_name()));
            }
        }
        all.push(path);
    }
    all.sort();
    for path in all {
        tree.insert(path.clone(), entry(top, &path, &mut first));
    }
    tree
}

fn entry(top: &Path, path: &Path, first: &mut BTreeMap<u64, PathBuf>) -> Entry {
    let full = top.join(path);
    let found = std::fs::symlink_metadata(&full).unwrap();
    let kind = found.file_type();
    let (kind, content) = if kind.is_dir() {
        ('d', Vec::new())
    } else if kind.is_symlink() {
        let target = std::fs::read_link(&full).unwrap();
        ('l', target.as_os_str().as_bytes().to_vec())
    } else if kind.is_char_device() {
        ('c', Vec::new())
    } else if kind.is_block_device() {
        ('b', Vec::new())
    } else if kind.is_fifo() {
        ('p', Vec::new())
    } else if kind.is_socket() {
        ('s', Vec::new())
    } else {
        assert!(kind.is_file(), "{full:?}");
        ('f', std::fs::read(&full).unwrap())
    };
    let same_as = (kind != 'd' && found.nlink() > 1)
        .then(|| first.entry(found.ino()).or_insert(path.into()).clone());
    let xattrs = xattr::list(&full)
        .unwrap()
        .map(|name| {
            let value = xattr::get(&full, &name).unwrap().unwrap();
            (name, value)
        })
        .collect();
    Entry {
        kind,
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        modified: (found.mtime(), found.mtime_nsec()),
        device: found.rdev(),
        has_holes: kind == 'f' && found.len() >= 1 << 20 && found.blocks() * 512 < found.len(),
        content,
        xattrs,
        same_as,
    }
}

/// Takes what lies below a directory out of a tree, as a tree of its own; the directory itself stays.
pub(crate) fn take(tree: &mut Tree, directory: &str) -> Tree {
    let mut taken = Tree::new();
    let top = Path::new(directory);
    let inner = |e: &Entry| {
        let mut e = e.clone();
        e.same_as = e
            .same_as
            .and_then(|p| p.strip_prefix(top).map(Path::to_path_buf).ok());
        e
    };
    for (path, entry) in tree.iter() {
        if let Ok(below) = path.strip_prefix(top) {
            taken.insert(below.to_path_buf(), inner(entry));
        }
    }
    tree.retain(|path, _| path == top || !path.starts_with(top));
    taken
}

/// Insists that two trees are equal, and names the first differences.
pub(crate) fn assert_same(expected: &Tree, found: &Tree) {
    let mut differences = Vec::new();
    for path in expected.keys().chain(found.keys()) {
        let (one, other) = (expected.get(path), found.get(path));
        if one != other {
            differences.push(format!("{path:?}:\n  {}\n  {}", brief(one), brief(other)));
        }
    }
    differences.dedup();
    differences.truncate(8);
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn brief(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "nothing".into();
    };
    let mut short = entry.clone();
    let length = short.content.len();
    short.content.truncate(20);
    format!("{length} bytes {short:?}")
}
