//! Subvolumes inside subvolumes, found by number in the tree of trees, and the directories they stand in.
//!
//! Whoever may make a subvolume may make it at the end of a path that no call takes. So nothing here goes by path: a
//! directory is opened by its inode number (`open_by_handle_at(2)`), and paths are made for people to read. Needs
//! `CAP_SYS_ADMIN` and `CAP_DAC_READ_SEARCH`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use super::{SUBVOLUME_INODE, failed, info, opener};
use crate::btrfs::tree_search::items::{self, INODE_EXTREF, INODE_ITEM, INODE_REF, array, word};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// The tree that says where the others are (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// Where a subvolume in another stands, by the number of that one, and by its own.
const ROOT_BACKREF: u8 = 144;
const ROOT_REF: u8 = 156;

/// The most subvolumes that may be in one, for the list to be held in memory.
const MOST: usize = 1 << 20;
/// The longest path that is made for people to read, in bytes.
const SHOWN: usize = 16 << 10;

/// A subvolume inside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Its number.
    pub id: u64,
    /// The number of the subvolume it stands in.
    pub parent: u64,
    /// The directory it stands in, by inode number.
    pub directory: u64,
    /// Its name there.
    pub name: OsString,
    /// Its path from the top of the outermost, for people to read: one that is very long begins with `…`.
    pub path: PathBuf,
}

/// Returns the subvolumes inside the one at `path`, sorted by path, each before those inside it.
pub fn nested(path: &Path) -> io::Result<Vec<Nested>> {
    let cannot = |e| failed("cannot list subvolumes in", path, e);
    let top = opener::directory(path).map_err(cannot)?;
    let mut found = below(&top, info(path)?.id).map_err(cannot)?;
    let mut paths: HashMap<u64, PathBuf> = HashMap::new();
    for one in &mut found {
        let above = paths.get(&one.parent).cloned().unwrap_or_default();
        let inside = path_of(&top, one.parent, one.directory).map_err(cannot)?;
        one.path = joined(&above, &inside).join(&one.name);
        paths.insert(one.id, one.path.clone());
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Joins two paths, unless that were too long to read.
fn joined(above: &Path, inside: &Path) -> PathBuf {
    match above.as_os_str().len() + inside.as_os_str().len() > SHOWN {
        true => Path::new("…").join(inside.file_name().unwrap_or_default()),
        false => above.join(inside),
    }
}

/// Returns the subvolumes inside one, by its number, each before those inside it; without their paths.
pub(super) fn below(on: &impl AsFd, id: u64) -> io::Result<Vec<Nested>> {
    let mut found: Vec<Nested> = Vec::new();
    let mut seen = HashSet::from([id]);
    let mut at = id;
    let mut next = 0;
    loop {
        for inner in references(on, at, ROOT_REF)? {
            // A circle, which no sound tree has.
            if seen.insert(inner.id) {
                found.push(inner);
            }
        }
        if found.len() > MOST {
            return Err(io::Error::other(format!("there are more than {MOST}")));
        }
        let Some(inner) = found.get(next) else {
            return Ok(found);
        };
        at = inner.id;
        next += 1;
    }
}

/// Returns where a subvolume stands; `None` where there is none of that number.
pub(super) fn standing(on: &impl AsFd, id: u64) -> io::Result<Option<Nested>> {
    Ok(references(on, id, ROOT_BACKREF)?.into_iter().next())
}

fn references(on: &impl AsFd, id: u64, kind: u8) -> io::Result<Vec<Nested>> {
    let key = |offset| Key {
        objectid: id,
        kind,
        offset,
    };
    let wanted = Wanted {
        tree: ROOT_TREE,
        from: key(0),
        to: key(u64::MAX),
        after: 0,
        kinds: &[ROOT_BACKREF, ROOT_REF],
    };
    let mut found = Vec::new();
    Search::new(on, wanted).regardless().each(wanted, |item| {
        let other = item.key.offset;
        let (id, parent) = match kind {
            ROOT_REF => (other, id),
            _ => (id, other),
        };
        found.push(reference(id, parent, item.bytes).ok_or_else(garbled)?);
        Ok(found.len() <= MOST)
    })?;
    Ok(found)
}

/// Takes `struct btrfs_root_ref` of linux/btrfs_tree.h apart.
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

/// Returns the path of a directory in a subvolume; one that is very long is cut off in front.
fn path_of(on: &impl AsFd, subvolume: u64, directory: u64) -> io::Result<PathBuf> {
    let mut names: Vec<OsString> = Vec::new();
    let (mut at, mut length) = (directory, 0);
    while at != SUBVOLUME_INODE && length < SHOWN {
        crate::fs::interrupt::check_io()?;
        let Some((above, name)) = name_of(on, subvolume, at)? else {
            break;
        };
        length += name.len() + 1;
        names.push(name);
        at = above;
    }
    if at != SUBVOLUME_INODE {
        names.push("…".into());
    }
    Ok(names.iter().rev().collect())
}

/// Returns the directory that one stands in, and its name there.
fn name_of(on: &impl AsFd, tree: u64, inode: u64) -> io::Result<Option<(u64, OsString)>> {
    let key = |kind, offset| Key {
        objectid: inode,
        kind,
        offset,
    };
    let wanted = Wanted {
        tree,
        from: key(INODE_REF, 0),
        to: key(INODE_EXTREF, u64::MAX),
        after: 0,
        kinds: &[INODE_REF, INODE_EXTREF],
    };
    let Some(item) = Search::new(on, wanted).next() else {
        return Ok(None);
    };
    let names = items::names(&item?).ok_or_else(garbled)?;
    Ok(names.into_iter().next())
}

/// Opens a directory by its number, in the subvolume of a number, on the filesystem that `on` is open on.
///
/// # Errors
/// `ESTALE` or `NotFound` where there is none of that number, `ENOTDIR` where it is none.
pub fn directory_in(on: &impl AsFd, subvolume: u64, inode: u64) -> io::Result<OwnedFd> {
    let key = Key {
        objectid: inode,
        kind: INODE_ITEM,
        offset: 0,
    };
    let wanted = Wanted {
        tree: subvolume,
        from: key,
        to: key,
        after: 0,
        kinds: &[INODE_ITEM],
    };
    let item = Search::new(on, wanted).regardless().next().transpose()?;
    // The item begins with it; before Linux 6.2 the kernel compares it.
    let generation = item.and_then(|item| word(&item.bytes, 0));
    let generation = generation.ok_or(io::ErrorKind::NotFound)?;
    Ok(by_handle(on, subvolume, inode, generation)?)
}

/// A file's handle as fs/btrfs/export.c has it: `struct file_handle` with `struct btrfs_fid`, which is packed.
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
        reason = "the kernel's is of 32 bits, too"
    )]
    let mut handle = Handle {
        bytes: (WORDS * size_of::<u32>()) as u32,
        kind: WITHOUT_PARENT,
        words: [a, b, c, d, generation as u32],
    };
    // With O_DIRECTORY nothing but a directory is opened.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // SAFETY: the descriptor is borrowed for the call's time. Handle has the layout (asserted above) of the kernel's
    // structure with as many bytes behind it as its first field says; the kernel reads those only, and keeps no pointer.
    let opened = unsafe {
        libc::open_by_handle_at(
            on.as_fd().as_raw_fd(),
            (&raw mut handle).cast(),
            flags.bits(),
        )
    };
    let opened = Errno::result(opened)?;
    // SAFETY: the call has just given this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

fn garbled() -> io::Error {
    io::Error::other("the tree of trees holds an item that makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_says_where_a_subvolume_stands() {
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
