//! The only environment that a node has in use over NFS, and for how long: `in-use.json`.
//!
//! For machines without reports. An entry in the NFS server's tables proves little, since it stays for half an hour
//! after the last use. But if only one environment was in use for more than an hour, at every check, and only one
//! address may use it, then the node runs it and has left the others; this is recorded once, with the time of the first
//! check. Not for conclusions: [`super`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::boots::{self, How, Seen};
use super::client;
use super::nfsd::Look;
use crate::fs::atomic::{self, Durable};
use crate::pool::{EnvName, Environment, Node, Pool, record};

/// The required duration: twice the lifetime of an unused entry, and some.
const LONG: SignedDuration = SignedDuration::from_mins(65);

/// The longest interval between two checks in which no use can go unobserved.
const GAP: SignedDuration = SignedDuration::from_mins(20);

/// How often the state is written.
const OFTEN: SignedDuration = SignedDuration::from_mins(5);

/// The state since the first check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attendance {
    env: String,
    #[serde(default)]
    uuid: Option<String>,
    since: Timestamp,
    until: Timestamp,
    /// Whether it was recorded as an event.
    #[serde(default)]
    told: bool,
}

/// Checks which environments a node has in use.
pub fn note(pool: &Pool, node: &Node) -> Result<()> {
    let in_use = super::in_use(node, Look::Recent).context("reading the NFS server's tables")?;
    let known = client::sole_client(pool, node).is_some() && node.is_offered();
    let env = match in_use.as_slice() {
        [one] if known => observed(node, one),
        _ => None,
    };
    let path = path(&node.state);
    let before = record::read(&path).ok().flatten();
    let before: Option<Attendance> = before.and_then(|text| serde_json::from_str(&text).ok());
    let Some((env, uuid)) = env else {
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        return Ok(());
    };
    let Some(mut now) = next(before, env, uuid, Timestamp::now()) else {
        return Ok(());
    };
    if now.until.duration_since(now.since) >= LONG && !now.told {
        boots::add(&node.state, &event_of(&now))?;
        now.told = true;
    }
    atomic::file(&path, &serde_json::to_vec(&now)?, Durable::WithNextSync)
        .with_context(|| format!("writing {}", path.display()))
}

fn observed(node: &Node, name: &EnvName) -> Option<(String, Option<String>)> {
    let env = Environment::observe(node, name).ok()??;
    Some((name.to_string(), env.uuid().map(str::to_string)))
}

/// Returns the state after another check; `None` if it need not be written yet.
fn next(
    before: Option<Attendance>,
    env: String,
    uuid: Option<String>,
    now: Timestamp,
) -> Option<Attendance> {
    let goes_on = |known: &Attendance| {
        let gap = now.duration_since(known.until);
        known.env == env && known.uuid == uuid && !gap.is_negative() && gap <= GAP
    };
    match before.filter(goes_on) {
        Some(known) if now.duration_since(known.until) < OFTEN => None,
        Some(known) => Some(Attendance {
            until: now,
            ..known
        }),
        None => Some(Attendance {
            env,
            uuid,
            since: now,
            until: now,
            told: false,
        }),
    }
}

fn event_of(attendance: &Attendance) -> Seen {
    Seen {
        time: attendance.since,
        env: attendance.env.clone(),
        uuid: attendance.uuid.clone(),
        how: How::Nfs,
        ..Seen::default()
    }
}

fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("in-use.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_continues_only_if_each_look_sees_it() {
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        let known = |until: i64| {
            Some(Attendance {
                env: "a".to_string(),
                uuid: None,
                since: at(0),
                until: at(until),
                told: false,
            })
        };
        let look = |before, env: &str, now| {
            next(before, env.to_string(), None, at(now)).map(|n| (n.since, n.until))
        };
        assert_eq!(look(None, "a", 5), Some((at(5), at(5))));
        assert_eq!(look(known(0), "a", 4), None);
        assert_eq!(look(known(0), "a", 5), Some((at(0), at(5))));
        assert_eq!(look(known(0), "a", 20), Some((at(0), at(20))));
        // The interval was too long; another environment; the clock was set back.
        assert_eq!(look(known(0), "a", 21), Some((at(21), at(21))));
        assert_eq!(look(known(0), "b", 5), Some((at(5), at(5))));
        assert_eq!(look(known(10), "a", 5), Some((at(5), at(5))));
    }
}
