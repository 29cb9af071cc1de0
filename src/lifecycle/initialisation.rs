//! Making a pool: `init`.
//!
//! A directory on btrfs, a file beside it formatted and mounted there, or a device. Promises that a device
//! that holds something is not formatted unasked, and that a pool is never made anew. The services that go
//! with it are installed where that is asked for.

mod ground;
pub mod services;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Mode, Outcome};
use crate::failure::Failure;
use crate::pool::record::{self, PoolRecord, VERSION};
use crate::pool::{Pool, layout, properties};
use crate::storage::btrfs;

/// What the pool is to be made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The directory as it is, on btrfs.
    Directory,
    /// A sparse file beside it, of this many bytes.
    File(u64),
    /// A block device; formatted although it holds something, when the flag says so.
    Device(PathBuf, bool),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The pool.
    pub dir: PathBuf,
    /// Whether it was one already.
    pub was_there: bool,
    /// What was done to install the services; `None` where that was not asked for.
    pub services: Option<Vec<String>>,
    /// What else a person should know or do, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// The smallest file a pool is made in, in bytes: less than mkfs.btrfs takes helps nobody.
const SMALLEST: u64 = 128 << 20;

/// Returns a size in bytes from `64G`, `500M`, `1T`, as powers of 1024.
///
/// # Errors
/// A sentence, for anything else and for less than 128M.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "K" | "KIB" => 1_u64 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "T" | "TIB" => 1 << 40,
        "" => 1,
        _ => return Err(format!("{text:?} is no size: 64G, 500M, 1T")),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is no size: 64G, 500M, 1T"))?;
    if bytes < SMALLEST {
        return Err(format!("{text} is too small for a pool: 128M at least"));
    }
    Ok(bytes)
}

/// Makes `dir` a pool on `ground`, and with `services` has this machine serve it.
pub fn init(
    dir: &Path,
    ground: &Ground,
    server: Option<&str>,
    services: bool,
    mode: Mode,
) -> Result<Outcome<Made>> {
    let dir = std::path::absolute(dir).with_context(|| format!("finding {}", dir.display()))?;
    refuse_path(&dir)?;
    let server = server
        .map(|s| properties::find("server")?.normalise(s))
        .transpose()?;
    let was_there = layout::pool_record(&dir).exists();
    // One spelling, that of the pool once it is open.
    let dir = match was_there {
        true => Pool::open(&dir)?.root().to_path_buf(),
        false => dir,
    };
    if services {
        services::refuse(&dir)?;
    }
    if !was_there {
        refuse_ground(&dir, ground)?;
    }
    if mode.dry_run && (services || !was_there) {
        let mut steps = match was_there {
            true => Vec::new(),
            false => steps(&dir, ground),
        };
        if services {
            steps.extend(services::install(&dir, mode)?.steps);
        }
        return Ok(Outcome::Planned(steps));
    }
    let mut notes = Vec::new();
    if !was_there {
        ground::prepare(&dir, ground, &mut notes)?;
        lay_out(&dir, server)
            .with_context(|| format!("laying out the pool in {}", dir.display()))?;
    }
    let done = match services {
        true => Some(services::install(&dir, mode).with_context(|| {
            format!(
                "{} is a pool, but its services are not installed",
                dir.display()
            )
        })?),
        false => None,
    };
    let (steps, more, warnings) = match done {
        Some(done) => (Some(done.steps), done.notes, done.warnings),
        None => (None, Vec::new(), Vec::new()),
    };
    notes.extend(more);
    Ok(Outcome::Done(Made {
        dir,
        was_there,
        services: steps,
        notes,
        warnings,
    }))
}

/// Refuses a place whose path cannot stand unquoted where it will be read.
fn refuse_path(dir: &Path) -> Result<()> {
    if layout::is_plain(dir) && dir != Path::new("/") {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} cannot hold a pool: its path ends up on kernel command lines, so letters, digits and /._+- only",
        dir.display()
    ))
    .into())
}

fn refuse_ground(dir: &Path, ground: &Ground) -> Result<()> {
    let empty = || layout::names_in(dir).is_ok_and(|n| n.is_empty());
    match ground {
        Ground::Directory => {
            let there = dir.ancestors().find(|a| a.exists()).unwrap_or(dir);
            let is_btrfs = btrfs::lies_on_btrfs(there)
                .with_context(|| format!("asking what {} lies on", there.display()))?;
            if !is_btrfs {
                return Err(Failure::refused(format!("{} is not on btrfs", dir.display()))
                    .hint(format!(
                        "on a file: netbe init {0} --file 64G; on a device: netbe init {0} --device DEV",
                        dir.display()
                    ))
                    .into());
            }
            let names = layout::names_in(dir)?;
            if let Some(name) = names
                .iter()
                .find(|n| ["nodes", "tftp", "publish"].contains(&n.as_str()))
            {
                return Err(Failure::refused(format!(
                    "{} holds {name} but no pool.json: half a pool, or something else",
                    dir.display()
                ))
                .hint("restore pool.json, or choose another directory")
                .into());
            }
        }
        _ if !empty() => {
            return Err(Failure::refused(format!("{} is not empty", dir.display())).into());
        }
        Ground::File(_) => {
            let image = ground::image(dir);
            if image.symlink_metadata().is_ok() {
                return Err(
                    Failure::refused(format!("{} is there already", image.display()))
                        .hint(format!(
                            "mount -o loop {} {}",
                            image.display(),
                            dir.display()
                        ))
                        .into(),
                );
            }
        }
        Ground::Device(device, yes) => ground::refuse_device(device, *yes)?,
    }
    Ok(())
}

fn steps(dir: &Path, ground: &Ground) -> Vec<String> {
    let on = match ground {
        Ground::Directory => None,
        Ground::File(bytes) => Some((
            format!("make {} of {bytes} bytes", ground::image(dir).display()),
            ground::image(dir),
        )),
        Ground::Device(device, _) => Some((format!("format {}", device.display()), device.clone())),
    };
    let mut steps = Vec::new();
    if let Some((make, what)) = on {
        steps.push(make);
        steps.push(format!("mount {} at {}", what.display(), dir.display()));
        steps.push("make the mount permanent".to_string());
    }
    steps.push(format!("lay out a pool in {}", dir.display()));
    steps
}

fn lay_out(dir: &Path, server: Option<String>) -> Result<()> {
    for part in [
        layout::nodes(dir),
        layout::tftp(dir),
        layout::publish(dir),
        layout::locks(dir),
    ] {
        match fs::create_dir(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("making {}", part.display()));
            }
            _ => {}
        }
    }
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("making a UUID")?;
    let mut record = PoolRecord {
        version: VERSION,
        uuid: uuid.trim().to_string(),
        properties: std::collections::BTreeMap::new(),
        other: serde_json::Map::new(),
    };
    record
        .properties
        .extend(server.map(|s| ("server".to_string(), s)));
    // Last: with it, it is a pool.
    record::write(&layout::pool_record(dir), &record)?;
    btrfs::sync(dir).context("making the pool durable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64G"), Ok(64 << 30));
        assert_eq!(size("500m"), Ok(500 << 20));
        assert_eq!(size("1T"), Ok(1 << 40));
        for bad in ["", "G", "64X", "-1G", "1.5G", "99999999999T", "1M"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
