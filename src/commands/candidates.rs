//! What completes a word: nodes, environments, properties, from the pool.
//!
//! Called by the completion scripts, which run netbe; so it must be quick and must not fail: without a pool
//! nothing completes.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap_complete::engine::CompletionCandidate;

use crate::pool::{Node, Pool, layout, properties};

/// Returns the nodes.
pub fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    starting(
        current,
        &pool_nodes()
            .iter()
            .map(|n| n.name.to_string())
            .collect::<Vec<_>>(),
    )
}

/// Returns the nodes, and the environments of the node before the slash.
pub fn sources(current: &OsStr) -> Vec<CompletionCandidate> {
    let all = pool_nodes();
    let words: Vec<String> = match current.to_str().and_then(|c| c.split_once('/')) {
        None => all
            .iter()
            .flat_map(|n| [n.name.to_string(), format!("{}/", n.name)])
            .collect(),
        Some((node, _)) => all
            .iter()
            .filter(|n| n.name.as_str() == node)
            .flat_map(|n| {
                layout::names_in(&n.dir.join(layout::ENVS))
                    .unwrap_or_default()
                    .into_iter()
                    .map(move |e| format!("{node}/{e}"))
            })
            .collect(),
    };
    starting(current, &words)
}

/// Returns the properties.
pub fn properties(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words: Vec<String> = properties::ALL.iter().map(|p| p.name.to_string()).collect();
    words.push("all".to_string());
    starting(current, &words)
}

/// Returns `PROPERTY=` for every property, and the nodes.
pub fn assignments(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words: Vec<String> = properties::ALL
        .iter()
        .map(|p| format!("{}=", p.name))
        .collect();
    words.extend(pool_nodes().iter().map(|n| n.name.to_string()));
    starting(current, &words)
}

fn pool_nodes() -> Vec<Node> {
    let dir = std::env::var_os("NETBE_POOL").unwrap_or_else(|| "/srv/netbe".into());
    Pool::open(&PathBuf::from(dir))
        .and_then(|p| p.nodes())
        .unwrap_or_default()
}

fn starting(current: &OsStr, words: &[String]) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    words
        .iter()
        .filter(|w| w.starts_with(current.as_ref()))
        .map(CompletionCandidate::new)
        .collect()
}
