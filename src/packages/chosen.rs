//! The packages that users installed in a system or removed from it, and the commands that do the same in another system.
//!
//! Names come from package databases, which are untrusted: invalid names are left out. Runs nothing.

use std::collections::BTreeSet;

use super::distribution::{Distribution, Family};
use super::package::text;
use super::step::{INSTALLING, REMOVING, Step};
use super::{Inventory, apk, apt, dnf, pacman, zypper};
use crate::fs::rooted::Tree;

/// apt's list of packages that were installed automatically (apt-mark(8)).
const EXTENDED_STATES: &str = "var/lib/apt/extended_states";
/// The largest list that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// Names of packages that users installed in one system or removed from it, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Installed since the common state.
    pub added: Vec<String>,
    /// Removed since the common state.
    pub removed: Vec<String>,
}

impl Chosen {
    /// Returns whether both lists are empty.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Returns the names of an inventory.
pub fn names(inventory: &Inventory) -> BTreeSet<String> {
    inventory.packages.iter().map(|p| p.name.clone()).collect()
}

/// Returns the packages that FROM added and TO lacks, and those that FROM removed and TO has.
///
/// Without the names of the common state, every package that only FROM has counts as added, and none as removed. Packages in
/// `automatic` are left out: the packages that depend on them install them.
pub fn chosen(
    base: Option<&BTreeSet<String>>,
    from: &Inventory,
    to: &Inventory,
    automatic: &BTreeSet<String>,
) -> Chosen {
    if from.order != to.order {
        return Chosen::default();
    }
    let (from, to) = (names(from), names(to));
    let was = |name: &String| base.is_some_and(|base| base.contains(name));
    let is_automatic =
        |name: &String| automatic.contains(name.split(':').next().unwrap_or_default());
    let pick = |these: &BTreeSet<String>, others: &BTreeSet<String>| -> Vec<String> {
        these
            .difference(others)
            .filter(|n| is_name(n))
            .cloned()
            .collect()
    };
    let mut added = pick(&from, &to);
    added.retain(|name| !was(name) && !is_automatic(name));
    let mut removed = pick(&to, &from);
    removed.retain(was);
    Chosen { added, removed }
}

/// Returns whether a text can be the name of a package and is not an option.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-._:".contains(&b))
}

/// Returns the packages that apt installed as dependencies; empty for other package managers.
pub fn automatic(root: &Tree) -> BTreeSet<String> {
    let text = text(root, EXTENDED_STATES, LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut name = "";
    for line in text.lines() {
        match line.split_once(':') {
            Some(("Package", value)) => name = value.trim(),
            Some(("Auto-Installed", value)) if value.trim() == "1" => {
                found.insert(name.to_string());
            }
            _ => {}
        }
    }
    found
}

impl Distribution {
    /// Returns the commands that install and remove these packages; `None` if netbe does not know them.
    ///
    /// The commands keep existing configuration files.
    pub fn bring(&self, chosen: &Chosen) -> Option<Vec<Step>> {
        let (added, removed) = (&chosen.added, &chosen.removed);
        let mut steps = match self.family {
            Family::Debian => apt::install_and_remove(added, removed),
            Family::Arch => pacman::install_and_remove(added, removed),
            Family::Alpine => apk::install_and_remove(added, removed),
            Family::Fedora => dnf::install_and_remove(added, removed),
            Family::Suse => zypper::install_and_remove(added, removed),
            Family::Unknown => return None,
        };
        let has_any = |step: &Step| {
            (step.what != INSTALLING || !added.is_empty())
                && (step.what != REMOVING || !removed.is_empty())
        };
        steps.retain(has_any);
        Some(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::package::Package;
    use super::super::recognise;
    use super::super::version::Order;
    use super::*;

    fn inventory(names: &[&str]) -> Inventory {
        Inventory {
            order: Order::Debian,
            packages: names.iter().map(|n| Package::new(*n, "", "1")).collect(),
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn packages_of_the_common_origin_were_not_chosen() {
        let (from, to) = (
            inventory(&["a", "libold", "own", "own-data", "-o", "gone-in-to"]),
            inventory(&["a", "libnew", "dropped"]),
        );
        let base = set(&["a", "libold", "dropped", "gone-in-to"]);
        let found = chosen(Some(&base), &from, &to, &set(&["own-data"]));
        assert_eq!(found.added, ["own"]);
        assert_eq!(found.removed, ["dropped"]);
        let unknown = chosen(None, &from, &to, &set(&[]));
        assert_eq!(unknown.added, ["gone-in-to", "libold", "own", "own-data"]);
        assert!(unknown.removed.is_empty());
    }

    #[test]
    fn each_package_manager_has_its_commands() {
        let both = Chosen {
            added: vec!["own".to_string()],
            removed: vec!["dropped".to_string()],
        };
        for (id, install, remove) in [
            ("debian", "install own", "remove dropped"),
            ("arch", "-S --needed own", "-R dropped"),
            ("alpine", "add own", "del dropped"),
            ("fedora", "install own", "remove dropped"),
            (
                "opensuse",
                "install --auto-agree-with-licenses own",
                "remove dropped",
            ),
        ] {
            let steps = recognise(&format!("ID={id}\n")).bring(&both).unwrap();
            let lines: Vec<String> = steps.iter().map(|s| s.argv.join(" ")).collect();
            assert!(lines.iter().any(|l| l.ends_with(install)), "{lines:?}");
            assert!(lines.iter().any(|l| l.ends_with(remove)), "{lines:?}");
            let only = Chosen {
                removed: Vec::new(),
                ..both.clone()
            };
            let steps = recognise(&format!("ID={id}\n")).bring(&only).unwrap();
            assert!(steps.iter().all(|s| s.what != REMOVING));
        }
    }

    #[test]
    fn automatically_installed_packages_are_known() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/apt")).unwrap();
        std::fs::write(
            dir.path().join(EXTENDED_STATES),
            "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nAuto-Installed: 0\n",
        )
        .unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        assert_eq!(automatic(&tree), set(&["a"]));
    }
}
