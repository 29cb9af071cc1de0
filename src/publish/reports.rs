//! What environments report of themselves: a file in their own root, by `boot::report`'s unit.
//!
//! The node's word, read beneath its root and bounded; that it was written, and when, is this machine's
//! own knowledge. Not for what follows from it: that is [`super::evidence`].

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::boots::{self, How, Seen};
use crate::boot::report::{self, Report};
use crate::pool::{Environment, Node};
use crate::storage::beneath::Tree;

/// Returns an environment's report, with when it was written: the status change time, which is this
/// machine's clock and not the node's to choose.
pub fn reported(env: &Environment) -> Option<(Timestamp, Report)> {
    in_root(&env.root())
}

/// Returns the report in a root half; four system calls where there is none, for a list looks at every
/// node's.
pub(super) fn in_root(root: &Path) -> Option<(Timestamp, Report)> {
    // A link in its place leads to somebody else's report.
    root.symlink_metadata().ok().filter(Metadata::is_dir)?;
    let root = Tree::open(root).ok()?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
    let file = File::from(root.open_at(report::FILE, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    let nanoseconds = i32::try_from(metadata.ctime_nsec()).ok()?;
    let time = Timestamp::new(metadata.ctime(), nanoseconds).ok()?;
    let mut bytes = Vec::new();
    file.take(report::LIMIT).read_to_end(&mut bytes).ok()?;
    Some((time, report::parse(std::str::from_utf8(&bytes).ok()?)?))
}

/// Writes down the report of the environment a node boots next, before that becomes another one: only
/// there is it looked for.
///
/// Best effort: without it, what the node runs is not known, and that is safe.
pub fn keep_report(node: &Node) {
    let Ok(env) = node.active_environment() else {
        return;
    };
    let Some((time, _)) = reported(&env) else {
        return;
    };
    if boots::read(&node.state).iter().any(|s| s.time >= time) {
        return;
    }
    let seen = Seen {
        time,
        env: env.name.to_string(),
        uuid: env.uuid().map(str::to_string),
        how: How::Report,
        file: None,
        size: None,
        kernel: false,
        client: None,
    };
    let _ = boots::add(&node.state, &seen);
}
