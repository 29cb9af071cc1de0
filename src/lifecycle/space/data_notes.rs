//! The space of the nodes' data, for the notes of `list --space`.
//!
//! Promises one line however many nodes there are. Not for measuring.

use crate::btrfs::space::Sum;
use crate::terminal::bytes;

/// Of how many nodes the data is told for each.
const FEW: usize = 3;

/// Returns notes on what the data of nodes takes: of each of a few nodes, and of many in all, with the largest.
pub(super) fn notes(mut nodes: Vec<(&str, Sum)>) -> Vec<String> {
    if nodes.len() <= FEW {
        let each = |(node, sum): &(&str, Sum)| {
            format!(
                "the data of {node}: {} unique, {} referenced",
                bytes(sum.unique),
                bytes(sum.referenced)
            )
        };
        return nodes.iter().map(each).collect();
    }
    let unique: u64 = nodes.iter().map(|(_, sum)| sum.unique).sum();
    nodes.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.unique));
    let largest = nodes.iter().take(FEW);
    let largest: Vec<String> = largest
        .map(|(node, sum)| format!("{node} {}", bytes(sum.unique)))
        .collect();
    vec![format!(
        "the data of {} nodes: {} unique; the largest: {}",
        nodes.len(),
        bytes(unique),
        largest.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_many_nodes_is_one_note() {
        let sum = |unique| Sum {
            unique,
            referenced: 2048,
        };
        let few = notes(vec![("a", sum(1)), ("b", sum(2))]);
        assert_eq!(few[1], "the data of b: 2 B unique, 2.0 KiB referenced");
        let nodes = vec![("a", sum(1)), ("b", sum(4)), ("c", sum(3)), ("d", sum(2))];
        assert_eq!(
            notes(nodes),
            ["the data of 4 nodes: 10 B unique; the largest: b 4 B, c 3 B, d 2 B"]
        );
    }
}
