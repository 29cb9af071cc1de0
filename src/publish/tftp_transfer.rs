//! Taking note of a file that a machine fetched: what the TFTP server tells.
//!
//! Answers in milliseconds, takes no lock and waits for nobody: a TFTP server stands behind it, and a
//! whole fleet behind that. What it does not know it ignores. Not for what follows from it.

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

/// A file that a machine fetched, and of what it was when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The node.
    pub node: NodeName,
    /// The environment, by the name it had.
    pub env: EnvName,
    /// The environment's identity.
    pub uuid: Option<String>,
    /// The file, as a path in the boot half.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Who fetched it.
    pub client: String,
}

/// Notes that `client` fetched the file at `path`, of `size` bytes, whole: as of now, whatever stood there then.
///
/// Returns what [`note_fetched`] does; `None` for what is no file of a node's.
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

/// Notes that a file was fetched whole.
///
/// Returns the node where that was the last file it takes for a boot that is before it for once or on
/// trial; `None` for everything else, such as what was fetched before.
pub fn note_fetched(pool: &Pool, fetched: &Fetched) -> Result<Option<NodeName>> {
    // Gone with its record meanwhile, or renamed.
    let Ok(node) = pool.node(&fetched.node) else {
        return Ok(None);
    };
    let env = now(&node, fetched);
    let half = env.as_ref().filter(|env| env.whole);
    // What stands in a half's place may lead anywhere.
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
        whose: firmware_address::whose(pool, &node, &fetched.client),
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

/// Takes note of a file's first fetch; returns whether with it all there is was fetched of one way to boot.
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

/// Returns the environment that a file was fetched from, as it is now: it may have been renamed meanwhile.
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

/// Returns whose file it is that stands at a path below the TFTP directory, and its path in the boot half.
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
