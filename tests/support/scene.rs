//! Pools with something in them, and short ways to look at it and to spoil it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::pool::run;
use super::{Fingerprint, Outcome, Pool, System, wait_for_forks};

/// The MAC address of the node `nog` where it is served.
pub const MAC: &str = "dc:a6:32:01:02:03";
/// The name its machine asks the TFTP server by.
pub const TFTP_NAME: &str = "dc-a6-32-01-02-03";

impl Pool {
    /// Makes a pool with a template `base`, its one environment `base/stock` a Debian.
    pub fn with_template() -> Self {
        Self::with_template_of(&System::debian())
    }

    /// Makes a pool with a template `base`, its one environment `base/stock` this system.
    pub fn with_template_of(system: &System) -> Self {
        let pool = Self::new();
        pool.import("base/stock", system);
        pool
    }

    /// Makes a pool with the template, and a node `nog` that no machine can ask for; `nog/a` is active.
    pub fn with_node() -> Self {
        let pool = Self::with_template();
        pool.netbe().ok("create nog/a");
        pool
    }

    /// Makes a pool with the template, and a node `nog` that is served under [`MAC`]; `nog/a` is active.
    pub fn with_served_node() -> Self {
        let pool = Self::with_template();
        pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
        pool
    }

    /// Makes an environment that is there to be activated, as an upgrade does.
    pub fn propose(&self, environment: &str) {
        self.netbe().ok(&format!("create {environment}"));
        self.change_record(environment, |record| record["proposed"] = true.into());
    }

    /// Brings a system in.
    pub fn import(&self, target: &str, system: &System) {
        let directory = self.beside().join("system");
        system.build(&directory);
        self.netbe()
            .ok(&format!("import {target} {}", directory.display()));
        fs::remove_dir_all(&directory).expect("one's own files can be removed");
    }

    /// Returns the fingerprint of the whole pool, and of its state directory but for the lock files.
    pub fn fingerprint(&self) -> Fingerprint {
        let state = Fingerprint::of(&self.state()).without(&["locks"]);
        Fingerprint::of(self.path()).with("STATE", state)
    }

    /// Runs a command line that must end with a status, change nothing, and say all of these words on stderr.
    ///
    /// Returns what it said.
    ///
    /// # Panics
    ///
    /// When anything of that is not so.
    pub fn refuses(&self, status: i32, line: &str, words: &[&str]) -> String {
        let before = self.fingerprint();
        let output = self.netbe().fails(status, line);
        for word in words {
            assert!(
                output.contains(word),
                "netbe {line}: no {word:?} in\n{output}"
            );
        }
        before.assert_unchanged(&self.fingerprint());
        output
    }

    /// Runs a command line with `-n`, which must succeed, change nothing at all, and say `would …` only.
    ///
    /// Returns what it said.
    ///
    /// # Panics
    ///
    /// When anything of that is not so.
    pub fn plans(&self, line: &str) -> String {
        let all = || Fingerprint::of(self.path()).with("STATE", Fingerprint::of(&self.state()));
        let before = all();
        let plan = self.netbe().ok(&format!("{line} -n"));
        before.assert_unchanged(&all());
        for step in plan.lines() {
            assert!(step.starts_with("would "), "netbe {line} -n\n{plan}");
        }
        plan
    }

    /// Returns where something stands, by its path below the pool, or below its state directory where netbe keeps it
    /// there: `publish/exports`, `locks/nog`, `pool.json`, `nodes/nog/node.json`.
    pub fn at(&self, path: &str) -> PathBuf {
        let parts: Vec<&str> = path.split('/').collect();
        let is_state = match parts.as_slice() {
            [
                "publish" | "locks" | "pool.json" | ".pool.json.4194304.new",
                ..,
            ] => true,
            ["nodes", _, file] => [
                "node.json",
                "pending.json",
                "boots.jsonl",
                "fetching.jsonl",
                "in-use.json",
            ]
            .iter()
            .any(|own| file.trim_start_matches('.').starts_with(own)),
            _ => false,
        };
        match is_state {
            true => self.state().join(path),
            false => self.path().join(path),
        }
    }

    /// Returns a file's text, by its path below the pool.
    pub fn read(&self, path: &str) -> String {
        let path = self.at(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Writes a file, by its path below the pool.
    pub fn write(&self, path: &str, text: &str) {
        if let ["nodes", node, "envs", env, "env.json"] = *path.split('/').collect::<Vec<_>>() {
            return self.write_record(&format!("{node}/{env}"), text);
        }
        let path = self.at(path);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Returns what the loader of an environment reads to find kernel and root.
    pub fn boot_text(&self, environment: &str) -> String {
        let boot = self.half(environment, "boot");
        ["cmdline.txt", "pxelinux.cfg/default"]
            .iter()
            .find_map(|name| fs::read_to_string(boot.join(name)).ok())
            .expect("an environment has boot files")
    }

    /// Returns the environments of a node, by name, as `list -H` has them.
    pub fn names(&self, node: &str) -> Vec<String> {
        self.netbe()
            .ok(&format!("list -H {node}"))
            .lines()
            .map(|line| line.split('\t').nth(1).unwrap_or_default().to_string())
            .collect()
    }

    /// Returns the flags of an environment, as `list -H` has them.
    pub fn flags(&self, environment: &str) -> String {
        let line = self.netbe().ok(&format!("list -H {environment}"));
        line.split('\t').nth(2).unwrap_or_default().to_string()
    }

    /// Returns the name of the environment that a node's link leads to.
    pub fn active(&self, node: &str) -> String {
        let link = self.at(&format!("nodes/{node}/active"));
        let target = fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        let target = target.to_str().expect("our names are text");
        target
            .strip_prefix("envs/")
            .expect("it leads to an environment")
            .to_string()
    }

    /// Notes that a node's machine reported to have booted an environment, now.
    pub fn saw_boot(&self, node: &str, env: &str) {
        let now = String::from_utf8(output(Command::new("date").args(["-u", "+%FT%T.%NZ"])))
            .expect("date prints text");
        self.write(
            &format!("nodes/{node}/boots.jsonl"),
            &format!(
                "{{\"time\":\"{}\",\"env\":\"{env}\",\"how\":\"report\"}}\n",
                now.trim()
            ),
        );
    }

    /// Makes a subvolume, by its path below the pool.
    pub fn subvolume(&self, path: &str) {
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(self.at(path)));
    }

    /// Returns the UUID btrfs-progs says a subvolume has.
    pub fn subvolume_uuid(&self, path: &str) -> String {
        let shown = output(
            Command::new("btrfs")
                .args(["subvolume", "show"])
                .arg(self.at(path)),
        );
        String::from_utf8_lossy(&shown)
            .lines()
            .find_map(|line| line.trim().strip_prefix("UUID:"))
            .expect("btrfs shows a UUID")
            .trim()
            .to_string()
    }

    /// Returns the paths of all subvolumes of the filesystem, sorted.
    pub fn subvolumes(&self) -> Vec<String> {
        let listed = output(
            Command::new("btrfs")
                .args(["subvolume", "list", "-o"])
                .arg(self.path()),
        );
        let mut paths: Vec<_> = String::from_utf8_lossy(&listed)
            .lines()
            .filter_map(|line| Some(line.split_once(" path ")?.1.to_string()))
            .collect();
        paths.sort();
        paths
    }

    /// Returns whether `check` finds the pool sound.
    ///
    /// # Panics
    ///
    /// When it does not, with what it found.
    pub fn assert_sound(&self) {
        let outcome = self.netbe().run("check");
        assert_eq!(outcome.status, 0, "{outcome:#?}");
    }

    /// Runs several command lines at the same time, and returns how each ended, in their order.
    pub fn at_once(&self, lines: &[String]) -> Vec<Outcome> {
        let children: Vec<_> = lines
            .iter()
            .map(|line| self.netbe().spawn(line, Stdio::null()))
            .collect();
        children
            .into_iter()
            .map(|child| child.wait_with_output().expect("a child ends").into())
            .collect()
    }
}

/// Returns the status with which a command line is refused: what runs a program has one that is never the program's.
pub fn refusal(line: &str) -> i32 {
    match line.split(' ').next() {
        Some("run" | "shell") => 125,
        _ => 3,
    }
}

/// Puts a program in place.
///
/// By another process: where this one held it open for writing, so would whatever another test's thread has just
/// forked, and it could not be run.
pub fn install(program: &Path, to: &Path) {
    run(Command::new("install")
        .args(["-m", "755"])
        .args([program, to]));
}

/// Returns what a program printed.
///
/// # Panics
///
/// When it failed.
pub fn output(command: &mut Command) -> Vec<u8> {
    wait_for_forks();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
