//! The disk space of each environment, and how much destroying it would free.
//!
//! All of the pool's filesystem is measured: environments with the subvolumes in them, stages and trash, the pool's own
//! files, snapshots made by hand. Takes no lock; dirty data is written first, and nothing else is changed. An
//! environment that is deleted meanwhile is no failure.

mod data_notes;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::list::Listed;
use crate::btrfs::space::{Content, Held, Sum, Trees};
use crate::btrfs::{subvolume, trees};
use crate::failure::Failure;
use crate::fs::opener;
use crate::fs::parallel;
use crate::pool::{Operand, Pool, layout};
use crate::terminal::bytes;

/// The name of all other owners of space.
pub(super) const OTHERS: &str = "other files and snapshots";

/// How often the measurement is repeated if the filesystem changed meanwhile.
const TRIES: usize = 3;

/// An owner of space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    /// An environment, by node and name.
    Environment(String, String),
    /// The data of a node, which is in none of its environments.
    Data(String),
    /// A node, besides its environments and data: stages and trash.
    Node(String),
    /// Everything else.
    Others,
}

impl Owner {
    /// Returns the owner of a subvolume, by its path in the pool.
    fn from_path(path: Option<&Path>) -> Self {
        let mut names = path.into_iter().flat_map(Path::iter);
        let mut name = || Some(names.next()?.to_str()?.to_string());
        if name().as_deref() != Some(layout::NODES) {
            return Self::Others;
        }
        match (name(), name(), name()) {
            (Some(node), Some(envs), Some(env)) if envs == layout::ENVS => {
                Self::Environment(node, env)
            }
            (Some(node), Some(data), Some(_)) if data == layout::DATA => Self::Data(node),
            (Some(node), _, _) => Self::Node(node),
            (None, _, _) => Self::Others,
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            Self::Environment(node, _) | Self::Data(node) | Self::Node(node) => Some(node),
            Self::Others => None,
        }
    }
}

/// How the contents of subvolumes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The differences from the subvolume's parent: in time proportional to them.
    Differences,
    /// Each completely: in time proportional to the content; unreadable parts are omitted.
    Wholes,
}

/// The space of a pool's environments.
#[derive(Debug)]
pub struct Space {
    held: Held,
    /// The index of each subvolume's owner, by the subvolume's place.
    owner: Vec<usize>,
    /// The owners and their sums; `None` if a part could not be read.
    owners: Vec<(Owner, Option<Sum>)>,
    /// Sentences about what could not be read.
    pub unread: Vec<String>,
}

impl Space {
    /// Measures the filesystem of a pool.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`.
    pub fn measure(pool: &Pool) -> Result<Self> {
        // Without the privilege, fail before syncing the disk.
        Trees::find(&opener::directory(pool.root())?).map_err(explained)?;
        subvolume::sync(pool.root()).context("writing dirty data")?;
        for _ in 0..TRIES {
            match Self::read(pool, Reading::Differences) {
                Err(e) if !is_denied(&e) => {}
                done => return done.map_err(explained),
            }
        }
        Self::read(pool, Reading::Wholes).map_err(explained)
    }

    /// Measures the filesystem once; dirty data is not included.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`; [`Reading::Differences`] also where the filesystem changed meanwhile.
    pub fn read(pool: &Pool, reading: Reading) -> io::Result<Self> {
        let top = opener::directory(pool.root())?;
        let mut trees = Trees::find(&top)?;
        if reading == Reading::Wholes {
            trees = trees.without_relatives();
        }
        let places: Vec<usize> = (0..trees.subvolumes().len()).collect();
        let read = parallel::all(&places, places.len() > 2, |i| trees.read(&top, *i));
        let (mut contents, mut failed) = (Vec::new(), Vec::new());
        for (place, content) in read.into_iter().enumerate() {
            match content {
                Err(e) if reading == Reading::Differences => return Err(e),
                Err(e) => {
                    contents.push(Content::default());
                    // A deleted subvolume has no space.
                    if e.kind() != io::ErrorKind::NotFound {
                        failed.push((place, e));
                    }
                }
                Ok(content) => contents.push(content),
            }
        }
        let held = Held::new(&contents)?;
        let below = trees.below(&top)?;
        let whose = below.iter().map(|path| Owner::from_path(path.as_deref()));
        Ok(Self::put_together(held, whose, &failed))
    }

    fn put_together(
        held: Held,
        whose: impl Iterator<Item = Owner>,
        failed: &[(usize, io::Error)],
    ) -> Self {
        let mut known = HashMap::new();
        let mut owners = Vec::new();
        let owner: Vec<usize> = whose
            .map(|one| {
                *known.entry(one.clone()).or_insert_with(|| {
                    owners.push(one);
                    owners.len() - 1
                })
            })
            .collect();
        let mut sums: Vec<_> = held
            .sums(&owner, owners.len())
            .into_iter()
            .map(Some)
            .collect();
        let mut unread = Vec::new();
        for (place, error) in failed {
            let who = owner[*place];
            sums[who] = None;
            unread.push(match &owners[who] {
                Owner::Environment(node, name) => {
                    format!("the space of {node}/{name} cannot be measured: {error}")
                }
                _ => format!(
                    "a subvolume cannot be read, so what it shares with one environment counts as that one's \
                     UNIQUE: {error}"
                ),
            });
        }
        Self {
            held,
            owner,
            owners: owners.into_iter().zip(sums).collect(),
            unread,
        }
    }

    /// Returns the space of an environment; `None` if it could not be read.
    pub fn environment(&self, node: &str, name: &str) -> Option<Sum> {
        let found = self
            .owners
            .iter()
            .find(|(owner, _)| matches!(owner, Owner::Environment(n, e) if n == node && e == name));
        found.and_then(|(_, sum)| *sum)
    }

    /// Returns what each environment, and each node beside its environments, holds alone, in bytes.
    pub fn alone(&self) -> Vec<(String, u64)> {
        let named = |(owner, sum): &(Owner, Option<Sum>)| {
            let name = match owner {
                Owner::Environment(node, env) => format!("{node}/{env}"),
                Owner::Data(node) => format!("the data of {node}"),
                Owner::Node(node) => format!("leftovers of {node}"),
                Owner::Others => OTHERS.to_string(),
            };
            sum.map(|sum| (name, sum.unique))
        };
        self.owners.iter().filter_map(named).collect()
    }

    /// Returns how many bytes destroying these environments would free.
    pub fn of_environments(&self, gone: &[Operand]) -> u64 {
        let is = |operand: &Operand, node: &str, name: &str| {
            let env = operand.env.as_ref();
            operand.node.as_str() == node && env.is_some_and(|env| env.as_str() == name)
        };
        self.freed(|owner| match owner {
            Owner::Environment(node, name) => gone.iter().any(|one| is(one, node, name)),
            _ => false,
        })
    }

    /// Returns how many bytes destroying these nodes would free.
    pub fn of_nodes(&self, gone: &[Operand]) -> u64 {
        let is = |operand: &Operand, node: &str| operand.node.as_str() == node;
        self.freed(|owner| {
            let node = owner.node();
            node.is_some_and(|node| gone.iter().any(|one| is(one, node)))
        })
    }

    fn freed(&self, goes: impl Fn(&Owner) -> bool) -> u64 {
        let goes: Vec<bool> = self.owners.iter().map(|(owner, _)| goes(owner)).collect();
        self.held.within(|place| goes[self.owner[place]])
    }
}

/// Notes on the space.
#[derive(Debug)]
pub struct Notes {
    /// The space of the listed nodes' data and of the trees, a sentence each.
    pub data: Vec<String>,
    /// What could not be read, a sentence each.
    pub unread: Vec<String>,
}

/// Adds the space of each environment to a list.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn fill(pool: &Pool, listed: &mut [Listed]) -> Result<Notes> {
    let space = Space::measure(pool)?;
    let mut sums = HashMap::new();
    for (owner, sum) in &space.owners {
        if let Owner::Environment(node, name) = owner {
            sums.insert((node.as_str(), name.as_str()), *sum);
        }
    }
    let is_listed = |node: &String| listed.iter().any(|env| env.node.as_str() == node);
    let data = space
        .owners
        .iter()
        .filter_map(|(owner, sum)| match (owner, sum) {
            (Owner::Data(node), Some(sum)) if is_listed(node) => Some((node.as_str(), *sum)),
            _ => None,
        });
    let mut data = data_notes::notes(data.collect());
    if let Some(size) = of_trees(pool) {
        data.push(format!(
            "the trees of the filesystem take {size}, which UNIQUE and REFERENCED leave out: some megabytes for each environment \
             that was upgraded"
        ));
    }
    for env in listed {
        env.space = sums
            .get(&(env.node.as_str(), env.name.as_str()))
            .copied()
            .flatten();
    }
    Ok(Notes {
        data,
        unread: space.unread,
    })
}

/// Returns the space of the trees of the pool's filesystem, in words; `None` if unknown.
pub fn of_trees(pool: &Pool) -> Option<String> {
    trees::size(pool.root()).ok().flatten().map(bytes)
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn explained(error: io::Error) -> anyhow::Error {
    if is_denied(&error) {
        return Failure::failed(
            "the space of environments is read from the filesystem's trees, which needs CAP_SYS_ADMIN",
        )
        .hint("sudo netbe list --space")
        .into();
    }
    anyhow::Error::from(error).context("measuring the space of environments")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_subvolume_names_its_owner() {
        let env = |node: &str, name: &str| Owner::Environment(node.into(), name.into());
        for (path, want) in [
            (Some("nodes/nog/envs/a/root"), env("nog", "a")),
            (Some("nodes/nog/envs/a/.base/root"), env("nog", "a")),
            (Some("nodes/nog/envs/a/root/var/lib/x"), env("nog", "a")),
            (
                Some("nodes/nog/.staged-b-1/root"),
                Owner::Node("nog".into()),
            ),
            (Some("nodes/nog/envs/a/.data/+home"), env("nog", "a")),
            (Some("nodes/nog/data/+home"), Owner::Data("nog".into())),
            (Some("nodes/nog/.trash-a-1/boot"), Owner::Node("nog".into())),
            (Some("nodes/nog"), Owner::Node("nog".into())),
            (Some("nodes"), Owner::Others),
            (Some(".snapshots/nodes/nog/envs/a/root"), Owner::Others),
            (Some(""), Owner::Others),
            (None, Owner::Others),
        ] {
            assert_eq!(Owner::from_path(path.map(Path::new)), want, "{path:?}");
        }
    }
}
