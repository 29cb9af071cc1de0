//! The systemd units on disk: writing and enabling them, and refusing if others are in their place.
//!
//! Promises that no file is overwritten that netbe did not write. Not for their texts, nor for starting them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::units::{
    SERVICE, TFTP, TIMER, UNITS, Unit, WrittenFor, extension, is_wanted, units, written_for,
};
use super::{Done, not_ours};
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::systemd;
use crate::pool::state;

/// Returns the directories of all pools of this server, including one that is about to be made.
pub(super) fn served(dir: &Path, states: &Path) -> Result<Vec<PathBuf>> {
    let known = state::all(states).with_context(|| format!("reading {}", states.display()))?;
    let mut dirs: Vec<PathBuf> = known.into_iter().map(|(_, place)| place.dir).collect();
    dirs.push(dir.to_path_buf());
    dirs.sort();
    dirs.dedup();
    Ok(dirs)
}

/// Refuses if units in the way are not netbe's, or are for pools with state directories elsewhere.
pub(super) fn refuse(dir: &Path, states: &Path) -> Result<()> {
    let dirs = served(dir, states)?;
    let units = units(&dirs, states)?;
    let written = units.iter().filter_map(|unit| unit.file.as_ref());
    let mut paths: Vec<PathBuf> = written.map(|(path, _)| path.clone()).collect();
    paths.extend(units.iter().filter_map(Unit::hiding));
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else {
            match path.symlink_metadata() {
                Ok(_) => return Err(not_ours(&path).into()),
                Err(_) => continue,
            }
        };
        match written_for(&text) {
            Some(WrittenFor::Pools(other)) if other == states => {}
            // A unit of an older netbe.
            Some(WrittenFor::Pool(pool)) if dirs.iter().any(|dir| dir == pool) => {}
            Some(WrittenFor::Pools(other) | WrittenFor::Pool(other)) => {
                return Err(Failure::refused(format!(
                    "{} is for the pool in {}, which is not in {}",
                    path.display(),
                    other.display(),
                    states.display()
                ))
                .hint_to(
                    "if that pool no longer exists, remove it",
                    format!("rm {}", path.display()),
                )
                .into());
            }
            None => return Err(not_ours(&path).into()),
        }
    }
    Ok(())
}

/// Brings the units up to date if this server has them, as after another pool was made.
pub(in super::super) fn renew(
    dir: &Path,
    states: &Path,
    write: bool,
    done: &mut Done,
) -> Result<()> {
    // A whole unit, or a drop-in of a package's unit: a package may have been installed or removed since.
    let places = [Path::new(UNITS).join(TFTP), extension(TFTP)];
    let is_ours = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        written_for(&text) == Some(WrittenFor::Pools(states))
    };
    if places.iter().any(is_ours) {
        install(dir, states, write, done)?;
    }
    Ok(())
}

/// Writes and enables the units; returns whether the unit of the TFTP server changed.
pub(super) fn install(dir: &Path, states: &Path, write: bool, done: &mut Done) -> Result<bool> {
    if !systemd::is_installed() {
        return Ok(false);
    }
    let (mut news, mut renewed) = (false, false);
    let units = units(&served(dir, states)?, states)?;
    for unit in &units {
        let Some((path, text)) = &unit.file else {
            continue;
        };
        if fs::read_to_string(path).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        news = true;
        renewed |= unit.name == TFTP;
        done.steps.push(format!("write {}", path.display()));
        if write {
            if let Some(dir) = path.parent() {
                atomic::directories(dir)?;
            }
            atomic::file(path, text.as_bytes(), Durable::AtOnce)?;
        }
    }
    // `refuse` has made sure that existing units are netbe's.
    for hiding in units.iter().filter_map(Unit::hiding) {
        if hiding.symlink_metadata().is_err() {
            continue;
        }
        news = true;
        renewed |= hiding.ends_with(TFTP);
        done.steps.push(format!(
            "remove {}, which hides the package's",
            hiding.display()
        ));
        if write {
            fs::remove_file(&hiding).with_context(|| format!("removing {}", hiding.display()))?;
        }
    }
    for (unit, target) in [
        (SERVICE, "multi-user.target"),
        (TFTP, "multi-user.target"),
        (TIMER, "timers.target"),
    ] {
        if is_wanted(unit) {
            continue;
        }
        let Some(at) = units.iter().find(|known| known.name == unit).map(|u| &u.at) else {
            continue;
        };
        let wants = Path::new(UNITS).join(format!("{target}.wants"));
        news = true;
        done.steps.push(format!("enable {unit}"));
        if write {
            atomic::directories(&wants)?;
            // As `systemctl enable` does, which also works where systemd does not run now.
            atomic::link(&wants.join(unit), at)?;
        }
    }
    if news && write && systemd::is_running() {
        systemd::systemctl(&["daemon-reload"])?;
    }
    Ok(renewed)
}
