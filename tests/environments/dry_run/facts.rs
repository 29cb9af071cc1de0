//! What can be told of a pool from outside, and whether a step of a dry run names what of it changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Fingerprint, Pool};

/// Returns what can be told of a pool from outside, a fact each.
pub(super) fn facts(pool: &Pool) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let list = pool.netbe().run("list --json");
    let list: Value = serde_json::from_str(&list.stdout).unwrap_or_default();
    for env in list["environments"].as_array().into_iter().flatten() {
        let (node, name) = (env["node"].as_str().unwrap(), env["name"].as_str().unwrap());
        let mut fact =
            |what: &str, value: String| facts.insert(format!("{what} {node}/{name}"), value);
        fact("environment", env["uuid"].to_string());
        fact("description", env["description"].to_string());
        fact("pinned", env["pinned"].to_string());
        let dir = pool.half(&format!("{node}/{name}"), "");
        let files = ["root", "boot"].map(|half| Fingerprint::of(&dir.join(half)));
        fact("files", format!("{files:?}"));
        fact("data", format!("{:?}", names_in(&dir.join(".data"))));
        let data = names_in(&pool.at(&format!("nodes/{node}/data")));
        facts.insert(format!("data {node}"), format!("{data:?}"));
        let link = fs::read_link(pool.at(&format!("nodes/{node}/active")));
        facts.insert(format!("active {node}"), format!("{link:?}"));
        for file in ["node.json", "pending.json"] {
            let text = fs::read_to_string(pool.at(&format!("nodes/{node}/{file}")));
            facts.extend(text.ok().map(|text| (format!("{file} {node}"), text)));
        }
    }
    let text = fs::read_to_string(pool.at("pool.json"));
    facts.insert("pool.json".into(), text.unwrap_or_default());
    for name in names_in(&pool.at("tftp")) {
        let to = fs::read_link(pool.at("tftp").join(&name)).unwrap();
        facts.insert(format!("tftp {name}"), to.display().to_string());
    }
    for node in names_in(&pool.at("nodes")) {
        let dir = pool.path().join("nodes").join(&node);
        for env in names_in(&dir.join("envs")) {
            facts.insert(format!("directory {node}/{env}"), String::new());
        }
        let copy = fs::read_to_string(dir.join("node.json"));
        facts.insert(format!("copy {node}"), copy.unwrap_or_default());
    }
    let copy = fs::read_to_string(pool.path().join("pool.json"));
    facts.insert("copy".into(), copy.unwrap_or_default());
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let is_own = |line: &&str| line.contains(&format!(" {} ", pool.path().display()));
    let options = mounts
        .lines()
        .filter(is_own)
        .map(|line| line.split(' ').nth(5));
    facts.insert(
        "mounted".into(),
        format!("{:?}", options.collect::<Vec<_>>()),
    );
    let published = pool.state().join("publish");
    for name in names_in(&published) {
        let text = fs::read_to_string(published.join(&name)).unwrap_or_default();
        facts.insert(format!("published {name}"), text);
    }
    for name in names_in(&pool.at("nodes")) {
        if name.starts_with('.') {
            facts.insert(format!("hidden {name}"), String::new());
        }
        for name in names_in(&pool.at(&format!("nodes/{name}"))) {
            if name.starts_with('.') {
                facts.insert(format!("hidden {name}"), String::new());
            }
        }
    }
    for name in names_in(&pool.state().join("nodes")) {
        facts.insert(format!("state {name}"), String::new());
    }
    for name in names_in(pool.beside()) {
        let path = pool.beside().join(&name);
        if !["pool", "pool.btrfs", "disk"].contains(&name.as_str()) {
            let files = Fingerprint::of(&path);
            facts.insert(format!("beside {name}"), format!("{files:?}"));
        }
    }
    facts
}

pub(super) fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns a text with the same word for every name that is a time: two runs seldom are in the same second.
pub(super) fn timeless(text: &str) -> String {
    let is_of_time = |c: char| c.is_ascii_digit() || c == 'T';
    let mut words = text.split_inclusive(|c: char| !c.is_alphanumeric());
    let mut kept = String::new();
    for word in &mut words {
        match word.split_once('Z') {
            Some((time, rest)) if time.len() == 15 && time.chars().all(is_of_time) => {
                kept.push_str("TIME");
                kept.push_str(rest);
            }
            _ => kept.push_str(word),
        }
    }
    kept
}

/// Returns what differs, a fact each.
pub(super) fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<String> {
    let all = before.keys().chain(after.keys());
    let mut changed: Vec<String> = all
        .filter(|fact| before.get(*fact) != after.get(*fact))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

/// Returns whether a step names a fact that changed.
pub(super) fn names(step: &str, fact: &str) -> bool {
    let (what, of) = fact.split_once(' ').unwrap_or((fact, ""));
    let node = of.split('/').next().unwrap_or(of);
    let says = |words: &[&str]| words.iter().any(|word| step.contains(word));
    match what {
        "environment" | "description" | "pinned" => {
            says(&[of])
                || (says(&["environments of", "destroy node", "records of"]) && says(&[node]))
        }
        "files" => {
            says(&[of])
                || (says(&["environments of", "destroy node", "rename", "records of"])
                    && says(&[node]))
        }
        "data" => {
            says(&[of])
                || (says(&[node]) && says(&["data", "environments of", "destroy", "records"]))
        }
        "active" => {
            says(&[of]) && says(&["boot", "activate", "make", "destroy", "lead", "records"])
        }
        "pending.json" => says(&[of]) && says(&["boot", "lead", "make", "destroy", "trial"]),
        "directory" => {
            let env = of.rsplit('/').next().unwrap_or(of);
            says(&[of, &format!("/{node}/envs/{env}")])
                || (says(&["environments of", "destroy node", "destroy"]) && says(&[node]))
        }
        "copy" if of.is_empty() => says(&["the pool", "lay out a pool"]),
        "node.json" | "state" | "hidden" | "copy" => says(&[of]),
        "pool.json" => says(&["the pool", "lay out a pool"]),
        "beside" if of == "power" => says(&["power.cycle"]),
        // Of an export, whose file another step names.
        "beside" if says(&["snapshot"]) => true,
        "beside" => says(&[&format!("/{of}")]),
        "mounted" => says(&["mount"]),
        "published" if says(&["export"]) => true,
        // What leads machines there goes with what they are led to.
        _ => says(&[
            "boot", "activate", "make", "destroy", "lead", "link", "publish", "set", "remove",
        ]),
    }
}
