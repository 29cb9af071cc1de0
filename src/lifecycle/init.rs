//! Making a pool: `init`.
//!
//! In a directory on btrfs, a file beside it formatted and mounted there, or a device. Promises that a device that is
//! not empty is not formatted without `--yes`, that a pool is never overwritten, and that it is not on a filesystem of
//! the server itself. Installs the services with `--services`.

pub(super) mod backing;
pub mod filesystem;
pub(super) mod new_pool;
mod refusals;
pub mod services;
mod take_over;
mod unbootable;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Plan;
use super::properties as settings;
use super::{Mode, Outcome, addresses};
use crate::failure::Failure;
use crate::fs::path_error::{at_path, is_system_error};
use crate::pool::{self, Pool, claimed, layout, local, properties};
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

impl Made {
    /// Warns of a server's address that does not fit this machine.
    fn warn_of_server(&mut self, pool: &Pool) {
        let misfits = addresses::of_server(pool, None);
        self.warnings
            .extend(misfits.map(|misfit| misfit.sentence()));
    }
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
        let instead = match unit {
            1 => format!("a number alone is bytes; {text}G?"),
            _ => "128M at least".to_string(),
        };
        return Err(format!("{text} is too small for a pool: {instead}"));
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
    /// Whether this machine is to serve the pool.
    pub services: bool,
    /// Whether to take over a pool that is new to this server.
    pub take_over: TakeOver,
}

/// Whether a pool that is new to this server is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// The pool is refused.
    No,
    /// A dry run returns the pool's settings as steps; otherwise the pool is refused.
    Show,
    /// The pool is taken over.
    Believe,
}

/// Makes a pool, or takes one over, and installs the services if requested.
pub fn init(request: &Request, mode: Mode) -> Result<Outcome<Made>> {
    let dir = std::path::absolute(&request.dir)
        .with_context(|| format!("finding {}", request.dir.display()))?;
    refuse_path(&dir)?;
    if dir == Path::new(local::DIR) {
        return Err(Failure::refused(format!(
            "{} is where the pool of this machine itself is mounted, which netbe adopt makes",
            dir.display()
        ))
        .hint("netbe adopt -n")
        .into());
    }
    let server = request.server.as_deref();
    let server = server
        .map(|s| properties::find("server")?.normalise(s))
        .transpose()?;
    let was_there = has_pool_record(&dir)? || pool::known(&dir, &request.states)?.is_some();
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
    let making = || {
        Ok(Made {
            dir: dir.clone(),
            was_there,
            taken_over: offer.is_some(),
            services: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    };
    let made = mode.unless_dry(making)?;
    let mut plan = Plan::new();
    match &offer {
        Some(offer) => plan.steps(offer.lines(), |made: &mut Made| {
            if request.take_over != TakeOver::Believe {
                return Err(take_over::not_confirmed(&dir));
            }
            made.notes.extend(backing::confine(&dir)?);
            made.warnings.extend(offer.apply(&request.states, mode)?);
            Ok(())
        }),
        // Options missing in an administrator's own mount, or one of an older netbe.
        None if was_there => plan.steps(closing(&dir)?, |made| {
            made.notes.extend(backing::confine(&dir)?);
            filesystem::close(&layout::nodes(&dir))
        }),
        None => plan.steps(new_pool::steps(&dir, &request.ground)?, |made| {
            new_pool::make(&dir, request, server.as_deref(), made)
        }),
    }
    let pool = match (pool, &server) {
        (Some(pool), Some(server)) => Some(plan_server(&mut plan, pool, server, mode)?),
        (pool, _) => pool,
    };
    plan_services(&mut plan, &dir, request, pool.as_ref(), was_there, mode)?;
    plan.carry_out(made)
}

/// Returns whether a directory has the record of a pool.
///
/// # Errors
/// When the system fails to look: a pool would be taken for an empty directory.
fn has_pool_record(dir: &Path) -> Result<bool> {
    let file = layout::pool_record(dir);
    match file.try_exists() {
        Err(e) if is_system_error(&e) => Err(at_path(&e, &file).into()),
        found => Ok(found.unwrap_or(false)),
    }
}

/// Plans the server's address of a pool that has another one, or none; returns the pool as it will be.
fn plan_server<'a>(
    plan: &mut Plan<'a, Made>,
    pool: Pool,
    server: &str,
    mode: Mode,
) -> Result<Pool> {
    let mut record = pool.record().clone();
    let before = record.properties.insert("server".into(), server.into());
    let then = pool.with_record(&record);
    if before.as_deref() == Some(server) {
        // Nothing is set, but an address that does not fit is still reported.
        plan.steps(Vec::new(), move |made| {
            made.warn_of_server(&pool);
            Ok(())
        });
        return Ok(then);
    }
    let server = [("server".to_string(), server.to_string())];
    let set = move |pool: &Pool, mode| {
        let request = settings::Request {
            assignments: &server,
            force: false,
            existing: false,
        };
        settings::set(pool, None, request, mode)
    };
    if let Outcome::Planned(steps) = set(&pool, mode.dry())? {
        plan.steps(steps, move |made| {
            let Outcome::Done(changed) = set(&pool, mode)? else {
                return Ok(());
            };
            made.notes
                .push(format!("{} is set on the pool now", changed.set.join(", ")));
            made.warnings.extend(changed.warnings);
            if changed.is_for_new && pool.nodes()?.iter().any(|n| n.active.is_some()) {
                made.notes.push(settings::for_new(None));
            }
            Ok(())
        });
    }
    Ok(then)
}

/// Plans the services, if requested; else has the installed ones wait for a new pool's filesystem too.
fn plan_services<'a>(
    plan: &mut Plan<'a, Made>,
    dir: &'a Path,
    request: &'a Request,
    pool: Option<&Pool>,
    was_there: bool,
    mode: Mode,
) -> Result<()> {
    let states = &request.states;
    if request.services {
        let steps = services::install(dir, states, pool, mode.dry())?.steps;
        plan.steps(steps, move |made| {
            let pool = Pool::open(dir, states)?;
            let done = services::install(dir, states, Some(&pool), mode);
            let done = done.with_context(|| {
                format!(
                    "{} is a pool, but its services are not installed",
                    dir.display()
                )
            })?;
            made.services = Some(done.steps);
            made.notes.extend(done.notes);
            made.warnings.extend(done.warnings);
            Ok(())
        });
    } else if !was_there {
        let renew = move |write| {
            let mut done = services::Done::default();
            services::installed_units::renew(dir, states, write, &mut done).map(|()| done.steps)
        };
        plan.steps(renew(false)?, move |made| {
            if !renew(true)?.is_empty() {
                made.notes.push(format!(
                    "the services now also wait for the mount of {}; to serve its nodes: netbe init {0} --services",
                    dir.display()
                ));
            }
            Ok(())
        });
    }
    Ok(())
}

/// Returns the missing steps that keep users of this machine from the files of a pool's nodes.
fn closing(dir: &Path) -> Result<Vec<String>> {
    let mut steps: Vec<String> = confining(dir, dir)?.into_iter().collect();
    let nodes = layout::nodes(dir);
    if filesystem::is_open(&nodes) {
        steps.push(format!("close {} to other users", nodes.display()));
    }
    Ok(steps)
}

/// Returns the step that mounts a directory with the options that its existing part, `there`, lacks.
fn confining(dir: &Path, there: &Path) -> Result<Option<String>> {
    let missing = filesystem::missing_options(there)?.join(",");
    Ok((!missing.is_empty()).then(|| format!("mount {} {missing}", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64G"), Ok(64 << 30));
        assert_eq!(size("500m"), Ok(500 << 20));
        assert_eq!(size("1T"), Ok(1 << 40));
        assert_eq!(size("1073741824"), Ok(1 << 30));
        for bad in ["", "G", "64X", "-1G", "1.5G", "99999999999T", "1M"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        let why = "64 is too small for a pool: a number alone is bytes; 64G?";
        assert_eq!(size("64"), Err(why.to_string()));
    }
}
