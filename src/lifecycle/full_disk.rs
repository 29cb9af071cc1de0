//! The largest users of a pool's space, for the error of a command that failed because the pool is full.
//!
//! Reads only. Not for a pool that is merely nearly full: `check` and `status` tell that.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::space::{OTHERS, Space};
use crate::btrfs::health::{self, Problem};
use crate::failure::Failure;
use crate::fs::dir_names::names_in;
use crate::fs::free_space::{KEPT_FREE, Sizes};
use crate::packages::cache::PackageCache;
use crate::pool::{Pool, layout};

/// How many owners of space are named.
const MOST: usize = 5;
/// The smallest amount that is listed, in bytes.
const LEAST: u64 = 1 << 20;

/// The error of a command for which the pool had no space.
#[derive(Debug)]
pub struct Full {
    /// What happened, and what frees space.
    pub failure: Failure,
    /// The free and the whole size of the pool's filesystem, in bytes.
    pub free: (u64, u64),
    /// The owners of space and what each holds alone, in bytes, the largest first.
    pub largest: Vec<(String, u64)>,
}

/// Explains an error; `None` if its cause is not a full pool. The pool is opened only for that.
pub fn explain(pool: impl FnOnce() -> anyhow::Result<Pool>, error: &anyhow::Error) -> Option<Full> {
    let text = format!("{error:#}");
    if !is_full(error, &text) {
        return None;
    }
    let pool = &pool().ok().filter(|pool| is_about(pool, &text))?;
    let Sizes { free, total: whole } = Sizes::at(pool.root()).ok()?;
    // Without reading the trees, there is no other source.
    let space = Space::measure(pool).ok();
    let mut largest = space.map_or_else(Vec::new, |space| space.alone());
    let alone: u64 = largest.iter().map(|(_, bytes)| bytes).sum();
    let shared = whole.saturating_sub(free).saturating_sub(alone);
    largest.push((
        "what environments share, or btrfs has yet to free".to_string(),
        shared,
    ));
    let packages = PackageCache::new(layout::packages(pool.root())).size();
    let packages = packages.unwrap_or(0);
    for (_, bytes) in largest.iter_mut().filter(|(name, _)| name == OTHERS) {
        *bytes = bytes.saturating_sub(packages);
    }
    largest.push(("downloaded packages".to_string(), packages));
    largest.retain(|(_, bytes)| *bytes >= LEAST);
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    largest.truncate(MOST);
    let mut failure = Failure::failed(without_stages(&text, pool.root()));
    if let Some(before) = error.downcast_ref::<Failure>() {
        failure.kind = before.kind;
    }
    Some(Full {
        failure: failure.hint(hint(pool)),
        free: (free, whole),
        largest,
    })
}

fn is_full(error: &anyhow::Error, text: &str) -> bool {
    let io = |e: &(dyn std::error::Error + 'static)| {
        let kind = e.downcast_ref::<io::Error>().map(io::Error::kind);
        kind.is_some_and(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    };
    error.chain().any(io)
        || text.contains("No space left on device")
        // netbe itself ended it, before nothing was left.
        || text.contains(KEPT_FREE)
}

/// Returns whether it is the pool's filesystem that had no space. The failed command has removed its stage by now, so there
/// may be free space again.
fn is_about(pool: &Pool, text: &str) -> bool {
    let problems = || health::problems(pool.root()).unwrap_or_default();
    let is_named = pool.root().to_str().is_some_and(|root| text.contains(root));
    is_named || problems().iter().any(|p| matches!(p, Problem::Full(_)))
}

/// Returns the commands that show what can be deleted: leftovers of interrupted commands or else sizes, and old environments.
fn hint(pool: &Pool) -> String {
    let leftovers = pool.nodes().is_ok_and(|nodes| {
        nodes.iter().any(|node| {
            let names = names_in(&node.dir).unwrap_or_default();
            names.iter().any(|name| layout::hidden_work(name).is_some())
        })
    });
    match leftovers {
        true => "netbe check --repair; netbe prune -n",
        false => "netbe list --space; netbe prune -n",
    }
    .to_string()
}

/// Returns a text with the paths of hidden stages replaced by the names of their environments.
fn without_stages(text: &str, root: &Path) -> String {
    let nodes = format!("{}/", layout::nodes(root).display());
    let mut parts = text.split(nodes.as_str());
    let mut clean = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find([' ', ':', ';', ',']).unwrap_or(part.len());
        let (path, rest) = part.split_at(end);
        match path.contains(layout::STAGED) {
            true => clean.push_str(&named(path)),
            false => clean.extend([nodes.as_str(), path]),
        }
        clean.push_str(rest);
    }
    clean
}

fn named(path: &str) -> String {
    let name = |part: &str| -> String {
        let staged = part.strip_prefix(layout::STAGED);
        let name = staged.and_then(|staged| staged.rsplit_once('-'));
        name.map_or(part, |(name, _)| name).to_string()
    };
    let parts = path.split('/').filter(|part| *part != layout::ENVS);
    parts.map(name).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_shown_by_the_name_of_its_environment() {
        for (text, clean) in [
            (
                "writing /srv/p/nodes/nog/.staged-my-env-66148e7fe/boot/vmlinuz: No space left",
                "writing nog/my-env/boot/vmlinuz: No space left",
            ),
            (
                "making /srv/p/nodes/.staged-werda-66148e/envs/w/root",
                "making werda/w/root",
            ),
            (
                "/srv/p/nodes/nog/.staged-a-1 to /srv/p/nodes/nog/envs/b: no",
                "nog/a to /srv/p/nodes/nog/envs/b: no",
            ),
            ("no path", "no path"),
        ] {
            assert_eq!(without_stages(text, Path::new("/srv/p")), clean);
        }
    }
}
