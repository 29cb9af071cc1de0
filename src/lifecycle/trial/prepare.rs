//! Preparing an environment for its trial: a reboot after a kernel panic.

use std::path::Path;

use anyhow::{Context, Result};

use crate::boot;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::pool::{Environment, Node, NodeLock, Pool};
use crate::staged::boot_config::{self, Wanted};
use crate::staged::report_unit;

/// How long after a kernel panic an environment on trial reboots, in seconds: long enough for the server to lead the
/// names back.
const PANIC: &str = "10";

/// Adds `panic=` to the kernel command line; returns warnings, also about a missing report unit.
///
/// An environment that is not `idle` may be running, and is not changed.
pub(super) fn prepare(
    pool: &Pool,
    lock: &NodeLock,
    node: &Node,
    env: &Environment,
    idle: bool,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let (root, boot) = (env.root(), env.boot());
    // The root half of a disk image is not written again.
    let mut files = env.show_files()?;
    if idle {
        let mut record = env.record_for_change()?;
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?
            .with_argument("panic", PANIC, &boot, &root)?
            .in_place();
        if let Some(announced) = wanted.announced(&record) {
            // Closed meanwhile: the record is that of the half itself, not of the copy shown in its place.
            drop(files.take());
            env.store(lock, &announced, Durable::AtOnce)?;
            files = env.show_files()?;
        }
        boot_config::write(&wanted, &root, &boot, &mut record).with_context(|| {
            format!(
                "{} boots what it booted before: adding panic= to the boot files of {env}",
                node.name
            )
        })?;
        drop(files.take());
        env.store(lock, &record, Durable::WithNextSync)?;
    } else if !reboots_after_a_panic(node, &root, &boot)? {
        warnings.push(format!(
            "{env} may be running, so its boot files are unchanged: without panic= on its command line it does not \
             reboot after a kernel panic"
        ));
    }
    if files.is_none() {
        files = env.show_files()?;
    }
    if !report_unit::reports(&Tree::open(&root)?) {
        warnings.push(format!(
            "{env} has no unit that reports a completed boot; after the boot: netbe confirm {}",
            node.name
        ));
    }
    drop(files);
    Ok(warnings)
}

/// Returns whether an environment has the argument on its command line, such as from a trial before.
fn reboots_after_a_panic(node: &Node, root: &Path, boot: &Path) -> Result<bool> {
    let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
    let serial = node.record.properties.get("serial").map(String::as_str);
    let line = boot::summary_for(&boot, &root, serial).cmdline;
    let mut arguments = line.iter().flat_map(|line| line.split_whitespace());
    Ok(arguments.any(|argument| argument.starts_with("panic=")))
}
