//! A record as it can be compared: without secrets, and without what is another in each run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::is_time;
use super::leftovers::{SECRET, names};

/// The fields that are times, or are counted as time is.
const TIMES: [&str; 5] = ["taken", "taken_at", "transaction", "at", "since"];

/// Which environment has which identity.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Vec<String>>);

impl Names {
    /// Returns each identity with the name of an environment that has it.
    pub(super) fn of_all(&self) -> impl Iterator<Item = (&String, &String)> {
        let each = self.0.iter();
        each.flat_map(|(uuid, names)| names.iter().map(move |name| (uuid, name)))
    }

    /// Forgets those that are not shown: one that is to replace another, or to be replaced, is there under two names.
    pub(super) fn keep(&mut self, is_shown: impl Fn(&str) -> bool) {
        for names in self.0.values_mut() {
            names.retain(|name| is_shown(name));
        }
        self.0.retain(|_, names| !names.is_empty());
    }
}

/// Returns the identities of the environments in a pool, as their records have them.
pub(super) fn identities(pool: &Path) -> Names {
    let mut found = Names::default();
    let nodes = pool.join("nodes");
    let seen = |name: &String| !name.starts_with('.');
    for node in names(&nodes).into_iter().filter(seen) {
        let envs = nodes.join(&node).join("envs");
        for env in names(&envs).into_iter().filter(seen) {
            let text = fs::read_to_string(envs.join(&env).join("env.json")).unwrap_or_default();
            let record: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(uuid) = record["uuid"].as_str() {
                let names = found.0.entry(uuid.to_string()).or_default();
                names.push(format!("{node}/{env}"));
            }
        }
    }
    found
}

/// Returns the environments that have files of netbe's in place of their own, as their records say.
pub(super) fn with_lent_files(pool: &Path) -> Vec<String> {
    let nodes = pool.join("nodes");
    let mut found = Vec::new();
    for node in names(&nodes) {
        let envs = nodes.join(&node).join("envs");
        for env in names(&envs) {
            let text = fs::read_to_string(envs.join(&env).join("env.json")).unwrap_or_default();
            let record: Value = serde_json::from_str(&text).unwrap_or_default();
            if record["lent"]
                .as_array()
                .is_some_and(|lent| !lent.is_empty())
            {
                found.push(format!("{node}/{env}"));
            }
        }
    }
    found
}

/// Returns the record of a node, as a view shows it, without the mark of the name that it replaces.
pub(super) fn without_mark(shown: &str) -> String {
    match serde_json::from_str::<Value>(shown) {
        Ok(Value::Object(mut record)) => {
            record.remove("replaces");
            Value::Object(record).to_string()
        }
        _ => shown.to_string(),
    }
}

/// Returns a record, or a part of one, as it is the same in each run: the identity of an environment is its name.
pub(super) fn plain(value: Value, known: &Names) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .filter(|(name, _)| !SECRET.contains(&name.as_str()));
            let plain = fields.map(|(name, value)| {
                let value = match TIMES.contains(&name.as_str()) && !value.is_object() {
                    true => Value::from("a time"),
                    false => plain(value, known),
                };
                (name, value)
            });
            Value::Object(plain.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(|item| plain(item, known)).collect(),
        Value::String(text) => match (known.0.get(&text), is_uuid(&text)) {
            (Some(names), _) => names.join(" and ").into(),
            (None, true) => "of none".into(),
            (None, false) if is_time(&text) => "TIME".into(),
            (None, false) => text.into(),
        },
        other => other,
    }
}

/// Returns whether a text is a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
