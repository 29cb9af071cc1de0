//! Nested subvolumes, from the root tree, and their parent directories.
//!
//! A node can make a subvolume at a path longer than system calls accept. So directories are opened by inode number
//! (`open_by_handle_at(2)`), and paths are for messages only. Requires `CAP_SYS_ADMIN` and `CAP_DAC_READ_SEARCH`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use super::{SUBVOLUME_INODE, call_error, info, opener};
use crate::btrfs::tree_search::items::{self, INODE_EXTREF, INODE_ITEM, INODE_REF, array, word};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// The root tree (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// Location of a subvolume, under its own ID, and under its parent's.
const ROOT_BACKREF: u8 = 144;
const ROOT_REF: u8 = 156;

/// The most nested subvolumes that are listed.
const NESTED_MAX: usize = 1 << 20;
/// Longest path for messages, in bytes.
const PATH_SHOWN: usize = 16 << 10;

/// A nested subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// ID.
    pub id: u64,
    /// ID of its parent subvolume.
    pub parent: u64,
    /// Inode number of its parent directory.
    pub directory: u64,
    /// Name.
    pub name: OsString,
    /// Path from the outermost subvolume, for messages: a very long one begins with `…`.
    pub path: PathBuf,
}

/// Returns the subvolumes nested in the one at `path`, sorted by path.
pub fn nested(path: &Path) -> io::Result<Vec<Nested>> {
    let context = |e| call_error("cannot list subvolumes in", path, e);
    let top = opener::directory(path).map_err(context)?;
    let mut found = below(&top, info(path)?.id).map_err(context)?;
    let mut paths: HashMap<u64, PathBuf> = HashMap::new();
    for one in &mut found {
        let parent = paths.get(&one.parent).cloned().unwrap_or_default();
        let directory = path_of(&top, one.parent, one.directory).map_err(context)?;
        one.path = join(&parent, &directory).join(&one.name);
        paths.insert(one.id, one.path.clone());
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Joins two paths; of a very long one, only the end.
fn join(parent: &Path, directory: &Path) -> PathBuf {
    match parent.as_os_str().len() + directory.as_os_str().len() > PATH_SHOWN {
        true => Path::new("…").join(directory.file_name().unwrap_or_default()),
        false => parent.join(directory),
    }
}

/// Returns the subvolumes nested in one, by ID, parents first; without paths.
pub(super) fn below(on: &impl AsFd, id: u64) -> io::Result<Vec<Nested>> {
    let mut found: Vec<Nested> = Vec::new();
    let mut seen = HashSet::from([id]);
    let mut at = id;
    let mut next = 0;
    loop {
        for inner in references(on, at, ROOT_REF)? {
            // Skips loops, which only a damaged tree has.
            if seen.insert(inner.id) {
                found.push(inner);
            }
        }
        if found.len() > NESTED_MAX {
            return Err(io::Error::other(format!(
                "there are more than {NESTED_MAX} subvolumes"
            )));
        }
        let Some(inner) = found.get(next) else {
            return Ok(found);
        };
        at = inner.id;
        next += 1;
    }
}

/// Returns a subvolume's location; `None` if the ID does not exist.
pub(super) fn find(on: &impl AsFd, id: u64) -> io::Result<Option<Nested>> {
    Ok(references(on, id, ROOT_BACKREF)?.into_iter().next())
}

fn references(on: &impl AsFd, id: u64, kind: u8) -> io::Result<Vec<Nested>> {
    let wanted = Wanted {
        tree: ROOT_TREE,
        from: Key::new(id, kind, 0),
        to: Key::new(id, kind, u64::MAX),
        ..Wanted::all(&[ROOT_BACKREF, ROOT_REF])
    };
    let mut found = Vec::new();
    Search::new(on, wanted)
        .uninterruptible()
        .each(wanted, |item| {
            let other = item.key.offset;
            let (id, parent) = match kind {
                ROOT_REF => (other, id),
                _ => (id, other),
            };
            found.push(reference(id, parent, item.bytes).ok_or_else(malformed)?);
            Ok(found.len() <= NESTED_MAX)
        })?;
    Ok(found)
}

/// Parses `struct btrfs_root_ref` of linux/btrfs_tree.h.
fn reference(id: u64, parent: u64, bytes: &[u8]) -> Option<Nested> {
    const NAME: usize = 18;
    let length = usize::from(u16::from_le_bytes(array(bytes, 16)?));
    let name = bytes.get(NAME..NAME + length)?;
    let bare = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
    Some(Nested {
        id,
        parent,
        directory: word(bytes, 0)?,
        name: OsString::from_vec(bare.then(|| name.to_vec())?),
        path: PathBuf::new(),
    })
}

/// Returns the path of a directory in a subvolume; a very long one without its beginning.
fn path_of(on: &impl AsFd, subvolume: u64, directory: u64) -> io::Result<PathBuf> {
    let mut names: Vec<OsString> = Vec::new();
    let (mut at, mut length) = (directory, 0);
    while at != SUBVOLUME_INODE && length < PATH_SHOWN {
        crate::fs::interrupt::check_io()?;
        let Some((parent, name)) = name_of(on, subvolume, at)? else {
            break;
        };
        length += name.len() + 1;
        names.push(name);
        at = parent;
    }
    if at != SUBVOLUME_INODE {
        names.push("…".into());
    }
    Ok(names.iter().rev().collect())
}

/// Returns the parent of a directory, and its name.
fn name_of(on: &impl AsFd, tree: u64, inode: u64) -> io::Result<Option<(u64, OsString)>> {
    let wanted = Wanted {
        tree,
        ..Wanted::of(inode, &[INODE_REF, INODE_EXTREF])
    };
    let Some(item) = Search::new(on, wanted).next() else {
        return Ok(None);
    };
    let names = items::names(&item?).ok_or_else(malformed)?;
    Ok(names.into_iter().next())
}

/// Opens a directory by inode number in a subvolume of the filesystem of `on`.
///
/// # Errors
/// `ESTALE` or `NotFound` if it does not exist, `ENOTDIR` if it is not a directory.
pub fn directory_in(on: &impl AsFd, subvolume: u64, inode: u64) -> io::Result<OwnedFd> {
    let wanted = Wanted {
        tree: subvolume,
        ..Wanted::of(inode, &[INODE_ITEM])
    };
    let item = Search::new(on, wanted)
        .uninterruptible()
        .next()
        .transpose()?;
    // The item begins with the generation, which kernels before 6.2 compare.
    let generation = item.and_then(|item| word(&item.bytes, 0));
    let generation = generation.ok_or(io::ErrorKind::NotFound)?;
    Ok(by_handle(on, subvolume, inode, generation)?)
}

/// A file handle (fs/btrfs/export.c): `struct file_handle` with the packed `struct btrfs_fid`.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    words: [u32; WORDS],
}

const WORDS: usize = 5;
/// `FILEID_BTRFS_WITHOUT_PARENT` of linux/exportfs.h.
const WITHOUT_PARENT: i32 = 0x4d;

const _: () = assert!(size_of::<Handle>() == 28);

#[allow(unsafe_code)]
fn by_handle(on: &impl AsFd, subvolume: u64, inode: u64, generation: u64) -> nix::Result<OwnedFd> {
    let halves = |n: u64| {
        let bytes = n.to_ne_bytes();
        let half = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        [half(0), half(4)]
    };
    let ([a, b], [c, d]) = (halves(inode), halves(subvolume));
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the kernel's field has 32 bits too"
    )]
    let mut handle = Handle {
        bytes: (WORDS * size_of::<u32>()) as u32,
        kind: WITHOUT_PARENT,
        words: [a, b, c, d, generation as u32],
    };
    // O_DIRECTORY opens directories only.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // SAFETY: the descriptor is borrowed during the call. Handle has the layout (asserted above) of the kernel's
    // structure with as many bytes as its first field says; the kernel only reads those and keeps no pointer.
    let opened = unsafe {
        libc::open_by_handle_at(
            on.as_fd().as_raw_fd(),
            (&raw mut handle).cast(),
            flags.bits(),
        )
    };
    let opened = Errno::result(opened)?;
    // SAFETY: the call has just returned this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

fn malformed() -> io::Error {
    io::Error::other("the root tree has a malformed item")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_subvolumes_location() {
        let bytes = |name: &[u8], length: u16| {
            let mut bytes = 300u64.to_le_bytes().to_vec();
            bytes.extend(7u64.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(name);
            bytes
        };
        let found = reference(260, 256, &bytes(b"inner", 5)).unwrap();
        assert_eq!((found.id, found.parent, found.directory), (260, 256, 300));
        assert_eq!(found.name, "inner");
        for (name, length) in [(&b"cut"[..], 4), (b"a/b", 3), (b"", 0), (b"a\0", 2)] {
            assert_eq!(reference(1, 2, &bytes(name, length)), None, "{name:?}");
        }
    }
}
