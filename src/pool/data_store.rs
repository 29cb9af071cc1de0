//! The subvolumes of a node's data: `data/+home` in its directory, one for each path.
//!
//! Promises that a subvolume is complete before it has its name, and that only [`publish`] gives names. The node's record
//! lists the valid ones. A read-only subvolume that is not in the record is the leftover of an interrupted command; a
//! writable one has been in use, whatever the record says, and is never removed as a leftover. Not for exporting them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

use super::data::{ChangePoint, DataPath};
use super::environment::Environment;
use super::layout;
use super::lock::NodeLock;
use super::node::Node;
use super::stage::{self, Staged};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::dir_names::names_in;
use crate::fs::rooted::Tree;
use crate::fs::{atomic, copy, file_flags, opener};

/// Returns the directory of a node's data.
pub fn directory(node: &Node) -> PathBuf {
    node.dir.join(layout::DATA)
}

/// Returns the subvolume of a path.
pub fn subvolume_of(node: &Node, path: &DataPath) -> PathBuf {
    directory(node).join(path.directory())
}

/// Returns whether a path has a subvolume; no link is followed on the way to it.
///
/// # Errors
/// If that cannot be determined.
pub fn is_there(node: &Node, path: &DataPath) -> io::Result<bool> {
    let place = subvolume_of(node, path);
    match Tree::open(&place) {
        Ok(_) => subvolume::is_subvolume(&place),
        Err(e) if is_missing(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Returns the data path that the name of a subvolume stands for.
pub fn path_of(place: &Path) -> Option<DataPath> {
    DataPath::of_directory(place.file_name()?.to_str()?)
}

/// Returns the entries of a node's data directory that are not in its record; hidden ones are omitted.
pub fn unknown(node: &Node) -> io::Result<Vec<PathBuf>> {
    let dir = directory(node);
    let known = |name: &String| {
        let path = DataPath::of_directory(name);
        path.is_some_and(|path| node.record.data.get(&path).is_some())
    };
    let mut names = names_in(&dir)?;
    names.retain(|name| !known(name));
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

/// Returns why a root cannot give the content of a path, a sentence.
///
/// # Errors
/// If that cannot be determined.
pub fn obstacle(root: &Tree, path: &DataPath) -> Result<Option<String>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let why = match root.open_path_without_links(Path::new(path.relative()), flags) {
        Ok(_) => return Ok(None),
        Err(Errno::ENOENT) => format!("there is no {path}"),
        Err(Errno::ELOOP) => format!("{path} is a link, or goes through one"),
        Err(Errno::ENOTDIR) => format!("{path} is no directory, or goes through a link"),
        Err(Errno::EXDEV) => format!("another filesystem is mounted at {path} or above"),
        Err(e) => return Err(e).with_context(|| format!("reading {path}")),
    };
    Ok(Some(why))
}

/// Makes subvolumes in `to` with the content of a root half at these paths; extents are shared. Returns notes, a sentence each.
///
/// No process may write into that root meanwhile: it is a snapshot, or a stage.
pub fn fill(root: &Path, to: &Path, paths: &[DataPath]) -> Result<Vec<String>> {
    let tree = Tree::open(root)?;
    let mut notes = Vec::new();
    for path in paths {
        let copying = || format!("copying {path} to a subvolume of its own");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let from = tree.open_path_without_links(Path::new(path.relative()), flags);
        let from = File::from(from.map_err(io::Error::from).with_context(copying)?);
        let place = to.join(path.directory());
        subvolume::create(&place)?;
        let into = opener::directory(&place).with_context(copying)?;
        let rules = copy::Rules {
            flags: true,
            ..copy::Rules::default()
        };
        let report = copy::tree(&from, &into, &rules, &mut |_| {}).with_context(copying)?;
        if report.top_protection != 0 {
            file_flags::add(&into, report.top_protection).with_context(copying)?;
        }
        if let Some(first) = report.without_flags.first() {
            notes.push(format!(
                "{} files of {path} lost their attributes of chattr(1), {} first",
                report.without_flags.len(),
                first.display()
            ));
        }
    }
    Ok(notes)
}

/// Copies the data of a node to subvolumes in `to`; nothing may write into it meanwhile.
pub fn copy(from: &Node, to: &Path) -> Result<()> {
    for data in &from.record.data.paths {
        if is_there(from, &data.path)? {
            let place = to.join(data.path.directory());
            subvolume::snapshot(&subvolume_of(from, &data.path), &place)
                .with_context(|| format!("copying the data of {} of {}", data.path, from.name))?;
        }
    }
    Ok(())
}

/// Exchanges a directory of a stage with the data kept beside an environment, in one durable step.
pub fn keep(lock: &NodeLock, dir: &Path, env: &Environment) -> Result<()> {
    lock.ensure_protects(&env.node)?;
    let place = env.dir.join(layout::KEPT_DATA);
    let rename = |flags| renameat2(AT_FDCWD, dir, AT_FDCWD, &place, flags);
    match rename(RenameFlags::RENAME_EXCHANGE) {
        Err(Errno::ENOENT) => rename(RenameFlags::RENAME_NOREPLACE),
        exchanged => exchanged,
    }
    .with_context(|| format!("keeping data at {}", place.display()))?;
    Ok(atomic::directory(&env.dir)?)
}

/// Copies the data kept beside an environment to the directory of its copy.
pub fn copy_kept(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join(layout::KEPT_DATA), to.join(layout::KEPT_DATA));
    let names = names_in(&from)?;
    if !names.is_empty() {
        atomic::directories(&to)?;
    }
    for name in names
        .iter()
        .filter(|name| DataPath::of_directory(name).is_some())
    {
        subvolume::snapshot_read_only(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

/// Returns the present change point of a path: a later write has a higher transaction.
///
/// No process may write into it meanwhile, and it must be synced.
pub fn filled(node: &Node, path: &DataPath) -> io::Result<ChangePoint> {
    Ok(ChangePoint {
        transaction: subvolume::info(&subvolume_of(node, path))?.generation,
        at: jiff::Timestamp::now(),
    })
}

/// Returns whether a path has a subvolume that was in use.
///
/// # Errors
/// If that cannot be determined.
pub fn was_used(node: &Node, path: &DataPath) -> io::Result<bool> {
    Ok(is_there(node, path)? && !subvolume::info(&subvolume_of(node, path))?.read_only)
}

/// Makes the data that a node's record names writable: from then on it is in use.
pub fn take_into_use(lock: &NodeLock, node: &Node) -> Result<()> {
    lock.ensure_protects(&node.name)?;
    for data in &node.record.data.paths {
        if is_there(node, &data.path)? && !was_used(node, &data.path)? {
            subvolume::make_writable(&subvolume_of(node, &data.path))?;
        }
    }
    Ok(())
}

/// Gives the subvolumes of a stage their names in a node, durably and read-only; leftovers with these names are deleted.
pub fn publish(lock: &NodeLock, staged: &Staged, node: &Node, paths: &[DataPath]) -> Result<()> {
    lock.ensure_protects(&node.name)?;
    subvolume::sync(staged.path()).context("making the data durable")?;
    let dir = directory(node);
    atomic::directories(&dir)?;
    Tree::open(&dir)?;
    for path in paths {
        let place = subvolume_of(node, path);
        if is_there(node, path)? && !was_used(node, path)? {
            let aside = dir.join(hidden(layout::TRASH, staged, path));
            std::fs::rename(&place, &aside)
                .with_context(|| format!("removing {}", place.display()))?;
            remove(&aside)?;
        }
        // A read-only subvolume can be renamed only within its directory.
        let hidden = dir.join(hidden(layout::STAGED, staged, path));
        let publishing = || format!("publishing {}", place.display());
        std::fs::rename(staged.path().join(path.directory()), &hidden).with_context(publishing)?;
        subvolume::make_read_only(&hidden)?;
        match renameat2(
            AT_FDCWD,
            &hidden,
            AT_FDCWD,
            &place,
            RenameFlags::RENAME_NOREPLACE,
        ) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                return Err(Failure::refused(format!("{} already exists", place.display())).into());
            }
            Err(e) => return Err(e).with_context(publishing),
        }
    }
    atomic::directory(&dir).context("making the new names durable")
}

/// Returns the temporary name of a subvolume that is being published: hidden, with the number of its stage.
fn hidden(prefix: &str, staged: &Staged, path: &DataPath) -> String {
    let stage = staged.path().to_string_lossy();
    let number = stage.rsplit('-').next().unwrap_or_default();
    format!("{prefix}{}-{number}", path.directory())
}

/// Deletes the leftover of an interrupted command.
pub fn remove(leftover: &Path) -> Result<()> {
    if subvolume::is_subvolume(leftover)? && subvolume::info(leftover)?.read_only {
        subvolume::make_writable(leftover)?;
    }
    stage::remove(leftover)
}

/// Makes data read-only, so that it is a leftover once the record does not name it.
pub fn retire(lock: &NodeLock, node: &Node, path: &DataPath) -> Result<()> {
    lock.ensure_protects(&node.name)?;
    if is_there(node, path)? {
        subvolume::make_read_only(&subvolume_of(node, path))?;
    }
    Ok(())
}

/// Deletes retired data, durably.
pub fn discard(lock: &NodeLock, node: &Node, path: &DataPath) -> Result<()> {
    lock.ensure_protects(&node.name)?;
    if !is_there(node, path)? {
        return Ok(());
    }
    let aside = directory(node).join(stage::hidden(layout::TRASH, &path.directory()));
    let place = subvolume_of(node, path);
    match std::fs::rename(&place, &aside) {
        Ok(()) => remove(&aside)?,
        // On a disk too full for a rename: btrfs reserves space for deleting, which frees some.
        Err(e) if e.kind() == io::ErrorKind::StorageFull => remove(&place)?,
        Err(e) => return Err(e).with_context(|| format!("removing {}", place.display())),
    }
    subvolume::sync(&node.dir).context("making the deletion durable")
}
