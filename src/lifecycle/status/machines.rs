//! The machines of a node that several boot at once, as `status` shows them.

use jiff::Timestamp;
use serde::Serialize;

use crate::evidence::{Evidence, Machine};

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
    /// Whether a reboot would change what it runs; `None` if it has not reported.
    pub reboot_changes: Option<bool>,
}

/// Returns the machines of a node with several; `next` is what each boots next.
pub(super) fn machines(evidence: &Evidence, next: Option<&str>) -> Vec<MachineState> {
    let state = |machine: &Machine| {
        let report = machine.report.as_ref();
        MachineState {
            name: machine.name.clone(),
            booted: report.map(|its| its.env.clone()),
            since: report.map(|its| its.time),
            kernel: report.and_then(|its| its.report.kernel.clone()),
            reboot_changes: report.map(|its| Some(its.env.as_str()) != next),
        }
    };
    evidence.machines().iter().map(state).collect()
}
