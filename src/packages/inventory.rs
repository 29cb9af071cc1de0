//! What is installed in an environment, read from its own package database.
//!
//! Nothing of the environment is run, and nothing outside of it is read because of it. The database is the
//! node's to write: whatever is in it, the worst that comes of it is a sentence.

use std::io::Read;

use super::distribution::{Distribution, Family};
use super::version::Order;
use super::{apk, dpkg, pacman, rpm};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// Where dpkg keeps what is installed.
const DPKG_STATUS: &str = "var/lib/dpkg/status";

/// The largest list of all packages that is read, in bytes: Alpine's names every file of each.
const LIMIT: u64 = 256 << 20;

/// The most packages that are read of a database: more than three times all that Debian has.
pub(super) const MOST: usize = 1 << 18;

/// The longest name, and the longest version, in bytes; what is longer is no package, and fills screens.
const LONGEST: usize = 256;

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

/// The kinds of databases there are, in the order they are looked for.
const READERS: &[(Order, Reader)] = &[
    (Order::Debian, debian),
    (Order::Rpm, rpm::installed),
    (Order::Pacman, pacman::installed),
    (Order::Apk, alpine),
];

/// Reads one kind of database; `None` where there is none.
type Reader = fn(&Tree) -> Result<Option<Vec<Package>>, Unread>;

/// Returns the packages of an environment, by the database its distribution goes by.
///
/// No other is asked where that is missing: an Arch may have the package `dpkg`, whose list says nothing of
/// what an upgrade changes. Of a distribution that is not known, the first there is.
///
/// # Errors
/// Why they are not known; never fatal to what asks.
pub fn installed(root: &Tree) -> Result<Inventory, Unread> {
    let own = match Distribution::of(root).map_or(Family::Unknown, |d| d.family) {
        Family::Debian => Some(Order::Debian),
        Family::Fedora | Family::Suse => Some(Order::Rpm),
        Family::Arch => Some(Order::Pacman),
        Family::Alpine => Some(Order::Apk),
        Family::Unknown => None,
    };
    for (order, read) in READERS {
        if own.is_some_and(|own| own != *order) {
            continue;
        }
        if let Some(mut packages) = read(root)? {
            if packages.len() > MOST {
                return Err(Unread::TooMany);
            }
            packages.retain(|p| p.name.len().max(p.version.len()) <= LONGEST);
            packages.sort();
            return Ok(Inventory {
                order: *order,
                packages,
            });
        }
    }
    Err(Unread::Absent)
}

fn debian(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    Ok(text(root, DPKG_STATUS, LIMIT)?.map(|status| dpkg::installed(&status)))
}

pub(super) fn alpine(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    for path in apk::DATABASES {
        if let Some(text) = text(root, path, LIMIT)? {
            return Ok(Some(apk::installed(&text)));
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "Package: a\nStatus: install ok installed\nVersion: 1\n";

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(root: &Path) -> Result<Inventory, Unread> {
        installed(&Tree::open(root).unwrap())
    }

    #[test]
    fn the_database_is_read_inside_the_root_only() {
        let outside = tempfile::tempdir().unwrap();
        put(outside.path(), "status", STATUS);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
        assert_eq!(read(root.path()), Err(Unread::Absent));
        let link = root.path().join(DPKG_STATUS);
        symlink(outside.path().join("status"), &link).unwrap();
        assert_eq!(read(root.path()), Err(Unread::Absent));
        fs::remove_file(&link).unwrap();
        nix::unistd::mkfifo(&link, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = read(root.path()).unwrap_err().to_string();
        assert!(said.contains("is not a regular file"), "{said}");
    }

    #[test]
    fn of_several_databases_the_distributions_own_counts() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), DPKG_STATUS, STATUS);
        put(
            root.path(),
            "var/lib/pacman/local/b-2-1/desc",
            "%NAME%\nb\n\n%VERSION%\n2-1\n",
        );
        put(root.path(), "lib/apk/db/installed", "P:c\nV:3-r0\n\n");
        for (id, order, name) in [
            ("debian", Order::Debian, "a"),
            ("arch", Order::Pacman, "b"),
            ("alpine", Order::Apk, "c"),
            ("slackware", Order::Debian, "a"),
        ] {
            put(root.path(), "etc/os-release", &format!("ID={id}\n"));
            let found = read(root.path()).unwrap();
            assert_eq!((found.order, found.packages.len()), (order, 1), "{id}");
            assert_eq!(found.packages[0].name, name, "{id}");
        }
        // What it has is none of its own.
        put(root.path(), "etc/os-release", "ID=fedora\n");
        assert_eq!(read(root.path()), Err(Unread::Absent));
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let many = format!("{STATUS}\n").repeat(MOST + 2);
        put(root.path(), DPKG_STATUS, &many);
        assert_eq!(read(root.path()), Err(Unread::TooMany));
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_of_some_length(
            text in "((Package|Status|Version|P|V|%NAME%|%VERSION%)?[:\n ]{0,2}(install ok installed|\\PC{0,4}|\n)){0,12}",
        ) {
            let root = tempfile::tempdir().unwrap();
            for (id, path) in [
                ("debian", DPKG_STATUS),
                ("arch", "var/lib/pacman/local/a/desc"),
                ("alpine", "lib/apk/db/installed"),
            ] {
                put(root.path(), "etc/os-release", &format!("ID={id}\n"));
                put(root.path(), path, &text);
                let found = read(root.path()).unwrap();
                prop_assert!(found.packages.iter().all(|p| !p.name.is_empty() && !p.version.is_empty()));
            }
        }
    }

    #[test]
    fn alpines_newer_place_is_looked_at_too() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "usr/lib/apk/db/installed", "P:c\nV:3-r0\n\n");
        let found = read(root.path()).unwrap();
        assert_eq!(found.packages, [Package::new("c", "", "3-r0")]);
    }
}
