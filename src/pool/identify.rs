//! Identifying the pool in a directory, and whether this server has taken it over.
//!
//! By the directory's place (filesystem, subvolume, inode), not by the records in it. Reads only.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::record::{self, PoolRecord};
use super::state::{self, Place};
use super::{layout, local};
use crate::boot::grub;
use crate::btrfs::subvolume;
use crate::failure::Failure;

/// Returns the canonical path of a pool, and its state directory; `None` if this server has none for it.
pub(crate) fn known(root: &Path, states: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let root = match root.canonicalize() {
        Ok(root) => root,
        Err(e) if is_missing(&e) => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("finding {}", root.display())),
    };
    let finding = || format!("finding which filesystem {} is on", root.display());
    if !subvolume::is_on_btrfs(&root).with_context(finding)? {
        return Ok(None);
    }
    let place = Place::locate(&root)?;
    let found = state::all(states)?;
    let mut found = found.into_iter();
    Ok(found
        .find(|(_, of)| of.is_same(&place))
        .map(|(state, _)| (root, state)))
}

/// Returns the refusal of a pool whose key is lost: none of its records can be verified.
pub(super) fn without_key(root: &Path, state: &Path) -> anyhow::Error {
    let root = root.display();
    Failure::refused(format!(
        "the key of the pool at {root} is lost ({}/key): the records of its environments cannot be verified; to see what \
        would be accepted without",
        state.display()
    ))
    .hint(format!("netbe init {root} --take-over -n"))
    .into()
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Returns the command that mounts or makes a pool at a directory without one.
fn way_to_a_pool(root: &Path) -> String {
    let image = layout::image(root);
    let dir = root.display();
    if image.exists() {
        return format!("mount -o loop {} {dir}", image.display());
    }
    // The filesystem of the nearest existing directory.
    let is_on_btrfs = root
        .ancestors()
        .find_map(|dir| subvolume::is_on_btrfs(dir).ok());
    match is_on_btrfs {
        Some(false) => format!("netbe init {dir} --file 64G"),
        _ => format!("netbe init {dir}"),
    }
}

/// Returns the canonical path of a pool, and its own record, which is not trusted.
pub(crate) fn claimed(root: &Path) -> Result<(PathBuf, PoolRecord)> {
    let file = layout::pool_record(root);
    let Some(text) = record::read(&file)? else {
        if Path::new(grub::SCRIPT).exists() && !local::is_there() {
            return Err(Failure::not_found(format!(
                "no pool at {}, and this machine's own is not mounted at {}",
                root.display(),
                local::DIR
            ))
            .hint("netbe adopt")
            .into());
        }
        return Err(Failure::not_found(format!("no pool at {}", root.display()))
            .hint_to(
                "if its filesystem should be mounted there, mount it, else make a new pool",
                way_to_a_pool(root),
            )
            .into());
    };
    let reading = || format!("reading {}", file.display());
    let record = PoolRecord::parse(&text).with_context(reading)?;
    // Canonical, since exports, command lines and links are compared as text.
    let root = root
        .canonicalize()
        .with_context(|| format!("finding {}", root.display()))?;
    let on_btrfs = subvolume::is_on_btrfs(&root)
        .with_context(|| format!("finding which filesystem {} is on", root.display()))?;
    if !on_btrfs {
        return Err(Failure::failed(format!(
            "{} holds a pool.json but is not on btrfs: is the pool's filesystem mounted?",
            root.display()
        ))
        .hint(format!("findmnt -T {}", root.display()))
        .into());
    }
    // The UUID becomes part of a path.
    let is_uuid = record.uuid.len() == 36
        && record
            .uuid
            .bytes()
            .all(|b| b == b'-' || b.is_ascii_hexdigit());
    anyhow::ensure!(
        is_uuid,
        "{}: {:?} is not a UUID",
        file.display(),
        record.uuid
    );
    Ok((root, record))
}

pub(super) fn not_taken_over(root: &Path, claimed: &Path) -> anyhow::Error {
    let why = match Place::read(claimed) {
        Ok(Some(other)) => format!(
            "its record is that of the pool at {}: it was copied or moved",
            other.dir.display()
        ),
        _ => "it was made on another server, or by an older netbe".to_string(),
    };
    let root = root.display();
    Failure::refused(format!(
        "this server has not taken over the pool at {root}: {why}"
    ))
    .hint_to(
        "to see its settings",
        format!("netbe init {root} --take-over -n"),
    )
    .into()
}
