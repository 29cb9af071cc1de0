//! Copies both halves of an environment.
//!
//! Promises that a subvolume nested in a half becomes an ordinary directory with its content, never
//! the empty directory that a snapshot has instead. Each half is a snapshot of one instant; the two instants are not
//! the same. No path inside a half is passed to a system call: it may be longer than the kernel accepts.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::first_notes;
use crate::btrfs::subvolume::{self, Nested};
use crate::failure::Failure;
use crate::fs::shown_path::shortened;
use crate::fs::{copy, file_flags, interrupt, opener};
use crate::pool::{Environment, layout};

/// The maximum number of notes about nested subvolumes.
const NAMED: usize = 20;

/// Snapshots both halves of an environment into `dir`; returns notes, a sentence each.
pub fn snapshot(source: &Environment, dir: &Path) -> Result<Vec<String>> {
    let halves = [
        (source.root(), dir.join(layout::ROOT)),
        (source.boot(), dir.join(layout::BOOT)),
    ];
    for (from, to) in &halves {
        subvolume::snapshot(from, to).map_err(|e| explained(e, source))?;
    }
    let mut notes = Vec::new();
    for (from, to) in &halves {
        notes.extend(flatten(from, to, source)?);
    }
    Ok(notes)
}

fn flatten(from: &Path, to: &Path, source: &Environment) -> Result<Vec<String>> {
    let nested = subvolume::nested(from).with_context(|| format!("reading {source}"))?;
    let mut notes = Vec::new();
    for inner in outermost(&nested, subvolume::info(from)?.id) {
        let path = shortened(&inner.path);
        let lost = flatten_one(from, to, inner)
            .with_context(|| format!("carrying along the nested subvolume {path} of {source}"))?;
        notes.push(format!(
            "{path} is a nested subvolume of {source}; here it is a directory with the same content"
        ));
        notes.extend(lost);
    }
    Ok(first_notes(notes, NAMED, "nested subvolumes"))
}

/// Replaces the subvolumes that a program made inside a half with ordinary directories; returns notes.
///
/// systemd-tmpfiles makes subvolumes for lines of type v, q and Q if `/` is one: tmpfiles.d(5).
pub fn flatten_within(half: &Path) -> Result<Vec<String>> {
    let nested = subvolume::nested(half).with_context(|| format!("reading {}", half.display()))?;
    let top = opener::directory(half)?;
    let mut notes = Vec::new();
    for inner in outermost(&nested, subvolume::info(half)?.id) {
        let path = shortened(&inner.path);
        let flattened = || format!("flattening the subvolume {path}");
        let directory = subvolume::directory_in(&top, inner.parent, inner.directory)?;
        let aside = aside(&directory).with_context(flattened)?;
        let report = fill(&directory, &inner.name, &directory, aside.as_ref());
        let report = report.with_context(flattened)?;
        subvolume::delete_nested(&top, inner.id).with_context(flattened)?;
        renameat(
            &directory,
            aside.as_str(),
            &directory,
            inner.name.as_os_str(),
        )
        .with_context(flattened)?;
        notes.push(format!(
            "{path} was made a subvolume; it is a directory now"
        ));
        notes.extend(finish(&directory, inner, report));
    }
    Ok(first_notes(notes, NAMED, "nested subvolumes"))
}

/// Makes a directory in another, under a name that is free.
fn aside(directory: &OwnedFd) -> Result<String> {
    for number in 0u64.. {
        let name = format!(".netbe-flat-{number}");
        match mkdirat(directory, name.as_str(), Mode::S_IRWXU) {
            Ok(()) => return Ok(name),
            Err(Errno::EEXIST) => interrupt::check()?,
            Err(e) => return Err(e.into()),
        }
    }
    anyhow::bail!("no name is free")
}

fn flatten_one(from: &Path, to: &Path, inner: &Nested) -> Result<Option<String>> {
    let (from, top) = (opener::directory(from)?, opener::directory(to)?);
    let source = subvolume::directory_in(&from, inner.parent, inner.directory)?;
    // Inode numbers are the same in a snapshot and its source.
    let target = subvolume::directory_in(&top, subvolume::info(to)?.id, inner.directory)?;
    // The empty directory in a snapshot cannot be written to.
    unlinkat(&target, inner.name.as_os_str(), UnlinkatFlags::RemoveDir)?;
    mkdirat(&target, inner.name.as_os_str(), Mode::S_IRWXU)?;
    let report = fill(&source, &inner.name, &target, &inner.name)?;
    Ok(finish(&target, inner, report))
}

/// Copies a directory to an empty one, sharing extents; both are names in open directories.
fn fill(from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr) -> Result<copy::Report> {
    let source = File::from(opener::directory_at(from, name)?);
    let target = File::from(opener::directory_at(to, new)?);
    let rules = copy::Rules {
        flags: true,
        ..copy::Rules::default()
    };
    copy::tree(&source, &target, &rules, &mut |_| {})
}

/// Gives a copied directory in its place the attributes of its source; returns a note about lost flags of chattr(1).
fn finish(directory: &OwnedFd, inner: &Nested, mut report: copy::Report) -> Option<String> {
    let protection = report.top_protection;
    if protection != 0 {
        let top = opener::directory_at(directory, inner.name.as_os_str());
        if !top.is_ok_and(|top| file_flags::add(&top, protection).is_ok()) {
            report.without_flags.push(PathBuf::new());
        }
    }
    let first = report.without_flags.first()?;
    Some(format!(
        "{} files of {} lost their attributes of chattr(1), {} first",
        report.without_flags.len(),
        shortened(&inner.path),
        shortened(&inner.path.join(first)),
    ))
}

/// Returns the outermost subvolumes: copying one includes those inside it.
fn outermost(nested: &[Nested], half: u64) -> impl Iterator<Item = &Nested> {
    nested.iter().filter(move |inner| inner.parent == half)
}

fn explained(error: std::io::Error, source: &Environment) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::ExecutableFileBusy => Failure::failed(format!(
            "{source} holds a swap file that is in use, and btrfs cannot snapshot it: {error}; end its use (swapoff) on the \
             machine, and keep swap files outside environments"
        ))
        .into(),
        _ => anyhow::Error::new(error).context(format!("copying {source}")),
    }
}
