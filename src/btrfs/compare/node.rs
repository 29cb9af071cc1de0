//! What stands at a path, and in what two of it differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::super::extents::Layout;

/// What stands at a path.
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
    /// A nested subvolume, or the stub a snapshot has of one.
    Subvolume,
}

/// One file, of whatever type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// Its permissions: the low twelve bits of `st_mode`.
    pub mode: u32,
    /// Whose it is, and of which group.
    pub owner: (u32, u32),
    /// The size of a regular file in bytes; 0 for all else.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// What a link says.
    pub target: Option<OsString>,
    /// Its extended attributes, ACLs and capabilities among them.
    pub attributes: BTreeMap<OsString, Vec<u8>>,
    /// What is known of its content.
    pub(super) content: Content,
}

/// What is known of a regular file's content without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Unknown,
    /// It stands in the tree.
    Inline(Vec<u8>),
    /// It lies there.
    Extents(Layout),
}

/// In what a file differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Its type; then nothing else is compared.
    Type,
    /// Its content, and so mostly its size.
    Content,
    /// Its permissions.
    Mode,
    /// User or group.
    Owner,
    /// Where the link leads.
    Target,
    /// The device's numbers.
    Device,
    /// This extended attribute.
    Attribute(OsString),
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, relative to the top.
    pub path: PathBuf,
    /// What stood there; nothing where it was added.
    pub before: Option<Node>,
    /// What stands there; nothing where it was removed.
    pub after: Option<Node>,
    /// In what they differ, where both are there.
    pub aspects: Vec<Aspect>,
}

/// Returns what a mode's type bits say.
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

/// Returns what is told of a nested subvolume: that it is one.
pub(super) fn subvolume() -> Node {
    Node::of(Kind::Subvolume)
}

impl Node {
    /// Returns one of this type of which nothing else is known.
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
