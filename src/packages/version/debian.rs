//! Debian's order of versions (Debian Policy, section 5.6.12; deb-version(7)).

use std::cmp::Ordering;

use super::{compare_numbers, split};

/// Compares two versions, `[epoch:]upstream[-revision]`; a missing epoch or revision is 0.
///
/// Invalid versions are compared by the same rules.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::parse(a), Parts::parse(b));
    compare_numbers(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch,
            upstream,
            revision,
        }
    }
}

/// Compares the longest parts without and with digits alternately, from the left.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = split(rest_b, |c| c.is_ascii_digit());
        let order = compare_text(text_a, text_b).then_with(|| compare_numbers(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// A tilde sorts before everything, even the end; letters before other characters.
fn compare_text(a: &str, b: &str) -> Ordering {
    let rank = |c: Option<char>| match c {
        Some('~') => (0, 0),
        None => (1, 0),
        Some(c) if c.is_ascii_alphabetic() => (2, u32::from(c)),
        Some(c) => (3, u32::from(c)),
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (left, right) = (a.next(), b.next());
        let order = rank(left).cmp(&rank(right));
        if order.is_ne() || left.is_none() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_by_debian_policy() {
        // The first row is Policy's own example.
        super::super::assert_ascending(
            compare,
            &[
                &["~~", "~~a", "~", "", "a"][..],
                &["1.0~beta1~svn1245", "1.0~beta1", "1.0"],
                &["1.0~rc1-1", "1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1.1"],
                &["2.7.4", "2.15", "2.15a", "2.15b", "2.15+x", "2.15.1"],
                &["1-1", "1-2", "1-10", "1.1-1"],
                &["9.9", "1:0.1", "2:0"],
                &["1.a", "1.b", "1.+"],
                &["0.9", "1", "1a", "1ab", "1b"],
                &["6.1.0-9", "6.1.0-28", "6.12.47+rpt-1"],
                &["1.2.3-4", "1.2.3-4ubuntu1", "1.2.3-4ubuntu1.1", "1.2.3-5"],
                &["99999999999999999999998", "99999999999999999999999"],
                &["1.0-1-1", "1.0-1-2"],
                &["20230311", "20230311+deb12u1"],
            ],
        );
    }

    #[test]
    fn one_version_may_be_written_in_several_ways() {
        for (a, b) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.0", "1.00"),
            ("1.0-1", "1.0-01"),
            ("0:1.0", "00:1.0"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a:?} and {b:?}");
        }
    }
}
