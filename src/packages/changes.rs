//! Differences between two lists of packages.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Inventory, Order, Package};

/// Names of which several versions are installed, with a number as version: none is newer.
const NEVER_UPGRADED: &str = "gpg-pubkey";

/// Differences between two lists of packages, each sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Name and version.
    pub added: Vec<(String, String)>,
    /// Name and previous version.
    pub removed: Vec<(String, String)>,
    /// Name, previous and new version.
    pub upgraded: Vec<(String, String, String)>,
    /// Name, previous and older new version.
    pub downgraded: Vec<(String, String, String)>,
}

/// How many versions of one package are compared; with more, all are listed as removed and added.
const VERSIONS_MAX: usize = 256;

impl Changes {
    /// Returns whether there are no differences.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.upgraded.is_empty()
            && self.downgraded.is_empty()
    }
}

/// Returns the changes from one list to another; versions are ordered as by its package manager.
///
/// Two spellings of one version are equal. Versions installed in parallel, such as Fedora's kernels, are added or
/// removed individually. A name with several architectures is listed as `name.arch`. Lists of different package
/// managers have nothing in common.
pub fn changes(before: &Inventory, after: &Inventory) -> Changes {
    let mut changes = Changes::default();
    if before.order != after.order {
        changes.removed = before.packages.iter().map(Package::named).collect();
        changes.added = after.packages.iter().map(Package::named).collect();
    } else {
        let mut names: BTreeMap<&str, (Vec<&Package>, Vec<&Package>)> = BTreeMap::new();
        for package in &before.packages {
            names.entry(&package.name).or_default().0.push(package);
        }
        for package in &after.packages {
            names.entry(&package.name).or_default().1.push(package);
        }
        for (name, (old, new)) in names {
            changes.compare_name(name, &old, &new, after.order);
        }
    }
    changes.sort();
    changes
}

impl Changes {
    /// Compares all packages of one name.
    fn compare_name(&mut self, name: &str, old: &[&Package], new: &[&Package], order: Order) {
        // One package in both is the same, even if its architecture changed (`noarch`).
        if let ([old], [new]) = (old, new)
            && name != NEVER_UPGRADED
        {
            self.compare_version(name, &old.version, &new.version, order);
            return;
        }
        let mut kinds: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for package in old {
            let kind = kinds.entry(&package.architecture).or_default();
            kind.0.push(&package.version);
        }
        for package in new {
            let kind = kinds.entry(&package.architecture).or_default();
            kind.1.push(&package.version);
        }
        let has_several = kinds.len() > 1;
        for (architecture, (old, new)) in kinds {
            let shown = match has_several {
                true => format!("{name}.{architecture}"),
                false => name.to_string(),
            };
            self.compare_versions(&shown, &old, &new, order);
        }
    }

    fn compare_versions(&mut self, name: &str, old: &[&str], new: &[&str], order: Order) {
        if let ([old], [new]) = (old, new)
            && name != NEVER_UPGRADED
        {
            self.compare_version(name, old, new, order);
            return;
        }
        // Only a hostile list has that many in parallel.
        let many = old.len().max(new.len()) > VERSIONS_MAX;
        let lacks = |list: &[&str], version: &str| {
            many || !list
                .iter()
                .any(|other| order.compare(other, version).is_eq())
        };
        let only = |these: &[&str], others: &[&str]| -> Vec<(String, String)> {
            these
                .iter()
                .filter(|version| lacks(others, version))
                .map(|version| (name.to_string(), (*version).to_string()))
                .collect()
        };
        self.removed.extend(only(old, new));
        self.added.extend(only(new, old));
    }

    fn compare_version(&mut self, name: &str, old: &str, new: &str, order: Order) {
        let change = (name.to_string(), old.to_string(), new.to_string());
        match order.compare(old, new) {
            Ordering::Less => self.upgraded.push(change),
            Ordering::Greater => self.downgraded.push(change),
            Ordering::Equal => {}
        }
    }

    fn sort(&mut self) {
        self.added.sort();
        self.removed.sort();
        self.upgraded.sort();
        self.downgraded.sort();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes a list of `name=version` and `name.arch=version`.
    fn list(order: Order, packages: &[&str]) -> Inventory {
        let package = |text: &&str| {
            let (name, version) = text.split_once('=').unwrap();
            let (name, architecture) = name.split_once('.').unwrap_or((name, ""));
            Package::new(name, architecture, version)
        };
        Inventory {
            order,
            packages: packages.iter().map(package).collect(),
        }
    }

    /// Returns the changes, one a line: `+ name version`, `- name version`, `name old > new`.
    fn shown(changes: &Changes) -> Vec<String> {
        let one = |sign: &str, (n, v): &(String, String)| format!("{sign} {n} {v}");
        let two = |(n, a, b): &(String, String, String)| format!("{n} {a} > {b}");
        let mut lines: Vec<String> = changes.upgraded.iter().map(two).collect();
        lines.extend(changes.downgraded.iter().map(|c| format!("! {}", two(c))));
        lines.extend(changes.added.iter().map(|c| one("+", c)));
        lines.extend(changes.removed.iter().map(|c| one("-", c)));
        lines
    }

    #[test]
    fn each_change_is_of_one_kind() {
        for (order, before, after, want) in [
            (
                Order::Debian,
                &[
                    "bash=5.2-1",
                    "curl=8.0~rc1-1",
                    "nano=7.2-1",
                    "vim=2:9.0-1",
                    "zlib1g:amd64=1",
                ][..],
                &[
                    "bash=5.2-1",
                    "curl=8.0-1",
                    "git=1:2.39-1",
                    "vim=1:9.1-1",
                    "zlib1g:amd64=1",
                ][..],
                &[
                    "curl 8.0~rc1-1 > 8.0-1",
                    "! vim 2:9.0-1 > 1:9.1-1",
                    "+ git 1:2.39-1",
                    "- nano 7.2-1",
                ][..],
            ),
            (Order::Debian, &["a=1.0"], &["a=0:1.0-0"], &[]),
            // A pre-release in one order is not one in the other.
            (
                Order::Rpm,
                &["a=1.0-1"],
                &["a=1.0^git-1"],
                &["a 1.0-1 > 1.0^git-1"],
            ),
            (
                Order::Pacman,
                &["a=1.0rc-1"],
                &["a=1.0-1"],
                &["a 1.0rc-1 > 1.0-1"],
            ),
            (
                Order::Apk,
                &["a=1.0_rc1-r0"],
                &["a=1.0-r0"],
                &["a 1.0_rc1-r0 > 1.0-r0"],
            ),
            // Kernels are installed in parallel, and the oldest is removed.
            (
                Order::Rpm,
                &["kernel-core.x86_64=6.5-1"],
                &["kernel-core.x86_64=6.5-1", "kernel-core.x86_64=6.6-1"],
                &["+ kernel-core 6.6-1"],
            ),
            (
                Order::Rpm,
                &["k.x86_64=6.4-1", "k.x86_64=6.5-1"],
                &["k.x86_64=6.5-1", "k.x86_64=6.6-1"],
                &["+ k 6.6-1", "- k 6.4-1"],
            ),
            (
                Order::Rpm,
                &["gpg-pubkey=aaaa-1"],
                &["gpg-pubkey=bbbb-1"],
                &["+ gpg-pubkey bbbb-1", "- gpg-pubkey aaaa-1"],
            ),
            // Two architectures of one name.
            (
                Order::Rpm,
                &["glibc.i686=2.37-1", "glibc.x86_64=2.37-1"],
                &["glibc.i686=2.38-1", "glibc.x86_64=2.38-1"],
                &["glibc.i686 2.37-1 > 2.38-1", "glibc.x86_64 2.37-1 > 2.38-1"],
            ),
            (
                Order::Rpm,
                &["glibc.x86_64=2.37-1"],
                &["glibc.i686=2.38-1", "glibc.x86_64=2.38-1"],
                &["glibc.x86_64 2.37-1 > 2.38-1", "+ glibc.i686 2.38-1"],
            ),
            (
                Order::Rpm,
                &["a.noarch=1-1"],
                &["a.x86_64=2-1"],
                &["a 1-1 > 2-1"],
            ),
        ] {
            let changes = changes(&list(order, before), &list(order, after));
            assert_eq!(shown(&changes), want, "{before:?} {after:?}");
            assert_eq!(changes.is_empty(), want.is_empty());
        }
    }

    #[test]
    fn lists_of_two_package_managers_have_no_common_package() {
        let changes = changes(
            &list(Order::Debian, &["bash=1", "apt=1"]),
            &list(Order::Rpm, &["bash.x86_64=1"]),
        );
        assert_eq!(shown(&changes), ["+ bash 1", "- apt 1", "- bash 1"]);
    }

    proptest! {
        #[test]
        fn the_reverse_has_the_opposite_changes(
            before in proptest::collection::vec("[ab](\\.[xy])?=[12](\\.[0-3])?", 0..6),
            after in proptest::collection::vec("[ab](\\.[xy])?=[12](\\.[0-3])?", 0..6),
        ) {
            let of = |texts: &[String]| {
                list(Order::Rpm, &texts.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let (before, after) = (of(&before), of(&after));
            prop_assert!(changes(&before, &before).is_empty());
            let (there, back) = (changes(&before, &after), changes(&after, &before));
            prop_assert_eq!(&there.added, &back.removed);
            prop_assert_eq!(&there.removed, &back.added);
            prop_assert_eq!(there.upgraded.len(), back.downgraded.len());
            prop_assert_eq!(there.downgraded.len(), back.upgraded.len());
        }
    }
}
