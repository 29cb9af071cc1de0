//! The tree of origins.

use crate::lifecycle::origin_tree::{Item, OriginTree};

/// Returns a line for each, in the order of the tree: its index, and its name with the branch in front.
pub fn draw<'a>(tree: &OriginTree<'a>) -> Vec<(Item<'a>, String)> {
    let mut lines = Vec::with_capacity(tree.entries.len());
    // For each environment that is still to be drawn: its branch and the prefix of its children.
    let mut waiting: Vec<(usize, String, String)> = Vec::new();
    for &top in tree.tops.iter().rev() {
        waiting.push((top, String::new(), String::new()));
    }
    while let Some((at, branch, beside)) = waiting.pop() {
        let entry = &tree.entries[at];
        let mut name = super::clean(&entry.item.name());
        if let Item::Destroyed(_) = entry.item {
            name.push_str(" (gone)");
        }
        if let Some(from) = &entry.from {
            name.push_str(&super::clean(&format!(" (from {from})")));
        }
        lines.push((entry.item, format!("{branch}{name}")));
        for (i, &child) in entry.children.iter().enumerate().rev() {
            let (branch, deeper) = match i + 1 == entry.children.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            waiting.push((
                child,
                format!("{beside}{branch}"),
                format!("{beside}{deeper}"),
            ));
        }
    }
    lines
}
