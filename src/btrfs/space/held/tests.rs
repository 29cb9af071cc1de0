//! Combined contents, compared with a direct count.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::btrfs::space::{Mark, Notes};

/// ID of a deleted subvolume.
const GONE: u64 = 1 << 63;

fn extent(start: u64) -> Piece {
    Piece::Extent { start }
}

fn inline(writer: u64) -> Piece {
    Piece::Inline {
        inode: 300,
        transaction: 7,
        writer,
        length: 90,
    }
}

fn content(from: Option<usize>, changes: &[(Piece, i32)]) -> Content {
    let change = |(piece, by): &(Piece, i32)| Change {
        piece: *piece,
        length: match piece {
            Piece::Extent { start } => 1 << start,
            Piece::Inline { length, .. } => *length,
        },
        by: *by,
    };
    Content {
        from,
        changes: changes.iter().map(change).collect(),
        notes: Notes::default(),
    }
}

fn sums(contents: &[Content], owner: &[usize]) -> Vec<(u64, u64)> {
    let owners = owner.iter().max().map_or(0, |o| o + 1);
    let sums = Held::new(contents).unwrap().sums(owner, owners);
    sums.iter().map(|s| (s.unique, s.referenced)).collect()
}

#[test]
fn extents_held_by_two_are_not_exclusive() {
    let contents = [
        content(None, &[(extent(0), 1), (extent(1), 2)]),
        // The second lost one of two references to the one, all to the other, and has a new one.
        content(Some(0), &[(extent(0), -1), (extent(1), -1), (extent(2), 1)]),
    ];
    assert_eq!(sums(&contents, &[0, 1]), [(1, 3), (4, 6)]);
    assert_eq!(sums(&contents, &[0, 0]), [(7, 7)]);
}

#[test]
fn space_shared_by_unrelated_subvolumes_is_found() {
    let contents = [
        content(None, &[(extent(0), 1), (extent(3), 1)]),
        content(None, &[(extent(0), 1)]),
    ];
    assert_eq!(sums(&contents, &[0, 1]), [(8, 9), (0, 1)]);
}

#[test]
fn a_set_frees_extents_that_no_other_holds() {
    let contents = [
        content(None, &[(extent(0), 1), (extent(1), 1)]),
        content(Some(0), &[(extent(1), -1), (extent(2), 1)]),
        content(Some(1), &[(extent(3), 1)]),
    ];
    let held = Held::new(&contents).unwrap();
    let back = |set: &[usize]| held.within(|i| set.contains(&i));
    assert_eq!(back(&[0]), 2);
    assert_eq!(back(&[1]), 0);
    assert_eq!(back(&[2]), 8);
    assert_eq!(back(&[1, 2]), 12);
    assert_eq!(back(&[0, 1, 2]), 15);
    assert_eq!(back(&[]), 0);
}

#[test]
fn a_leaf_of_a_deleted_subvolume_is_one_leaf() {
    // The writer is known for one of the holders only.
    let contents = [
        content(None, &[(inline(GONE), 1)]),
        content(None, &[(inline(257), 1)]),
        content(None, &[(inline(258), 1)]),
    ];
    assert_eq!(sums(&contents, &[0, 1, 2]), [(0, 90), (0, 90), (90, 90)]);
    assert_eq!(sums(&contents[1..], &[0, 1]), [(90, 90), (90, 90)]);
    // Two deleted subvolumes have it from the same third.
    let contents = [
        content(None, &[(inline(GONE), 1)]),
        content(None, &[(inline(GONE + 1), 1)]),
    ];
    assert_eq!(sums(&contents, &[0, 1]), [(0, 90), (0, 90)]);
}

#[test]
fn leaves_of_concurrent_writes_are_two() {
    let marked = |writer: u64, transaction: u64, hash: u64| {
        let mut content = content(None, &[(inline(writer), 1)]);
        content.notes.marks.push(Mark {
            inode: 299,
            transaction,
            writer,
            hash,
        });
        content
    };
    // The leaf is of transaction 7; another differing inode tells of its own transaction and later ones.
    for (transaction, apart) in [(6, true), (7, true), (8, false)] {
        for other in [257, GONE + 1] {
            let contents = [marked(GONE, transaction, 1), marked(other, transaction, 2)];
            let unique = if apart { 90 } else { 0 };
            assert_eq!(sums(&contents, &[0, 1]), [(unique, 90), (unique, 90)]);
        }
    }
    let contents = [marked(GONE, 7, 1), marked(257, 7, 1)];
    assert_eq!(sums(&contents, &[0, 1]), [(0, 90), (0, 90)]);
}

#[test]
fn a_moved_leaf_is_still_the_same() {
    let mut contents = [
        content(None, &[(inline(257), 1)]),
        content(None, &[(inline(258), 1)]),
        content(None, &[(inline(GONE), 1)]),
    ];
    assert_eq!(sums(&contents[..2], &[0, 1]), [(90, 90), (90, 90)]);
    contents[0].notes.moved.insert(7, 1000);
    assert_eq!(sums(&contents, &[0, 1, 2]), [(0, 90), (0, 90), (0, 90)]);
    // One of them wrote in that transaction too: it may be its own leaf.
    contents[1].notes.wrote.insert((258, 7));
    assert_eq!(sums(&contents, &[0, 1, 2]), [(0, 90), (90, 90), (0, 90)]);
}

#[test]
fn inconsistent_contents_are_an_error() {
    let contents = [
        content(None, &[(extent(0), 1)]),
        content(Some(0), &[(extent(0), -2)]),
    ];
    assert!(Held::new(&contents).is_err());
}

/// Trees as references, each with the index of the one it is the difference from.
fn trees() -> impl Strategy<Value = Vec<(usize, Vec<u64>)>> {
    let references = prop::collection::vec(0..6_u64, 0..8);
    prop::collection::vec((0..20_usize, references), 1..12)
}

fn as_contents(trees: &[(usize, Vec<u64>)]) -> Vec<Content> {
    let each = trees.iter().enumerate();
    each.map(|(i, (choice, references))| {
        // Any earlier one, or none.
        let from = (choice % (i + 1)).checked_sub(1);
        let mut by: HashMap<u64, i32> = HashMap::new();
        for start in references {
            *by.entry(*start).or_default() += 1;
        }
        for start in from.into_iter().flat_map(|from| &trees[from].1) {
            *by.entry(*start).or_default() -= 1;
        }
        let changes: Vec<_> = by.into_iter().filter(|(_, by)| *by != 0).collect();
        content(
            from,
            &changes
                .iter()
                .map(|(start, by)| (extent(*start), *by))
                .collect::<Vec<_>>(),
        )
    })
    .collect()
}

proptest! {
    #[test]
    fn differences_give_the_same_as_full_contents(trees in trees(), owner in prop::collection::vec(0..5_usize, 12)) {
        let owner = &owner[..trees.len()];
        let held = Held::new(&as_contents(&trees)).unwrap();
        let of = |who: usize| -> HashSet<u64> {
            let own = trees.iter().zip(owner).filter(|(_, o)| **o == who);
            own.flat_map(|((_, references), _)| references.iter().copied()).collect()
        };
        let bytes = |pieces: &HashSet<u64>| pieces.iter().map(|p| 1_u64 << p).sum::<u64>();
        for (who, sum) in held.sums(owner, 5).iter().enumerate() {
            let others: HashSet<u64> = (0..5).filter(|o| *o != who).flat_map(of).collect();
            let alone: HashSet<u64> = of(who).difference(&others).copied().collect();
            prop_assert_eq!(sum.referenced, bytes(&of(who)));
            prop_assert_eq!(sum.unique, bytes(&alone));
        }
        let pair: HashSet<u64> = of(0).union(&of(1)).copied().collect();
        let rest: HashSet<u64> = (2..5).flat_map(of).collect();
        let back: HashSet<u64> = pair.difference(&rest).copied().collect();
        prop_assert_eq!(held.within(|i| owner[i] < 2), bytes(&back));
    }
}
