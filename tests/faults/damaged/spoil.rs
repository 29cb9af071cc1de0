//! The table: which place, in which state, and what it is a part of.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::ground::Ground;
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
        matches!(self.of, Of::Environment | Of::Node) || !alike.contains(&self.state)
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
/// States of what should be a link.
const LINK: [&str; 9] = [
    "missing",
    "garbage",
    "directory",
    "pipe",
    "dangling",
    "loop",
    "outside",
    "up",
    "neighbour",
];
/// States of a half.
const HALF: [&str; 10] = [
    "missing",
    "directory",
    "plain",
    "garbage",
    "pipe",
    "dangling",
    "loop",
    "outside",
    "top",
    "neighbour",
];

pub(super) fn damages() -> Vec<Damage> {
    let mut all = Vec::new();
    let mut add = |place: &str, states: &[&'static str], of| {
        all.extend(states.iter().map(|state| Damage {
            place: place.to_string(),
            state,
            of,
        }));
    };
    add("nodes/nog/envs/b/env.json", &FILE, Of::Environment);
    add("nodes/nog/envs/b/root", &HALF, Of::Environment);
    add("nodes/nog/envs/b/boot", &HALF, Of::Environment);
    add(
        "nodes/nog/envs/b",
        &[
            "directory",
            "garbage",
            "pipe",
            "dangling",
            "loop",
            "outside",
            "neighbour",
            "closed",
        ],
        Of::Environment,
    );
    add("nodes/nog/envs/c", &["copied", "snapshot"], Of::Environment);
    add("nodes/nog/node.json", &FILE, Of::Node);
    add("nodes/nog/active", &LINK, Of::Node);
    add(
        "nodes/nog/envs",
        &[
            "missing",
            "garbage",
            "pipe",
            "dangling",
            "loop",
            "outside",
            "neighbour",
        ],
        Of::Node,
    );
    add(
        "nodes/nog",
        &[
            "garbage",
            "directory",
            "pipe",
            "dangling",
            "loop",
            "outside",
            "neighbour",
        ],
        Of::Node,
    );
    add(
        "nodes/nog/envs/a/root",
        &["missing", "plain", "outside"],
        Of::Node,
    );
    add(
        "nodes/nog/envs/a/boot",
        &["missing", "plain", "outside"],
        Of::Node,
    );
    add("nodes/nog/pending.json", &FILE, Of::Knowledge);
    add("nodes/nog/boots.jsonl", &FILE, Of::Knowledge);
    add(&format!("tftp/{TFTP_NAME}"), &LINK, Of::Offer);
    for name in [
        "exports",
        "dnsmasq.conf",
        "dnsmasq-script",
        "dnsmasq-hosts/nog",
        "dnsmasq-hosts",
    ] {
        add(&format!("publish/{name}"), &FILE, Of::Offer);
    }
    add(
        ".locks/nog",
        &["garbage", "missing", "dangling", "closed"],
        Of::Knowledge,
    );
    all
}

/// Brings the place into the state.
pub(super) fn spoil(ground: &Ground, damage: &Damage) {
    let at = ground.pool.at(&damage.place);
    let old = fs::read(&at).unwrap_or_default();
    match damage.state {
        "closed" if at.exists() => {
            return fs::set_permissions(&at, Permissions::from_mode(0o000)).unwrap();
        }
        "owner" if at.exists() => {
            return std::os::unix::fs::chown(&at, Some(4711), Some(4711)).unwrap();
        }
        "copied" => {
            return run(Command::new("cp")
                .arg("-a")
                .args([at.with_file_name("b"), at]));
        }
        "snapshot" => {
            fs::create_dir(&at).unwrap();
            for half in ["root", "boot"] {
                let from = at.with_file_name("b").join(half);
                run(Command::new("btrfs")
                    .args(["-q", "subvolume", "snapshot"])
                    .args([from, at.join(half)]));
            }
            fs::copy(at.with_file_name("b/env.json"), at.join("env.json")).unwrap();
            return;
        }
        "plain" => {
            let aside = ground.pool.at(".aside");
            fs::rename(&at, &aside).unwrap();
            run(Command::new("cp").arg("-a").args([&aside, &at]));
            return run(Command::new("btrfs")
                .args(["-q", "subvolume", "delete"])
                .arg(aside));
        }
        _ => {}
    }
    run(Command::new("rm").arg("-rf").arg(&at));
    let link = |to: &Path| symlink(to, &at).unwrap();
    let node = |kind: &[&str]| run(Command::new("mknod").arg(&at).args(kind));
    match damage.state {
        "nothing" => fs::write(&at, "").unwrap(),
        "half" => fs::write(&at, &old[..old.len() / 2]).unwrap(),
        "garbage" => fs::write(&at, b"\xff\xfe{\0garbage\x1b[2J\n\"".repeat(20)).unwrap(),
        "zeros" => fs::write(&at, vec![0; 4096]).unwrap(),
        "future" => fs::write(&at, r#"{"version": 99, "uuid": 7, "created": null}"#).unwrap(),
        "directory" => fs::create_dir(&at).unwrap(),
        "pipe" => node(&["p"]),
        "endless" => node(&["c", "1", "5"]),
        "dangling" => link(Path::new("nothing-there")),
        "loop" => link(Path::new(at.file_name().unwrap())),
        "top" => link(Path::new("/")),
        "up" => link(Path::new("../../..")),
        "outside" => link(&outside(ground, &damage.place)),
        "neighbour" => link(&neighbour(ground, &damage.place)),
        "closed" | "owner" => fs::write(&at, "").unwrap(),
        "missing" => {}
        other => panic!("there is no state {other}"),
    }
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
    ground.pool.at(&other)
}
