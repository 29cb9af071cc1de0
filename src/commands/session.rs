//! The context of a command: its pool and its output.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::{Failure, is_closed_pipe};
use crate::fs::interrupt;
use crate::lifecycle::Outcome;
use crate::output::Screen;
use crate::pool::pattern::{self, Named};
use crate::pool::{NodeName, Pool, state};

/// The context of a command.
#[derive(Debug)]
pub struct Session {
    /// The pool's directory, as given.
    pub pool_dir: PathBuf,
    /// The directory of state directories, as given.
    pub states: PathBuf,
    /// The output.
    pub screen: Screen,
}

/// A command prints to the screen of its session.
impl std::ops::Deref for Session {
    type Target = Screen;

    fn deref(&self) -> &Screen {
        &self.screen
    }
}

impl Session {
    /// Opens the pool.
    pub fn pool(&self) -> Result<Pool> {
        Pool::open(&self.pool_dir, &self.states)
    }

    /// Calls `work` with the pool, or with every mounted pool of this server and this machine's own; returns the worst exit
    /// status.
    ///
    /// A failure in one of several pools is printed, and the others follow.
    pub(super) fn each_pool(&self, all: bool, work: impl Fn(&Pool) -> Result<u8>) -> Result<u8> {
        if !all {
            return work(&self.pool()?);
        }
        let mut worst = 0;
        let mut pools = Pool::all(&self.states)?;
        if self.states == Path::new(state::DEFAULT) {
            pools.extend(Pool::of_this_machine());
        }
        for (dir, pool) in pools {
            let done = pool.and_then(|pool| work(&pool));
            let failed = |e: anyhow::Error| {
                let error = e.context(format!("the pool in {}", dir.display()));
                self.failed(&[error])
            };
            worst = worst.max(done.unwrap_or_else(failed));
        }
        Ok(worst)
    }

    /// Returns the nodes that names and patterns select in a pool, and the exit status so far: a pattern without a match is
    /// printed as a failure, and the others count.
    ///
    /// # Errors
    /// `NotFound` if the names select nothing: an empty list would often mean every node.
    pub(super) fn chosen<T>(&self, pool: &Pool, words: &[Named<T>]) -> Result<(Vec<T>, u8)>
    where
        T: Clone + PartialEq + From<NodeName>,
    {
        let is_pattern = |word: &Named<T>| matches!(word, Named::Matching(_));
        let nodes = match words.iter().any(is_pattern) {
            true => pool.nodes()?.into_iter().map(|node| node.name).collect(),
            false => Vec::new(),
        };
        let (found, mut failures) = pattern::chosen(words, &nodes);
        if found.is_empty()
            && let Some(last) = failures.pop()
        {
            self.failed(&failures.into_iter().map(Into::into).collect::<Vec<_>>());
            return Err(last.into());
        }
        let worst = self.failed(&failures.into_iter().map(Into::into).collect::<Vec<_>>());
        Ok((found, worst))
    }

    /// As [`Self::chosen`]; with `--all`, returns every node that is not a template.
    pub(super) fn chosen_or_all<T>(
        &self,
        pool: &Pool,
        words: &[Named<T>],
        all: bool,
    ) -> Result<(Vec<T>, u8)>
    where
        T: Clone + PartialEq + From<NodeName>,
    {
        match all {
            true => Ok((all_nodes(pool)?.into_iter().map(T::from).collect(), 0)),
            false => self.chosen(pool, words),
        }
    }

    /// Returns the worse of a command's exit status and `unmatched`, that of names without a match.
    ///
    /// # Errors
    /// The command's error, if all names had a match.
    pub(super) fn beside(&self, unmatched: u8, done: Result<u8>) -> Result<u8> {
        match done {
            Err(e) if unmatched > 0 && !is_closed_pipe(&e) && interrupt::requested().is_none() => {
                Ok(self.failed(&[e]).max(unmatched))
            }
            done => Ok(done?.max(unmatched)),
        }
    }

    /// Prints the steps of a dry run, or returns the result.
    pub(super) fn done<T>(&self, outcome: Outcome<T>) -> Result<Option<T>> {
        match outcome {
            Outcome::Done(done) => Ok(Some(done)),
            Outcome::Planned(steps) => {
                self.screen.plan(&steps)?;
                Ok(None)
            }
        }
    }

    /// Calls `work` with each item. If one of several fails, its error is printed in its place, and the others follow.
    ///
    /// Returns the worst exit status.
    ///
    /// # Errors
    /// The error of a single item, or of an item after which netbe was interrupted or its output closed.
    pub(super) fn each<T>(
        &self,
        all: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut work: impl FnMut(T) -> Result<u8>,
    ) -> Result<u8> {
        let all = all.into_iter();
        let is_one = all.len() == 1;
        let mut worst = 0;
        for one in all {
            worst = worst.max(match work(one) {
                Err(e) if is_one || is_closed_pipe(&e) || interrupt::requested().is_some() => {
                    return Err(e);
                }
                done => done.unwrap_or_else(|e| self.failed(&[e])),
            });
        }
        Ok(worst)
    }

    /// Prints failures of parts of a command; returns the worst exit status.
    pub(super) fn failed(&self, failures: &[anyhow::Error]) -> u8 {
        let mut worst = 0;
        for error in failures {
            let failure = error.downcast_ref::<Failure>();
            self.screen
                .failed(error, failure.and_then(|f| f.hint.as_deref()));
            worst = worst.max(failure.map_or(1, Failure::status));
        }
        worst
    }
}

/// Returns all nodes that are not templates.
///
/// # Errors
/// A refusal if there are none: no name at all often means every node and template.
fn all_nodes(pool: &Pool) -> Result<Vec<NodeName>> {
    let mut nodes = pool.nodes()?;
    nodes.retain(|node| !node.is_template());
    if nodes.is_empty() {
        return Err(Failure::refused("the pool has no node except templates")
            .hint("netbe create --help")
            .into());
    }
    Ok(nodes.into_iter().map(|n| n.name).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::output::screen::Talk;
    use crate::output::table::Look;

    /// Returns the context of a command that opens no pool.
    pub(in super::super) fn session() -> Session {
        Session {
            pool_dir: "/srv/netbe".into(),
            states: "/var/lib/netbe".into(),
            screen: Screen::new(Talk::Normal, Look::default()),
        }
    }
}
