//! The ancestry of subvolumes, and the transaction at which two of them separated.
//!
//! A snapshot shares the leaves of its parent. A leaf that is written later belongs to one of them alone, so a
//! leaf from before the snapshot is the same in both. Snapshots of a deleted parent still share its leaves.

use std::collections::HashMap;

use super::Subvolume;
use crate::btrfs::subvolume::Uuid;

/// The subvolume with which another is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relative {
    /// Its index.
    pub index: usize,
    /// The transaction in which they separated: older leaves are shared.
    pub common: u64,
}

/// Returns the relative of each subvolume: its parent, or else the previous snapshot of the same parent.
///
/// There are no loops: a relative is older, or of the same transaction with a lower ID.
pub(super) fn relatives(subvolumes: &[Subvolume]) -> Vec<Option<Relative>> {
    let indexes = indexes(subvolumes);
    let mut orphans: HashMap<Uuid, Vec<usize>> = HashMap::new();
    let mut relatives = vec![None; subvolumes.len()];
    for (index, one) in subvolumes.iter().enumerate() {
        let Some(uuid) = one.parent.filter(|_| can_share(one)) else {
            continue;
        };
        match parent(subvolumes, &indexes, index) {
            Some(parent) if can_share(&subvolumes[parent]) => {
                relatives[index] = Some(Relative {
                    index: parent,
                    common: one.made,
                });
            }
            Some(_) => {}
            None => orphans.entry(uuid).or_default().push(index),
        }
    }
    for mut siblings in orphans.into_values() {
        siblings.sort_by_key(|i| age(&subvolumes[*i]));
        for pair in siblings.windows(2) {
            relatives[pair[1]] = Some(Relative {
                index: pair[0],
                common: subvolumes[pair[0]].made,
            });
        }
    }
    relatives
}

/// Returns for each subvolume the writers of its leaves.
pub(super) fn ages(subvolumes: &[Subvolume]) -> Vec<Ages> {
    let indexes = indexes(subvolumes);
    let all = 0..subvolumes.len();
    all.map(|index| Ages::new(subvolumes, &indexes, index))
        .collect()
}

/// Returns the last transaction in which a deleted subvolume may have written a leaf that still exists.
pub(super) fn doubtful(subvolumes: &[Subvolume]) -> u64 {
    let indexes = indexes(subvolumes);
    let orphan = |i: &usize| {
        let one = &subvolumes[*i];
        one.parent.is_some() && can_share(one) && parent(subvolumes, &indexes, *i).is_none()
    };
    let orphans = (0..subvolumes.len()).filter(orphan);
    orphans.map(|i| subvolumes[i].made).max().unwrap_or(0)
}

/// Returns an ID for a deleted subvolume and its ancestors, different from all subvolume IDs.
fn deleted_id(uuid: Uuid) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = uuid.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) | 1 << 63
}

/// The writers of a tree's leaves by transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ages {
    /// Start transaction and writer, latest first; the last writer also wrote everything before.
    spans: Vec<(u64, u64)>,
}

impl Ages {
    fn new(subvolumes: &[Subvolume], indexes: &HashMap<Uuid, usize>, index: usize) -> Self {
        let one = &subvolumes[index];
        let mut spans = vec![(one.made, one.id)];
        // A tree's root node is never shared, and here it is the only leaf.
        if !can_share(one) {
            return Self { spans };
        }
        let mut at = index;
        while let Some(uuid) = subvolumes[at].parent {
            match parent(subvolumes, indexes, at) {
                Some(parent_index) => {
                    spans.push((subvolumes[parent_index].made, subvolumes[parent_index].id));
                    at = parent_index;
                }
                None => {
                    spans.push((0, deleted_id(uuid)));
                    break;
                }
            }
        }
        Self { spans }
    }

    /// Returns the ID of the subvolume for which a leaf of this transaction was written, or [`deleted_id`].
    pub(super) fn writer(&self, transaction: u64) -> u64 {
        let later = self.spans.partition_point(|(made, _)| *made >= transaction);
        let writer = self.spans.get(later).or(self.spans.last());
        writer.map_or(0, |(_, id)| *id)
    }
}

/// Returns whether the subvolume can share leaves.
fn can_share(one: &Subvolume) -> bool {
    one.level > 0
}

fn age(one: &Subvolume) -> (u64, u64) {
    (one.made, one.id)
}

fn indexes(subvolumes: &[Subvolume]) -> HashMap<Uuid, usize> {
    let named = subvolumes.iter().enumerate();
    named.map(|(i, one)| (one.uuid, i)).collect()
}

fn parent(subvolumes: &[Subvolume], indexes: &HashMap<Uuid, usize>, index: usize) -> Option<usize> {
    let one = &subvolumes[index];
    let place = *indexes.get(&one.parent?)?;
    // Anything else is a damaged tree, and could be a loop.
    (age(&subvolumes[place]) < age(one)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(number: u8) -> Uuid {
        Uuid([number; 16])
    }

    fn one(number: u8, parent: u8, made: u64) -> Subvolume {
        Subvolume {
            created: jiff::Timestamp::UNIX_EPOCH,
            id: 256 + u64::from(number),
            uuid: uuid(number),
            parent: (parent > 0).then(|| uuid(parent)),
            made,
            changed: made,
            level: 1,
            size: 1 << 20,
            location: None,
        }
    }

    fn found(subvolumes: &[Subvolume]) -> Vec<Option<(usize, u64)>> {
        let relatives = relatives(subvolumes).into_iter();
        relatives.map(|r| r.map(|r| (r.index, r.common))).collect()
    }

    #[test]
    fn a_snapshot_is_compared_with_its_parent() {
        let all = [one(1, 0, 10), one(2, 1, 20), one(3, 2, 30)];
        assert_eq!(found(&all), [None, Some((0, 20)), Some((1, 30))]);
    }

    #[test]
    fn snapshots_of_a_deleted_parent_are_compared_with_each_other() {
        // In another order than that of their creation.
        let all = [one(4, 9, 40), one(2, 9, 20), one(3, 9, 30)];
        assert_eq!(found(&all), [Some((2, 30)), None, Some((1, 20))]);
    }

    #[test]
    fn a_single_leaf_is_never_shared() {
        let mut all = [one(1, 0, 10), one(2, 1, 20), one(3, 1, 30)];
        all[1].level = 0;
        assert_eq!(found(&all), [None, None, Some((0, 30))]);
        all[0].level = 0;
        assert_eq!(found(&all), [None, None, None]);
    }

    #[test]
    fn a_loop_is_not_followed() {
        let all = [one(1, 2, 10), one(2, 1, 20), one(3, 3, 30)];
        assert_eq!(found(&all)[..2], [None, Some((0, 20))]);
        assert_eq!(found(&all)[2], None);
        assert_eq!(ages(&all)[2].spans, [(30, 259), (0, deleted_id(uuid(3)))]);
    }

    #[test]
    fn a_leaf_is_of_the_tree_that_it_was_written_for() {
        let all = [one(1, 0, 10), one(2, 1, 20), one(3, 2, 30), one(4, 9, 40)];
        let ages = ages(&all);
        let writers = |i: usize| [5, 10, 11, 20, 21, 30, 31, 41].map(|t| ages[i].writer(t));
        assert_eq!(writers(0), [257; 8]);
        assert_eq!(writers(1), [257, 257, 257, 257, 258, 258, 258, 258]);
        assert_eq!(writers(2), [257, 257, 257, 257, 258, 258, 259, 259]);
        let deleted_id = deleted_id(uuid(9));
        assert!(crate::btrfs::space::is_deleted(deleted_id));
        assert_eq!(writers(3)[..7], [deleted_id; 7]);
        assert_eq!(writers(3)[7], 260);
        assert_eq!((doubtful(&all), doubtful(&all[..3])), (40, 0));
    }
}
