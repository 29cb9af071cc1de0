//! The orders of versions, as defined by each package manager.
//!
//! Every text has a position, valid or not.

mod apk;
mod debian;
mod pacman;
mod rpm;

use std::cmp::Ordering;

/// An order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// dpkg's.
    Debian,
    /// rpm's.
    Rpm,
    /// pacman's.
    Pacman,
    /// apk's.
    Apk,
}

impl Order {
    /// Compares two versions; equal ones may be spelled differently.
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Debian => debian::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Pacman => pacman::compare(a, b),
            Self::Apk => apk::compare(a, b),
        }
    }
}

/// `[epoch:]version[-release]`, as in rpm and pacman.
struct Parts<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            // Text before a colon that is not a number belongs to the version.
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
            _ => ("", text),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self {
            epoch,
            version,
            release,
        }
    }
}

/// Compares the letters or digits at the start of two texts, and returns the rest.
///
/// A number is newer than letters.
fn compare_segment<'a>(a: &'a str, b: &'a str) -> (Ordering, &'a str, &'a str) {
    let number = a.starts_with(|c: char| c.is_ascii_digit());
    let belongs = |c: char| match number {
        true => c.is_ascii_digit(),
        false => c.is_ascii_alphabetic(),
    };
    let ((part_a, rest_a), (part_b, rest_b)) = (split(a, belongs), split(b, belongs));
    let order = match (part_b.is_empty(), number) {
        (true, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) => compare_numbers(part_a, part_b),
        (false, false) => part_a.cmp(part_b),
    };
    (order, rest_a, rest_b)
}

/// Compares numbers of any length; an empty one is zero.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Checks rows of ascending versions.
#[cfg(test)]
fn assert_ascending(compare: fn(&str, &str) -> Ordering, rows: &[&[&str]]) {
    for row in rows {
        for (i, a) in row.iter().enumerate() {
            for (j, b) in row.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }
}

/// Checks pairs of spellings of one version.
#[cfg(test)]
fn assert_equal(compare: fn(&str, &str) -> Ordering, pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert_eq!(compare(a, b), Ordering::Equal, "{a:?} and {b:?}");
        assert_eq!(compare(b, a), Ordering::Equal, "{b:?} and {a:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Order; 4] = [Order::Debian, Order::Rpm, Order::Pacman, Order::Apk];

    /// Characters of versions, and some others.
    const TEXT: &str = "[0-9a-c.:_~^+\\-rp é]{0,12}";

    proptest! {
        #[test]
        fn every_text_has_a_position(a in TEXT, b in TEXT) {
            for order in ALL {
                prop_assert_eq!(order.compare(&a, &a), Ordering::Equal);
                prop_assert_eq!(order.compare(&a, &b), order.compare(&b, &a).reverse(), "{:?}", order);
            }
        }

        #[test]
        fn numbers_count_in_every_order(a: u64, b: u64, tail in "(\\.[1-9][0-9]?){0,2}") {
            for order in ALL {
                prop_assert_eq!(order.compare(&format!("{a}{tail}"), &format!("{b}{tail}")), a.cmp(&b));
                prop_assert_eq!(order.compare(&format!("1.{a}"), &format!("1.{b}")), a.cmp(&b));
            }
        }
    }
}
