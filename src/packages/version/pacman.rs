//! pacman's order of versions (vercmp(8)).

use std::cmp::Ordering;

use super::{Parts, compare_numbers, compare_segment, split};

/// Compares two versions, `[epoch:]version[-release]`; a missing epoch is 0, releases are compared only if both have
/// one.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::parse(a), Parts::parse(b));
    compare_numbers(a.epoch, b.epoch)
        .then_with(|| compare_part(a.version, b.version))
        .then_with(|| match (a.release, b.release) {
            (Some(a), Some(b)) => compare_part(a, b),
            _ => Ordering::Equal,
        })
}

/// Compares segment by segment; of separators only the length counts.
fn compare_part<'a>(mut a: &'a str, mut b: &'a str) -> Ordering {
    let separates = |c: char| !c.is_ascii_alphanumeric();
    while !a.is_empty() && !b.is_empty() {
        let ((gap_a, rest_a), (gap_b, rest_b)) = (split(a, separates), split(b, separates));
        (a, b) = (rest_a, rest_b);
        if a.is_empty() || b.is_empty() {
            break;
        }
        if gap_a.len() != gap_b.len() {
            return gap_a.len().cmp(&gap_b.len());
        }
        let order;
        (order, a, b) = compare_segment(a, b);
        if order.is_ne() {
            return order;
        }
    }
    // The longer one is newer, unless it continues with letters: `1.0rc` comes before `1.0`.
    let letters = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if letters(b) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, _) if letters(a) => Ordering::Less,
        (false, _) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_ascending, assert_equal};
    use super::*;

    /// The first two are from vercmp(8), most others from pacman's own tests.
    #[test]
    fn versions_are_ordered_as_pacman_orders_them() {
        assert_ascending(
            compare,
            &[
                &[
                    "1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0", "1.0.a", "1.0.1",
                ],
                &["1", "1.0", "1.1", "1.1.1", "1.2", "2.0", "3.0.0"],
                &["1.5.0", "1.5.1"],
                &["1.5", "1.5.1"],
                &["1.5.0-1", "1.5.0-2"],
                &["1.0-1", "1.1"],
                &["1.5b-1", "1.5-1", "1.5.1-1"],
                &["1.5b", "1.5"],
                &["1.0a", "1.0alpha", "1.0b", "1.0beta", "1.0rc", "1.0"],
                &["1.5", "1.5.a", "1.5.b", "1.5.1"],
                &["2.0a", "2.0.a"],
                &["2_a", "2___a"],
                &["1.0", "1:1.0", "1:1.1", "2:0.1"],
                &["6.5.9.arch2-1", "6.5.10.arch1-1", "6.6.1.arch1-1"],
                &["20231113-1", "20231222-1"],
            ],
        );
    }

    #[test]
    fn one_version_may_be_written_in_several_ways() {
        assert_equal(
            compare,
            &[
                ("1.5-1", "1.5"),
                ("1.5.b-1", "1.5.b"),
                ("2.0", "2_0"),
                ("2.0_a", "2_0.a"),
                ("1.0", "0:1.0"),
                ("1.01", "1.1"),
            ],
        );
    }
}
