//! Which subvolume descends from which, and until when two of them were one.
//!
//! A snapshot shares the leaves of what it was made of, and a leaf that is written anew is written for one of them
//! alone: so what both have had since before they parted is the same leaf. A parent that is gone is still what its
//! snapshots have in common.

use std::collections::HashMap;

use super::Subvolume;
use crate::btrfs::subvolume::Uuid;

/// The subvolume that another is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relative {
    /// Its place in the list.
    pub index: usize,
    /// Leaves older than this transaction that both have are the same; in it they parted.
    pub common: u64,
}

/// Returns whom to compare each with: its parent, else the snapshot of the same parent made before it.
///
/// Nobody stands above himself: a relative is always older, or of the same age with a lower number.
pub(super) fn relatives(subvolumes: &[Subvolume]) -> Vec<Option<Relative>> {
    let places = places(subvolumes);
    let mut orphans: HashMap<Uuid, Vec<usize>> = HashMap::new();
    let mut relatives = vec![None; subvolumes.len()];
    for (index, one) in subvolumes.iter().enumerate() {
        let Some(uuid) = one.parent.filter(|_| shares(one)) else {
            continue;
        };
        match parent(subvolumes, &places, index) {
            Some(parent) if shares(&subvolumes[parent]) => {
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

/// Returns for each whose leaves it has.
pub(super) fn ages(subvolumes: &[Subvolume]) -> Vec<Ages> {
    let places = places(subvolumes);
    let all = 0..subvolumes.len();
    all.map(|index| Ages::new(subvolumes, &places, index))
        .collect()
}

/// Returns the last transaction that somebody who is gone may have written a leaf in that there is still.
pub(super) fn doubtful(subvolumes: &[Subvolume]) -> u64 {
    let places = places(subvolumes);
    let orphan = |i: &usize| {
        let one = &subvolumes[*i];
        one.parent.is_some() && shares(one) && parent(subvolumes, &places, *i).is_none()
    };
    let orphans = (0..subvolumes.len()).filter(orphan);
    orphans.map(|i| subvolumes[i].made).max().unwrap_or(0)
}

/// Returns what stands for a subvolume that is gone, and whatever it was made of: no number of any.
fn gone(uuid: Uuid) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = uuid.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) | 1 << 63
}

/// Whose leaves a tree has, by when they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ages {
    /// Since when and by whom, latest first; the last one wrote everything before, too.
    spans: Vec<(u64, u64)>,
}

impl Ages {
    fn new(subvolumes: &[Subvolume], places: &HashMap<Uuid, usize>, index: usize) -> Self {
        let one = &subvolumes[index];
        let mut spans = vec![(one.made, one.id)];
        // The node at the top of a tree is nobody else's, and in this one it is the only leaf, too.
        if !shares(one) {
            return Self { spans };
        }
        let mut at = index;
        while let Some(uuid) = subvolumes[at].parent {
            match parent(subvolumes, places, at) {
                Some(above) => {
                    spans.push((subvolumes[above].made, subvolumes[above].id));
                    at = above;
                }
                None => {
                    spans.push((0, gone(uuid)));
                    break;
                }
            }
        }
        Self { spans }
    }

    /// Returns the number of the subvolume that a leaf of a transaction was written for, or what stands for it.
    pub(super) fn writer(&self, transaction: u64) -> u64 {
        let later = self.spans.partition_point(|(made, _)| *made >= transaction);
        let writer = self.spans.get(later).or(self.spans.last());
        writer.map_or(0, |(_, id)| *id)
    }
}

/// Returns whether its leaves can be another's, too.
fn shares(one: &Subvolume) -> bool {
    one.level > 0
}

fn age(one: &Subvolume) -> (u64, u64) {
    (one.made, one.id)
}

fn places(subvolumes: &[Subvolume]) -> HashMap<Uuid, usize> {
    let named = subvolumes.iter().enumerate();
    named.map(|(i, one)| (one.uuid, i)).collect()
}

fn parent(subvolumes: &[Subvolume], places: &HashMap<Uuid, usize>, index: usize) -> Option<usize> {
    let one = &subvolumes[index];
    let place = *places.get(&one.parent?)?;
    // Only a tree that is damaged says anything else, and would be climbed for ever.
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
            id: 256 + u64::from(number),
            uuid: uuid(number),
            parent: (parent > 0).then(|| uuid(parent)),
            made,
            changed: made,
            level: 1,
            size: 1 << 20,
            stands_in: None,
        }
    }

    fn found(subvolumes: &[Subvolume]) -> Vec<Option<(usize, u64)>> {
        let relatives = relatives(subvolumes).into_iter();
        relatives.map(|r| r.map(|r| (r.index, r.common))).collect()
    }

    #[test]
    fn a_snapshot_is_compared_with_its_parent_since_it_was_made() {
        let all = [one(1, 0, 10), one(2, 1, 20), one(3, 2, 30)];
        assert_eq!(found(&all), [None, Some((0, 20)), Some((1, 30))]);
    }

    #[test]
    fn snapshots_of_one_that_is_gone_are_compared_with_each_other() {
        // In another order than they were made in.
        let all = [one(4, 9, 40), one(2, 9, 20), one(3, 9, 30)];
        assert_eq!(found(&all), [Some((2, 30)), None, Some((1, 20))]);
    }

    #[test]
    fn one_leaf_is_never_shared() {
        let mut all = [one(1, 0, 10), one(2, 1, 20), one(3, 1, 30)];
        all[1].level = 0;
        assert_eq!(found(&all), [None, None, Some((0, 30))]);
        all[0].level = 0;
        assert_eq!(found(&all), [None, None, None]);
    }

    #[test]
    fn a_circle_is_not_followed() {
        let all = [one(1, 2, 10), one(2, 1, 20), one(3, 3, 30)];
        assert_eq!(found(&all)[..2], [None, Some((0, 20))]);
        assert_eq!(found(&all)[2], None);
        assert_eq!(ages(&all)[2].spans, [(30, 259), (0, gone(uuid(3)))]);
    }

    #[test]
    fn a_leaf_is_whose_tree_it_was_written_for() {
        let all = [one(1, 0, 10), one(2, 1, 20), one(3, 2, 30), one(4, 9, 40)];
        let ages = ages(&all);
        let writers = |i: usize| [5, 10, 11, 20, 21, 30, 31, 41].map(|t| ages[i].writer(t));
        assert_eq!(writers(0), [257; 8]);
        assert_eq!(writers(1), [257, 257, 257, 257, 258, 258, 258, 258]);
        assert_eq!(writers(2), [257, 257, 257, 257, 258, 258, 259, 259]);
        let gone = gone(uuid(9));
        assert!(crate::btrfs::space::is_gone(gone));
        assert_eq!(writers(3)[..7], [gone; 7]);
        assert_eq!(writers(3)[7], 260);
        assert_eq!((doubtful(&all), doubtful(&all[..3])), (40, 0));
    }
}
