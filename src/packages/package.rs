//! Packages, lists of installed packages, and bounded reading of databases.

use std::io::Read;

use super::version::Order;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// The most packages in a database: three times all of Debian's.
pub(super) const PACKAGES_MAX: usize = 1 << 18;

/// The longest name or version, in bytes; longer ones are skipped.
pub(super) const TEXT_MAX: usize = 256;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Name; dpkg's with the architecture where that is part of it.
    pub name: String,
    /// Architecture if a name may be installed for several, else empty.
    pub architecture: String,
    /// Version, in the package manager's format.
    pub version: String,
}

impl Package {
    /// Returns a package.
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

/// The installed packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The order of versions.
    pub order: Order,
    /// The packages; a name may occur several times.
    pub packages: Vec<Package>,
}

/// Why the installed packages are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// No known database exists.
    #[error("there is no package database that netbe knows")]
    Absent,
    /// The database has too many packages.
    #[error("the package database lists more than {PACKAGES_MAX} packages")]
    TooMany,
    /// The database is unreadable.
    #[error("/{path} cannot be read: {why}")]
    Damaged {
        /// Path in the environment.
        path: String,
        /// The error.
        why: String,
    },
}

impl Unread {
    /// Returns the error of an unreadable database.
    pub(super) fn damaged(path: &str, why: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged {
            path: path.to_string(),
            why: why.to_string(),
        }
    }
}

/// Returns a database's text up to a limit; `None` if it does not exist.
///
/// Descriptions may have any encoding; names and versions are ASCII.
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
