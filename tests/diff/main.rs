//! `diff`: files of every kind, packages, how they boot, and what is theirs by nature.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod answer;
mod boot;
mod files;
mod packages;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use support::Pool;

/// Returns a pool with nog/a, and nog/b made from it after this was done in `/data` of it.
fn pool(prepare: impl Fn(PathBuf)) -> Pool {
    let pool = Pool::with_node();
    let data = pool.half("nog/a", "root").join("data");
    fs::create_dir(&data).unwrap();
    prepare(data);
    pool.netbe().ok("create nog/b");
    pool
}

fn data(pool: &Pool, environment: &str) -> PathBuf {
    pool.half(environment, "root").join("data")
}

fn document(pool: &Pool, line: &str) -> Value {
    serde_json::from_str(&pool.netbe().ok(line)).unwrap()
}

/// Returns each path that differs, with what differs of it; what is theirs by nature apart.
fn differs(document: &Value, identity: bool) -> Vec<(String, String)> {
    let files = document["files"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    files
        .iter()
        .filter(|f| f["identity"] == identity)
        .map(|f| {
            let aspects: Vec<String> = f["differs"].as_array().unwrap().iter().map(text).collect();
            let what = match aspects.is_empty() {
                true => text(&f["change"]),
                false => aspects.join(" "),
            };
            (text(&f["path"]), what)
        })
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(a, b): &(&str, &str)| ((*a).to_string(), (*b).to_string());
    list.iter().map(pair).collect()
}
