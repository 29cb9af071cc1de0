//! Importing a directory of this machine: a mounted card, a debootstrap, or the live `/`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Progress, Target, counting};
use crate::failure::Failure;
use crate::fs::copy::{self, Report, Rules};
use crate::fs::opener;

/// The file that marks the top of a pool.
const POOL_MARK: &str = "pool.json";

/// Copies a directory into the root half.
pub(super) fn unpack(
    path: &Path,
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<()> {
    let from = opener::directory(path).with_context(|| format!("opening '{}'", path.display()))?;
    let skip = own_places(target)?;
    if skip.contains(&place(&from.metadata()?)) {
        let shown = path.display();
        return Err(Failure::usage(format!("'{shown}' is the pool itself, not a system")).into());
    }
    let rules = Rules {
        enter: ["boot", "boot/firmware"].map(PathBuf::from).to_vec(),
        skip,
        flags: false,
    };
    progress.phase("copying the system");
    let report = copy::tree(&from, &target.root, &rules, &mut counting(progress, None))
        .with_context(|| format!("importing '{}'", path.display()))?;
    note(&report, notes);
    Ok(())
}

/// Adds notes about what a copy omitted.
pub(super) fn note(report: &Report, notes: &mut Vec<String>) {
    let list = |paths: &[PathBuf]| {
        let shown: Vec<String> = paths.iter().map(|p| format!("/{}", p.display())).collect();
        shown.join(", ")
    };
    if !report.pseudo.is_empty() {
        notes.push(format!(
            "left empty, since the kernel fills them: {}",
            list(&report.pseudo)
        ));
    }
    if !report.mounts.is_empty() {
        notes.push(format!(
            "left out, since they are separate filesystems: {}",
            list(&report.mounts)
        ));
    }
    if !report.skipped.is_empty() {
        notes.push(format!(
            "left out, since it is the pool itself: {}",
            list(&report.skipped)
        ));
    }
    for subvolume in &report.subvolumes {
        notes.push(format!(
            "nested subvolume {} copied as a directory",
            subvolume.display()
        ));
    }
    if !report.xattrs.is_empty() {
        let names: Vec<_> = report.xattrs.iter().map(|n| n.to_string_lossy()).collect();
        notes.push(format!("attributes left out: {}", names.join(", ")));
    }
}

/// Returns the directory to omit: the pool, or at least the stage.
fn own_places(target: &Target) -> Result<Vec<(u64, u64)>> {
    let mut places = Vec::new();
    for half in [&target.root, &target.boot] {
        let found = half.metadata()?;
        places.push((found.dev(), found.ino()));
    }
    let stage = target.scratch.canonicalize()?;
    places.push(place(&stage.metadata()?));
    let pool = stage
        .ancestors()
        .find(|above| above.join(POOL_MARK).is_file());
    if let Some(pool) = pool {
        places.push(place(&pool.metadata()?));
    }
    Ok(places)
}

fn place(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
