//! The unit by which an environment reports a completed boot, added to it or removed.
//!
//! Works on a root half in an unpublished stage, or on one that no machine runs. A unit that the administrator
//! masked stays masked. Not for reading reports: that is `evidence`.

use std::io;

use crate::boot::report::{self, Export};
use crate::fs::rooted::Tree;
use crate::pool::local;

/// The receiver of reports.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    /// The boot server: in the root half itself, or, if the root is read-only or not on the server, in an export.
    Server(Option<&'a Export>),
    /// The machine itself, whose pool is on its own disk.
    ThisMachine,
}

/// The paths of systemd, in roots with and without a merged /usr.
const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];

/// The paths of its target for completed boots.
const BOOT_COMPLETE: [&str; 2] = [
    "usr/lib/systemd/system/boot-complete.target",
    "lib/systemd/system/boot-complete.target",
];

/// Removes the report of the environment that a root half was copied from.
pub(crate) fn forget(root: &Tree) -> io::Result<()> {
    remove(root, report::FILE)
}

/// Adds the unit to a root half, or removes it.
pub(crate) fn set(root: &Tree, wanted: bool, to: To<'_>) -> io::Result<()> {
    if !wanted || !has_systemd(root)? {
        remove(root, report::WANTED_BY)?;
        return match is_masked(root)? {
            true => Ok(()),
            false => remove(root, report::UNIT),
        };
    }
    if is_masked(root)? {
        return Ok(());
    }
    let boot_complete = any(root, &BOOT_COMPLETE)?;
    let unit = match to {
        To::Server(export) => report::unit(boot_complete, export),
        To::ThisMachine => report::unit_of_this_machine(boot_complete, local::DIR),
    };
    if root.read_text(report::UNIT)?.as_deref() != Some(unit.as_str()) {
        root.make_dirs("etc/systemd/system")?;
        root.write(report::UNIT, unit.as_bytes())?;
    }
    if root.symlink_metadata(report::WANTED_BY)?.is_none() {
        root.make_dirs("etc/systemd/system/multi-user.target.wants")?;
        root.symlink(report::WANTED_BY_TARGET, report::WANTED_BY)?;
    }
    Ok(())
}

/// Returns whether a root half has systemd.
pub(crate) fn has_systemd(root: &Tree) -> io::Result<bool> {
    any(root, &SYSTEMD)
}

/// Returns whether a root half has the unit.
pub(crate) fn reports(root: &Tree) -> bool {
    root.symlink_metadata(report::WANTED_BY)
        .is_ok_and(|m| m.is_some())
        && root
            .metadata(report::UNIT)
            .is_ok_and(|m| m.is_some_and(|m| m.is_file()))
}

fn is_masked(root: &Tree) -> io::Result<bool> {
    let unit = root.symlink_metadata(report::UNIT)?;
    Ok(unit.is_some_and(|m| m.file_type().is_symlink()))
}

fn any(root: &Tree, paths: &[&str]) -> io::Result<bool> {
    for path in paths {
        if root.metadata(path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(root: &Tree, path: &str) -> io::Result<()> {
    match root.symlink_metadata(path)? {
        Some(m) if !m.is_dir() => root.remove_file(path),
        _ => Ok(()),
    }
}
