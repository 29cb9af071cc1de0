//! Commands that change files where they are used, one after another: between two of them each is the old or the new.
//!
//! Not for records, lists and names: those are compared as a whole.

use std::collections::BTreeSet;

use super::view::{View, is_content};

/// What a command changes file by file: the beginnings of what the view calls it, `nog/a` for both of its halves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    /// While all else is not yet the new.
    pub(crate) first: &'static [&'static str],
    /// When all else is not the old any more.
    pub(crate) last: &'static [&'static str],
}

impl Steps {
    /// None: all of it changes as a whole.
    pub(crate) const NONE: Self = Self {
        first: &[],
        last: &[],
    };

    /// Returns whether this is between two of the steps from the first of the views to the last.
    pub(super) fn allow(self, views: &[View], found: &View) -> bool {
        let [old, between @ .., new] = views else {
            return false;
        };
        let is_one = |whole: &View, stepwise: &[&str]| {
            let keys: BTreeSet<&String> = whole.keys().chain(found.keys()).collect();
            keys.into_iter().all(|key| {
                let is_stepwise =
                    is_content(key) && stepwise.iter().any(|one| key.starts_with(one));
                match (is_stepwise, old.get(key), new.get(key), found.get(key)) {
                    (true, Some(old), Some(new), Some(found)) => is_mixed(old, new, found),
                    _ => whole.get(key) == found.get(key),
                }
            })
        };
        let mut begun = between.iter().chain([old]);
        let mut ending = between.iter().chain([new]);
        !self.first.is_empty() && begun.any(|whole| is_one(whole, self.first))
            || !self.last.is_empty() && ending.any(|whole| is_one(whole, self.last))
    }
}

/// Returns whether each file is as it is in one of both, and none is missing that both have.
fn is_mixed(old: &str, new: &str, found: &str) -> bool {
    let lines = |text| str::lines(text).collect::<BTreeSet<_>>();
    let paths = |text| str::lines(text).map(path).collect::<BTreeSet<_>>();
    let [old_lines, new_lines] = [old, new].map(lines);
    let is_known = |line: &&str| old_lines.contains(line) || new_lines.contains(line);
    let there = paths(found);
    lines(found).iter().all(is_known)
        && paths(old)
            .intersection(&paths(new))
            .all(|path| there.contains(path))
}

/// Returns the path in a line of a fingerprint.
fn path(line: &str) -> &str {
    let ends = [" directory ", " file ", " link to ", " device "];
    let end = ends.iter().filter_map(|end| line.find(end)).min();
    &line[..end.unwrap_or(line.len())]
}

#[test]
fn a_file_is_the_old_or_the_new_and_nothing_else() {
    let old = "etc directory 755\netc/fstab file old\n";
    let new = "etc directory 755\netc/fstab file new\netc/unit file x\n";
    for found in [
        old,
        new,
        "etc directory 755\netc/fstab file old\netc/unit file x\n",
    ] {
        assert!(is_mixed(old, new, found), "{found}");
    }
    for found in [
        "etc directory 755\netc/fstab file ne\n",
        "etc directory 755\netc/unit file x\n",
        "etc directory 755\netc/fstab file new\netc/unit file x\netc/other file x\n",
    ] {
        assert!(!is_mixed(old, new, found), "{found}");
    }
}
