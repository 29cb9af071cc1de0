//! The paths that belong to a node and not to its environments: which paths are allowed, and the record of each.
//!
//! Promises that a path can be written unquoted in an fstab and an exports file, and that the name of its subvolume leads
//! back to it. Pure: not for the subvolumes themselves, which are in `data_store`, nor for mounting them.

mod record;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::as_text;
pub use record::{ChangePoint, Data, DataRecord};

/// The value of the property that stands for [`USUAL`].
pub const DEFAULT: &str = "default";
/// The value of the property that means no path at all, whatever the pool's value is.
pub const NONE: &str = "none";

/// The paths that administrators and distributions keep apart from the system most often.
pub const USUAL: [&str; 7] = [
    "/home",
    "/root",
    "/srv",
    "/var/log",
    "/var/mail",
    "/var/spool",
    "/var/www",
];

/// The longest path, in bytes: its subvolume's name has as many, and a name has 255 at most.
const LONGEST: usize = 200;

/// Paths that belong to the system or are of no use to keep, with the reason.
const OWNED: [(&[&str], &str); 4] = [
    (
        &[
            "/bin", "/boot", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
        ],
        "belongs to the system, and is upgraded and rolled back with it",
    ),
    (
        &["/dev", "/proc", "/run", "/sys", "/tmp"],
        "is made anew at each boot",
    ),
    (
        &[
            "/var/db/pkg",
            "/var/db/xbps",
            "/var/lib/apk",
            "/var/lib/apt",
            "/var/lib/dnf",
            "/var/lib/dpkg",
            "/var/lib/pacman",
            "/var/lib/portage",
            "/var/lib/rpm",
            "/var/lib/zypp",
        ],
        "is the package manager's, and has to fit the system",
    ),
    (&["/var/lib/netbe"], "is where a node reports its boots"),
];
/// The path in these that belongs to the administrator.
const NOT_OWNED: &str = "/usr/local";

/// Directories of container stores: the kernel has no overlay on top of NFS.
const CONTAINERS: [&str; 3] = [
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
];

/// A path that belongs to a node, as the node sees it: absolute, plain, and not one of the system's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataPath(String);

/// A path that the property asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The path.
    pub path: DataPath,
    /// Whether it is requested only by [`DEFAULT`]: then an environment need not have it.
    pub usual: bool,
}

impl DataPath {
    /// Returns the path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns it relative to the root directory.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// Returns the name of its subvolume.
    pub fn directory(&self) -> String {
        self.0.replace('/', "+")
    }

    /// Returns the path of a subvolume of that name.
    pub fn of_directory(name: &str) -> Option<Self> {
        name.replace('+', "/").parse().ok()
    }

    /// Returns whether a path, as the node sees it, is this one or below.
    pub fn covers(&self, path: &str) -> bool {
        self.0 == path || is_below(path, &self.0)
    }

    /// Returns whether it contains a container store, which cannot be used there.
    pub fn holds_containers(&self) -> bool {
        CONTAINERS
            .iter()
            .any(|store| self.0 == *store || is_below(store, &self.0))
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(DataPath);

impl FromStr for DataPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("{text:?} is no absolute path"));
        }
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
        let path: String = names.iter().map(|name| format!("/{name}")).collect();
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-/".contains(&c);
        if !path.bytes().all(plain) {
            return Err(format!(
                "{text:?} cannot stand in an fstab and in exports: letters, digits, '.', '_' and '-' can"
            ));
        }
        if names.iter().any(|name| [".", ".."].contains(name)) {
            return Err(format!("{text:?} is not a path without . and .."));
        }
        if path.len() > LONGEST {
            return Err(format!("{text:?} is longer than {LONGEST} characters"));
        }
        match reason_against(&path) {
            Some(why) => Err(why),
            None => Ok(Self(path)),
        }
    }
}

fn reason_against(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("/ is the system itself".to_string());
    }
    if path == NOT_OWNED || is_below(path, NOT_OWNED) {
        return None;
    }
    OWNED.iter().find_map(|(owned, why)| {
        owned.iter().find_map(|owned| match () {
            () if path == *owned || is_below(path, owned) => Some(format!("{path} {why}")),
            () if is_below(owned, path) => Some(format!("{path} holds {owned}, which {why}")),
            () => None,
        })
    })
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Returns a value of the property, normalised: paths, [`DEFAULT`], or [`NONE`] alone.
///
/// # Errors
/// A sentence about a path that is not allowed, or about a path that is inside another one.
pub fn normalised(text: &str) -> Result<String, String> {
    if text == NONE {
        return Ok(text.to_string());
    }
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let word = match word {
            DEFAULT => word.to_string(),
            path => path.parse::<DataPath>()?.0,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let value = words.join(",");
    let all = asked(&value);
    for one in &all {
        if let Some(other) = all
            .iter()
            .find(|o| is_below(o.path.as_str(), one.path.as_str()))
        {
            return Err(format!("{} is in {}", other.path, one.path));
        }
    }
    Ok(value)
}

/// Returns the paths that a normalised value asks for, sorted.
pub fn asked(value: &str) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut add = |path: &str, usual: bool| {
        let Ok(path) = path.parse::<DataPath>() else {
            return;
        };
        match all.iter_mut().find(|asked| asked.path == path) {
            Some(asked) => asked.usual &= usual,
            None => all.push(Asked { path, usual }),
        }
    };
    for word in value.split(',') {
        match word {
            DEFAULT => USUAL.iter().for_each(|path| add(path, true)),
            path => add(path, false),
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

#[cfg(test)]
mod tests;
