//! Taking over a pool that is new to this server: made on another server, or by an older netbe.
//!
//! The records in such a pool may have been forged: so they are shown first, and accepted only on request. From then on
//! this server uses copies on its own disk. Records of past boots are not taken over: they could only make a running
//! environment look unused. Not for the pool's content.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use of_node::OfNode;

use super::unbootable;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::if_exists;
use crate::lifecycle::Mode;
use crate::pool::base::Base;
use crate::pool::lock::Share;
use crate::pool::record::{self, PoolRecord};
use crate::pool::state::{self, Place};
use crate::pool::{NodeLock, NodeName, Pool, PoolLock, claimed, known, layout};
use crate::publish::dnsmasq::inclusion::{self, Installed};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq};

mod of_node;

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
        let key = of_node::usable(state::key(&state))?;
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
