//! Decides by content which side a text is taken from: files of accounts, hosts, and what netbe edits itself.
//!
//! The inodes of these are new in every environment that netbe makes, so only their text in the origin shows which side
//! changed them. Without that, a text that differs is a conflict.

use std::collections::BTreeMap;

/// Which side changed a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both are equal, or only TO changed it.
    To,
    /// Only FROM changed it.
    From,
    /// Both changed it.
    Conflict,
}

/// Compares the texts of one half that both sides have, without the files of accounts, and returns for each path which side
/// changed it.
pub fn verdicts<'a>(
    base: Option<&BTreeMap<String, String>>,
    from: &'a BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
) -> BTreeMap<&'a str, Verdict> {
    let mut found = BTreeMap::new();
    for (path, from) in from.iter().filter(|(path, _)| !is_of_accounts(path)) {
        let Some(to) = to.get(path) else {
            continue;
        };
        let base = base.and_then(|base| base.get(path));
        let verdict = match base {
            _ if from == to => Verdict::To,
            Some(base) if base == from => Verdict::To,
            Some(base) if base == to => Verdict::From,
            _ => Verdict::Conflict,
        };
        found.insert(path.as_str(), verdict);
    }
    found
}

/// Returns whether a path is a file of accounts, which is merged account by account.
pub fn is_of_accounts(path: &str) -> bool {
    path.strip_prefix("etc/")
        .is_some_and(|name| super::accounts::FILES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_the_side_has_it_that_changed_it() {
        let map = |text: &str| BTreeMap::from([("etc/fstab".to_string(), text.to_string())]);
        for (base, from, to, want) in [
            (Some("a"), "a", "b", Verdict::To),
            (Some("a"), "b", "a", Verdict::From),
            (Some("a"), "b", "b", Verdict::To),
            (Some("a"), "b", "c", Verdict::Conflict),
            (None, "b", "c", Verdict::Conflict),
            (None, "b", "b", Verdict::To),
        ] {
            let base = base.map(map);
            let from = map(from);
            let found = verdicts(base.as_ref(), &from, &map(to));
            assert_eq!(found.get("etc/fstab"), Some(&want), "{base:?} {to}");
        }
        let alone = BTreeMap::from([("etc/hosts".to_string(), "x".to_string())]);
        assert!(verdicts(None, &alone, &map("a")).is_empty());
        let accounts = BTreeMap::from([("etc/passwd".to_string(), "x".to_string())]);
        assert!(verdicts(None, &accounts, &accounts).is_empty());
    }
}
