//! The environments that each machine of a node with `mac=any` has fetched files of, since no property names the machines.
//!
//! A file for each machine, named by its MAC address, in the node's state directory. It is written before the file is
//! sent, so that a machine without one has not booted by netbe's server. Their number is bounded; a machine beyond it
//! gets nothing. Not for conclusions: [`super`].

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::machines::is_address;
use crate::fs::atomic::{self, Durable};
use crate::fs::dir_names::names_in;
use crate::fs::path_error::if_exists;
use crate::pool::record;

/// The maximum number of recorded machines: any host can invent addresses.
pub const MOST: usize = 4096;

/// The directory of the files, in a node's state directory.
const DIRECTORY: &str = "machines";

/// An environment that a machine has fetched a file of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFetch {
    /// The environment, by name.
    pub env: String,
    /// The environment's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// When it last fetched a file, UTC.
    pub time: Timestamp,
}

/// The content of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fetches {
    fetched: Vec<MachineFetch>,
}

/// Returns the machines of a node that have fetched, in the order of their addresses, each with what it has fetched.
///
/// A file that cannot be read is a machine that may have fetched anything: `None`.
///
/// # Errors
/// When the machines cannot be listed.
pub fn read(node_state: &Path) -> io::Result<Vec<(String, Option<Vec<MachineFetch>>)>> {
    let of = |machine: String| match read_one(&file(node_state, &machine)) {
        Ok(fetches) => (machine, Some(fetches.unwrap_or_default().fetched)),
        Err(_) => (machine, None),
    };
    Ok(machines(node_state)?.into_iter().map(of).collect())
}

/// Returns the names of the machines of a node that have fetched, sorted.
///
/// # Errors
/// When they cannot be listed.
pub fn machines(node_state: &Path) -> io::Result<Vec<String>> {
    let mut names = names_in(&node_state.join(DIRECTORY))?;
    names.retain(|name| is_address(name));
    Ok(names)
}

/// Returns whether a machine has fetched, as far as it is recorded.
pub fn is_recorded(node_state: &Path, machine: &str) -> bool {
    file(node_state, machine).symlink_metadata().is_ok()
}

/// Records that a machine fetches a file of an environment now; durable when it returns.
///
/// Environments for which `exists` is false are forgotten; a file that cannot be read stays.
///
/// # Errors
/// If it is one machine too many.
pub fn record(
    node_state: &Path,
    machine: &str,
    fetch: MachineFetch,
    exists: impl Fn(&MachineFetch) -> bool,
) -> Result<()> {
    anyhow::ensure!(is_address(machine), "{machine:?} is no MAC address");
    let path = file(node_state, machine);
    let dir = node_state.join(DIRECTORY);
    let Ok(old) = read_one(&path) else {
        // An unreadable file counts as a machine that may have fetched anything: it stays.
        return Ok(());
    };
    if old.is_none() {
        anyhow::ensure!(
            machines(node_state)?.len() < MOST,
            "{MOST} machines have fetched already"
        );
        atomic::directories(&dir)?;
        atomic::directory(node_state)?;
    }
    let mut fetches = old.unwrap_or_default();
    let is_same = |other: &MachineFetch| other.env == fetch.env && other.uuid == fetch.uuid;
    fetches
        .fetched
        .retain(|other| !is_same(other) && exists(other));
    fetches.fetched.push(fetch);
    let text = serde_json::to_string(&fetches)? + "\n";
    atomic::file(&path, text.as_bytes(), Durable::AtOnce)?;
    Ok(())
}

/// Forgets a machine; it need not be recorded.
pub fn forget(node_state: &Path, machine: &str) -> Result<()> {
    let path = file(node_state, machine);
    let removed = if_exists(std::fs::remove_file(&path)).map(drop);
    removed.with_context(|| format!("removing {}", path.display()))
}

fn read_one(path: &Path) -> Result<Option<Fetches>> {
    let Some(text) = record::read(path)? else {
        return Ok(None);
    };
    let fetches =
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(fetches))
}

fn file(node_state: &Path, machine: &str) -> PathBuf {
    node_state.join(DIRECTORY).join(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "52-54-00-77-65-01";

    fn fetch(env: &str, second: i64) -> MachineFetch {
        MachineFetch {
            env: env.to_string(),
            uuid: Some(format!("uuid of {env}")),
            time: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn each_environment_is_kept_with_its_last_fetch_as_long_as_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let add = |fetch, gone: &str| {
            record(dir.path(), MACHINE, fetch, |other| other.env != gone).unwrap();
        };
        add(fetch("a", 1), "");
        add(fetch("b", 2), "");
        add(fetch("a", 3), "");
        let known = read(dir.path()).unwrap();
        let want = vec![fetch("b", 2), fetch("a", 3)];
        assert_eq!(known, [(MACHINE.to_string(), Some(want))]);
        add(fetch("c", 4), "b");
        let want = Some(vec![fetch("a", 3), fetch("c", 4)]);
        assert_eq!(read(dir.path()).unwrap()[0].1, want);
        forget(dir.path(), MACHINE).unwrap();
        forget(dir.path(), MACHINE).unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
    }

    #[test]
    fn an_unreadable_record_counts_as_any_fetch_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), MACHINE);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        for text in ["", "[]", "{\"fetched\":[{\"env\":1}]}", "\u{0}"] {
            std::fs::write(&path, text).unwrap();
            record(dir.path(), MACHINE, fetch("a", 1), |_| true).unwrap();
            let known = read(dir.path()).unwrap();
            assert_eq!(known, [(MACHINE.to_string(), None)], "{text:?}");
        }
        std::fs::write(path.with_file_name("no address"), "x").unwrap();
        assert_eq!(machines(dir.path()).unwrap(), [MACHINE]);
        assert!(record(dir.path(), "../x", fetch("a", 1), |_| true).is_err());
    }

    #[test]
    fn their_number_is_bounded_and_those_that_are_known_go_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(DIRECTORY)).unwrap();
        for n in 0..MOST {
            let name = format!("02-00-00-00-{:02x}-{:02x}", n >> 8, n & 255);
            std::fs::write(file(dir.path(), &name), "{\"fetched\":[]}").unwrap();
        }
        assert!(record(dir.path(), MACHINE, fetch("a", 1), |_| true).is_err());
        record(dir.path(), "02-00-00-00-00-07", fetch("a", 1), |_| true).unwrap();
    }
}
