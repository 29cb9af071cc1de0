//! The JSON documents. Within a version, fields are only added.

use std::path::Path;

use anyhow::Result;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::lifecycle::list::Listed;
use crate::pool::Origin;

const VERSION: u64 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u64,
    environments: Vec<Environment<'a>>,
}

#[derive(Serialize)]
struct Environment<'a> {
    node: &'a str,
    name: &'a str,
    uuid: Option<&'a str>,
    complete: bool,
    active: bool,
    booted: Option<bool>,
    pending: Option<&'static str>,
    pinned: bool,
    created: String,
    description: &'a str,
    arch: Option<&'a str>,
    kernel: Option<&'a str>,
    origin: Option<&'a Origin>,
    root: &'a Path,
    boot: &'a Path,
    space: Option<Space>,
    problems: &'a [String],
}

#[derive(Serialize)]
struct Space {
    unique: u64,
    referenced: u64,
}

/// Returns the document of `list --json`.
pub fn environments(listed: &[Listed]) -> Result<String> {
    let environments = listed
        .iter()
        .map(|e| Environment {
            node: &e.node,
            name: &e.name,
            uuid: e.uuid.as_deref(),
            complete: e.complete,
            active: e.active,
            booted: e.booted,
            pending: e.pending.map(crate::pool::pending::Kind::word),
            pinned: e.pinned,
            created: to_the_second(e.created),
            description: &e.description,
            arch: e.arch.as_deref(),
            kernel: e.kernel.as_deref(),
            origin: e.origin.as_ref(),
            root: &e.root,
            boot: &e.boot,
            space: e.space.map(|s| Space {
                unique: s.unique,
                referenced: s.referenced,
            }),
            problems: &e.problems,
        })
        .collect();
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
pub fn object(mut fields: serde_json::Value) -> Result<String> {
    fields["version"] = VERSION.into();
    document(&fields)
}

/// Returns a document of one list, after the version.
pub fn list<T: Serialize>(name: &str, items: &[T]) -> Result<String> {
    document(&serde_json::json!({ "version": VERSION, name: items }))
}

fn to_the_second(moment: Timestamp) -> String {
    moment.round(Unit::Second).unwrap_or(moment).to_string()
}
