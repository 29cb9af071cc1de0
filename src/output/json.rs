//! The JSON documents. Within a version, fields are only added.

use anyhow::Result;
use serde::Serialize;

use crate::lifecycle::list::Listed;

const VERSION: u64 = 1;

#[derive(Serialize)]
struct Versioned {
    version: u64,
    #[serde(flatten)]
    fields: serde_json::Value,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u64,
    environments: &'a [Listed],
}

/// Returns the document of `list --json`.
pub fn environments(environments: &[Listed]) -> Result<String> {
    document(&Document {
        version: VERSION,
        environments,
    })
}

/// Returns a document's text, with characters escaped that a terminal would interpret.
pub fn document(value: &impl Serialize) -> Result<String> {
    let mut text = crate::terminal::json(&serde_json::to_string_pretty(value)?);
    text.push('\n');
    Ok(text)
}

/// Returns a document of these fields, after the version.
pub fn object(fields: serde_json::Value) -> Result<String> {
    document(&Versioned {
        version: VERSION,
        fields,
    })
}

/// Returns a document of one list, after the version.
pub fn list<T: Serialize>(name: &str, items: &[T]) -> Result<String> {
    object(serde_json::json!({ name: items }))
}
