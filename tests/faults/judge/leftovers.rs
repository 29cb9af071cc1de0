//! Hidden leftovers that an interrupted command may leave, and that a repair removes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{output, state_of};

/// The properties that no copy of a record on the pool has.
pub(super) const SECRET: [&str; 1] = ["power.cycle"];

/// Returns what an interrupted command left: hidden work, half-replaced files, subvolumes that belong to nothing, what
/// is known of a node that is not there.
pub(crate) fn leftovers(pool: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut envs = 0;
    look_for_hidden(pool, pool, 0, &mut found, &mut envs);
    // The state directory has no environments.
    let state = state_of(pool);
    look_for_hidden(&state, &state, 0, &mut found, &mut 0);
    for name in ["locks", ".locks", "publish"] {
        if pool.join(name).symlink_metadata().is_ok() {
            found.push(format!("{name}, which belongs to the state directory"));
        }
    }
    for node in names(&state.join("nodes")) {
        if !pool.join("nodes").join(&node).is_dir() {
            found.push(format!("what is known of {node}, which is not there"));
        }
    }
    let listed = output(
        std::process::Command::new("btrfs")
            .args(["subvolume", "list", "-o"])
            .arg(pool),
    );
    let subvolumes = String::from_utf8_lossy(&listed).lines().count();
    let data = data_of_nodes(&state);
    let (sent, unneeded) = sent_to_disks(pool);
    found.extend(unneeded);
    // Where the machine of a node on a disk that is offered reports.
    let nodes = names(&pool.join("nodes")).into_iter();
    let reports = nodes.filter(|node| pool.join("nodes").join(node).join("reports").is_dir());
    if subvolumes != 2 * envs + data + sent + reports.count() {
        found.push(format!(
            "{subvolumes} subvolumes for {envs} environments and bases, and {data} of data"
        ));
    }
    found
}

/// Returns the copies that a merge into the data of nodes had not put into place when it ended.
pub(super) fn copies_in_data(pool: &Path) -> Vec<String> {
    let nodes = pool.join("nodes");
    let mut found = Vec::new();
    for node in names(&nodes) {
        let data = nodes.join(&node).join("data");
        for path in names(&data) {
            let copies = names(&data.join(&path)).into_iter();
            let copies = copies.filter(|name| name.starts_with(".netbe-merge-"));
            found.extend(copies.map(|name| format!("{node}/data/{path}/{name}")));
        }
    }
    found
}

/// Returns the files that a command was about to put in place of others in environments when it ended, and those it had set
/// aside.
pub(super) fn half_replaced(pool: &Path) -> Vec<String> {
    let nodes = pool.join("nodes");
    let mut directories: Vec<PathBuf> = Vec::new();
    for node in names(&nodes) {
        let envs = nodes.join(&node).join("envs");
        let envs = names(&envs).into_iter().map(|env| envs.join(env));
        directories.extend(envs.flat_map(|env| [env.join("root"), env.join("boot")]));
    }
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for name in names(&directory) {
            let path = directory.join(&name);
            if name.starts_with('.')
                && (name.ends_with(".netbe-new") || name.contains(".netbe-own"))
            {
                found.push(path.display().to_string());
            } else if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                directories.push(path);
            }
        }
    }
    found
}

/// Returns how many subvolumes were sent to disks of nodes, and those that no environment needs.
fn sent_to_disks(pool: &Path) -> (usize, Vec<String>) {
    let (mut number, mut unneeded) = (0, Vec::new());
    let nodes = pool.join("nodes");
    for node in names(&nodes) {
        let envs = nodes.join(&node).join("envs");
        let records = names(&envs);
        let mut records = records
            .iter()
            .map(|env| fs::read_to_string(envs.join(env).join("env.json")).unwrap_or_default());
        let records: String = records.by_ref().collect();
        for name in names(&nodes.join(&node).join("deployed")) {
            number += 1;
            if !records.contains(&format!("/{name}\"")) {
                unneeded.push(format!(
                    "{node}/deployed/{name}, which no environment needs"
                ));
            }
        }
    }
    (number, unneeded)
}

/// Returns how many subvolumes of data the records of nodes name.
fn data_of_nodes(state: &Path) -> usize {
    let nodes = state.join("nodes");
    let paths = |node: &String| {
        let text = fs::read_to_string(nodes.join(node).join("node.json")).unwrap_or_default();
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        record["data"]["paths"].as_array().map_or(0, Vec::len)
    };
    names(&nodes).iter().map(paths).sum()
}

/// Returns the copies of records on the pool that do not say what the records do: nothing is lost by one, and a repair
/// writes it again.
pub(crate) fn old_copies(pool: &Path) -> Vec<String> {
    let state = state_of(pool);
    let nodes = names(&state.join("nodes"));
    let records = nodes.iter().map(|node| format!("nodes/{node}/node.json"));
    let read = |path: &Path| -> Option<Value> {
        let mut record: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        if let Some(properties) = record["properties"].as_object_mut() {
            properties.retain(|name, _| !SECRET.contains(&name.as_str()));
        }
        Some(record)
    };
    let tells_secrets = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        SECRET.iter().any(|name| text.contains(name))
    };
    let is_old = |record: &String| {
        let copy = pool.join(record);
        tells_secrets(&copy) || read(&copy) != read(&state.join(record))
    };
    let all = std::iter::once("pool.json".to_string()).chain(records);
    all.filter(is_old)
        .map(|record| format!("an old copy of {record}"))
        .collect()
}

pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(name).collect()
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
            && !directory.ends_with("data")
            && depth < 5
        {
            look_for_hidden(pool, &path, depth + 1, found, envs);
        }
    }
}
