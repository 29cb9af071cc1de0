//! The rules that hold for every pool at every instant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Faults, view};
use crate::report::against;
use crate::support::{Fingerprint, Netbe, run, state_of, unmount};

/// The inode number of every subvolume's top directory.
const SUBVOLUME: u64 = 256;

/// Judges what holds of every pool at every instant, whatever was done to it.
pub(crate) fn rules(netbe: &Netbe, pool: &Path) -> Faults {
    let mut faults = Faults::new();
    let view = match view(netbe, pool) {
        Ok(view) => view,
        Err(fault) => return vec![fault],
    };
    let is_environment = |name: &&String| name.contains('/');
    for name in view.keys().filter(is_environment) {
        let listed = |why| against(1, format!("{name} is listed, but {why}"));
        faults.extend(incomplete(pool, name).map(listed));
        if !view[name].contains("complete=true") {
            faults.push(against(
                1,
                format!("{name} is not complete: {}", view[name]),
            ));
        }
    }
    let mut active: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, shown) in view.iter().filter(|(name, _)| is_environment(name)) {
        let node = name.split('/').next().unwrap_or_default();
        *active.entry(node).or_default() += usize::from(shown.contains("active=true"));
    }
    for (node, number) in active {
        if number != 1 {
            let what = format!("{node} has {number} active environments");
            faults.push(against(2, what));
        }
    }
    faults.extend(tftp(pool));
    faults.extend(super::card::faults(pool));
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
    let record: Value = serde_json::from_str(&text).unwrap_or_default();
    if record["code"].as_str().is_none_or(|code| code.len() != 64) {
        return Some(format!("its env.json is {text:?}"));
    }
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let line = read(boot.join("cmdline.txt")).or_else(|| read(boot.join("pxelinux.cfg/default")));
    let line = line.unwrap_or_default();
    let image = root.join("disk.img");
    if let Some(subvolume) = line
        .split_whitespace()
        .find_map(|w| w.strip_prefix("rootflags=subvol="))
    {
        let disk = pool.with_file_name("disk");
        if let Some(why) = disk_lacks(&disk, subvolume, &root) {
            return Some(format!("its boot files name {subvolume} of a disk, {why}"));
        }
        if record["disk"]["subvolume"] != subvolume {
            return Some(format!(
                "its boot files name {subvolume}, and its record {}",
                record["disk"]
            ));
        }
    } else if image.exists() {
        let target = format!(":{} ", name.replace('/', ":"));
        if !line.contains("iscsi_target_name=") || !line.contains(&target) {
            return Some(format!("no boot file names the disk of {name}"));
        }
    } else if !line.contains(&format!("{},", root.display())) {
        return Some(format!("no boot file names {}", root.display()));
    }
    let fstab = match image.exists() {
        true => in_image(&image, "/etc/fstab"),
        false => read(root.join("etc/fstab")).unwrap_or_default(),
    };
    if !fstab.contains(&format!("{} ", boot.display())) {
        return Some(format!("its fstab does not name {}", boot.display()));
    }
    None
}

/// Returns a file of the filesystem in a disk image.
fn in_image(image: &Path, file: &str) -> String {
    let cat = format!("cat {file}");
    let output = Command::new("debugfs")
        .args(["-R", &cat])
        .arg(image)
        .output();
    String::from_utf8_lossy(&output.expect("e2fsprogs are installed").stdout).into_owned()
}

/// Returns what a root lacks on the disk of a node that boots it from there; nothing when it is whole.
fn disk_lacks(disk: &Path, subvolume: &str, root: &Path) -> Option<String> {
    let top = disk.with_file_name("looked-at");
    run(Command::new("mount")
        .args(["-o", "subvolid=5,ro"])
        .args([disk, &top]));
    let there = top.join(subvolume);
    let lacks = match there.symlink_metadata() {
        Ok(found) if found.ino() == SUBVOLUME => {
            // What is in etc/ may be written for a root on a disk in one of them and not yet in the other.
            let mut changes = Fingerprint::of(root).changes(&Fingerprint::of(&there));
            changes.retain(|line| !line.get(2..).is_some_and(|path| path.starts_with("etc")));
            (!changes.is_empty()).then(|| format!("which differs: {changes:?}"))
        }
        found => Some(format!("which is no subvolume: {found:?}")),
    };
    unmount(&top);
    lacks
}

/// Returns what machines are offered: the names they can ask for, and the directories they can mount.
pub(super) fn offered(pool: &Path) -> BTreeSet<String> {
    let names = names_offered(pool).into_iter();
    let exports = fs::read_to_string(state_of(pool).join("publish/exports")).unwrap_or_default();
    let paths = exports
        .lines()
        .filter(|line| line.starts_with('/'))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_string()));
    names.chain(paths).collect()
}

/// Returns the names that machines can ask for.
pub(super) fn names_offered(pool: &Path) -> Vec<String> {
    let entries = fs::read_dir(pool.join("tftp"))
        .into_iter()
        .flatten()
        .flatten();
    let is_link = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    entries
        .filter(is_link)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// Returns the TFTP names that do not lead to the boot half of a whole environment.
fn tftp(pool: &Path) -> Faults {
    let directory = pool.join("tftp");
    let mut faults = Faults::new();
    for name in names_offered(pool) {
        match environment_behind(pool, &directory.join(&name)) {
            None => {
                let what = format!("the TFTP name {name} leads to no environment");
                faults.push(against(3, what));
            }
            Some(env) => {
                let led = |why| against(3, format!("{name} leads to {env}: {why}"));
                faults.extend(incomplete(pool, &env).map(led));
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

pub(super) fn halves(pool: &Path, name: &str) -> [PathBuf; 2] {
    let (node, env) = name.split_once('/').unwrap_or((name, ""));
    let directory = pool.join("nodes").join(node).join("envs").join(env);
    ["root", "boot"].map(|half| directory.join(half))
}
