//! pacman's list of what is installed: a directory a package, and in it a file `desc`.

use super::Package;
use super::package::{Unread, text};
use crate::fs::rooted::Tree;

/// Where it is.
const LOCAL: &str = "var/lib/pacman/local";

/// The largest description of a package that is read, in bytes; they have some hundred.
const LIMIT: u64 = 1 << 20;
/// The same for all of them together.
const ALL: u64 = 256 << 20;

/// Returns the packages of an environment; `None` where there is no such list.
pub(super) fn installed(root: &Tree) -> Result<Option<Vec<Package>>, Unread> {
    let failed = |why: std::io::Error| Unread::damaged(LOCAL, &why);
    if !root
        .metadata(LOCAL)
        .map_err(failed)?
        .is_some_and(|m| m.is_dir())
    {
        return Ok(None);
    }
    let mut packages = Vec::new();
    let mut left = ALL;
    // One of the names is that of a file, with the list's own version.
    for name in root.names(LOCAL).map_err(failed)? {
        if let Some(text) = text(root, &format!("{LOCAL}/{name}/desc"), LIMIT)? {
            left = left
                .checked_sub(text.len() as u64)
                .ok_or_else(|| Unread::damaged(LOCAL, "it is larger than 256 MiB"))?;
            packages.extend(package(&text));
        }
    }
    Ok(Some(packages))
}

/// Returns the package a `desc` is of: `%NAME%` and `%VERSION%`, the value on the line after.
fn package(desc: &str) -> Option<Package> {
    let value = |key: &str| {
        let mut lines = desc.lines();
        lines.find(|line| *line == key)?;
        lines.next().filter(|value| !value.is_empty())
    };
    Some(Package::new(value("%NAME%")?, "", value("%VERSION%")?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_directory_is_a_package() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(installed(&tree).unwrap(), None);
        let local = root.path().join(LOCAL);
        for (name, desc) in [
            (
                "bash-5.2.021-1",
                "%NAME%\nbash\n\n%VERSION%\n5.2.021-1\n\n%DESC%\nThe GNU Bourne Again shell\n",
            ),
            ("vim-1:9.0-2", "%VERSION%\n1:9.0-2\n\n%NAME%\nvim\n"),
            // What an interrupted transaction may leave.
            ("empty-1-1", ""),
            ("half-1-1", "%NAME%\n\n%VERSION%"),
        ] {
            fs::create_dir_all(local.join(name)).unwrap();
            fs::write(local.join(name).join("desc"), desc).unwrap();
        }
        fs::create_dir(local.join("without-1-1")).unwrap();
        fs::write(local.join("ALPM_DB_VERSION"), "9\n").unwrap();
        let mut found = installed(&tree).unwrap().unwrap();
        found.sort();
        assert_eq!(
            found,
            [
                Package::new("bash", "", "5.2.021-1"),
                Package::new("vim", "", "1:9.0-2")
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_root_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("desc"), "%NAME%\na\n%VERSION%\n1\n").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(LOCAL)).unwrap();
        let link = root.path().join(LOCAL).join("a-1");
        std::os::unix::fs::symlink(outside.path(), link).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(installed(&tree).unwrap(), Some(Vec::new()));
    }
}
