//! Records which machine fetches files of which environment, for nodes with `mac=any`, whose machines no property names.
//!
//! A record is made before the file is sent, so that a boot without a record is impossible. Each boot is written once, not
//! each of its files.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::open::Found;
use crate::evidence::machine_fetches::{self, MOST, MachineFetch};
use crate::pool::{EnvName, Node, NodeName, layout, properties};

/// For how long a record covers further files: no machine boots, reports and boots again in less.
const HOLDS: Duration = Duration::from_secs(10);

/// The last record of each machine.
#[derive(Debug, Default)]
pub(super) struct Machines {
    recorded: HashMap<(NodeName, String), (EnvName, Option<String>, Instant)>,
}

impl Machines {
    /// Records that a machine fetches a file; durable when it returns.
    ///
    /// # Errors
    /// If the machine is not known, exceeds the maximum number, or would write to the root that others boot: it gets nothing.
    pub(super) fn record(
        &mut self,
        node: &Node,
        machine: Option<&str>,
        found: &Found,
    ) -> Result<()> {
        let machine = machine.context("the MAC address of the machine is not known")?;
        if !found.read_only && !node.lost && !is_named(node, machine) {
            bail!(
                "{} was made for one machine, and {machine} is one of many: netbe set --existing {}",
                found.env,
                node.name
            );
        }
        let key = (node.name.clone(), machine.to_string());
        let holds = self.recorded.get(&key).is_some_and(|(env, uuid, since)| {
            (env, uuid) == (&found.env, &found.uuid) && since.elapsed() < HOLDS
        });
        // The record may have been removed since.
        if holds && machine_fetches::is_recorded(&node.state, machine) {
            return Ok(());
        }
        let fetch = MachineFetch {
            env: found.env.to_string(),
            uuid: found.uuid.clone(),
            time: Timestamp::now(),
        };
        let exists = |fetch: &MachineFetch| {
            let dir = node.dir.join(layout::ENVS).join(&fetch.env);
            dir.symlink_metadata().is_ok()
        };
        machine_fetches::record(&node.state, machine, fetch, exists)?;
        if self.recorded.len() >= MOST {
            self.recorded.clear();
        }
        let now = (found.env.clone(), found.uuid.clone(), Instant::now());
        self.recorded.insert(key, now);
        Ok(())
    }
}

fn is_named(node: &Node, machine: &str) -> bool {
    properties::addresses(&node.record).any(|mac| mac.replace(':', "-") == machine)
}
