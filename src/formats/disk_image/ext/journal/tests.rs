use super::*;

fn copy(block: u64) -> Copy {
    Copy {
        block,
        escaped: false,
    }
}

#[test]
fn the_newest_copy_counts_unless_revoked() {
    let transactions = vec![
        Transaction {
            sequence: u32::MAX,
            copies: vec![(1, copy(101)), (2, copy(102)), (3, copy(103))],
            revocations: vec![],
        },
        // Sequence numbers wrap around.
        Transaction {
            sequence: 0,
            copies: vec![(1, copy(111))],
            revocations: vec![2, 3],
        },
        Transaction {
            sequence: 1,
            copies: vec![(3, copy(123))],
            revocations: vec![],
        },
    ];
    let copies = newest_copies(transactions);
    let found: Vec<_> = copies
        .iter()
        .map(|(block, copy)| (*block, copy.block))
        .collect();
    assert_eq!(found, [(1, 111), (3, 123)]);
}
