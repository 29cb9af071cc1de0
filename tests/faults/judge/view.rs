//! What a pool is, to be compared as a whole: nothing in it differs from run to run.
//!
//! What lists show of each environment; the records of nodes and of the pool; what each TFTP name leads to; each file of the
//! halves that were there before, and of data. Not for what cannot differ between two runs that are both whole: `rules.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::record::{Names, identities, plain};
use super::rules::{environment_behind, halves, names_offered};
use crate::report::against;
use crate::support::{Fingerprint, Netbe, state_of};

/// What a pool is: each environment, `nog/a`, and all that lists show of it that does not differ from run to run; the record
/// of each node, `nog`, and of the `POOL`; beside these, what [`with_content`] adds.
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
    let name = |env: &Value| {
        let text = |key: &str| env[key].as_str().unwrap_or("?").to_string();
        format!("{}/{}", text("node"), text("name"))
    };
    let shown: BTreeSet<String> = environments.iter().map(name).collect();
    let mut known = identities(pool);
    known.keep(|name| shown.contains(name));
    let row = |env: &Value| {
        let shown = [
            "active",
            "booted",
            "pending",
            "pinned",
            "complete",
            "description",
            "kernel",
            "arch",
            "origin",
        ]
        .map(|key| {
            format!(
                "{key}={}",
                timeless_text(&plain(env[key].clone(), &known).to_string())
            )
        });
        (name(env), shown.join(" "))
    };
    let mut view: View = environments.iter().map(row).collect();
    let nodes: Vec<String> = view
        .keys()
        .filter_map(|name| Some(name.split_once('/')?.0.to_string()))
        .collect();
    let state = state_of(pool);
    for node in nodes {
        let record = record(&state.join("nodes").join(&node).join("node.json"), &known);
        view.insert(node, record);
    }
    view.insert("POOL".to_string(), record(&state.join("pool.json"), &known));
    Ok(view)
}

/// Returns the same view with what each TFTP name leads to, with the files of data, and with those of both halves of each
/// environment that is one of these, by its identity.
pub(super) fn with_content(mut view: View, pool: &Path, known: &BTreeSet<String>) -> View {
    for name in names_offered(pool) {
        let leads_to = environment_behind(pool, &pool.join("tftp").join(&name));
        view.insert(
            format!("TFTP name {name}"),
            leads_to.unwrap_or_else(|| "nothing".to_string()),
        );
    }
    let is_foreign = is_foreign(&view);
    for (uuid, name) in identities(pool).of_all() {
        // One that is to replace another, or to be replaced, is there and not shown.
        if !known.contains(uuid) || !is_foreign && !view.contains_key(name) {
            continue;
        }
        for (half, path) in ["root", "boot"].iter().zip(halves(pool, name)) {
            view.insert(format!("{name}, {half}"), files(&path));
        }
    }
    let nodes: Vec<String> = view.keys().filter(|key| is_node(key)).cloned().collect();
    for node in nodes {
        let data: Value = serde_json::from_str(&view[&node]).unwrap_or_default();
        let paths = data["data"]["paths"].as_array().into_iter().flatten();
        for path in paths.filter_map(|data| data["path"].as_str()) {
            let place = format!("nodes/{node}/data/{}", path.replace('/', "+"));
            view.insert(format!("{node}, data of {path}"), files(&pool.join(place)));
        }
    }
    view
}

/// Returns whether this is of what [`with_content`] adds.
pub(super) fn is_content(key: &str) -> bool {
    key.contains(' ')
}

/// Returns whether this is the name of a node.
fn is_node(key: &str) -> bool {
    key != "POOL" && !is_content(key) && !key.contains('/')
}

fn files(directory: &Path) -> String {
    match directory.is_dir() {
        true => format!("{:?}", Fingerprint::of(directory)),
        false => "gone".to_string(),
    }
}

/// Takes the files out of a view that an interrupted command left under hidden names.
pub(super) fn without_hidden(view: &mut View) {
    for (_, files) in view.iter_mut().filter(|(key, _)| is_content(key)) {
        let is_hidden = |part: &str| {
            part.starts_with(".netbe-merge-")
                || part.starts_with('.') && part.ends_with(".netbe-new")
                || part.starts_with('.') && part.contains(".netbe-own")
        };
        let lines = files.lines().filter(|line| {
            let path = line.split(' ').next().unwrap_or_default();
            !path.split('/').any(is_hidden)
        });
        *files = lines.map(|line| format!("{line}\n")).collect();
    }
}

/// Takes the files of the root halves of these environments out of a view.
pub(super) fn without_roots(mut view: View, environments: &[String]) -> View {
    for name in environments {
        view.remove(&format!("{name}, root"));
    }
    view
}

/// Returns what differs, a line each; of what has several lines, those that do.
pub(super) fn differences(from: &View, to: &View) -> Vec<String> {
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (old, new) = match [from, to].map(|view| view.get(key).map(String::as_str)) {
            [old, new] if old == new => continue,
            [Some(_), None] => {
                found.push(format!("- {key}"));
                continue;
            }
            [None, Some(new)] if is_content(key) => {
                found.push(format!("+ {key}, {} lines", new.lines().count()));
                continue;
            }
            [old, new] => (old.unwrap_or_default(), new.unwrap_or_default()),
        };
        let only = |text: &str, other: &str, sign: char| -> Vec<String> {
            let known: BTreeSet<&str> = other.lines().collect();
            let lines = text.lines().filter(|line| !known.contains(line));
            lines.map(|line| format!("{sign} {key}: {line}")).collect()
        };
        found.extend(only(old, new, '-'));
        found.extend(only(new, old, '+'));
    }
    found
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
        let mut name = timeless_text(&name);
        while found.contains_key(&name) {
            name.push_str("-and-another");
        }
        let shown = timeless_text(&shown);
        found.insert(name, shown);
    }
    found
}

/// Returns a text with `TIME` in the place of each name that is a time.
fn timeless_text(text: &str) -> String {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    text.split_inclusive(is_end)
        .map(|word| {
            let bare = word.trim_end_matches(is_end);
            match is_time(bare) {
                true => format!("TIME{}", &word[bare.len()..]),
                false => word.to_string(),
            }
        })
        .collect()
}

/// Returns a record without secrets and without what is another in each run, or what it is instead.
fn record(path: &Path, known: &Names) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(record) => plain(record, known).to_string(),
        Err(e) => format!("{e}: {text:?}"),
    }
}
