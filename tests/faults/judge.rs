//! The rules that a pool is held to after any fault, whatever broke.
//!
//! A judge is made before the command; it knows how the pool may look afterwards, and what must not have
//! changed at all. Its answers are lists of faults, empty when all is well, so that a harness can go on to its
//! next point and count. It looks from outside: through the program's answers and at the disk itself, never
//! through netbe's own code.

#![allow(dead_code, reason = "each harness asks what it needs")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Fingerprint, Netbe, output};

/// What scripts go by: each environment, `nog/a`, and all of it that does not differ from run to run; the properties
/// of each node and of the pool.
pub(crate) type View = BTreeMap<String, String>;

/// What stands between two things of a row of a view; none of them has it in it.
const SEPARATOR: &str = "\t";

/// What is wrong, a sentence each; empty when nothing is.
pub(crate) type Faults = Vec<String>;

/// The inode number of every subvolume's top directory.
const SUBVOLUME: u64 = 256;

/// What a pool may be after a fault.
#[derive(Debug)]
pub(crate) struct Judge {
    netbe: Netbe,
    pool: PathBuf,
    /// How the pool may look: the old first, then what was added with [`Judge::allow`].
    views: Vec<View>,
    /// Both halves of each environment that the command has nothing to do with.
    untouched: BTreeMap<PathBuf, Fingerprint>,
}

impl Judge {
    /// Looks at a sound pool, mounted at `pool`, before the command.
    ///
    /// `touched` are the environments it may change, `"nog/b"`, or whole nodes, `"nog"`.
    pub(crate) fn new(netbe: &Netbe, pool: &Path, touched: &[&str]) -> Self {
        let view = view(netbe, pool).unwrap_or_else(|fault| panic!("before: {fault}"));
        let is_touched = |name: &str| {
            let of = |one: &&str| {
                name.strip_prefix(one)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            touched.iter().any(of)
        };
        let untouched = view
            .keys()
            .filter(|name| name.contains('/') && !is_touched(name))
            .flat_map(|name| halves(pool, name))
            .map(|half| (half.clone(), Fingerprint::of(&half)))
            .collect();
        let judge = Self {
            netbe: netbe.clone(),
            pool: pool.to_path_buf(),
            views: vec![view],
            untouched,
        };
        let faults = judge.standing().0;
        assert!(faults.is_empty(), "before: {faults:#?}");
        judge
    }

    /// Allows what the pool is now: the new state, or one between where a command has two steps.
    pub(crate) fn allow(&mut self) {
        let view = view(&self.netbe, &self.pool).unwrap_or_else(|fault| panic!("allowed: {fault}"));
        self.views.push(view);
    }

    /// Returns what may be seen afterwards, the old first.
    pub(crate) fn views(&self) -> &[View] {
        &self.views
    }

    /// Judges the pool as it stands, before any repair; returns also which of the views it shows.
    pub(crate) fn standing(&self) -> (Faults, Option<usize>) {
        let mut faults = rules(&self.netbe, &self.pool);
        let found = match view(&self.netbe, &self.pool) {
            Ok(found) => found,
            Err(fault) => return (vec![fault], None),
        };
        let which = self.views.iter().rposition(|view| *view == found);
        if which.is_none() && !self.is_between(&found) {
            faults.push(format!(
                "neither the old nor the new, but {found:#?}; the old: {:#?}",
                self.views[0]
            ));
        }
        for (half, before) in &self.untouched {
            let changes = before.changes(&Fingerprint::of(half));
            if !changes.is_empty() {
                faults.push(format!(
                    "{} was changed:\n{}",
                    half.display(),
                    changes.join("\n")
                ));
            }
        }
        (faults, which)
    }

    /// Returns whether a view is one on the way: the environments of one that may be seen, and each thing about each
    /// of them as one of those has it. Many commands have two steps, such as to lead to it and to forget a trial.
    fn is_between(&self, found: &View) -> bool {
        let has_same_names = |view: &View| view.keys().eq(found.keys());
        let is_seen = |name: &str, thing: &str| {
            let mut rows = self.views.iter().filter_map(|view| view.get(name));
            rows.any(|row| row.split(SEPARATOR).any(|one| one == thing))
        };
        let is_mixed = |(name, row): (&String, &String)| {
            row.split(SEPARATOR).all(|thing| is_seen(name, thing))
        };
        self.views.iter().any(has_same_names) && found.iter().all(is_mixed)
    }

    /// Runs `check --repair` and judges what it leaves: nothing hidden, nothing to find, nothing changed.
    pub(crate) fn repair(&self) -> Faults {
        let before = view(&self.netbe, &self.pool).ok();
        let mut faults = Faults::new();
        let repaired = self.netbe.run("check --repair");
        if repaired.status != 0 {
            faults.push(format!("check --repair: {repaired:#?}"));
        }
        let left = leftovers(&self.pool);
        if !left.is_empty() {
            faults.push(format!("check --repair left {left:?}"));
        }
        let second = self.netbe.run("check");
        if second.status != 0 || !second.stderr.is_empty() {
            faults.push(format!("a second check: {second:#?}"));
        }
        let after = view(&self.netbe, &self.pool).ok();
        if before != after {
            faults.push(format!("check --repair made {before:#?} into {after:#?}"));
        }
        faults.extend(self.standing().0);
        faults.dedup();
        faults
    }

    /// Runs the same command again, which must succeed and lead to the last of the views, or say that it is done.
    ///
    /// `done` is what it may say when it had been done: words of the error.
    pub(crate) fn again(&self, arguments: &[&str], done: &[&str]) -> Faults {
        let said = self.netbe.run_with(arguments);
        let mut faults = Faults::new();
        let was_done = [1, 2, 3, 4].contains(&said.status)
            && done.iter().any(|word| said.stderr.contains(word));
        if said.status != 0 && !was_done || said.stderr.contains("panicked") {
            faults.push(format!("again: {said:#?}"));
        }
        let (standing, which) = self.standing();
        faults.extend(standing);
        if which != Some(self.views.len() - 1) && !was_done {
            faults.push(format!("run again, it is not done: {said:#?}"));
        }
        faults
    }
}

/// Returns what a pool shows to scripts.
///
/// # Errors
/// When `list --json` fails or is not the document it should be.
pub(crate) fn view(netbe: &Netbe, pool: &Path) -> Result<View, String> {
    let said = netbe.run("list --json");
    if said.status != 0 || !said.stderr.is_empty() {
        return Err(format!("list --json: {said:#?}"));
    }
    let document: Value =
        serde_json::from_str(&said.stdout).map_err(|e| format!("list --json: {e}: {said:#?}"))?;
    if document["version"] != 1 {
        return Err(format!(
            "list --json: its version is {}",
            document["version"]
        ));
    }
    let environments = document["environments"]
        .as_array()
        .ok_or("list --json: no environments")?;
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
            shown.join(SEPARATOR),
        )
    };
    let mut view: View = environments.iter().map(row).collect();
    let nodes: Vec<String> = view
        .keys()
        .filter_map(|name| Some(name.split_once('/')?.0.to_string()))
        .collect();
    for node in nodes {
        let properties = properties(&pool.join("nodes").join(&node).join("node.json"));
        view.insert(node, properties);
    }
    view.insert("POOL".to_string(), properties(&pool.join("pool.json")));
    Ok(view)
}

/// Returns the properties in a record, or what it is instead.
fn properties(record: &Path) -> String {
    let text = fs::read_to_string(record).unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(record) => record["properties"].to_string(),
        Err(e) => format!("{e}: {text:?}"),
    }
}

/// Judges what holds of every pool at every instant, whatever was done to it.
pub(crate) fn rules(netbe: &Netbe, pool: &Path) -> Faults {
    let mut faults = Faults::new();
    let view = match view(netbe, pool) {
        Ok(view) => view,
        Err(fault) => return vec![fault],
    };
    let is_environment = |name: &&String| name.contains('/');
    for name in view.keys().filter(is_environment) {
        faults.extend(incomplete(pool, name).map(|why| format!("{name} is listed, but {why}")));
        if !view[name].contains("complete=true") {
            faults.push(format!("{name} is not complete: {}", view[name]));
        }
    }
    let mut active: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, shown) in view.iter().filter(|(name, _)| is_environment(name)) {
        let node = name.split('/').next().unwrap_or_default();
        *active.entry(node).or_default() += usize::from(shown.contains("active=true"));
    }
    for (node, number) in active {
        if number != 1 {
            faults.push(format!("{node} has {number} active environments"));
        }
    }
    faults.extend(tftp(pool));
    faults
}

/// Returns why an environment, `"nog/a"`, is not whole on disk; nothing when it is.
fn incomplete(pool: &Path, name: &str) -> Option<String> {
    let [root, boot] = halves(pool, name);
    for half in [&root, &boot] {
        if !half
            .symlink_metadata()
            .is_ok_and(|m| m.is_dir() && m.ino() == SUBVOLUME)
        {
            return Some(format!("{} is no subvolume", half.display()));
        }
    }
    let record = root.with_file_name("env.json");
    let text = fs::read_to_string(&record).unwrap_or_default();
    let Ok(Value::Object(_)) = serde_json::from_str(&text) else {
        return Some(format!("its env.json is {text:?}"));
    };
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let line = read(boot.join("cmdline.txt")).or_else(|| read(boot.join("pxelinux.cfg/default")));
    if !line.is_some_and(|l| l.contains(&format!("{},", root.display()))) {
        return Some(format!("no boot file names {}", root.display()));
    }
    let fstab = read(root.join("etc/fstab")).unwrap_or_default();
    if !fstab.contains(&format!("{} ", boot.display())) {
        return Some(format!("its fstab does not name {}", boot.display()));
    }
    None
}

/// Returns the TFTP names that do not lead to the boot half of a whole environment.
fn tftp(pool: &Path) -> Faults {
    let directory = pool.join("tftp");
    let mut faults = Faults::new();
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if name.starts_with('.') || !is_link {
            continue;
        }
        match environment_behind(pool, &entry.path()) {
            None => faults.push(format!("the TFTP name {name} leads to no environment")),
            Some(env) => {
                faults.extend(
                    incomplete(pool, &env).map(|why| format!("{name} leads to {env}: {why}")),
                );
            }
        }
    }
    faults
}

/// Returns the environment, `"nog/a"`, that a TFTP name leads to the boot half of.
pub(crate) fn environment_behind(pool: &Path, link: &Path) -> Option<String> {
    let end = fs::canonicalize(link).ok()?;
    let below = end.strip_prefix(fs::canonicalize(pool).ok()?).ok()?;
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    match parts.as_slice() {
        [nodes, node, envs, env, boot] if [nodes, envs, boot] == ["nodes", "envs", "boot"] => {
            Some(format!("{node}/{env}"))
        }
        _ => None,
    }
}

fn halves(pool: &Path, name: &str) -> [PathBuf; 2] {
    let (node, env) = name.split_once('/').unwrap_or((name, ""));
    let directory = pool.join("nodes").join(node).join("envs").join(env);
    ["root", "boot"].map(|half| directory.join(half))
}

/// Returns what an interrupted command left: hidden work, half-replaced files, subvolumes that belong to nothing.
pub(crate) fn leftovers(pool: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut envs = 0;
    look_for_hidden(pool, pool, 0, &mut found, &mut envs);
    let listed = output(
        std::process::Command::new("btrfs")
            .args(["subvolume", "list", "-o"])
            .arg(pool),
    );
    let subvolumes = String::from_utf8_lossy(&listed).lines().count();
    if subvolumes != 2 * envs {
        found.push(format!(
            "{subvolumes} subvolumes for {envs} environments and bases"
        ));
    }
    found
}

/// Walks a pool's own directories, not into environments; counts these.
fn look_for_hidden(
    pool: &Path,
    directory: &Path,
    depth: usize,
    found: &mut Vec<String>,
    envs: &mut usize,
) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let below = path
            .strip_prefix(pool)
            .unwrap_or(&path)
            .display()
            .to_string();
        let is_work = name.starts_with(".staged-") || name.starts_with(".trash-");
        if is_work || name.starts_with('.') && name.ends_with(".new") {
            found.push(below);
            continue;
        }
        // nodes/NODE/envs/ENV; what is inside belongs to the node. Its base is two subvolumes more.
        let is_env = depth == 3 && directory.ends_with("envs") && path.is_dir();
        let is_base = depth == 4 && name == ".base";
        *envs += usize::from(is_env || is_base);
        let whole = || {
            let record = fs::read_to_string(path.join("base.json")).unwrap_or_default();
            ["root", "boot"].iter().all(|half| path.join(half).exists())
                && record.contains("\"id\"")
        };
        if is_base && !whole() {
            found.push(format!("{below}, which is not whole"));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && name != "root"
            && name != "boot"
            && depth < 5
        {
            look_for_hidden(pool, &path, depth + 1, found, envs);
        }
    }
}
