//! Environments made by hand, to be written into at will; and what netbe says of them, held against what is so.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use netbe::btrfs::space::{Content, Piece, Trees};
use netbe::lifecycle::space::{Reading, Space};

use super::support::{Pool, run};
use super::truth::{Truth, quota_groups, settle};

/// Makes an environment of two empty subvolumes.
pub(crate) fn make(pool: &Pool, environment: &str) {
    for half in ["root", "boot"] {
        let path = pool.half(environment, half);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(path));
    }
}

/// Makes an environment of snapshots of another.
pub(crate) fn snapshot(pool: &Pool, from: &str, to: &str) {
    for half in ["root", "boot"] {
        let path = pool.half(to, half);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "snapshot"])
            .args([pool.half(from, half), path]));
    }
}

/// Deletes a subvolume and those in it.
pub(crate) fn delete(path: &std::path::Path) {
    netbe::btrfs::subvolume::delete_open(&fs::File::open(path).unwrap()).unwrap();
}

/// Returns the environments there are, as `NODE/ENV`.
pub(crate) fn environments(pool: &Pool) -> Vec<String> {
    let mut found = Vec::new();
    let names = |path: PathBuf| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().into_string().unwrap())
    };
    for node in names(pool.at("nodes")) {
        for env in names(pool.at(&format!("nodes/{node}/envs"))) {
            found.push(format!("{node}/{env}"));
        }
    }
    found.sort();
    found
}

/// Returns how the two ways of reading differ, subvolume by subvolume.
fn differences(pool: &Pool) -> String {
    let top = fs::File::open(pool.path()).unwrap();
    let (fast, whole) = (
        Trees::find(&top).unwrap().always_compared(),
        Trees::find(&top).unwrap().without_relatives(),
    );
    let mut text = String::new();
    for (at, one) in fast.subvolumes().iter().enumerate() {
        let mut all: HashMap<Piece, i32> = HashMap::new();
        let mut add = |content: &Content, sign: i32| {
            for change in &content.changes {
                *all.entry(change.piece).or_default() += sign * change.by;
            }
        };
        add(&whole.read(&top, at).unwrap(), -1);
        let mut next = Some(at);
        while let Some(at) = next {
            let content = fast.read(&top, at).unwrap();
            add(&content, 1);
            next = content.from;
        }
        all.retain(|_, by| *by != 0);
        if !all.is_empty() {
            text.push_str(&format!("{one:?}: {all:?}\n"));
        }
    }
    text
}

fn split(environment: &str) -> (&str, &str) {
    environment.split_once('/').unwrap()
}

/// Holds both ways of reading against the disk, and, where asked, against quota groups; returns what is unique.
pub(crate) fn judge(pool: &Pool, with_groups: bool, when: &str) -> Vec<(String, u64)> {
    settle(pool);
    let opened = pool.open();
    let fast = Space::read(&opened, Reading::Differences).unwrap();
    let whole = Space::read(&opened, Reading::Wholes).unwrap();
    assert_eq!(differences(pool), "", "{when}");
    let truth = Truth::of(pool);
    let environments = environments(pool);
    let sets: Vec<Vec<u64>> = environments
        .iter()
        .map(|e| {
            let (node, name) = split(e);
            truth.below(&[&format!("nodes/{node}/envs/{name}")])
        })
        .collect();
    let mut unique = Vec::new();
    for (environment, set) in environments.iter().zip(&sets) {
        let (node, name) = split(environment);
        let want = (truth.unique(set), truth.referenced(set));
        for (how, space) in [("whole", &whole), ("differences", &fast)] {
            let sum = space.environment(node, name).unwrap_or_default();
            assert_eq!(
                (sum.unique, sum.referenced),
                (want.0.counted(), want.1.counted()),
                "{when}: {environment} by {how}; on disk {want:?}"
            );
        }
        unique.push((environment.clone(), want.0.counted()));
    }
    pairs(&fast, &truth, &environments, when);
    if with_groups {
        for ((environment, set), said) in environments
            .iter()
            .zip(&sets)
            .zip(quota_groups(pool, &sets))
        {
            let want = (
                truth.referenced(set).with_blocks(),
                truth.unique(set).with_blocks(),
            );
            assert_eq!(said, want, "{when}: the quota group of {environment}");
        }
    }
    unique
}

/// Holds what two give back together against the disk.
fn pairs(space: &Space, truth: &Truth, environments: &[String], when: &str) {
    for pair in environments.windows(2) {
        let operands: Vec<_> = pair.iter().map(|e| e.parse().unwrap()).collect();
        let directories: Vec<String> = pair
            .iter()
            .map(|e| format!("nodes/{}/envs/{}", split(e).0, split(e).1))
            .collect();
        let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
        assert_eq!(
            space.of_environments(&operands),
            truth.unique(&truth.below(&directories)).counted(),
            "{when}: {pair:?} together"
        );
    }
}
