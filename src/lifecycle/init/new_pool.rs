//! Making a new pool: its backing, its directories and its records.
//!
//! Complete or not at all: a failure removes what was made. Not for the refusals before.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::backing::{self, Undo};
use super::{Ground, Made, Request, confining, filesystem};
use crate::btrfs::subvolume;
use crate::pool::base::Base;
use crate::pool::record::{self, Local, PoolRecord, VERSION};
use crate::pool::state::{self, Place};
use crate::pool::{Pool, layout};
use crate::terminal;

/// Returns the steps of [`make`].
pub(super) fn steps(dir: &Path, ground: &Ground) -> Result<Vec<String>> {
    let on = match ground {
        Ground::Directory => None,
        Ground::File(bytes) => Some((
            format!(
                "make {} of {} ({bytes} bytes)",
                layout::image(dir).display(),
                terminal::bytes(*bytes)
            ),
            layout::image(dir),
        )),
        Ground::Device(device, _) => Some((format!("format {}", device.display()), device.clone())),
    };
    let mut steps = Vec::new();
    if let Some((make, what)) = on {
        steps.push(make);
        steps.push(format!("mount {} at {}", what.display(), dir.display()));
        steps.push("make the mount permanent".to_string());
    } else {
        let there = dir.ancestors().find(|a| a.exists()).unwrap_or(dir);
        steps.extend(confining(dir, there)?);
    }
    steps.push(format!("lay out a pool in {}", dir.display()));
    Ok(steps)
}

/// Lays out a pool in a directory; on the disk that this machine boots from, it is `local`.
pub(in crate::lifecycle) fn lay_out(
    dir: &Path,
    states: &Path,
    server: Option<&str>,
    local: Option<Local>,
    undo: &mut Undo,
) -> Result<()> {
    for part in [layout::nodes(dir), layout::tftp(dir)] {
        match fs::create_dir(&part) {
            Ok(()) => undo.by(move || drop(fs::remove_dir(&part))),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("making {}", part.display())),
        }
    }
    filesystem::close(&layout::nodes(dir))?;
    let mut record = PoolRecord {
        version: VERSION,
        uuid: Base::new_id()?,
        properties: std::collections::BTreeMap::new(),
        local,
        other: serde_json::Map::new(),
    };
    record
        .properties
        .extend(server.map(|s| ("server".to_string(), s.to_string())));
    let state = layout::state(states, &record.uuid);
    let (own, on_pool) = (state.clone(), layout::pool_record(dir));
    undo.by(move || {
        let _ = fs::remove_file(&on_pool);
        let _ = fs::remove_dir_all(&own);
    });
    state::make(&state)?;
    record::write(&state.join(layout::POOL_RECORD), &record)?;
    // This file marks it as a pool.
    Place::locate(&dir.canonicalize()?)?.write(&state)?;
    record::write(&layout::pool_record(dir), &record.without_secrets())?;
    subvolume::sync(dir).context("making the pool durable")
}

/// Makes a pool, complete or not at all.
pub(super) fn make(
    dir: &Path,
    request: &Request,
    server: Option<&str>,
    made: &mut Made,
) -> Result<()> {
    let mut undo = Undo::default();
    let prepared = backing::prepare(dir, &request.ground, &mut undo)?;
    lay_out(dir, &request.states, server, None, &mut undo)
        .with_context(|| format!("making the pool in {}", dir.display()))?;
    made.notes
        .extend(backing::settle(dir, prepared, &mut undo)?);
    // The canonical path, as of an opened pool.
    let pool = Pool::open(dir, &request.states)?;
    made.dir = pool.root().to_path_buf();
    if server.is_some() {
        made.warn_of_server(&pool);
    }
    undo.keep();
    Ok(())
}
