//! Which files packages own, by the package database: their own files, and configuration that people change.
//!
//! Only of the paths that are asked for: a system has some hundred thousand. Reads the database, which is untrusted, and runs
//! nothing. Not for what a package's scripts make.

use std::collections::{HashMap, HashSet};

use super::package::{Unread, text};
use super::{apk, pacman, rpm};
use crate::fs::rooted::Tree;

/// The directory of dpkg's lists.
const DPKG_INFO: &str = "var/lib/dpkg/info";

/// The largest list that is read, in bytes: a kernel's has some hundred KiB.
const LIST_LIMIT: u64 = 64 << 20;

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

    /// Reads a system's package databases.
    ///
    /// # Errors
    /// If one is damaged.
    pub fn read(mut self, root: &Tree) -> Result<Self, Unread> {
        self.debian(root)?;
        rpm::owners(root, &mut self)?;
        pacman::owners(root, &mut self)?;
        for path in apk::DATABASES {
            if let Some(list) = text(root, path, LIST_LIMIT)? {
                apk::owners(&list, &mut self);
            }
        }
        Ok(self)
    }

    fn debian(&mut self, root: &Tree) -> Result<(), Unread> {
        let failed = |why: std::io::Error| Unread::damaged(DPKG_INFO, &why);
        let is_directory = |m: std::fs::Metadata| m.is_dir();
        if !root
            .metadata(DPKG_INFO)
            .map_err(failed)?
            .is_some_and(is_directory)
        {
            return Ok(());
        }
        for name in root.names(DPKG_INFO).map_err(failed)? {
            let owned = match name.rsplit_once('.') {
                Some((_, "list")) => Owned::File,
                Some((_, "conffiles")) => Owned::Configuration,
                _ => continue,
            };
            let Some(list) = text(root, &format!("{DPKG_INFO}/{name}"), LIST_LIMIT)? else {
                continue;
            };
            for line in list.lines() {
                // "remove-on-upgrade /etc/x" (deb-conffiles(5)).
                let path = line
                    .rsplit_once(' ')
                    .map_or(line, |(flag, path)| match flag {
                        "remove-on-upgrade" => path,
                        _ => line,
                    });
                self.add(path, owned);
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn owners(files: &[(&str, &str)], wanted: &[&str]) -> Owners {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let tree = Tree::open(dir.path()).unwrap();
        Owners::new(wanted.iter().copied()).read(&tree).unwrap()
    }

    #[test]
    fn each_database_tells_files_from_configuration() {
        let databases: [&[(&str, &str)]; 3] = [
            &[
                (
                    "var/lib/dpkg/info/a.list",
                    "/.\n/etc\n/etc/a.conf\n/lib/a.so\n",
                ),
                ("var/lib/dpkg/info/a.conffiles", "/etc/a.conf\n"),
            ],
            &[(
                "var/lib/pacman/local/a-1-1/files",
                "%FILES%\netc/\netc/a.conf\nusr/lib/a.so\n\n%BACKUP%\netc/a.conf\t0123\n",
            )],
            &[(
                "lib/apk/db/installed",
                "P:a\nV:1\nF:etc\nR:a.conf\nZ:Q1x\nF:usr/lib\nR:a.so\na:0:0:755\n\n",
            )],
        ];
        for files in databases {
            let owners = owners(files, &["etc/a.conf", "usr/lib/a.so", "etc/own"]);
            assert_eq!(
                owners.owned("etc/a.conf"),
                Some(Owned::Configuration),
                "{files:?}"
            );
            assert_eq!(owners.owned("lib/a.so"), Some(Owned::File), "{files:?}");
            assert_eq!(owners.owned("usr/lib/a.so"), Some(Owned::File), "{files:?}");
            assert_eq!(owners.owned("etc/own"), None, "{files:?}");
        }
    }

    #[test]
    fn a_file_that_is_to_go_at_an_upgrade_is_configuration() {
        let files = [(
            "var/lib/dpkg/info/a.conffiles",
            "remove-on-upgrade /etc/old\n/etc/with space\n",
        )];
        let owners = owners(&files, &["etc/old", "etc/with space"]);
        assert_eq!(owners.owned("etc/old"), Some(Owned::Configuration));
        assert_eq!(owners.owned("etc/with space"), Some(Owned::Configuration));
    }
}
