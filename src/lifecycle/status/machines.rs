//! The machines of a node that several boot at once, as `status` shows them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::evidence::machines::MachineReport;
use crate::evidence::{Evidence, Machine};
use crate::pool::Environment;

/// One machine of several.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct MachineState {
    /// Its TFTP name.
    pub name: String,
    /// The environment that it reported last.
    pub booted: Option<String>,
    /// When it reported, UTC.
    pub since: Option<Timestamp>,
    /// The kernel that it reported.
    pub kernel: Option<String>,
    /// The environment that it would boot next.
    pub next: Option<String>,
    /// The environment that it last fetched, where that is recorded.
    pub fetched: Option<String>,
    /// The environments that it may be running, and that are not destroyed for that.
    pub may_run: Vec<String>,
    /// Whether a reboot would change what it runs; `None` if it has not reported.
    pub reboot_changes: Option<bool>,
}

/// Returns the machines of a node with several; `next` is what each boots next.
pub(super) fn machines(
    evidence: &Evidence,
    envs: &[Environment],
    next: Option<&str>,
) -> Vec<MachineState> {
    let mut may_run: HashMap<&str, Vec<String>> = HashMap::new();
    for env in envs {
        for machine in evidence.may_run_on(env) {
            let its = may_run.entry(machine.name.as_str()).or_default();
            // It has reported one of the environments that it may boot now.
            let elsewhere = |report: &MachineReport| env.active && report.env != env.name.as_str();
            if !machine.report.as_ref().is_some_and(elsewhere) {
                its.push(env.name.to_string());
            }
        }
    }
    let state = |machine: &Machine| {
        let report = machine.report.as_ref();
        let fetched = machine.fetched.iter().flatten();
        let fetched = fetched.max_by_key(|fetch| fetch.time);
        MachineState {
            name: machine.name.clone(),
            booted: report.map(|its| its.env.clone()),
            since: report.map(|its| its.time),
            kernel: report.and_then(|its| its.report.kernel.clone()),
            next: next.map(str::to_string),
            fetched: fetched.map(|its| its.env.clone()),
            may_run: may_run
                .get(machine.name.as_str())
                .cloned()
                .unwrap_or_default(),
            reboot_changes: report.map(|its| Some(its.env.as_str()) != next),
        }
    };
    evidence.machines().iter().map(state).collect()
}
