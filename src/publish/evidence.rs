//! What is known of what a node runs.
//!
//! Three answers: it runs this, it does not, it cannot be told; and the last counts as the first wherever
//! safety is at stake. Reads what was recorded of a node's boots; tolerant of garbage in it, which then
//! tells nothing. Not for recording.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use jiff::Timestamp;
use serde::Deserialize;

use crate::pool::{Environment, Node};

/// How much of the end of `boots.jsonl` is read, in bytes: what is older is not news.
const TAIL: u64 = 64 << 10;

/// One line of `boots.jsonl`.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Boot {
    /// When it was seen, UTC.
    pub time: Timestamp,
    /// The environment that was fetched or reported.
    pub env: String,
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct Evidence {
    offered: bool,
    last: Option<Boot>,
}

impl Evidence {
    /// Reads what was recorded of a node.
    pub fn of(node: &Node) -> Self {
        // Who asks for it is not known where its record is lost: somebody may.
        let offered = node.is_offered() || node.lost;
        let last = if offered { last_boot(node) } else { None };
        Self { offered, last }
    }

    /// Returns whether the node runs an environment; `None` where it cannot be told.
    ///
    /// Known not to: one that no machine was ever led to; one of a node that nobody can ask for (it has
    /// no names and no exports); one that had stopped being active before another was seen to boot.
    pub fn booted(&self, env: &Environment) -> Option<bool> {
        let record = env.record.as_ref();
        if !self.offered || record.is_some_and(|r| !r.served && !env.active) {
            return Some(false);
        }
        let last = self.last.as_ref()?;
        if last.env == env.name.as_str() {
            return Some(true);
        }
        if env.active {
            // It may have been booted since, unseen.
            return None;
        }
        let left = record?.left?;
        (left < last.time).then_some(false)
    }
}

fn last_boot(node: &Node) -> Option<Boot> {
    let mut file = File::open(node.dir.join("boots.jsonl")).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    last_in(&String::from_utf8_lossy(&bytes))
}

/// Returns the last line that says something; a line cut short by a crash says nothing.
fn last_in(text: &str) -> Option<Boot> {
    text.lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_tells_nothing() {
        let good = r#"{"time":"2026-11-20T10:15:00Z","env":"first","how":"tftp"}"#;
        assert_eq!(last_in(good).unwrap().env, "first");
        assert_eq!(
            last_in(&format!("{good}\n{{\"time\":\"2026")).unwrap().env,
            "first"
        );
        for text in ["", "\u{0}\u{0}", "[]", "{}", r#"{"time":"x","env":"a"}"#] {
            assert_eq!(last_in(text), None, "{text:?}");
        }
    }
}
