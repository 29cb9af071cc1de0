//! The table: which place, in which state, and what it is a part of.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::ground::{Ground, LIE};
use crate::support::{TFTP_NAME, run};

/// What a damage concerns; everything else has to be as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The environment `nog/b`, or `nog/c` that is like it.
    Environment,
    /// The node `nog`.
    Node,
    /// What is known of what `nog` runs, and is to run.
    Knowledge,
    /// What the network is offered.
    Offer,
    /// What the pool says for another server to take over.
    Copy,
    /// What the whole pool goes by.
    Pool,
}

/// One place in one state.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub(super) place: String,
    pub(super) state: &'static str,
    pub(super) of: Of,
}

impl Damage {
    /// Returns whether it is one that the short form tries: of states that are met alike, one.
    pub(super) fn is_telling(&self) -> bool {
        let alike = [
            "zeros", "loop", "closed", "owner", "future", "up", "nothing", "dangling",
        ];
        matches!(self.of, Of::Environment | Of::Node)
            || !alike.contains(&self.state)
            || (self.of == Of::Pool && self.state == "nothing")
    }

    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.place, self.state)
    }
}

/// States any file can be found in.
const FILE: [&str; 14] = [
    "nothing",
    "half",
    "garbage",
    "zeros",
    "future",
    "missing",
    "directory",
    "pipe",
    "endless",
    "dangling",
    "loop",
    "outside",
    "closed",
    "owner",
];
/// States of what should be a link or a directory: something else, or a link to what is not it.
const ANOTHER: [&str; 6] = [
    "garbage",
    "pipe",
    "dangling",
    "loop",
    "outside",
    "neighbour",
];
/// States of a half of the environment that is active.
const ACTIVE_HALF: [&str; 3] = ["missing", "plain", "outside"];

pub(super) fn damages() -> Vec<Damage> {
    let mut all = Vec::new();
    let or_another = |states: &[&'static str]| [states, &ANOTHER].concat();
    let link = or_another(&["missing", "directory", "up"]);
    let half = or_another(&["missing", "directory", "plain", "top"]);
    let mut add = |place: &str, states: &[&'static str], of| {
        all.extend(states.iter().map(|state| Damage {
            place: place.to_string(),
            state,
            of,
        }));
    };
    let record = [&FILE[..], &["lying", "transplanted", "unsigned"]].concat();
    add("nodes/nog/envs/b/env.json", &record, Of::Environment);
    add("nodes/nog/envs/b/root", &half, Of::Environment);
    add("nodes/nog/envs/b/boot", &half, Of::Environment);
    add(
        "nodes/nog/envs/b",
        &or_another(&["directory", "closed"]),
        Of::Environment,
    );
    add("nodes/nog/envs/c", &["copied", "snapshot"], Of::Environment);
    add("nodes/nog/node.json", &FILE, Of::Node);
    add("nodes/nog/active", &link, Of::Node);
    add("nodes/nog/envs", &or_another(&["missing"]), Of::Node);
    add("nodes/nog", &or_another(&["directory"]), Of::Node);
    add("nodes/nog/envs/a/root", &ACTIVE_HALF, Of::Node);
    add("nodes/nog/envs/a/boot", &ACTIVE_HALF, Of::Node);
    add("STATE/nodes/nog", &["missing", "garbage"], Of::Node);
    let copy = [&FILE[..], &["lying"]].concat();
    add("POOL/nodes/nog/node.json", &copy, Of::Copy);
    add("POOL/pool.json", &copy, Of::Copy);
    // Root reads and writes what it may not.
    let whole: Vec<_> = FILE
        .into_iter()
        .filter(|s| !["closed", "owner"].contains(s))
        .collect();
    for name in ["pool.json", "place.json", "key"] {
        add(&format!("STATE/{name}"), &whole, Of::Pool);
    }
    add("nodes/nog/pending.json", &FILE, Of::Knowledge);
    add("nodes/nog/boots.jsonl", &FILE, Of::Knowledge);
    add(&format!("tftp/{TFTP_NAME}"), &link, Of::Offer);
    for name in [
        "exports",
        "dnsmasq.conf",
        "dnsmasq-hosts/nog",
        "dnsmasq-hosts",
    ] {
        add(&format!("publish/{name}"), &FILE, Of::Offer);
    }
    add(
        "locks/nog",
        &["garbage", "missing", "dangling", "closed"],
        Of::Knowledge,
    );
    all
}

/// Brings the place into the state.
pub(super) fn spoil(ground: &Ground, damage: &Damage) {
    let at = ground.at(&damage.place);
    let b = at.with_file_name("b");
    match damage.state {
        "closed" if at.exists() => {
            fs::set_permissions(&at, Permissions::from_mode(0o000)).unwrap();
        }
        "owner" if at.exists() => chown(&at, Some(4711), Some(4711)).unwrap(),
        "copied" => copy(&b, &at),
        "snapshot" => snapshot(&b, &at),
        "lying" => lie(&at),
        "transplanted" => {
            fs::copy(ground.pool.at("nodes/nog/envs/a/env.json"), &at).unwrap();
        }
        "unsigned" => change(&at, |record| {
            record.as_object_mut().unwrap().remove("code");
        }),
        "plain" => {
            let aside = ground.pool.at(".aside");
            fs::rename(&at, &aside).unwrap();
            copy(&aside, &at);
            subvolume("delete", &[&aside]);
        }
        _ => replace(ground, damage, &at),
    }
}

/// Has a record say what netbe has not written, and nothing else be other than it was.
fn lie(at: &Path) {
    change(at, |record| {
        record["description"] = LIE.into();
        record["pinned"] = true.into();
        for property in ["cmdline", "power.cycle", "upgrade.command", "server"] {
            record["properties"][property] = LIE.into();
        }
    });
}

fn change(at: &Path, change: impl FnOnce(&mut Value)) {
    let mut record = serde_json::from_slice(&fs::read(at).unwrap()).unwrap();
    change(&mut record);
    fs::write(at, record.to_string()).unwrap();
}

/// Puts something else where the place is.
fn replace(ground: &Ground, damage: &Damage, at: &Path) {
    let old = fs::read(at).unwrap_or_default();
    run(Command::new("rm").arg("-rf").arg(at));
    let write = |bytes: &[u8]| fs::write(at, bytes).unwrap();
    let link = |to: &Path| symlink(to, at).unwrap();
    let node = |kind: &[&str]| run(Command::new("mknod").arg(at).args(kind));
    match damage.state {
        "nothing" | "closed" | "owner" => write(b""),
        "half" => write(&old[..old.len() / 2]),
        "garbage" => write(&b"\xff\xfe{\0garbage\x1b[2J\n\"".repeat(20)),
        "zeros" => write(&[0; 4096]),
        "future" => write(br#"{"version": 99, "uuid": 7, "created": null}"#),
        "directory" => fs::create_dir(at).unwrap(),
        "pipe" => node(&["p"]),
        "endless" => node(&["c", "1", "5"]),
        "dangling" => link(Path::new("nothing-there")),
        "loop" => link(Path::new(at.file_name().unwrap())),
        "top" => link(Path::new("/")),
        "up" => link(Path::new("../../..")),
        "outside" => link(&outside(ground, &damage.place)),
        "neighbour" => link(&neighbour(ground, &damage.place)),
        "missing" => {}
        other => panic!("there is no state {other}"),
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").args([from, to]));
}

/// Snapshots both halves of an environment, and copies its record: two that say they are the same.
fn snapshot(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for half in ["root", "boot"] {
        subvolume("snapshot", &[&from.join(half), &to.join(half)]);
    }
    fs::copy(from.join("env.json"), to.join("env.json")).unwrap();
}

fn subvolume(verb: &str, paths: &[&Path]) {
    run(Command::new("btrfs")
        .args(["-q", "subvolume", verb])
        .args(paths));
}

fn outside(ground: &Ground, place: &str) -> std::path::PathBuf {
    match Path::new(place).file_name().unwrap().to_str().unwrap() {
        "root" => ground.outside.join("root"),
        "boot" => ground.outside.join("boot"),
        "b" | "envs" | "nog" | "active" | "dnsmasq-hosts" => ground.outside.clone(),
        _ => ground.outside.join("file"),
    }
}

/// Returns what stands in the same place of the other node.
fn neighbour(ground: &Ground, place: &str) -> std::path::PathBuf {
    let other = match place {
        "nodes/nog/active" => "nodes/ordo/envs/x".to_string(),
        place if place.starts_with("tftp") => "nodes/ordo/active/boot".to_string(),
        place => place.replace("nog", "ordo").replace("envs/b", "envs/x"),
    };
    ground.at(&other)
}
