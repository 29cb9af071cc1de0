//! A file in a comparison, and the aspects in which two differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::super::extents::Layout;

/// File type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    File,
    Directory,
    Link,
    CharacterDevice,
    BlockDevice,
    Pipe,
    Socket,
    /// A nested subvolume, or its placeholder in a snapshot.
    Subvolume,
}

/// A file of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// Its permissions: the low twelve bits of `st_mode`.
    pub mode: u32,
    /// User and group ID.
    pub owner: (u32, u32),
    /// Size of a regular file in bytes; otherwise 0.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// The target of a symbolic link.
    pub target: Option<OsString>,
    /// Extended attributes, including ACLs and capabilities.
    pub attributes: BTreeMap<OsString, Vec<u8>>,
    /// Content, as far as known without reading.
    pub(super) content: Content,
}

/// What is known of a regular file's content without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Unknown,
    /// Inline data in the tree.
    Inline(Vec<u8>),
    /// The extents of the file.
    Extents(Layout),
}

/// An aspect in which two files differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// File type; if it differs, nothing else is compared.
    Type,
    /// Content.
    Content,
    /// Permissions.
    Mode,
    /// User or group ID.
    Owner,
    /// Target of a symbolic link.
    Target,
    /// Device number.
    Device,
    /// An extended attribute.
    Attribute(OsString),
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, relative to the top.
    pub path: PathBuf,
    /// The file before; `None` if it was added.
    pub before: Option<Node>,
    /// The file after; `None` if it was removed.
    pub after: Option<Node>,
    /// The differing aspects, where both exist.
    pub aspects: Vec<Aspect>,
}

/// Returns the file type in a mode.
pub(super) fn kind_of(mode: u32) -> Kind {
    match mode & 0o170_000 {
        0o040_000 => Kind::Directory,
        0o120_000 => Kind::Link,
        0o020_000 => Kind::CharacterDevice,
        0o060_000 => Kind::BlockDevice,
        0o010_000 => Kind::Pipe,
        0o140_000 => Kind::Socket,
        _ => Kind::File,
    }
}

/// Returns the entry for a nested subvolume, whose content is not compared.
pub(super) fn subvolume() -> Node {
    Node::of(Kind::Subvolume)
}

impl Node {
    /// Returns a file of this type with no other known fields.
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            mode: 0,
            owner: (0, 0),
            size: 0,
            device: None,
            target: None,
            attributes: BTreeMap::new(),
            content: Content::Unknown,
        }
    }
}
