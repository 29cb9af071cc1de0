//! Both halves of an environment, copied as a pair.
//!
//! Promises that a subvolume nested in a half arrives as an ordinary directory with its content, never as
//! the empty stub a snapshot leaves of it. Each half is a snapshot of one instant; the two instants lie
//! side by side, which is not the same one.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::failure::Failure;
use crate::pool::{Environment, layout};
use crate::storage::beneath::{Tree, descriptor_path};
use crate::storage::{btrfs, copy};

/// Snapshots both halves of an environment into `dir`; returns notes, a sentence each.
pub fn snapshot(source: &Environment, dir: &Path) -> Result<Vec<String>> {
    let halves = [
        (source.root(), dir.join(layout::ROOT)),
        (source.boot(), dir.join(layout::BOOT)),
    ];
    for (from, to) in &halves {
        btrfs::snapshot(from, to).map_err(|e| explained(e, source))?;
    }
    let mut notes = Vec::new();
    for (from, to) in &halves {
        notes.extend(flatten(from, to, source)?);
    }
    Ok(notes)
}

fn flatten(from: &Path, to: &Path, source: &Environment) -> Result<Vec<String>> {
    let nested = btrfs::nested(from).with_context(|| format!("looking into {source}"))?;
    for inner in outermost(&nested) {
        flatten_one(from, to, inner)
            .with_context(|| format!("carrying along the nested subvolume {inner} of {source}"))?;
    }
    Ok(outermost(&nested)
        .map(|inner| format!("{inner} was a subvolume inside {source}; here it is a directory with the same content"))
        .collect())
}

/// Turns the subvolumes that a run made inside a half into ordinary directories; returns notes.
///
/// systemd-tmpfiles makes them for lines of type v, q and Q where `/` is a subvolume: tmpfiles.d(5).
pub fn flatten_within(half: &Path) -> Result<Vec<String>> {
    let nested = btrfs::nested(half).with_context(|| format!("looking into {}", half.display()))?;
    for inner in outermost(&nested) {
        let tree = Tree::open(half)?;
        let aside = format!("{inner}.netbe-flat");
        fill(half, inner, half, &aside)
            .with_context(|| format!("flattening the subvolume {inner}"))?;
        let (parent, name) = tree.parent(inner)?;
        btrfs::delete(&descriptor_path(&parent).join(&name))?;
        let (_, aside) = tree.parent(&aside)?;
        nix::fcntl::renameat(&parent, aside.as_str(), &parent, name.as_str())
            .with_context(|| format!("flattening the subvolume {inner}"))?;
    }
    Ok(outermost(&nested)
        .map(|inner| format!("{inner} was made a subvolume; it is a directory now"))
        .collect())
}

fn flatten_one(from: &Path, to: &Path, inner: &str) -> Result<()> {
    let tree = Tree::open(to)?;
    // The stub that a snapshot leaves cannot be written into.
    tree.remove_dir(inner)?;
    fill(from, inner, to, inner)
}

/// Copies the directory `inner` of one tree to a new directory of another, sharing the space.
fn fill(from: &Path, inner: &str, to: &Path, new: &str) -> Result<()> {
    let open = |tree: &Tree, path: &str| -> Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        Ok(File::from(tree.open_at(path, flags, Mode::empty())?))
    };
    let (from, to) = (Tree::open(from)?, Tree::open(to)?);
    let source = open(&from, inner)?;
    to.make_dirs(new)?;
    let target = open(&to, new)?;
    copy::tree(&source, &target, &copy::Rules::default(), &mut |_| {})?;
    Ok(())
}

/// Returns those that lie in no other of them: copying one takes along what is inside it.
fn outermost(nested: &[String]) -> impl Iterator<Item = &str> {
    nested.iter().map(String::as_str).filter(move |inner| {
        !nested.iter().any(|o| {
            inner
                .strip_prefix(o.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        })
    })
}

fn explained(error: std::io::Error, source: &Environment) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::ExecutableFileBusy => Failure::failed(format!(
            "{source} holds a swap file that is in use, and btrfs cannot snapshot it: {error}"
        ))
        .hint("swapoff FILE where it is used, and keep swap files outside environments")
        .into(),
        _ => anyhow::Error::new(error).context(format!("copying {source}")),
    }
}
