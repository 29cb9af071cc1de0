//! The extents on the disk, block by block, as btrfs-progs reads them from the image; and the numbers of quota groups.
//!
//! Shares nothing with what it is compared with: neither the system call nor a rule about what is the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

use super::support::{Pool, output, run};

/// What a block of a tree takes, as `mkfs.btrfs` makes them.
const BLOCK: u64 = 16 << 10;

/// What a tree is made of.
#[derive(Debug, Default)]
struct Tree {
    blocks: HashSet<u64>,
    /// Extents, and what each takes.
    extents: HashMap<u64, u64>,
    /// Leaves, and what small files take in each.
    inline: HashMap<u64, u64>,
}

/// Bytes, told apart by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// In extents.
    pub(crate) data: u64,
    /// In leaves.
    pub(crate) inline: u64,
    /// The blocks of the trees, leaves and all.
    pub(crate) blocks: u64,
}

/// A filesystem's subvolumes.
#[derive(Debug)]
pub(crate) struct Truth {
    trees: BTreeMap<u64, Tree>,
    paths: BTreeMap<u64, String>,
}

impl Truth {
    /// Reads everything; nothing is being written or deleted any more: [`settle`].
    pub(crate) fn of(pool: &Pool) -> Self {
        let listed = output(
            Command::new("btrfs")
                .args(["subvolume", "list"])
                .arg(pool.path()),
        );
        let listed = String::from_utf8_lossy(&listed);
        let line = |line: &str| {
            let id = line.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, line.split_once(" path ")?.1.to_string()))
        };
        let mut paths: BTreeMap<u64, String> = listed.lines().filter_map(line).collect();
        paths.insert(5, String::new());
        let trees = paths.keys().map(|id| (*id, tree(pool, *id))).collect();
        Self { trees, paths }
    }

    /// Returns the numbers of the subvolumes that stand in one of these directories of the pool.
    pub(crate) fn below(&self, directories: &[&str]) -> Vec<u64> {
        let inside = |path: &str| {
            let mut all = directories.iter();
            all.any(|d| {
                path.strip_prefix(d)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let found = self.paths.iter().filter(|(_, path)| inside(path));
        found.map(|(id, _)| *id).collect()
    }

    /// Returns what these subvolumes hold, each block and extent once.
    pub(crate) fn referenced(&self, ids: &[u64]) -> Bytes {
        self.sum(ids, &[])
    }

    /// Returns what these subvolumes hold, and no other one.
    pub(crate) fn unique(&self, ids: &[u64]) -> Bytes {
        let others: Vec<u64> = self
            .trees
            .keys()
            .filter(|id| !ids.contains(id))
            .copied()
            .collect();
        self.sum(ids, &others)
    }

    fn sum(&self, ids: &[u64], others: &[u64]) -> Bytes {
        let of = |ids: &[u64]| {
            let mut all = Tree::default();
            for tree in ids.iter().map(|id| &self.trees[id]) {
                all.blocks.extend(&tree.blocks);
                all.extents.extend(&tree.extents);
                all.inline.extend(&tree.inline);
            }
            all
        };
        let (own, theirs) = (of(ids), of(others));
        let alone = own.blocks.iter().filter(|b| !theirs.blocks.contains(b));
        let left = |own: &HashMap<u64, u64>, taken: &dyn Fn(&u64) -> bool| {
            own.iter().filter(|(k, _)| !taken(k)).map(|(_, v)| v).sum()
        };
        Bytes {
            data: left(&own.extents, &|e| theirs.extents.contains_key(e)),
            inline: left(&own.inline, &|leaf| theirs.blocks.contains(leaf)),
            blocks: alone.count() as u64 * BLOCK,
        }
    }
}

impl Bytes {
    /// Returns what netbe counts.
    pub(crate) fn counted(self) -> u64 {
        self.data + self.inline
    }

    /// Returns what quota groups count: what is inline is in the blocks.
    pub(crate) fn with_blocks(self) -> u64 {
        self.data + self.blocks
    }
}

/// Waits until everything is written, and what was deleted is gone.
pub(crate) fn settle(pool: &Pool) {
    run(Command::new("sync").arg("-f").arg(pool.path()));
    // What is deleted is cleaned away after a commit by itself: every 30 seconds, where nobody says otherwise.
    run(Command::new("mount")
        .args(["-o", "remount,commit=1"])
        .arg(pool.path()));
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "sync"])
        .arg(pool.path()));
    run(Command::new("btrfs")
        .args(["filesystem", "sync"])
        .arg(pool.path()));
}

/// Reads one tree from the image: what the kernel has of it in memory is on disk, too.
fn tree(pool: &Pool, id: u64) -> Tree {
    let dump = output(
        Command::new("btrfs")
            .args(["inspect-internal", "dump-tree", "-t", &id.to_string()])
            .arg(pool.beside().join("pool.btrfs")),
    );
    let dump = String::from_utf8_lossy(&dump);
    let mut tree = Tree::default();
    let mut leaf = 0;
    for line in dump.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["leaf" | "node", number, ..] => {
                leaf = number.parse().unwrap();
                tree.blocks.insert(leaf);
            }
            [
                "extent" | "prealloc",
                "data",
                "disk",
                "byte",
                start,
                "nr",
                length,
            ] => {
                let start: u64 = start.parse().unwrap();
                if start > 0 {
                    tree.extents.insert(start, length.parse().unwrap());
                }
            }
            ["inline", "extent", "data", "size", length, ..] => {
                *tree.inline.entry(leaf).or_default() += length.parse::<u64>().unwrap();
            }
            _ => {}
        }
    }
    assert!(!tree.blocks.is_empty(), "no tree {id} in {dump}");
    tree
}

/// Returns what quota groups say each set of subvolumes refers to, and has alone; turns them off again.
pub(crate) fn quota_groups(pool: &Pool, sets: &[Vec<u64>]) -> Vec<(u64, u64)> {
    let btrfs = |arguments: &[&str]| {
        let mut command = Command::new("btrfs");
        output(command.args(arguments).arg(pool.path()))
    };
    btrfs(&["quota", "enable"]);
    // That one goes by the groups there are now.
    btrfs(&["quota", "rescan", "-w"]);
    for (number, set) in sets.iter().enumerate() {
        let group = format!("1/{}", number + 1);
        btrfs(&["qgroup", "create", &group]);
        for id in set {
            btrfs(&[
                "qgroup",
                "assign",
                "--no-rescan",
                &format!("0/{id}"),
                &group,
            ]);
        }
    }
    btrfs(&["quota", "rescan", "-w"]);
    let shown = btrfs(&["qgroup", "show", "--raw", "--sync"]);
    btrfs(&["quota", "disable"]);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let of = |number: usize| {
        let group = format!("1/{}", number + 1);
        let mut lines = shown
            .lines()
            .map(|l| l.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|l| l.first() == Some(&group.as_str())).unwrap();
        (line[1].parse().unwrap(), line[2].parse().unwrap())
    };
    (0..sets.len()).map(of).collect()
}
