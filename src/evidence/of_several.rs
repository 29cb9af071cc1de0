//! Which machines of a node with several may be running an environment.
//!
//! A machine that a property names may be running it until it reports another one. A machine that no property names
//! (`mac=any`) may be running it once it has fetched a file of it or reported it: netbe records a fetch before it sends the
//! file. Pure.

use std::collections::HashSet;

use jiff::Timestamp;

use super::judgement::Until;
use super::machine_fetches::MachineFetch;
use super::machines::MachineReport;
use super::{Environment, Evidence};

/// One of the machines of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its TFTP name.
    pub name: String,
    /// Its last report.
    pub report: Option<MachineReport>,
    /// Whether a property names it.
    pub named: bool,
    /// Its recorded fetches; `None` if the record cannot be read.
    pub fetched: Option<Vec<MachineFetch>>,
}

impl Machine {
    /// Returns when it last fetched a file of an environment.
    fn last_fetch(&self, env: &Environment) -> Option<Timestamp> {
        let its = |fetch: &&MachineFetch| {
            fetch.env == env.name.as_str()
                && fetch
                    .uuid
                    .as_deref()
                    .is_none_or(|uuid| env.uuid().is_none_or(|its| its == uuid))
        };
        let fetched = self.fetched.iter().flatten().filter(its);
        fetched.map(|fetch| fetch.time).max()
    }

    /// Returns whether it can have booted an environment that the node's names led to, if no property names the machine.
    ///
    /// Its fetches while a property named it were not recorded.
    fn can_have_booted(&self, env: &Environment) -> bool {
        let has_reported = |its: &MachineReport| its.env == env.name.as_str();
        self.fetched.as_ref().is_none_or(Vec::is_empty)
            || self.last_fetch(env).is_some()
            || self.report.as_ref().is_some_and(has_reported)
    }
}

impl Evidence {
    /// Returns the machines of a node with several.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Returns whether several machines boot an environment at once.
    pub(super) fn is_of_several(&self, env: &Environment) -> bool {
        let is_read_only = env.record.as_ref().is_some_and(|record| record.read_only);
        is_read_only && (self.for_any || !self.machines.is_empty())
    }

    /// Returns whether no machine of several may be running an environment, or boot it now.
    pub(super) fn all_have_left(&self, env: &Environment) -> bool {
        // An unknown machine may be fetching it at this moment.
        let may_come = self.for_any && matches!(self.until(env), Until::Now(_) | Until::Unknown);
        !may_come && !self.unlisted && self.may_run_on(env).is_empty()
    }

    /// Returns the machines that may be running an environment: each that can have booted it, and has not reported another
    /// one since the names were led away from this one and since its last fetch of it.
    pub fn may_run_on(&self, env: &Environment) -> Vec<&Machine> {
        if !self.is_of_several(env) {
            return Vec::new();
        }
        let can_have =
            |machine: &&Machine| machine.named || !self.for_any || machine.can_have_booted(env);
        let since = match self.until(env) {
            Until::Never => return Vec::new(),
            Until::Now(_) | Until::Unknown => {
                return self.machines.iter().filter(can_have).collect();
            }
            Until::Past(time) => time,
        };
        // A set, since there may be thousands of machines and of boot IDs.
        let known: HashSet<&String> = self.known_boot_ids(env).iter().collect();
        let has_left = |machine: &&Machine| {
            let since = machine
                .last_fetch(env)
                .map_or(since, |time| time.max(since));
            machine.report.as_ref().is_some_and(|its| {
                its.env != env.name.as_str()
                    && its.time > since
                    && !known.contains(&its.report.boot_id)
            })
        };
        let could = self.machines.iter().filter(can_have);
        could.filter(|machine| !has_left(machine)).collect()
    }
}
