use super::*;

fn copy(block: u64) -> Copy {
    Copy {
        block,
        escaped: false,
    }
}

#[test]
fn the_newest_copy_counts_and_what_was_revoked_does_not() {
    let transactions = vec![
        Transaction {
            sequence: u32::MAX,
            copies: vec![(1, copy(101)), (2, copy(102)), (3, copy(103))],
            revoked: vec![],
        },
        // Numbers go on from the beginning.
        Transaction {
            sequence: 0,
            copies: vec![(1, copy(111))],
            revoked: vec![2, 3],
        },
        Transaction {
            sequence: 1,
            copies: vec![(3, copy(123))],
            revoked: vec![],
        },
    ];
    let copies = in_order(transactions);
    let found: Vec<_> = copies
        .iter()
        .map(|(block, copy)| (*block, copy.block))
        .collect();
    assert_eq!(found, [(1, 111), (3, 123)]);
}
