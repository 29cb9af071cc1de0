//! The reports of machines whose root is read-only: a file for each, named by its MAC address, in a subvolume of their node;
//! and of the one whose root is on its own disk.
//!
//! A machine can write reports of other machines of its own node, but not of other nodes. Reading is bounded. Not for
//! conclusions: [`super`].

use std::fs::Metadata;
use std::path::Path;

use jiff::Timestamp;

use super::report_file::read;
use crate::boot::report::{self, Report};
use crate::fs::rooted::Tree;
use crate::pool::layout;

/// How many machines are read.
const MOST: usize = 4096;

/// The report of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineReport {
    /// Its MAC address, as a TFTP name: `52-54-00-77-65-01`; `own-disk` of a node with a root on its disk.
    pub machine: String,
    /// The environment that it booted.
    pub env: String,
    /// When it was written, by this machine's clock, UTC.
    pub time: Timestamp,
    /// The report.
    pub report: Report,
}

/// Returns the reports of a node's machines, in the order of their addresses; a malformed one is left out.
pub fn reports(node_dir: &Path) -> Vec<MachineReport> {
    let dir = node_dir.join(layout::REPORTS);
    // A link in its place could lead to the reports of another node.
    if !dir.symlink_metadata().is_ok_and(|m: Metadata| m.is_dir()) {
        return Vec::new();
    }
    let Ok(tree) = Tree::open(&dir) else {
        return Vec::new();
    };
    let mut names = tree.names("").unwrap_or_default();
    names.retain(|name| is_address(name) || name == report::OWN_DISK);
    names.sort();
    names.truncate(MOST);
    let one = |machine: String| {
        let file = tree.plain_file(Path::new(&machine)).ok()??;
        let (time, report) = read(file)?;
        let env = report.env.clone()?;
        Some(MachineReport {
            machine,
            env,
            time,
            report,
        })
    };
    names.into_iter().filter_map(one).collect()
}

/// Returns whether a name is a MAC address in lower case with dashes.
pub fn is_address(name: &str) -> bool {
    let digits = |part: &str| {
        part.len() == 2
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    name.len() == 17 && name.split('-').all(digits)
}
