//! What was made from what: environments beneath their origins, across nodes and templates.
//!
//! Goes by identity, so that a new environment under an old name is not taken for it and a renamed one is
//! known by its name of today. What is gone stands where it was, as long as something there came from it.
//! Survives records that name each other, in time that grows with how many there are. Not for drawing.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::list::{self, Listed};
use crate::btrfs::subvolume;
use crate::pool::{Origin, Pool, record};

/// How many generations stand beneath one another; the next begins at the margin again, where there is room.
const DEEPEST: usize = 16;

/// Environments as families.
#[derive(Debug, Default)]
pub struct Ancestry<'a> {
    /// All of them, and those that are gone.
    pub kin: Vec<Kin<'a>>,
    /// Which of them stand at the margin, in their order.
    pub tops: Vec<usize>,
}

/// One of a family.
#[derive(Debug)]
pub struct Kin<'a> {
    /// Who it is.
    pub who: Who<'a>,
    /// What was made from it, by place in [`Ancestry::kin`].
    pub children: Vec<usize>,
    /// The name of what it was made from, where it does not stand beneath that.
    pub from: Option<String>,
}

/// An environment, or what is known of one that is gone.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// It is there.
    There(&'a Listed),
    /// It is not; others were made from it.
    Gone(&'a Origin),
}

impl Who<'_> {
    /// Returns its name, `NODE/ENV`: that of today, or of one that is gone the last that is known.
    pub fn name(&self) -> String {
        match self {
            Self::There(env) => format!("{}/{}", env.node, env.name),
            Self::Gone(origin) => origin.to_string(),
        }
    }
}

/// Adds to `chosen` what they came from, as far as that is there.
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

/// Marks one and all it came from.
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

/// Returns what an environment was made from, and what that was, the nearest first.
fn line_of(env: &Listed) -> impl Iterator<Item = &Origin> {
    env.origin.iter().chain(&env.lineage)
}

/// Returns where each stands, by its identity; of several with one identity the first.
fn by_uuid(listed: &[Listed]) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(listed.len());
    for (at, env) in listed.iter().enumerate() {
        // A lost record's identity is that of the subvolume it was written for.
        let lost = || Some(subvolume::info(&env.root).ok()?.uuid.to_string());
        if let Some(uuid) = env.uuid.clone().or_else(lost) {
            places.entry(uuid).or_insert(at);
        }
    }
    places
}

/// Returns the families of these, in their order.
pub fn build(listed: &[Listed]) -> Ancestry<'_> {
    let places = by_uuid(listed);
    let (who, mut parents) = relations(listed, &places);
    leave_out_the_long_gone(listed.len(), &mut parents);
    let mut children = vec![Vec::new(); who.len()];
    let mut margin = Vec::new();
    let mut is_placed = vec![false; who.len()];
    // In the order of those that are there: one that is gone comes where the first made from it does.
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
    Families {
        who,
        parents,
        children,
    }
    .settle(margin, listed.len())
}

/// Returns everybody, those that are gone after the others, and what each was made from.
fn relations<'a>(
    listed: &'a [Listed],
    places: &HashMap<String, usize>,
) -> (Vec<Who<'a>>, Vec<Option<usize>>) {
    let mut who: Vec<Who> = listed.iter().map(Who::There).collect();
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
            let parent = known.unwrap_or(who.len());
            if known.is_none() {
                gone.insert(&origin.uuid, parent);
                who.push(Who::Gone(origin));
                parents.push(None);
            }
            // What was made of it last knows its last name.
            if *newest.entry(parent).or_insert(env.order) < env.order {
                newest.insert(parent, env.order);
                who[parent] = Who::Gone(origin);
            }
            if parents[child].is_none() && parent != child {
                parents[child] = Some(parent);
            }
            child = parent;
        }
    }
    (who, parents)
}

/// Leaves out of the lines those that are gone and that only one line leads through which is gone as well.
fn leave_out_the_long_gone(there: usize, parents: &mut [Option<usize>]) {
    let mut heirs = vec![0_u32; parents.len()];
    let mut has_living = vec![false; parents.len()];
    for (child, parent) in parents.iter().enumerate() {
        if let Some(parent) = *parent {
            heirs[parent] += 1;
            has_living[parent] |= child < there;
        }
    }
    let is_shown = |at: usize| at < there || has_living[at] || heirs[at] > 1;
    let old = parents.to_vec();
    for own in parents {
        let mut steps = 0;
        while let Some(parent) = own.filter(|parent| !is_shown(*parent)) {
            // Records written by hand may go round; lines are no longer than what a record holds.
            steps += 1;
            *own = old[parent].filter(|_| steps <= 4 * record::LINEAGE);
        }
    }
}

struct Families<'a> {
    who: Vec<Who<'a>>,
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl<'a> Families<'a> {
    /// Gives everybody one place: beneath what it came from, or at the margin where that goes round or too deep.
    fn settle(self, margin: Vec<usize>, there: usize) -> Ancestry<'a> {
        let mut settled = Ancestry::default();
        let mut has_place = vec![false; self.who.len()];
        settled.kin.extend(self.who.iter().map(|who| Kin {
            who: *who,
            children: Vec::new(),
            from: None,
        }));
        for top in margin {
            self.place(top, &mut has_place, &mut settled);
        }
        // What is left names each other.
        for at in 0..there {
            if !has_place[at] {
                self.place(at, &mut has_place, &mut settled);
            }
        }
        settled
    }

    fn place(&self, top: usize, has_place: &mut [bool], settled: &mut Ancestry<'a>) {
        let mut tops = vec![top];
        while let Some(top) = tops.pop() {
            if std::mem::replace(&mut has_place[top], true) {
                continue;
            }
            settled.tops.push(top);
            settled.kin[top].from = self.parents[top].map(|parent| self.who[parent].name());
            let (mut level, mut too_deep) = (vec![top], Vec::new());
            for depth in 1..=DEEPEST {
                let mut below = Vec::new();
                for at in level {
                    for &child in &self.children[at] {
                        if depth == DEEPEST {
                            too_deep.push(child);
                        } else if !std::mem::replace(&mut has_place[child], true) {
                            settled.kin[at].children.push(child);
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
