//! What a distribution is: recognising it, its full upgrade, its package list and how two differ.
//!
//! Text in, values out, but for [`installed`], which reads an environment's own database in place.
//! Nothing here runs anything.

mod archives;
pub mod dpkg;
mod release;
mod version;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use archives::Archive;
pub use release::{Distribution, Downloads, Family, Step, recognise};

use crate::storage::beneath::Tree;

/// Where dpkg keeps what is installed.
const DPKG_STATUS: &str = "var/lib/dpkg/status";

/// How the packages of two states differ, each list sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Name and version.
    pub added: Vec<(String, String)>,
    /// Name and the version there was.
    pub removed: Vec<(String, String)>,
    /// Name, the version before, the version after.
    pub upgraded: Vec<(String, String, String)>,
    /// Name, the version before, the older one after.
    pub downgraded: Vec<(String, String, String)>,
}

impl Changes {
    /// Returns whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.upgraded.is_empty()
            && self.downgraded.is_empty()
    }
}

/// Returns what changed from the first list to the second; versions are ordered as Debian orders them.
///
/// Two spellings of one version (`1.0` and `0:1.0`) are no change.
pub fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Changes {
    let mut changes = Changes::default();
    for (name, new) in after {
        let Some(old) = before.get(name) else {
            changes.added.push((name.clone(), new.clone()));
            continue;
        };
        let change = (name.clone(), old.clone(), new.clone());
        match version::compare(old, new) {
            Ordering::Less => changes.upgraded.push(change),
            Ordering::Greater => changes.downgraded.push(change),
            Ordering::Equal => {}
        }
    }
    changes.removed = before
        .iter()
        .filter(|(name, _)| !after.contains_key(*name))
        .map(|(name, version)| (name.clone(), version.clone()))
        .collect();
    changes
}

/// Returns the packages of an environment, name to version; `None` without a database that is known.
pub fn installed(root: &Tree) -> anyhow::Result<Option<BTreeMap<String, String>>> {
    let Some(status) = root.read(DPKG_STATUS)? else {
        return Ok(None);
    };
    // Descriptions may be in any encoding; names and versions are ASCII.
    Ok(Some(dpkg::installed(&String::from_utf8_lossy(&status))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(packages: &[(&str, &str)]) -> BTreeMap<String, String> {
        packages
            .iter()
            .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
            .collect()
    }

    #[test]
    fn each_difference_has_its_kind() {
        let before = list(&[
            ("bash", "5.2-1"),
            ("curl", "8.0~rc1-1"),
            ("nano", "7.2-1"),
            ("vim", "2:9.0-1"),
            ("zlib1g", "1:1.2-1"),
        ]);
        let after = list(&[
            ("bash", "5.2-1"),
            ("curl", "8.0-1"),
            ("git", "1:2.39-1"),
            ("vim", "1:9.1-1"),
            ("zlib1g", "1:1.2-1"),
        ]);
        let changes = changes(&before, &after);
        assert_eq!(changes.added, [("git".into(), "1:2.39-1".into())]);
        assert_eq!(changes.removed, [("nano".into(), "7.2-1".into())]);
        assert_eq!(
            changes.upgraded,
            [("curl".into(), "8.0~rc1-1".into(), "8.0-1".into())]
        );
        assert_eq!(
            changes.downgraded,
            [("vim".into(), "2:9.0-1".into(), "1:9.1-1".into())]
        );
        assert!(!changes.is_empty());
    }

    #[test]
    fn two_spellings_of_one_version_are_no_change() {
        let changes = changes(&list(&[("a", "1.0")]), &list(&[("a", "0:1.0-0")]));
        assert!(changes.is_empty());
    }

    #[test]
    fn the_database_is_read_inside_the_root_only() {
        let outside = tempfile::tempdir().unwrap();
        let canary = outside.path().join("status");
        std::fs::write(
            &canary,
            "Package: a\nStatus: install ok installed\nVersion: 1\n",
        )
        .unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(installed(&tree).unwrap(), None);
        std::os::unix::fs::symlink(&canary, root.path().join(DPKG_STATUS)).unwrap();
        assert_eq!(installed(&tree).unwrap(), None);
    }
}
