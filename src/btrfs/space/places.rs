//! Paths of subvolumes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Subvolume;

/// Inode number of the top directory of a subvolume (`BTRFS_FIRST_FREE_OBJECTID`, linux/btrfs_tree.h).
const TOP: u64 = 256;

/// Maximum nesting: a deeper path cannot be opened.
const DEPTH: usize = 2048;

/// Returns each subvolume's path below the directory of `top`; `None` for those elsewhere.
///
/// Of nested subvolumes, only the path of the outermost is reliable.
pub(super) fn below(top: &File, subvolumes: &[Subvolume]) -> io::Result<Vec<Option<PathBuf>>> {
    let (tree, _) = lookup(top, 0, TOP)?;
    let (_, prefix) = lookup(top, tree, top.metadata()?.ino())?;
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
            lookup(top, key.0, key.1).map_or_else(|_| PathBuf::new(), |(_, path)| path)
        });
        Some(parent.join(directory).join(&location.name))
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

/// Returns a directory's path in a subvolume, and the subvolume's ID; ID 0 is that of `top`.
#[allow(unsafe_code)]
fn lookup(top: &File, tree: u64, inode: u64) -> io::Result<(u64, PathBuf)> {
    let mut lookup = Box::new(Lookup {
        tree,
        inode,
        name: [0; 4080],
    });
    // SAFETY: the descriptor is open during the call, and Lookup has the layout and size (asserted above) that
    // the kernel reads and writes; it keeps no pointer.
    unsafe { call::ino_lookup(top.as_raw_fd(), &raw mut *lookup) }?;
    let end = lookup.name.iter().position(|b| *b == 0);
    let name = lookup.name[..end.unwrap_or_default()].to_vec();
    Ok((lookup.tree, PathBuf::from(OsString::from_vec(name))))
}
