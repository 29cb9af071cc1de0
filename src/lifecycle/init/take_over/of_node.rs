//! The records of one node in a pool that is taken over: which can be accepted, and accepting them.
//!
//! Promises that what the system failed to read is an error, and not taken for lost: a node would become a template without
//! names, an environment stay without a record. What is damaged or forged is left out. Not for what is asked before.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::{at_path, if_exists, is_system_error};
use crate::pool::code::Key;
use crate::pool::node::is_replaceable;
use crate::pool::record::{self, EnvRecord, NodeRecord};
use crate::pool::{EnvName, NodeLock, NodeName, layout, properties, state};
use crate::publish::tftp;

/// The records of one node to take over.
#[derive(Debug)]
pub(super) struct OfNode {
    pub(super) name: NodeName,
    /// Its record, if this server has no readable one; `None` if the pool has none either and none could be made.
    pub(super) record: Option<NodeRecord>,
    /// Whether the pool has no record either, and one is made from the TFTP names.
    pub(super) is_made: bool,
    /// The environments whose records this server has not written.
    pub(super) environments: Vec<EnvName>,
}

impl OfNode {
    /// Looks at a node; `None` if there is none. Without a key no record is one of this server's.
    ///
    /// # Errors
    /// When the system fails to read any of it.
    pub(super) fn look(
        pool: &Path,
        state: &Path,
        name: NodeName,
        key: Option<&Key>,
    ) -> Result<Option<Self>> {
        let dir = layout::node(pool, &name);
        if !is_directory(&dir)? {
            return Ok(None);
        }
        let record_file = layout::node_state(state, &name).join(layout::NODE_RECORD);
        let is_lost = usable(is_replaceable(&record_file))?.unwrap_or(false);
        let copy = usable(record::read(&dir.join(layout::NODE_RECORD)))?.flatten();
        let copy = copy.and_then(|text| NodeRecord::parse(&text).ok());
        let is_made = is_lost && copy.is_none();
        let envs = dir.join(layout::ENVS);
        let mut environments = Vec::new();
        for env in environments_in(&envs)? {
            if is_believable(&envs.join(env.as_str()), key)? {
                environments.push(env);
            }
        }
        let record = match (is_lost, copy) {
            (true, None) => made_record(pool, &name)?,
            (true, copy) => copy,
            (false, _) => None,
        };
        Ok(Some(Self {
            name,
            record,
            is_made,
            environments,
        }))
    }

    /// Returns whether there is nothing to accept.
    pub(super) fn is_known(&self) -> bool {
        self.record.is_none() && self.environments.is_empty()
    }

    /// Accepts its records, as this server's own from then on.
    pub(super) fn believe(
        &self,
        lock: &NodeLock,
        pool: &Path,
        state: &Path,
        key: &Key,
    ) -> Result<()> {
        lock.ensure_protects(&self.name)?;
        let dir = layout::node_state(state, &self.name);
        state::private_directory(&dir)?;
        if let Some(record) = &self.record {
            record::write(&dir.join(layout::NODE_RECORD), record)?;
        }
        for env in &self.environments {
            let dir = layout::env(pool, &self.name, env);
            let mut record = read_record(&dir)?;
            // A machine may have booted it, whatever the record says: this server has not observed it.
            record.served = true;
            (record.left, record.withdrawn) = (None, None);
            // The number may be another filesystem's, and would give no order here.
            record.number = None;
            record.store(&dir, key, Durable::WithNextSync)?;
        }
        Ok(())
    }
}

/// Returns what was read; `None` for what is there and cannot be used.
///
/// # Errors
/// When the system failed: what is there is not known then.
pub(super) fn usable<T, E: Into<anyhow::Error>>(read: Result<T, E>) -> Result<Option<T>> {
    let error = match read.map_err(Into::into) {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    match error.downcast_ref::<io::Error>() {
        Some(e) if is_system_error(e) => Err(error),
        _ => Ok(None),
    }
}

fn is_directory(path: &Path) -> Result<bool> {
    let found = if_exists(path.symlink_metadata());
    let found = usable(found.map_err(|e| at_path(&e, path)))?.flatten();
    Ok(found.is_some_and(|found| found.is_dir()))
}

fn environments_in(envs: &Path) -> Result<Vec<EnvName>> {
    if !is_directory(envs)? {
        return Ok(Vec::new());
    }
    let names = names_in(envs)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Returns a record for a node that has none, from its TFTP names; `None` for a node without environments.
fn made_record(pool: &Path, name: &NodeName) -> Result<Option<NodeRecord>> {
    let envs = layout::node(pool, name).join(layout::ENVS);
    let mut served = Vec::new();
    for env in environments_in(&envs)? {
        let record = usable(read_record(&envs.join(env.as_str())))?;
        served.extend(record.map(|record| record.served));
    }
    if served.is_empty() {
        return Ok(None);
    }
    let links = usable(tftp::links(&layout::tftp(pool)))?.unwrap_or_default();
    if let Some((_, why)) = links.unread.into_iter().next() {
        return Err(anyhow::Error::msg(why).context(format!("looking for the names of {name}")));
    }
    let asked = links
        .read
        .iter()
        .filter(|(_, target)| tftp::led(target).is_some_and(|led| led.node == *name))
        .filter_map(|(path, _)| path.file_name()?.to_str())
        // No name tells whether the node had access=ro; without it, several machines would write to one root.
        .filter(|name| *name != properties::ANY);
    // A serial has no dashes.
    let (macs, serials): (Vec<&str>, Vec<&str>) = asked.partition(|name| name.contains('-'));
    // No machine boots a template.
    let is_template = macs.is_empty() && serials.is_empty() && !served.contains(&true);
    let mut record = NodeRecord::new(is_template);
    for (key, value) in [("mac", macs.join(",")), ("serial", serials.concat())] {
        if let Ok(value) = properties::find(key)?.normalise(&value)
            && !value.is_empty()
        {
            record.properties.insert(key.to_string(), value);
        }
    }
    Ok(Some(record))
}

/// Returns whether an environment has a readable record that this server has not accepted yet.
fn is_believable(dir: &Path, key: Option<&Key>) -> Result<bool> {
    let root = dir.join(layout::ROOT);
    let is_there = subvolume::is_subvolume(&root).map_err(|e| at_path(&e, &root));
    if !is_directory(dir)? || !usable(is_there)?.unwrap_or(false) {
        return Ok(false);
    }
    let file = dir.join(layout::ENV_RECORD);
    let Some(text) = usable(record::read(&file))?.flatten() else {
        return Ok(false);
    };
    if EnvRecord::parse(&text).is_err() {
        return Ok(false);
    }
    let Some(key) = key else { return Ok(true) };
    Ok(EnvRecord::parse_own(&text, key, subvolume::info(&root)?.uuid).is_err())
}

fn read_record(dir: &Path) -> Result<EnvRecord> {
    let file = dir.join(layout::ENV_RECORD);
    let text =
        record::read(&file)?.with_context(|| format!("{} does not exist", file.display()))?;
    EnvRecord::parse(&text).with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_the_system_failed_to_read_is_not_taken_for_lost() {
        let read = |errno: Errno| usable(Err::<(), _>(io::Error::from(errno)));
        for errno in [Errno::EIO, Errno::EMFILE, Errno::EPERM, Errno::ENOMEM] {
            assert!(read(errno).is_err(), "{errno}");
        }
        for errno in [Errno::ELOOP, Errno::EISDIR, Errno::ENOTDIR] {
            assert!(read(errno).is_ok_and(|found| found.is_none()), "{errno}");
        }
        let damaged = Err::<(), _>(anyhow::anyhow!("no JSON").context("reading a record"));
        assert!(usable(damaged).is_ok_and(|found| found.is_none()));
        let named = at_path(&io::Error::from(Errno::EIO), Path::new("/nodes"));
        assert!(usable(Err::<(), _>(anyhow::Error::new(named).context("reading"))).is_err());
    }
}
