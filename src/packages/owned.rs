//! The files that packages own, by the package database: files of the package, and configuration files, which users change.
//!
//! Only the wanted paths are looked up: a system has some hundred thousand. Not for reading the databases: that is `owners`, nor
//! for files that a package's scripts create.

use std::collections::{HashMap, HashSet};

/// How a package owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// A file of the package: an upgrade replaces it.
    File,
    /// A configuration file: an upgrade keeps the user's changes.
    Configuration,
}

/// The wanted paths, and how packages own them.
#[derive(Debug)]
pub struct Owners {
    wanted: HashSet<String>,
    found: HashMap<String, Owned>,
}

impl Owners {
    /// Returns a lookup of these paths, relative to the root.
    pub fn new<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            wanted: wanted.into_iter().map(merged_usr).collect(),
            found: HashMap::new(),
        }
    }

    /// Returns how a package owns a path; `None` if no package owns it, or it is not a wanted path.
    pub fn owned(&self, path: &str) -> Option<Owned> {
        self.found.get(&merged_usr(path)).copied()
    }

    /// Records a path of a package, relative or absolute.
    pub(super) fn add(&mut self, path: &str, owned: Owned) {
        let path = merged_usr(path.trim_start_matches('/'));
        if self.wanted.contains(&path) {
            let known = self.found.entry(path).or_insert(owned);
            *known = (*known).max(owned);
        }
    }
}

/// Returns a path in the layout where `/bin`, `/sbin` and `/lib` are links into `/usr`: package lists have either form.
fn merged_usr(path: &str) -> String {
    let top = path.split('/').next().unwrap_or_default();
    match top {
        "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" => format!("usr/{path}"),
        _ => path.to_string(),
    }
}
