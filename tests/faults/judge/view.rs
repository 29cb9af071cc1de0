//! The pool as scripts see it, for comparisons: nothing in it differs from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::report::against;
use crate::support::{Netbe, state_of};

/// What scripts go by: each environment, `nog/a`, and all of it that does not differ from run to run; the properties
/// of each node and of the pool.
pub(crate) type View = BTreeMap<String, String>;

/// What a pool shows that this server knows nothing of.
const FOREIGN: &str = "not taken over";

/// Returns whether a view is that of a pool that this server knows nothing of.
pub(crate) fn is_foreign(view: &View) -> bool {
    view.get("POOL").is_some_and(|shown| shown == FOREIGN)
}

/// Returns what a pool shows to scripts.
///
/// # Errors
/// When `list --json` fails or is not the document it should be.
pub(crate) fn view(netbe: &Netbe, pool: &Path) -> Result<View, String> {
    let output = netbe.run("list --json");
    if output.status == 3 && output.stderr.contains("has not taken over the pool") {
        return Ok(View::from([("POOL".to_string(), FOREIGN.to_string())]));
    }
    // What a run that was cut short leaves is told until it is put back.
    let is_told = |line: &str| line.contains("since a command in it was killed: ");
    if output.status != 0 || !output.stderr.lines().all(is_told) {
        return Err(against(10, format!("list --json: {output:#?}")));
    }
    let document: Value = serde_json::from_str(&output.stdout)
        .map_err(|e| against(10, format!("list --json: {e}: {output:#?}")))?;
    if document["version"] != 1 {
        let what = format!("list --json: its version is {}", document["version"]);
        return Err(against(10, what));
    }
    let environments = document["environments"]
        .as_array()
        .ok_or_else(|| against(10, "list --json: no environments"))?;
    let row = |env: &Value| {
        let text = |key: &str| env[key].as_str().unwrap_or("?").to_string();
        let shown = [
            "active",
            "booted",
            "pending",
            "pinned",
            "complete",
            "description",
            "kernel",
            "arch",
        ]
        .map(|key| format!("{key}={}", env[key]));
        (
            format!("{}/{}", text("node"), text("name")),
            shown.join(" "),
        )
    };
    let mut view: View = environments.iter().map(row).collect();
    let nodes: Vec<String> = view
        .keys()
        .filter_map(|name| Some(name.split_once('/')?.0.to_string()))
        .collect();
    let state = state_of(pool);
    for node in nodes {
        let properties = properties(&state.join("nodes").join(&node).join("node.json"));
        view.insert(node, properties);
    }
    view.insert("POOL".to_string(), properties(&state.join("pool.json")));
    Ok(view)
}

/// Returns whether a name of an environment is that of a time, which netbe gives where none is asked for.
pub(crate) fn is_time(name: &str) -> bool {
    let (date, rest) = name.split_once('T').unwrap_or_default();
    let (time, number) = rest.split_once('Z').unwrap_or_default();
    let is_number =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(date, 8) && is_number(time, 6) && (number.is_empty() || number.starts_with('-'))
}

/// Returns a view in which names that are times are the same in each run.
pub(super) fn timeless(view: View) -> View {
    let mut found = View::new();
    for (name, shown) in view {
        let mut name = match name.split_once('/') {
            Some((node, env)) if is_time(env) => format!("{node}/TIME"),
            _ => name,
        };
        while found.contains_key(&name) {
            name.push_str("-and-another");
        }
        found.insert(name, shown);
    }
    found
}

/// Returns the properties in a record, or what it is instead.
fn properties(record: &Path) -> String {
    let text = fs::read_to_string(record).unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(record) => record["properties"].to_string(),
        Err(e) => format!("{e}: {text:?}"),
    }
}
