//! Recording a file that a machine fetched.
//!
//! Returns within milliseconds and takes no lock: a TFTP server waits for it, and a whole fleet for that. Unknown files
//! are ignored. Not for conclusions from it.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;

use super::{firmware_address, tftp};
use crate::boot;
use crate::evidence::boots::{self, How, Seen};
use crate::evidence::client::Whose;
use crate::evidence::first_fetches::{self, First};
use crate::fs::rooted::Tree;
use crate::pool::pending::{Pending, PendingBoot};
use crate::pool::{EnvName, Environment, Node, NodeName, Pool, layout};

/// A file that a machine fetched, with its environment as it was when the file was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The node.
    pub node: NodeName,
    /// The name of the environment then.
    pub env: EnvName,
    /// The environment's identity.
    pub uuid: Option<String>,
    /// The file, as a path in the boot half.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// The client's address.
    pub client: String,
}

/// Records that `client` fetched the file at `path`, of `size` bytes, completely; `path` is resolved now.
///
/// Returns the same as [`note_fetched`]; `None` for a path that is not a node's file.
pub fn note(pool: &Pool, size: u64, client: &str, path: &Path) -> Result<Option<NodeName>> {
    let Some((env, file)) = find(pool, path) else {
        return Ok(None);
    };
    let fetched = Fetched {
        node: env.node.clone(),
        env: env.name.clone(),
        uuid: env.uuid().map(str::to_string),
        file,
        size,
        client: client.to_string(),
    };
    note_fetched(pool, &fetched)
}

/// Records that a file was fetched completely.
///
/// Returns the node if that was the last file of its pending boot; `None` for every other file, such as one that was
/// fetched before.
pub fn note_fetched(pool: &Pool, fetched: &Fetched) -> Result<Option<NodeName>> {
    // The node was deleted or renamed meanwhile.
    let Ok(node) = pool.node(&fetched.node) else {
        return Ok(None);
    };
    let env = now(&node, fetched);
    let half = env.as_ref().filter(|env| env.whole);
    // A half that is not a subvolume may be a link to anywhere.
    let ways = half
        .and_then(|env| Tree::open(&env.boot()).ok())
        .map_or(Vec::new(), |tree| boot::fetched(&tree));
    let known = ways.iter().any(|way| way.kernel == fetched.file);
    let remembered = env
        .as_ref()
        .and_then(|env| env.record.as_ref()?.kernel.as_ref());
    let name = env.as_ref().map_or(&fetched.env, |env| &env.name);
    let seen = Seen {
        time: Timestamp::now(),
        env: name.to_string(),
        uuid: fetched.uuid.clone(),
        how: How::Tftp,
        kernel: known || remembered.is_some_and(|k| k.file == fetched.file),
        file: Some(fetched.file.clone()),
        size: Some(fetched.size),
        client: Some(fetched.client.clone()),
        whose: firmware_address::sender(pool, &node, &fetched.client),
        boot_id: None,
    };
    boots::add(&node.state, &seen)?;
    let pending = Pending::read(&node.state);
    let waiting = pending.waiting().filter(|b| b.env == *name);
    match waiting.filter(|_| seen.may_be_its()) {
        Some(boot) => {
            Ok(ends_fetching(&node, boot, &ways, &seen, &fetched.file)?.then_some(node.name))
        }
        None => Ok(None),
    }
}

/// Records a file's first fetch; returns whether all files of one way to boot are fetched now.
fn ends_fetching(
    node: &Node,
    boot: &PendingBoot,
    ways: &[boot::Fetched],
    seen: &Seen,
    file: &str,
) -> Result<bool> {
    let firsts = first_fetches::read(&node.state, boot);
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
    first_fetches::add(&node.state, &first)?;
    let mut files: Vec<&str> = firsts.iter().map(|first| first.file.as_str()).collect();
    files.push(file);
    Ok(ways.iter().any(|way| way.is_among(&files)))
}

/// Returns the environment that a file was fetched from; it may have been renamed meanwhile.
fn now(node: &Node, fetched: &Fetched) -> Option<Environment> {
    let is_it = |env: &Environment| fetched.uuid.is_none() || env.uuid() == fetched.uuid.as_deref();
    let there = node.environment(&fetched.env).ok().filter(is_it);
    there.or_else(|| {
        node.environments()
            .ok()?
            .into_iter()
            .find(|env| fetched.uuid.is_some() && is_it(env))
    })
}

/// Returns the node and environment of a path below the TFTP directory, and the path in the boot half.
fn find(pool: &Pool, path: &Path) -> Option<(Environment, String)> {
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
    Some((env, file.to_string()))
}
