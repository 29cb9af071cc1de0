//! rpm's database of installed packages, in any of its three formats.

mod berkeley;
mod header;
mod ndb;
mod sqlite;

use std::fs::File;

use super::Package;
use super::owned::Owners;
use super::package::{PACKAGES_MAX, Unread};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// Directories of the database, the newer first; one is often a link to the other.
const DIRECTORIES: &[&str] = &["usr/lib/sysimage/rpm", "var/lib/rpm"];

/// The largest database that is read, in bytes: that of a full desktop has some hundred MiB.
const LIMIT: u64 = 512 << 20;

/// Passes every header of a database to a function; an error invalidates what was passed before.
type Reader = fn(&Database<'_>, &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String>;

/// File names and formats: of Fedora and RHEL 9, of openSUSE, of RHEL 8 and before.
const FORMATS: &[(&str, Reader)] = &[
    ("rpmdb.sqlite", sqlite::each),
    ("Packages.db", ndb::each),
    ("Packages", berkeley::each),
];

/// An open database.
struct Database<'a> {
    root: &'a Tree,
    path: &'a str,
    file: File,
}

/// Returns the installed packages; `None` if there is no database.
pub(super) fn installed(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    let mut packages = Vec::new();
    let mut each = |blob: &[u8]| {
        packages.push(header::package(blob).ok_or("a package's header in it is damaged")?);
        interrupt::check().map_err(|e| e.to_string())?;
        match packages.len() > PACKAGES_MAX {
            true => Err(format!("it lists more than {PACKAGES_MAX} packages")),
            false => Ok(()),
        }
    };
    let found = read(root, &mut each)?;
    Ok(found.then_some(packages))
}

/// Notes the files of all packages.
pub(super) fn owners(root: &Tree, owners: &mut Owners) -> Result<(), Unread> {
    let mut each = |blob: &[u8]| {
        interrupt::check().map_err(|e| e.to_string())?;
        header::owners(blob, owners)
            .ok_or_else(|| "a package's list of files in it is damaged".to_string())
    };
    read(root, &mut each).map(drop)
}

/// Passes every header of the database to a function; returns whether there is one.
fn read(root: &Tree, each: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<bool, Unread> {
    for directory in DIRECTORIES {
        for (name, read) in FORMATS {
            let path = format!("{directory}/{name}");
            let failed = |why: std::io::Error| Unread::damaged(&path, &why);
            let Some(file) = root.open_file(&path).map_err(failed)? else {
                continue;
            };
            if file.metadata().map_err(failed)?.len() > LIMIT {
                return Err(Unread::damaged(&path, "it is larger than 512 MiB"));
            }
            let database = Database {
                root,
                path: &path,
                file,
            };
            return match read(&database, each) {
                Ok(()) => Ok(true),
                Err(why) => Err(Unread::damaged(&path, &why)),
            };
        }
    }
    Ok(false)
}

/// Returns four bytes as a number in a byte order; `None` if out of range.
fn word(bytes: &[u8], at: usize, read: fn([u8; 4]) -> u32) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(read(four.try_into().ok()?))
}

#[cfg(test)]
mod tests;
