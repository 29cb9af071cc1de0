//! Where subvolumes stand.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Subvolume;

/// The inode number of every subvolume's top directory (`BTRFS_FIRST_FREE_OBJECTID`, linux/btrfs_tree.h).
const TOP: u64 = 256;

/// How many subvolumes a path is followed through: no deeper one could be opened.
const DEPTH: usize = 2048;

/// Returns the path of each subvolume below the directory `top` is open on; `None` for those that are not below it.
///
/// Of one that stands in another below, only the path of that other is sure.
pub(super) fn below(top: &File, subvolumes: &[Subvolume]) -> io::Result<Vec<Option<PathBuf>>> {
    let (tree, _) = lookup(top, 0, TOP)?;
    let (_, prefix) = lookup(top, tree, top.metadata()?.ino())?;
    let numbered = subvolumes.iter().enumerate();
    let mut places = Places {
        top,
        subvolumes,
        by_number: numbered.map(|(i, one)| (one.id, i)).collect(),
        directories: HashMap::new(),
        known: HashMap::from([(tree, Some(PathBuf::new()))]),
    };
    let path = |one: &Subvolume| {
        let path = places.path(one.id, DEPTH)?;
        (one.id != tree).then_some(())?;
        Some(path.strip_prefix(&prefix).ok()?.to_path_buf())
    };
    Ok(subvolumes.iter().map(path).collect())
}

struct Places<'a> {
    top: &'a File,
    subvolumes: &'a [Subvolume],
    by_number: HashMap<u64, usize>,
    /// Paths of directories in their subvolumes, by its number and theirs.
    directories: HashMap<(u64, u64), PathBuf>,
    /// Paths of subvolumes from the top of the one `top` lies in; `None` for those that stand elsewhere.
    known: HashMap<u64, Option<PathBuf>>,
}

impl Places<'_> {
    fn path(&mut self, id: u64, depth: usize) -> Option<PathBuf> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let path = match depth {
            0 => None,
            _ => self.climb(id, depth - 1),
        };
        self.known.insert(id, path.clone());
        path
    }

    fn climb(&mut self, id: u64, depth: usize) -> Option<PathBuf> {
        let one = &self.subvolumes[*self.by_number.get(&id)?];
        let place = one.stands_in.as_ref()?;
        let above = self.path(place.subvolume, depth)?;
        let (top, key) = (self.top, (place.subvolume, place.directory));
        let directory = self.directories.entry(key).or_insert_with(|| {
            // Too long a path, in what an untrusted system has made; whose it is, the one it stands in says.
            lookup(top, key.0, key.1).map_or_else(|_| PathBuf::new(), |(_, path)| path)
        });
        Some(above.join(directory).join(&place.name))
    }
}

/// `struct btrfs_ioctl_ino_lookup_args` of linux/btrfs.h.
#[repr(C)]
struct Lookup {
    tree: u64,
    inode: u64,
    name: [u8; 4080],
}

const _: () = assert!(size_of::<Lookup>() == 4096);

mod call {
    use super::Lookup;

    nix::ioctl_readwrite!(ino_lookup, 0x94, 18, Lookup);
}

/// Returns the path of a directory in a subvolume, and the subvolume's number; number 0 for that of `top`.
#[allow(unsafe_code)]
fn lookup(top: &File, tree: u64, inode: u64) -> io::Result<(u64, PathBuf)> {
    let mut lookup = Box::new(Lookup {
        tree,
        inode,
        name: [0; 4080],
    });
    // SAFETY: the descriptor is open for the call's time, and Lookup has the layout and size (asserted above) that
    // the kernel reads and writes; it keeps no pointer.
    unsafe { call::ino_lookup(top.as_raw_fd(), &raw mut *lookup) }?;
    let end = lookup.name.iter().position(|b| *b == 0);
    let name = lookup.name[..end.unwrap_or_default()].to_vec();
    Ok((lookup.tree, PathBuf::from(OsString::from_vec(name))))
}
