//! Completions from the pool: nodes, environments, properties.
//!
//! The completion scripts run netbe for each TAB, so this must be fast and must not fail: without a pool there are
//! no completions.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap_complete::engine::CompletionCandidate;

use super::place;
use crate::pool::{Node, Pool, local, properties, state};

/// Returns the nodes.
pub(super) fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    starting(
        current,
        &pool_nodes()
            .iter()
            .map(|n| n.name.to_string())
            .collect::<Vec<_>>(),
    )
}

/// Returns `NODE` and `NODE/` of each node, or after `NODE/` its environments.
pub(super) fn sources(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words = environments_of(current);
    if words.is_empty() {
        for node in pool_nodes() {
            words.extend([node.name.to_string(), format!("{}/", node.name)]);
        }
    }
    starting(current, &words)
}

/// Returns `NODE/` of each node, or after `NODE/` its environments.
pub(super) fn environments(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words = environments_of(current);
    if words.is_empty() {
        words.extend(pool_nodes().iter().map(|n| format!("{}/", n.name)));
    }
    starting(current, &words)
}

fn environments_of(current: &OsStr) -> Vec<String> {
    let Some((node, _)) = current.to_str().and_then(|c| c.split_once('/')) else {
        return Vec::new();
    };
    pool_nodes()
        .iter()
        .filter(|n| n.name.as_str() == node)
        .flat_map(|n| n.environment_names().unwrap_or_default())
        .map(|env| format!("{node}/{env}"))
        .collect()
}

/// Returns the properties.
pub(super) fn properties(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words: Vec<String> = properties::ALL.iter().map(|p| p.name.to_string()).collect();
    words.push("all".to_string());
    starting(current, &words)
}

/// Returns `PROPERTY=` for every property, and the nodes; after `PROPERTY=` its values.
pub(super) fn assignments(current: &OsStr) -> Vec<CompletionCandidate> {
    if current == "=" || current == ":" {
        let before = word_before(1).unwrap_or_default();
        let property = before.to_str().filter(|_| current == "=");
        let values = property.map_or(&[][..], choices).iter();
        return starting(
            OsStr::new(""),
            &values.map(ToString::to_string).collect::<Vec<_>>(),
        );
    }
    if let Some((property, _)) = current.to_str().and_then(|word| word.split_once('=')) {
        let whole = |value: &&str| format!("{property}={value}");
        return starting(
            current,
            &choices(property).iter().map(whole).collect::<Vec<_>>(),
        );
    }
    // bash splits `loader=` into two words; if `=` is the last one, it passes an empty word in its place.
    let before = |back: usize| word_before(back).and_then(|word| word.into_string().ok());
    let property = match before(1).as_deref() {
        Some("=") if !current.is_empty() => Some(before(2).unwrap_or_default()),
        Some(":") if !current.is_empty() => Some(String::new()),
        _ => None,
    };
    if let Some(property) = property {
        let values: Vec<String> = choices(&property).iter().map(ToString::to_string).collect();
        return starting(current, &values);
    }
    let mut words: Vec<String> = properties::ALL
        .iter()
        .map(|p| format!("{}=", p.name))
        .collect();
    words.extend(pool_nodes().iter().map(|n| n.name.to_string()));
    starting(current, &words)
}

/// Returns the values of a property that are words.
fn choices(property: &str) -> &'static [&'static str] {
    properties::find(property).map_or(&[], |property| property.choices)
}

/// Returns the word `back` positions before the one that is completed; `None` if the shell, unlike bash, does not pass its index.
fn word_before(back: usize) -> Option<OsString> {
    let index: usize = std::env::var("_CLAP_COMPLETE_INDEX").ok()?.parse().ok()?;
    let mut words = std::env::args_os().skip_while(|a| a != "--").skip(1);
    words.nth(index.checked_sub(back)?)
}

fn pool_nodes() -> Vec<Node> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let dir = |option, variable, usual: &Path| {
        directory_typed(&typed, option)
            .or_else(|| place::of_environment(variable))
            .unwrap_or_else(|| usual.to_path_buf())
    };
    let usual = place::for_completions();
    let pool = dir("--pool", place::POOL, &usual);
    let of_pool = local::states_of(&pool).unwrap_or_else(|| state::DEFAULT.into());
    let states = dir("--state", place::STATE, &of_pool);
    Pool::open(&pool, &states)
        .and_then(|p| p.nodes())
        .unwrap_or_default()
}

/// Returns the directory that an option has on the command line typed so far; the last one, if it is repeated.
///
/// The script passes the typed words after a `--`. bash has split `--pool=DIR` into three words, and the shell has
/// not expanded `~` yet.
fn directory_typed(arguments: &[OsString], option: &str) -> Option<PathBuf> {
    let start = arguments.iter().position(|a| a == "--")? + 1;
    let words = &arguments[start..];
    let words = match words.iter().position(|a| a == "--") {
        Some(end) => &words[..end],
        None => words,
    };
    let joined = format!("{option}=");
    let at = words
        .iter()
        .rposition(|w| w == option || w.as_bytes().starts_with(joined.as_bytes()))?;
    let value = match words[at].as_bytes().strip_prefix(joined.as_bytes()) {
        Some(joined) => OsStr::from_bytes(joined),
        None => match words.get(at + 1)? {
            split if split == "=" => words.get(at + 2)?,
            value => value,
        },
    };
    let dir = PathBuf::from(value);
    match (dir.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(below), Some(home)) => Some(PathBuf::from(home).join(below)),
        _ => Some(dir),
    }
}

fn starting(current: &OsStr, words: &[String]) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    words
        .iter()
        .filter(|w| w.starts_with(current.as_ref()))
        .map(CompletionCandidate::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Option<PathBuf> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        directory_typed(&words, "--pool")
    }

    #[test]
    fn the_pool_is_the_one_typed() {
        let pool = |dir: &str| Some(PathBuf::from(dir));
        assert_eq!(typed("netbe -- netbe --pool /p list "), pool("/p"));
        assert_eq!(typed("netbe -- netbe list --pool=/p "), pool("/p"));
        assert_eq!(typed("netbe -- netbe --pool = /p list "), pool("/p"));
        assert_eq!(
            typed("netbe -- netbe --pool /a list --pool /b "),
            pool("/b")
        );
        assert_eq!(typed("netbe -- netbe run nog/x -- ls --pool /p"), None);
        assert_eq!(typed("netbe -- netbe list --pool"), None);
        assert_eq!(typed("netbe -- netbe list "), None);
        assert_eq!(typed("netbe --pool /p"), None);
    }
}
