//! Reading nodes and environments without a lock, while other processes change them.
//!
//! Promises that whatever exists all the time, also if it is renamed, is found, and so is the active environment: if
//! something was removed between reading its name and reading it, everything is read again, up to [`MAX_READS`] times. Not
//! for changes: these read under a lock.

use std::collections::HashSet;

use anyhow::Result;

use super::environment::{Environment, Envs};
use super::name::{EnvName, NodeName};
use super::node::{self, Node};
use super::similar::most_alike;
use super::{Pool, layout};
use crate::failure::Failure;
use crate::fs::dir_names::{MAX_READS, names_in};

impl Pool {
    /// Returns every node, sorted by name; other directories are omitted.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let observe = |name: &NodeName| match Node::observe(self, name) {
            None if node::not_a_directory(self, name).is_none() => None,
            node => Some(node),
        };
        let nodes = self.of_each_node(|names| names.iter().map(observe).collect())?;
        Ok(node::without_replaced(
            nodes.into_iter().flatten().collect(),
            |node| node,
        ))
    }

    /// Calls `look` with each node's name, sorted; it returns `None` for a node that was removed meanwhile.
    ///
    /// If one was, as by a rename, the new names are read too.
    pub fn of_each_node<T>(
        &self,
        mut look: impl FnMut(&[NodeName]) -> Vec<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut found: Vec<(NodeName, T)> = Vec::new();
        let mut looked_at = HashSet::new();
        for _ in 0..MAX_READS {
            let mut names = self.node_names()?;
            names.retain(|name| !looked_at.contains(name));
            let seen = look(&names);
            let before = found.len();
            found.extend(
                names
                    .iter()
                    .cloned()
                    .zip(seen)
                    .filter_map(|(name, seen)| Some((name, seen?))),
            );
            let nothing_went = found.len() - before == names.len();
            looked_at.extend(found[before..].iter().map(|(name, _)| name.clone()));
            if nothing_went {
                break;
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }
}

impl Node {
    /// Returns every environment, sorted by name, including damaged ones.
    pub fn environments(&self) -> Result<Vec<Environment>> {
        match self.clone().look() {
            Some((_, environments)) => environments,
            None => Ok(Vec::new()),
        }
    }

    /// Returns every environment, and the node as it was when they were read; `None` if it does not exist any more.
    pub fn look(mut self) -> Option<(Self, Result<Vec<Environment>>)> {
        for left in (0..MAX_READS).rev() {
            let (names, found) = match self.look_once() {
                Ok(seen) => seen,
                Err(e) => return Some((self, Err(e))),
            };
            if left == 0 || !self.has_moved(names.len(), found.iter().map(|env| env.name.as_str()))
            {
                return Some((self, Ok(Environment::without_replaced(found))));
            }
            self = self.again()?;
        }
        None
    }

    /// Returns whether the environments changed while they were read: one of the names was removed, or the node's
    /// active environment is now another one, which was not `found`.
    pub fn has_moved<'a>(&self, names: usize, found: impl Iterator<Item = &'a str>) -> bool {
        let active = self.active.as_ref().map(EnvName::as_str);
        let (mut number, mut has_active) = (0, active.is_none());
        for name in found {
            number += 1;
            has_active |= Some(name) == active;
        }
        number < names
            || !has_active && node::read_active(&self.dir).is_ok_and(|now| now != self.active)
    }

    /// Returns the names in the directory of environments, sorted; not all need be environments.
    pub fn environment_names(&self) -> Result<Vec<EnvName>> {
        let dir = self.dir.join(layout::ENVS);
        if dir.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            anyhow::bail!("{} is not a directory", dir.display());
        }
        let names = names_in(&dir)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Returns an environment by name.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    pub fn environment(&self, name: &EnvName) -> Result<Environment> {
        Environment::observe(self, name)?.ok_or_else(|| self.no_environment(name))
    }

    /// Returns the `NotFound` failure for an environment of that name.
    pub fn no_environment(&self, name: &EnvName) -> anyhow::Error {
        let names = self.environment_names().unwrap_or_default();
        let meant = most_alike(name.as_str(), names.iter().map(EnvName::as_str));
        // With its node, as it is to be typed.
        let meant = meant.map_or(String::new(), |meant| {
            format!("; did you mean {}/{meant}?", self.name)
        });
        Failure::not_found(format!("no environment {}/{name}{meant}", self.name))
            .hint(format!("netbe list {}", self.name))
            .into()
    }

    /// Returns the command that activates the only other environment than `but`, else one that lists them.
    pub fn how_to_activate(&self, but: Option<&EnvName>) -> String {
        let names = self.environment_names().unwrap_or_default();
        let others: Vec<&EnvName> = names.iter().filter(|&name| Some(name) != but).collect();
        match others.as_slice() {
            [only] => format!("netbe activate {}/{only}", self.name),
            _ => format!("netbe list {}", self.name),
        }
    }

    /// Returns the active environment; `None` if the node has none.
    ///
    /// # Errors
    /// When it cannot be determined.
    pub fn active_if_any(&self) -> Result<Option<Environment>> {
        match &self.active {
            Some(active) => Environment::observe(self, active),
            None if self.unread => anyhow::bail!(
                "the active environment of {} cannot be determined: {}",
                self.name,
                self.problems.join("; ")
            ),
            None => Ok(None),
        }
    }

    /// Returns the active environment.
    ///
    /// # Errors
    /// `NotFound` if the node has none, or the link is dangling.
    pub fn active_environment(&self) -> Result<Environment> {
        let Some(active) = &self.active else {
            let why = self
                .problems
                .last()
                .map_or(String::new(), |p| format!(": {p}"));
            return Err(Failure::not_found(format!(
                "{} has no active environment{why}",
                self.name
            ))
            .hint(self.how_to_activate(None))
            .into());
        };
        self.environment(active)
    }

    fn look_once(&self) -> Result<(Vec<EnvName>, Vec<Environment>)> {
        let names = self.environment_names()?;
        let envs = Envs::open(self)?;
        let observe = |name| Environment::observe_in(envs.as_ref()?, self, name);
        let found = names.iter().filter_map(observe).collect();
        Ok((names, found))
    }
}
