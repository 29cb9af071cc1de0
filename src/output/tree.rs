//! The tree of origins.

use crate::lifecycle::origin_tree::{Ancestry, Who};

/// Returns a line for each, in the order of the tree: its index, and its name with the branch in front.
pub fn draw<'a>(ancestry: &Ancestry<'a>) -> Vec<(Who<'a>, String)> {
    let mut lines = Vec::with_capacity(ancestry.kin.len());
    // For each that is still to draw, its branch and the prefix of its children.
    let mut waiting: Vec<(usize, String, String)> = Vec::new();
    for &top in ancestry.tops.iter().rev() {
        waiting.push((top, String::new(), String::new()));
    }
    while let Some((at, branch, beside)) = waiting.pop() {
        let kin = &ancestry.kin[at];
        let mut name = super::clean(&kin.who.name());
        if let Who::Gone(_) = kin.who {
            name.push_str(" (gone)");
        }
        if let Some(from) = &kin.from {
            name.push_str(&super::clean(&format!(" (from {from})")));
        }
        lines.push((kin.who, format!("{branch}{name}")));
        for (i, &child) in kin.children.iter().enumerate().rev() {
            let (branch, deeper) = match i + 1 == kin.children.len() {
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
