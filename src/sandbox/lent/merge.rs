//! Takes the lent text out of a file that a program changed. Text in, text out.

/// Returns a text with the lent text replaced by that of the environment's own file; `None` if it has no lent text.
///
/// A program may add a line to `resolv.conf`, or rewrite it with the lines that it found; the addresses of the sandbox's
/// name servers work nowhere else.
pub(super) fn merged(new: &str, lent: &str, own: Option<&str>) -> Option<String> {
    let own = own.unwrap_or_default();
    if let Some(at) = place_of(lent, new) {
        let (before, after) = (&new[..at], &new[at + lent.len()..]);
        let gap = match own.is_empty() || own.ends_with('\n') || after.is_empty() {
            true => "",
            false => "\n",
        };
        return Some(format!("{before}{own}{gap}{after}"));
    }
    let is_lent = |line: &str| {
        line.starts_with("nameserver")
            && lent.lines().any(|l| l == line)
            && !own.lines().any(|l| l == line)
    };
    if !new.lines().any(is_lent) {
        return None;
    }
    let lines = new.split_inclusive('\n');
    Some(
        lines
            .filter(|line| !is_lent(line.trim_end_matches('\n')))
            .collect(),
    )
}

/// Returns the position of the lent text in a text, as whole lines; an empty one is found only at the beginning.
pub(super) fn place_of(lent: &str, text: &str) -> Option<usize> {
    match text.starts_with(lent) {
        true => Some(0),
        false if lent.trim().is_empty() => None,
        false => text.find(&format!("\n{lent}")).map(|at| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn lent_lines_are_removed() {
        let lent = "nameserver 10.0.2.3\noptions edns0\n";
        for (new, own, want) in [
            // Added to, before and behind.
            (
                "nameserver 10.0.2.3\noptions edns0\nsearch x\n",
                Some("nameserver 192.0.2.1\n"),
                Some("nameserver 192.0.2.1\nsearch x\n"),
            ),
            (
                "# head\nnameserver 10.0.2.3\noptions edns0\n",
                Some("nameserver 192.0.2.1\n"),
                Some("# head\nnameserver 192.0.2.1\n"),
            ),
            (
                "nameserver 10.0.2.3\noptions edns0\nsearch x\n",
                Some("nameserver 192.0.2.1"),
                Some("nameserver 192.0.2.1\nsearch x\n"),
            ),
            (
                "nameserver 10.0.2.3\noptions edns0\nsearch x\n",
                None,
                Some("search x\n"),
            ),
            // Written anew with a line of it.
            (
                "# made anew\nnameserver 10.0.2.3\nsearch x\n",
                Some("a\n"),
                Some("# made anew\nsearch x\n"),
            ),
            // Nothing of it.
            ("nameserver 192.0.2.77\n", Some("a\n"), None),
            ("", Some("a\n"), None),
        ] {
            assert_eq!(merged(new, lent, own).as_deref(), want, "{new}");
        }
    }

    #[test]
    fn lines_added_to_an_empty_lent_file_are_kept() {
        assert_eq!(
            merged("\nb.so\n", "\n", Some("a.so\n")).as_deref(),
            Some("a.so\nb.so\n")
        );
        assert_eq!(merged("b.so\n", "\n", Some("a.so\n")), None);
    }
}
