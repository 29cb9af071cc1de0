//! Taking over a pool that is new to this server: made on another server, or by an older netbe.
//!
//! The records in such a pool may have been forged: so they are shown first, and accepted only on request. From then on
//! this server uses copies on its own disk. Records of past boots are not taken over: they could only make a running
//! environment look unused. Not for the pool's content.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::unbootable;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::if_exists;
use crate::lifecycle::Mode;
use crate::pool::base::Base;
use crate::pool::code::Key;
use crate::pool::lock::Share;
use crate::pool::node::is_replaceable;
use crate::pool::record::{self, EnvRecord, NodeRecord, PoolRecord};
use crate::pool::state::{self, Place};
use crate::pool::{
    EnvName, NodeLock, NodeName, Pool, PoolLock, claimed, known, layout, properties,
};
use crate::publish::dnsmasq::inclusion::{self, Installed};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq, tftp};

/// Properties whose values are commands that root runs.
const COMMANDS: [&str; 2] = ["power.cycle", "upgrade.command"];
/// Directories that an older netbe kept on the pool and this one keeps on the server's own disk, or not at all.
const OLDER: [&str; 2] = [".locks", "publish"];
const OLDER_OF_NODE: [&str; 2] = ["pending.json", "boots.jsonl"];

/// The records to take over.
#[derive(Debug)]
pub(super) struct Offer {
    dir: PathBuf,
    place: Place,
    state: PathBuf,
    record: PoolRecord,
    nodes: Vec<OfNode>,
}

/// The records of one node to take over.
#[derive(Debug)]
struct OfNode {
    name: NodeName,
    /// Its record, if this server has no readable one; `None` if the pool has none either and none could be made.
    record: Option<NodeRecord>,
    /// Whether the pool has no record either, and one is made from the TFTP names.
    is_made: bool,
    /// The environments whose records this server has not written.
    environments: Vec<EnvName>,
}

impl Offer {
    /// Reads a pool; `None` if there is nothing left to take over.
    pub(super) fn look(dir: &Path, states: &Path) -> Result<Option<Self>> {
        let known = known(dir, states)?;
        let is_known = known.is_some();
        let (dir, mut record, state) = match known {
            Some((dir, state)) => (dir, None, state),
            None => {
                let (dir, mut record) = claimed(dir)?;
                let mut state = layout::state(states, &record.uuid);
                let other = Place::read(&state)?;
                if other.is_some_and(|p| Place::locate(&p.dir).is_ok_and(|now| now.is_same(&p))) {
                    // The pool that it was copied from is on this server: the copy gets its own UUID.
                    record.uuid = Base::new_id()?;
                    state = layout::state(states, &record.uuid);
                }
                (dir, Some(record), state)
            }
        };
        let place = Place::locate(&dir)?;
        if let Some(own) = record::read(&state.join(layout::POOL_RECORD))? {
            record = Some(PoolRecord::parse(&own)?);
        }
        let record = record.with_context(|| format!("reading {}", state.display()))?;
        let key = state::key(&state).ok();
        let mut nodes = Vec::new();
        for name in names_in(&layout::nodes(&dir))? {
            if let Ok(name) = name.parse::<NodeName>() {
                nodes.extend(OfNode::look(&dir, &state, name, key.as_ref())?);
            }
        }
        let is_all = nodes.iter().all(OfNode::is_known);
        Ok((!is_known || !is_all).then_some(Self {
            dir,
            place,
            state,
            record,
            nodes,
        }))
    }

    /// Returns the settings that this server would use, a line each; first the commands that root would run.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut all: Vec<(String, &str, &str)> = Vec::new();
        let pool = self.record.properties.iter();
        all.extend(
            pool.map(|(name, value)| ("the pool".to_string(), name.as_str(), value.as_str())),
        );
        for node in &self.nodes {
            let properties = node.record.iter().flat_map(|r| &r.properties);
            all.extend(
                properties
                    .map(|(name, value)| (node.name.to_string(), name.as_str(), value.as_str())),
            );
        }
        let (commands, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, name, _)| COMMANDS.contains(name));
        let mut lines = vec![format!(
            "take over the pool {} at {}",
            self.record.uuid,
            self.dir.display()
        )];
        lines.extend(
            commands
                .iter()
                .map(|(of, name, value)| format!("run as root, {name} of {of}: {value}")),
        );
        lines.extend(
            others
                .iter()
                .map(|(of, name, value)| format!("use {name}={value} of {of}")),
        );
        for node in self.nodes.iter().filter(|n| !n.is_known()) {
            let what = match &node.record {
                Some(record) if record.template => "template ",
                _ => "",
            };
            lines.push(match node.is_made && node.record.is_some() {
                true => format!(
                    "make a record for {what}{}, whose own is lost, with what the TFTP names tell and no other property",
                    node.name
                ),
                false => format!(
                    "accept the records of {what}{}: {}",
                    node.name,
                    match node.environments.len() {
                        1 => "1 environment".to_string(),
                        many => format!("{many} environments"),
                    }
                ),
            });
        }
        lines.push("publish the environments of its nodes on this server".to_string());
        lines
    }

    /// Takes the pool over. After an interruption the same command continues; until the end the pool is not this server's.
    pub(super) fn apply(&self, states: &Path, mode: Mode) -> Result<Vec<String>> {
        let key = state::make(&self.state)?;
        // Another takeover may be under way, and once the place is written, any other command: nodes by name, then the pool.
        let mut locks = Vec::new();
        for node in &self.nodes {
            let lock = NodeLock::take(&self.state, &node.name, Share::Alone, mode.wait)?;
            locks.push((node, lock));
        }
        let shared = PoolLock::take(&self.state, mode.wait)?;
        for (node, lock) in &locks {
            node.believe(lock, &self.dir, &self.state, &key)?;
        }
        super::filesystem::close(&layout::nodes(&self.dir))?;
        let inclusion = inclusion::find(&self.dir);
        subvolume::sync(&self.dir).context("making the records durable")?;
        record::write(&self.state.join(layout::POOL_RECORD), &self.record)?;
        self.place.write(&self.state)?;
        record::write(
            &layout::pool_record(&self.dir),
            &self.record.without_secrets(),
        )?;
        let pool = Pool::open(&self.dir, states)?;
        let mut published = publish::everything(&pool, Some(&shared))?;
        if inclusion.installed == Installed::Ours {
            // Until now dnsmasq read its configuration from the pool itself.
            let mut run = Publishing::begin(&pool, Some(&shared))?;
            dnsmasq::bring_up_to_date(&mut run, &pool.nodes()?, true)?;
            published.warnings.extend(run.done.warnings);
            inclusion::include(&inclusion.file, pool.state())?;
        }
        self.take_older_away()?;
        drop((shared, locks));
        published.warnings.extend(unbootable::warnings(&pool)?);
        Ok(published.warnings)
    }

    /// Removes the directories that an older netbe kept on the pool, after nothing reads them any more.
    fn take_older_away(&self) -> Result<()> {
        for name in OLDER {
            let path = self.dir.join(name);
            let removed = if_exists(fs::remove_dir_all(&path));
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        for node in &self.nodes {
            for name in OLDER_OF_NODE {
                let path = layout::node(&self.dir, &node.name).join(name);
                let removed = if_exists(fs::remove_file(&path));
                removed.with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }
}

impl OfNode {
    fn look(pool: &Path, state: &Path, name: NodeName, key: Option<&Key>) -> Result<Option<Self>> {
        let dir = layout::node(pool, &name);
        if !dir.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            return Ok(None);
        }
        let record_file = layout::node_state(state, &name).join(layout::NODE_RECORD);
        let is_lost = is_replaceable(&record_file).unwrap_or(false);
        let copy = record::read(&dir.join(layout::NODE_RECORD)).unwrap_or_default();
        let copy = copy.and_then(|text| NodeRecord::parse(&text).ok());
        let is_made = is_lost && copy.is_none();
        let envs = dir.join(layout::ENVS);
        let mut environments = Vec::new();
        if envs.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            for env in names_in(&envs)? {
                if let Ok(env) = env.parse::<EnvName>()
                    && is_believable(&envs.join(env.as_str()), key)
                {
                    environments.push(env);
                }
            }
        }
        let record = match is_lost {
            true => copy.or(made_record(pool, &name)?),
            false => None,
        };
        Ok(Some(Self {
            name,
            record,
            is_made,
            environments,
        }))
    }

    fn is_known(&self) -> bool {
        self.record.is_none() && self.environments.is_empty()
    }

    fn believe(&self, lock: &NodeLock, pool: &Path, state: &Path, key: &Key) -> Result<()> {
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

/// Returns a record for a node that has none, from its TFTP names; `None` for a node without environments.
fn made_record(pool: &Path, name: &NodeName) -> Result<Option<NodeRecord>> {
    let envs = layout::node(pool, name).join(layout::ENVS);
    let envs = names_in(&envs).unwrap_or_default();
    let records = envs
        .iter()
        .filter_map(|env| read_record(&layout::env(pool, name, &env.parse().ok()?)).ok());
    let served: Vec<bool> = records.map(|record| record.served).collect();
    if served.is_empty() {
        return Ok(None);
    }
    let links = tftp::links(&layout::tftp(pool)).unwrap_or_default();
    let asked = links
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
fn is_believable(dir: &Path, key: Option<&Key>) -> bool {
    let is_there = |half: &str| subvolume::is_subvolume(&dir.join(half)).is_ok_and(|is| is);
    if !dir.symlink_metadata().is_ok_and(|m| m.is_dir()) || !is_there(layout::ROOT) {
        return false;
    }
    let is_own = |key: &Key| -> Result<EnvRecord> {
        let text = record::read(&dir.join(layout::ENV_RECORD))?.context("it does not exist")?;
        EnvRecord::parse_own(&text, key, subvolume::info(&dir.join(layout::ROOT))?.uuid)
    };
    read_record(dir).is_ok() && key.is_none_or(|key| is_own(key).is_err())
}

fn read_record(dir: &Path) -> Result<EnvRecord> {
    let file = dir.join(layout::ENV_RECORD);
    let text =
        record::read(&file)?.with_context(|| format!("{} does not exist", file.display()))?;
    EnvRecord::parse(&text).with_context(|| format!("reading {}", file.display()))
}

/// Returns the refusal without a confirmation.
pub(super) fn not_confirmed(dir: &Path) -> anyhow::Error {
    Failure::refused(format!(
        "{} was not taken over: that needs confirmation",
        dir.display()
    ))
    .hint_to(
        "to see its settings, -n instead of --yes",
        format!("netbe init {} --take-over --yes", dir.display()),
    )
    .into()
}
