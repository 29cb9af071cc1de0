//! Merges the files of accounts by their keys: `passwd`, `group`, `shadow`, `gshadow`, `subuid`, `subgid`.
//!
//! An account is a line. If only one side added, changed or removed it, that side's version is taken. Members of groups are
//! merged one by one. An account that both changed stays as in TO, and is a conflict. Promises that no account of either side
//! is lost unless it was removed on purpose, and that unchanged lines keep their bytes and order. Formats: passwd(5),
//! group(5), shadow(5), gshadow(5), subuid(5).

use std::collections::HashSet;

use super::numbers;

/// The files, in the directory `etc`.
pub const FILES: &[&str] = &["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];

/// The fields that list members, of a file by name.
fn member_fields(file: &str) -> &'static [usize] {
    match file {
        "group" => &[3],
        // Administrators, members.
        "gshadow" => &[2, 3],
        _ => &[],
    }
}

/// A merged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Its text.
    pub text: String,
    /// The conflicts, a phrase each: accounts that both sides changed, or that got the same number.
    pub conflicts: Vec<String>,
}

/// Merges a file, by name: the changes of FROM since `base` go into TO.
///
/// Without a base, an account that differs is taken from FROM if people log in to it, by `is_of_a_person`, else from TO; an
/// account of only one side stays. With `theirs`, an account that both changed is taken from FROM, and is no conflict.
pub fn merge(
    file: &str,
    base: Option<&str>,
    from: &str,
    to: &str,
    theirs: bool,
    is_of_a_person: impl Fn(&str) -> bool,
) -> Merged {
    let members = member_fields(file);
    let keyed = file != "subuid" && file != "subgid";
    let (base_lines, from_lines, to_lines) = (
        base.map(|text| lines(text, keyed)),
        lines(from, keyed),
        lines(to, keyed),
    );
    let mut merged = Vec::new();
    let mut conflicts = Vec::new();
    for (key, to_line) in &to_lines {
        let from_line = get(&from_lines, key);
        let base_line = base_lines.as_ref().map(|lines| get(lines, key));
        match (base_line, from_line) {
            // Without a base, the account may be new in TO.
            (None, None) => merged.push((*to_line).to_string()),
            // FROM removed it, unless it is new in TO.
            (Some(base), None) => match base {
                Some(base) if base == *to_line => {}
                Some(_) if theirs => {}
                Some(_) => {
                    merged.push((*to_line).to_string());
                    conflicts.push(format!("{key}: removed, and changed"));
                }
                None => merged.push((*to_line).to_string()),
            },
            (base, Some(from_line)) => {
                let base = base.flatten();
                match fields(members, base, from_line, to_line) {
                    Some(line) => merged.push(line),
                    None if theirs || (base_lines.is_none() && is_of_a_person(key)) => {
                        merged.push(from_line.to_string());
                    }
                    None => {
                        merged.push((*to_line).to_string());
                        if base_lines.is_some() {
                            conflicts.push(format!("{key}: changed in both"));
                        }
                    }
                }
            }
        }
    }
    for (key, from_line) in &from_lines {
        if get(&to_lines, key).is_some() {
            continue;
        }
        match base_lines.as_ref().and_then(|lines| get(lines, key)) {
            // TO removed it.
            Some(base) if base == *from_line => {}
            Some(_) => {
                merged.push((*from_line).to_string());
                if !theirs {
                    conflicts.push(format!("{key}: changed, and removed"));
                }
            }
            None => merged.push((*from_line).to_string()),
        }
    }
    conflicts.extend(numbers::shared(file, &merged, [from, to]));
    let mut text = merged.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    Merged { text, conflicts }
}

/// Returns the lines with their keys; of several with one key the first is the account, as in the C library.
fn lines(text: &str, keyed: bool) -> Vec<(&str, &str)> {
    let mut seen = HashSet::new();
    text.lines()
        .map(|line| match keyed {
            true => (line.split(':').next().unwrap_or(line), line),
            false => (line, line),
        })
        .filter(|(key, line)| line.trim().is_empty() || seen.insert(*key))
        .collect()
}

fn get<'a>(lines: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    lines
        .iter()
        .find(|(own, _)| *own == key)
        .map(|(_, line)| *line)
}

/// Merges an account of both sides, field by field; `None` if both changed a field that is no list.
fn fields(members: &[usize], base: Option<&str>, from: &str, to: &str) -> Option<String> {
    if from == to || base == Some(from) {
        return Some(to.to_string());
    }
    if base == Some(to) {
        return Some(from.to_string());
    }
    let split = |line: &str| -> Vec<String> { line.split(':').map(str::to_string).collect() };
    let (from, to, base) = (split(from), split(to), base.map(split));
    if from.len() != to.len() || base.as_ref().is_some_and(|base| base.len() != to.len()) {
        return None;
    }
    let mut merged = Vec::new();
    for at in 0..to.len() {
        let base = base.as_ref().map(|base| base[at].as_str());
        merged.push(match (members.contains(&at), base) {
            (true, base) => merged_members(base, &from[at], &to[at]),
            _ if from[at] == to[at] => to[at].clone(),
            (false, Some(base)) if base == from[at] => to[at].clone(),
            (false, Some(base)) if base == to[at] => from[at].clone(),
            _ => return None,
        });
    }
    Some(merged.join(":"))
}

/// Merges lists of members: TO's order, then FROM's additions.
fn merged_members(base: Option<&str>, from: &str, to: &str) -> String {
    let list = |text: &str| -> Vec<String> {
        let names = text.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_string)
            .collect()
    };
    let (from, to, base) = (list(from), list(to), base.map(list));
    let is_in_base = |name: &String| base.as_ref().is_some_and(|base| base.contains(name));
    let mut merged: Vec<String> = to
        .iter()
        .filter(|name| from.contains(name) || !is_in_base(name))
        .cloned()
        .collect();
    for name in from {
        if !merged.contains(&name) && !is_in_base(&name) {
            merged.push(name);
        }
    }
    merged.join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(file: &str, base: Option<&str>, from: &str, to: &str) -> (String, usize) {
        let merged = merge(file, base, from, to, false, |name| {
            name == "root" || name == "pi"
        });
        (merged.text, merged.conflicts.len())
    }

    #[test]
    fn an_account_is_as_the_side_has_it_that_changed_it() {
        let cases = [
            // Base, FROM, TO; the text and how many conflicts.
            ("a:1\n", "a:1\nb:2\n", "a:1\nc:3\n", "a:1\nc:3\nb:2\n", 0),
            ("a:1\nb:2\n", "a:1\n", "a:1\nb:2\n", "a:1\n", 0),
            ("a:1\nb:2\n", "a:1\nb:2\n", "b:2\n", "b:2\n", 0),
            ("a:1\n", "a:2\n", "a:1\n", "a:2\n", 0),
            ("a:1\n", "a:1\n", "a:3\n", "a:3\n", 0),
            ("a:1\n", "a:2\n", "a:3\n", "a:3\n", 1),
            ("a:1:x\n", "a:2:x\n", "a:1:y\n", "a:2:y\n", 0),
            ("a:1\n", "", "a:3\n", "a:3\n", 1),
            ("a:1\n", "a:2\n", "", "a:2\n", 1),
            ("a:1\n", "a:2\n", "a:2\n", "a:2\n", 0),
        ];
        for (base, from, to, text, conflicts) in cases {
            assert_eq!(
                merged("shadow", Some(base), from, to),
                (text.to_string(), conflicts),
                "{base:?} {from:?} {to:?}"
            );
        }
    }

    #[test]
    fn theirs_takes_conflicting_accounts_from_from() {
        for (base, from, to, text) in [
            ("a:1\n", "a:2\n", "a:3\n", "a:2\n"),
            ("a:1\n", "", "a:3\n", ""),
            ("a:1\n", "a:2\n", "", "a:2\n"),
        ] {
            let merged = merge("shadow", Some(base), from, to, true, |_| false);
            assert_eq!((merged.text.as_str(), merged.conflicts.len()), (text, 0));
        }
    }

    #[test]
    fn members_are_merged_one_by_one() {
        let base = "sudo:x:27:pi,ann\n";
        let (text, conflicts) = merged(
            "group",
            Some(base),
            "sudo:x:27:pi,bob\n",
            "sudo:x:27:pi,ann,eve\n",
        );
        assert_eq!((text.as_str(), conflicts), ("sudo:x:27:pi,eve,bob\n", 0));
        let (text, _) = merged("group", None, "sudo:x:27:pi,bob\n", "sudo:x:27:eve\n");
        assert_eq!(text, "sudo:x:27:eve,pi,bob\n");
        // Administrators, too, and only where the lines have the same fields.
        let (text, _) = merged("gshadow", Some("a:!:x:\n"), "a:!:x,y:\n", "a:!:x,z:\n");
        assert_eq!(text, "a:!:x,z,y:\n");
        assert_eq!(
            merged("group", Some("a:x:1:\n"), "a:x:1\n", "a:x:1:b\n").1,
            1
        );
    }

    #[test]
    fn without_a_base_people_are_as_in_from_and_services_as_in_to() {
        let (text, conflicts) = merged(
            "passwd",
            None,
            "pi:x:1000::/home/pi:/bin/zsh\nntp:x:104::/old:/bin/false\nown:x:105::/:/bin/false\n",
            "pi:x:1000::/home/pi:/bin/bash\nntp:x:104::/new:/bin/false\nnew:x:106::/:/bin/false\n",
        );
        assert_eq!(
            text,
            "pi:x:1000::/home/pi:/bin/zsh\nntp:x:104::/new:/bin/false\nnew:x:106::/:/bin/false\nown:x:105::/:/bin/false\n"
        );
        assert_eq!(conflicts, 0);
    }

    #[test]
    fn two_accounts_with_one_number_are_a_conflict() {
        let base = "root:x:0:0\n";
        let merged = merge(
            "passwd",
            Some(base),
            "root:x:0:0\na:x:998:1\n",
            "root:x:0:0\nb:x:998:1\n",
            false,
            |_| false,
        );
        assert_eq!(merged.conflicts, ["a and b: have the same number 998"]);
        let before = "a:x:7:1\nb:x:7:1\n";
        let theirs = format!("{before}c:x:8:1\n");
        let merged = merge("passwd", Some(before), &theirs, before, false, |_| false);
        assert!(merged.conflicts.is_empty(), "{merged:?}");
        let ranges = merge(
            "subuid",
            Some(""),
            "pi:1:2\npi:5:2\n",
            "pi:1:2\n",
            false,
            |_| false,
        );
        assert_eq!(ranges.text, "pi:1:2\npi:5:2\n");
    }

    fn file() -> impl Strategy<Value = String> {
        proptest::collection::vec((0..6_u8, 0..3_u8), 0..6).prop_map(|accounts| {
            let mut seen = HashSet::new();
            accounts
                .into_iter()
                .filter(|(name, _)| seen.insert(*name))
                .map(|(name, value)| format!("n{name}:{value}\n"))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn each_account_is_the_result_of_a_three_way_merge(base in file(), from in file(), to in file()) {
            let merged = merge("shadow", Some(&base), &from, &to, false, |_| false);
            for name in 0..6 {
                let value = |text: &str| -> Option<String> {
                    let key = format!("n{name}");
                    get(&lines(text, true), &key).map(str::to_string)
                };
                let (b, f, t, m) = (value(&base), value(&from), value(&to), value(&merged.text));
                let want = if f == b || f == t { t.clone() } else if t == b { f.clone() } else { t.clone().or(f.clone()) };
                prop_assert_eq!(m, want, "{}: {:?} {:?} {:?}", name, b, f, t);
            }
            // Merging the same again changes nothing.
            let again = merge("shadow", Some(&from), &from, &merged.text, false, |_| false);
            prop_assert_eq!(again.text, merged.text);
        }
    }
}
