//! Reads the installed packages of an environment from its package database.
//!
//! Runs nothing of the environment, and reads nothing outside of it. The database is untrusted: at worst the result is
//! an error.

use super::distribution::{Distribution, Family};
use super::package::{Inventory, PACKAGES_MAX, Package, TEXT_MAX, Unread, text};
use super::version::Order;
use super::{apk, apt, pacman, rpm};
use crate::fs::rooted::Tree;

/// dpkg's database.
const DPKG_STATUS: &str = "var/lib/dpkg/status";

/// The largest list that is read, in bytes: Alpine's has every file.
const LIMIT: u64 = 256 << 20;

/// The types of databases, in the order they are tried.
const READERS: &[(Order, Reader)] = &[
    (Order::Debian, debian),
    (Order::Rpm, rpm::installed),
    (Order::Pacman, pacman::installed),
    (Order::Apk, alpine),
];

/// Reads a database; `None` if it does not exist.
type Reader = fn(&Tree) -> Result<Option<Vec<Package>>, Unread>;

/// Returns the installed packages, from the distribution's own database.
///
/// No other one is tried if that is missing: Arch may have the package `dpkg`, whose database is irrelevant. For an
/// unknown distribution, the first database found is used.
///
/// # Errors
/// Why they are not known; callers treat that as a warning.
pub fn installed(root: &Tree) -> Result<Inventory, Unread> {
    let usual = match Distribution::read(root).map_or(Family::Unknown, |d| d.family) {
        Family::Debian => Some(Order::Debian),
        Family::Fedora | Family::Suse => Some(Order::Rpm),
        Family::Arch => Some(Order::Pacman),
        Family::Alpine => Some(Order::Apk),
        Family::Unknown => None,
    };
    for (order, read) in READERS {
        if usual.is_some_and(|usual| usual != *order) {
            continue;
        }
        if let Some(mut packages) = read(root)? {
            if packages.len() > PACKAGES_MAX {
                return Err(Unread::TooMany);
            }
            packages.retain(|p| p.name.len().max(p.version.len()) <= TEXT_MAX);
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
    Ok(text(root, DPKG_STATUS, LIMIT)?.map(|status| apt::installed(&status)))
}

pub(super) fn alpine(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    for path in apk::DATABASES {
        if let Some(text) = text(root, path, LIMIT)? {
            return Ok(Some(apk::installed(&text)));
        }
    }
    Ok(None)
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
    fn the_distributions_own_database_is_used() {
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
        // Its own database is missing.
        put(root.path(), "etc/os-release", "ID=fedora\n");
        assert_eq!(read(root.path()), Err(Unread::Absent));
    }

    #[test]
    fn an_endless_list_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let many = format!("{STATUS}\n").repeat(PACKAGES_MAX + 2);
        put(root.path(), DPKG_STATUS, &many);
        assert_eq!(read(root.path()), Err(Unread::TooMany));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(
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
    fn alpines_newer_path_is_tried_too() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "usr/lib/apk/db/installed", "P:c\nV:3-r0\n\n");
        let found = read(root.path()).unwrap();
        assert_eq!(found.packages, [Package::new("c", "", "3-r0")]);
    }
}
