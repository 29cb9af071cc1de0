//! Taking note of a file that a machine fetched: what the TFTP server's script is for.
//!
//! Answers in milliseconds, takes no lock and waits for nobody: a TFTP server stands behind it, and a
//! whole fleet behind that. What it does not know it ignores. Not for what follows from it.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;

use super::boots::{self, How, Seen};
use super::client::{self, Whose};
use super::fetching::{self, First};
use super::tftp;
use crate::boot::{self, Fetched};
use crate::pool::pending::{Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeName, Pool, layout};
use crate::storage::beneath::Tree;

/// Notes that `client` fetched the file at `path`, of `size` bytes, whole.
///
/// Returns the node where that was the last file it takes for a boot that is before it for once or on
/// trial; `None` for everything else, such as what is no file of a node's, and what was fetched before.
pub fn note(pool: &Pool, size: u64, client: &str, path: &Path) -> Result<Option<NodeName>> {
    let Some((node, env, file)) = find(pool, path) else {
        return Ok(None);
    };
    let ways = match env.whole {
        true => Tree::open(&env.boot()).map_or(Vec::new(), |tree| boot::fetched(&tree)),
        // What stands in a half's place may lead anywhere.
        false => Vec::new(),
    };
    let known = ways.iter().any(|way| way.kernel == file);
    let remembered = env.record.as_ref().and_then(|r| r.kernel.as_ref());
    let seen = Seen {
        time: Timestamp::now(),
        env: env.name.to_string(),
        uuid: env.uuid().map(str::to_string),
        how: How::Tftp,
        kernel: known || remembered.is_some_and(|k| k.file == file),
        file: Some(file.clone()),
        size: Some(size),
        client: Some(client.to_string()),
        whose: client::whose(pool, &node, client),
        boot_id: None,
    };
    boots::add(&node.state, &seen)?;
    let pending = Pending::of(&node.state);
    let waiting = pending.waiting().filter(|b| b.env == env.name);
    match waiting.filter(|_| seen.may_be_its()) {
        Some(boot) => Ok(ends_fetching(&node, boot, &ways, &seen, &file)?.then_some(node.name)),
        None => Ok(None),
    }
}

/// Takes note of a file's first fetch; returns whether with it all there is was fetched of one way to boot.
fn ends_fetching(
    node: &Node,
    boot: &PendingBoot,
    ways: &[Fetched],
    seen: &Seen,
    file: &str,
) -> Result<bool> {
    let firsts = fetching::read(&node.state, boot);
    let is_known = firsts.iter().any(|first| first.file == file);
    if is_known || !ways.iter().any(|way| way.takes(file)) {
        return Ok(false);
    }
    let first = First {
        since: boot.since,
        env: seen.env.clone(),
        time: seen.time,
        file: file.to_string(),
        its: seen.whose == Some(Whose::Its),
    };
    fetching::add(&node.state, &first)?;
    let mut files: Vec<&str> = firsts.iter().map(|first| first.file.as_str()).collect();
    files.push(file);
    Ok(ways.iter().any(|way| way.is_among(&files)))
}

/// Returns whether something that was seen is of an environment.
pub fn is_of(seen: &Seen, env: &Environment) -> bool {
    seen.env == env.name.as_str()
        && match (seen.uuid.as_deref(), env.uuid()) {
            (Some(seen), Some(env)) => seen == env,
            _ => true,
        }
}

/// Returns whose file it is that stands at a path below the TFTP directory, and its path in the boot half.
fn find(pool: &Pool, path: &Path) -> Option<(Node, Environment, String)> {
    let top = layout::tftp(pool.root());
    let below = path.strip_prefix(&top).ok()?;
    let mut parts = below.iter();
    let name = parts.next()?;
    let file = parts.as_path().to_str().filter(|f| !f.is_empty())?;
    let led = tftp::led(&top.join(name).read_link().ok()?)?;
    let node = pool.node(&led.node).ok()?;
    let env = match &led.env {
        Some(env) => node.environment(env).ok()?,
        None => node.active_environment().ok()?,
    };
    Some((node, env, file.to_string()))
}
