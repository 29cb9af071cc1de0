//! Which files packages own, by the package database: their own files, and configuration that people change.
//!
//! Only of the paths that are asked for: a system has some hundred thousand. Not for reading the databases: that is `owners`, nor
//! for files that the scripts of a package make.

use std::collections::{HashMap, HashSet};

/// What a package makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// Its own: an upgrade replaces it.
    File,
    /// Configuration: an upgrade keeps what people changed.
    Configuration,
}

/// The paths that are asked for, and which packages own.
#[derive(Debug)]
pub struct Owners {
    wanted: HashSet<String>,
    found: HashMap<String, Owned>,
}

impl Owners {
    /// Asks for these paths, relative to the root.
    pub fn new<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            wanted: wanted.into_iter().map(merged_usr).collect(),
            found: HashMap::new(),
        }
    }

    /// Returns what a package makes of a path; `None` if none owns it, or it was not asked for.
    pub fn owned(&self, path: &str) -> Option<Owned> {
        self.found.get(&merged_usr(path)).copied()
    }

    /// Notes a path of a package, relative or absolute.
    pub(super) fn add(&mut self, path: &str, owned: Owned) {
        let path = merged_usr(path.trim_start_matches('/'));
        if self.wanted.contains(&path) {
            let known = self.found.entry(path).or_insert(owned);
            *known = (*known).max(owned);
        }
    }
}

/// Returns a path as it is where `/bin`, `/sbin` and `/lib` are links into `/usr`: lists name either.
fn merged_usr(path: &str) -> String {
    let top = path.split('/').next().unwrap_or_default();
    match top {
        "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" => format!("usr/{path}"),
        _ => path.to_string(),
    }
}
