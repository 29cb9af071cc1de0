//! The files of a subvolume that have attributes of chattr(1), found without opening any.
//!
//! `btrfs send` does not send them. Not for setting them: that is `fs::file_flags`.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::changed_since::Paths;
use super::tree_search::inodes;
use super::tree_search::items::INODE_ITEM;
use super::tree_search::{Key, OWN_TREE, Search, Wanted};

/// Flags `BTRFS_INODE_*` of btrfs_tree.h that users set, each with its letter of chattr(1); the kernel sets that of no
/// compression too, if a file cannot be compressed.
const LETTERS: [(u64, char); 8] = [
    (1 << 1, 'C'),
    (1 << 5, 'S'),
    (1 << 6, 'i'),
    (1 << 7, 'a'),
    (1 << 8, 'd'),
    (1 << 9, 'A'),
    (1 << 10, 'D'),
    (1 << 11, 'c'),
];

/// A file with attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    /// Its path in the subvolume.
    pub path: PathBuf,
    /// Its attributes, as lsattr(1) prints them.
    pub letters: String,
}

impl fmt::Display for Attributed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (+{})", self.path.display(), self.letters)
    }
}

/// Returns how many files of a subvolume have attributes, and the first `most` of them.
pub fn attributed(top: &impl AsFd, most: usize) -> io::Result<(usize, Vec<Attributed>)> {
    let wanted = Wanted {
        tree: OWN_TREE,
        from: Key::FIRST,
        to: Key::LAST,
        after: 0,
        kinds: &[INODE_ITEM],
    };
    let (mut count, mut numbers) = (0, Vec::new());
    for item in Search::new(top, wanted) {
        let item = item?;
        let letters = inodes::inode(&item.bytes).map_or_else(String::new, |i| letters(i.flags));
        if letters.is_empty() {
            continue;
        }
        count += 1;
        if numbers.len() < most {
            numbers.push((item.key.objectid, letters));
        }
    }
    let mut paths = Paths::new(top);
    let mut first = Vec::new();
    for (number, letters) in numbers {
        // A file without a path was deleted while it is open.
        let path = paths.paths(number)?.into_iter().next();
        first.extend(path.map(|path| Attributed { path, letters }));
    }
    Ok((count, first))
}

fn letters(flags: u64) -> String {
    let set = LETTERS.iter().filter(|(bit, _)| flags & bit != 0);
    set.map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_the_letters_of_lsattr_without_those_set_by_the_kernel() {
        assert_eq!(letters(0), "");
        assert_eq!(letters(1 | 1 << 3 | 1 << 4), "");
        assert_eq!(letters(1 | 1 << 1 | 1 << 6), "Ci");
    }
}
