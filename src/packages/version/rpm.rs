//! rpm's order of versions (rpm-version(7)).

use std::cmp::Ordering;

use super::{Parts, compare_numbers, compare_segment};

/// Compares two versions, `[epoch:]version[-release]`; a missing epoch is 0.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::parse(a), Parts::parse(b));
    compare_numbers(a.epoch, b.epoch)
        .then_with(|| compare_part(a.version, b.version))
        .then_with(|| compare_part(a.release.unwrap_or_default(), b.release.unwrap_or_default()))
}

/// Compares segment by segment; separators do not count.
///
/// A tilde sorts before everything, even the end (`1.0~rc1`), a caret after the end and before everything else
/// (`1.0^git1`).
fn compare_part<'a>(mut a: &'a str, mut b: &'a str) -> Ordering {
    let separates = |c: char| !(c.is_ascii_alphanumeric() || c == '~' || c == '^');
    loop {
        (a, b) = (
            a.trim_start_matches(separates),
            b.trim_start_matches(separates),
        );
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) if b.is_empty() => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) if a.is_empty() => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let order;
        (order, a, b) = compare_segment(a, b);
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_ascending, assert_equal};
    use super::*;

    /// Mostly from rpm's own tests.
    #[test]
    fn versions_are_ordered_as_rpm_orders_them() {
        assert_ascending(
            compare,
            &[
                &["1.0", "2.0", "2.0.1", "2.0.1a"],
                &["5.5p1", "5.5p2", "5.5p10", "5.6p1", "6.5p1"],
                &["10xyz", "10.1xyz"],
                &["xyz10", "xyz10.1"],
                &["xyz.4", "2", "8"],
                &["6.0", "6.0.rc1"],
                &["10a2", "10b2"],
                &["1.0", "1.0a", "1.0aa"],
                &["10.0001", "10.0039"],
                &["4.999.9", "5.0"],
                &["20101121", "20101122"],
                &["1.0~rc1~git123", "1.0~rc1", "1.0~rc2", "1.0"],
                &["1.0", "1.0^", "1.0^git1", "1.0^git2", "1.01"],
                &["1.0^20160101", "1.0.1"],
                &["1.0^20160101^git1", "1.0^20160102"],
                &["1.0~rc1", "1.0~rc1^git1", "1.0"],
                &["1.0^git1~pre", "1.0^git1"],
                // With epoch and release.
                &["9.9-1", "1:0.1-1", "2:0-0"],
                &["6.5.6-300.fc39", "6.5.12-200.fc38", "6.5.12-300.fc39"],
                &["3.0.7-27.el9", "3.0.7-27.el9_2", "3.0.7-28.el9"],
                &["2.38-9.1", "2.38-10.1"],
                &["99999999999999999999998", "99999999999999999999999"],
            ],
        );
    }

    #[test]
    fn one_version_may_be_written_in_several_ways() {
        assert_equal(
            compare,
            &[
                ("10.0001", "10.1"),
                ("2_0", "2.0"),
                ("a+", "a_"),
                ("+a", "_a"),
                ("+", "_"),
                ("1.1.α", "1.1.β"),
                ("1.0-1", "0:1.0-1"),
            ],
        );
    }
}
