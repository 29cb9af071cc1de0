//! Nodes whose template has a newer system than the one they boot next came from.
//!
//! Compares the UUIDs in the records of environments, so that renamed ones are recognised; reads only. Not for whether the
//! newer system is a better one.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;

use super::list::Listed;
use crate::pool::environment::Order;
use crate::pool::record::LINEAGE;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeName, Origin, Pool};

/// A node that is behind its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The template's active environment, which is newer.
    pub newer: EnvId,
    /// The environment of the template that the node's came from.
    pub came_from: String,
    /// The command that brings the newer system, or shows the conflicts to be resolved before it is booted.
    pub command: String,
    /// The node.
    #[serde(skip)]
    pub node: NodeName,
    /// The node's newest environment that was made from the newer system.
    #[serde(skip)]
    made: Option<Made>,
}

/// An environment of a node that has the newer system already.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    id: EnvId,
    /// Whether it is a merge in which both sides changed a file.
    undecided: bool,
}

/// The templates of a pool.
#[derive(Debug, Default)]
pub struct Templates {
    /// The active environment of each, with what it came from.
    active: HashMap<String, (EnvId, String, Order, Option<String>)>,
    /// The environments of all templates, by their UUID.
    by_uuid: HashMap<String, (EnvId, Order)>,
}

/// The part of an environment that tells its origins.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    node: &'a NodeName,
    uuid: Option<&'a str>,
    order: Order,
    origin: Option<&'a Origin>,
    lineage: &'a [Origin],
    name: &'a EnvName,
    undecided: bool,
}

impl<'a> Line<'a> {
    /// Returns the line of an environment.
    pub fn of(env: &'a Environment) -> Self {
        let record = env.record.as_ref();
        Self {
            node: &env.node,
            name: &env.name,
            uuid: env.uuid(),
            order: env.order(),
            origin: record.and_then(|record| record.origin.as_ref()),
            lineage: record.map_or(&[], |record| &record.lineage),
            undecided: record.is_some_and(|record| record.undecided),
        }
    }

    /// Returns the line of a listed environment.
    pub fn of_listed(env: &'a Listed) -> Self {
        Self {
            node: &env.node,
            name: &env.name,
            uuid: env.uuid.as_deref(),
            order: env.order,
            origin: env.origin.as_ref(),
            lineage: &env.lineage,
            undecided: env.undecided,
        }
    }
}

impl Templates {
    /// Returns the templates of a pool.
    pub fn of(pool: &Pool) -> Result<Self> {
        let mut templates = Self::default();
        for node in pool.nodes()?.into_iter().filter(Node::is_template) {
            // A template that cannot be read does not hide the others.
            for env in node.environments().unwrap_or_default() {
                let Some(uuid) = env.uuid().map(str::to_string) else {
                    continue;
                };
                if env.active {
                    let origin = Line::of(&env).origin.map(|origin| origin.uuid.clone());
                    let active = (env.id(), uuid.clone(), env.order(), origin);
                    templates.active.insert(node.name.to_string(), active);
                }
                templates.by_uuid.insert(uuid, (env.id(), env.order()));
            }
        }
        Ok(templates)
    }

    /// Returns how far a node that boots this environment is behind; `own` are all environments of the node.
    pub fn behind(&self, env: Line<'_>, own: &[Line<'_>]) -> Option<Behind> {
        if self.active.contains_key(env.node.as_str()) {
            return None;
        }
        let line: Vec<&Origin> = env.origin.into_iter().chain(env.lineage).collect();
        // The oldest known descendant of the template's environment: it was made while that one was the template's newest.
        let mut child = env.order;
        for (at, origin) in line.iter().enumerate() {
            let there = self.by_uuid.get(&origin.uuid);
            let template = there.map_or(origin.node.as_str(), |(id, _)| id.node.as_str());
            let Some((newer, uuid, order, made_of)) = self.active.get(template) else {
                let same = |one: &&Line<'_>| one.uuid == Some(origin.uuid.as_str());
                child = own.iter().find(same).map_or(child, |one| one.order);
                continue;
            };
            // Where ancestors are left out, the last one listed may not be the one that was current.
            let is_cut = env.lineage.len() >= LINEAGE && at + 1 == line.len();
            let than = there.filter(|_| !is_cut).map_or(child, |(_, order)| *order);
            let is_newer = *uuid != origin.uuid && *order > than && made_of.as_deref() != env.uuid;
            return is_newer.then(|| {
                let came_from = there.map_or_else(|| origin.to_string(), |(id, _)| id.to_string());
                Behind::new(env.node, newer, uuid, came_from, own)
            });
        }
        None
    }
}

impl Behind {
    fn new(
        node: &NodeName,
        newer: &EnvId,
        uuid: &str,
        came_from: String,
        own: &[Line<'_>],
    ) -> Self {
        // An environment that was made from the newer system may have been merged since.
        let is_made_from_newer = |one: &&Line<'_>| {
            let mut line = one.origin.into_iter().chain(one.lineage);
            line.any(|origin| origin.uuid == uuid)
        };
        let made = own
            .iter()
            .filter(is_made_from_newer)
            .max_by_key(|one| one.order);
        let made = made.map(|one| Made {
            id: EnvId::new(node, one.name),
            undecided: one.undecided,
        });
        Self {
            newer: newer.clone(),
            came_from,
            command: command(newer, &[node.to_string()], made.as_ref()),
            node: node.clone(),
            made,
        }
    }

    /// Returns the advice: the command, after the state that it depends on.
    pub fn advice(&self) -> String {
        advice(self.made.as_ref(), &self.command)
    }
}

/// Returns which nodes of these active environments are behind.
pub fn among(pool: &Pool, listed: &[Listed]) -> Result<Vec<Behind>> {
    let templates = Templates::of(pool)?;
    let mut by_node: HashMap<&NodeName, Vec<Line<'_>>> = HashMap::new();
    for env in listed {
        by_node
            .entry(&env.node)
            .or_default()
            .push(Line::of_listed(env));
    }
    let active = listed.iter().filter(|env| env.active);
    let behind = active.map(|env| templates.behind(Line::of_listed(env), &by_node[&env.node]));
    Ok(behind.flatten().collect())
}

fn command(newer: &EnvId, nodes: &[String], made: Option<&Made>) -> String {
    match made {
        // That lists the copies that a merge put beside files changed on both sides.
        Some(made) if made.undecided => format!("netbe diff --files {newer} {}", made.id),
        Some(made) => format!("netbe activate --try {}", made.id),
        None => format!(
            "netbe create {} --from {} --merge --try",
            nodes.join(" "),
            newer.node
        ),
    }
}

fn advice(made: Option<&Made>, command: &str) -> String {
    match made.filter(|made| made.undecided) {
        Some(Made { id, .. }) => format!(
            "{id} has it, with files that both changed: look at them, then netbe activate --try {id}: {command}"
        ),
        None => command.to_string(),
    }
}

/// Returns a sentence for each template that nodes are behind, with the command for all of them.
pub fn sentences(all: &[Behind]) -> Vec<String> {
    let mut groups: Vec<(&EnvId, Option<&Made>, Vec<String>)> = Vec::new();
    for one in all {
        let same = groups
            .iter_mut()
            .find(|(newer, made, _)| (*newer, *made) == (&one.newer, one.made.as_ref()));
        match same {
            Some((.., nodes)) => nodes.push(one.node.to_string()),
            None => groups.push((&one.newer, one.made.as_ref(), vec![one.node.to_string()])),
        }
    }
    let sentence = |(newer, made, nodes): &(&EnvId, Option<&Made>, Vec<String>)| {
        let (names, be) = (
            nodes.join(", "),
            if nodes.len() == 1 { "is" } else { "are" },
        );
        let advice = advice(*made, &command(newer, nodes, *made));
        format!("{names} {be} behind {newer}, the template's active environment: {advice}")
    };
    groups.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn order(number: u64) -> Order {
        Order(Some(number), Timestamp::UNIX_EPOCH)
    }

    fn origin(name: &str) -> Origin {
        let (node, env) = name.split_once('/').unwrap();
        Origin {
            node: node.to_string(),
            name: env.to_string(),
            uuid: name.to_string(),
        }
    }

    /// Returns templates `debian`, with these environments made at these times, the last one active.
    fn debian(envs: &[(&str, u64)]) -> Templates {
        let mut templates = Templates::default();
        for (name, number) in envs {
            let id = EnvId::new(&"debian".parse().unwrap(), &name.parse().unwrap());
            let uuid = id.to_string();
            let active = (id.clone(), uuid.clone(), order(*number), None);
            templates.active.insert("debian".to_string(), active);
            templates.by_uuid.insert(uuid, (id, order(*number)));
        }
        templates
    }

    #[test]
    fn a_node_is_behind_a_newer_active_environment_of_its_template() {
        let (node, name) = ("nog".parse().unwrap(), "b".parse().unwrap());
        let a = "a".parse().unwrap();
        for (envs, line, is_behind) in [
            (&[("1", 1)][..], &["debian/1"][..], false),
            (&[("1", 1), ("2", 20)], &["debian/1"], true),
            // Made before the node, and activated after.
            (&[("1", 1), ("2", 2)], &["debian/1"], true),
            // Gone back.
            (&[("2", 2), ("1", 1)], &["debian/2"], false),
            (&[("1", 1), ("2", 20)], &["nog/a", "debian/1"], true),
            (&[("1", 1), ("2", 20)], &["debian/2", "debian/1"], false),
            // Destroyed: known by its name only.
            (&[("2", 5)], &["nog/a", "debian/1"], false),
            (&[("2", 20)], &["nog/a", "debian/1"], true),
            (&[("2", 20)], &["other/1"], false),
        ] {
            let line: Vec<Origin> = line.iter().map(|name| origin(name)).collect();
            let of = |name, number, line| Line {
                node: &node,
                name,
                uuid: Some(if number == 12 { "nog/b" } else { "nog/a" }),
                order: order(number),
                origin: <[_]>::first(line),
                lineage: &line[1..],
                undecided: false,
            };
            let none = vec![origin("debian/0")];
            let own = [of(&name, 12, &line), of(&a, 10, &none)];
            let found = debian(envs).behind(own[0], &own);
            assert_eq!(found.is_some(), is_behind, "{envs:?} {line:?}: {found:?}");
            if let Some(found) = found {
                assert_eq!(
                    found.command,
                    "netbe create nog --from debian --merge --try"
                );
                assert!(
                    sentences(&[found.clone(), found])[0]
                        .starts_with("nog, nog are behind debian/2")
                );
            }
        }
    }
}
