//! Finds accounts that a merge gave one number: each side took the next free one.
//!
//! Pure. Accounts with the same number in one side are intended. Not for renumbering.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the numbers that several accounts have only after the merge, because each side gave it to another account.
pub(super) fn shared(file: &str, merged: &[String], sides: [&str; 2]) -> Vec<String> {
    if file != "passwd" && file != "group" {
        return Vec::new();
    }
    let before = sides.map(|side| numbers(side.lines()));
    let is_new = |number: &str, names: &BTreeSet<&str>| {
        let had = |side: &BTreeMap<&str, BTreeSet<&str>>| {
            side.get(number).is_some_and(|had| had.is_superset(names))
        };
        names.len() > 1 && !before.iter().any(had)
    };
    // Several names for root are intended.
    numbers(merged.iter().map(String::as_str))
        .into_iter()
        .filter(|(number, names)| *number != "0" && is_new(number, names))
        .map(|(number, names)| {
            let names: Vec<&str> = names.into_iter().collect();
            format!("{}: have the same number {number}", names.join(" and "))
        })
        .collect()
}

/// Returns the accounts by their numbers.
fn numbers<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        let mut parts = line.split(':');
        if let (Some(name), Some(number)) = (parts.next(), parts.nth(1))
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !number.is_empty()
        {
            names.entry(number).or_default().insert(name);
        }
    }
    names
}
