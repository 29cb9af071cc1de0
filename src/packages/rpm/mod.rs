//! rpm's list of what is installed: in any of the three kinds of databases it has had, one header a package.

mod berkeley;
mod header;
mod ndb;
mod sqlite;

use std::fs::File;

use super::Package;
use super::package::{MOST, Unread};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// Where the database is, the newer place first; often the one is a link to the other.
const PLACES: &[&str] = &["usr/lib/sysimage/rpm", "var/lib/rpm"];

/// The largest database that is read, in bytes: one of a desktop with everything has some hundred MiB.
const LIMIT: u64 = 512 << 20;

/// Hands every header of a database on; a sentence where it is damaged, and what was handed on until then
/// counts for nothing.
type Reader = fn(&Database<'_>, &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String>;

/// The kinds there are: Fedora's and RHEL 9's, openSUSE's, that of RHEL 8 and all before.
const KINDS: &[(&str, Reader)] = &[
    ("rpmdb.sqlite", sqlite::each),
    ("Packages.db", ndb::each),
    ("Packages", berkeley::each),
];

/// A database, opened.
struct Database<'a> {
    root: &'a Tree,
    path: &'a str,
    file: File,
}

/// Returns the packages of an environment; `None` where there is no such database.
pub(super) fn installed(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    for place in PLACES {
        for (name, read) in KINDS {
            let path = format!("{place}/{name}");
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
            let mut packages = Vec::new();
            let mut each = |blob: &[u8]| {
                packages.push(header::package(blob).ok_or("a package's header in it is damaged")?);
                interrupt::check().map_err(|e| e.to_string())?;
                match packages.len() > MOST {
                    true => Err(format!("it lists more than {MOST} packages")),
                    false => Ok(()),
                }
            };
            return match read(&database, &mut each) {
                Ok(()) => Ok(Some(packages)),
                Err(why) => Err(Unread::damaged(&path, &why)),
            };
        }
    }
    Ok(None)
}

/// Returns four bytes of a buffer as a number of the order given, as both rpm's and Berkeley's formats are
/// read; `None` past its end.
fn word(bytes: &[u8], at: usize, read: fn([u8; 4]) -> u32) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(read(four.try_into().ok()?))
}

#[cfg(test)]
mod tests;
