//! Which files of environments have something in them: a power cut may leave a name with nothing behind it.

use std::path::{Path, PathBuf};

use crate::judge::{Faults, is_time};
use crate::report::against;

/// Which files of environments have something in them, where a command was not cut; those that are named by their time are
/// another in each run.
#[derive(Debug)]
pub(super) struct Shape(Vec<PathBuf>);

impl Shape {
    pub(super) fn of(pool: &Path) -> Self {
        let mut found = Vec::new();
        for env in environments(pool) {
            full_files(&env, &mut found);
        }
        found.sort();
        Self(found)
    }

    /// Returns the files of environments that are there now, and are missing, empty or zeroes.
    pub(super) fn spoilt(&self, pool: &Path) -> Faults {
        let envs = environments(pool);
        let mut now = Vec::new();
        envs.iter().for_each(|env| full_files(env, &mut now));
        now.sort();
        // What an environment was sent as comes and goes by itself, and as a whole.
        let is_there = |path: &Path| {
            let mut above = path.ancestors();
            above
                .find(|dir| dir.ends_with(".base"))
                .is_none_or(Path::exists)
        };
        let missing = |path: &PathBuf| {
            envs.iter().any(|env| path.starts_with(env))
                && is_there(path)
                && now.binary_search(path).is_err()
                && !is_not_yet_added(path)
        };
        let here = |path: &PathBuf| match (timed(&envs), path.ancestors().find(|p| is_timed(p))) {
            (Some(env), Some(then)) => env.join(path.strip_prefix(then).unwrap()),
            _ => path.clone(),
        };
        self.0
            .iter()
            .map(here)
            .filter(missing)
            .map(|path| against(1, format!("{} is missing or empty", path.display())))
            .collect()
    }
}

/// Returns the environment that is named by a time.
fn timed(envs: &[PathBuf]) -> Option<&PathBuf> {
    envs.iter().find(|env| is_timed(env))
}

fn is_timed(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| is_time(&name.to_string_lossy()))
}

fn environments(pool: &Path) -> Vec<PathBuf> {
    let below = |dir: PathBuf| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let seen = |path: &PathBuf| {
        !path
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b".")
    };
    let nodes = below(pool.join("nodes")).filter(seen);
    nodes.flat_map(|node| below(node.join("envs"))).collect()
}

fn full_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            full_files(&path, found);
        } else if kind.is_file() && std::fs::read(&path).unwrap().iter().any(|byte| *byte != 0) {
            found.push(path);
        }
    }
}

/// Returns whether a file is one that `set data=` adds to environments that are there, and has not added yet: then the fstab
/// does not say either that the data is mounted. Once it is there, it is not empty.
fn is_not_yet_added(path: &Path) -> bool {
    let fstabs = path.ancestors().map(|above| above.join("etc/fstab"));
    let mounts_data = fstabs
        .filter_map(|fstab| std::fs::read_to_string(fstab).ok())
        .any(|text| text.contains("/data/+"));
    path.ends_with("netbe-data.conf") && !path.exists() && !mounts_data
}
