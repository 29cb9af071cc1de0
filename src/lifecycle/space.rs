//! How much of the disk each environment takes, and what would come back without it.
//!
//! Everything of the pool's filesystem that holds space is looked at, whosever it is: the environments, and what stands
//! in them, what is being made or deleted, the pool's own files, snapshots somebody made by hand. Takes no lock; what
//! waits in memory is written first, and nothing else happens. An environment that goes meanwhile is no failure.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::list::Listed;
use super::parallel;
use crate::btrfs::space::{Content, Held, Sum, Trees};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::opener;
use crate::pool::{Operand, Pool, layout};

/// How often the filesystem is looked at again when it changed meanwhile.
const TRIES: usize = 3;

/// What holds space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    /// An environment, by node and name.
    Environment(String, String),
    /// A node, besides its environments: what is being made or deleted.
    Node(String),
    /// All that is no node's.
    Nobody,
}

impl Owner {
    /// Returns whose a subvolume is, by its path in the pool.
    fn from_path(path: Option<&Path>) -> Self {
        let mut names = path.into_iter().flat_map(Path::iter);
        let mut name = || Some(names.next()?.to_str()?.to_string());
        if name().as_deref() != Some(layout::NODES) {
            return Self::Nobody;
        }
        match (name(), name(), name()) {
            (Some(node), Some(envs), Some(env)) if envs == layout::ENVS => {
                Self::Environment(node, env)
            }
            (Some(node), _, _) => Self::Node(node),
            (None, _, _) => Self::Nobody,
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            Self::Environment(node, _) | Self::Node(node) => Some(node),
            Self::Nobody => None,
        }
    }
}

/// How closely the contents of the subvolumes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What differs from what a subvolume was made of: at the cost of what differs.
    Differences,
    /// Every one of them as a whole: at the cost of what there is, and what cannot be read is left out.
    Wholes,
}

/// What the environments of a pool take.
#[derive(Debug)]
pub struct Space {
    held: Held,
    /// Whose each subvolume is, by place.
    owner: Vec<usize>,
    /// The owners, and what each has; `None` where something of it could not be read.
    owners: Vec<(Owner, Option<Sum>)>,
    /// Sentences about what could not be read.
    pub unread: Vec<String>,
}

impl Space {
    /// Looks at the filesystem of a pool.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`.
    pub fn measure(pool: &Pool) -> Result<Self> {
        // Whoever may not look is told so before the disk is kept busy for it.
        Trees::find(&opener::directory(pool.root())?).map_err(explained)?;
        subvolume::sync(pool.root()).context("writing what waits in memory")?;
        for _ in 0..TRIES {
            match Self::read(pool, Reading::Differences) {
                Err(e) if !is_denied(&e) => {}
                done => return done.map_err(explained),
            }
        }
        Self::read(pool, Reading::Wholes).map_err(explained)
    }

    /// Looks at it once, in one way; what waits in memory is not seen.
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
                    // What is not there any more holds nothing.
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
                    format!("what {node}/{name} takes cannot be read: {error}")
                }
                _ => format!(
                    "a subvolume cannot be read, and what it shares counts to others alone: {error}"
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

    /// Returns what an environment takes; `None` where that could not be read.
    pub fn environment(&self, node: &str, name: &str) -> Option<Sum> {
        let found = self
            .owners
            .iter()
            .find(|(owner, _)| matches!(owner, Owner::Environment(n, e) if n == node && e == name));
        found.and_then(|(_, sum)| *sum)
    }

    /// Returns what comes back when these environments go, all of them and nothing else; bytes.
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

    /// Returns what comes back when these nodes go, with all they have; bytes.
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

/// Puts what each environment takes into a list; returns sentences about what could not be read.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn fill(pool: &Pool, listed: &mut [Listed]) -> Result<Vec<String>> {
    let space = Space::measure(pool)?;
    let mut sums = HashMap::new();
    for (owner, sum) in &space.owners {
        if let Owner::Environment(node, name) = owner {
            sums.insert((node.as_str(), name.as_str()), *sum);
        }
    }
    for env in listed {
        env.space = sums
            .get(&(env.node.as_str(), env.name.as_str()))
            .copied()
            .flatten();
    }
    Ok(space.unread)
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn explained(error: io::Error) -> anyhow::Error {
    if is_denied(&error) {
        return Failure::failed(
            "what environments take is read from the filesystem's own trees, which needs CAP_SYS_ADMIN",
        )
        .hint("run it as root: sudo netbe list --space")
        .into();
    }
    anyhow::Error::from(error).context("reading what environments take")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_subvolume_is_its_path_says() {
        let env = |node: &str, name: &str| Owner::Environment(node.into(), name.into());
        for (path, want) in [
            (Some("nodes/nog/envs/a/root"), env("nog", "a")),
            (Some("nodes/nog/envs/a/.base/root"), env("nog", "a")),
            (Some("nodes/nog/envs/a/root/var/lib/x"), env("nog", "a")),
            (
                Some("nodes/nog/.staged-b-1/root"),
                Owner::Node("nog".into()),
            ),
            (Some("nodes/nog/.trash-a-1/boot"), Owner::Node("nog".into())),
            (Some("nodes/nog"), Owner::Node("nog".into())),
            (Some("nodes"), Owner::Nobody),
            (Some(".snapshots/nodes/nog/envs/a/root"), Owner::Nobody),
            (Some(""), Owner::Nobody),
            (None, Owner::Nobody),
        ] {
            assert_eq!(Owner::from_path(path.map(Path::new)), want, "{path:?}");
        }
    }
}
