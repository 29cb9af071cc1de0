//! The files that are merged by content: accounts, hosts, fstab, and the loader's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::find::{Conflict, Found, Sides, listed, take};
use crate::btrfs::compare::Change;
use crate::merge::accounts;
use crate::merge::decide::{Conflicts, is_asked_for};
use crate::merge::texts::{Verdict, is_of_accounts};

impl Sides<'_> {
    pub(super) fn by_verdict(
        &self,
        in_boot: bool,
        change: Change,
        verdict: Verdict,
        found: &mut Found,
    ) {
        let shown = self.place(in_boot).join(&change.path);
        if !is_asked_for(&shown, self.paths) {
            return;
        }
        match verdict {
            Verdict::To => {}
            Verdict::Conflict if self.conflicts != Conflicts::Theirs => {
                self.conflict(found, in_boot, shown, &change);
            }
            Verdict::From | Verdict::Conflict => take(found, in_boot, shown, change, false),
        }
    }

    /// Merges a file of accounts that both have, and that differs.
    pub(super) fn accounts(
        &self,
        base: Option<&BTreeMap<String, String>>,
        theirs: &BTreeMap<String, String>,
        ours: &BTreeMap<String, String>,
        change: Change,
        found: &mut Found,
    ) {
        let shown = Path::new("/").join(&change.path);
        let Some(path) = change.path.to_str().map(str::to_string) else {
            return;
        };
        let (Some(from), Some(to)) = (theirs.get(&path), ours.get(&path)) else {
            return;
        };
        if !is_of_accounts(&path) || from == to || !is_asked_for(&shown, self.paths) {
            return;
        }
        let base = base.and_then(|base| base.get(&path)).map(String::as_str);
        let takes_theirs = self.conflicts == Conflicts::Theirs;
        let people = people(theirs.get("etc/passwd").map_or("", String::as_str));
        let name = path.trim_start_matches("etc/");
        let merged = accounts::merge(name, base, from, to, takes_theirs, |account| {
            people.contains(account)
        });
        let half = &mut found.halves[0];
        if !merged.conflicts.is_empty() {
            let keeps = self.conflicts == Conflicts::Beside && half.beside.insert((&path).into());
            found.conflicts.push(Conflict {
                path: shown.clone(),
                why: merged.conflicts.join("; "),
                beside: keeps.then(|| super::beside(&shown, self.from)),
            });
        }
        if merged.text != *to {
            half.accounts.push((path, merged.text));
            found.taken.push(listed(false, shown, change));
        }
    }
}

/// Returns the accounts that people log in to.
fn people(passwd: &str) -> BTreeSet<&str> {
    let is_of_a_person = |number: &str| {
        number
            .parse::<u32>()
            .is_ok_and(|number| number == 0 || (1000..60_000).contains(&number))
    };
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            is_of_a_person(fields.nth(1)?).then_some(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::people;

    #[test]
    fn people_log_in_to_root_and_to_accounts_from_1000() {
        let passwd = "root:x:0:0\nntp:x:999:9\npi:x:1000:1\nx:x:59999:1\nnobody:x:65534:1\nbad\n";
        assert!(people(passwd).into_iter().eq(["pi", "root", "x"]));
    }
}
