//! Environments that travel: from pool to pool, whole and as changes, damaged, made up, and interrupted.
//!
//! Needs root, loop devices, btrfs-progs, acl and libcap2-bin, and fails without.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the other program that has it uses more of it")]
#[path = "../import/tree.rs"]
mod tree;

mod bases;
mod crossing;
mod damaged;
mod data;
mod ends;
mod forged;
mod forging;
mod names;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use support::{Outcome, Pool, SERVER};

/// Makes two pools that see each other's streams and nothing else of each other.
fn two() -> (Pool, Pool) {
    // Both before anything is published: the second hides what the first wrote outside of it.
    let (here, there) = (Pool::bare(2 << 30), Pool::bare(2 << 30));
    for pool in [&here, &there] {
        pool.netbe().ok(&format!("init --server {SERVER}"));
    }
    here.import("base/stock", &support::System::debian());
    here.netbe().ok("create nog/a");
    (here, there)
}

impl Pool {
    /// Exports into a file beside the pool, and returns it.
    fn exported(&self, line: &str) -> PathBuf {
        let name = line.replace(['/', ' '], "_");
        let file = self.beside().join(name);
        self.netbe()
            .ok(&format!("export {line} -o {}", file.display()));
        file
    }

    /// Sends from this pool to the other one, through a pipe, and returns what the other one answered.
    fn sends(&self, export: &str, to: &Pool, import: &str) -> Outcome {
        let mut sender = self
            .netbe()
            .spawn(&format!("export {export}"), Stdio::null());
        let stream = sender.stdout.take().unwrap();
        let receiver = to.netbe().spawn(&format!("import {import}"), stream.into());
        let outcome: Outcome = receiver.wait_with_output().unwrap().into();
        let sent: Outcome = sender.wait_with_output().unwrap().into();
        assert_eq!(
            (sent.status, outcome.status),
            (0, 0),
            "{sent:?} {outcome:?}"
        );
        assert_eq!(sent.stderr, "");
        outcome
    }

    /// Runs an import that reads a file on standard input.
    fn reads(&self, import: &str, file: &PathBuf) -> Outcome {
        let file = File::open(file).unwrap();
        let child = self.netbe().spawn(&format!("import {import}"), file.into());
        child.wait_with_output().unwrap().into()
    }

    /// Returns where the base of an environment stands.
    fn base(&self, environment: &str) -> PathBuf {
        self.half(environment, ".base")
    }

    /// Returns the identity of an environment's base.
    fn base_id(&self, environment: &str) -> String {
        let text = std::fs::read_to_string(self.base(environment).join("base.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record["id"].as_str().unwrap().to_string()
    }

    /// Returns all names below the pool that are not inside a half, but for the lock files.
    fn skeleton(&self) -> Vec<String> {
        let found = support::output(
            std::process::Command::new("find")
                .args([".", "-path", "./.locks", "-prune", "-o"])
                .args(["-inum", "256", "-not", "-path", ".", "-prune", "-print"])
                .args(["-o", "-print"])
                .current_dir(self.path()),
        );
        let mut names: Vec<String> = String::from_utf8(found)
            .unwrap()
            .lines()
            .map(str::to_string)
            .collect();
        names.sort();
        names
    }
}
