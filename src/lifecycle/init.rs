//! Making a pool: `init`.
//!
//! In a directory on btrfs, a file beside it formatted and mounted there, or a device. Promises that a device that is
//! not empty is not formatted without `--yes`, that a pool is never overwritten, and that it is not on a filesystem of
//! the server itself. Installs the services with `--services`.

mod backing;
pub mod filesystem;
mod refusals;
pub mod services;
mod take_over;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::properties::{self as settings, Changed};
use super::{Mode, Outcome, addresses};
use crate::btrfs::subvolume;
use crate::pool::base::Base;
use crate::pool::record::{self, PoolRecord, VERSION};
use crate::pool::state::{self, Place};
use crate::pool::{self, Pool, claimed, layout, properties};
use refusals::{refuse_ground, refuse_path};
use take_over::Offer;

/// The backing of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The directory as it is, on btrfs.
    Directory,
    /// A sparse file beside it, of this many bytes.
    File(u64),
    /// A block device; with the flag, it is formatted even if it is not empty.
    Device(PathBuf, bool),
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The pool.
    pub dir: PathBuf,
    /// Whether it existed already.
    pub was_there: bool,
    /// Whether it was taken over.
    pub taken_over: bool,
    /// The steps of installing the services; `None` without `--services`.
    pub services: Option<Vec<String>>,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// The smallest file for a pool, in bytes, which mkfs.btrfs accepts.
const SMALLEST: u64 = 128 << 20;

/// Returns a size in bytes from `64G`, `500M`, `1T`, as powers of 1024.
///
/// # Errors
/// A sentence, for any other text and for less than 128M.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "K" | "KIB" => 1_u64 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "T" | "TIB" => 1 << 40,
        "" => 1,
        _ => return Err(format!("{text:?} is not a size: 64G, 500M, 1T")),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is not a size: 64G, 500M, 1T"))?;
    if bytes < SMALLEST {
        return Err(format!("{text} is too small for a pool: 128M at least"));
    }
    Ok(bytes)
}

/// The request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory.
    pub dir: PathBuf,
    /// The directory of state directories.
    pub states: PathBuf,
    /// The backing of a pool.
    pub ground: Ground,
    /// The address by which nodes reach this machine.
    pub server: Option<String>,
    /// Whether this machine is to serve it.
    pub services: bool,
    /// Whether to take over a pool that is new to this server.
    pub take_over: TakeOver,
}

/// Whether a pool that is new to this server is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// It is refused.
    No,
    /// Its settings are returned as steps to be shown; else it is refused.
    Show,
    /// It is taken over.
    Believe,
}

/// Makes a pool, or takes one over, and installs the services if requested.
pub fn init(request: &Request, mode: Mode) -> Result<Outcome<Made>> {
    let dir = std::path::absolute(&request.dir)
        .with_context(|| format!("finding {}", request.dir.display()))?;
    refuse_path(&dir)?;
    let server = request.server.as_deref();
    let server = server
        .map(|s| properties::find("server")?.normalise(s))
        .transpose()?;
    let was_there =
        layout::pool_record(&dir).exists() || pool::known(&dir, &request.states)?.is_some();
    let offer = match was_there && request.take_over != TakeOver::No {
        true => Offer::look(&dir, &request.states)?,
        false => None,
    };
    if request.take_over != TakeOver::No && !was_there {
        claimed(&dir)?;
    }
    // The canonical path, as in the opened pool.
    let pool = match was_there && offer.is_none() {
        true => Some(Pool::open(&dir, &request.states)?),
        false => None,
    };
    let dir = pool.as_ref().map_or(dir, |pool| pool.root().to_path_buf());
    if request.services {
        services::refuse(&dir, &request.states, pool.as_ref())?;
    }
    if !was_there {
        refuse_ground(&dir, &request.ground, &request.states)?;
    }
    if mode.dry_run {
        let mut steps = match (&offer, was_there) {
            (Some(offer), _) => offer.lines(),
            (None, true) => closing(&dir)?,
            (None, false) => steps(&dir, &request.ground),
        };
        if let (Some(pool), Some(server)) = (&pool, &server)
            && let Some(Outcome::Planned(setting)) = set_server(pool, server, mode)?
        {
            steps.extend(setting);
        }
        if request.services {
            steps.extend(services::install(&dir, &request.states, pool.as_ref(), mode)?.steps);
        } else if !was_there {
            let mut done = services::Done::default();
            services::installed_units::renew(&dir, &request.states, false, &mut done)?;
            steps.extend(done.steps);
        }
        return Ok(Outcome::Planned(steps));
    }
    if offer.is_some() && request.take_over != TakeOver::Believe {
        return Err(take_over::not_confirmed(&dir));
    }
    make(&dir, request, server.as_deref(), offer, was_there, mode).map(Outcome::Done)
}

fn make(
    dir: &Path,
    request: &Request,
    server: Option<&str>,
    offer: Option<Offer>,
    was_there: bool,
    mode: Mode,
) -> Result<Made> {
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    let taken_over = offer.is_some();
    if let Some(offer) = offer {
        notes.extend(backing::confine(dir)?);
        warnings.extend(offer.apply(&request.states, mode)?);
    } else if was_there {
        // Options missing in an administrator's own mount, or one of an older netbe.
        notes.extend(backing::confine(dir)?);
        filesystem::close(&layout::nodes(dir))?;
    } else {
        backing::prepare(dir, &request.ground, &mut notes)?;
        lay_out(dir, &request.states, server)
            .with_context(|| format!("making the pool in {}", dir.display()))?;
    }
    let mut pool = Pool::open(dir, &request.states)?;
    if let Some(server) = server
        && let Some(Outcome::Done(changed)) = set_server(&pool, server, mode)?
    {
        notes.push(format!("set {} on the pool", changed.set.join(", ")));
        warnings.extend(changed.warnings);
        if changed.is_for_new && pool.nodes()?.iter().any(|n| n.active.is_some()) {
            notes.push(settings::for_new(None));
        }
        pool = pool.again()?;
    } else if server.is_some() {
        warnings.extend(addresses::of_server(&pool, None).map(|misfit| misfit.sentence()));
    }
    let mut steps = None;
    if request.services {
        let done =
            services::install(dir, &request.states, Some(&pool), mode).with_context(|| {
                format!(
                    "{} is a pool, but its services are not installed",
                    dir.display()
                )
            })?;
        steps = Some(done.steps);
        notes.extend(done.notes);
        warnings.extend(done.warnings);
    }
    if steps.is_none() && !was_there {
        // The units wait for every pool's filesystem.
        let mut done = services::Done::default();
        services::installed_units::renew(dir, &request.states, true, &mut done)?;
        if !done.steps.is_empty() {
            notes.push(format!(
                "the services now also wait for the mount of {}; to serve its nodes: netbe init {0} --services",
                dir.display()
            ));
        }
    }
    Ok(Made {
        dir: pool.root().to_path_buf(),
        was_there,
        taken_over,
        services: steps,
        notes,
        warnings,
    })
}

/// Sets the server's address on a pool that has another one, or none.
fn set_server(pool: &Pool, server: &str, mode: Mode) -> Result<Option<Outcome<Changed>>> {
    let property = "server".to_string();
    if pool.record().properties.get(&property).map(String::as_str) == Some(server) {
        return Ok(None);
    }
    let request = settings::Request {
        assignments: &[(property, server.to_string())],
        force: false,
        existing: false,
    };
    settings::set(pool, None, request, mode).map(Some)
}

/// Returns the steps that keep the users of this machine from the files of a pool's nodes, if there are any to take.
fn closing(dir: &Path) -> Result<Vec<String>> {
    let missing = filesystem::missing_options(dir)?;
    let mut steps = Vec::new();
    if !missing.is_empty() {
        steps.push(format!("mount {} {}", dir.display(), missing.join(",")));
    }
    let nodes = layout::nodes(dir);
    if filesystem::is_open(&nodes) {
        steps.push(format!("close {} to other users", nodes.display()));
    }
    Ok(steps)
}

fn steps(dir: &Path, ground: &Ground) -> Vec<String> {
    let on = match ground {
        Ground::Directory => None,
        Ground::File(bytes) => Some((
            format!("make {} of {bytes} bytes", backing::image(dir).display()),
            backing::image(dir),
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

fn lay_out(dir: &Path, states: &Path, server: Option<&str>) -> Result<()> {
    for part in [layout::nodes(dir), layout::tftp(dir)] {
        match fs::create_dir(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("making {}", part.display()));
            }
            _ => {}
        }
    }
    filesystem::close(&layout::nodes(dir))?;
    let mut record = PoolRecord {
        version: VERSION,
        uuid: Base::new_id()?,
        properties: std::collections::BTreeMap::new(),
        other: serde_json::Map::new(),
    };
    record
        .properties
        .extend(server.map(|s| ("server".to_string(), s.to_string())));
    let state = layout::state(states, &record.uuid);
    state::make(&state)?;
    record::write(&state.join(layout::POOL_RECORD), &record)?;
    // This file marks it as a pool.
    Place::locate(&dir.canonicalize()?)?.write(&state)?;
    record::write(&layout::pool_record(dir), &record.without_secrets())?;
    subvolume::sync(dir).context("making the pool durable")
}

/// Makes a UUID.
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
