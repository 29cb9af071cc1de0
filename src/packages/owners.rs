//! Reads the owned paths from the package databases of an environment.
//!
//! Runs nothing, and reads nothing outside of the environment. Not for the installed packages: that is `inventory`.

use super::owned::{Owned, Owners};
use super::package::{Unread, text};
use super::{apk, pacman, rpm};
use crate::fs::rooted::Tree;

/// The directory of dpkg's lists.
const DPKG_INFO: &str = "var/lib/dpkg/info";

/// The largest list that is read, in bytes: a kernel's has some hundred KiB.
const LIST_LIMIT: u64 = 64 << 20;

impl Owners {
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
    fn each_database_distinguishes_files_from_configuration() {
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
