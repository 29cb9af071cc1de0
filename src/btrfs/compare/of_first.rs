//! Decides which differences the first of two trees made, and which the second made too.
//!
//! By transactions, and by time where transactions are not conclusive. Not for finding differences.

use std::io;
use std::path::Path;

use super::comparison::Comparison;
use super::{Age, Aspect, OfFirst, Point, Side};

impl Comparison<'_> {
    /// Returns whether the first tree made a difference, and removes from its aspects content that the first did not write;
    /// records whether the second changed it too.
    pub(super) fn is_of_first(
        &mut self,
        path: &Path,
        aspects: &mut Vec<Aspect>,
        of_first: OfFirst,
    ) -> io::Result<bool> {
        let OfFirst { after, parted, .. } = of_first;
        let [first, second] = &mut self.sides;
        let in_first = first.age(path, after)?;
        let in_second = match parted {
            Some(parted) => Some(second.age(path, parted)?),
            None => None,
        };
        let is_of_first = match in_first {
            Age::New => true,
            Age::Older => false,
            Age::Absent => {
                matches!(in_second, Some(Age::Older | Age::Changed))
                    && match of_first.second_alone {
                        // A name that was given between the two transactions.
                        Some((from, until)) => {
                            !is_new(second.as_mut(), path, from)?
                                || is_new(second.as_mut(), path, until)?
                        }
                        None => true,
                    }
            }
            Age::Changed => {
                // A file that exists only in the first has no aspects.
                let alone = aspects.is_empty();
                if aspects.contains(&Aspect::Content)
                    && !first.has_new_data(path, after.transaction)?
                {
                    aspects.retain(|aspect| *aspect != Aspect::Content);
                }
                alone || !aspects.is_empty()
            }
        };
        let is_of_second = match (in_second, parted) {
            (Some(Age::New), _) => true,
            // A name that is new in the first cannot have been removed in the second.
            (Some(Age::Absent), _) => in_first == Age::Changed,
            (Some(Age::Changed), Some(parted)) => {
                *aspects != [Aspect::Content] || second.has_new_data(path, parted.transaction)?
            }
            _ => false,
        };
        if is_of_first && is_of_second {
            self.of_both.insert(path.to_path_buf());
        }
        Ok(is_of_first)
    }
}

/// Returns whether a path got its name after a transaction.
fn is_new(side: &mut dyn Side, path: &Path, after: u64) -> io::Result<bool> {
    let after = Point {
        transaction: after,
        at: None,
    };
    Ok(side.age(path, after)? == Age::New)
}
