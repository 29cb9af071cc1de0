//! Paths of subvolumes.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Subvolume;
use crate::btrfs::subvolume::identity::directory_path;

/// Inode number of the top directory of a subvolume (`BTRFS_FIRST_FREE_OBJECTID`, linux/btrfs_tree.h).
const TOP: u64 = 256;

/// Maximum nesting: a deeper path cannot be opened.
const DEPTH: usize = 2048;

/// Returns each subvolume's path below the directory of `top`; `None` for those elsewhere.
///
/// Of nested subvolumes, only the path of the outermost is reliable.
pub(super) fn below(top: &File, subvolumes: &[Subvolume]) -> io::Result<Vec<Option<PathBuf>>> {
    let (tree, _) = directory_path(top, 0, TOP)?;
    let (_, prefix) = directory_path(top, tree, top.metadata()?.ino())?;
    let numbered = subvolumes.iter().enumerate();
    let mut paths = Paths {
        top,
        subvolumes,
        by_number: numbered.map(|(i, one)| (one.id, i)).collect(),
        directories: HashMap::new(),
        known: HashMap::from([(tree, Some(PathBuf::new()))]),
    };
    let path = |one: &Subvolume| {
        let path = paths.path(one.id, DEPTH)?;
        (one.id != tree).then_some(())?;
        Some(path.strip_prefix(&prefix).ok()?.to_path_buf())
    };
    Ok(subvolumes.iter().map(path).collect())
}

struct Paths<'a> {
    top: &'a File,
    subvolumes: &'a [Subvolume],
    by_number: HashMap<u64, usize>,
    /// Paths of directories in their subvolumes, by subvolume ID and inode number.
    directories: HashMap<(u64, u64), PathBuf>,
    /// Paths of subvolumes from the top of that of `top`; `None` for those elsewhere.
    known: HashMap<u64, Option<PathBuf>>,
}

impl Paths<'_> {
    fn path(&mut self, id: u64, depth: usize) -> Option<PathBuf> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let path = match depth {
            0 => None,
            _ => self.resolve(id, depth - 1),
        };
        self.known.insert(id, path.clone());
        path
    }

    fn resolve(&mut self, id: u64, depth: usize) -> Option<PathBuf> {
        let one = &self.subvolumes[*self.by_number.get(&id)?];
        let location = one.location.as_ref()?;
        let parent = self.path(location.subvolume, depth)?;
        let (top, key) = (self.top, (location.subvolume, location.directory));
        let directory = self.directories.entry(key).or_insert_with(|| {
            // The path may be too long, in an untrusted system; the parent still tells the owner.
            directory_path(top, key.0, key.1).map_or_else(|_| PathBuf::new(), |(_, path)| path)
        });
        Some(parent.join(directory).join(&location.name))
    }
}
