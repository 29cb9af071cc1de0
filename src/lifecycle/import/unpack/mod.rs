//! Unpacks an operating system from a directory, an archive or a disk image into two halves.
//!
//! Afterwards `root` has the system's `/`, with an empty mount point for the boot half, and `boot` has that half. A
//! source without an operating system or kernel, or cut short, is an error; the caller then deletes the halves. Not for
//! editing boot files, nor for making or publishing the stage.

mod boot_half;
mod detect;
mod directory;
mod disk;
mod disk_file;
mod disk_names;
mod file;
mod filesystem;
mod input;
mod partitions;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fs::opener;
use crate::fs::path_error::is_system_error;
use crate::fs::rooted::Tree;
use crate::staged::boot_links;

pub use input::Input;

/// The source of an operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of this machine with a system's `/`.
    Directory(PathBuf),
    /// An archive or a disk image, compressed or not, or a block device.
    File(PathBuf),
    /// The same on standard input.
    Stdin,
}

impl Source {
    /// Returns the source of an operand; `-` is standard input.
    ///
    /// # Errors
    /// When its type cannot be determined; a missing source fails when it is opened.
    pub fn from_operand(operand: &OsStr) -> Result<Self> {
        let path = PathBuf::from(operand);
        if operand == "-" {
            return Ok(Self::Stdin);
        }
        Ok(match path.metadata() {
            Ok(found) if found.is_dir() => Self::Directory(path),
            Err(e) if is_system_error(&e) => {
                return Err(e).with_context(|| format!("reading '{}'", path.display()));
            }
            _ => Self::File(path),
        })
    }
}

/// An opened source.
#[derive(Debug)]
pub enum Opened {
    /// A directory of this machine.
    Directory(PathBuf),
    /// Anything else.
    Input(Input),
}

impl Opened {
    /// Refuses a source that is recognisably not a system, without unpacking it: for a dry run. Returns the kind of a source
    /// that was not examined.
    pub fn foresee(&self, driver: Driver) -> Result<Option<&'static str>> {
        match self {
            Self::Directory(path) => {
                let opening = || format!("opening '{}'", path.display());
                let tree = Tree::open(path).with_context(opening)?;
                detect::require_system(&tree, &self.source()).map(|()| None)
            }
            Self::Input(input) => file::foresee(input, driver),
        }
    }

    fn source(&self) -> Source {
        match self {
            Self::Directory(path) => Source::Directory(path.clone()),
            Self::Input(input) => input.source.clone(),
        }
    }
}

/// Opens a source, and reads its first bytes.
pub fn open(source: &Source) -> Result<Opened> {
    match source {
        Source::Directory(path) => Ok(Opened::Directory(path.clone())),
        Source::File(_) | Source::Stdin => Input::open(source).map(Opened::Input),
    }
}

/// The reader of a disk image's filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// netbe's own, in user space.
    #[default]
    Own,
    /// The server's kernel: it supports more filesystems, and trusts their content.
    Kernel,
}

/// Receives progress; calls are frequent, so an implementation limits its output.
pub trait Progress {
    /// A new phase begins, such as `unpacking the archive`.
    fn phase(&mut self, what: &str);
    /// The number of bytes that are done, and of all if known.
    fn advance(&mut self, bytes_done: u64, bytes_total: Option<u64>);
}

/// The directories to unpack into.
#[derive(Debug, Clone, Copy)]
pub struct Halves<'a> {
    /// An empty subvolume for the system's `/`.
    pub root: &'a Path,
    /// An empty subvolume for the boot half.
    pub boot: &'a Path,
    /// An empty directory for temporary files; the caller deletes it afterwards.
    pub scratch: &'a Path,
}

/// An unpacked system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The mount point of the boot half: `/boot/firmware` or `/boot`.
    pub boot_mount: String,
    /// Notes about what was omitted or changed, a sentence each.
    pub notes: Vec<String>,
}

/// Unpacks an operating system into two halves.
///
/// `boot_dir` is the source of the boot half, if it is not in the system. Needs root. However it ends, no mount and no
/// loop device is left.
pub fn unpack(
    opened: Opened,
    boot_dir: Option<&Path>,
    halves: &Halves<'_>,
    driver: Driver,
    progress: &mut dyn Progress,
) -> Result<Unpacked> {
    let target = Target::open(halves)?;
    let mut notes = Vec::new();
    let source = opened.source();
    let placed = match opened {
        Opened::Directory(path) => {
            directory::unpack(&path, &target, progress, &mut notes)?;
            None
        }
        Opened::Input(input) => {
            let how = file::How {
                boot_given: boot_dir.is_some(),
                driver,
            };
            file::unpack(input, how, &target, progress, &mut notes)?
        }
    };
    separate(&target, &source, boot_dir, placed, progress, notes)
}

/// Moves the boot half of a complete system out of its root half, or copies it from a directory.
pub fn split(
    halves: &Halves<'_>,
    source: &Source,
    boot_dir: Option<&Path>,
    progress: &mut dyn Progress,
) -> Result<Unpacked> {
    let target = Target::open(halves)?;
    separate(&target, source, boot_dir, None, progress, Vec::new())
}

fn separate(
    target: &Target,
    source: &Source,
    boot_dir: Option<&Path>,
    placed: Option<String>,
    progress: &mut dyn Progress,
    mut notes: Vec<String>,
) -> Result<Unpacked> {
    detect::require_system(&target.root_tree, source)?;
    let boot_mount = match (boot_dir, placed) {
        (Some(dir), _) => boot_half::from_directory(dir, target, progress, &mut notes)?,
        (None, Some(boot_mount)) => boot_mount,
        (None, None) => boot_half::from_root(target, progress)?,
    };
    notes.extend(boot_links::replace_links(
        &target.root_tree,
        &target.boot_tree,
        &boot_mount,
    )?);
    detect::require_kernel(&target.root_tree, &target.boot_tree, &boot_mount)?;
    Ok(Unpacked { boot_mount, notes })
}

/// The opened halves.
#[derive(Debug)]
struct Target {
    root: File,
    boot: File,
    root_tree: Tree,
    boot_tree: Tree,
    scratch: PathBuf,
}

impl Target {
    fn open(halves: &Halves<'_>) -> Result<Self> {
        let opening = |path: &Path| format!("opening '{}'", path.display());
        Ok(Self {
            root: opener::directory(halves.root).with_context(|| opening(halves.root))?,
            boot: opener::directory(halves.boot).with_context(|| opening(halves.boot))?,
            root_tree: Tree::open(halves.root)?,
            boot_tree: Tree::open(halves.boot)?,
            scratch: halves.scratch.to_path_buf(),
        })
    }
}

/// Sums up single steps for a [`Progress`].
fn counting(progress: &mut dyn Progress, total: Option<u64>) -> impl FnMut(u64) {
    let mut done = 0;
    move |bytes| {
        done += bytes;
        progress.advance(done, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_directories_files_or_standard_input() {
        let dir = tempfile::tempdir().unwrap();
        let operand = dir.path().as_os_str();
        assert_eq!(
            Source::from_operand(operand).unwrap(),
            Source::Directory(dir.path().into())
        );
        assert_eq!(
            Source::from_operand(OsStr::new("-")).unwrap(),
            Source::Stdin
        );
        let missing = dir.path().join("system.tar");
        assert_eq!(
            Source::from_operand(missing.as_os_str()).unwrap(),
            Source::File(missing)
        );
    }
}
