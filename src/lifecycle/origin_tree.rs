//! Environments below their origins, across nodes and templates.
//!
//! Compares UUIDs, so that a new environment under an old name is not taken for the old one and a renamed one has
//! its present name. A destroyed environment keeps its place as long as one that was made from it exists.
//! Records that name each other do no harm; the time grows with the number of environments. Not for drawing.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::list::{self, Listed};
use crate::btrfs::subvolume;
use crate::pool::{Origin, Pool, record};

/// The depth of the tree; deeper generations begin at the margin again.
const DEEPEST: usize = 16;

/// Environments by their origins.
#[derive(Debug, Default)]
pub struct OriginTree<'a> {
    /// The environments, and the destroyed ones that others were made from.
    pub entries: Vec<Entry<'a>>,
    /// The indexes of those at the margin, in order.
    pub tops: Vec<usize>,
}

/// A place in the tree.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The environment.
    pub item: Item<'a>,
    /// The indexes of those made from it, in [`OriginTree::entries`].
    pub children: Vec<usize>,
    /// The name of its origin, if its place is not below that.
    pub from: Option<String>,
}

/// An environment, or what is known of a destroyed one.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// It exists.
    Present(&'a Listed),
    /// It was destroyed; others were made from it.
    Destroyed(&'a Origin),
}

impl Item<'_> {
    /// Returns its name, `NODE/ENV`: of a destroyed one the last that is known.
    pub fn name(&self) -> String {
        match self {
            Self::Present(env) => format!("{}/{}", env.node, env.name),
            Self::Destroyed(origin) => origin.to_string(),
        }
    }
}

/// Adds the origins of `chosen` that exist.
pub fn with_ancestors(pool: &Pool, chosen: Vec<Listed>) -> Result<Vec<Listed>> {
    let all = list::list(pool, &[])?.listed;
    let by_uuid = by_uuid(&all);
    let mut is_needed = vec![false; all.len()];
    for env in &chosen {
        for origin in line_of(env) {
            if let Some(&at) = by_uuid.get(origin.uuid.as_str())
                && !is_needed[at]
            {
                mark(&all, &by_uuid, at, &mut is_needed);
            }
        }
    }
    let is_chosen: HashSet<_> = chosen.iter().map(|e| (&e.node, &e.name)).collect();
    let more: Vec<Listed> = all
        .iter()
        .zip(&is_needed)
        .filter(|(env, needed)| **needed && !is_chosen.contains(&(&env.node, &env.name)))
        .map(|(env, _)| env.clone())
        .collect();
    Ok(chosen.into_iter().chain(more).collect())
}

/// Marks an environment and its origins.
fn mark(all: &[Listed], by_uuid: &HashMap<String, usize>, from: usize, is_needed: &mut [bool]) {
    let mut waiting = vec![from];
    while let Some(at) = waiting.pop() {
        if std::mem::replace(&mut is_needed[at], true) {
            continue;
        }
        let origins = line_of(&all[at]).filter_map(|o| by_uuid.get(o.uuid.as_str()));
        waiting.extend(origins.filter(|at| !is_needed[**at]));
    }
}

/// Returns the origins of an environment, the nearest first.
fn line_of(env: &Listed) -> impl Iterator<Item = &Origin> {
    env.origin.iter().chain(&env.lineage)
}

/// Returns the index of each by its UUID; of several with one UUID the first.
fn by_uuid(listed: &[Listed]) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(listed.len());
    for (at, env) in listed.iter().enumerate() {
        // Without a record the UUID is that of the subvolume.
        let lost = || Some(subvolume::info(&env.root).ok()?.uuid.to_string());
        if let Some(uuid) = env.uuid.clone().or_else(lost) {
            places.entry(uuid).or_insert(at);
        }
    }
    places
}

/// Returns the tree of these, in their order.
pub fn build(listed: &[Listed]) -> OriginTree<'_> {
    let places = by_uuid(listed);
    let (items, mut parents) = relations(listed, &places);
    leave_out_destroyed(listed.len(), &mut parents);
    let mut children = vec![Vec::new(); items.len()];
    let mut margin = Vec::new();
    let mut is_placed = vec![false; items.len()];
    // A destroyed one has the place of the first that was made from it.
    for at in 0..listed.len() {
        let mut next = Some(at);
        while let Some(at) = next.filter(|at| !std::mem::replace(&mut is_placed[*at], true)) {
            match parents[at] {
                Some(parent) => children[parent].push(at),
                None => margin.push(at),
            }
            next = parents[at].filter(|parent| *parent >= listed.len());
        }
    }
    Unplaced {
        items,
        parents,
        children,
    }
    .settle(margin, listed.len())
}

/// Returns all items, destroyed ones last, and the index of the origin of each.
fn relations<'a>(
    listed: &'a [Listed],
    places: &HashMap<String, usize>,
) -> (Vec<Item<'a>>, Vec<Option<usize>>) {
    let mut items: Vec<Item> = listed.iter().map(Item::Present).collect();
    let mut parents = vec![None; listed.len()];
    let mut gone: HashMap<&str, usize> = HashMap::new();
    let mut newest = HashMap::new();
    for (at, env) in listed.iter().enumerate() {
        let mut child = at;
        for origin in line_of(env) {
            if let Some(&parent) = places.get(&origin.uuid) {
                parents[child] = Some(parent).filter(|parent| *parent != child);
                break;
            }
            let known = gone.get(origin.uuid.as_str()).copied();
            let parent = known.unwrap_or(items.len());
            if known.is_none() {
                gone.insert(&origin.uuid, parent);
                items.push(Item::Destroyed(origin));
                parents.push(None);
            }
            // The record of its newest descendant has its latest name.
            if *newest.entry(parent).or_insert(env.order) < env.order {
                newest.insert(parent, env.order);
                items[parent] = Item::Destroyed(origin);
            }
            if parents[child].is_none() && parent != child {
                parents[child] = Some(parent);
            }
            child = parent;
        }
    }
    (items, parents)
}

/// Leaves out destroyed environments whose only child is a destroyed one too.
fn leave_out_destroyed(there: usize, parents: &mut [Option<usize>]) {
    let mut children = vec![0_u32; parents.len()];
    let mut has_living = vec![false; parents.len()];
    for (child, parent) in parents.iter().enumerate() {
        if let Some(parent) = *parent {
            children[parent] += 1;
            has_living[parent] |= child < there;
        }
    }
    let is_shown = |at: usize| at < there || has_living[at] || children[at] > 1;
    let old = parents.to_vec();
    for own in parents {
        let mut steps = 0;
        while let Some(parent) = own.filter(|parent| !is_shown(*parent)) {
            // Forged records may form a cycle; a lineage is no longer than a record holds.
            steps += 1;
            *own = old[parent].filter(|_| steps <= 4 * record::LINEAGE);
        }
    }
}

struct Unplaced<'a> {
    items: Vec<Item<'a>>,
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl<'a> Unplaced<'a> {
    /// Gives each entry its place: below its origin, or at the margin if the origins form a cycle or the place is too deep.
    fn settle(self, margin: Vec<usize>, there: usize) -> OriginTree<'a> {
        let mut settled = OriginTree::default();
        let mut has_place = vec![false; self.items.len()];
        settled.entries.extend(self.items.iter().map(|item| Entry {
            item: *item,
            children: Vec::new(),
            from: None,
        }));
        for top in margin {
            self.place(top, &mut has_place, &mut settled);
        }
        // The others name each other as origins.
        for at in 0..there {
            if !has_place[at] {
                self.place(at, &mut has_place, &mut settled);
            }
        }
        settled
    }

    fn place(&self, top: usize, has_place: &mut [bool], settled: &mut OriginTree<'a>) {
        let mut tops = vec![top];
        while let Some(top) = tops.pop() {
            if std::mem::replace(&mut has_place[top], true) {
                continue;
            }
            settled.tops.push(top);
            settled.entries[top].from = self.parents[top].map(|parent| self.items[parent].name());
            let (mut level, mut too_deep) = (vec![top], Vec::new());
            for depth in 1..=DEEPEST {
                let mut below = Vec::new();
                for at in level {
                    for &child in &self.children[at] {
                        if depth == DEEPEST {
                            too_deep.push(child);
                        } else if !std::mem::replace(&mut has_place[child], true) {
                            settled.entries[at].children.push(child);
                            below.push(child);
                        }
                    }
                }
                level = below;
            }
            tops.extend(too_deep.into_iter().rev());
        }
    }
}

#[cfg(test)]
mod tests;
