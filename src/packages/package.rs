//! A package, what is installed, and reading the text of a package database.
//!
//! Not for any one database.

use std::io::Read;

use super::version::Order;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// The most packages that are read of a database: more than three times all that Debian has.
pub(super) const MOST: usize = 1 << 18;

/// The longest name, and the longest version, in bytes; what is longer is no package, and fills screens.
pub(super) const LONGEST: usize = 256;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name; dpkg's with the architecture behind it where that belongs to it.
    pub name: String,
    /// Its architecture where one name may be installed in several, else nothing.
    pub architecture: String,
    /// Its version, as its package manager writes it.
    pub version: String,
}

impl Package {
    /// Returns a package of these.
    pub(super) fn new(
        name: impl Into<String>,
        architecture: impl Into<String>,
        version: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            architecture: architecture.into(),
            version: version.into(),
        }
    }

    /// Returns name and version.
    pub(super) fn named(&self) -> (String, String) {
        (self.name.clone(), self.version.clone())
    }
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// How its versions are ordered.
    pub order: Order,
    /// The packages; one name may be there several times.
    pub packages: Vec<Package>,
}

/// Why it is not known what is installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// There is no database of a kind that is known.
    #[error("there is no package database that netbe knows")]
    Absent,
    /// There is one, and nobody has that many.
    #[error("the package database lists more than {MOST} packages")]
    TooMany,
    /// There is one, and it cannot be read.
    #[error("/{path} cannot be read: {why}")]
    Damaged {
        /// Where, from the environment's root.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Unread {
    /// Returns what is to be said of a database that cannot be read.
    pub(super) fn damaged(path: &str, why: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged {
            path: path.to_string(),
            why: why.to_string(),
        }
    }
}

/// Returns a database's text of at most so many bytes; `None` where there is none.
///
/// Descriptions may be in any encoding; names and versions are ASCII.
pub(super) fn text(root: &Tree, path: &str, limit: u64) -> Result<Option<String>, Unread> {
    let failed = |why: std::io::Error| Unread::damaged(path, &why);
    let Some(file) = root.open_file(path).map_err(failed)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    interrupt::Reader::new(file)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        let why = format!("it is larger than {} MiB", limit >> 20);
        return Err(Unread::damaged(path, &why));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
